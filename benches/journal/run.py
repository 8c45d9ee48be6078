#!/usr/bin/env python3
"""`make bench`: measures what docs/performance.md promises, and prints one table.

Started with a MinIO in its environment (tests/servers/minio.sh run -- benches/journal/run.py). Everything is measured from the
outside: replicas are processes of their own (benches/journal/replica.c) that use the shared library as it is installed. What is measured
stands in figures/, what it is measured with in harness/.

Ends with 0 where everything could be measured, also where something is over its bar; the table says so then.
"""

import argparse
import contextlib
import datetime
import os
import platform
import shutil
import tempfile
import time

from figures import charts, folds, go, library, lists, namespaces, peers, starts, ticks, writes
from harness import document
from harness.bench import Bench


def measure(bench):
    bench.fill()
    library.size(bench)
    starts.cold_starts(bench)
    peers.sqlite(bench)
    peers.redis_server(bench)
    ticks.on_directory(bench)
    ticks.on_s3(bench)
    folds.alone(bench)
    folds.readers_meanwhile(bench)
    lists.measure(bench)
    writes.on_s3(bench)
    namespaces.quiet(bench)
    go.gets(bench)
    go.writes(bench)
    go.waiting(bench)


def machine():
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as cpus:
        name = next((line.split(":", 1)[1].strip() for line in cpus if line.startswith("model name")), name)
    return f"{os.cpu_count()} x {name}, {platform.system()} {platform.release()}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", default=os.path.join(document.ROOT, "build", "bench"), help="where `replica` and the others are")
    parser.add_argument("--library", default=os.path.join(document.ROOT, "build", "lib", "libopjournal.so"), help="the shared library")
    parser.add_argument("--entries", type=int, default=1_000_000, help="entries of the map")
    parser.add_argument("--effort", type=float, default=1.0, help="how much is measured; below 1 the figures are rough")
    parser.add_argument("--record", action="store_true", help="put the table and the charts into docs/performance.md")
    options = parser.parse_args()
    begun, load = time.monotonic(), os.getloadavg()
    directory = tempfile.mkdtemp(prefix="opjournal-bench-")
    try:
        bench = Bench(options.programs, options.library, options.entries, directory, options.effort)
        measure(bench)
    finally:
        shutil.rmtree(directory)
    table = bench.table.text()
    took = f"{time.monotonic() - begun:.0f} s, load {load[0]:.1f} before and {os.getloadavg()[0]:.1f} after"
    where = f"{machine()}, {datetime.date.today()}, {options.entries:,} entries, {took}"
    print(f"\n{where}\n\n{table}")
    over = bench.table.over()
    print(f"{over} over the bar" if over else "all within their bars")
    if options.record:
        document.record(where, table, charts.all_of(bench))


if __name__ == "__main__":
    main()
