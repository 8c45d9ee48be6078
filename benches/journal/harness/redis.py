"""A Redis server for the time of a measurement."""

import contextlib
import os
import socket
import subprocess
import tempfile
import time

from harness.document import ROOT


@contextlib.contextmanager
def redis():
    """The address of a Redis that keeps every write before it answers; nothing where there is no Redis."""
    script = os.path.join(ROOT, "benches", "peers", "redis.sh")
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
