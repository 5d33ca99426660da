remove=$1; shift
exec 3<&0
"$@" </dev/null 3<&- &
program=$!
( read -r word <&3; kill -INT "$program" ) 2>/dev/null &
watcher=$!
wait "$program"
status=$?
kill "$watcher" 2>/dev/null
# Until the watcher has ended, it could read the input of this shell.
wait "$watcher" 2>/dev/null
echo "guard: exited with $status" >&2
if [ -n "$remove" ]; then
    read -r word <&3
    [ "$word" = keep ] || rm -rf -- "$remove" 2>/dev/null
fi
exit "$status"
