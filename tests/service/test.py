#!/usr/bin/env python3
"""examples/go-service as it is run: three replicas as processes, on a MinIO. Prints `ok NAME` or `not ok NAME` for each test.

    tests/service/test.py           what CI runs
    tests/service/test.py --full    a longer load, and the page in Chromium

Needs build/service/go-service and MinIO: `make test-service` makes and installs both.
"""

import argparse
import collections
import functools
import random
import re
import signal
import socket
import subprocess
import sys

import browser
from fleet import APPLIED, PROGRAM, PATIENCE, UNKNOWN, Fleet, ask, free_port, quoted, until
from checks import Failed, expect, run_all  # fleet, by way of the server, says where it is
from load import Load

# Often enough that nobody waits for it.
QUICK = ["-sync-interval", "200ms"]


def check_status(answer, status, code, outcome="none"):
    expect(f"{answer.body!r}", answer.status, status)
    error = answer.json()["error"]
    expect("code", error["code"], code)
    expect("outcome", error["outcome"], outcome)
    return error


# ---- What it does ------------------------------------------------------------------------------------------------------------------------------


def shares(options):
    """What one replica acknowledged, the others serve: at once where asked for what is fresh, and soon in any case."""
    with Fleet(arguments=QUICK) as fleet:
        a, b, c = fleet.replicas
        path = f"/downloads/{quoted('päckchen/ü.zip')}"
        for replica in fleet.replicas:
            expect("count", replica.ask("POST", path).status, 200)
        expect("fresh", b.get(path + "?fresh"), {"file": "päckchen/ü.zip", "count": 3})
        expect("first", (a.ask("POST", "/events/e").status, c.ask("POST", "/events/e?fresh").status), (201, 200))
        expect("set", b.ask("PUT", "/flags/dark", "true").json(), {"name": "dark", "value": True})
        until("the others have the flag", lambda: all(replica.ask("GET", "/flags/dark").status == 200 for replica in (a, c)))
        expect("deleted", c.ask("DELETE", "/flags/dark").status, 204)
        entries = a.get("/audit?fresh")["entries"]
        expect("audit", [(entry["replica"], entry["flag"], entry.get("value")) for entry in entries], [("b", "dark", True), ("c", "dark", None)])
        expect("digests", len(fleet.digests()), 1)
        measured = a.ask("GET", "/metrics").body.decode()
        counted = re.findall(r'^http_request_duration_seconds_count\{code="200",route="POST /downloads/{file}"\} (\d+)$', measured, re.MULTILINE)
        expect("requests in the metrics", counted, ["1"])
        if not re.search(r'^opjournal_\w+\{.*namespace="service".*\} \d', measured, re.MULTILINE):
            raise Failed("the metrics tell nothing of the namespace")
        expect("stopped badly", fleet.stop(), [])


def refuses(options):
    """Bad requests get an answer that says what is wrong, and write nothing."""
    with Fleet(names=["a"]) as fleet:
        replica = fleet.replicas[0]
        check_status(replica.ask("GET", "/nowhere"), 404, "NOT_FOUND")
        check_status(replica.ask("PATCH", "/flags/x"), 405, "METHOD_NOT_ALLOWED")
        expect("offset", check_status(replica.ask("PUT", "/flags/x", "[1,,2]"), 400, "INVALID")["offset"], 4)
        check_status(replica.ask("PUT", "/flags/x", '{"a":1,"a":2}'), 400, "INVALID")
        check_status(replica.ask("PUT", "/flags/x", '"' + "x" * (70 << 10) + '"'), 413, "TOO_LARGE")
        check_status(replica.ask("POST", f"/events/{'e' * 201}"), 400, "INVALID")
        check_status(replica.ask("POST", "/events/e", headers={"Sec-Fetch-Site": "cross-site"}), 403, "FORBIDDEN")
        status = replica.get("/status")
        expect("written", (status["events"], status["flags"], status["downloads"], status["audit_len"]), (0, [], [], 0))


def explains_itself(options):
    """Settings that are wrong end it with a message; a store that is away does not."""

    def end(*arguments, environment=None):
        done = subprocess.run([PROGRAM, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, env=environment, check=False)
        return done.returncode, done.stderr

    for arguments, wanted in [
        ([], "-store is missing"),
        (["-store", "memory:x", "-sync-interval", "soon"], "sync-interval"),
        (["-store", "memory:x", "-timeout", "0s"], "-timeout must be positive"),
        (["-store", "memory:x", "-replicas", "127.0.0.1:1"], "no http:// or https:// URL"),
        (["-store", "memory:x", "more"], '"more" is no flag'),
    ]:
        status, told = end(*arguments)
        expect(f"{arguments}: status", status, 2)
        if wanted not in told:
            raise Failed(f"{arguments}: it says {told!r}, without {wanted!r}")
    with Fleet(names=["a"]) as fleet:
        listen = ["-listen", f"127.0.0.1:{free_port()}"]
        status, told = end(*listen, *fleet.settings, "-store", "s3://no-such-bucket/service", environment=fleet.environment)
        if status != 1 or "no-such-bucket" not in told:
            raise Failed(f"a bucket that is not there: {status} {told!r}")
        status, told = end("-listen", f"127.0.0.1:{fleet.replicas[0].port}", *fleet.settings, environment=fleet.environment)
        if status != 1 or "address already in use" not in told:
            raise Failed(f"a port that is taken: {status} {told!r}")
    with socket.socket() as deaf:
        # Bound and not listening: every connection is refused.
        deaf.bind(("127.0.0.1", 0))
        port = free_port()
        arguments = ["-listen", f"127.0.0.1:{port}", "-store", "s3://opjournal/service", "-s3-endpoint", f"http://127.0.0.1:{deaf.getsockname()[1]}"]
        with subprocess.Popen([PROGRAM, *arguments], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=fleet.environment) as process:
            try:
                until("it lives", lambda: ask(port, "GET", "/healthz").status == 200)
                expect("ready", ask(port, "GET", "/readyz").status, 503)
                check_status(ask(port, "POST", "/downloads/x"), 503, "NOT_READY")
                process.send_signal(signal.SIGTERM)
                expect("status", process.wait(PATIENCE), 0)
            finally:
                process.kill()


# ---- What it survives --------------------------------------------------------------------------------------------------------------------------


def outlives_the_store(options):
    """While the server is away everything is read, nothing is lost, and what became of each write can be asked afterwards."""
    with Fleet(names=["a", "b"], arguments=[*QUICK, "-stale-after", "1s", "-timeout", "2s"]) as fleet:
        a, b = fleet.replicas
        outcomes = collections.Counter({a.ask("POST", "/downloads/x").outcome: 1})
        fleet.server.kill()
        until("unready", lambda: a.readiness()[0] == 503 and b.readiness()[0] == 503)
        expect("reason", a.readiness()[1]["reason"], "the state is older than 1s")
        expect("alive", a.ask("GET", "/healthz").status, 200)
        expect("read", a.get("/downloads/x")["count"], 1)
        unsettled = []
        for _ in range(3):
            answer = a.ask("POST", "/downloads/x")
            outcomes[answer.outcome] += 1
            if answer.outcome == UNKNOWN:
                expect("status", answer.status, 504)
                unsettled.append(answer.headers["Location"])
            else:
                expect("status, retry", (answer.status, answer.headers["Retry-After"]), (503, "1"))
        fleet.server.start()
        fleet.server.wait()
        fleet.wait()
        settled = collections.Counter(until(f"{place} is settled", lambda: settled_outcome(a, place)) for place in unsettled)
        count = outcomes[APPLIED] + settled[APPLIED]
        expect("settled", settled[APPLIED] + settled["failed"], len(unsettled))
        expect("count", (a.get("/downloads/x")["count"], b.get("/downloads/x?fresh")["count"]), (count, count))
        # Only who wrote knows.
        expect("as the other one knows", [b.get(place)["outcome"] for place in unsettled], [UNKNOWN] * len(unsettled))
        expect("digests", len(fleet.digests()), 1)
        expect("stopped badly", fleet.stop(), [])


def settled_outcome(replica, place):
    answer = replica.ask("GET", place + "?fresh")
    return answer.status == 200 and answer.json()["outcome"] != UNKNOWN and answer.json()["outcome"]


def loses_nothing(options):
    """Under load one replica is killed and another one stopped. Every count that was acknowledged is there, none is there twice, and who stops in
    an orderly way leaves nobody without an answer."""
    with Fleet(arguments=[*QUICK, "-drain", "3s"]) as fleet:
        load = Load(fleet, clients=8, seed=options.seed)
        for _ in range(5 if options.full else 1):
            disturb(fleet, load, 1000 if options.full else 150)
        load.stop()
        until("all agree", lambda: len(fleet.digests()) == 1)
        load.check()
        outcomes = ", ".join(f"{replica} {outcome} {count:,}" for (replica, outcome), count in sorted(load.told.items()))
        print(f"# requests: {outcomes}; SEED={options.seed}")
        expect("stopped badly", fleet.stop(), [])


def disturb(fleet, load, requests):
    victim, leaver, _ = random.Random(load.applied()).sample(fleet.replicas, 3)

    def go_on():
        wanted = load.applied() + requests
        until("the clients go on", lambda: load.failures or load.applied() >= wanted)

    go_on()
    # What is acknowledged without the server is lost with the process.
    fleet.server.kill()
    load.count_in_vain(victim)
    until(f"clients wait for {victim.name}", lambda: load.failures or load.is_waiting_for(victim))
    victim.kill()
    fleet.server.start()
    fleet.server.wait()
    go_on()  # The others take it over.
    victim.start()
    until(f"{victim.name} is ready again", victim.is_ready)
    go_on()

    before = load.told[leaver.name, UNKNOWN]
    leaver.signal(signal.SIGTERM)
    expect(f"{leaver.name} ends with", leaver.process.wait(PATIENCE), 0)
    expect(f"{leaver.name}'s last words", leaver.messages()[-1]["msg"], "stopped")
    go_on()
    expect(f"answers that {leaver.name} owes", load.told[leaver.name, UNKNOWN] - before, 0)
    leaver.start()
    until(f"{leaver.name} is ready again", leaver.is_ready)
    go_on()


# ---- The page ----------------------------------------------------------------------------------------------------------------------------------


def shows_itself(options):
    """The page and what it asks for: each replica, also one that is gone."""
    with Fleet(arguments=QUICK) as fleet:
        a, b, c = fleet.replicas
        for path, kind in [("/", "text/html"), ("/page.css", "text/css"), ("/page.js", "text/javascript")]:
            answer = a.ask("GET", path)
            expect(path, (answer.status, answer.headers["Content-Type"].split(";")[0]), (200, kind))
            if "default-src 'none'" not in answer.headers["Content-Security-Policy"]:
                raise Failed(f"{path} may load anything")
        expect("forwarded", a.ask("POST", "/replicas/1/downloads/x").json(), {"file": "x", "count": 1})
        until("all agree", lambda: len({seen["status"]["digest"] for seen in a.get("/replicas")["replicas"]}) == 1)
        c.kill()
        seen = a.get("/replicas")["replicas"]
        expect("answers", [("status" in replica, bool(replica.get("error"))) for replica in seen], [(True, False), (True, False), (False, True)])
        check_status(a.ask("POST", "/replicas/2/downloads/x"), 502, "NO_ANSWER", "unknown")
        check_status(a.ask("POST", "/replicas/3/downloads/x"), 404, "NOT_FOUND")


TESTS = [
    ("replicas share what they write", shares, False),
    ("bad requests are refused", refuses, False),
    ("bad settings are told, a store that is away is waited for", explains_itself, False),
    ("the store goes away and comes back", outlives_the_store, False),
    ("one replica is killed and one stopped, under load", loses_nothing, False),
    ("the page and what it asks for", shows_itself, False),
    ("the page in a browser", browser.test, True),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tests", nargs="*", help="only those whose name holds one of these words")
    parser.add_argument("--full", action="store_true", help="also what takes long or needs a browser")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32), help="of the load's choices")
    options = parser.parse_args()
    return run_all(
        (name, functools.partial(test, options))
        for name, test, is_slow in TESTS
        if (options.full or not is_slow) and (not options.tests or any(word in name for word in options.tests))
    )


if __name__ == "__main__":
    sys.exit(main())
