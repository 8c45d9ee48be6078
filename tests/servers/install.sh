#!/bin/sh
# Installs the S3 servers that the tests run against, pinned, into a cache outside the clone:
#   ${OPJOURNAL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/opjournal}/servers/NAME-VERSION/
# Usage: install.sh [minio|moto|ministack|s3rver]...    (none named: all four)
# What is installed already is left alone, so that a second run takes no time; two runs at once wait for each other.
# Needs go (minio), python3 with venv (moto, ministack), npm (s3rver).
set -eu

minio_version=v0.0.0-20260212201848-7aac2a2c5b7c
moto_version=5.2.5
ministack_version=1.5.33
s3rver_version=3.7.1

servers="${OPJOURNAL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/opjournal}/servers"
mkdir -p "$servers"

install_minio() {
    GOBIN="$1" GOFLAGS=-buildvcs=false go install "github.com/minio/minio@$minio_version"
}

# $1: directory, the rest: what to install
install_python() {
    directory="$1"
    shift
    python3 -m venv "$directory"
    "$directory/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
}

install_moto() {
    install_python "$1" "moto[s3,server]==$moto_version"
}

install_ministack() {
    install_python "$1" "ministack==$ministack_version"
}

install_s3rver() {
    npm install --prefix "$1" --no-audit --no-fund --no-save --loglevel=error "s3rver@$s3rver_version"
}

install_once() {
    name="$1"
    eval "version=\$${name}_version"
    directory="$servers/$name-$version"
    # The file `installed` comes last: a directory without it is left over from a run that was broken off.
    if [ ! -e "$directory/installed" ]; then
        echo "installing $name $version into $directory" >&2
        rm -rf "$directory"
        mkdir -p "$directory"
        "install_$name" "$directory" >&2
        touch "$directory/installed"
    fi
}

[ $# -gt 0 ] || set -- minio moto ministack s3rver
for name in "$@"; do
    case "$name" in
        minio | moto | ministack | s3rver) ;;
        *)
            echo "install.sh: there is no server called $name (minio, moto, ministack, s3rver)" >&2
            exit 2
            ;;
    esac
    (
        flock 9
        install_once "$name"
    ) 9>"$servers/$name.lock"
done
