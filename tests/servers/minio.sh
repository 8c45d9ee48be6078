#!/usr/bin/env bash
# Runs a command beside a MinIO of its own: on a free port of 127.0.0.1, with an empty bucket in a fresh directory. Both are
# gone when the command has ended. Installs MinIO first where that was not done yet.
# Usage: minio.sh run -- COMMAND...
# The command finds in its environment: OPJOURNAL_TEST_ENDPOINT, OPJOURNAL_TEST_BUCKET, AWS_ACCESS_KEY_ID,
# AWS_SECRET_ACCESS_KEY, AWS_REGION. The exit status is the command's.
set -euo pipefail

if [[ $# -lt 3 || $1 != run || $2 != -- ]]; then
    sed -n '2,6s/^# //p' "$0" >&2
    exit 2
fi
shift 2

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
"$here/install.sh" minio
minio="$(echo "${OPJOURNAL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/opjournal}"/servers/minio-*/minio)"

directory="$(mktemp -d)"
server=
clean_up() {
    exec 4>&-
    [[ -z $server ]] || wait "$server" 2>/dev/null || true
    rm -rf "$directory"
}
exec 4</dev/null
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

export AWS_ACCESS_KEY_ID=opjournal AWS_SECRET_ACCESS_KEY=opjournal-secret AWS_REGION=us-east-1
export OPJOURNAL_TEST_BUCKET=opjournal
unset AWS_SESSION_TOKEN AWS_PROFILE
export NO_PROXY="127.0.0.1${NO_PROXY:+,$NO_PROXY}"
export no_proxy="$NO_PROXY"

# Whether the server answers that it can serve.
is_ready() {
    exec 3<>"/dev/tcp/127.0.0.1/$1" || return 1
    printf 'GET /minio/health/cluster HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n' >&3
    local answer=
    read -r -t 5 answer <&3 || true
    exec 3<&- 3>&-
    [[ $answer == *" 200 "* ]]
} 2>/dev/null

# The server's leash: it ends with this script, even where that is killed.
mkfifo "$directory/leash"
exec 4<>"$directory/leash"
for _ in 1 2 3 4 5; do
    port=$((20000 + $(od -An -N2 -tu2 /dev/urandom) % 12000))
    # A directory of the server's is a bucket.
    mkdir -p "$directory/data/$OPJOURNAL_TEST_BUCKET"
    MINIO_ROOT_USER="$AWS_ACCESS_KEY_ID" MINIO_ROOT_PASSWORD="$AWS_SECRET_ACCESS_KEY" MINIO_BROWSER=off MINIO_UPDATE=off \
        "$here/leash.sh" "$directory/data" "$minio" server --quiet --address "127.0.0.1:$port" "$directory/data" \
        <"$directory/leash" >"$directory/log" 2>&1 4>&- &
    server=$!
    deadline=$((SECONDS + 60))
    until is_ready "$port"; do
        if ! kill -0 "$server" 2>/dev/null; then
            # The port was taken.
            server=
            break
        fi
        if ((SECONDS > deadline)); then
            break
        fi
        sleep 0.05
    done
    [[ -z $server ]] || break
done
if [[ -z $server ]] || ! is_ready "$port"; then
    echo "minio.sh: MinIO does not start:" >&2
    cat "$directory/log" >&2
    exit 1
fi

export OPJOURNAL_TEST_ENDPOINT="http://127.0.0.1:$port"
status=0
"$@" 4>&- || status=$?
exit "$status"
