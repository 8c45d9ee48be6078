"""Holds the ledgers of the writers to a state that replicas read from the store. Knows nothing of the library: only the form of the
ledgers, of the batches (docs/soak.md draws both), and arithmetic."""

import collections
import dataclasses
import glob

PARTS = 16

# What writers see for themselves; anything else that they call wrong is just that.
SEEN_BY_WRITERS = ("torn", "unread", "vanished", "hung")

# Only so many violations of a kind are told.
MOST_TOLD = 5


@dataclasses.dataclass
class Verdict:
    """What was found. Every list must be empty."""

    batches: int = 0
    ops: int = 0
    failed: int = 0
    unknown: int = 0
    settled: int = 0
    # Submitted by a process that was killed before it was told anything: may be there once or not at all.
    untold: int = 0
    violations: dict = dataclasses.field(default_factory=lambda: collections.defaultdict(list))

    def found(self, kind, what):
        self.violations[kind].append(what)

    def count(self, kind):
        return len(self.violations.get(kind, ()))

    def add(self, other):
        for field in ("batches", "ops", "failed", "unknown", "settled", "untold"):
            setattr(self, field, getattr(self, field) + getattr(other, field))
        for kind, found in other.violations.items():
            self.violations[kind] += found

    def lines(self):
        for kind, found in sorted(self.violations.items()):
            for what in found[:MOST_TOLD]:
                yield f"{kind}: {what}"
            if len(found) > MOST_TOLD:
                yield f"{kind}: {len(found) - MOST_TOLD:,} more"


def lane_of(batch):
    """`writer.journal.lane.number/size`: the lane, the number in it, and how many ops the batch has."""
    place, size = batch.split("/")
    lane, number = place.rsplit(".", 1)
    return lane, int(number), int(size)


def read_ledgers(pattern, verdict):
    """What became of each batch, as the writers were told: batch -> word."""
    told = {}
    for path in sorted(glob.glob(pattern)):
        with open(path) as file:
            for line in file:
                word, _, rest = line.rstrip("\n").partition(" ")
                batch = rest.split(" ", 1)[0]
                if word in ("wrong", "hung"):
                    kind = batch.rstrip(":") if word == "wrong" else word
                    verdict.found(kind if kind in SEEN_BY_WRITERS else "wrong", f"{path}: {line.strip()}")
                elif word == "submit":
                    if batch in told:
                        verdict.found("wrong", f"{path}: {batch} was submitted twice")
                    told[batch] = word
                elif word == "settled":
                    if told.get(batch) != "unknown":
                        verdict.found("wrong", f"{path}: {batch} was settled after {told.get(batch)}")
                    told[batch] = "applied" if rest.endswith(" applied") else "not applied"
                    verdict.settled += 1
                else:
                    if told.get(batch) != "submit":
                        verdict.found("wrong", f"{path}: {batch} was told {word} after {told.get(batch)}")
                    told[batch] = word
                    verdict.unknown += word == "unknown"
    return told


def check(pattern, state, living):
    """The ledgers against a state. `living` are the writers that were never killed: nothing may be open in theirs."""
    verdict = Verdict()
    told = read_ledgers(pattern, verdict)
    log = state.get("log", [])
    there = collections.Counter(log)

    for batch, word in told.items():
        found = there.get(batch, 0)
        if word in ("acknowledged", "applied"):
            if not found:
                verdict.found("lost", f"{batch} was {word} and is not there")
            if word == "acknowledged":
                verdict.batches += 1
                verdict.ops += lane_of(batch)[2]
        elif word in ("failed", "not applied"):
            verdict.failed += 1
            if found:
                verdict.found("risen", f"{batch} was told {word} and is there")
        else:
            verdict.untold += 1
            if batch.split(".", 1)[0] in living:
                verdict.found("unsettled", f"{batch} is still open: {word}")
        if found > 1:
            verdict.found("doubled", f"{batch} is there {found} times")
    for batch in there.keys() - told.keys():
        verdict.found("foreign", f"{batch} is there, and nobody submitted it")

    add_up(log, state, verdict)
    return verdict


def add_up(log, state, verdict):
    """The order of each lane, and every other name against what the batches in the log make of it: none is torn."""
    last, ops = {}, 0
    parts = collections.Counter()
    for batch in log:
        lane, number, size = lane_of(batch)
        if number <= last.get(lane, 0):
            verdict.found("disordered", f"{batch} stands after number {last[lane]}")
        last[lane] = number
        ops += size
        for place in range(3, size - 1):
            parts[f'"p{(number + place) % PARTS}"'] += 1
    lanes = {f'"{lane}"': number for lane, number in last.items()}
    for name, expected in (("first", ops), ("sum", ops), ("parts", dict(parts)), ("last", lanes)):
        if state.get(name, type(expected)()) != expected:
            verdict.found("torn", f"{name} is {str(state.get(name))[:200]}, and the log makes {str(expected)[:200]}")
