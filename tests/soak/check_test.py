#!/usr/bin/env python3
"""Histories made by hand, each of which breaks a promise: check.py has to say so. Prints a line for each."""

import os
import sys
import tempfile

import check

LEDGER = [
    "submit a.0.0.1/20",
    "acknowledged a.0.0.1/20 segment-1.json",
    "submit a.0.0.2/21",
    "failed a.0.0.2/21 UNAVAILABLE: the store is away",
    "submit a.0.0.3/22",
    "unknown a.0.0.3/22 segment-2.json",
    "settled a.0.0.3/22 applied",
    "submit a.0.0.4/23",
    "unknown a.0.0.4/23 segment-3.json",
    "settled a.0.0.4/23 failed",
    "submit b.0.0.1/30",
]
LOG = ["a.0.0.1/20", "a.0.0.3/22", "b.0.0.1/30"]


def state_of(log):
    last, parts, ops = {}, {}, 0
    for batch in log:
        lane, number, size = check.lane_of(batch)
        last[f'"{lane}"'] = number
        ops += size
        for place in range(3, size - 1):
            name = f'"p{(number + place) % check.PARTS}"'
            parts[name] = parts.get(name, 0) + 1
    return {"log": log, "last": last, "parts": parts, "first": ops, "sum": ops}


def kinds(ledger, state, living=()):
    with tempfile.TemporaryDirectory() as directory:
        with open(os.path.join(directory, "x.ledger"), "w") as file:
            file.writelines(line + "\n" for line in ledger)
        return set(check.check(os.path.join(directory, "*.ledger"), state, living).violations)


def more(*lines):
    return LEDGER + list(lines)


def changed(**names):
    return state_of(LOG) | names


CASES = [
    ("a good history", LEDGER, state_of(LOG), (), set()),
    ("a batch of a killed writer may be absent", LEDGER, state_of(LOG[:2]), (), set()),
    ("acknowledged and absent", LEDGER, state_of(LOG[1:]), (), {"lost"}),
    ("settled as applied and absent", LEDGER, state_of([LOG[0], LOG[2]]), (), {"lost"}),
    ("twice", LEDGER, state_of([*LOG[:2], "b.0.0.1/30", "b.0.0.1/30"]), (), {"doubled", "disordered"}),
    ("failed and there", LEDGER, state_of(["a.0.0.1/20", "a.0.0.2/21", "a.0.0.3/22"]), (), {"risen"}),
    ("settled as failed and there", LEDGER, state_of([*LOG, "a.0.0.4/23"]), (), {"risen"}),
    ("submitted by nobody", LEDGER, state_of([*LOG, "c.0.0.1/20"]), (), {"foreign"}),
    ("out of order", LEDGER, state_of(["a.0.0.3/22", "a.0.0.1/20"]), (), {"disordered"}),
    ("the last op of a batch is missing", LEDGER, changed(sum=0), (), {"torn"}),
    ("an op from the middle of a batch is missing", LEDGER, changed(parts={}), (), {"torn"}),
    ("open in the ledger of a writer that lives", LEDGER, state_of(LOG), {"b"}, {"unsettled"}),
    ("a call that hung", more("hung apply 25000"), state_of(LOG), (), {"hung"}),
    ("a read that lacked an own write", more("wrong unread: a.0.0 wrote 3 and reads 1"), state_of(LOG), (), {"unread"}),
    ("an answer to a batch that was answered", more("failed a.0.0.1/20 x"), state_of(LOG), (), {"wrong", "risen"}),
]


def main():
    failed = 0
    for name, ledger, state, living, expected in CASES:
        found = kinds(ledger, state, living)
        failed += found != expected
        print(f"ok check: {name}" if found == expected else f"not ok check: {name}: found {sorted(found)}, expected {sorted(expected)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
