#!/usr/bin/env python3
"""Runs under Miri what Miri can run: the C boundary and the pure rooms beneath the engine.

    scripts/miri.py [--figures FILE] quick    the C boundary with its runtime, threads and queues: what CI runs
    scripts/miri.py [--figures FILE] full     that and the pure rooms: JSON, ops, state, queries, the decisions of the journal

Prints `ok miri/TEST` or `not ok miri/TEST` for each. docs/sanitizers.md says what is left out, and why.
"""

import argparse
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "scripts"))
import nightly  # noqa: E402

# By parts of their names.
QUICK = ["ffi::"]
# Those that start the library's threads, which go on after the last test: what they hold at the end is no leak.
THREADS = ["ffi::process::", "cancel_reaches_every_owed_call", "every_accepted_call_completes"]
FULL = QUICK + ["json::", "ops::", "query::", "state::", "time::", "journal::"]

# The kernel's clock and random numbers are the real ones; everything else that Miri checks is on, leaks included.
# It has no provenance for pointers that were integers in between, as those of `arc_swap` were.
MIRIFLAGS = "-Zmiri-disable-isolation -Zmiri-permissive-provenance"

BEGUN = re.compile(r"^test (\S+) \.\.\.")
# At the end of that line, or on a line of its own where something was printed in between.
RESULT = re.compile(r"(?:^|\.\.\. )(ok|FAILED|ignored)(?:, [^<]*)?(?: <([0-9.]+)s>)?$")


def forget_programs(target_dir):
    """Miri interprets the sources when it runs; what its build leaves of the library is only where they lie, and cargo does not see that they lie
    elsewhere now, in another clone that shares the directory of builds."""
    for fingerprint in glob.glob(os.path.join(target_dir, "miri", "**", ".fingerprint", "opjournal-*"), recursive=True):
        shutil.rmtree(fingerprint)


def run(filters, flags, target_dir):
    """Runs the tests, showing each as it ends. Returns what each came to, by name."""
    command = ["cargo", "+nightly", "miri", "test", "--locked", "--no-default-features", "--lib"]
    command += ["--", "-Zunstable-options", "--report-time", "--test-threads=1", *filters]
    environment = {
        **os.environ,
        "CARGO_TARGET_DIR": os.path.join(target_dir, "miri"),
        "MIRIFLAGS": " ".join([MIRIFLAGS, *flags, os.environ.get("MIRIFLAGS", "")]).strip(),
        "RUSTFLAGS": "",
        # The tests of panics would spend minutes on what nobody reads.
        "RUST_BACKTRACE": "0",
        # Each case of a property takes seconds; the properties themselves are tested without Miri.
        "PROPTEST_CASES": "4",
    }
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    results, last = {}, None
    for line in process.stdout:
        line = line.rstrip("\n")
        begun, done = BEGUN.match(line), RESULT.search(line)
        if begun:
            last = begun.group(1)
            # Until it says otherwise, Miri stopped in it.
            results[last] = {"result": "stopped", "seconds": 0.0}
        if done and last and results[last]["result"] == "stopped":
            results[last] = {"result": done.group(1), "seconds": float(done.group(2) or 0)}
            if done.group(1) == "ok":
                print(f"ok miri/{last} ({float(done.group(2) or 0):.1f} s)", flush=True)
        else:
            print(f"   {line}", flush=True)
    status = process.wait()
    for name, result in results.items():
        if result["result"] in ("FAILED", "stopped"):
            print(f"not ok miri/{name}")
    if status != 0 and all(result["result"] not in ("FAILED", "stopped") for result in results.values()):
        print(f"not ok miri: what is left at the end of {' '.join(filters)}")
        results["at the end"] = {"result": "FAILED", "seconds": 0.0}
    return results


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("part", choices=["quick", "full"])
    parser.add_argument("--figures", default="")
    arguments = parser.parse_args()
    nightly.libraries(["miri", "rust-src"])
    target_dir = os.path.abspath(os.path.join(ROOT, os.environ.get("CARGO_TARGET_DIR") or "target"))
    begun = time.monotonic()
    skipped = [word for name in THREADS for word in ("--skip", name)]
    forget_programs(target_dir)
    results = run([*(QUICK if arguments.part == "quick" else FULL), *skipped], [], target_dir)
    results |= run(THREADS, ["-Zmiri-ignore-leaks"], target_dir)
    of = {name: sum(result["result"] in names for result in results.values()) for name, names in
          {"passed": ["ok"], "failed": ["FAILED", "stopped"], "left_out": ["ignored"]}.items()}
    if arguments.figures:
        figures = {"miri": {"part": arguments.part, "seconds": round(time.monotonic() - begun, 1), **of, "tests": results}}
        with open(arguments.figures, "w", encoding="utf-8") as file:
            json.dump(figures, file, indent=1)
            file.write("\n")
    return 1 if of["failed"] or not of["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
