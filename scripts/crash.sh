#!/bin/sh
# crash.sh [POINTS] [FROM]: power failures on a simulated disk, POINTS of them, from seed FROM on; then once more on a disk
# that does not sync when it is told to, which must be found out. Before that, disks that fail at every call, and (from 50,000
# points on; the unit tests do a part of it) damage to every byte. A seed that fails is named, with the command that repeats it.
set -u
cd "$(dirname "$0")/.."
points=${1:-100000}
from=${2:-1}
program=.build/release/crash
# Damage and failing disks, in proportion.
"$program" --faults $((points / 5000 + 1)) --from "$from" || failed=1
if [ "$points" -ge 50000 ]; then "$program" --corrupt || failed=1; fi
"$program" --points "$points" --from "$from" || failed=1
output=$(mktemp)
trap 'rm -f "$output"' EXIT
if "$program" --points 5000 --from "$from" --omit-sync >"$output" 2>&1; then
    echo "--- FAILED: a store that never syncs has passed"
    echo "power failures without sync: 0 passed, 1 failed"
    failed=1
else
    echo "power failures without sync: found out, as it must be"
    grep -m 3 'seed' "$output"
    echo "power failures without sync: 1 passed, 0 failed"
fi
exit "${failed:-0}"
