#!/bin/bash
# SPDX-License-Identifier: MIT
#
# inspect.sh BUILD - checks that `mem map`, `find`, `sizes`, `check` and `snap` say of a
# program what the program knows of itself, and that the program goes on [T1 to T5]. Prints TAP.
#
# The program (test/inspect/inspected.c) is looked at while it runs, stripped and linked
# statically, in core files and in snapshots; while its threads allocate, while it is stopped,
# killed, or executes another program; and when the tool is killed.
set -u
build=$(realpath -e "${1:?usage: inspect.sh BUILD}") || exit 2
# shellcheck source=test/support/inspecting.sh
. "$(dirname "$0")/support/inspecting.sh"
need inspected inspected-static threads stale
ulimit -c unlimited

addresses() { # word: the addresses that the program has said it of
    awk -v word="$1" '$1 == word { print $2 }' says
}

# Says whether `mem find` knows all objects of the program, to the byte, in the target; or all
# except malloc's.
finds_all() { # target [except]
    awk -v except="${2-}" '$1 == "live" && $4 != except {
        print $2 ": object of " $3 " bytes in" }' says >expected
    mapfile -t list < <(cut -d: -f1 expected)
    run "$mem" find "$1" "${list[@]}"
    grep -o '^0x[0-9a-f]*: object of [0-9]* bytes in' out >found
    [ "$status" -eq 0 ] && [ -s expected ] && cmp -s expected found
}

# Says whether it knows that all others are free.
finds_free() { # target
    mapfile -t list < <(addresses free)
    run "$mem" find "$1" "${list[@]}"
    [ "$status" -eq 1 ] && [ "$(grep -c '^0x[0-9a-f]*: free: ' out)" -eq "${#list[@]}" ]
}

# Says whether the census has what the program has counted.
counts() { # target
    local size number
    read -r _ size number _ < <(grep ^count says)
    run "$mem" sizes --json --top 1000000 "$1"
    grep -q "{\"size\": $size, \"objects\": $number}" out
}

looks() { # target what: all of it
    finds_all "$1"
    result $? "$2: find knows each object, in all heaps"
    finds_free "$1"
    result $? "$2: and what is free"
    counts "$1"
    result $? "$2: sizes counts what the program has counted"
    run "$mem" check "$1"
    [ "$status" -eq 0 ] && [ "$(grep -c ' is sound: ' out)" -eq 7 ]
    result $? "$2: check finds all seven heaps sound"
}

# Writes a snapshot in which one byte is another.
patch_byte() { # file offset octal
    cp snap "$1" && printf "%b" "\\0$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

refuses() { # pattern what: with status 2, and nothing on standard output
    [ "$status" -eq 2 ] && [ ! -s out ] && grep -qE "$1" err
    result $? "$2"
}

# --- a program that runs -------------------------------------------------------------

inspected=$programs/inspected
strip -o stripped "$inspected"
start ./stripped
looks "$pid" 'a stripped program'
run "$mem" find "$pid" "$(printf '0x%x' $(($(addresses live | head -n 1) + 5)))"
[ "$status" -eq 0 ] && grep -q 'object of 1237 bytes at 0x[0-9a-f]*, +5, in malloc' out
result $? 'an address inside an object'
run "$mem" find "$pid" "$(printf '0x%x' $(($(addresses live | head -n 1) + 1238)))"
[ "$status" -eq 1 ] && grep -q 'in no object: behind the end of the object of 1237 bytes' out
result $? 'an address in slack'
read -r _ object there < <(grep ^points says)
run "$mem" find "$pid" "$object"
grep -q "^  +0  *$there: object of 1237 bytes" out
result $? 'an object that points to another one'
run "$mem" check "$pid"
grep -qE "^process $pid, stopped for [0-9.]+ ms" out
result $? 'how long the program was stopped'
for command in 'map' 'find' 'sizes' 'check'; do
    list=()
    [ "$command" != find ] || list=(0x1000 "$object")
    run "$mem" "$command" --json "$pid" "${list[@]}"
    python3 -m json.tool out >json 2>&1 && grep -q '"stopped_ms"' json
    result $? "$command --json is JSON"
done
run "$mem" map --svg picture "$pid"
[ "$status" -eq 0 ] && ! grep -q $'\033' out &&
    python3 -c 'import sys, xml.dom.minidom as x; x.parse(sys.argv[1])' picture 2>>err
result $? 'map draws, without colours where there is no terminal; its SVG is XML'

# --- snapshots ------------------------------------------------------------------------

run "$mem" snap "$pid" -o snap
result "$status" 'snap writes a snapshot'
run "$mem" snap "$pid" -o full --payload
result "$status" 'and one with payload'
for command in map sizes check "find $object 0x1000 $(addresses free | head -n 3 | xargs)"; do
    read -ra words <<<"$command"
    run "$mem" "${words[0]}" "$pid" "${words[@]:1}"
    sed 1d out >live
    run "$mem" "${words[0]}" full "${words[@]:1}"
    sed 1d out >out.sed
    cmp live out.sed >>err 2>&1
    result $? "${words[0]} says of a snapshot what it says of the program"
done
run "$mem" sizes snap
sed 1d out >of_snap
run "$mem" sizes full
sed 1d out | cmp -s - of_snap
result $? 'sizes needs no payload'
looks snap 'a snapshot'
# Registers apart, the memory of arm64 and x86-64 is alike.
if [ "$(uname -m)" = x86_64 ]; then patch_byte other 18 267; else patch_byte other 18 076; fi
looks other 'a snapshot of the other processor, arm64 or x86-64'
run "$mem" snap full -o again
run "$mem" sizes again
sed 1d out | cmp -s - of_snap
result $? 'a snapshot of a snapshot'
if "$mem" snap -z "$pid" -o compressed >out 2>err; then
    run "$mem" sizes compressed
    sed 1d out | cmp -s - of_snap && [ "$(stat -c %s compressed)" -lt "$(stat -c %s snap)" ]
    result $? 'a compressed snapshot'
    head -c 1000 compressed >short
    run "$mem" check short
    refuses 'cannot decompress: it was cut off' 'a compressed snapshot that was cut off'
else
    grep -q 'built without libzstd' err
    result $? 'without libzstd, -z is refused'
fi
if command -v gdb >/dev/null; then
    run gdb -batch -nx -ex 'info threads' -ex 'x/8bx main' "$inspected" full
    grep -q '^\* 1 ' out
    result $? 'gdb reads a snapshot'
else
    skip 'gdb reads a snapshot' 'no gdb'
fi
timeout 240 "$mem" snap --every 1s -o series "$pid" >out 2>err &
series=$!
until [ -e series.3 ] || ! kill -0 "$series" 2>/dev/null; do sleep 0.1; done
{ kill "$series"; wait "$series"; } 2>/dev/null
[ -s series.1 ] && [ -s series.2 ] && "$mem" check series.2 >out
result $? 'a series of snapshots'
mkdir failing.2
run "$mem" snap --every 1s -o failing "$pid"
[ "$status" -eq 2 ] && [ -s failing.1 ] && grep -q '^mem: failing.2 is not written: the series' err
result $? 'a series of which the second file cannot be written is a failure'
mkfifo pipe && ln -s snap link && cp snap before
for file in pipe link .; do
    run "$mem" snap "$pid" -o "$file"
    refuses 'no regular file' "a snapshot does not replace a pipe, a link or a folder ($file)"
done
[ -p pipe ] && [ -L link ] && cmp -s snap before && [ "$(echo link.* pipe.*)" = 'link.* pipe.*' ]
result $? 'and leaves them as they were'
run bash -c 'ulimit -f 4; exec "$@"' - "$mem" snap "$pid" -o large
refuses 'large: File too large' 'a snapshot above the limit on the size of files'
[ "$(echo large*)" = 'large*' ]
result $? 'and nothing is left of it'
run bash -c 'ulimit -f 1; exec "$@"' - "$mem" map "$pid" -o large
[ "$status" -eq 2 ] && grep -q 'large: File too large' err
result $? 'a picture above the limit on the size of files'
# Sends a signal to mem snap when it has written the file, but not renamed it.
signal_snap() {
    rm -f ended*
    run bash -c 'ulimit -c 0; exec "$@"' - gdb -batch -nx -ex "handle $1 nostop" \
        -ex 'tbreak fchmod' -ex run -ex "signal $1" --args "$mem" snap "$pid" -o ended
}
if command -v gdb >/dev/null; then
    left=0
    for signal in SIGTERM SIGXCPU SIGUSR1 SIGUSR2 SIGALRM SIGABRT SIGSEGV SIGPWR SIG34 SIG64; do
        signal_snap "$signal"
        grep -q "terminated with signal $signal" out && [ "$(echo ended*)" = 'ended*' ] || left=1
    done
    result $left 'nor of one that a signal ends'
    lost=0
    for signal in SIGCHLD SIGCONT SIGURG SIGWINCH; do
        signal_snap "$signal"
        grep -q 'exited normally' out && [ "$(echo ended*)" = ended ] && rm ended || lost=1
    done
    result $lost 'but each other signal leaves the snapshot as it is'
else
    skip 'nor of one that a signal ends' 'no gdb'
    skip 'but each other signal leaves the snapshot as it is' 'no gdb'
fi

# --- core files -------------------------------------------------------------------------

if command -v gcore >/dev/null; then
    finish
    LIBMEM=region=64M start ./stripped # gcore writes all that is reserved
    run gcore -o core "$pid"
    looks "core.$pid" 'a core file of gcore'
else
    skip 'a core file of gcore' 'no gcore'
fi
if ! grep -q '|' /proc/sys/kernel/core_pattern; then
    kill -ABRT "$pid"
    { wait "$pid"; } 2>/dev/null
    pid=
    exec 3>&-
    pattern=$(cat /proc/sys/kernel/core_pattern)
    file=$(find "$work" -maxdepth 1 -name "${pattern%%[%.]*}*" -newer says -print -quit)
    run true
    if [ -n "$file" ]; then
        looks "$file" "a core file of the kernel"
        head -c $(($(stat -c %s "$file") / 2)) "$file" >half
        run "$mem" check half
        [ "$status" -eq 2 ] && grep -q 'the core file was cut off' out err
        result $? 'a core file that was cut off'
    else
        skip 'a core file of the kernel' "none is written (core_pattern $pattern)"
    fi
else
    finish
    skip 'a core file of the kernel' 'core_pattern names a program'
fi
for n in 10 100 1000 10000 100000; do
    head -c "$n" snap >short
    run "$mem" check short
    [ "$status" -eq 2 ] || break
done
[ "$status" -eq 2 ]
result $? 'snapshots that were cut off anywhere are refused'

# --- other programs -------------------------------------------------------------------------

strip -o static "$programs/inspected-static"
start ./static
finds_all "$pid" malloc && [ "$(grep -c "Mem_Init's heap" out)" -eq 5 ]
result $? 'a static program, stripped, with libmem.a'
finish
result $? 'it goes on'
start "$inspected"
if ldd "$mem" | grep -q libdw; then
    mapfile -t list < <(addresses name)
    run "$mem" find "$pid" "${list[@]}"
    grep -q 'a_variable in inspected$' out && grep -q 'main in inspected$' out
    result $? 'names of a function and a variable'
else
    skip 'names of a function and a variable' 'mem is built without libdw'
fi

kill -USR1 "$pid"
for _ in {1..100}; do # until the signal has come
    run "$mem" sizes "$pid"
    [ "$status" -ne 2 ] || break
done
[ "$status" -eq 2 ] && grep -q ' in 8 stops, as a thread was at work in a heap' out &&
    grep -q '^the heap at .* in the middle of a change each time that the process was stopped' out
result $? 'a heap in the middle of a change: eight stops, then it is said to be uncertain'
run "$mem" snap "$pid" -o changing
run "$mem" sizes changing
[ "$status" -eq 2 ] && grep -q 'in the middle of a change when the file was written' out
result $? 'so is a snapshot of it'
kill -USR1 "$pid"
sleep 0.2
run "$mem" sizes "$pid"
[ "$status" -eq 0 ] && ! grep -q 'stops' out
result $? 'and after the change it is certain'

# A name that is no plain text: UTF-8, a control character, and a byte that is not UTF-8.
finish
cp "$inspected" $'n\303\251\033m\377'
start ./$'n\303\251\033m\377'
mapfile -t list < <(addresses name)
run "$mem" find "$pid" "${list[@]}"
grep -aq $'n\303\251?m?' out && ! grep -aq $'\033' out
result $? 'a file name with a control character and a wrong byte: the text has ? for each'
run "$mem" find --json "$pid" "${list[@]}"
python3 -c 'import json; json.loads(open("out", "rb").read().decode())' 2>err &&
    grep -q $'n\303\251' out && ! grep -q $'\033' out
result $? 'and JSON is UTF-8'

# --- threads, signals and stops ------------------------------------------------------------

finish
start "$inspected" 4 20000
nbad=0 nsure=0 # on a busy machine a thread may be at work at each of eight stops
for _ in {1..12}; do
    if finds_all "$pid"; then
        nsure=$((nsure + 1))
    elif [ "$status" -ne 2 ] || ! grep -q ' in 8 stops, as a thread was at work in a heap' out; then
        nbad=$((nbad + 1))
    fi
done
[ "$nbad" -eq 0 ] && [ "$nsure" -gt 0 ]
result $? 'while four threads allocate, find knows each object, 12 times, or is unsure'
nbad=0
for _ in {1..12}; do
    run "$mem" check "$pid"
    [ "$status" -ne 1 ] || nbad=$((nbad + 1))
done
result $nbad 'and check never calls a heap damaged'
run "$mem" snap "$pid" -o threads
[ "$(readelf -n threads 2>>err | grep -c PRSTATUS)" -eq 5 ]
result $? 'a snapshot has the registers of all five threads'
nsent=0
(for _ in {1..20}; do "$mem" check "$pid"; done) >/dev/null 2>&1 &
looks=$!
while kill -0 "$looks" 2>/dev/null && [ "$nsent" -lt 50000 ]; do
    kill -RTMIN+1 "$pid" && nsent=$((nsent + 1))
done
wait "$looks"
nbad=0
for _ in {1..20}; do
    "$mem" check "$pid" >/dev/null 2>&1 &
    tool=$!
    sleep "0.00$((RANDOM % 10))"
    { kill -9 "$tool"; wait "$tool"; } 2>/dev/null
    grep -q '^State:.*tracing' "/proc/$pid/task/"*/status && nbad=$((nbad + 1))
done
run true
result $nbad 'the tool is killed at any moment, and no thread stays stopped'
kill -STOP "$pid"
finds_all "$pid"
result $? 'a program that is stopped by SIGSTOP'
sleep 0.1
grep -q '^State:.*T (stopped)' "/proc/$pid/status"
result $? 'stays so'
kill -CONT "$pid"
finish
result $? 'after all that the program goes on, and its heaps are sound'
grep -q "^alive, $nsent signals" says
result $? "and it has received each of $nsent signals"
nbad=0
for _ in {1..15}; do
    start "$inspected" 2
    "$mem" check "$pid" >out 2>err &
    tool=$!
    { kill -9 "$pid"; wait "$pid"; } 2>/dev/null
    pid=
    wait "$tool"
    status=$?
    exec 3>&-
    [ "$status" -eq 0 ] || { [ "$status" -eq 2 ] && [ -s err ]; } ||
        { nbad=$((nbad + 1)) && break; }
done
result $nbad 'a program that is killed meanwhile: an answer, or a message'
nbad=0
for _ in {1..15}; do
    LD_PRELOAD=$build/libmem-malloc.so bash -c 'exec sleep 240' &
    target=$!
    run "$mem" check "$target"
    [ "$status" -eq 0 ] || { [ "$status" -eq 2 ] && [ -s err ]; } || nbad=$((nbad + 1))
    { kill -9 "$target"; wait "$target"; } 2>/dev/null
done
result $nbad 'one that executes another program: likewise'
LD_PRELOAD=$build/libmem-malloc.so bash -c 'while :; do (exit); done' &
target=$! nbad=0
for _ in {1..4800}; do "$mem" check "$target" >out 2>&1 && break; sleep 0.05; done # it has begun
for _ in {1..15}; do
    run "$mem" check "$target"
    [ "$status" -eq 0 ] || nbad=$((nbad + 1))
done
result $nbad 'one that forks all the time'
{ kill -9 "$target"; wait "$target"; } 2>/dev/null

threads=$programs/threads
start "$threads" spawn
for _ in {1..4800}; do grep -q '^State:.D' "/proc/$pid/task/"*/status && break; sleep 0.05; done
timeout 240 "$mem" snap --every 1s -o waiting "$pid" >out 2>err &
series=$!
until grep -q '^waiting.1: ' out || ! kill -0 "$series" 2>/dev/null; do sleep 0.05; done
! grep '^TracerPid:.*[1-9]' "/proc/$pid/task/"*/status >difference &&
    grep -q '^1 of its threads waits in the kernel and could not be stopped$' out
result $? 'a thread that waits in the kernel is traced no longer after the look'
rm difference
until grep -q '^waiting.2: ' out || ! kill -0 "$series" 2>/dev/null; do sleep 0.05; done
{ kill "$series"; wait "$series"; } 2>/dev/null
[ -s waiting.2 ] && [ ! -s err ]
result $? 'and a second look finds it as the first did'
finish
result $? 'it goes on'

start "$threads" alone
for _ in {1..4800}; do grep -q '^State:.Z' "/proc/$pid/status" && break; sleep 0.05; done
run "$mem" snap "$pid" --payload -o alone
for target in "$pid" alone; do
    run "$mem" check "$target"
    [ "$status" -eq 0 ] && grep -q 'is sound: ' out
    result $? "its first thread has ended: check, ${target/#$pid/of the process}"
    run "$mem" sizes --json --top 1000000 "$target"
    [ "$status" -eq 0 ] && grep -q '{"size": 4321, "objects": 1}' out
    result $? "its first thread has ended: sizes, ${target/#$pid/of the process}"
done
timeout 240 "$mem" snap --every 1s -o series "$pid" >out 2>err 3>&- &
series=$!
until grep -q '^series.2: ' out || ! kill -0 "$series" 2>/dev/null; do sleep 0.05; done
finish
result $? 'its first thread has ended: it goes on'
wait "$series"
status=$?
[ "$status" -eq 0 ] && grep -q '^series.2: ' out && grep -q 'the process has ended$' err
result $? 'its first thread has ended: a series goes on until the last has, too'

# --- free memory that was written to ---------------------------------------------------------

stale=$programs/stale
start "$stale"
run "$mem" check "$pid"
[ "$status" -eq 0 ] && grep -q "^Mem_Init's heap is sound: 5 objects, 4.9 KiB$" out
result $? 'a free list that is right'
grep -q '^.* is sound: 1 object, 4.0 KiB$' out
result $? 'and the heap that has one, the buffer of standard output: 1 object, not 1 objects'
run "$mem" snap "$pid" -o bare
run "$mem" check bare
[ "$status" -eq 0 ] && grep -q "^Mem_Init's heap is sound: .*; its free list could not be read$" out
result $? 'a snapshot without payload does not have the free list'
finish
start "$stale" none
nfound=0
for _ in {1..20}; do
    run "$mem" check "$pid"
    [ "$status" -ne 1 ] || nfound=$((nfound + 1))
done
result "$nfound" 'twenty looks while a thread changes the free list: it is never called damaged'
finish
for field in size type next head; do
    start "$stale" "$field"
    address=$(addresses free)
    run "$mem" check "$pid"
    [ "$status" -eq 1 ] && grep -q "^Mem_Init's heap is damaged: .*$address$" out
    result $? "a free list with a wrong $field"
    run "$mem" snap --payload "$pid" -o with_payload
    run "$mem" check with_payload
    [ "$status" -eq 1 ] && grep -q "^Mem_Init's heap is damaged: .*$address$" out
    result $? "a snapshot of it, with payload: a wrong $field"
    finish
done

# --- what cannot be looked at ---------------------------------------------------------------

run "$mem" check 4194305
refuses 'no such process' 'no such process'
run "$mem" check no/such/file
refuses 'No such file or directory' 'no such file'
run "$mem" check .
refuses 'that is no file' 'a folder'
run "$mem" check /dev/null
refuses 'that is no file' 'a device'
: >empty
run "$mem" check empty
refuses 'neither a core file nor a snapshot' 'an empty file'
run "$mem" check says
refuses 'neither a core file nor a snapshot' 'a text'
run "$mem" check "$mem"
refuses 'no core file' 'a program'
run "$mem" check $$
refuses 'no libmem in this program: its malloc is glibc' 'a process without libmem'
patch_byte narrow 4 001
run "$mem" check narrow
refuses '32-bit' 'a core file of a 32-bit program'
patch_byte foreign 18 003
run "$mem" check foreign
refuses 'of another processor' 'one of a processor that libmem is not built for'
perl -0777 -pe 's/(libmem\0\0..)../$1\x7f\0/gs' "$build/libmem-malloc.so" >libmem-malloc.so
LD_PRELOAD=$work/libmem-malloc.so LD_LIBRARY_PATH='' sleep 240 &
target=$!
until grep -q libmem "/proc/$target/maps" 2>/dev/null || ! kill -0 "$target"; do sleep 0.1; done
run "$mem" check "$target"
refuses 'its libmem is of another version \(layout 127\.' 'a library of another layout'
kill "$target"
start "$inspected"
if [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null && chmod 755 "$work" &&
    cp "$mem" mem && setpriv --reuid=65534 --regid=65534 --clear-groups ./mem --version >out 2>&1
then
    run setpriv --reuid=65534 --regid=65534 --clear-groups ./mem check "$pid"
    refuses 'does not let you look into this process.*ptrace_scope' "another user's process"
else
    skip "another user's process" 'only root can become another user'
fi
for words in '' "$pid $pid" '--no-such-option'; do
    # shellcheck disable=SC2086 # several words
    run "$mem" check $words
    refuses 'Try .mem check --help' "usage: check $words"
done
run "$mem" find "$pid" 12x
refuses 'give an address' 'a word that is no address'
for word in x 0x2 +2 2k ''; do
    run "$mem" sizes --top "$word" "$pid"
    refuses 'give a number' "a word that is no number ($word)"
done
run "$mem" sizes --json --top 010 "$pid"
[ "$(grep -c '{"size": [0-9]*, "objects": ' out)" -eq 10 ]
result $? 'a number with a 0 before it is decimal'
address=$(awk '$1 == "live" { print $2; exit }' says)
run "$mem" find "$pid" "0$((address))"
grep -q "^$address: object of " out
result $? 'and so is an address without 0x'
finish
result $? 'the program goes on'

echo "1..$ntests"
[ "$nfailed" -eq 0 ]
