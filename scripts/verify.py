#!/usr/bin/env python3
"""Everything at full length: `make verify`. Hours; goes on where it stopped, and puts its figures into docs/verification.md.

    scripts/verify.py                all steps that this source has not passed yet
    scripts/verify.py sim fuzz       those only; a name stands for all that begin with it
    scripts/verify.py --list         their names and commands
    scripts/verify.py --again        the ones that passed as well

What passed is kept in docs/verification.json, with the commit and the source that it is true of, and is not run again while the source stays the
same (documentation is no source). Steps that take hours keep their own progress: one that is interrupted goes on where it stood. Two of these
commands may run at the same time, for different steps.
"""

import argparse
import datetime
import fcntl
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PAGE = os.path.join(ROOT, "docs", "verification.md")
RECORD = os.path.join(ROOT, "docs", "verification.json")
FIGURES = os.path.join(ROOT, "build", "verify")
BEGIN, END = "<!-- figures -->", "<!-- end -->"

# name, command; {figures} is a file into which the command writes a JSON object
STEPS = [
    ("test", "make test"),
    ("mutants", 'make mutants MUTANTS_FLAGS="--figures {figures}"'),
    ("sim", 'make sim SEEDS=1000000 SIM="--figures {figures}"'),
    ("soak", "make soak MINUTES=30 FIGURES={figures}"),
    ("miri", "make miri FIGURES={figures}"),
    ("sanitize", "make sanitize FIGURES={figures}"),
    ("hostile", "make hostile CALLS=1000000 FIGURES={figures}"),
    ("packages", "make test-packages FULL=1"),
    ("service", "make test-service FULL=1"),
    # Half an hour a target.
    *[
        (f"fuzz-{target}", f"make fuzz SECONDS=1800 TARGET={target} FIGURES={{figures}}")
        for target in ["abi", "state", "rollup", "segment", "directory", "s3_list", "batch", "json", "query", "config"]
    ],
]

# The last line of `make test`.
COUNTED = re.compile(r"^(\d+) passed, (\d+) failed$", re.MULTILINE)


def git(*arguments):
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout


def source():
    """A name for what is verified: every tracked file but the documentation, as it is committed."""
    files = git("ls-files", "--stage", "--", ".", ":!docs", ":!*.md")
    return hashlib.sha256(files.encode()).hexdigest()[:16]


def plain(command):
    """A command as one would type it, without its figures."""
    return re.sub(r""" (FIGURES=|SIM="--figures |MUTANTS_FLAGS="--figures ){figures}"?""", "", command)


def run(name, command):
    """Runs a step, showing its output as it comes. Returns what is to be remembered of it, or nothing where it failed."""
    figures = os.path.join(FIGURES, f"{name}.json")
    os.makedirs(FIGURES, exist_ok=True)
    if os.path.exists(figures):
        os.remove(figures)
    command = command.format(figures=figures)
    print(f"== {name}: {command}", flush=True)
    begun = time.monotonic()
    process = subprocess.Popen(
        ["bash", "-c", command], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True
    )
    counted = None
    try:
        for line in process.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
            counted = COUNTED.match(line) or counted
    except KeyboardInterrupt:
        # The step keeps its progress and ends its own children.
        os.killpg(process.pid, signal.SIGINT)
        process.wait()
        raise
    status, took = process.wait(), time.monotonic() - begun
    print(f"== {name}: {'passed' if status == 0 else f'failed with {status}'}, {took:.0f} s", flush=True)
    if status != 0:
        return None
    told = {}
    if os.path.exists(figures):
        with open(figures, encoding="utf-8") as file:
            told = json.load(file)
    elif counted:
        told = {"passed": int(counted.group(1)), "failed": int(counted.group(2))}
    return {
        "command": plain(command.replace(figures, "{figures}")),
        "commit": git("rev-parse", "--short", "HEAD").strip(),
        "source": source(),
        "date": datetime.date.today().isoformat(),
        "seconds": round(took),
        "figures": told,
    }


def shown(value):
    """One value as the cell of a table."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list):
        return ", ".join(map(shown, value)) or "none"
    return "" if value is None else str(value)


def table(names, cells):
    """A table of Markdown, with a line before and after it."""
    return ["", f"| {' | '.join(names)} |", "|" + "---|" * len(names), *(f"| {' | '.join(map(shown, row))} |" for row in cells), ""]


def rows(value):
    """The rows of what is best shown as one table: a list of objects, or an object of plain objects. Nothing for all else."""
    if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
        return value
    if isinstance(value, dict) and len(value) > 1 and all(isinstance(row, dict) and not any(isinstance(cell, (dict, list)) for cell in row.values()) for row in value.values()):
        return [{"": name, **row} for name, row in value.items()]
    return None


def figures(value, title=""):
    """The figures of a step as lines of Markdown. What stands deeper than a table can show is in the record only."""
    if isinstance(value, dict) and len(value) == 1 and isinstance(inner := next(iter(value.values())), dict):
        return figures(inner, title)
    if listed := rows(value):
        names = list(dict.fromkeys(name for row in listed for name, cell in row.items() if not isinstance(cell, dict)))
        return ([f"{title}:"] if title else []) + table(names, [[row.get(name) for name in names] for row in listed])
    deep = {name: cell for name, cell in value.items() if isinstance(cell, dict) or rows(cell)}
    plain = [(name, cell) for name, cell in value.items() if name not in deep]
    lines = [f"{title}:"] if title and plain else []
    if plain:
        lines += table(["figure", "value"], plain)
    for name, inner in deep.items():
        lines += figures(inner, f"{title} {name}".strip())
    return lines


def recorded():
    if not os.path.exists(RECORD):
        return {}
    with open(RECORD, encoding="utf-8") as file:
        return json.load(file)


def record(name, result):
    """Keeps that a step passed, and puts it into the page."""
    with open(__file__, encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        passed = {**recorded(), name: result}
        write(passed)


def write(passed):
    with open(RECORD, "w", encoding="utf-8") as file:
        json.dump(passed, file, indent=2)
        file.write("\n")
    summary = [(name, f"`{done['command']}`", done["commit"], done["date"], done["seconds"]) for name, _ in STEPS if (done := passed.get(name))]
    lines = table(["step", "command", "commit", "date", "seconds"], summary)
    groups = {}
    for name, _ in STEPS:
        groups.setdefault(name.partition("-")[0], []).append(name)
    for group, members in groups.items():
        lines += [f"**{name}** has not passed at full length yet.\n" for name in members if name not in passed]
        told = [passed[name]["figures"] for name in members if name in passed and passed[name]["figures"]]
        if told:
            # Of a step for each target, a line for each target.
            lines += [f"### {group}", "", *figures(told[0] if group in passed else [{"target": target, **one} for each in told for target, one in each.items()])]
    with open(PAGE, encoding="utf-8") as file:
        text = file.read()
    head, rest = text.split(BEGIN, 1)
    tail = rest.split(END, 1)[1]
    with open(PAGE, "w", encoding="utf-8") as file:
        file.write(head + BEGIN + "\n" + re.sub(r"\n{3,}", "\n\n", "\n".join(lines)) + END + tail)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("steps", nargs="*", help="only these")
    parser.add_argument("--list", action="store_true", help="names and commands")
    parser.add_argument("--again", action="store_true", help="run what has passed as well")
    options = parser.parse_args()
    if options.list:
        for name, command in STEPS:
            print(f"{name:23} {plain(command)}")
        return 0
    unknown = {step for step in options.steps if not any(name.startswith(step) for name, _ in STEPS)}
    if unknown:
        print(f"no step is called {', '.join(sorted(unknown))}; try --list", file=sys.stderr)
        return 2
    if git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs", ":!*.md").strip():
        print("the source differs from what is committed: figures would belong to no commit", file=sys.stderr)
        return 2
    passed, failed = recorded(), []
    now = source()
    wanted = [(name, command) for name, command in STEPS if not options.steps or name.startswith(tuple(options.steps))]
    for name, command in wanted:
        if not options.again and passed.get(name, {}).get("source") == now:
            print(f"== {name}: has passed")
            continue
        result = run(name, command)
        if result is None:
            failed.append(name)
            continue
        record(name, result)
    print(f"{len(wanted) - len(failed)} passed, {len(failed)} failed{': ' + ', '.join(failed) if failed else ''}")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on where this stopped", file=sys.stderr)
        sys.exit(130)
