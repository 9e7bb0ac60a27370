"""Reads expected-failures.txt: the interoperation tests and protocol scripts that need what brokerd does not have yet.

A test on the list that passes fails the run, so that the list shrinks. The list is for brokerd alone; the peer passes
everything.
"""

import os

LIST = os.path.join(os.path.dirname(os.path.abspath(__file__)), "expected-failures.txt")


def read(part):
    """The expected failures of a part ("interop" or "protocol"), as {name: reason}. Lines: part | reason | name."""
    expected = {}
    with open(LIST) as file:
        for number, line in enumerate(file, 1):
            if not line.strip() or line.startswith("#"):
                continue
            fields = [field.strip() for field in line.split("|", 2)]
            if len(fields) != 3:
                raise SystemExit(f"{LIST}:{number}: want 'part | reason | name'")
            if fields[0] == part:
                expected[fields[2]] = fields[1]
    return expected
