#!/bin/sh
# Unpacks one of Debian's packages, with what it needs and this machine lacks, into a cache outside the clone (no root is needed):
#   ${OPJOURNAL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/opjournal}/debian/PACKAGE/root
# Usage: debian.sh PACKAGE. Prints that directory. What is there already is left alone; two runs at once wait for each other.
set -eu

package="$1"
cache="${OPJOURNAL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/opjournal}/debian"
directory="$cache/$package"
# Lists of packages of our own, for a machine whose own are missing or too old. To fetch them takes no root.
own="-o Dir::State::lists=$cache/apt/lists -o Dir::Cache=$cache/apt -o Debug::NoLocking=true"
mkdir -p "$cache"

# Downloads what the machine lacks into this directory. Arguments: options of apt-get.
download() {
    lacking="$(apt-get "$@" --simulate --no-install-recommends install "$package")" || return 1
    lacking="$(echo "$lacking" | awk '/^Inst/ { print $2 }')"
    # shellcheck disable=SC2086
    [ -z "$lacking" ] || apt-get "$@" download $lacking
}

(
    flock 9
    # The file `installed` comes last: a directory without it is left over from a run that was broken off.
    if [ ! -e "$directory/installed" ]; then
        rm -rf "$directory"
        mkdir -p "$directory/root"
        cd "$directory"
        # shellcheck disable=SC2086
        download || {
            mkdir -p "$cache/apt/lists/partial" "$cache/apt/archives/partial"
            flock "$cache/apt.lock" apt-get $own update
            download $own
        }
        for file in *.deb; do
            [ -e "$file" ] || continue # nothing is lacking
            dpkg --extract "$file" root
            rm "$file"
        done
        touch installed
    fi
) 9>"$cache/$package.lock" >&2
echo "$directory/root"
