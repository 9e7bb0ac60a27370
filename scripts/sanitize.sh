#!/bin/sh
# sanitize.sh thread|address: builds brokerd and the tests with that sanitizer, runs the unit tests, and runs the
# interoperation tests against that brokerd. A report ends the process that made it with code 66.
set -eu
cd "$(dirname "$0")/.."
kind=$1
build=.build-$kind
# Address-space randomisation beyond what the sanitizers map makes them fail at start on newer kernels.
fixed=""
if setarch "$(uname -m)" -R true 2>/dev/null; then fixed="setarch $(uname -m) -R"; fi
export TSAN_OPTIONS="exitcode=66 halt_on_error=1 second_deadlock_stack=1"
# The standard library's Mutex is not built with the thread sanitizer: Sources/Locks has one that it sees.
define=""
if [ "$kind" = thread ]; then define="-Xswiftc -DTHREAD_SANITIZER"; fi
export ASAN_OPTIONS="exitcode=66 detect_leaks=0"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
echo "sanitize: building with the $kind sanitizer into $build"
swift build --scratch-path "$build" --sanitize="$kind" $define --build-tests 2>&1 | tail -3
swift build --scratch-path "$build" --sanitize="$kind" $define --product brokerd 2>&1 | tail -1
code=0
$fixed swift test --scratch-path "$build" --sanitize="$kind" $define --skip-build --skip '[Ff]uzz' >"$log" 2>&1 || code=$?
if [ "$code" -ne 0 ]; then cat "$log"; fi
scripts/count_swift_tests.sh "$kind sanitizer, unit" "$log" "$code" || true
if grep -q "WARNING: ThreadSanitizer\|ERROR: AddressSanitizer" "$log"; then code=66; fi
broker_code=0
BROKER="$build/debug/brokerd" INTEROP_SLOW=3 $fixed .venv/bin/python Tests/Interop/run.py \
    --label "$kind sanitizer, interop" || broker_code=$?
[ "$code" -eq 0 ] && [ "$broker_code" -eq 0 ]
