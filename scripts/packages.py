#!/usr/bin/env python3
"""What is packaged, used as a stranger would: the source archive is built, the Go modules come from a proxy, Debian's packages are installed into a clean
system. Each test prints `ok NAME` or `not ok NAME`.

    scripts/packages.py           what CI runs
    scripts/packages.py --full    also compiles C and C++ in the clean system, in every way of linking

Needs build/lib, build/bin and build/share (make lib command). What this machine cannot do (debootstrap needs root) is left out, and said.
"""

import argparse
import functools
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

from checks import Failed, LeftOut, expect, run_all
from project import ROOT, version

BUILD = os.path.join(ROOT, "build")
PACKAGES = os.path.join(BUILD, "packages")
# No command here takes longer than this, with nothing in the caches.
SECONDS = 1200

COUNTER = os.path.join(ROOT, "bindings", "c", "examples", "counter.c")
GO_PROGRAM = """package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"opjournal.dev/opjournal"
	"opjournal.dev/opjournal/opjournalprom"
)

func main() {
	ctx := context.Background()
	journal, err := opjournal.Open(ctx, opjournal.Config{Store: os.Args[1]})
	if err != nil {
		log.Fatal(err)
	}
	defer journal.Close(ctx)
	namespace, err := journal.Namespace(ctx, "counter")
	if err != nil {
		log.Fatal(err)
	}
	prometheus.MustRegister(opjournalprom.NewCollector(namespace))
	visits := opjournal.NewInt(namespace, "visits")
	if err := visits.Add(ctx, 1); err != nil {
		log.Fatal(err)
	}
	fmt.Println(visits.Get())
}
"""
CMAKE_PROJECT = """cmake_minimum_required(VERSION 3.14)
project(user C CXX)
find_package(opjournal REQUIRED CONFIG)
add_executable(by-cmake counter.c)
target_link_libraries(by-cmake PRIVATE opjournal::opjournal)
add_executable(by-cmake-static counter.c)
target_link_libraries(by-cmake-static PRIVATE opjournal::static)
add_executable(by-cmake-loaded dlopen.cpp)
target_link_libraries(by-cmake-loaded PRIVATE opjournal::dl)
"""


def run(*command, directory=ROOT, variables=None, accepts=(0,)):
    """What a command prints on standard output."""
    environment = {**os.environ, **(variables or {})}
    done = subprocess.run(
        list(map(str, command)), cwd=directory, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    if done.returncode not in accepts:
        raise Failed(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
    return done.stdout


def needs_shared(program):
    return "libopjournal.so.0" in run("readelf", "-d", program)


def digest(*files):
    return run("sha256sum", *files)


# ---- The source archive ------------------------------------------------------------------------------------------------------------------------


def source_archive(work):
    """It builds and installs what it says, without git."""
    run("make", "-s", "dist")
    archive = os.path.join(PACKAGES, f"opjournal-{version()}.tar.gz")
    first = digest(archive)
    run("make", "-s", "dist")
    expect("a second archive of the same commit", digest(archive), first)
    run("sha256sum", "--check", f"{archive}.sha256", directory=PACKAGES)
    # Always in the same place: cargo keeps what it built of each place.
    place = os.path.join(PACKAGES, "unpacked")
    shutil.rmtree(place, ignore_errors=True)
    os.mkdir(place)
    run("tar", "-xzf", archive, directory=place)
    tree = os.path.join(place, f"opjournal-{version()}")
    # The quick profile, and only the library: what is shown is that nothing is missing.
    run("make", "-s", "lib", "PROFILE=dev", directory=tree)
    prefix = os.path.join(work, "from-source")
    run("make", "-s", "install-library", f"PREFIX={prefix}", directory=tree)
    flags = run("pkg-config", "--cflags", "--libs", "opjournal", variables={"PKG_CONFIG_PATH": os.path.join(prefix, "lib", "pkgconfig")}).split()
    program = os.path.join(work, "from-source-counter")
    run(os.environ.get("CC", "cc"), "-std=c99", COUNTER, "-o", program, *flags)
    expect("a program that is built with it", run(program, store(work), variables={"LD_LIBRARY_PATH": os.path.join(prefix, "lib")}), "1\n")
    shutil.rmtree(place)


# ---- Go ----------------------------------------------------------------------------------------------------------------------------------------


def go_modules(work):
    """`go get` takes them from a proxy, and they work with the library that is installed, shared and static."""
    proxy, prefix, module = (os.path.join(work, name) for name in ["proxy", "prefix", "user"])
    run(sys.executable, os.path.join(ROOT, "scripts", "go_module.py"), proxy)
    run("make", "-s", "install-library", f"PREFIX={prefix}")
    os.mkdir(module)
    with open(os.path.join(module, "main.go"), "w", encoding="utf-8") as file:
        file.write(GO_PROGRAM)
    known, others = run("go", "env", "GOMODCACHE", "GOPROXY").splitlines()
    settings = {
        # A cache of its own, or an older module of this version would be taken; what others wrote comes from the machine's.
        "GOMODCACHE": os.path.join(work, "modules"),
        "GOPROXY": f"file://{proxy},file://{known}/cache/download,{others}",
        "GONOSUMDB": "opjournal.dev",
        "GOFLAGS": "-modcacherw",
        "GOWORK": "off",
        "PKG_CONFIG_PATH": os.path.join(prefix, "lib", "pkgconfig"),
        # Go's build cache looks at this, and not at what pkg-config says.
        "CGO_LDFLAGS": f"-L{prefix}/lib",
    }
    run("go", "mod", "init", "example.org/user", directory=module, variables=settings)
    for name in ["opjournal.dev/opjournal", "opjournal.dev/opjournal/opjournalprom"]:
        run("go", "get", f"{name}@v{version()}", directory=module, variables=settings)
    run("go", "mod", "tidy", directory=module, variables=settings)
    url = store(work)
    run("go", "build", "-o", "shared", ".", directory=module, variables=settings)
    expect("linked with the shared library", needs_shared(os.path.join(module, "shared")), True)
    expect("shared", run(os.path.join(module, "shared"), url, variables={"LD_LIBRARY_PATH": os.path.join(prefix, "lib")}), "1 <nil>\n")
    run("go", "build", "-tags", "opjournal_static", "-o", "static", ".", directory=module, variables=settings)
    expect("linked with the static one", needs_shared(os.path.join(module, "static")), False)
    expect("static", run(os.path.join(module, "static"), url), "2 <nil>\n")


# ---- The ABI -----------------------------------------------------------------------------------------------------------------------------------


def abi(work):
    """It is what the last release had, and the check would notice if it were not."""
    library = os.path.join(BUILD, "lib", "libopjournal.so.0")
    checked = run(sys.executable, os.path.join(ROOT, "scripts", "abi.py"), "check", "--library", library)
    expect("checks", checked.count("ok ABI"), 4)
    changes = {
        "a constant": (r"(#define OPJOURNAL_BUSY) 4", r"\1 44", "OPJOURNAL_BUSY was 4, and is 44"),
        "a member": (r"(typedef struct opjournal_buffer \{)", r"\1 int flags;", "programs that were built with"),
        "an addition": (r"(#define OPJOURNAL_BUSY 4)", r"\1\n#define OPJOURNAL_MORE 99", "OPJOURNAL_ABI_VERSION has not grown"),
    }
    for what, (pattern, replacement, wanted) in changes.items():
        headers = os.path.join(work, "headers-" + what.replace(" ", "-"))
        shutil.copytree(os.path.join(ROOT, "include"), headers)
        place = os.path.join(headers, "opjournal.h")
        with open(place, encoding="utf-8") as file:
            text, count = re.subn(pattern, replacement, file.read())
        expect(f"{what}: places", count, 1)
        with open(place, "w", encoding="utf-8") as file:
            file.write(text)
        told = run(sys.executable, os.path.join(ROOT, "scripts", "abi.py"), "check", "--library", library, "--headers", headers, accepts=(1,))
        if wanted not in told:
            raise Failed(f"{what}: the check says {told!r}, without {wanted!r}")


# ---- Debian ------------------------------------------------------------------------------------------------------------------------------------


def debian_packages(_):
    """They can be made, twice the same, and have the version of the sources."""
    if not shutil.which("dpkg-deb") or not shutil.which("apt-get"):
        raise LeftOut("this is no Debian")
    run("make", "-s", "deb")
    packages = sorted(glob.glob(os.path.join(PACKAGES, "*.deb")))
    names = [os.path.basename(package).split("_")[0] for package in packages]
    expect("packages", names, ["libopjournal-dev", "libopjournal0", "opjournal"])
    for package in packages:
        expect(package, run("dpkg-deb", "--field", package, "Version").split("-")[0], version())
    first = digest(*packages)
    run("make", "-s", "deb")
    expect("the same packages, made once more", digest(*packages), first)


class Clean:
    """A clean system in a directory, and the packages in it."""

    def __init__(self, work, *kind):
        if os.geteuid() != 0:
            raise LeftOut("a clean system: debootstrap needs root")
        archive = run(os.path.join(ROOT, "scripts", "debian_root.sh"), *kind).strip()
        self.directory = os.path.join(work, "-".join(["root", *kind[:1]]))
        os.mkdir(self.directory)
        run("tar", "-C", self.directory, "-xf", archive)
        for package in glob.glob(os.path.join(PACKAGES, "*.deb")):
            shutil.copy(package, self.path("tmp"))

    def path(self, *parts):
        return os.path.join(self.directory, *parts)

    def run(self, *command, accepts=(0,)):
        clean = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
        return run("env", "-i", *(f"{name}={value}" for name, value in clean.items()), "chroot", self.directory, *command, accepts=accepts)

    def files(self):
        """What packages bring, without what dpkg and systemd's helper remember."""
        own = ["/var/lib/dpkg", "/var/lib/systemd"]
        return set(self.run("find", "/usr", "/etc", "/var/lib", *(word for path in own for word in ["-path", path, "-prune", "-o"]), "-print").split())

    def install(self, *names):
        self.run("dpkg", "--install", *(f"/tmp/{os.path.basename(glob.glob(self.path('tmp', f'{name}_*.deb'))[0])}" for name in names))


def clean_system(work):
    """The packages go into a clean system, work there, and leave nothing behind."""
    clean = Clean(work)
    before = clean.files()
    clean.install("opjournal")
    expect("version", clean.run("opjournal", "--version"), f"opjournal {version()}\n")
    clean.run("mkdir", "/store")
    clean.run("opjournal", "apply", "file:///store", "orders", '{"op":"IntAdd","Key":"total","Delta":5}')
    expect("what was written", clean.run("opjournal", "get", "file:///store", "orders", "total").strip(), "5")
    clean.run("test", "-s", "/usr/share/bash-completion/completions/opjournal")
    clean.install("libopjournal0", "libopjournal-dev")
    expect("found by the loader", "libopjournal.so.0 " in clean.run("ldconfig", "--print-cache"), True)
    clean.run("dpkg", "--purge", "opjournal", "libopjournal-dev", "libopjournal0")
    after = clean.files()
    expect("left behind", sorted(after - before), [])


def clean_compilers(work):
    """C and C++ are compiled with the development package in a clean system, in every way of linking."""
    clean = Clean(work, "compilers", "gcc,g++,libc6-dev,pkg-config,cmake,make")
    clean.install("libopjournal0", "libopjournal-dev")
    clean.run("mkdir", "/user", "/store")
    for name in ["counter.c", "dlopen.cpp"]:
        shutil.copy(os.path.join(ROOT, "bindings", "c", "examples", name), clean.path("user"))
    with open(clean.path("user", "CMakeLists.txt"), "w", encoding="utf-8") as file:
        file.write(CMAKE_PROJECT)
    count = 0
    for package in ["opjournal", "opjournal-static"]:
        clean.run("sh", "-ec", f"cc -std=c99 -Wall -Werror /user/counter.c -o /user/{package} $(pkg-config --cflags --libs {package})")
        count += 1
        expect(f"pkg-config {package}", clean.run(f"/user/{package}", "file:///store"), f"{count}\n")
    clean.run("sh", "-ec", "cmake -S /user -B /user/build && cmake --build /user/build")
    for program in ["by-cmake", "by-cmake-static"]:
        count += 1
        expect(program, clean.run(f"/user/build/{program}", "file:///store"), f"{count}\n")
    told = clean.run("/user/build/by-cmake-loaded", "-store", "file:///store", "-ns", "counter")
    expect("by-cmake-loaded", re.sub("digest [0-9a-f]+", "digest", told.strip()), "digest total 0")


def store(work):
    return f"file://{tempfile.mkdtemp(dir=work, prefix='store-')}"


TESTS = [
    ("the source archive builds and installs", source_archive, False),
    ("Go modules from a proxy, with the installed library", go_modules, False),
    ("the ABI is the last release's, and its check notices changes", abi, False),
    ("Debian's packages are made, twice the same", debian_packages, False),
    ("Debian's packages in a clean system", clean_system, False),
    ("C and C++ against the packages in a clean system", clean_compilers, True),
]


def in_its_own_directory(test):
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as work:
        test(work)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="also compile in the clean system")
    options = parser.parse_args()
    return run_all((name, functools.partial(in_its_own_directory, test)) for name, test, is_slow in TESTS if options.full or not is_slow)


if __name__ == "__main__":
    sys.exit(main())
