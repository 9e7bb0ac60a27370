#!/bin/sh
# Runs every fuzzer for FUZZ_SECONDS each (5 by default), from FUZZ_SEED or a seed of its own, which it prints. What fails
# says how to repeat it. Arguments are targets: scripts/fuzz.sh parser index.
set -eu
cd "$(dirname "$0")/.."
swift build -c release --static-swift-stdlib --product fuzz 2>&1 | tail -1
exec .build/release/fuzz --seconds "${FUZZ_SECONDS:-5}" ${FUZZ_SEED:+--seed "$FUZZ_SEED"} "$@"
