#!/bin/sh
# The whole suite, part by part. Each part prints its own "N passed, N failed"; a part that fails does not stop the
# next one, and the end repeats what failed and adds up.
set -u
cd "$(dirname "$0")/.."
all=$(mktemp)
trap 'rm -f "$all" "$all".*' EXIT
failures=""

# part NAME COMMAND...: runs a part, keeps its output for the total.
part() {
    name=$1
    shift
    echo
    echo "=== $name"
    begun=$(date +%s)
    { "$@" 2>&1; echo $? >"$all.code"; } | tee "$all.part"
    code=$(cat "$all.code")
    cat "$all.part" >>"$all"
    if [ "$code" -ne 0 ]; then
        failures="$failures $name"
        { echo "=== failed in $name"; grep -aE -A9 '^--- |✘|^FAILED|error:' "$all.part" | head -30 | cut -c 1-300; } >>"$all.why"
    fi
    grep -Eq '(^|[ :])[0-9]+ passed, [0-9]+ failed$' "$all.part" || {
        if [ "$code" -eq 0 ]; then line="$name: 1 passed, 0 failed"; else line="$name: 0 passed, 1 failed"; fi
        echo "$line" | tee -a "$all"
    }
    echo "=== $name took $(($(date +%s) - begun)) s"
    rm -f "$all.part" "$all.code"
}

unit() {
    swift build --build-tests || return 1
    swift test --skip-build >"$all.unit" 2>&1
    code=$?
    [ "$code" -eq 0 ] || cat "$all.unit"
    scripts/count_swift_tests.sh unit "$all.unit" "$code"
    code=$?
    rm -f "$all.unit"
    return "$code"
}

lint() { scripts/format.sh lint; }
pool() { KEYED_BOOKINGS=10000 INTEROP_SLOW=12 .venv/bin/python Tests/Interop/run.py --label keyed-pool --only test_a_pool; }
python() { .venv/bin/python "$@"; }

part build swift build -c release --static-swift-stdlib
if [ -n "$failures" ]; then
    echo "make test: the release build failed; nothing else can run"
    exit 1
fi
part lint lint
part unit unit
part interop python Tests/Interop/run.py
part protocol python Tests/Interop/protocol.py
part jetstream-api python Tests/Interop/jetstream_api.py
part conformance python Tests/Conformance/conformance.py
part power-failures scripts/crash.sh 5000
part crash python Tests/Crash/crash.py --cycles 25
part keyed-simulation scripts/keyed_simulation.sh --deliveries 1000000
part keyed-pool pool
part onewrite Tests/Soak/onewrite.sh 100000
part simulate scripts/simulate.sh --seeds 1..14
part fuzz scripts/fuzz.sh
part tsan scripts/sanitize.sh thread
part soak python Tests/Soak/soak.py --seconds "${DURATION_S:-60}"

echo
if [ -n "$failures" ]; then cat "$all.why"; fi
sed -nE 's/.*(^|[ :])([0-9]+) passed, ([0-9]+) failed$/\2 \3/p' "$all" |
    awk '{ passed += $1; failed += $2 } END { printf "make test: %d passed, %d failed\n", passed, failed }'
if [ -n "$failures" ]; then
    echo "failed:$failures   (each runs alone: make NAME; power-failures is a part of crash)"
    exit 1
fi
