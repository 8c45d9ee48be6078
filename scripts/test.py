#!/usr/bin/env python3
"""Builds and passes everything: `make test`. Each suite is a command; its tests are counted from what it prints, and one that prints no
count is a test itself. Ends with `N passed, N failed`, and with failure if any failed. A suite that needs what this machine neither has nor can
install (a nightly Rust) says `left out: why`, also of a part; that is repeated at the end.

    scripts/test.py             all suites
    scripts/test.py rust go     those only
    scripts/test.py --list      their names and commands
"""

import os
import re
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
GO = os.path.join(ROOT, "bindings", "go")
PKG_CONFIG = os.path.join(ROOT, "build", "lib", "pkgconfig")

# name, command, directory, what else the environment holds
SUITES = [
    ("tools", "sh scripts/tools.sh", ROOT, {}),
    ("rustfmt", "cargo fmt --all --check", ROOT, {}),
    ("gofmt", 'test -z "$(gofmt -l .)" || { gofmt -d .; exit 1; }', GO, {}),
    ("clippy", "cargo clippy --locked --workspace --all-targets -- -D warnings", ROOT, {}),
    ("servers", "tests/servers/install.sh", ROOT, {}),
    # One command, so that what both need is built once.
    ("rust", "cargo test --locked --no-fail-fast -p opjournal -p opjournal-cli", ROOT, {}),
    ("simulation", "cargo test --locked -p opjournal-simulation --profile simulation --no-fail-fast", ROOT, {}),
    ("fuzz", "make fuzz SECONDS=5 JOBS=2", ROOT, {}),
    ("sim", 'make sim SEEDS=10000 SIM="--for 120 --afresh"', ROOT, {}),
    ("mutants", "make mutants", ROOT, {}),
    ("rustdoc", "cargo doc --locked --no-deps --document-private-items", ROOT, {"RUSTDOCFLAGS": "-D warnings -A rustdoc::private_intra_doc_links"}),
    ("library", "make lib pkgconfig command", ROOT, {}),
    ("c-abi", "make test-c", ROOT, {}),
    ("instructions", "make instructions", ROOT, {}),
    ("sanitize", "make sanitize-quick", ROOT, {}),
    ("miri", "make miri-quick", ROOT, {}),
    ("c-bindings", "make test-bindings-c", ROOT, {}),
    ("go-vet", "go vet ./...", GO, {"PKG_CONFIG_PATH": PKG_CONFIG}),
    ("go", "go test -race -count=1 -v ./...", GO, {"PKG_CONFIG_PATH": PKG_CONFIG, "GODEBUG": "cgocheck=1"}),
    ("go-prometheus", "go vet ./... && go test -count=1 -v ./...", os.path.join(GO, "opjournalprom"), {"PKG_CONFIG_PATH": PKG_CONFIG}),
    ("go-s3", "tests/servers/minio.sh run -- go test -C bindings/go -count=1 -v -run S3 ./...", ROOT, {"PKG_CONFIG_PATH": PKG_CONFIG}),
    ("packages", "make test-packages", ROOT, {}),
    ("demo", "make demo", ROOT, {}),
    ("demo-s3", "make demo-s3", ROOT, {}),
    ("examples", "make test-examples", ROOT, {}),
    (
        "service",
        'test -z "$(gofmt -l .)" || { gofmt -d .; exit 1; }; go vet . && go test -race -count=1 -v .',
        os.path.join(ROOT, "examples", "go-service"),
        {"PKG_CONFIG_PATH": PKG_CONFIG},
    ),
    ("service-fleet", "make test-service", ROOT, {}),
    ("soak", "make test-soak SEED=1", ROOT, {}),
]

# What a runner prints for its tests: passed and failed.
COUNTS = re.compile(r"^test result: \S+ (\d+) passed; (\d+) failed", re.MULTILINE)
PASSED = re.compile(r"^(?:ok [A-Za-z]\S*( .*)?|\s*--- PASS: .*)$", re.MULTILINE)
LEFT_OUT = re.compile(r"^left out: (.*)$", re.MULTILINE)
FAILED = re.compile(r"^(?:not ok .*|\s*--- FAIL: .*)$", re.MULTILINE)


def count(output):
    """Tests that passed and failed, as the output tells."""
    passed = failed = 0
    for match in COUNTS.finditer(output):
        passed += int(match.group(1))
        failed += int(match.group(2))
    # `go test` ends each package with a line `ok  \tpackage`, which is no test.
    passed += sum(1 for line in PASSED.finditer(output) if not line.group(0).startswith("ok  "))
    failed += len(FAILED.findall(output))
    return passed, failed


def run(name, command, directory, variables):
    """Runs a suite, showing its output as it comes. Returns what passed, what failed, and why it or parts of it were left out."""
    print(f"== {name}: {command}", flush=True)
    begun = time.monotonic()
    process = subprocess.Popen(
        ["bash", "-c", command],
        cwd=directory,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    lines = []
    for line in process.stdout:
        sys.stdout.write(line)
        sys.stdout.flush()
        lines.append(line)
    status = process.wait()
    output = "".join(lines)
    passed, failed = count(output)
    left_out = LEFT_OUT.findall(output)
    if left_out and status != 0 and passed + failed == 0:
        print(f"== {name}: left out", flush=True)
        return 0, 0, left_out
    if status != 0:
        failed = max(failed, 1)
    elif passed + failed == 0:
        passed = 1
    print(f"== {name}: {passed} passed, {failed} failed, {time.monotonic() - begun:.0f} s", flush=True)
    return passed, failed, left_out


def main():
    wanted = sys.argv[1:]
    if wanted == ["--list"]:
        for name, command, _, _ in SUITES:
            print(f"{name:12} {command}")
        return 0
    unknown = set(wanted) - {suite[0] for suite in SUITES}
    if unknown:
        print(f"no suite is called {', '.join(sorted(unknown))}; try --list", file=sys.stderr)
        return 2
    results = {}
    for suite in SUITES:
        if not wanted or suite[0] in wanted:
            results[suite[0]] = run(*suite)
    print()
    for name, (passed, failed, left_out) in results.items():
        if passed + failed:
            print(f"{name:12} {passed:5} passed, {failed} failed")
        for why in left_out:
            print(f"{name:12} left out: {why}")
    passed = sum(result[0] for result in results.values())
    failed = sum(result[1] for result in results.values())
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
