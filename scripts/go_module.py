#!/usr/bin/env python3
"""Writes this project's Go modules as a module proxy has them (https://go.dev/ref/mod#goproxy-protocol), for whoever wants to use a release without
a repository: GOPROXY=file:///THAT/DIRECTORY,... and GONOSUMDB=opjournal.dev.

    scripts/go_module.py DIRECTORY
"""

import datetime
import json
import os
import re
import subprocess
import sys
import zipfile

from project import ROOT, version

MODULES = ["bindings/go", "bindings/go/opjournalprom"]


def git(*arguments):
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout


def read(*path):
    with open(os.path.join(ROOT, *path), "rb") as file:
        return file.read()


def files(room):
    """The files of a module, by their paths in it: what git knows, without what belongs to a module further below. Every module has a licence."""
    found = {name.removeprefix(room + "/"): os.path.join(room, name.removeprefix(room + "/")) for name in git("ls-files", "--", room).split("\n") if name}
    below = [os.path.dirname(name) + "/" for name in found if os.path.basename(name) == "go.mod" and name != "go.mod"]
    return {"LICENSE": "LICENSE", **{name: path for name, path in found.items() if not name.startswith(tuple(below))}}


def write(room, release, time, proxy):
    manifest = read(room, "go.mod")
    module = re.search(r"^module (\S+)$", manifest.decode(), re.MULTILINE).group(1)
    # The part of a path with capitals is written otherwise; these have none.
    place = os.path.join(proxy, *module.split("/"), "@v")
    os.makedirs(place, exist_ok=True)
    with zipfile.ZipFile(os.path.join(place, f"{release}.zip"), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in sorted(files(room).items()):
            # Without a date of its own, so that the same sources make the same bytes.
            archive.writestr(zipfile.ZipInfo(f"{module}@{release}/{name}"), read(path), zipfile.ZIP_DEFLATED)
    with open(os.path.join(place, f"{release}.mod"), "wb") as file:
        file.write(manifest)
    with open(os.path.join(place, f"{release}.info"), "w", encoding="utf-8") as file:
        json.dump({"Version": release, "Time": time}, file)
    with open(os.path.join(place, "list"), "w", encoding="utf-8") as file:
        file.write(f"{release}\n")
    print(f"{module}@{release}")


def main():
    if len(sys.argv) != 2:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    release = f"v{version()}"
    committed = datetime.datetime.fromtimestamp(int(git("log", "-1", "--format=%ct")), datetime.timezone.utc)
    for room in MODULES:
        write(room, release, committed.strftime("%Y-%m-%dT%H:%M:%SZ"), sys.argv[1])
    return 0


if __name__ == "__main__":
    sys.exit(main())
