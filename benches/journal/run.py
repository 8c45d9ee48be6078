#!/usr/bin/env python3
"""`make bench`: measures what docs/performance.md promises, and prints one table.

Started with a MinIO in its environment (tests/servers/minio.sh run -- benches/journal/run.py). Everything is measured from the
outside: replicas are processes of their own (benches/journal/replica.c) that use the shared library as it is installed.

Ends with 0 where everything could be measured, also where something is over its bar; the table says so then.
"""

import argparse
import contextlib
import datetime
import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DOCUMENT = os.path.join(ROOT, "docs", "performance.md")
TABLE_BEGINS = "<!-- The table of `make bench-record`: begin -->\n"
TABLE_ENDS = "<!-- end -->\n"

MAP = "objects"
CALLERS = 256
MANY_CALLERS = 4096
WAITING = 10_000
NAMESPACES = 1000
OPS = 1000

# No tick but those that are asked for, and no fold: a measurement should not hold the work of another one.
QUIET = {"sync_interval_ms": 24 * 60 * 60 * 1000}

MICROSECOND, MILLISECOND, SECOND = 1e3, 1e6, 1e9


class Child:
    """A process that answers each line with a line."""

    def __init__(self, *command):
        self.command = command
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.command[0]} ended with status {self.process.wait()}")
        return line

    def ask(self, question):
        self.process.stdin.write(question + "\n")
        self.process.stdin.flush()
        return self.answer()

    def do(self, *words):
        return json.loads(self.ask(" ".join(str(word) for word in words)))

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        if failure[0]:
            self.process.kill()
        self.process.stdin.close()
        self.process.stdout.close()
        status = self.process.wait()
        if status and not failure[0]:
            raise RuntimeError(f"{self.command[0]} ended with status {status}")


class GoReplica(Child):
    """The same from Go (benches/go)."""

    def __init__(self, programs, config):
        super().__init__(os.path.join(programs, "go"), json.dumps(config))
        self.answer()


class Peer(Child):
    """SQLite or Redis (benches/peers)."""

    def __init__(self, programs, *arguments):
        super().__init__(os.path.join(programs, "peers"), *(str(one) for one in arguments))
        self.answer()


@contextlib.contextmanager
def redis():
    """The address of a Redis that keeps every write before it answers; nothing where there is no Redis."""
    here = os.path.dirname(os.path.abspath(__file__))
    script = os.path.join(os.path.dirname(here), "peers", "redis.sh")
    if subprocess.run([script, "--version"], stdout=subprocess.DEVNULL).returncode:
        yield None
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    directory = tempfile.mkdtemp(prefix="opjournal-bench-")
    leash = os.path.join(ROOT, "tests", "servers", "leash.sh")
    # No snapshots: what is measured is the log, kept at every write.
    options = ["--bind", "127.0.0.1", "--port", str(port), "--dir", directory, "--save", "", "--appendonly", "yes", "--appendfsync", "always"]
    server = subprocess.Popen([leash, directory, script, *options], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                if server.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("Redis does not start") from None
                time.sleep(0.05)
        yield f"127.0.0.1:{port}"
    finally:
        server.stdin.close()
        server.wait()


class Replica(Child):
    def __init__(self, programs, config):
        super().__init__(os.path.join(programs, "replica"), json.dumps(config))
        self.answer()

    def requests(self):
        return self.do("stats")["requests"]


class Table:
    def __init__(self):
        self.rows = []

    def at_most(self, name, value, unit, bar):
        self.add(name, value, unit, bar, value <= bar, "at most")

    def at_least(self, name, value, unit, bar):
        self.add(name, value, unit, bar, value >= bar, "at least")

    def add(self, name, value, unit, bar, is_ok, sense):
        bar_text = f"{sense} {number(bar)}{unit}"
        ratio = f"{value / bar:.2f}" if bar else ""
        self.rows.append((name, number(value) + unit, bar_text, ratio, "ok" if is_ok else "OVER"))
        self.show()

    def told(self, name, value, unit):
        """A figure without a bar."""
        self.rows.append((name, number(value) + unit, "", "", ""))
        self.show()

    def show(self):
        name, value, bar, ratio, verdict = self.rows[-1]
        print(f"  {name}: {value} {f'({bar}: {verdict})' if bar else ''}".rstrip(), file=sys.stderr, flush=True)

    def over(self):
        return sum(row[4] == "OVER" for row in self.rows)

    def text(self):
        rows = [("figure", "measured", "bar", "measured / bar", ""), *self.rows]
        widths = [max(len(row[column]) for row in rows) for column in range(5)]
        lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |" for row in rows]
        lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
        return "\n".join(lines) + "\n"


def number(value):
    if float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def median(values):
    return statistics.median(values)


def phase(name):
    print(f"{name} ...", file=sys.stderr, flush=True)


class Bench:
    def __init__(self, programs, entries, directory, effort):
        self.programs = programs
        self.store = os.path.join(programs, "store")
        self.entries = entries
        self.more = 5 * entries
        self.effort = effort
        self.table = Table()
        self.file = {"store": f"file://{directory}", **QUIET}
        self.s3 = {
            "store": f"s3://{os.environ['OPJOURNAL_TEST_BUCKET']}/bench",
            "endpoint": os.environ["OPJOURNAL_TEST_ENDPOINT"],
            "force_path_style": True,
            **QUIET,
        }

    def rounds(self, count):
        return max(2, round(count * self.effort))

    def replica(self, config):
        return Replica(self.programs, config)

    def run(self):
        self.fill()
        self.starts()
        self.peers()
        self.file_store()
        self.object_store()
        self.many_namespaces()
        self.go()

    def fill(self):
        phase(f"writing rollups of {self.entries:,} and {self.more:,} entries")
        for config, namespace, entries in [
            (self.file, "base", self.entries),
            (self.file, "more", self.more),
            (self.s3, "base", self.entries),
        ]:
            size = subprocess.run(
                [self.store, "rollup", json.dumps(config), namespace, MAP, str(entries)], check=True, stdout=subprocess.PIPE, text=True
            ).stdout
            print(f"  {config['store'].split(':')[0]}: {namespace}, {int(size) / 1e6:,.0f} MB", file=sys.stderr)

    def starts(self):
        """Cold starts, each in a process of its own."""
        for name, config in [("S3", self.s3), ("directory", self.file)]:
            phase(f"cold starts, {name}")
            walls, work, memory, peaks = [], [], [], []
            for _ in range(self.rounds(5)):
                with self.replica(config) as replica:
                    before = replica.do("memory")["resident"]
                    opened = replica.do("open", "base")
                    replica.do("flush", "base", 1)
                    after = replica.do("memory")
                    walls.append(opened["wall"])
                    work.append(opened["cpu"])
                    memory.append((after["resident"] - before) / self.entries)
                    peaks.append((after["peak"] - before) / self.entries)
            self.table.at_most(f"cold start, {name}", median(walls) / SECOND, " s", 0.6)
            self.table.told(f"cold start, {name}: CPU", median(work) / SECOND, " s")
            self.table.at_most(f"memory of an entry, {name}", median(memory), " B", 130)
            self.table.told(f"memory of an entry, {name}: peak", median(peaks), " B")

    def peers(self):
        """Reads and lone writes beside those of SQLite and Redis, in turns. Writes go to the directory, which keeps them as those do."""
        phase("SQLite")
        with tempfile.TemporaryDirectory(prefix="opjournal-bench-") as directory:
            with self.replica(self.file) as replica, Peer(self.programs, "sqlite", directory, self.entries) as peer:
                self.beside(replica, peer, "SQLite", 0.2)
        phase("Redis")
        with redis() as address:
            if not address:
                print("  left out: there is no Redis", file=sys.stderr)
                return
            with self.replica(self.file) as replica, Peer(self.programs, "redis", address, self.entries) as peer:
                self.beside(replica, peer, "Redis", 0.05)
                rates = [peer.do("callers", CALLERS, 1000) for _ in range(self.rounds(3))]
                self.table.told(f"Redis, {CALLERS} callers: ops a second", median([one["ops"] / one["wall"] * SECOND for one in rates]), "")

    def beside(self, replica, peer, name, bar):
        # Not where ticks are measured: nothing folds here, and each write is a file for a LIST to show.
        for namespace in ("base", "writes"):
            replica.do("open", namespace)
        gets, others, writes, puts = [], [], [], []
        for _ in range(6):
            gets.append(replica.do("get", "base", self.entries, int(200_000 * self.effort) + 1, 1)["wall"])
            others.append(peer.do("get", int(40_000 * self.effort) + 1, 1)["wall"])
        for _ in range(self.rounds(20)):
            writes += replica.do("apply", "writes", self.entries, 10, 1)["walls"]
            puts += peer.do("put", 10)["walls"]
        # The first round brings what is read into the caches of the machine.
        self.table.at_most(f"MapGet, random, to a get of {name}", median(gets[1:]) / median(others[1:]), " x", bar)
        self.table.told(f"{name}: a get", median(others[1:]) / MICROSECOND, " us")
        self.table.told(f"a durable write alone, directory, to {name}", median(writes) / median(puts), " x")
        self.table.told(f"{name}: a durable write", median(puts) / MICROSECOND, " us")

    def file_store(self):
        """Reads and ticks on a directory, so that no HTTP client is measured."""
        with self.replica(self.file) as reader, self.replica(self.file) as writer:
            for replica in (reader, writer):
                for namespace in ("base", "more"):
                    replica.do("open", namespace)
            phase("queries")
            self.gets(reader, "")
            phase(f"ticks with {OPS:,} new ops, directory")
            base, more = [], []
            for _ in range(self.rounds(16)):
                base.append(self.tick(reader, writer, "base", self.entries, 1, OPS))
                more.append(self.tick(reader, writer, "more", self.more, 1, OPS))
            self.table.at_most(f"tick with {OPS:,} new ops: CPU", median(base) / MILLISECOND, " ms", 5)
            self.table.at_most(f"the same with {self.more:,} entries, to that", median(more) / median(base), " x", 1.3)
            quiet = reader.do("flush", "base", self.rounds(40))
            self.table.told("quiet tick, directory: CPU", median(quiet["cpus"]) / MICROSECOND, " us")
            quiet = reader.do("flush", "more", self.rounds(40))
            self.table.told(f"the same with {self.more:,} entries", median(quiet["cpus"]) / MICROSECOND, " us")
            # About as many changes as are folded before the library makes a new base of them.
            phase("queries above changes")
            self.gets(reader, f", {len(base) * OPS:,} changed")
            phase("ticks with many segments, directory")
            many = [self.tick(reader, writer, "base", self.entries, 10, OPS // 10) for _ in range(self.rounds(8))]
            self.table.told("tick with 10 new segments of 100 ops: CPU", median(many) / MILLISECOND, " ms")
            # A long tail.
            phase("queries and ticks above many changes, directory")
            changes = self.entries // 10
            done = (len(base) + len(many)) * OPS
            writer.do("apply", "base", self.entries, max(1, (changes - done) // OPS), OPS)
            reader.do("flush", "base", 1)
            self.gets(reader, f", {changes:,} changed", is_judged=False)
            changed = [self.tick(reader, writer, "base", self.entries, 1, OPS) for _ in range(self.rounds(12))]
            self.table.told(f"tick with {OPS:,} new ops, {changes:,} changed: CPU", median(changed) / MILLISECOND, " ms")

    def gets(self, reader, suffix, is_judged=True):
        for stride, name, count in [(1, "MapGet, random", 400_000), (0, "MapGet, hot", 1_000_000)]:
            # The first round brings the index into the caches of the machine. A query waits for nothing, so its time is CPU time: that of
            # the clock on the wall also holds what else the machine does.
            rounds = [reader.do("get", "base", self.entries, int(count * self.effort) + 1, stride)["cpu"] for _ in range(6)]
            value = median(rounds[1:]) / MICROSECOND
            if is_judged:
                self.table.at_most(name + suffix, value, " us", 1)
            else:
                self.table.told(name + suffix, value, " us")

    def tick(self, reader, writer, namespace, entries, batches, ops):
        """The CPU time of a tick that brings new ops of another replica."""
        writer.do("apply", namespace, entries, batches, ops)
        return reader.do("flush", namespace, 1)["cpus"][0]

    def object_store(self):
        """Everything that is measured with S3."""
        with self.replica(self.s3) as reader, self.replica(self.s3) as writer:
            reader.do("open", "base")
            writer.do("open", "base")
            phase(f"ticks with {OPS:,} new ops, S3")
            ticks = [self.tick(reader, writer, "base", self.entries, 1, OPS) for _ in range(self.rounds(24))]
            self.table.at_most(f"tick with {OPS:,} new ops, S3: CPU", median(ticks) / MILLISECOND, " ms", 5)
            phase("quiet ticks, S3")
            self.quiet_ticks(reader)
            phase("writes alone, S3")
            self.lone_writes(writer)
            phase(f"{CALLERS} callers, S3")
            self.many_callers(writer)

    def quiet_ticks(self, reader):
        # The first tick after a change may still look at the rollup.
        reader.do("flush", "base", 1)
        before, replayed = reader.requests(), self.tick_count(reader)
        walls, cpus, bare_walls, bare_cpus = [], [], [], []
        with Child(self.store, "lists", json.dumps(self.s3), ".metadata/base/") as bare:
            bare.ask("5")
            bare.answer()
            # In turns, so that both meet the same moods of the machine.
            for _ in range(self.rounds(10)):
                ticks = reader.do("flush", "base", 10)
                walls += ticks["walls"]
                cpus += ticks["cpus"]
                bare_walls += [int(one) for one in bare.ask("10").split()]
                bare_cpus += [int(one) for one in bare.answer().split()]
        after, count = reader.requests(), self.tick_count(reader) - replayed
        assert count == len(walls), "a Flush is a tick"
        difference = {kind: (after[kind] - before[kind]) / count for kind in before}
        others = sum(difference[kind] for kind in ("get", "put", "delete"))
        self.table.at_most("quiet tick: LIST requests", difference["list"], "", 1)
        self.table.at_most("quiet tick: other requests", others, "", 0)
        self.table.at_most("quiet tick, S3: CPU", median(cpus) / MICROSECOND, " us", 500)
        self.table.told("a bare LIST: CPU", median(bare_cpus) / MICROSECOND, " us")
        self.table.at_most("a Flush where nothing is new, to a bare LIST", median(walls) / median(bare_walls), " x", 1.2)
        self.table.told("a bare LIST", median(bare_walls) / MILLISECOND, " ms")
        before = self.tick_count(reader)
        reader.do("flushes", "base", 64)
        self.table.at_most("64 Flushes at once: ticks", self.tick_count(reader) - before, "", 2)

    def tick_count(self, replica):
        return replica.do("stats")["namespaces"]["base"]["ticks"]

    def lone_writes(self, writer):
        # The first write proves the store, and tells how large a segment of one op is.
        writer.do("apply", "base", self.entries, 20, 1)
        before = writer.requests()["bytes_written"]
        writer.do("apply", "base", self.entries, 20, 1)
        size = (writer.requests()["bytes_written"] - before) // 20
        # Each in turn, so that all meet the same moods of the machine.
        took = {"write": [], "put": [], "alone": []}
        bare = ("puts", json.dumps(self.s3))
        with Child(self.store, *bare, "bare", str(size)) as put, Child(self.store, "alone", *bare, "alone", str(size)) as alone:
            programs = {"put": put, "alone": alone}
            for program in programs.values():
                program.ask("20")
            for turn in range(self.rounds(300)):
                for kind in list(took)[turn % 3 :] + list(took)[: turn % 3]:
                    if kind == "write":
                        took[kind] += writer.do("apply", "base", self.entries, 1, 1)["walls"]
                    else:
                        took[kind] += [int(one) for one in programs[kind].ask("1").split()]
        write, put, alone = (median(took[kind]) for kind in took)
        self.table.at_most("a write alone, to a bare PUT", write / put, " x", 1.1)
        self.table.told("the same, to one by a single thread", write / alone, " x")
        self.table.told("a bare PUT", put / MILLISECOND, " ms")

    def many_callers(self, writer):
        one, many, work, segments = [], [], [], []
        for _ in range(self.rounds(4)):
            for rates, callers in ((one, 1), (many, CALLERS)):
                before = writer.do("stats")["namespaces"]["base"]["segments"]
                done = writer.do("callers", "base", self.entries, callers, int(2500 * min(1, self.effort)))
                rates.append(done["ops"] / done["wall"] * SECOND)
                if callers > 1:
                    work.append(done["cpu"] / done["ops"])
                    segments.append(done["ops"] / (writer.do("stats")["namespaces"]["base"]["segments"] - before))
        self.table.at_least(f"{CALLERS} callers, to one", median(many) / median(one), " x", 60)
        self.table.told(f"{CALLERS} callers: ops a second", median(many), "")
        self.table.told(f"{CALLERS} callers: ops in a segment", median(segments), "")
        self.table.told(f"{CALLERS} callers: CPU of an op", median(work) / MICROSECOND, " us")

    def many_namespaces(self):
        """What a process with many quiet namespaces asks and takes, by a tick of all of them."""
        phase(f"{NAMESPACES:,} namespaces, S3")
        config = {**self.s3, "store": self.s3["store"] + "-many", "sync_interval_ms": 1000}
        subprocess.run([self.store, "rollups", json.dumps(config), "ns", str(NAMESPACES)], check=True)
        with self.replica(config) as replica:
            before = replica.do("memory")["resident"]
            replica.do("opens", "ns", NAMESPACES)
            # The phases of ticks spread at first, and then follow the LIST that all share.
            replica.do("idle", 3000)
            took = replica.do("memory")["resident"] - before

            def count():
                stats = replica.do("stats")
                return stats["requests"], sum(namespace["ticks"] for namespace in stats["namespaces"].values()) / NAMESPACES

            (asked, ticks), idle, (asked_now, ticks_now) = count(), replica.do("idle", self.rounds(10) * 1000), count()
        ticks = ticks_now - ticks
        asked = {kind: (asked_now[kind] - asked[kind]) / ticks for kind in asked}
        name = f"{NAMESPACES:,} quiet namespaces"
        self.table.at_most(f"{name}: LISTs a tick", asked["list"], "", 1 + NAMESPACES / 1000)
        self.table.at_most(f"{name}: other requests", sum(asked[kind] for kind in ("get", "put", "delete")), "", 0)
        self.table.at_most(f"{name}: memory of each", took / NAMESPACES / 1000, " KB", 20)
        # Of one core, at the interval that is the default.
        self.table.at_most(f"{name}: CPU at ticks of 15 s", idle["cpu"] / ticks / (15 * SECOND) * 100, " %", 1)

    def go(self):
        phase("Go")
        with GoReplica(self.programs, self.file) as replica:
            replica.do("open", "base")
            own, peer = [], []
            for _ in range(6):
                own.append(replica.do("get", "base", self.entries, int(400_000 * self.effort) + 1, 0))
                peer.append(replica.do("map", self.entries, int(400_000 * self.effort) + 1, 0))
            own_get, peer_get = (median([one["wall"] for one in kind[1:]]) for kind in (own, peer))
            self.table.at_most("Go: Get of a typed view, hot", own_get, " ns", 600)
            # What the measuring itself allocates, a few times in all, is not the Get's.
            self.table.at_most("Go: allocations of a Get", round(median([one["allocations"] for one in own]), 2), "", 1)
            self.table.told("Go: a Get, to one of a map of JSON behind a mutex", own_get / peer_get, " x")
        with GoReplica(self.programs, self.s3) as replica:
            replica.do("open", "go")
            for callers in (CALLERS, MANY_CALLERS):
                done = [replica.do("callers", "go", self.entries, callers, int(2500 * min(1, self.effort))) for _ in range(self.rounds(3))]
                self.table.told(f"Go, {callers:,} callers: ops a second", median([one["ops"] / one["wall"] * SECOND for one in done]), "")
                self.table.told(f"Go, {callers:,} callers: CPU of an op", median([one["cpu"] / one["ops"] for one in done]) / MICROSECOND, " us")
        with GoReplica(self.programs, {**self.s3, "commit_interval_ms": 5000}) as replica:
            replica.do("open", "go")
            waiting = replica.do("waiting", "go", self.entries, WAITING)
            self.table.at_most(f"Go, {WAITING:,} calls that wait: threads", waiting["threads"], "", 20)
            self.table.at_most(f"Go, {WAITING:,} calls that wait: memory", waiting["resident"] / 1e6, " MB", 60)


def machine():
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as cpus:
        name = next((line.split(":", 1)[1].strip() for line in cpus if line.startswith("model name")), name)
    return f"{os.cpu_count()} x {name}, {platform.system()} {platform.release()}"


def record(table, entries):
    """Puts the table into the document."""
    with open(DOCUMENT) as file:
        before, rest = file.read().split(TABLE_BEGINS)
        after = rest.split(TABLE_ENDS)[1]
    with open(DOCUMENT, "w") as file:
        file.write(f"{before}{TABLE_BEGINS}{table}{TABLE_ENDS}{after}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", default=os.path.join(ROOT, "build", "bench"), help="where `replica` and `store` are")
    parser.add_argument("--entries", type=int, default=1_000_000, help="entries of the map")
    parser.add_argument("--effort", type=float, default=1.0, help="how much is measured; below 1 the figures are rough")
    parser.add_argument("--record", action="store_true", help="put the table into docs/performance.md")
    options = parser.parse_args()
    begun, load = time.monotonic(), os.getloadavg()
    directory = tempfile.mkdtemp(prefix="opjournal-bench-")
    try:
        bench = Bench(options.programs, options.entries, directory, options.effort)
        bench.run()
    finally:
        shutil.rmtree(directory)
    table = bench.table.text()
    took = f"{time.monotonic() - begun:.0f} s, load {load[0]:.1f} before and {os.getloadavg()[0]:.1f} after"
    print(f"\n{machine()}, {datetime.date.today()}, {options.entries:,} entries, {took}\n\n{table}")
    over = bench.table.over()
    print(f"{over} over the bar" if over else "all within their bars")
    if options.record:
        record(table, options.entries)


if __name__ == "__main__":
    main()
