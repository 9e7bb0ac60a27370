#!/bin/sh
# Builds the simulator in .build/simulate, with the broker's insides open to it, and runs it with what it is given.
set -eu
cd "$(dirname "$0")/.."
SIMULATE=1 swift build -c release --scratch-path .build/simulate -Xswiftc -enable-testing -Xswiftc -enforce-exclusivity=unchecked \
    --product simulate >&2
exec .build/simulate/release/simulate "$@"
