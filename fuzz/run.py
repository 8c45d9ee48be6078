#!/usr/bin/env python3
"""Builds the fuzz targets and runs them: `make fuzz`, which says what can be asked for.

What a target found interesting is kept beside the test servers, outside the clone, so that the next run goes on from there:
    ${OPJOURNAL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/opjournal}/fuzz/TARGET/
Inputs that break something are kept in build/fuzz/TARGET/.
"""

import argparse
import concurrent.futures
import json
import os
import re
import subprocess
import sys
import time

FUZZ = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(FUZZ), "scripts"))
from project import CACHE, ROOT  # noqa: E402

FINDINGS = os.path.join(ROOT, "build", "fuzz")
# Compiled for fuzzing; apart from the library's own builds, and outside the clone.
BUILD = os.environ.get("OPJOURNAL_FUZZ_TARGET_DIR") or os.path.join(CACHE, "fuzz-target")

# Targets, and the longest input of each: long enough for what it is about, short enough to be quick.
TARGETS = {
    "abi": 600,
    "batch": 4096,
    "config": 2048,
    "directory": 400,
    "json": 4096,
    "query": 2048,
    "rollup": 4096,
    "segment": 4096,
    "state": 1500,
    "s3_list": 4096,
}
NEEDS_S3 = {"s3_list"}

# One input takes at most this many seconds and megabytes.
TIMEOUT, MEMORY = 25, 2048


def build(targets):
    """The directory of the built programs."""
    installed = subprocess.run([os.path.join(FUZZ, "install.sh")], stdout=subprocess.PIPE, text=True)
    if installed.returncode != 0:
        sys.exit(installed.returncode)
    environment = {**os.environ, "PATH": installed.stdout.strip() + os.pathsep + os.environ["PATH"], "CARGO_TARGET_DIR": BUILD}
    host = re.search(r"^host: (.*)$", subprocess.run(["rustc", "-vV"], capture_output=True, text=True, check=True).stdout, re.MULTILINE)
    for with_s3 in (False, True):
        wanted = [target for target in targets if (target in NEEDS_S3) == with_s3]
        features = ["--features", "s3"] if with_s3 else []
        # One by one they would be compiled one by one; all at once takes all of the same features.
        names = wanted if len(wanted) == 1 else [""] if wanted else []
        for name in names:
            command = ["cargo", "+nightly", "fuzz", "build", "--fuzz-dir", FUZZ, *features, *([name] if name else [])]
            if subprocess.run(command, cwd=ROOT, env=environment).returncode != 0:
                sys.exit("the fuzz targets do not build")
    return os.path.join(BUILD, host.group(1), "release")


def command_of(programs, target):
    return [os.path.join(programs, target), f"-timeout={TIMEOUT}", f"-rss_limit_mb={MEMORY}"]


def environment_of(target):
    # The library's runtime and its tables live as long as the process.
    return {**os.environ, "ASAN_OPTIONS": "detect_odr_violation=0:detect_leaks=" + ("0" if target == "abi" else "1"), "RUST_BACKTRACE": "1"}


def run(programs, target, seconds):
    """Runs one target, and says how it went."""
    corpus = os.path.join(CACHE, "fuzz", target)
    findings = os.path.join(FINDINGS, target)
    seeds = os.path.join(FUZZ, "seeds", target)
    dictionary = os.path.join(FUZZ, "dictionaries", target + ".dict")
    os.makedirs(corpus, exist_ok=True)
    os.makedirs(findings, exist_ok=True)
    before = set(os.listdir(findings))
    command = command_of(programs, target) + [
        f"-max_total_time={seconds}",
        f"-max_len={TARGETS[target]}",
        f"-artifact_prefix={findings}/",
        "-print_final_stats=1",
        *([f"-dict={dictionary}"] if os.path.exists(dictionary) else []),
        corpus,
        *([seeds] if os.path.isdir(seeds) else []),
    ]
    begun = time.monotonic()
    process = subprocess.run(command, env=environment_of(target), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    output = process.stdout
    counts = [int(count) for count in re.findall(r"^#(\d+)\s", output, re.MULTILINE)]
    edges = [int(count) for count in re.findall(r" cov: (\d+) ", output)]
    return {
        "target": target,
        "seconds": round(time.monotonic() - begun, 1),
        "runs": max(counts, default=0),
        "corpus": len(os.listdir(corpus)),
        "first_edges": edges[0] if edges else 0,
        "edges": max(edges, default=0),
        "findings": sorted(set(os.listdir(findings)) - before),
        "failed": process.returncode != 0,
        "output": output,
    }


def tell(result):
    target = result["target"]
    rate = result["runs"] / max(result["seconds"], 0.1)
    figures = f"{result['runs']} runs, {rate:.0f} a second, {result['corpus']} inputs kept, {result['first_edges']} -> {result['edges']} edges"
    if not result["failed"]:
        print(f"ok fuzz {target}: {figures}", flush=True)
        return
    # From the panic on, or the end where there is none.
    lines = result["output"].splitlines()
    start = next((number for number, line in enumerate(lines) if " panicked at " in line or "ERROR: " in line), len(lines) - 40)
    print("\n".join(line[:2000] for line in lines[max(start, 0) :][:60]))
    for finding in result["findings"]:
        path = os.path.relpath(os.path.join(FINDINGS, target, finding), ROOT)
        print(f"again with: make fuzz TARGET={target} INPUT={path}")
    print(f"not ok fuzz {target}: {figures}", flush=True)


def add_figures(path, result):
    """Adds a run to the figures in a file, which may be there already."""
    figures = {}
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            figures = json.load(file)
    sums = figures.setdefault(result["target"], {"seconds": 0, "runs": 0, "corpus": 0, "edges": 0, "findings": 0})
    sums["seconds"] = round(sums["seconds"] + result["seconds"], 1)
    sums["runs"] += result["runs"]
    sums["findings"] += len(result["findings"])
    sums["corpus"], sums["edges"] = result["corpus"], max(sums["edges"], result["edges"])
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    # Never half a file, also where the run is broken off.
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump(figures, file, indent=2, sort_keys=True)
        file.write("\n")
    os.replace(path + ".new", path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", help="none: all, but those that need S3")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--jobs", type=int, default=1, help="so many side by side")
    parser.add_argument("--figures", help="a JSON file that adds up what each target has had")
    parser.add_argument("--input", help="run this input alone, of one target")
    parser.add_argument("--s3", action="store_true", help="also the targets that need the AWS SDK")
    options = parser.parse_args()
    unknown = set(options.targets) - set(TARGETS)
    if unknown:
        sys.exit(f"there is no fuzz target {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    targets = options.targets or [target for target in TARGETS if options.s3 or target not in NEEDS_S3]
    if options.input and len(targets) != 1:
        sys.exit("an input belongs to one target: name it with TARGET=")
    programs = build(targets)
    if options.input:
        return subprocess.run([*command_of(programs, targets[0]), options.input], env=environment_of(targets[0])).returncode
    failed = False
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for done in concurrent.futures.as_completed([pool.submit(run, programs, target, options.seconds) for target in targets]):
            result = done.result()
            tell(result)
            failed = failed or result["failed"]
            if options.figures:
                add_figures(options.figures, result)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
