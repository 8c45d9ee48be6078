#!/bin/sh
# A Go writer, a C writer and a C++ reader on one namespace. Each writer is killed with kill -9 in the middle of its writing
# and started again. In the end nothing is lost, nothing counts twice, and all three hold the same bytes.
#
# Usage: demo.sh STORE-URL      file:///DIR, or s3://BUCKET/ROOT with AWS_* and, for another server than AWS,
#                               OPJOURNAL_TEST_ENDPOINT set
# From the environment: BUILD (default "build"), where the programs are; BATCHES (default 60), how many each writer writes.
set -eu

[ $# -eq 1 ] || {
    echo "usage: demo.sh STORE-URL" >&2
    exit 2
}
store=$1
build=${BUILD:-build}
batches=${BATCHES:-60}
total=$((2 * batches))
# A name of its own for every run, so that a bucket may be used again.
namespace=demo-$(date +%s)-$$
work=$(mktemp -d)

go_life=
c_life=
stop_all() {
    # The lives first: they would start the next program.
    for id in $go_life $c_life; do
        kill -9 "$id" 2>/dev/null || true
    done
    for file in "$work"/*.pid; do
        [ ! -e "$file" ] || kill -9 "$(cat "$file")" 2>/dev/null || true
    done
    rm -rf "$work"
}
trap stop_all EXIT
trap 'exit 1' INT TERM

fail() {
    echo "demo: $*" >&2
    exit 1
}
# The same for a life, which runs beside the others: nobody needs to wait for a total that will not come.
fail_all() {
    echo "demo: $*" >&2
    kill -TERM $$ 2>/dev/null
    exit 1
}

case $store in
*[\"\\]*) fail "a store's URL with quotes or backslashes is more than this script can put into JSON" ;;
s3://*)
    config="{\"store\":\"$store\",\"region\":\"${AWS_REGION:-us-east-1}\""
    if [ -n "${OPJOURNAL_TEST_ENDPOINT:-}" ]; then
        config="$config,\"endpoint\":\"$OPJOURNAL_TEST_ENDPOINT\",\"force_path_style\":true"
    fi
    config="$config}"
    ;;
*) config="{\"store\":\"$store\"}" ;;
esac

# start NAME OUTPUT PROGRAM ARGUMENT...: a program in the background, its id in a file.
start() {
    name=$1
    output=$2
    shift 2
    "$@" -config "$config" -ns "$namespace" -wait "$total" >"$output" 2>>"$work/$name.errors" &
    pid=$!
    echo "$pid" >"$work/$name.pid"
}

# live NAME KILL-AT PROGRAM: writes, is killed as soon as it says that batch KILL-AT is acknowledged, and writes the rest.
live() {
    name=$1
    kill_at=$2
    program=$3
    mkfifo "$work/$name.pipe"
    start "$name" "$work/$name.pipe" "$program" -writer "$name" -count "$batches"
    acknowledged=0
    while read -r word _ number; do
        [ "$word" = acked ] || continue
        acknowledged=$number
        # What it had said before the signal came is still read from the pipe, to its end.
        [ "$number" -ne "$kill_at" ] || kill -9 "$pid" || true
    done <"$work/$name.pipe"
    code=0
    wait "$pid" 2>/dev/null || code=$?
    [ "$code" -eq 137 ] || fail_all "$name ended by itself, with code $code, instead of being killed: $(cat "$work/$name.errors")"
    [ "$acknowledged" -lt "$batches" ] || fail_all "$name was killed too late to be in the middle of its writing"
    echo "  $name: killed with kill -9; $acknowledged of $batches batches were acknowledged"

    start "$name" "$work/$name.log" "$program" -writer "$name" -count "$batches"
    wait "$pid" || fail_all "$name: $(cat "$work/$name.errors")"
    rm "$work/$name.pid"
    read -r word _ _ found <"$work/$name.log"
    [ "$word" = start ] || fail_all "$name began with '$word'"
    case $found in
    "$acknowledged") echo "  $name: its successor found all of them and no other, and wrote the rest" ;;
    $((acknowledged + 1))) echo "  $name: its successor found all of them and one more, whose answer never came, and wrote the rest" ;;
    *) fail_all "$name had $acknowledged batches acknowledged, and its successor found $found" ;;
    esac
}

echo "One namespace on $store; a Go writer and a C writer of $batches batches each, and a C++ reader that waits for $total."
library=$build/lib/libopjournal.so.0
[ -e "$library" ] || library=$build/lib/libopjournal.0.dylib
start reader "$work/reader.log" "$build/c/examples/dlopen" -lib "$library"
reader=$pid
live go $((batches / 3)) "$build/go/opjournal-demo" &
go_life=$!
live c $((batches / 2)) "$build/c/examples/demo" &
c_life=$!
wait "$go_life"
go_life=
wait "$c_life"
c_life=
wait "$reader" || fail "$(cat "$work/reader.errors")"
rm "$work/reader.pid"

for name in go c reader; do
    echo "  $name: $(tail -n 1 "$work/$name.log")"
done
expected=$(tail -n 1 "$work/go.log")
case $expected in
"digest "*" total $total") ;;
*) fail "the total is wrong" ;;
esac
for name in c reader; do
    [ "$(tail -n 1 "$work/$name.log")" = "$expected" ] || fail "go and $name do not agree"
done
echo "Nothing lost, nothing doubled: $total batches, and all three hold the same bytes."
