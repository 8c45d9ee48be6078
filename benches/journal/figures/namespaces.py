"""Many quiet namespaces in one journal."""

import json

from harness.bench import SECOND, phase

NAMESPACES = 1000


def quiet(bench):
    """What a process with many quiet namespaces asks and takes, by a tick of all of them."""
    phase(f"{NAMESPACES:,} namespaces, S3")
    config = {**bench.s3, "store": bench.s3["store"] + "-many", "sync_interval_ms": 1000}
    bench.put("rollups", json.dumps(config), "ns", str(NAMESPACES))
    with bench.replica(config) as replica:
        before = replica.do("memory")["resident"]
        replica.do("opens", "ns", NAMESPACES)
        # The phases of ticks spread at first, and then follow the LIST that all share.
        replica.do("idle", 3000)
        took = replica.do("memory")["resident"] - before

        def count():
            stats = replica.do("stats")
            return stats["requests"], sum(namespace["ticks"] for namespace in stats["namespaces"].values()) / NAMESPACES

        (asked, ticks), idle, (asked_now, ticks_now) = count(), replica.do("idle", bench.rounds(10) * 1000), count()
    ticks = ticks_now - ticks
    asked = {kind: (asked_now[kind] - asked[kind]) / ticks for kind in asked}
    name = f"{NAMESPACES:,} quiet namespaces"
    bench.table.at_most(f"{name}: LISTs a tick", asked["list"], "", 1 + NAMESPACES / 1000)
    bench.table.at_most(f"{name}: other requests", sum(asked[kind] for kind in ("get", "put", "delete")), "", 0)
    bench.table.at_most(f"{name}: memory of each", took / NAMESPACES / 1000, " KB", 20)
    # Of one core, at the interval that is the default.
    bench.table.at_most(f"{name}: CPU at ticks of 15 s", idle["cpu"] / ticks / (15 * SECOND) * 100, " %", 1)
