#!/usr/bin/env python3
"""`make soak MINUTES=10`: the library as it is built, on real stores, while processes are killed and frozen, the server is killed, the
network loses, repeats, delays and cuts, and a disk is full. Then it holds what the writers were told to what is in the store.
docs/soak.md tells what is done and what is checked.

Ends with 0 only if nothing was found, and everything that should have happened did happen.
"""

import argparse
import collections
import contextlib
import glob
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import check
from processes import Proxy, Silent, Worker
from minio import Server, find_minio  # processes.py says where it is

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# F of the protocol, in seconds: the least that the library takes, so that much is folded and deleted in a short time.
F = 6
JOURNAL = {"sync_interval_ms": 1000, "compaction": {"age_threshold_ms": 1000 * F, "segment_threshold": 64}}
# After the last fault a write that was on its way may take effect until it expires (D + 2S + 2 s after it was sent), and is looked for
# until D + S after that.
QUIET = F / 3 + 2 * F / 15 + 2 + F / 3 + F / 15 + 1

# Shares of the requests.
RATES = {
    "drop": 0.008,
    "lose-answer": 0.008,
    "late": 0.05,
    "repeat": 0.08,
    "refuse": 0.01,
    "refuse-done": 0.01,
    "cut-request": 0.02,
    "cut-answer": 0.01,
    "delay-request": 0.01,
    "delay-answer": 0.01,
    "hang": 0.005,
}

# How long anything may take that has to end once all is calm.
CALM = 90

# In so many seconds of writing something must have been folded.
LONG = 60

LANGUAGES = ("go", "c")

# What can be found. docs/soak.md says what each means.
SUMMARY = ("lost", "doubled", "risen", "torn", "disordered", "foreign", "unread", "vanished", "diverged", "unsettled", "hung", "crashed", "wrong")
SUMMARY += ("missed",)


def say(text):
    print(text, flush=True)


class Round:
    """Some workers on one namespace, from their start to the verdict."""

    def __init__(self, soak, name, config, languages, journals, lanes):
        self.soak = soak
        self.name = name
        self.config = config
        self.journals = journals
        self.lanes = lanes
        self.work = os.path.join(soak.directory, name)
        os.makedirs(self.work)
        self.verdict = check.Verdict()
        self.lives = collections.Counter()
        self.state_digest = None
        self.folded = 0
        self.workers = [self.start(place, language) for place, language in enumerate(languages)]

    def start(self, place, language, lanes=None):
        """A worker with a name of its own: the place and the number of its life there."""
        self.lives[place] += 1
        name = f"{language}-{place}-{self.lives[place]}"
        lanes = self.lanes if lanes is None else lanes
        seed = self.soak.dice.getrandbits(32)
        return self.soak.keep(Worker(self.soak.programs, language, self.work, name, self.name, self.config, self.journals, lanes, seed))

    def look_for_crashes(self):
        """A worker that ended by itself is a finding, and is replaced."""
        for place, worker in enumerate(self.workers):
            if worker.is_gone():
                self.verdict.found("crashed", f"{worker.name} ended with status {worker.process.returncode}: {worker.last_words()}")
                self.workers[place] = self.start(place, worker.language)

    def kill(self, place):
        self.look_for_crashes()
        self.workers[place].kill()
        self.soak.counts["kills"] += 1
        self.workers[place] = self.start(place, self.workers[place].language)

    def freeze(self, place, seconds):
        self.workers[place].freeze(time.monotonic() + seconds)
        self.soak.counts["stops"] += 1

    def thaw(self, now):
        for worker in self.workers:
            if worker.resumes and worker.resumes <= now:
                worker.thaw()

    def wait_for_writes(self):
        """Until every worker has written something."""
        for worker in self.workers:
            with self.finding_silence():
                worker.ready(CALM)
                end = time.monotonic() + CALM
                while not worker.has_written():
                    if time.monotonic() > end:
                        raise Silent(f"{worker.name} has written nothing within {CALM} s")
                    time.sleep(0.05)

    def acknowledged(self):
        """How many batches so far."""
        told = check.read_ledgers(os.path.join(self.work, "*.ledger"), check.Verdict())
        return sum(word == "acknowledged" for word in told.values())

    def finish(self, quiet):
        """When all faults are over: everybody stops, replicas old and new are compared, and the ledgers are held to the state."""
        self.thaw(float("inf"))
        self.look_for_crashes()
        time.sleep(quiet)
        for worker in self.workers:
            with self.finding_silence():
                worker.ready(CALM)
                worker.tell("stop")
        stopped = []
        for worker in self.workers:
            with self.finding_silence():
                worker.told("stopped", CALM)
                stopped.append(worker)
        for worker in self.workers:
            if worker not in stopped:
                worker.kill()  # It would write while the others are compared.
        self.workers = stopped
        digests = {}
        state = os.path.join(self.work, "state")
        for worker in self.workers:
            self.look(worker, digests, state)
        is_shared = not self.config["store"].startswith("memory:")
        if is_shared:
            self.look_anew("new", digests, state)
        self.look_for_crashes()
        living = {worker.name for worker in self.workers}
        for worker in self.workers:
            worker.kill()
        self.compare(digests)
        try:
            with open(state) as file:
                held = json.load(file)
        except OSError as error:
            self.verdict.found("hung", f"nobody told the state: {error}")
            return
        self.verdict.add(check.check(os.path.join(self.work, "*.ledger"), held, living))

    def look(self, worker, digests, state):
        with self.finding_silence():
            worker.ready(CALM)
            worker.tell(f"look {state}")
            words, _, stats = worker.told("digests", CALM).partition(" {")
            for number, digest in enumerate(words.split()[1:]):
                digests[f"{worker.name}.{number}"] = digest
            figures = json.loads("{" + stats)["namespaces"][self.name]
            self.folded = max(self.folded, figures["folded"])

    def look_anew(self, place, digests, state):
        """New replicas, one in each language, which write nothing."""
        for language in LANGUAGES:
            worker = self.start(place, language, lanes=0)
            self.look(worker, digests, state)
            worker.kill()

    def compare(self, digests):
        for digest in set(digests.values()):
            if self.state_digest is None:
                self.state_digest = digest
        for who, digest in digests.items():
            if digest != self.state_digest:
                self.verdict.found("diverged", f"{self.name}: {who} holds {digest}, others {self.state_digest}")

    def look_again(self):
        """Later, when everything that was late has been delivered: nothing may have changed."""
        digests = {}
        self.look_anew("later", digests, os.path.join(self.work, "state-later"))
        self.compare(digests)
        check.read_ledgers(os.path.join(self.work, "*-later-*.ledger"), self.verdict)

    @contextlib.contextmanager
    def finding_silence(self):
        try:
            yield
        except Silent as silence:
            self.verdict.found("hung", f"{self.name}: {silence}")


class Soak:
    def __init__(self, programs, directory, minio, seed):
        self.programs = programs
        self.directory = directory
        self.minio = minio
        self.dice = random.Random(seed)
        self.counts = collections.Counter()
        self.faults = collections.Counter()
        self.verdict = check.Verdict()
        self.parts = {}
        self.children = []
        # When the part that runs began.
        self.begun = time.monotonic()
        self.is_full_disk = "not run"

    def keep(self, child):
        self.children = [known for known in self.children if not known.is_gone()]
        self.children.append(child)
        return child

    def end(self):
        for child in self.children:
            with contextlib.suppress(OSError):
                child.kill()

    def pick(self, round):
        return self.dice.randrange(len(round.workers))

    def judge(self, part, rounds, extra="", must_fold=False):
        """Tells what became of a part, as one line that is counted as a test. A short part may end before anything is old enough to fold."""
        verdict = check.Verdict()
        for round in rounds:
            verdict.add(round.verdict)
        folded = sum(round.folded for round in rounds)
        self.parts[part] = {"batches": verdict.batches, "ops": verdict.ops, "folded_segments": folded, "failed": verdict.failed}
        self.parts[part] |= {"unknown": verdict.unknown, "untold": verdict.untold}
        told = f"{part}: {verdict.ops:,} ops in {verdict.batches:,} batches, {verdict.unknown:,} unknown, {folded:,} segments folded{extra}"
        if verdict.batches == 0:
            verdict.found("missed", f"{part}: nothing was acknowledged")
        if must_fold and folded == 0:
            verdict.found("missed", f"{part}: nothing was folded")
        self.verdict.add(verdict)
        for line in verdict.lines():
            say(f"  {line}")
        say(f"{'not ok' if verdict.violations else 'ok'} {told}, {time.monotonic() - self.begun:.0f} s")

    # ---- One process, a store in memory ----

    def memory(self, seconds):
        rounds = [Round(self, f"memory-{language}", {"store": "memory:soak", **JOURNAL}, [language], 2, 16) for language in LANGUAGES]
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(0.2)
            for round in rounds:
                round.look_for_crashes()
        for round in rounds:
            round.finish(0)
        self.judge("memory", rounds)

    # ---- A directory: kill -9 all the time ----

    def directory_killed(self, seconds):
        store = os.path.join(self.directory, "store")
        os.makedirs(store)
        round = Round(self, "killed", {"store": f"file://{store}", "commit_interval_ms": 20, **JOURNAL}, LANGUAGES * 4, 1, 8)
        before = self.counts["kills"]
        due = time.monotonic()
        end = due + seconds
        while due < end:
            due += 0.2
            time.sleep(max(0, due - time.monotonic()))
            round.kill(self.pick(round))
        round.finish(1)
        self.judge("directory, killed", [round], f", {self.counts['kills'] - before:,} kills", seconds >= LONG)

    # ---- A directory on a disk that is full now and then ----

    def directory_full(self, seconds):
        store = os.path.join(self.directory, "small-disk")
        os.makedirs(store)
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "soak", store], stderr=subprocess.PIPE, text=True, check=False)
        if mounted.returncode != 0:
            # The figures say that there was none.
            say(f"left out: the full disk, for no tmpfs can be mounted here: {mounted.stderr.strip()}")
            return
        self.is_full_disk = "tmpfs of 64 MiB"
        round = Round(self, "full", {"store": f"file://{store}", "commit_interval_ms": 20, **JOURNAL}, LANGUAGES, 2, 8)
        round.wait_for_writes()
        end = time.monotonic() + seconds
        while time.monotonic() < end or not self.counts["full disks"]:
            time.sleep(self.dice.uniform(1, 3))
            self.fill_and_free(round, os.path.join(store, "ballast"))
            round.look_for_crashes()
        round.finish(1)
        subprocess.run(["umount", store], check=False)
        if not self.counts["writes that a full disk refused"]:
            round.verdict.found("missed", "the disk was full, and no write failed for it")
        self.judge("directory, full disk", [round], f", {self.counts['full disks']} times full")

    def fill_and_free(self, round, ballast):
        """While nothing can be written writes fail, and say why; when there is room again they go on."""
        pattern = os.path.join(round.work, "*.ledger")
        before = refusals(pattern)
        with open(ballast, "wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"-" * 4096)
        self.counts["full disks"] += 1
        time.sleep(self.dice.uniform(1, 3))
        failed = refusals(pattern) - before
        os.remove(ballast)
        self.counts["writes that a full disk refused"] += failed
        had = round.acknowledged()
        end = time.monotonic() + CALM
        while round.acknowledged() == had:
            if time.monotonic() > end:
                round.verdict.found("hung", "nothing is acknowledged although there is room again")
                return
            time.sleep(0.2)

    # ---- S3: everything at once ----

    def s3(self, seconds, late_by, longest_round, workers):
        server = self.keep(Server(self.minio, self.directory))
        proxy = self.keep(Proxy(self.programs, self.directory, server.port, RATES, late_by, self.dice.getrandbits(32)))
        rounds = []
        count = max(1, round(seconds / longest_round))
        for number in range(count):
            is_last = number == count - 1
            languages = [LANGUAGES[place % 2] for place in range(workers)]
            rounds.append(self.s3_round(server, proxy, f"s3-{number}", languages, seconds / count, seconds if is_last else 0))
        if not self.wait_for_late(proxy, late_by):
            rounds[-1].verdict.found("missed", "late requests are still on their way")
        for done in rounds:
            done.look_again()
        counts = proxy.counts()
        self.faults.update(counts["faults"])
        self.counts["requests"] = counts["requests"]
        self.counts["requests while the server was down"] = counts["unreachable"]
        self.counts["faults in tests of the store"] = counts["in_probes"]
        for fault in RATES:
            if not counts["faults"][fault]:
                rounds[-1].verdict.found("missed", f"the fault {fault} never happened")
        proxy.kill()
        server.kill()
        done = f", {self.counts['stops']} stops, {self.counts['server restarts']} server restarts, {sum(self.faults.values()):,} faults"
        self.judge("s3", rounds, done, seconds >= LONG)

    def s3_round(self, server, proxy, name, languages, seconds, more_seconds):
        """`more_seconds` are for the faults that did not happen by then."""
        config = {**server.config(proxy.address, name), "commit_interval_ms": 100, **JOURNAL}
        round = Round(self, name, config, languages, 2, 12)
        kills = self.counts["kills"]
        # Each test of the store is hundreds of requests; chaos before the first write would mostly meet those.
        round.wait_for_writes()
        proxy.switch("on")
        now = time.monotonic()
        end = now + seconds
        due = {"kill": now + self.dice.uniform(4, 8), "stop": now + self.dice.uniform(5, 10), "server": now + self.dice.uniform(6, 15)}
        server_returns = 0
        while now < end or now < end + more_seconds and not all(proxy.counts()["faults"].values()):
            time.sleep(0.1)
            now = time.monotonic()
            round.thaw(now)
            round.look_for_crashes()
            if now >= due["kill"]:
                due["kill"] = now + self.dice.uniform(2, 8)
                round.kill(self.pick(round))
            if now >= due["stop"]:
                due["stop"] = now + self.dice.uniform(6, 20)
                round.freeze(self.pick(round), self.dice.uniform(F + 1, 20))
            if now >= due["server"] and not server_returns:
                server.kill()
                self.counts["server restarts"] += 1
                server_returns = now + self.dice.uniform(0, 6)
            if server_returns and now >= server_returns:
                server.start()
                server_returns = 0
                due["server"] = now + self.dice.uniform(15, 40)
        if server_returns:
            server.start()
        server.wait()
        proxy.switch("off")
        round.finish(QUIET)
        say(f"  {name}: {round.verdict.ops:,} ops, {self.counts['kills'] - kills} kills, {round.folded:,} segments folded")
        return round

    def wait_for_late(self, proxy, late_by):
        end = time.monotonic() + late_by + 30
        while proxy.counts()["late"]:
            if time.monotonic() > end:
                return False
            time.sleep(0.5)
        return True

    # ---- The end ----

    def summary(self):
        verdict = self.verdict
        found = ", ".join(f"{kind} {verdict.count(kind)}" for kind in SUMMARY)
        faults = ", ".join(f"{fault} {count:,}" for fault, count in self.faults.items())
        done = ", ".join(f"{what} {self.counts[what]:,}" for what in ("kills", "stops", "server restarts", "full disks"))
        return f"soak: acknowledged {verdict.ops:,} ops in {verdict.batches:,} batches; {found}; {done}; faults: {faults or 'none'}"

    def figures(self, seed, minutes):
        return {
            "seed": seed,
            "minutes": minutes,
            "acknowledged_ops": self.verdict.ops,
            "acknowledged_batches": self.verdict.batches,
            "failed": self.verdict.failed,
            "unknown": self.verdict.unknown,
            "settled": self.verdict.settled,
            "untold": self.verdict.untold,
            **{kind: self.verdict.count(kind) for kind in SUMMARY},
            **{what.replace(" ", "_"): count for what, count in self.counts.items()},
            "full_disk": self.is_full_disk,
            "faults": dict(self.faults),
            "parts": self.parts,
        }


def refusals(pattern):
    """How many writes failed because there was no room."""
    told = 0
    for path in glob.glob(pattern):
        with open(path) as file:
            told += sum(line.startswith("failed ") and "UNAVAILABLE" in line and "space" in line for line in file)
    return told


def have_own_mounts():
    """Goes on in a mount namespace of its own, where a disk that is mounted vanishes with the process, and where users may mount one."""
    if "OPJOURNAL_SOAK_MOUNTS" in os.environ or sys.platform != "linux" or not shutil.which("unshare"):
        return
    command = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*command, "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0:
        os.environ["OPJOURNAL_SOAK_MOUNTS"] = "own"
        os.execvp(command[0], [*command, sys.executable, *sys.argv])


def interrupted(number, _):
    sys.exit(128 + number)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", default=os.path.join(ROOT, "build", "soak"), help="where the workers and the proxy are")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long processes write, all parts together")
    parser.add_argument("--seed", type=int, help="what the choices are drawn from")
    parser.add_argument("--figures", help="a file for the figures, as JSON")
    parser.add_argument("--late-by", type=float, default=60.0, help="seconds by which a write is late at most")
    parser.add_argument("--round", type=float, default=120.0, help="seconds of a round on S3")
    parser.add_argument("--workers", type=int, default=4, help="processes that write on S3")
    parser.add_argument("--only", choices=("memory", "killed", "full", "s3"), action="append", help="this part alone")
    parser.add_argument("--keep", action="store_true", help="keep ledgers, states and logs also where nothing was found")
    arguments = parser.parse_args()
    have_own_mounts()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1"

    seed = random.SystemRandom().getrandbits(32) if arguments.seed is None else arguments.seed
    seconds = 60 * arguments.minutes
    say(f"soak: {arguments.minutes:g} minutes, SEED={seed}")
    # Of the time: the least for what has the least to do with time.
    parts = {
        "memory": lambda soak: soak.memory(0.05 * seconds),
        "killed": lambda soak: soak.directory_killed(0.2 * seconds),
        "full": lambda soak: soak.directory_full(0.1 * seconds),
        "s3": lambda soak: soak.s3(0.65 * seconds, arguments.late_by, arguments.round, arguments.workers),
    }
    directory = tempfile.mkdtemp(prefix="opjournal-soak-")
    soak = Soak(os.path.abspath(arguments.programs), directory, find_minio(), seed)
    is_clean = False
    try:
        for name, part in parts.items():
            if not arguments.only or name in arguments.only:
                soak.begun = time.monotonic()
                part(soak)
        is_clean = not soak.verdict.violations
    finally:
        soak.end()
        if is_clean and not arguments.keep:
            shutil.rmtree(directory, ignore_errors=True)
        else:
            say(f"ledgers, states and logs are in {directory}")
    say(soak.summary())
    if arguments.figures:
        with open(arguments.figures, "w") as file:
            json.dump(soak.figures(seed, arguments.minutes), file, indent=2)
            file.write("\n")
    return 0 if is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
