"""The page of examples/go-service in headless Chromium. Both are installed where they are missing: Debian's Chromium into the cache, what drives it
by npm."""

import json
import os
import shutil
import signal
import subprocess

from fleet import PATIENCE, ROOT, Fleet, die_with_parent
from checks import Failed, LeftOut, expect, install  # fleet, by way of the server, says where these are
from project import library_path, unpacked

ROOM = os.path.join(ROOT, "tests", "service", "browser")


def find_chromium():
    """The program, and what its environment needs."""
    own = next(filter(None, map(shutil.which, ["chromium", "google-chrome-stable", "google-chrome"])), None)
    if own:
        return own, {}
    if not shutil.which("apt-get"):
        raise LeftOut("there is no Chromium")
    try:
        root = unpacked("chromium")
    except subprocess.CalledProcessError:
        raise LeftOut("Chromium is not to be had") from None
    # The program itself, for the script around it wants its libraries in their places.
    program = os.path.join(root, "usr/lib/chromium/chromium")
    if not os.path.exists(program):
        raise LeftOut("Debian's chromium holds other files than it used to")
    settings = {"LD_LIBRARY_PATH": library_path(root)}
    if os.path.exists(os.path.join(root, "etc/fonts/fonts.conf")):
        # The machine has no fonts of its own.
        settings["FONTCONFIG_SYSROOT"] = root
    return program, settings


class Browser:
    """A page that is told what to do. A `with` block."""

    def __init__(self):
        if not shutil.which("node") or not shutil.which("npm"):
            raise LeftOut("there is no node or no npm")
        chromium, settings = find_chromium()
        install("playwright-core", "npm", "ci", "--prefix", ROOM, "--no-audit", "--no-fund", "--loglevel=error")
        self.process = subprocess.Popen(
            ["node", os.path.join(ROOM, "page.js"), chromium],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **settings},
            preexec_fn=die_with_parent,
        )
        self.version = self.answer()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise Failed(f"the browser ended with {self.process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise Failed(answer["error"])
        return answer["value"]

    def do(self, **command):
        """One command; page.js says which there are."""
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        try:
            return self.answer()
        except Failed as why:
            raise Failed(f"{command}: {why}") from None

    def wait_for_verdict(self, text):
        self.do(until="#verdict", texts=[text])

    def wait_for_all(self, selector, text):
        """Until each of the three replicas shows this."""
        self.do(until=f".card {selector}", texts=[text] * 3)


def card(index, selector):
    return f".card:nth-child({index + 1}) {selector}"


def test(_):
    with Fleet(arguments=["-sync-interval", "200ms"]) as fleet, Browser() as page:
        a, b, c = fleet.replicas
        page.do(open=f"http://127.0.0.1:{a.port}/")
        page.wait_for_verdict("All 3 replicas agree")

        # A first counter and a first flag by the forms, the next by their buttons, at another replica each.
        page.do(type=card(0, ".add-download input"), text="a.tar.gz <b>")
        page.wait_for_all(".downloads .name", "a.tar.gz <b>")
        page.do(click=card(1, ".downloads button"))
        page.wait_for_all(".downloads .count", "2")
        page.do(type=card(2, ".add-flag input"), text="dark")
        page.wait_for_all(".flags .value", "on")
        page.do(click=card(1, ".flags button"))
        page.wait_for_all(".flags .value", "off")
        page.wait_for_all(".audit li:nth-child(1) span", "dark = false")
        page.wait_for_all(".audit li:nth-child(2) em", "c")
        page.wait_for_verdict("All 3 replicas agree")
        expect("counted", [replica.get("/downloads?fresh")["downloads"] for replica in fleet.replicas], [[{"file": "a.tar.gz <b>", "count": 2}]] * 3)
        expect("complaints", page.do(complaints=True), [])

        # One that is frozen, one that is gone, and both back.
        c.signal(signal.SIGSTOP)
        page.wait_for_verdict("c does not answer; the others agree")
        c.signal(signal.SIGCONT)
        page.wait_for_verdict("All 3 replicas agree")
        b.kill()
        page.wait_for_verdict("b does not answer; the others agree")
        page.do(click=card(2, ".downloads button"))
        page.do(until=card(0, ".downloads .count"), texts=["3"])
        b.start()
        page.wait_for_all(".downloads .count", "3")
        page.wait_for_verdict("All 3 replicas agree")

        # What is refused is told where it was asked for.
        page.do(type=card(1, ".add-download input"), text="\u00e9" * 101)
        page.do(until=".card .note", texts=["", "Not written: file: is longer than 200 bytes", ""])
        expect("complaints of more than the refusal", [text for text in page.do(complaints=True) if "400" not in text], [])
