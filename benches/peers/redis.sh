#!/bin/sh
# Becomes a Redis server with the arguments that it is given: the redis-server or valkey-server that is installed, else one of Debian's
# packages, unpacked into a cache outside the clone (no root is needed). Ends with status 69 where there is neither.
set -eu

for server in redis-server valkey-server; do
    if path="$(command -v "$server")"; then
        exec "$path" "$@"
    fi
done

cache="${OPJOURNAL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/opjournal}/redis"
mkdir -p "$cache"
(
    flock 9
    if [ ! -e "$cache/installed" ]; then
        rm -rf "$cache/root"
        mkdir "$cache/root"
        cd "$cache"
        # What it needs and this machine lacks.
        packages="$(apt-get --simulate --no-install-recommends install redis-server | awk '/^Inst/ { print $2 }')"
        # shellcheck disable=SC2086
        apt-get download $packages
        for package in *.deb; do
            dpkg --extract "$package" root
            rm "$package"
        done
        touch installed
    fi
) 9>"$cache.lock" >&2 || {
    echo "redis.sh: there is no Redis: install redis-server or valkey-server" >&2
    exit 69
}
LD_LIBRARY_PATH="$(find "$cache/root/usr/lib" -name '*.so*' -exec dirname {} + | sort -u | paste -sd :)"
export LD_LIBRARY_PATH
exec "$cache/root/usr/bin/redis-server" "$@"
