"""What all figures are measured with: the programs, the two stores, and how much is measured."""

import json
import os
import statistics
import subprocess
import sys

from harness.children import Child, Replica, Worker
from harness.table import Table

MAP = "objects"
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
    def __init__(self, programs, entries, directory, effort):
        self.programs = programs
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

    def program(self, name):
        return os.path.join(self.programs, name)

    def replica(self, config):
        return Replica(self.program("replica"), json.dumps(config))

    def go_replica(self, config):
        return Replica(self.program("go"), json.dumps(config))

    def peer(self, *arguments):
        """SQLite or Redis (benches/peers)."""
        return Worker(self.program("peers"), *arguments)

    def requests(self, *arguments):
        """Bare requests, with the client that a journal uses."""
        return Child(self.program("store"), *arguments)

    def put(self, *arguments):
        """Puts rollups into the store; what it prints."""
        return subprocess.run([self.program("store"), *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout
