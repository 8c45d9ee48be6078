"""What several of the project's Python programs ask."""

import os
import re
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# What takes long to build or to fetch, outside of the clone.
CACHE = os.environ.get("OPJOURNAL_CACHE") or os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "opjournal")


def version():
    with open(os.path.join(ROOT, "Cargo.toml"), encoding="utf-8") as file:
        return re.search(r'^version = "(.*)"', file.read(), re.MULTILINE).group(1)


def unpacked(package):
    """Where one of Debian's packages is unpacked, with what it needs and this machine lacks. CalledProcessError: it is not to be had."""
    done = subprocess.run([os.path.join(ROOT, "scripts", "debian.sh"), package], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()


def library_path(root):
    """What LD_LIBRARY_PATH has to be for the programs of an unpacked package."""
    folders = [folder for folder, _, names in os.walk(os.path.join(root, "usr", "lib")) if any(".so" in name for name in names)]
    return os.pathsep.join([*folders, *filter(None, [os.environ.get("LD_LIBRARY_PATH")])])
