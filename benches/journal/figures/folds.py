"""Folds: what they cost who folds, what they cost another replica, and what readers notice of them."""

import time

from figures.reads import RANDOM
from harness.bench import MILLISECOND, OPS, median, phase

NAMESPACE = "folds"
SEGMENTS = 256
OPS_A_SEGMENT = 10
READERS = 2
# How old a segment must be to be folded: the least that can be configured. All replicas on a store must agree on it.
AGE_SECONDS = 6
LONGEST_WAIT_SECONDS = 60
NEVER = 1_000_000


def that_folds(config, segments, interval_ms):
    """The same for a replica that ticks, and folds so many segments at once."""
    return {**config, **compaction(segments), "sync_interval_ms": interval_ms}


def that_never_folds(config):
    return {**config, **compaction(NEVER)}


def compaction(segments):
    return {"compaction": {"segment_threshold": segments, "age_threshold_ms": AGE_SECONDS * 1000}}


def alone(bench):
    for name, config in [("directory", bench.file), ("S3", bench.s3)]:
        phase(f"folds, {name}")
        work, downloaded = [], []
        quiet = that_never_folds(config)
        with bench.replica(that_folds(config, SEGMENTS, 1000)) as folder, bench.replica(quiet) as writer, bench.replica(quiet) as holder:
            for replica in (folder, writer, holder):
                replica.do("open", NAMESPACE)
            for _ in range(bench.rounds(3, least=1)):
                writer.do("apply", NAMESPACE, bench.entries, SEGMENTS, OPS_A_SEGMENT)
                for replica in (folder, holder):
                    replica.do("flush", NAMESPACE, 1)
                work.append(cpu_of_fold(folder))
                before = holder.requests()["bytes_read"]
                holder.do("flush", NAMESPACE, 1)
                downloaded.append(holder.requests()["bytes_read"] - before)
        bench.table.at_most(f"fold of {SEGMENTS} segments, {name}: CPU", median(work) / MILLISECOND, " ms", 250)
        bench.table.at_most(f"fold of {SEGMENTS} segments, {name}: download of who holds them", median(downloaded) / 1000, " KB", 10)


def cpu_of_fold(folder):
    """The CPU time of a process that has nothing else to do, until it folded, less that of its ticks."""

    def counted():
        figures = folder.namespace(NAMESPACE)
        return figures["folds"], figures["ticks"]

    # Nothing is old enough yet: what the ticks take that only look.
    (folds, before), idle = counted(), folder.do("idle", (AGE_SECONDS - 1) * 1000)["cpu"]
    _, begun = counted()
    a_tick = idle / (begun - before)
    took, deadline = 0, time.monotonic() + LONGEST_WAIT_SECONDS
    while counted()[0] == folds:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{SEGMENTS} segments were not folded within {LONGEST_WAIT_SECONDS} s")
        took += folder.do("idle", 100)["cpu"]
    # What is let go of after it.
    took += folder.do("idle", 100)["cpu"]
    return took - (counted()[1] - begun) * a_tick


def readers_meanwhile(bench):
    """Single calls of readers in a process that takes in new segments and folds all the time."""
    phase("reads while ticks and folds run, directory")
    seconds = max(4, 10 * bench.effort)
    with bench.replica(that_folds(bench.file, 4, 250)) as reader, bench.replica(that_never_folds(bench.file)) as writer:
        for replica in (reader, writer):
            replica.do("open", NAMESPACE)
        # From then on some are old enough at every tick.
        write_for(AGE_SECONDS, writer, bench.entries)
        before = reader.namespace(NAMESPACE)
        reader.begin("readers", NAMESPACE, bench.entries, READERS, int(seconds * 1000), RANDOM[1])
        write_for(seconds, writer, bench.entries)
        seen = reader.received()
        after = reader.namespace(NAMESPACE)
    ticks, folds = (after[kind] - before[kind] for kind in ("ticks", "folds"))
    if folds == 0:
        raise RuntimeError("nothing was folded while reads were measured")
    name = "reads while ticks and folds run"
    bench.table.at_most(f"{name}: 99.9th percentile, to the median", seen["p999"] / seen["median"], " x", 20)
    bench.table.told(f"{name}: median", seen["median"], " ns")
    bench.table.told(f"{name}: the longest", seen["most"] / MILLISECOND, " ms")
    bench.table.at_most(f"{name}: waits of readers", seen["waits"], "", 0)
    bench.table.told(f"{name}: ticks", ticks, "")
    bench.table.told(f"{name}: folds", folds, "")


def write_for(seconds, writer, entries):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        writer.do("apply", NAMESPACE, entries, 1, OPS)
        time.sleep(0.1)
