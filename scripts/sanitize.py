#!/usr/bin/env python3
"""Runs the C tests of the ABI with the library itself instrumented, and prints `ok KIND/TEST` or `not ok KIND/TEST` for each.

    scripts/sanitize.py [--calls N] [--seed N] [--figures FILE] KIND...

    asan      the library and the tests under the address and leak sanitizers, the tests under the undefined-behaviour sanitizer too
    ubsan     the tests under the undefined-behaviour sanitizer, the library with overflow and precondition checks
    tsan      the library, the Rust standard library and the tests under the thread sanitizer
    valgrind  the library and the tests as they are, under memcheck

--calls: how many calls tests/c/hostile makes under each kind. --figures: where a JSON object of what ran is written.
docs/sanitizers.md says what each kind sees, what it cannot see, and why it is built as it is.
"""

import argparse
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TESTS = ["abi_smoke", "handles", "arguments", "queue", "fork", "signals", "logs"]
WARNINGS = ["-std=gnu11", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
# What a Rust static archive asks of the system (`rustc --print native-static-libs`).
SYSTEM_LIBRARIES = ["-lgcc_s", "-lrt", "-lpthread", "-lm", "-ldl"]
TARGET = "x86_64-unknown-linux-gnu"

KINDS = {
    "asan": {
        "toolchain": "+nightly",
        "rustflags": "-Zsanitizer=address",
        "cflags": ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"],
        # The tests are compiled by the C compiler, whose sanitizers call the same functions as those of LLVM. One runtime can be in a
        # program, and the library needs its own, so the tests are linked with that.
        "runtime": "asan",
        "environment": {"ASAN_OPTIONS": "detect_leaks=1:detect_stack_use_after_return=1:abort_on_error=1"},
    },
    "ubsan": {
        "toolchain": None,
        "rustflags": "",
        "cflags": ["-fsanitize=undefined", "-fno-sanitize-recover=all"],
        "link": ["-fsanitize=undefined"],
        "environment": {"UBSAN_OPTIONS": "print_stacktrace=1"},
    },
    "tsan": {
        "toolchain": "+nightly",
        "rustflags": "-Zsanitizer=thread",
        # Locks, channels and reference counts are in the standard library: without its instructions instrumented they would look like races.
        "cargo": ["-Zbuild-std"],
        "cflags": ["-fsanitize=thread"],
        "runtime": "tsan",
        # The library's threads are never joined: that is how it is meant to be, and no leak.
        "environment": {"TSAN_OPTIONS": "report_thread_leaks=0:halt_on_error=1:abort_on_error=1:second_deadlock_stack=1"},
    },
    "valgrind": {
        "toolchain": None,
        "rustflags": "",
        "cflags": [],
        # No "possibly lost": that is what is reached by pointers into it only, as everything in an Arc or a hash table is.
        # Threads run one at a time: without turns the one that spins would keep the one that it waits for from running.
        "run": [
            "valgrind",
            "--quiet",
            "--error-exitcode=99",
            "--leak-check=full",
            "--show-leak-kinds=definite,indirect",
            "--errors-for-leak-kinds=definite,indirect",
            "--fair-sched=yes",
        ],
        "environment": {},
    },
}

# How many calls of tests/c/hostile take some seconds.
CALLS = {"asan": 20000, "ubsan": 60000, "tsan": 6000, "valgrind": 4000}


def fail(message):
    print(f"{os.path.basename(sys.argv[0])}: {message}", file=sys.stderr)
    sys.exit(2)


def need_nightly():
    """The nightly toolchain with the sources of the standard library, added where they are missing."""
    sys.path.insert(0, os.path.join(ROOT, "scripts"))
    import nightly

    return nightly.libraries(["rust-src"])


def build(kind, target_dir):
    """Builds the library as a static archive, and returns where it is."""
    how = KINDS[kind]
    directory = os.path.join(target_dir, "sanitize", "plain" if not how["rustflags"] else kind)
    command = ["cargo"]
    if how["toolchain"]:
        command.append(how["toolchain"])
    command += ["rustc", "--locked", "--lib", "--no-default-features", "--crate-type", "staticlib", "--target", TARGET]
    command += how.get("cargo", [])
    environment = {**os.environ, "CARGO_TARGET_DIR": directory, "RUSTFLAGS": how["rustflags"], "CARGO_PROFILE_DEV_OPT_LEVEL": "1"}
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    return os.path.join(directory, TARGET, "debug", "libopjournal.a")


def compile_test(kind, test, archive, libraries, work):
    how = KINDS[kind]
    compiler = os.environ.get("CC", "cc")
    program, objects = os.path.join(work, test), []
    # A test is one file, or a directory of them.
    for source in sorted(glob.glob(f"tests/c/{test}.c", root_dir=ROOT) + glob.glob(f"tests/c/{test}/*.c", root_dir=ROOT)):
        objects.append(f"{program}-{os.path.basename(source)}.o")
        command = [compiler, *WARNINGS, "-g", "-O1", *how["cflags"], "-Iinclude", "-c", source, "-o", objects[-1]]
        subprocess.run(command, cwd=ROOT, check=True)
    runtime = []
    if "runtime" in how:
        found = glob.glob(os.path.join(libraries, f"librustc*_rt.{how['runtime']}.a"))
        if not found:
            fail(f"{libraries} holds no runtime of the sanitizer {how['runtime']}")
        # Whole, because what it intercepts is called by nobody whom the linker knows.
        runtime = ["-Wl,--whole-archive", found[0], "-Wl,--no-whole-archive", "-rdynamic"]
    subprocess.run([compiler, *objects, archive, *runtime, *how.get("link", []), "-o", program, *SYSTEM_LIBRARIES], cwd=ROOT, check=True)
    return program


def run(kind, test, program, arguments, environment, limit):
    """Runs a test and prints its line. Returns how it ended."""
    begun = time.monotonic()
    try:
        done = subprocess.run(
            [*KINDS[kind].get("run", []), program, *arguments],
            cwd=ROOT,
            env={**os.environ, **KINDS[kind]["environment"], **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=limit,
        )
        output, passed = done.stdout, done.returncode == 0
    except subprocess.TimeoutExpired as expired:
        output, passed = (expired.stdout or b"").decode(errors="replace") + f"\nnot over after {limit} s", False
    seconds = round(time.monotonic() - begun, 1)
    reports = len(re.findall(r"ERROR: (?:Address|Leak)Sanitizer|WARNING: ThreadSanitizer|: runtime error: |^==\d+== \S", output, re.MULTILINE))
    # What the test says of itself belongs to its own line.
    for line in output.splitlines():
        print(f"   {line}")
    print(f"{'ok' if passed else 'not ok'} {kind}/{test} ({seconds} s)", flush=True)
    return {"test": test, "passed": passed, "seconds": seconds, "reports": reports}


def run_kind(kind, arguments, target_dir):
    libraries = need_nightly() if KINDS[kind]["toolchain"] else None
    if kind == "valgrind" and shutil.which("valgrind") is None:
        fail("valgrind is missing: apt-get install valgrind")
    archive = build(kind, target_dir)
    calls = arguments.calls or CALLS[kind]
    results = []
    with tempfile.TemporaryDirectory() as work:
        stores = os.path.join(work, "stores")
        os.mkdir(stores)
        environment = {"OPJOURNAL_TEST_DIR": stores}
        for test in TESTS:
            program = compile_test(kind, test, archive, libraries, work)
            results.append(run(kind, test, program, [], environment, 600))
        program = compile_test(kind, "hostile", archive, libraries, work)
        figures = os.path.join(work, "figures.json")
        # What a sanitizer keeps of its own is no leak of the library's; its leak check is the judge of that.
        environment |= {"FIGURES": figures, "HOSTILE_STALL": "300", "HOSTILE_RSS_MB": "256" if kind == "ubsan" else "0"}
        if kind == "valgrind":
            # A signal a millisecond is more than a program under memcheck gets done between two.
            environment["HOSTILE_SIGNAL_US"] = "20000"
        hostile = run(kind, "hostile", program, [str(calls), "4", str(arguments.seed)], environment, 600 + calls // 20)
        if os.path.exists(figures):
            with open(figures, encoding="utf-8") as file:
                hostile["figures"] = json.load(file)
        results.append(hostile)
    return results


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("kinds", nargs="+", choices=KINDS)
    parser.add_argument("--calls", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--figures", default="")
    arguments = parser.parse_args()
    target_dir = os.path.abspath(os.path.join(ROOT, os.environ.get("CARGO_TARGET_DIR") or "target"))
    if not sys.platform.startswith("linux") or os.uname().machine != "x86_64":
        fail("this runs on Linux x86_64")
    figures = {}
    for kind in arguments.kinds:
        results = run_kind(kind, arguments, target_dir)
        figures[kind] = {
            "passed": sum(result["passed"] for result in results),
            "failed": sum(not result["passed"] for result in results),
            "tests": results,
        }
    if arguments.figures:
        with open(arguments.figures, "w", encoding="utf-8") as file:
            json.dump({"sanitize": figures}, file, indent=1)
            file.write("\n")
    return 1 if any(kind["failed"] for kind in figures.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
