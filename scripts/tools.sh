#!/bin/sh
# Looks for the tools that building and testing need, and names the Debian package of each that is missing.
set -u
missing=0
need() {
    if ! command -v "$1" >/dev/null 2>&1; then
        echo "missing: $1 ($2)" >&2
        missing=1
    fi
}
need cargo "Rust 1.94.1 or newer, https://rustup.rs"
if command -v rustup >/dev/null 2>&1 && ! rustup run nightly rustc --version >/dev/null 2>&1; then
    echo "missing: a nightly Rust (rustup toolchain install nightly), for the sanitizers, Miri and the fuzz targets" >&2
    missing=1
fi
need go "Go 1.24 or newer, https://go.dev/dl"
need cc "apt-get install gcc"
need c++ "apt-get install g++"
need make "apt-get install make"
need cmake "apt-get install cmake"
need pkg-config "apt-get install pkg-config"
need python3 "apt-get install python3 python3-venv"
need node "apt-get install nodejs"
need npm "apt-get install npm"
need nm "apt-get install binutils"
exit $missing
