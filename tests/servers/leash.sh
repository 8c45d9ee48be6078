#!/bin/sh
# Runs a command until standard input ends, which it does when the process that holds its other end is gone, however that
# came about. When the command has ended, its directory is removed.
# Usage: leash.sh DIRECTORY COMMAND...
directory="$1"
shift
exec 3<&0
"$@" </dev/null 3<&- &
child=$!
(
    cat <&3 >/dev/null
    kill "$child" 2>/dev/null
) &
watcher=$!
exec 3<&-
wait "$child"
status=$?
kill "$watcher" 2>/dev/null
rm -rf "$directory"
exit "$status"
