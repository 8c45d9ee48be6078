#!/usr/bin/env python3
"""Runs the program of examples/ in every language and holds the answers against each other. Prints `ok NAME` or `not ok NAME` for each test.

    scripts/examples.py [--build DIR] [LANGUAGE...]

Each language writes into a directory of its own, and must come to the state that is computed here; then all write into one directory, one after
the other, and must agree on what is in it. What a language needs is installed into the cache, pinned; one that this machine has no tools for is
left out, and said.
"""

import argparse
import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile

from checks import LeftOut, install
from project import CACHE, ROOT, unpacked

EXAMPLES = os.path.join(ROOT, "examples")
HEADER = os.path.join(ROOT, "include", "opjournal.h")
# No run takes more than a second; one that hangs is told instead of waited for.
SECONDS = 60


def need(*tools):
    for tool in tools:
        if not shutil.which(tool):
            raise LeftOut(f"there is no {tool}")


def digest_of(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()[:16]


class once:
    """A directory that is filled once, also where two runs come at the same time; one that a run left unfinished is filled anew."""

    def __init__(self, directory):
        self.directory = directory

    def __enter__(self):
        os.makedirs(os.path.dirname(self.directory), exist_ok=True)
        self.lock = open(self.directory + ".lock", "w", encoding="utf-8")
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        self.missing = not os.path.exists(os.path.join(self.directory, "installed"))
        if self.missing:
            shutil.rmtree(self.directory, ignore_errors=True)
        return self

    def __exit__(self, kind, *_):
        if self.missing and kind is None:
            with open(os.path.join(self.directory, "installed"), "w", encoding="utf-8"):
                pass
        self.lock.close()


# ---- The languages: what each needs, and the command that runs it ------------------------------------------------------------------------------


def built(name):
    """C, C++ and Go are built by make, which says what goes wrong there."""
    return lambda build: [os.path.join(build, "examples", name)]


def python(_):
    requirements = os.path.join(EXAMPLES, "python", "requirements.txt")
    directory = os.path.join(CACHE, "examples", f"python-{sys.version_info.major}.{sys.version_info.minor}-{digest_of(requirements)}")
    interpreter = os.path.join(directory, "bin", "python")
    with once(directory) as it:
        if it.missing:
            install("python3 -m venv", sys.executable, "-m", "venv", directory)
            install("cffi", interpreter, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", requirements)
    return [interpreter, os.path.join(EXAMPLES, "python", "tour.py")]


def node(_):
    need("node", "npm")
    room = os.path.join(EXAMPLES, "node")
    lock = os.path.join(room, "package-lock.json")
    # Node looks for packages beside the program, so they are no part of the cache. npm writes this file last.
    written = os.path.join(room, "node_modules", ".package-lock.json")
    if not os.path.exists(written) or os.path.getmtime(written) < os.path.getmtime(lock):
        install("koffi", "npm", "ci", "--prefix", room, "--no-audit", "--no-fund", "--loglevel=error")
    return ["node", os.path.join(room, "tour.js")]


def java(build):
    need("java", "javac")
    jars = []
    for package, jar in [("libjna-java", "jna.jar"), ("libgoogle-gson-java", "gson.jar")]:
        try:
            root = unpacked(package)
        except subprocess.CalledProcessError:
            raise LeftOut(f"{package} is not to be had") from None
        # Nothing is unpacked of what the machine has already.
        places = [os.path.join(place, "usr/share/java", jar) for place in (root, "/")]
        jars += [place for place in places if os.path.exists(place)][:1]
        if package == "libjna-java":
            native = os.path.join(root, f"usr/lib/{platform.machine()}-linux-gnu/jni/libjnidispatch.system.so")
    if len(jars) != 2:
        raise LeftOut("libjna-java and libgoogle-gson-java hold other files than they used to")
    classes = os.path.join(build, "examples", "java")
    shutil.rmtree(classes, ignore_errors=True)
    sources = [os.path.join(place, name) for place, _, names in os.walk(os.path.join(EXAMPLES, "java")) for name in names if name.endswith(".java")]
    subprocess.run(["javac", "-encoding", "UTF-8", "-Xlint:all", "-Werror", "-cp", ":".join(jars), "-d", classes, *sources], check=True)
    if os.path.exists(native):
        # Debian's JNA looks for its native half where the package would put it, and then among the classes.
        place = os.path.join(classes, "com/sun/jna", f"linux-{platform.machine().replace('_', '-')}")
        os.makedirs(place)
        shutil.copy(native, os.path.join(place, "libjnidispatch.so"))
    return ["java", "-cp", ":".join([*jars, classes]), "Tour"]


LANGUAGES = {
    "c": built("tour-c"),
    "go": built("tour-go"),
    "cpp": built("tour-cpp"),
    "cpp-linked": built("tour-cpp-linked"),
    "python": python,
    "node": node,
    "java": java,
}
# Those that load the library when they run, and can be given another one.
LOADING = ["cpp", "python", "node", "java"]


# ---- What is expected --------------------------------------------------------------------------------------------------------------------------


def state(runs):
    """The state after so many runs, as docs/state.md says that it is written."""

    def canonical(value):
        return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))

    def entries(pairs):
        return {canonical(key): value for key, value in pairs.items()}

    return canonical(
        {
            "greeting": "Grüße, 世界 👋",
            "orders": [{"what": "tea", "quantity": 1}] * runs,
            "prices": entries({"tea": 180, "café": 250}),
            "seen": entries({"tea": True, "nul\0inside": True}),
            "sold": entries({"tea": runs}),
            "stock": -runs,
            "total": (2**53 + 1) * runs,
        }
    )


def reading(runs):
    """What a program prints that reads after so many runs."""
    return (
        "greeting: Grüße, 世界 👋\n"
        f"total: {(2**53 + 1) * runs}\n"
        f"stock: {-runs}\n"
        "prices: café 250, tea 180\n"
        "seen: 2 with NUL\n"
        f"orders: {', '.join(['1 tea'] * runs)}\n"
        f"digest: {hashlib.sha256(state(runs).encode()).hexdigest()}\n"
    )


REFUSED = 'refused: INVALID at op 1, field Delta; outcome none, retryable no\nmessage: op 1 (IntAdd), field "Delta": is no int64\n'


# ---- The tests ---------------------------------------------------------------------------------------------------------------------------------


class Report:
    def __init__(self):
        self.passed = self.failed = 0

    def check(self, name, got, wanted, holds=lambda got, wanted: got == wanted):
        if holds(got, wanted):
            self.passed += 1
            print(f"ok {name}", flush=True)
        else:
            self.failed += 1
            print(f"not ok {name}\n    wanted: {wanted!r}\n    got:    {got!r}", flush=True)


def run(command, *arguments, library, directory=None):
    """What a program prints, on both streams, and its exit status."""
    environment = {**os.environ, "OPJOURNAL_LIBRARY": library}
    try:
        done = subprocess.run(
            [*command, *arguments], cwd=directory, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, encoding="utf-8", timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return "", "does not end", -1
    return done.stdout, done.stderr, done.returncode


def try_language(report, name, command, work, library, older):
    store = os.path.join(work, name)
    os.mkdir(store)
    report.check(f"{name} writes and reads", run(command, f"file://{store}", library=library), (REFUSED + reading(1), "", 0))
    report.check(f"{name} only reads", run(command, f"file://{store}", "read", library=library), (reading(1), "", 0))

    def fails(got, wanted):
        out, errors, status = got
        # One line for a person, no stack.
        return out == "" and status == 1 and errors.startswith("tour: ") and errors.count("\n") == 1 and all(part in errors for part in wanted)

    missing = os.path.join(work, "nowhere")
    report.check(f"{name} tells that a store is missing", run(command, f"file://{missing}", library=library), ["NO_SUCH_STORE", missing], fails)
    if name in LOADING:
        report.check(f"{name} tells that the library is missing", run(command, f"file://{store}", library=missing), [missing], fails)
        wanted = [older, "has ABI version 0, this program needs at least 1"]
        report.check(f"{name} tells that the library is too old", run(command, f"file://{store}", library=older), wanted, fails)


def try_together(report, commands, work, library):
    store = os.path.join(work, "together")
    os.mkdir(store)
    for runs, (name, command) in enumerate(commands.items(), start=1):
        report.check(f"{name} goes on from the others", run(command, f"file://{store}", library=library), (REFUSED + reading(runs), "", 0))
    for name, command in commands.items():
        report.check(f"{name} agrees in the end", run(command, f"file://{store}", "read", library=library), (reading(len(commands)), "", 0))


# The tests of the wrappers themselves: how they are run, and what a line says of one test.
WRAPPERS = {
    "cpp": (lambda command: [os.path.join(os.path.dirname(command[0]), "test-cpp")], r"^(?:not )?ok (.*)$"),
    "python": (lambda command: [command[0], "-B", "-W", "error", "-m", "unittest", "-v", "opjournal_test"], r"^test_(\w+) \(.* \.\.\. .*$"),
    "node": (lambda command: ["node", "--test", "--test-reporter=tap", "."], r"^(?:not )?ok \d+ - (.*)$"),
    "java": (lambda command: [*command[:-1], "OpjournalTest"], r"^(?:not )?ok (.*)$"),
}


def try_wrapper(report, name, command, library):
    tests, test = WRAPPERS[name]
    out, errors, status = run(tests(command), library=library, directory=os.path.join(EXAMPLES, name))
    lines = list(re.finditer(test, out + errors, re.MULTILINE))
    for line in lines:
        whole = line.group(0)
        report.check(f"{name}: {line.group(1).replace('_', ' ')}", whole.startswith("ok ") or whole.endswith("... ok"), True)
    if status != 0:
        print(out + errors)
    report.check(f"{name}: the tests run to their end", (status, bool(lines)), (0, True))


def prototypes_of_header():
    """The functions of the header as Java should have them: name -> result and parameters. Those that log are not for Java."""
    types = {
        "opjournal_status": "int", "int32_t": "int", "uint32_t": "int", "int64_t": "long", "uint64_t": "long", "size_t": "Size", "void": "void",
        "opjournal_journal": "long", "opjournal_namespace": "long", "opjournal_queue": "long", "const char *": "byte[]", "int *": "IntByReference",
        "size_t *": "Size.ByReference", "opjournal_buffer *": "Buffer", "opjournal_completion *": "Completion",
        "opjournal_journal *": "LongByReference", "opjournal_namespace *": "LongByReference", "opjournal_queue *": "LongByReference",
    }  # fmt: skip
    with open(HEADER, encoding="utf-8") as file:
        code = re.sub(r"/\*.*?\*/", "", file.read(), flags=re.DOTALL).replace("struct ", "")
    found = {}
    for result, name, parameters in re.findall(r"^((?:const )?\w+ \*?)(opjournal_\w+)\(([^;{]*)\);$", code, re.MULTILINE):
        if "_log_to" in name:
            continue
        pairs = [re.match(r"\s*(.*?)(\w+)\s*$", parameter).groups() for parameter in parameters.split(",") if parameter.strip() != "void"]
        result = "String" if result == "const char *" else types[result.strip()]
        found[name] = (result, [(types[kind.strip()], parameter) for kind, parameter in pairs])
    return found, int(re.search(r"^#define OPJOURNAL_ABI_VERSION (\d+)$", code, re.MULTILINE).group(1))


def prototypes_of_java():
    with open(os.path.join(EXAMPLES, "java/dev/opjournal/OpjournalLibrary.java"), encoding="utf-8") as file:
        code = file.read()
    found = {}
    for result, name, parameters in re.findall(r"^ {4}(\w+) (opjournal_\w+)\((.*)\);$", code, re.MULTILINE):
        found[name] = (result, [tuple(parameter.split()) for parameter in parameters.split(", ") if parameter])
    return found, int(re.search(r"int OPJOURNAL_ABI_VERSION = (\d+);", code).group(1))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(ROOT, "build"), help="where the library and the built programs are")
    parser.add_argument("languages", nargs="*", help=", ".join(LANGUAGES))
    options = parser.parse_args()
    unknown = set(options.languages) - set(LANGUAGES)
    if unknown:
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(LANGUAGES)}")
    build = os.path.abspath(options.build)
    library = os.path.join(build, "lib", "libopjournal.0.dylib" if sys.platform == "darwin" else "libopjournal.so.0")
    older = os.path.join(build, "c", "tests", "fake_older.so")

    report, commands = Report(), {}
    for name in options.languages or LANGUAGES:
        try:
            commands[name] = LANGUAGES[name](build)
        except LeftOut as reason:
            print(f"left out: {name}: {reason}", flush=True)
        except subprocess.CalledProcessError as error:
            report.check(f"{name} is built", error.returncode, 0)
    with tempfile.TemporaryDirectory() as work:
        if "java" in commands:
            (written, version), (wanted, wanted_version) = prototypes_of_java(), prototypes_of_header()
            for function in sorted(wanted.keys() | written.keys()):
                report.check(f"java declares {function}", written.get(function), wanted.get(function))
            report.check("java declares the version", version, wanted_version)
        for name, command in commands.items():
            try_language(report, name, command, work, library, older)
        for name in WRAPPERS:
            if name in commands:
                try_wrapper(report, name, commands[name], library)
        try_together(report, commands, work, library)
    return 1 if report.failed or not report.passed else 0


if __name__ == "__main__":
    sys.exit(main())
