"""A MinIO that tests in Python start, kill and start again. minio.sh is for a command that needs no more than to find one running."""

import ctypes
import glob
import http.client
import os
import random
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "scripts"))
from project import CACHE  # noqa: E402

PR_SET_PDEATHSIG = 1
# Loaded here: between fork and exec as little as possible should happen.
PRCTL = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


def die_with_parent():
    if PRCTL:
        PRCTL(PR_SET_PDEATHSIG, signal.SIGKILL)


def free_port():
    """A port that nobody listens on, below those that the system gives to outgoing connections: one of these may take it while a server that is
    to have it again is away."""
    while True:
        port = random.SystemRandom().randrange(20000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def find_minio():
    found = sorted(glob.glob(os.path.join(CACHE, "servers", "minio-*", "minio")))
    if not found:
        sys.exit("MinIO is not installed: run tests/servers/install.sh minio")
    return found[-1]


class Server:
    """MinIO on a directory. Killed and started again it has the same port."""

    BUCKET = "opjournal"
    USER, PASSWORD = "opjournal", "opjournal-secret"

    def __init__(self, program, directory):
        self.program = program
        self.directory = os.path.join(directory, "server")
        self.log = os.path.join(directory, "server.log")
        # A directory of the server's is a bucket.
        os.makedirs(os.path.join(self.directory, self.BUCKET))
        self.port = free_port()
        self.process = None
        self.start()
        self.wait()

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [self.program, "server", "--quiet", "--address", f"127.0.0.1:{self.port}", self.directory],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={
                    "PATH": os.environ["PATH"],
                    "HOME": self.directory,
                    "MINIO_ROOT_USER": self.USER,
                    "MINIO_ROOT_PASSWORD": self.PASSWORD,
                    "MINIO_BROWSER": "off",
                    "MINIO_UPDATE": "off",
                },
                start_new_session=True,
                preexec_fn=die_with_parent,
            )

    def wait(self, seconds=60):
        """Until it can serve."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.process.poll() is None:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            try:
                connection.request("GET", "/minio/health/cluster")
                if connection.getresponse().status == 200:
                    return
            except OSError:
                pass
            finally:
                connection.close()
            time.sleep(0.05)
        with open(self.log, errors="replace") as log:
            raise RuntimeError(f"MinIO does not start: {log.read()[-2000:]}")

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def is_gone(self):
        return False  # It may be started again.

    def config(self, address, root):
        return {
            "store": f"s3://{self.BUCKET}/{root}",
            "endpoint": f"http://{address}",
            "force_path_style": True,
            "region": "us-east-1",
            "access_key_id": self.USER,
            "secret_access_key": self.PASSWORD,
        }
