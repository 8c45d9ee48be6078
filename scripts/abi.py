#!/usr/bin/env python3
"""Whether the C ABI only grew since the last release. Each release leaves two files in include/abi: what abidw (libabigail) tells of its functions and
types, and its constants.

    scripts/abi.py check --library build/lib/libopjournal.so
    scripts/abi.py record --library build/lib/libopjournal.so     writes down the ABI of the version in Cargo.toml

Types are not in the library, which is stripped and was not written in C, but in the header. So the header is compiled with a body for each function that it
declares, and that is what abidiff looks at; the library must export the same functions, under the same version.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile

from project import ROOT, library_path, unpacked, version

RECORDS = os.path.join(ROOT, "include", "abi")
# Grows with each addition.
ABI_VERSION = "OPJOURNAL_ABI_VERSION"
# What abidiff says in its exit status.
FAILED, MISUSED, CHANGED, INCOMPATIBLE = 1, 2, 4, 8


class Refused(Exception):
    """What stands against the ABI."""


def run(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout


def libabigail():
    """The environment in which abidw and abidiff are found: this machine's, or Debian's package unpacked into the cache."""
    for place in os.environ.get("PATH", "").split(os.pathsep):
        if os.access(os.path.join(place, "abidw"), os.X_OK):
            return dict(os.environ)
    root = unpacked("abigail-tools")
    return {
        **os.environ,
        "PATH": os.pathsep.join([os.path.join(root, "usr", "bin"), os.environ.get("PATH", "")]),
        "LD_LIBRARY_PATH": library_path(root),
    }


def as_numbers(text):
    return [int(part) for part in text.split(".")]


def last_release():
    """The newest version that left its ABI here, this one included."""
    known = [name.removesuffix(".abi") for name in os.listdir(RECORDS) if name.endswith(".abi")] if os.path.isdir(RECORDS) else []
    if not known:
        raise Refused(f"no release has left its ABI in {os.path.relpath(RECORDS, ROOT)}: make abi-record")
    return max(known, key=as_numbers)


def constants(headers):
    """The header's own macros that have a value, as the compiler has them."""
    compiler = os.environ.get("CC", "cc")
    defined = run(compiler, "-E", "-dM", "-include", os.path.join(headers, "opjournal.h"), "-x", "c", os.devnull)
    pairs = re.findall(r"^#define (OPJOURNAL_\w+) (\S.*)$", defined, re.MULTILINE)
    return dict(sorted(pairs))


def exported(library):
    """What a shared library exports, with the versions of the symbols."""
    lines = run(os.environ.get("NM", "nm"), "--dynamic", "--defined-only", "--with-symbol-versions", library).splitlines()
    # The node itself is a symbol as well.
    return {fields[2] for fields in map(str.split, lines) if fields[1] != "A"}


def soname(library):
    return re.search(r"\(SONAME\).*\[(.*)\]", run("readelf", "-d", library)).group(1)


def as_declared(work, headers, name):
    """A library with the types and functions that the header declares."""
    library = os.path.join(work, "declared.so")
    compiler = os.environ.get("CC", "cc")
    run(
        compiler, "-std=c99", "-g", "-shared", "-fPIC", "-w", "-DFAKE_ABI=OPJOURNAL_ABI_VERSION", f"-ffile-prefix-map={ROOT}=.", "-I", headers,
        f"-Wl,-soname,{name}", f"-Wl,--version-script={os.path.join(headers, 'opjournal.map')}",
        os.path.join(ROOT, "bindings", "c", "tests", "dl_fake.c"), "-o", library,
    )  # fmt: skip
    return library


def record(library, headers, environment, work):
    os.makedirs(RECORDS, exist_ok=True)
    declared = as_declared(work, headers, soname(library))
    place = os.path.join(RECORDS, version())
    # Without what differs from one machine to the next.
    quiet = ["--no-corpus-path", "--no-comp-dir-path", "--no-show-locs", "--no-architecture", "--type-id-style", "hash"]
    run("abidw", *quiet, "--out-file", f"{place}.abi", declared, env=environment)
    with open(f"{place}.json", "w", encoding="utf-8") as file:
        json.dump(constants(headers), file, indent=2)
        file.write("\n")
    print(f"include/abi/{version()}.abi and .json are what {version()} promises")


def compare_constants(before, now):
    """Raises where a constant is gone or another one, and tells which came."""
    wrong = [
        f"{name} was {value}, and {'is ' + now[name] if name in now else 'is gone'}"
        for name, value in before.items()
        if name != ABI_VERSION and now.get(name) != value
    ]
    if wrong:
        raise Refused("constants that programs were compiled with: " + "; ".join(wrong))
    return sorted(now.keys() - before.keys())


def check(library, headers, environment, work):
    if exported(library) != (declared := exported(as_declared(work, headers, soname(library)))):
        raise Refused(f"the library does not export what the header declares: {', '.join(sorted(exported(library) ^ declared))}")
    print("ok ABI: the library exports what its header declares")
    release = last_release()
    place = os.path.join(RECORDS, release)
    with open(f"{place}.json", encoding="utf-8") as file:
        before = json.load(file)
    now = constants(headers)
    added = compare_constants(before, now)
    print(f"ok ABI: the constants of {release} are as they were")
    compared = subprocess.run(
        ["abidiff", "--no-show-locs", "--no-architecture", f"{place}.abi", os.path.join(work, "declared.so")], env=environment, capture_output=True, text=True, check=False
    )
    status = compared.returncode
    if status & (FAILED | MISUSED):
        raise Refused(f"abidiff failed: {compared.stdout}{compared.stderr}")
    # It calls every change of a function's type incompatible, and every addition a change.
    if status & INCOMPATIBLE or re.search(r"^Functions changes summary: (?!0 Removed, 0 Changed)", compared.stdout, re.MULTILINE):
        raise Refused(f"programs that were built with {release} break:\n{compared.stdout}")
    print(f"ok ABI: programs that were built with {release} go on")
    if (status & CHANGED or added) and int(now[ABI_VERSION]) <= int(before[ABI_VERSION]):
        raise Refused(f"something was added since {release} ({', '.join(added) or compared.stdout}), and {ABI_VERSION} has not grown")
    print(f"ok ABI: {ABI_VERSION} tells what was added")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["check", "record"])
    parser.add_argument("--library", required=True, help="the shared library, as it is installed")
    parser.add_argument("--headers", default=os.path.join(ROOT, "include"), help="where opjournal.h and opjournal.map are")
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as work:
            (check if options.action == "check" else record)(options.library, options.headers, libabigail(), work)
    except Refused as why:
        print(f"not ok ABI: {why}")
        return 1
    except subprocess.CalledProcessError as error:
        print(f"not ok ABI: {' '.join(map(str, error.cmd))}: {error.stderr or error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
