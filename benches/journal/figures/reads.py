"""Queries."""

from harness.bench import MICROSECOND, median


def gets(bench, reader, suffix, is_judged=True):
    for stride, name, count in [(1, "MapGet, random", 400_000), (0, "MapGet, hot", 1_000_000)]:
        # The first round brings the index into the caches of the machine. A query waits for nothing, so its time is CPU time: that of
        # the clock on the wall also holds what else the machine does.
        rounds = [reader.do("get", "base", bench.entries, int(count * bench.effort) + 1, stride)["cpu"] for _ in range(6)]
        value = median(rounds[1:]) / MICROSECOND
        if is_judged:
            bench.table.at_most(name + suffix, value, " us", 1)
        else:
            bench.table.told(name + suffix, value, " us")
