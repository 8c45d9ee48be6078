#!/bin/sh
# A small clean system of this machine's own distribution, as an archive in the cache, made by debootstrap:
#   ${OPJOURNAL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/opjournal}/debian/root-SUITE[-NAME].tar
# Usage: debian_root.sh [NAME PACKAGE,PACKAGE...]: with these packages in it. Prints the archive's path. Needs root, as debootstrap does. An archive that is
# there already is left alone; two runs at once wait for each other.
set -eu

[ "$(id -u)" = 0 ] || { echo "debian_root.sh: debootstrap needs root" >&2; exit 1; }
cache="${OPJOURNAL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/opjournal}/debian"
mkdir -p "$cache"
# shellcheck disable=SC1091
suite="$(. /etc/os-release && echo "$VERSION_CODENAME")"
name="root-$suite${1:+-$1}"
archive="$cache/$name.tar"

(
    flock 9
    if [ ! -e "$archive" ]; then
        if ! command -v debootstrap >/dev/null 2>&1; then
            tools="$("$(dirname "$0")/debian.sh" debootstrap)"
            export DEBOOTSTRAP_DIR="$tools/usr/share/debootstrap" PATH="$PATH:$tools/usr/sbin"
        fi
        # Where this machine has its own packages from.
        mirror="$(apt-get indextargets --format '$(RELEASE) $(SITE)' | awk -v suite="$suite" '$1 == suite { print $2; exit }')"
        work="$(mktemp -d)"
        trap 'rm -rf "$work"' EXIT
        debootstrap --variant=minbase ${2:+--include="$2"} "$suite" "$work/root" ${mirror:+"$mirror"}
        # Packages that were downloaded are of no use any more.
        rm -f "$work"/root/var/cache/apt/archives/*.deb
        tar -C "$work/root" --numeric-owner -cf "$archive.new" .
        mv "$archive.new" "$archive"
    fi
) 9>"$cache/$name.lock" >&2
echo "$archive"
