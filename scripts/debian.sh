#!/bin/sh
# Unpacks one of Debian's packages, with what it needs and this machine lacks, into a cache outside the clone (no root is needed):
#   ${OPJOURNAL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/opjournal}/debian/PACKAGE/root
# Usage: debian.sh PACKAGE. Prints that directory. What is there already is left alone; two runs at once wait for each other.
set -eu

package="$1"
cache="${OPJOURNAL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/opjournal}/debian"
directory="$cache/$package"
mkdir -p "$cache"
(
    flock 9
    # The file `installed` comes last: a directory without it is left over from a run that was broken off.
    if [ ! -e "$directory/installed" ]; then
        rm -rf "$directory"
        mkdir -p "$directory/root"
        cd "$directory"
        packages="$(apt-get --simulate --no-install-recommends install "$package" | awk '/^Inst/ { print $2 }')"
        # shellcheck disable=SC2086
        apt-get download $packages
        for file in *.deb; do
            dpkg --extract "$file" root
            rm "$file"
        done
        touch installed
    fi
) 9>"$cache/$package.lock" >&2
echo "$directory/root"
