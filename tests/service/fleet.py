"""Replicas of examples/go-service on a MinIO of their own, and a client of theirs. Everything ends with this process, however that ends."""

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.parse

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "servers"))
from minio import Server, die_with_parent, find_minio, free_port  # noqa: E402
from checks import Failed  # noqa: E402  minio says where it is

PROGRAM = os.path.join(ROOT, "build", "service", "go-service")
# For what happens at once where all is well: longer only on a machine that is very busy, or where something hangs.
PATIENCE = 60

APPLIED, NONE, UNKNOWN = "applied", "none", "unknown"


def until(what, condition, seconds=PATIENCE):
    """Asks until the condition is true, and gives what it gave."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed(f"not within {seconds} s: {what}")
        time.sleep(0.02)


class Answer:
    """What came back. `outcome` tells of a write whether it took effect; without an answer the client has to think of that itself."""

    def __init__(self, status, headers, body, outcome=None):
        self.status = status
        self.headers = headers
        self.body = body
        if outcome is None:
            # /readyz says no without a problem.
            outcome = APPLIED if status < 400 else self.json().get("error", {}).get("outcome", NONE)
        self.outcome = outcome

    def json(self):
        return json.loads(self.body)


def ask(port, method, path, body=None, headers=None, seconds=PATIENCE):
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        try:
            connection.connect()
        except OSError as why:
            return Answer(0, {}, str(why).encode(), NONE)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        except (OSError, http.client.HTTPException) as why:
            return Answer(0, {}, str(why).encode(), UNKNOWN)
    finally:
        connection.close()


class Replica:
    """A process of the service. Started again it has the same port."""

    def __init__(self, name, port, directory, arguments, environment):
        self.name = name
        self.port = port
        self.log = os.path.join(directory, f"{name}.log")
        self.command = [PROGRAM, "-name", name, "-listen", f"127.0.0.1:{port}", *arguments]
        self.environment = environment
        self.process = None

    def start(self):
        """To be called by the main thread: where a thread that starts a process ends, the kernel takes that for the end of the parent."""
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment, start_new_session=True, preexec_fn=die_with_parent
            )

    def ask(self, method, path, body=None, headers=None, seconds=PATIENCE):
        return ask(self.port, method, path, body, headers, seconds)

    def get(self, path):
        answer = self.ask("GET", path)
        if answer.status != 200:
            raise Failed(f"{self.name}: GET {path}: {answer.status} {answer.body!r}")
        return answer.json()

    def readiness(self):
        """The status of /readyz and what it says; 0 where nobody answers."""
        answer = self.ask("GET", "/readyz")
        return answer.status, answer.json() if answer.status else {}

    def is_ready(self):
        if self.process.poll() is not None:
            raise Failed(f"{self.name} ended with {self.process.returncode}: {self.last_words()}")
        return self.readiness()[0] == 200

    def is_gone(self):
        return self.process.poll() is not None

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def last_words(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return log.read()[-2000:]

    def messages(self):
        """What it logged, each an object; lines that are none are the Go runtime's."""
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return [json.loads(line) for line in log if line.startswith("{")]


class Fleet:
    """A server and replicas that know each other. A `with` block: all of it is gone afterwards."""

    def __init__(self, names=("a", "b", "c"), arguments=(), ports=None):
        self.directory = tempfile.mkdtemp(prefix="opjournal-service-")
        self.server = None
        self.replicas = []
        try:
            self.server = Server(find_minio(), self.directory)
            ports = ports or [free_port() for _ in names]
            environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SERVICE_"))}
            environment.update(AWS_ACCESS_KEY_ID=Server.USER, AWS_SECRET_ACCESS_KEY=Server.PASSWORD, AWS_REGION="us-east-1")
            self.environment = environment
            self.settings = ["-store", f"s3://{Server.BUCKET}/service", "-s3-endpoint", f"http://127.0.0.1:{self.server.port}"]
            known = ["-replicas", ",".join(f"http://127.0.0.1:{port}" for port in ports)]
            for name, port in zip(names, ports):
                self.replicas.append(Replica(name, port, self.directory, [*self.settings, *known, *arguments], environment))
            for replica in self.replicas:
                replica.start()
            self.wait()
        except BaseException:
            self.end()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        for replica in self.replicas:
            replica.kill()
        if self.server:
            self.server.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def stop(self):
        """As whoever runs the service would. Gives the replicas that did not end well."""
        for replica in self.replicas:
            replica.signal(signal.SIGTERM)
        return [replica.name for replica in self.replicas if replica.process.wait(PATIENCE) != 0]

    def wait(self):
        for replica in self.replicas:
            until(f"{replica.name} is ready", replica.is_ready)

    def digests(self):
        return {replica.get("/status?fresh")["digest"] for replica in self.replicas}


def quoted(name):
    return urllib.parse.quote(name, safe="")
