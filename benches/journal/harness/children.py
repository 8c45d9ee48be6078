"""Processes that answer each line with a line."""

import json
import subprocess


class Child:
    """A process that answers each line with a line."""

    def __init__(self, *command):
        self.command = [str(one) for one in command]
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.command[0]} ended with status {self.process.wait()}")
        return line

    def begin(self, *words):
        """Asks for what is answered later."""
        self.process.stdin.write(" ".join(str(word) for word in words) + "\n")
        self.process.stdin.flush()

    def received(self):
        """What is answered to what was begun."""
        return json.loads(self.answer())

    def ask(self, *words):
        self.begin(*words)
        return self.answer()

    def do(self, *words):
        self.begin(*words)
        return self.received()

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


class Worker(Child):
    """A child that says when it is ready."""

    def __init__(self, *command):
        super().__init__(*command)
        self.answer()


class Puts(Child):
    """Bare PUTs, one after the other."""

    def put(self, count):
        """What each took, and the CPU time of one, in nanoseconds."""
        walls = [int(one) for one in self.ask(count).split()]
        return walls, int(self.answer()) / count


class Replica(Worker):
    """benches/journal/replica.c, and benches/go, which understands some of the same commands."""

    def requests(self):
        return self.do("stats")["requests"]

    def namespace(self, name):
        """The figures of a namespace."""
        return self.do("stats")["namespaces"][name]
