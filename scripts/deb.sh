#!/bin/sh
# Makes Debian's packages of what stands in build/: build/packages/*.deb. Takes debhelper from this machine, or from Debian's package unpacked into the
# cache. Run in the root of the tree.
set -eu

if ! command -v dh >/dev/null 2>&1; then
    root="$(scripts/debian.sh debhelper)"
    PATH="$PATH:$root/usr/bin"
    PERL5LIB="$root/usr/share/perl5${PERL5LIB:+:$PERL5LIB}"
    DH_DATAFILES="$root/usr/share/debhelper${DH_DATAFILES:+:$DH_DATAFILES}"
    DH_AUTOSCRIPTDIR="$root/usr/share/debhelper/autoscripts"
    export PATH PERL5LIB DH_DATAFILES DH_AUTOSCRIPTDIR
fi

mkdir -p build/packages
rm -f build/packages/*.deb
# The times of packaged files are no later than this, so that the same build makes the same package.
SOURCE_DATE_EPOCH="$(dpkg-parsechangelog --show-field Timestamp)"
export SOURCE_DATE_EPOCH
debian/rules binary
# What the packages were put together in.
debian/rules clean
ls build/packages/*.deb
