#!/bin/sh
# Installs cargo-fuzz, pinned, into a cache outside the clone, where mk/fuzz.mk finds it:
#   ${OPJOURNAL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/opjournal}/cargo-fuzz-VERSION/bin/cargo-fuzz
# What is installed already is left alone; two runs at once wait for each other. Prints the directory of the program.
set -eu

version=0.13.2
cache="${OPJOURNAL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/opjournal}"
directory="$cache/cargo-fuzz-$version"

if ! rustup run nightly rustc --version >/dev/null 2>&1; then
    # `make test` tells a suite that a machine cannot run from one that failed by the first words.
    echo "left out: fuzzing needs a nightly Rust compiler, for its sanitizers: rustup toolchain install nightly --profile minimal" >&2
    exit 1
fi

mkdir -p "$cache"
(
    flock 9
    # The file `installed` comes last: a directory without it is left over from a run that was broken off.
    if [ ! -e "$directory/installed" ]; then
        echo "installing cargo-fuzz $version into $directory" >&2
        rm -rf "$directory"
        cargo install cargo-fuzz --version "$version" --locked --quiet --root "$directory" >&2
        touch "$directory/installed"
    fi
) 9>"$cache/cargo-fuzz.lock"
echo "$directory/bin"
