"""What all figures are measured with: the programs, the two stores, and how much is measured."""

import json
import os
import statistics
import subprocess
import sys

from harness.children import Child, Puts, Replica, Worker
from harness.table import Table

NAME = "objects"
CALLERS = 256
OPS = 1000

# No tick but those that are asked for, and no fold: a measurement should not hold the work of another one.
QUIET = {"sync_interval_ms": 24 * 60 * 60 * 1000}

MICROSECOND, MILLISECOND, SECOND = 1e3, 1e6, 1e9


def median(values):
    return statistics.median(values)


def phase(name):
    tell(f"{name} ...")


def tell(text):
    print(text, file=sys.stderr, flush=True)


class Bench:
    def __init__(self, programs, library, entries, directory, effort):
        self.programs = programs
        self.library = library
        self.entries = entries
        self.more = 5 * entries
        self.effort = effort
        self.table = Table()
        # Of the namespace "base".
        self.rollup_bytes = 0
        self.file = {"store": f"file://{directory}", **QUIET}
        self.s3 = {
            "store": f"s3://{os.environ['OPJOURNAL_TEST_BUCKET']}/bench",
            "endpoint": os.environ["OPJOURNAL_TEST_ENDPOINT"],
            "force_path_style": True,
            **QUIET,
        }

    def rounds(self, count, least=2):
        return max(least, round(count * self.effort))

    def program(self, name):
        return os.path.join(self.programs, name)

    def replica(self, config, program="replica"):
        return Replica(self.program(program), json.dumps(config))

    def go_replica(self, config):
        return Replica(self.program("go"), json.dumps(config))

    def peer(self, *arguments):
        """SQLite or Redis (benches/peers)."""
        return Worker(self.program("peers"), *arguments)

    def requests(self, *arguments):
        """Bare requests, with the client that a journal uses."""
        return Child(self.program("store"), *arguments)

    def puts(self, prefix, size, *how):
        """Bare PUTs of bodies of this size, by the same client."""
        return Puts(self.program("store"), *how, "puts", json.dumps(self.s3), prefix, size)

    def put(self, *arguments):
        """Puts rollups into the store; what it prints."""
        return subprocess.run([self.program("store"), *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout

    def fill(self):
        phase(f"writing rollups of {self.entries:,} and {self.more:,} entries")
        for config, shape, namespace, entries in [
            (self.file, "map", "base", self.entries),
            (self.file, "map", "more", self.more),
            (self.file, "map", "folds", self.entries),
            (self.file, "list", "list", self.entries),
            (self.file, "list", "short-list", self.entries // 100),
            (self.s3, "map", "base", self.entries),
            (self.s3, "map", "folds", self.entries),
        ]:
            size = int(self.put("rollup", json.dumps(config), namespace, shape, NAME, str(entries)))
            tell(f"  {config['store'].split(':')[0]}: {namespace}, {size / 1e6:,.1f} MB")
            if namespace == "base":
                self.rollup_bytes = size
