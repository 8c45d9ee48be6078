#!/usr/bin/env python3
"""Counts the instructions of the inner paths under callgrind, and holds them to those of benches/instructions/baseline.json: `make instructions`.

    scripts/instructions.py [--record] DIRECTORY

DIRECTORY holds the programs `inner` and `abi` (benches/instructions), and gets callgrind's own file of each path. Prints `ok PATH` or
`not ok PATH` for each, and fails where one takes more than 5 % more. With --record the file is written anew instead.
docs/performance.md says what is counted and what the file is true of.
"""

import argparse
import concurrent.futures
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BASELINE = os.path.join("benches", "instructions", "baseline.json")
RENEW = "make instructions-record"

# What a count may differ by before it is told: more fails, less asks for a new baseline.
TOLERANCE = 0.05

# The C library chooses by processor how it copies and compares, which makes up to 5 % of a path. Here it takes what every x86_64 has.
TUNABLES = "glibc.cpu.hwcaps=" + ",".join(f"-{name}" for name in "AVX AVX2 AVX_Fast_Unaligned_Load BMI2 ERMS FSRM MOVBE SSSE3 SSE4_1 SSE4_2".split())

# Each program counts in the functions of this name only.
PROGRAMS = {"abi": "opjournal_query*", "inner": "*counted*"}


def leave_out(why):
    # `make test` tells a suite that a machine cannot run from one that failed by the first words.
    print(f"left out: {why}", file=sys.stderr)
    sys.exit(2)


def find_valgrind():
    """The command, and what it needs in its environment."""
    installed = shutil.which("valgrind")
    if installed:
        return installed, {}
    unpacked = subprocess.run([os.path.join(ROOT, "scripts", "debian.sh"), "valgrind"], stdout=subprocess.PIPE, text=True, check=False)
    tools = glob.glob(os.path.join(unpacked.stdout.strip(), "usr", "lib*", "**", "callgrind-*-linux"), recursive=True)
    if unpacked.returncode != 0 or not tools:
        leave_out("counting instructions needs valgrind: apt-get install valgrind")
    return os.path.join(unpacked.stdout.strip(), "usr", "bin", "valgrind"), {"VALGRIND_LIB": os.path.dirname(tools[0])}


def output_of(*command):
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def versions(valgrind, environment):
    """What else than the source a count depends on."""
    rustc = dict(re.findall(r"^(release|host): (.*)$", output_of("rustc", "-vV"), re.MULTILINE))
    told = subprocess.run([valgrind, "--version"], env={**os.environ, **environment}, check=True, stdout=subprocess.PIPE, text=True)
    return {
        "target": rustc["host"],
        "rustc": rustc["release"],
        "valgrind": told.stdout.strip().removeprefix("valgrind-"),
        "libc": os.confstr("CS_GNU_LIBC_VERSION") or "",
    }


class Counter:
    def __init__(self, directory, valgrind, environment):
        self.directory = directory
        self.command = [valgrind, "--quiet", "--tool=callgrind"]
        self.environment = {**os.environ, **environment, "GLIBC_TUNABLES": TUNABLES}
        self.rollup = output_of(os.path.join(directory, "inner"), "rollup").strip()

    def paths(self):
        """Every path, with its program."""
        return [(program, path) for program in PROGRAMS for path in output_of(os.path.join(self.directory, program)).split()]

    def count(self, program, path):
        """The instructions of a path, taken once."""
        # A store for each path: what one writes must not lie before the next.
        with tempfile.TemporaryDirectory() as store:
            rollup = os.path.join(store, ".metadata", "ns", "rollup.json")
            os.makedirs(os.path.dirname(rollup))
            with open(rollup, "w", encoding="utf-8") as file:
                file.write(self.rollup)
            return self.run(program, path, [store] if program == "abi" else [])

    def run(self, program, path, arguments):
        profile = os.path.join(self.directory, f"{path.replace('/', '-')}.callgrind")
        options = [f"--callgrind-out-file={profile}", f"--toggle-collect={PROGRAMS[program]}"]
        done = subprocess.run(
            [*self.command, *options, os.path.join(self.directory, program), path, *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            timeout=300,
            check=False,
        )
        if done.returncode != 0:
            sys.exit(f"not ok {path}: {done.stderr.strip() or f'ended with status {done.returncode}'}")
        with open(profile, encoding="utf-8") as file:
            total = re.search(r"^totals: (\d+)", file.read(), re.MULTILINE)
        if total is None or int(total.group(1)) == 0:
            sys.exit(f"not ok {path}: callgrind found no function {PROGRAMS[program]} in {program}")
        return round(int(total.group(1)) / int(done.stdout))


def read_baseline(here):
    """The file's instructions by path, and what of `here` is not as it was when they were counted."""
    with open(os.path.join(ROOT, BASELINE), encoding="utf-8") as file:
        baseline = json.load(file)
    there = baseline["counted_with"]
    if here["target"] != there["target"]:
        leave_out(f"{BASELINE} was counted on {there['target']}, and {here['target']} has other instructions")
    differences = [f"{name} {there[name]}, here {here[name]}" for name in here if here[name] != there[name]]
    return baseline["instructions"], differences


def write_baseline(here, counts):
    with open(os.path.join(ROOT, BASELINE), "w", encoding="utf-8") as file:
        json.dump({"counted_with": here, "instructions": counts}, file, indent=2)
        file.write("\n")
    print(f"{BASELINE} holds the instructions of {len(counts)} paths")


def compare(path, count, expected):
    """What there is to say of a path, and whether it passes."""
    if expected is None:
        return f"{path}: {count:,} instructions; {BASELINE} does not know this path", False
    change = count / expected - 1
    line = f"{path}: {count:,} instructions, {change:+.1%}"
    if change > TOLERANCE:
        return f"{line}: more than {TOLERANCE:.0%} above the {expected:,} of {BASELINE}", False
    if change < -TOLERANCE:
        return f"{line}: better; `{RENEW}` keeps it so", True
    return line, True


def check(counts, expected, differences):
    """Tells each path's count, and returns whether all pass."""
    verdicts = [compare(path, count, expected.get(path)) for path, count in counts.items()]
    verdicts += [(f"{path}: in {BASELINE}, but nothing counts it", False) for path in expected if path not in counts]
    for line, passes in verdicts:
        print(f"{'ok' if passes else 'not ok'} {line}")
    if all(passes for _, passes in verdicts):
        return True
    if differences:
        print(f"The file was counted with {'; '.join(differences)}. That may be why.")
    print(f"Where it has to be so: `{RENEW}`, and say in the commit why.")
    return False


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("directory")
    parser.add_argument("--record", action="store_true")
    arguments = parser.parse_args()
    if not sys.platform.startswith("linux"):
        leave_out("callgrind counts instructions on Linux only")
    valgrind, environment = find_valgrind()
    here = versions(valgrind, environment)
    expected, differences = ({}, []) if arguments.record else read_baseline(here)
    counter = Counter(os.path.abspath(arguments.directory), valgrind, environment)
    paths = counter.paths()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        counts = dict(zip((path for _, path in paths), pool.map(lambda path: counter.count(*path), paths)))
    if arguments.record:
        write_baseline(here, counts)
        return 0
    return 0 if check(counts, expected, differences) else 1


if __name__ == "__main__":
    sys.exit(main())
