"""The processes of a soak: workers, and the proxy before the S3 server. None outlives the driver, however that ends: each ends with its
standard input, and where the system can do that, the kernel kills it with its parent."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "servers"))
from minio import die_with_parent  # noqa: E402


class Silent(Exception):
    """A process did not answer in time, or is gone."""


class Child:
    """A process that is told lines and answers with lines. Its errors go to a file."""

    def __init__(self, command, errors, environment=None):
        self.command = command
        self.errors = errors
        self.answers = queue.Queue()
        with open(errors, "ab") as file:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
                env=environment,
                # An interrupt at the terminal is for the driver.
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        with self.process.stdout:
            for line in self.process.stdout:
                self.answers.put(line.rstrip("\n"))
        self.answers.put(None)

    def tell(self, line):
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except (BrokenPipeError, ValueError):
            pass  # It is gone; its answer will not come.

    def answer(self, seconds):
        try:
            line = self.answers.get(timeout=max(0.0, seconds))
        except queue.Empty:
            raise Silent(f"{self.command[0]} did not answer within {seconds:.0f} s") from None
        if line is None:
            raise Silent(f"{self.command[0]} ended with status {self.process.wait()}: {self.last_words()}")
        return line

    def ask(self, line, seconds):
        self.tell(line)
        return self.answer(seconds)

    def last_words(self):
        with open(self.errors, errors="replace") as file:
            return file.read()[-2000:]

    def is_gone(self):
        return self.process.poll() is not None

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()

    def signal(self, number):
        self.process.send_signal(number)


class Worker(Child):
    """A process of the library's users."""

    def __init__(self, programs, language, work, name, namespace, config, journals, lanes, seed):
        self.name = name
        self.language = language
        command = [os.path.join(programs, f"worker-{language}"), "-config", json.dumps(config), "-ns", namespace, "-writer", name]
        self.ledger = os.path.join(work, f"{name}.ledger")
        command += ["-ledger", self.ledger, "-journals", str(journals), "-lanes", str(lanes), "-seed", str(seed)]
        super().__init__(command, os.path.join(work, f"{name}.errors"))
        self.is_ready = False
        # When a stopped process goes on; 0 where it is not stopped.
        self.resumes = 0

    def ready(self, seconds):
        if not self.is_ready:
            self.told("ready", seconds)
            self.is_ready = True

    def told(self, word, seconds):
        """The answer that begins with a word. One before it belongs to what was asked earlier, and came too late to be waited for."""
        end = time.monotonic() + seconds
        while True:
            answer = self.answer(end - time.monotonic())
            if answer.startswith(word):
                return answer

    def has_written(self):
        with open(self.ledger) as file:
            return any(line.startswith("acknowledged ") for line in file)

    def freeze(self, until):
        self.resumes = until
        self.signal(signal.SIGSTOP)

    def thaw(self):
        self.resumes = 0
        self.signal(signal.SIGCONT)


class Proxy(Child):
    """The network before the server. `rates` is fault -> share of requests."""

    def __init__(self, programs, work, port, rates, late_by, seed):
        command = [os.path.join(programs, "proxy"), "-to", f"127.0.0.1:{port}", "-seed", str(seed), "-late-by", f"{late_by}s"]
        command += [f"-{fault}={rate}" for fault, rate in rates.items()]
        super().__init__(command, os.path.join(work, "proxy.errors"))
        self.address = self.answer(10).split()[1]

    def switch(self, word):
        self.ask(word, 10)

    def counts(self):
        return json.loads(self.ask("counts", 10))
