"""A long list, beside one of a hundredth of its length: what grows with the length shows in their ratio."""

import json

from harness.bench import MICROSECOND, NAME, OPS, median, phase

PAGE = 100
# Far below the hundred of what grows with the list: the caches of the machine may hold all of the short one.
BAR = 2


def measure(bench):
    phase("lists, directory")
    lengths = {"list": bench.entries, "short-list": bench.entries // 100}
    with bench.replica(bench.file) as replica:
        for namespace in lengths:
            replica.do("open", namespace)
        begin = {"op": "ListEntries", "Key": NAME, "Limit": PAGE}
        took = {
            "len": read(bench, replica, lengths, 100_000, lambda _: {"op": "ListLen", "Key": NAME}),
            f"page of {PAGE} at the begin": read(bench, replica, lengths, 20_000, lambda _: begin),
            f"page of {PAGE} near the end": read(bench, replica, lengths, 20_000, lambda length: {**begin, "After": length - 2 * PAGE}),
            "append, CPU of an op": append(bench, replica, lengths),
        }
    for what, (long, short) in took.items():
        name = f"list of {bench.entries:,}: {what}"
        bench.table.told(name, long / MICROSECOND, " us")
        bench.table.at_most(f"{name}, to {bench.entries // 100:,}", long / short, " x", BAR)
    first, last = list(took.values())[1:3]
    bench.table.at_most(f"list of {bench.entries:,}: a page near the end, to one at the begin", last[0] / first[0], " x", BAR)


def read(bench, replica, lengths, count, query):
    """The CPU time of a query, for each of the lists, in turns."""
    took = {namespace: [] for namespace in lengths}
    for _ in range(6):
        for namespace, length in lengths.items():
            text = json.dumps(query(length), separators=(",", ":"))
            took[namespace].append(replica.do("query", namespace, int(count * bench.effort) + 1, text)["cpu"])
    # The first round brings what is read into the caches of the machine.
    return [median(each[1:]) for each in took.values()]


def append(bench, replica, lengths):
    """The same of an append, in batches: a file is written for each of those."""
    took = {namespace: [] for namespace in lengths}
    for _ in range(bench.rounds(16)):
        for namespace in lengths:
            took[namespace] += replica.do("append", namespace, 1, OPS)["cpus"]
    return [median(each) / OPS for each in took.values()]
