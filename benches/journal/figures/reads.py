"""Queries, of one thread and of many."""

from harness.bench import median

READERS = 8
RANDOM, HOT = ("random", 1), ("hot", 0)


def gets(bench, reader, suffix, is_judged=True):
    for (name, stride), count, bar in [(RANDOM, 400_000, 900), (HOT, 1_000_000, 300)]:
        # The first round brings the index into the caches of the machine. A query waits for nothing, so its time is CPU time: that of
        # the clock on the wall also holds what else the machine does.
        rounds = [reader.do("get", "base", bench.entries, int(count * bench.effort) + 1, stride)["cpu"] for _ in range(6)]
        value = median(rounds[1:])
        if is_judged:
            bench.table.at_most(f"MapGet, {name}{suffix}", value, " ns", bar)
        else:
            bench.table.told(f"MapGet, {name}{suffix}", value, " ns")


def threads(bench, reader):
    """What more threads than cores read together, in turns with one."""
    for name, stride in (RANDOM, HOT):
        rates = {1: [], READERS: []}
        for _ in range(bench.rounds(5)):
            for count in rates:
                ms = max(200, int(500 * bench.effort))
                rates[count].append(reader.do("readers", "base", bench.entries, count, ms, stride)["rate"])
        one, many = (median(each) for each in rates.values())
        bench.table.at_least(f"{READERS} reader threads, {name}: MapGets a second, to one thread", many / one, " x", 1.8)
        bench.table.told(f"{READERS} reader threads, {name}: MapGets a second", many, "")
