#!/bin/sh
# Runs every unit test whose name contains "fuzz", for FUZZ_SECONDS each (5 by default), with the seed it prints or
# FUZZ_SEED.
set -eu
cd "$(dirname "$0")/.."
export FUZZ_SECONDS="${FUZZ_SECONDS:-5}"
swift build --build-tests
log=$(mktemp)
trap 'rm -f "$log"' EXIT
code=0
swift test --skip-build --filter '[Ff]uzz' >"$log" 2>&1 || code=$?
cat "$log"
scripts/count_swift_tests.sh fuzz "$log" "$code"
