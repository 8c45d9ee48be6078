"""Reads and lone writes beside those of SQLite and Redis, in turns. Writes go to the directory, which keeps them as those do."""

import tempfile

from harness.bench import CALLERS, MICROSECOND, SECOND, median, phase, tell
from harness.redis import redis


def sqlite(bench):
    phase("SQLite")
    with tempfile.TemporaryDirectory(prefix="opjournal-bench-") as directory:
        with bench.replica(bench.file) as replica, bench.peer("sqlite", directory, bench.entries) as peer:
            beside(bench, replica, peer, "SQLite", 0.2)


def redis_server(bench):
    phase("Redis")
    with redis() as address:
        if not address:
            tell("  left out: there is no Redis")
            return
        with bench.replica(bench.file) as replica, bench.peer("redis", address, bench.entries) as peer:
            beside(bench, replica, peer, "Redis", 0.05)
            rates = [peer.do("callers", CALLERS, 1000) for _ in range(bench.rounds(3))]
            bench.table.told(f"Redis, {CALLERS} callers: ops a second", median([one["ops"] / one["wall"] * SECOND for one in rates]), "")


def beside(bench, replica, peer, name, bar):
    # Not where ticks are measured: nothing folds here, and each write is a file for a LIST to show.
    for namespace in ("base", "writes"):
        replica.do("open", namespace)
    gets, others, writes, puts = [], [], [], []
    for _ in range(6):
        gets.append(replica.do("get", "base", bench.entries, int(200_000 * bench.effort) + 1, 1)["wall"])
        others.append(peer.do("get", int(40_000 * bench.effort) + 1, 1)["wall"])
    for _ in range(bench.rounds(20)):
        writes += replica.do("apply", "writes", bench.entries, 10, 1)["walls"]
        puts += peer.do("put", 10)["walls"]
    # The first round brings what is read into the caches of the machine.
    bench.table.at_most(f"MapGet, random, to a get of {name}", median(gets[1:]) / median(others[1:]), " x", bar)
    bench.table.told(f"{name}: a get", median(others[1:]), " ns")
    bench.table.told(f"a durable write alone, directory, to {name}", median(writes) / median(puts), " x")
    bench.table.told(f"{name}: a durable write", median(puts) / MICROSECOND, " us")
