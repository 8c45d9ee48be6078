"""Cold starts, each in a process of its own, and what is in memory meanwhile and afterwards."""

import json

from harness.bench import SECOND, median, phase


def cold_starts(bench):
    for name, config in [("S3", bench.s3), ("directory", bench.file)]:
        phase(f"cold starts, {name}")
        walls, work, memory, peaks, bare_gets = [], [], [], [], []
        with bench.requests("gets", json.dumps(config), ".metadata/base/rollup.json") as bare:
            bare.ask(1)
            # In turns, so that both meet the same moods of the machine.
            for _ in range(bench.rounds(5)):
                bare_gets.append(int(bare.ask(1)))
                with bench.replica(config) as replica:
                    before = replica.do("memory")["resident"]
                    opened = replica.do("open", "base")
                    replica.do("flush", "base", 1)
                    after = replica.do("memory")
                walls.append(opened["wall"])
                work.append(opened["cpu"])
                memory.append((after["resident"] - before) / bench.entries)
                peaks.append(after["peak"] / bench.rollup_bytes)
        get = median(bare_gets) / SECOND
        bench.table.at_most(f"cold start, {name}", median(walls) / SECOND, " s", max(0.35, 4 * get))
        bench.table.told(f"cold start: CPU, {name}", median(work) / SECOND, " s")
        bench.table.told(f"a bare GET of the rollup, {name}", get, " s")
        bench.table.at_most(f"peak memory of the process, {name}, to the rollup", median(peaks), " x", 2.2)
        bench.table.at_most(f"memory of an entry afterwards, {name}", median(memory), " B", 110)
