#!/bin/sh
# Builds the simulator of keyed consumers in .build/simulate, with the broker's insides open to it, and runs it with what it is
# given: --deliveries N, --seed S.
set -eu
cd "$(dirname "$0")/.."
SIMULATE=1 swift build -c release --scratch-path .build/simulate -Xswiftc -enable-testing -Xswiftc -enforce-exclusivity=unchecked \
    --product keyed-simulation >&2
exec .build/simulate/release/keyed-simulation "$@"
