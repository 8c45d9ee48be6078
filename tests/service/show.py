#!/usr/bin/env python3
"""Three replicas of examples/go-service on a MinIO of their own, and somebody who uses them, until Ctrl-C: `make service`.

    tests/service/show.py                    on the ports 8080 to 8082 where these are free
    tests/service/show.py --quiet            without the requests that somebody makes
    tests/service/show.py --picture FILE     takes a picture of the page and ends: `make service-picture`
"""

import argparse
import itertools
import json
import random
import signal
import socket
import sys
import threading

from browser import Browser
from fleet import Fleet, free_port, quoted
from checks import Failed  # fleet, by way of the server, says where it is

FILES = ["go1.26.tar.gz", "node-v20.tar.gz", "rust-1.95.tar.xz"]
FLAGS = [("dark-mode", True), ("new-checkout", False), ("banner", "blue")]


def ports():
    """Those that a person expects, where nobody has them."""
    wanted = [8080, 8081, 8082]
    try:
        for port in wanted:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
        return wanted
    except OSError:
        return [free_port() for _ in wanted]


def use(fleet, dice, number):
    """One download, and now and then an event."""
    file = dice.choices(FILES, [5, 2, 4])[0]
    dice.choice(fleet.replicas).ask("POST", f"/downloads/{quoted(file)}")
    if number % 10 == 0:
        fleet.replicas[0].ask("POST", f"/events/release-{number}")


def set_flags(fleet):
    for replica, (flag, value) in zip(fleet.replicas, FLAGS):
        replica.ask("PUT", f"/flags/{flag}", json.dumps(value))


def show(is_quiet):
    over = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: over.set())
    with Fleet(names=["replica-1", "replica-2", "replica-3"], arguments=["-sync-interval", "3s"], ports=ports()) as fleet:
        print(f"MinIO, bucket {fleet.server.BUCKET}: http://127.0.0.1:{fleet.server.port}")
        for replica in fleet.replicas:
            print(f"{replica.name}: http://127.0.0.1:{replica.port}/")
        print("The page is the same at each. Ctrl-C ends all of it.", flush=True)
        if not is_quiet:
            set_flags(fleet)
        dice, requests = random.Random(), itertools.count()
        while not over.wait(1.5):
            for replica in fleet.replicas:
                if replica.is_gone():
                    raise Failed(f"{replica.name} ended: {replica.last_words()}")
            if not is_quiet:
                use(fleet, dice, next(requests))
        fleet.stop()


def take_picture(file):
    with Fleet(names=["replica-1", "replica-2", "replica-3"], arguments=["-sync-interval", "200ms"], ports=ports()) as fleet, Browser() as page:
        set_flags(fleet)
        dice = random.Random(1)
        for number in range(50):
            use(fleet, dice, number)
        page.do(open=f"http://127.0.0.1:{fleet.replicas[0].port}/")
        page.wait_for_verdict("All 3 replicas agree")
        page.do(picture=file)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quiet", action="store_true", help="without requests of its own")
    parser.add_argument("--picture", metavar="FILE", help="take a picture of the page, and end")
    options = parser.parse_args()
    if options.picture:
        take_picture(options.picture)
    else:
        show(options.quiet)


if __name__ == "__main__":
    sys.exit(main())
