"""Cold starts, each in a process of its own, and what is in memory afterwards."""

from harness.bench import SECOND, median, phase


def cold_starts(bench):
    for name, config in [("S3", bench.s3), ("directory", bench.file)]:
        phase(f"cold starts, {name}")
        walls, work, memory, peaks = [], [], [], []
        for _ in range(bench.rounds(5)):
            with bench.replica(config) as replica:
                before = replica.do("memory")["resident"]
                opened = replica.do("open", "base")
                replica.do("flush", "base", 1)
                after = replica.do("memory")
                walls.append(opened["wall"])
                work.append(opened["cpu"])
                memory.append((after["resident"] - before) / bench.entries)
                peaks.append((after["peak"] - before) / bench.entries)
        bench.table.at_most(f"cold start, {name}", median(walls) / SECOND, " s", 0.6)
        bench.table.told(f"cold start, {name}: CPU", median(work) / SECOND, " s")
        bench.table.at_most(f"memory of an entry, {name}", median(memory), " B", 130)
        bench.table.told(f"memory of an entry, {name}: peak", median(peaks), " B")
