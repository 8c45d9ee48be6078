"""Tests that are Python programs: what they raise, and how they are run and told."""

import subprocess
import traceback

from project import ROOT


class Failed(Exception):
    """Why a test is not passed."""


class LeftOut(Exception):
    """Why a test cannot be made on this machine."""


def expect(what, got, wanted):
    if got != wanted:
        raise Failed(f"{what}: got {got!r}, wanted {wanted!r}")


def install(what, *command):
    """Runs a command that gets something from a registry, and gives what it printed. LeftOut: it is not to be had."""
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LeftOut(f"{what} is not to be had: {done.stderr[-1000:]}")
    return done.stdout.strip()


def run_all(tests):
    """Runs tests, pairs of a name and a function, and tells of each how it ended: what `scripts/test.py` counts. Returns the exit status."""
    passed = failed = 0
    for name, test in tests:
        try:
            test()
        except LeftOut as why:
            print(f"left out: {name}: {why}", flush=True)
        except Exception as why:  # Also a mistake in the test: the others are run all the same.
            failed += 1
            print(f"not ok {name}\n{why if isinstance(why, Failed) else traceback.format_exc()}", flush=True)
        else:
            passed += 1
            print(f"ok {name}", flush=True)
    return 1 if failed or not passed else 0
