#!/bin/sh
# count_swift_tests.sh NAME LOG CODE: reads what `swift test` printed into LOG and says "NAME: N passed, N failed";
# exits as swift test did (CODE).
name=$1 log=$2 code=$3
xctest_run=$(sed -n 's/.*Executed \([0-9]*\) tests\{0,1\}, with .*/\1/p' "$log" | sort -n | tail -1)
xctest_failed=$(sed -n "s/^Test Case '\(.*\)' failed (.*/\1/p; s/.*Test Case '-\{0,1\}\[\{0,1\}\(.*\)' failed (.*/\1/p" "$log" | sort -u | wc -l)
swift_passed=$(grep -cE '(✔|◇|􁁛).* Test .* passed after' "$log")
swift_failed=$(grep -cE '(✘|􀢄).* Test .* failed after' "$log")
# The lines of the run itself ("Test run with N tests in M suites ...") are no tests.
swift_passed=$((swift_passed - $(grep -cE 'Test run with .* passed after' "$log")))
swift_failed=$((swift_failed - $(grep -cE 'Test run with .* failed after' "$log")))
passed=$(( ${xctest_run:-0} - xctest_failed + swift_passed ))
failed=$(( xctest_failed + swift_failed ))
if [ "$code" -ne 0 ] && [ "$failed" -eq 0 ]; then failed=1; fi
echo "$name: $passed passed, $failed failed"
exit "$code"
