"""Ticks, with something new and without, and what reads cost above what they brought."""

import json

from figures.reads import gets, threads
from harness.bench import MICROSECOND, MILLISECOND, OPS, median, phase


def on_directory(bench):
    """So that no HTTP client is measured."""
    phase("allocations of quiet ticks, directory")
    quiet_allocations(bench)
    with bench.replica(bench.file) as reader, bench.replica(bench.file) as writer:
        for replica in (reader, writer):
            for namespace in ("base", "more"):
                replica.do("open", namespace)
        phase("queries")
        gets(bench, reader, "")
        phase("reader threads")
        threads(bench, reader)
        phase(f"ticks with {OPS:,} new ops, directory")
        base, more = [], []
        for _ in range(bench.rounds(16)):
            base.append(tick(reader, writer, "base", bench.entries, 1, OPS))
            more.append(tick(reader, writer, "more", bench.more, 1, OPS))
        name, sizes = f"tick with {OPS:,} new ops", f"{bench.more:,} entries, to {bench.entries:,}"
        bench.table.at_most(f"{name}: CPU", median(base) / MILLISECOND, " ms", 1.5)
        bench.table.told(f"{name}, {bench.more:,} entries: CPU", median(more) / MILLISECOND, " ms")
        bench.table.at_most(f"{name}, {sizes}", median(more) / median(base), " x", 1.2)
        for namespace, suffix in [("base", ""), ("more", f", {bench.more:,} entries")]:
            quiet = reader.do("flush", namespace, bench.rounds(40))
            bench.table.told(f"quiet tick, directory{suffix}: CPU", median(quiet["cpus"]) / MILLISECOND, " ms")
        # About as many changes as are folded before the library makes a new base of them.
        phase("queries above changes")
        gets(bench, reader, f", {len(base) * OPS:,} changed")
        phase("ticks with many segments, directory")
        many = [tick(reader, writer, "base", bench.entries, 10, OPS // 10) for _ in range(bench.rounds(8))]
        bench.table.told("tick with 10 new segments of 100 ops: CPU", median(many) / MILLISECOND, " ms")
        # A long tail.
        phase("queries and ticks above many changes, directory")
        changes = bench.entries // 10
        done = (len(base) + len(many)) * OPS
        writer.do("apply", "base", bench.entries, max(1, (changes - done) // OPS), OPS)
        reader.do("flush", "base", 1)
        gets(bench, reader, f", {changes:,} changed", is_judged=False)
        changed = [tick(reader, writer, "base", bench.entries, 1, OPS) for _ in range(bench.rounds(12))]
        bench.table.told(f"tick with {OPS:,} new ops, {changes:,} changed: CPU", median(changed) / MILLISECOND, " ms")


def quiet_allocations(bench):
    """What a quiet tick asks of the allocator: an allocation that grows with the state would show with more entries."""
    count, asked = bench.rounds(20), []
    with bench.replica(bench.file, "replica-counting") as replica:
        for namespace in ("base", "more"):
            replica.do("open", namespace)
            replica.do("flush", namespace, 2)
            before = replica.do("memory")["allocated"]
            replica.do("flush", namespace, count)
            asked.append((replica.do("memory")["allocated"] - before) / count)
    base, more = asked
    name = "quiet tick, directory: allocated"
    bench.table.told(name, base / 1000, " KB")
    bench.table.at_most(f"{name}, {bench.more:,} entries, to {bench.entries:,}", more / base, " x", 1.05)


def tick(reader, writer, namespace, entries, batches, ops):
    """The CPU time of a tick that brings new ops of another replica."""
    writer.do("apply", namespace, entries, batches, ops)
    return reader.do("flush", namespace, 1)["cpus"][0]


def on_s3(bench):
    with bench.replica(bench.s3) as reader, bench.replica(bench.s3) as writer:
        reader.do("open", "base")
        writer.do("open", "base")
        phase(f"ticks with {OPS:,} new ops, S3")
        ticks = [tick(reader, writer, "base", bench.entries, 1, OPS) for _ in range(bench.rounds(24))]
        bench.table.at_most(f"tick with {OPS:,} new ops, S3: CPU", median(ticks) / MILLISECOND, " ms", 1.5)
        phase("quiet ticks, S3")
        quiet_ticks(bench, reader)


def quiet_ticks(bench, reader):
    # The first tick after a change may still look at the rollup.
    reader.do("flush", "base", 1)
    before, replayed = reader.requests(), reader.namespace("base")["ticks"]
    walls, cpus, bare_walls, bare_cpus = [], [], [], []
    with bench.requests("lists", json.dumps(bench.s3), ".metadata/base/") as bare:
        bare.ask("5")
        bare.answer()
        # In turns, so that both meet the same moods of the machine.
        for _ in range(bench.rounds(10)):
            ticks = reader.do("flush", "base", 10)
            walls += ticks["walls"]
            cpus += ticks["cpus"]
            bare_walls += [int(one) for one in bare.ask("10").split()]
            bare_cpus += [int(one) for one in bare.answer().split()]
    after, count = reader.requests(), reader.namespace("base")["ticks"] - replayed
    assert count == len(walls), "a Flush is a tick"
    difference = {kind: (after[kind] - before[kind]) / count for kind in before}
    others = sum(difference[kind] for kind in ("get", "put", "delete"))
    bench.table.at_most("quiet tick: LIST requests", difference["list"], "", 1)
    bench.table.at_most("quiet tick: other requests", others, "", 0)
    bench.table.at_most("quiet tick, S3: CPU", median(cpus) / MICROSECOND, " us", 500)
    bench.table.told("a bare LIST: CPU", median(bare_cpus) / MICROSECOND, " us")
    bench.table.at_most("a Flush where nothing is new, to a bare LIST", median(walls) / median(bare_walls), " x", 1.2)
    bench.table.told("a bare LIST", median(bare_walls) / MILLISECOND, " ms")
    before = reader.namespace("base")["ticks"]
    reader.do("flushes", "base", 64)
    bench.table.at_most("64 Flushes at once: ticks", reader.namespace("base")["ticks"] - before, "", 2)
