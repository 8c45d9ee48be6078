#!/bin/sh
# Runs the examples against the library on a directory store. Arguments: where the examples are, the shared library.
set -eu

examples=$1
library=$(cd "$(dirname "$2")" && pwd)/$(basename "$2")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/store"
store=file://$work/store

fail() {
    echo "examples_test: $*" >&2
    exit 1
}
# is NAME GOT WANTED
is() {
    [ "$2" = "$3" ] || fail "$1: got '$2', wanted '$3'"
    echo "ok $1"
}

for turn in 1 2 3; do
    is "counter, run $turn" "$("$examples/counter" "$store")" "$turn"
done
is "events, first run" "$("$examples/events" "$store" 300)" 300
is "events, second run" "$("$examples/events" "$store" 7)" 307

# A store that is not there, and one whose name would break out of a badly built text.
for missing in "file://$work/nowhere" "file://$work/\"},{"; do
    code=0
    "$examples/counter" "$missing" >"$work/out" 2>"$work/err" || code=$?
    is "counter, exit code on $missing" "$code" 1
    grep -q '^open: NO_SUCH_STORE: ' "$work/err" || fail "counter on $missing said: $(cat "$work/err")"
    code=0
    "$examples/events" "$missing" 5 >"$work/out" 2>"$work/err" || code=$?
    is "events, exit code on $missing" "$code" 1
done

demo() {
    "$examples/demo" -store "$store" "$@"
}
demo -writer a -count 20 >"$work/a1"
is "demo starts at nothing" "$(head -n 1 "$work/a1")" "start a resume 0"
is "demo acknowledges each batch" "$(grep -c '^acked a ' "$work/a1")" 20
is "demo counts" "$(tail -n 1 "$work/a1" | cut -d ' ' -f 3-)" "total 20"

# Killed with a batch on its way: that batch is there or is not, and never twice.
code=0
demo -writer a -count 50 -crash-after 5 >"$work/a2" 2>"$work/err" || code=$?
is "demo kills itself" "$code" 137
is "demo went on where it was" "$(head -n 1 "$work/a2")" "start a resume 20"
is "demo got as far as it said" "$(tail -n 1 "$work/a2")" "acked a 25"
demo -writer b -count 10 -wait 60 >"$work/b" &
other=$!
demo -writer a -count 50 -wait 60 >"$work/a3"
wait "$other" || fail "the other writer failed"
case $(head -n 1 "$work/a3") in
"start a resume 25" | "start a resume 26") echo "ok demo resumes after the crash" ;;
*) fail "after the crash: $(head -n 1 "$work/a3")" ;;
esac
is "two writers agree" "$(tail -n 1 "$work/a3")" "$(tail -n 1 "$work/b")"
is "two writers count to" "$(tail -n 1 "$work/a3" | cut -d ' ' -f 3-)" "total 60"
is "the loaded library agrees" "$("$examples/dlopen" -store "$store" -wait 60 -lib "$library")" "$(tail -n 1 "$work/b")"
is "the environment's configuration" "$(OPJOURNAL_CONFIG="{\"store\":\"$store\"}" "$examples/demo" -writer a -count 0 | tail -n 1)" "$(tail -n 1 "$work/b")"
