"""Clients that write to a fleet all the time, and what must be true afterwards of what they were told."""

import collections
import json
import random
import threading
import time

from fleet import APPLIED, NONE, UNKNOWN, PATIENCE, quoted
from checks import Failed, expect  # fleet, by way of the server, says where it is

FILES = ["archive.tar.gz", "image.iso", "päckchen/ü.zip"]
FLAGS = ["dark-mode", "new-checkout"]
# Counted by requests that are repeated until somebody says that it is done.
REPEATED = "repeated.tar.gz"


class Load:
    """Threads that send requests, to replicas that say they are ready, as a load balancer would. Each is a client that knows what it was told."""

    def __init__(self, fleet, clients, seed):
        self.fleet = fleet
        self.clients = clients
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        # What was told of plain counts: (file, outcome) -> how many.
        self.counts = collections.Counter()
        # Value that a flag was set to -> (flag, outcome). Each value is there once.
        self.changes = {}
        self.keys, self.events = set(), set()
        # (replica, outcome) -> how many requests.
        self.told = collections.Counter()
        # Replica -> requests that it has not answered yet.
        self.waiting = collections.Counter()
        self.failures = []
        self.ready = set(fleet.replicas)
        self.threads = [threading.Thread(target=self.watch, daemon=True)]
        self.threads += [threading.Thread(target=self.write, args=(random.Random(f"{seed} {number}"), number), daemon=True) for number in range(clients)]
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(PATIENCE)
            if thread.is_alive():
                raise Failed("a client waits for an answer for ever")
        if self.failures:
            raise Failed(self.failures[0])

    def applied(self):
        with self.lock:
            return sum(count for (_, outcome), count in self.told.items() if outcome == APPLIED)

    def is_waiting_for(self, replica):
        """Whether nobody gets an answer, and somebody would like one of this replica."""
        with self.lock:
            return self.waiting[replica] > 0 and self.waiting.total() == self.clients

    def watch(self):
        """Which replicas want requests."""
        while not self.stopping.is_set():
            for replica in self.fleet.replicas:
                is_ready = replica.readiness()[0] == 200
                with self.lock:
                    (self.ready.add if is_ready else self.ready.discard)(replica)
            time.sleep(0.02)

    def write(self, dice, number):
        turn = 0
        try:
            while not self.stopping.is_set():
                turn += 1
                dice.choice([self.count, self.count_once, self.report, self.change])(dice, f"{number}-{turn}")
        except Exception as why:  # A thread's error must reach the test.
            self.failures.append(f"client {number}: {why!r}")

    def send(self, dice, method, path, body=None, headers=None):
        """The outcome, of one replica that is ready."""
        with self.lock:
            ready = sorted(self.ready, key=lambda replica: replica.name)
        if not ready:
            time.sleep(0.02)
            return NONE
        replica = dice.choice(ready)
        with self.lock:
            self.waiting[replica] += 1
        answer = replica.ask(method, path, body, headers)
        if answer.status not in (0, 200, 201, 503, 504):
            raise Failed(f"{method} {path}: {answer.status} {answer.body!r}")
        with self.lock:
            self.waiting[replica] -= 1
            self.told[replica.name, answer.outcome] += 1
        return answer.outcome

    def send_repeatedly(self, dice, method, path, headers=None):
        """What may be repeated: until it is done, here or there, and once more as if the answer had been lost."""
        for _ in range(2):
            while self.send(dice, method, path, None, headers) != APPLIED:
                pass

    def count(self, dice, _):
        file = dice.choice(FILES)
        outcome = self.send(dice, "POST", f"/downloads/{quoted(file)}")
        with self.lock:
            self.counts[file, outcome] += 1

    def count_in_vain(self, replica):
        """A count at a replica that cannot reach its store: it must not be acknowledged."""
        outcome = replica.ask("POST", f"/downloads/{quoted(FILES[0])}", seconds=0.5).outcome
        if outcome == APPLIED:
            raise Failed(f"{replica.name} acknowledged what it could not write")
        with self.lock:
            self.counts[FILES[0], outcome] += 1

    def count_once(self, dice, name):
        self.send_repeatedly(dice, "POST", f"/downloads/{REPEATED}", {"Idempotency-Key": name})
        with self.lock:
            self.keys.add(name)

    def report(self, dice, name):
        self.send_repeatedly(dice, "POST", f"/events/{name}")
        with self.lock:
            self.events.add(name)

    def change(self, dice, name):
        flag = dice.choice(FLAGS)
        outcome = self.send(dice, "PUT", f"/flags/{flag}", json.dumps(name))
        with self.lock:
            self.changes[name] = (flag, outcome)

    def check(self):
        """Every replica holds what was acknowledged, once, and nothing that nobody sent."""
        for replica in self.fleet.replicas:
            for file in FILES:
                count = replica.get(f"/downloads/{quoted(file)}?fresh")["count"]
                least = self.counts[file, APPLIED]
                most = least + self.counts[file, UNKNOWN]
                if not least <= count <= most:
                    raise Failed(f"{replica.name}: {file} was counted {count} times; {least} were acknowledged, {most - least} unknown")
            expect(f"{replica.name}: {REPEATED}", replica.get(f"/downloads/{REPEATED}")["count"], len(self.keys))
            expect(f"{replica.name}: events", replica.get("/status")["events"], len(self.events))
            self.check_audit(replica)

    def check_audit(self, replica):
        entries, path = [], "/audit?limit=1000"
        while path:
            page = replica.get(path)
            entries += page["entries"]
            path = f"/audit?limit=1000&after={page['next']}" if "next" in page else None
        found = collections.Counter(entry["value"] for entry in entries)
        for value, (flag, outcome) in self.changes.items():
            if outcome == APPLIED and found[value] != 1 or found[value] > (outcome != NONE):
                raise Failed(f"{replica.name}: the change of {flag} to {value}, {outcome}, stands {found[value]} times in the audit list")
        if unsent := set(found) - set(self.changes):
            raise Failed(f"{replica.name}: the audit list has what nobody sent: {unsent}")
        # A change and its entry came in one batch, so the last entry of a flag is what it is.
        last = {entry["flag"]: entry["value"] for entry in entries}
        for flag in FLAGS:
            expect(f"{replica.name}: {flag}", replica.get(f"/flags/{flag}")["value"], last[flag])
