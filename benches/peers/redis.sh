#!/bin/sh
# Becomes a Redis server with the arguments that it is given: the redis-server or valkey-server that is installed, else the one of Debian's
# packages (scripts/debian.sh). Ends with status 69 where there is neither.
set -eu

for server in redis-server valkey-server; do
    if path="$(command -v "$server")"; then
        exec "$path" "$@"
    fi
done

root="$("$(dirname "$0")/../../scripts/debian.sh" redis-server)" || {
    echo "redis.sh: there is no Redis: install redis-server or valkey-server" >&2
    exit 69
}
LD_LIBRARY_PATH="$(find "$root/usr/lib" -name '*.so*' -exec dirname {} + | sort -u | paste -sd :)"
export LD_LIBRARY_PATH
exec "$root/usr/bin/redis-server" "$@"
