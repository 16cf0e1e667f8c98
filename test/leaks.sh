#!/bin/bash
# SPDX-License-Identifier: MIT
#
# leaks.sh BUILD COUNT SEED - checks that `mem leaks`, `refs` and `owners` say of programs what the
# programs know of themselves: which objects they can reach. Prints TAP.
#
# One program has an object in each place that it can be reached from, and leaks of all kinds
# (test/inspect/planted.c). Another makes objects that point to each other at random, COUNT times,
# and searches them itself (test/inspect/tangle.c). Both are looked at while they run, in core files
# and in snapshots.
set -u
usage='usage: leaks.sh BUILD COUNT SEED'
build=$(realpath -e "${1:?$usage}") || exit 2
count=${2:?$usage} seed=${3:?$usage}
# shellcheck source=test/support/inspecting.sh
. "$(dirname "$0")/support/inspecting.sh"
need planted elsewhere tangle ends
export LIBMEM=region=64M # gcore writes all that is reserved

# Says whether the leaks of a target are those that the program has printed.
leaks_are_known() { # target
    run "$mem" leaks --list "$1"
    sort out >found
    awk '$1 == "leak" || $1 == "more" { print $1, $2, $3 }' says | sort >expected
    diff expected found >difference && [ "$status" -eq 1 ] && [ -s expected ]
}

# Says whether what the program cannot reach is what is lost in a target.
lost_are_known() { # target
    run "$mem" leaks --list "$1"
    cut -d ' ' -f 2- out | sort >found
    awk '$1 == "lost" { print $2, $3 }' says | sort >expected
    diff expected found >difference && [ "$status" -eq 1 ] && [ -s expected ]
}

# Says whether each object that owners shows keeps as much as refs --down says, which searches twice
# instead of asking a tree of dominators.
owners_keep_what_refs_says() { # target
    run "$mem" owners --depth 5 --top 0 --json "$1"
    python3 - out "$mem" "$1" 2>err <<'END'
import json, subprocess, sys
def objects(owners):
    for owner in owners:
        if 'object' in owner:
            yield owner
        yield from objects(owner['keeps'] if 'keeps' in owner else [])
said = json.load(open(sys.argv[1]))
shown = list(objects(said['shared_keeps'])) + list(objects(said['owners']))
for o in shown:
    refs = subprocess.run([sys.argv[2], 'refs', '--down', '--json', sys.argv[3], o['object']],
                          capture_output=True, check=True).stdout
    down = json.loads(refs)
    assert o['objects'] == down['kept'] + 1, (o, down)
    assert o['bytes'] == down['kept_bytes'] + o['size'], (o, down)
assert len(shown) > 5
END
}

# --- what was planted --------------------------------------------------------------------

start "$programs/planted"
leaks_are_known "$pid"
result $? 'leaks of a process: all that was planted, and nothing that can be reached'
while read -r _ address size what; do
    run "$mem" refs "$pid" "$address"
    [ "$status" -eq 0 ] && grep -q 'a shortest way to it' out
    result $? "refs finds the way to an object: $what ($size bytes)"
done < <(grep ^kept says)
for place in 'thread-local storage of a thread:stack of thread' \
    'a variable that begins as 0:in_bss' 'data that is protected:protected' \
    'a register:register \(r12\|x21\)' \
    'a vector register:register of vectors' 'the stack of the first thread:stack of thread'; do
    run "$mem" refs "$pid" "$(grep "^kept .* ${place%%:*}$" says | cut -d ' ' -f 2)"
    grep -q "^  .*${place##*:}" out
    result $? "refs names the place: ${place%%:*}"
done
run "$mem" refs "$pid" "$(grep '^leak .* the first of a tree$' says | cut -d ' ' -f 2)"
[ "$status" -eq 1 ] && grep -q 'it has leaked' out
result $? 'refs of a leak'
run "$mem" refs --down "$pid" "$(grep '^leak .* the first of a tree$' says | cut -d ' ' -f 2)"
[ "$status" -eq 1 ] && grep -q 'keeps alive 3 more' out
result $? 'refs --down of a leak: the rest of the tree'
run "$mem" refs --down "$pid" "$(grep '^kept .* the first of a list$' says | cut -d ' ' -f 2)"
[ "$status" -eq 0 ] && grep -q 'keeps alive 3 more' out
result $? 'refs --down of the first of a list: the rest of it'
list=$(grep '^kept .* another one of the list$' says | head -n 1 | cut -d ' ' -f 2)
for command in "refs $pid $list" "refs --down $pid $list" "owners $pid" "owners --depth 9 $pid"; do
    # shellcheck disable=SC2086 # several words
    run "$mem" $command --json
    python3 -m json.tool out >json 2>&1 && grep -q '"stopped_ms"' json
    result $? "${command%% [0-9]*} --json is JSON"
done
run "$mem" refs "$pid" 0x1000
[ "$status" -eq 2 ] && grep -q 'no live object' err
result $? 'refs of an address without an object'
run "$mem" owners "$pid" --top 0
[ "$status" -eq 0 ] && grep -qE ' 4  first_of_list in planted$' out
result $? 'owners: a variable keeps the four objects of its list'
run "$mem" owners "$pid" --top 0 --depth 2
grep -A 2 ' 4  first_of_list in planted$' out | grep -qE ' 3      the object of .* at 0x'
result $? 'owners --depth: the first of a list keeps it, and the next one the rest'
run "$mem" leaks "$pid"
read -r nleaks < <(grep -c ^leak says)
[ "$status" -eq 1 ] && grep -q "^$nleaks objects leaked" out && grep -q 'in a circle' out
result $? 'leaks in words'
run "$mem" leaks --json "$pid"
python3 -m json.tool out >json 2>&1 && grep -q "\"leaked\": $nleaks," json
result $? 'leaks --json is JSON'
run "$mem" snap "$pid" -o snap
run "$mem" leaks snap
[ "$status" -eq 2 ] && grep -q 'could not be read' out
result $? 'a snapshot without payload: that cannot be told'
! grep -q 'objects leaked' out && grep -q '^[0-9]* objects may have leaked' out
result $? 'and no object of it is said to have leaked'
grep 'could not be read' out >note
kept=$(grep '^kept .* the stack of a thread$' says | cut -d ' ' -f 2)
for command in owners "refs $kept" "refs --down $kept" 'leaks --list'; do
    read -ra words <<<"$command"
    run "$mem" "${words[0]}" snap "${words[@]:1}"
    [ "$status" -eq 2 ] && cat out err | grep -qxFf note && ! grep -q 'has leaked' out
    result $? "$command of it: the same note, and status 2"
done
for command in owners "refs $kept" leaks; do
    read -ra words <<<"$command"
    run "$mem" "${words[0]}" --json snap "${words[@]:1}"
    python3 -m json.tool out >json 2>&1 && grep -q '"whole": false' json
    result $? "${words[0]} --json says that it is not whole"
done
run "$mem" snap "$pid" --payload -o full
leaks_are_known full
result $? 'leaks of a snapshot with payload'
[ "$(uname -m)" = x86_64 ] && machine='\267' || machine='\076'
cp full other && printf '%b' "$machine" | dd of=other bs=1 seek=18 conv=notrunc status=none
run "$mem" leaks other
[ "$status" -eq 2 ] && grep -q "the registers of 4 threads are not known" out
result $? 'of one of another processor, the registers are not known'
if command -v gcore >/dev/null; then
    run gcore -o core "$pid"
    leaks_are_known "core.$pid"
    result $? 'leaks of a core file of gcore'
    rm -f "core.$pid"
else
    skip 'leaks of a core file of gcore' 'no gcore'
fi
if command -v gdb >/dev/null; then
    address=$(grep '^kept .* the first of a list$' says | cut -d ' ' -f 2)
    in_gdb=(gdb -nx -batch -iex 'set auto-load safe-path /')
    run "${in_gdb[@]}" -p "$pid" -ex 'mem find first_of_list' -ex "mem refs $address" \
        -ex 'mem leaks' -ex 'generate-core-file in_gdb.core'
    grep -q "^$address: object of .* bytes in malloc" out && grep -q '^  first_of_list in' out &&
        grep -q 'the registers of 4 threads are not known' out
    result $? 'in gdb, of a process: mem find, refs and leaks'
    run "${in_gdb[@]}" "$programs/planted" in_gdb.core -ex 'mem find first_of_list' \
        -ex 'mem refs first_of_list' -ex 'mem map'
    grep -q "^$address: object of .* bytes in malloc" out && grep -q '^  first_of_list in' out
    result $? 'in gdb, of a core file'
    rm -f in_gdb.core
else
    skip 'in gdb' 'no gdb'
fi
finish
result $? 'the program has gone on'

# --- places that are easily overlooked --------------------------------------------------------

# Says whether mem finds no leak in a program that has none (test/inspect/elsewhere.c).
leaks_nothing() { # where what
    start "$programs/elsewhere" "$1"
    target=$(awk '$1 == "pid" { print $2 }' says)
    run "$mem" leaks "$target"
    [ "$status" -eq 0 ] && grep -q '^no leak$' out
    result $? "no leak: objects are kept $2"
    run "$mem" snap "$target" --payload -o full
    run "$mem" leaks full
    [ "$status" -eq 0 ] && grep -q '^no leak$' out
    result $? "no leak in a snapshot of it"
}
leaks_nothing shared 'in shared memory that the process has not touched since fork'
run "$mem" snap "$target" -o snap
run "$mem" leaks snap
[ "$status" -eq 2 ] && grep -q 'could not be read' out
result $? 'of its snapshot without payload: that cannot be told'
finish
result $? 'the program has gone on'
start "$programs/elsewhere" left
run "$mem" leaks "$pid"
if [ "$(uname -m)" = x86_64 ]; then
    [ "$status" -eq 1 ] && grep -q '100 objects' out
    result $? 'leaks whose addresses a thread has left in what is free of its stack'
fi
finish
result $? 'the program has gone on'
leaks_nothing fibers 'on stacks of coroutines below the one in use, in one mapping'
finish
result $? 'the program has gone on'

# --- while threads allocate ---------------------------------------------------------------

start "$programs/planted" 4
nright=0 nwrong=0
for _ in {1..10}; do
    if leaks_are_known "$pid"; then
        nright=$((nright + 1))
    elif [ "$status" -ne 2 ]; then # 2: a thread was in the middle of a change each time
        nwrong=$((nwrong + 1))
    fi
done
[ "$nwrong" -eq 0 ] && [ "$nright" -ge 5 ]
result $? 'ten looks while four threads allocate: no false leak'
finish
result $? 'the program has gone on'

# --- which file names are from ----------------------------------------------------------------

# Says how refs names the variable that keeps the object of the program, in the target.
named() { # name target what
    run "$mem" refs "$2" "$(awk '$1 == "object" { print $2 }' says)"
    [ "$status" -eq 0 ] && grep -qF "  $1" out
    result $? "names: $3"
}
cat >named.c <<'END'
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#define TEXT(word) TEXT_OF(word)
#define TEXT_OF(word) #word
void *variable;
int main(void)
{
    char byte;
    variable = malloc(1000);
    printf("object %p " TEXT(variable) "\nready\n", variable);
    fflush(stdout);
    while (read(0, &byte, 1) != 0)
        ;
    return puts("alive") < 0;
}
END
if ldd "$mem" | grep -q libdw; then
    for name in right wrong; do
        ${CC:-cc} -Wl,--build-id -Dvariable="$name" -o "$name" named.c
    done
    cp right named
    start ./named
    named 'right in named,' "$pid" 'of a program'
    run "$mem" snap --payload -o full "$pid"
    named 'right in named,' full 'of its snapshot'
    cp wrong other && mv other named
    named 'right in named (deleted),' "$pid" 'of a program that was replaced by another one'
    named 'named+0x' full 'none, of a snapshot whose program was replaced'
    finish
    if unshare --mount true 2>/dev/null; then
        start unshare --mount sh -c 'mount --bind right named && exec ./named'
        named 'right in named,' "$pid" 'of a program with a mount namespace of its own'
        finish
    else
        skip 'names: of a program with a mount namespace of its own' 'unshare: not permitted'
    fi
else
    skip 'names' 'this mem was built without libdw'
fi

# --- at random ----------------------------------------------------------------------------

for ((i = seed; i < seed + count; i++)); do
    start "$programs/tangle" "$i" 3000
    lost_are_known "$pid"
    result $? "objects that point to each other at random, seed $i"
    run "$mem" snap "$pid" --payload -o full
    lost_are_known full
    result $? "a snapshot of them, seed $i"
    if [ "$i" -eq "$seed" ]; then
        run "$mem" diff full "$pid"
        [ "$status" -eq 0 ] && grep -q '^there are as many objects of each size$' out
        result $? 'diff of a snapshot and the process it is of'
        owners_keep_what_refs_says full
        result $? 'owners --depth: each object keeps what refs --down finds without it'
        cp full first
    fi
    finish
    result $? 'the program has gone on'
done
for target in first full; do "$mem" sizes --json --top 1000000 "$target" >"$target.json"; done
run "$mem" diff --json --top 0 first full
python3 - first.json full.json out 2>err <<'END'
import json, sys
old, new, diff = (json.load(open(name)) for name in sys.argv[1:])
count = [{s['size']: s['objects'] for s in census['sizes']} for census in (old, new)]
wanted = {size: (count[0].get(size, 0), count[1].get(size, 0)) for size in {*count[0], *count[1]}}
wanted = {size: pair for size, pair in wanted.items() if pair[0] != pair[1]}
found = {s['size']: (s['old'], s['new']) for s in diff['sizes']}
assert found == wanted and len(diff['sizes']) == len(wanted)
END
result $? 'diff of two snapshots: each size, as sizes counts it'

# --- at the end of a command ----------------------------------------------------------------

ends=$programs/ends
# Says whether the command ended so, with three leaks.
leaks_three() { # how [message]
    run "$mem" leaks -- "$ends" 3 "$1"
    [ "$status" -eq 1 ] && grep -q '^3 objects leaked, 3.6 KiB$' err && [ ! -s out ] &&
        if [ -n "${2-}" ]; then grep -q "$2" err; else ! grep -q '^mem:' err; fi
    result $? "leaks of a command: $1"
}
leaks_three return 'ends ended with exit status 3'
leaks_three exit
leaks_three abort 'ends was ended by signal 6'
leaks_three kill 'ends was ended by signal 9'
leaks_three thread 'ends ended with exit status 4'
leaks_three alone
run "$mem" leaks -- "$ends" 0 exit
[ "$status" -eq 0 ] && grep -q '^no leak$' err
result $? 'a command without a leak'
run "$mem" leaks -- "$ends" 3 execute
[ "$status" -eq 0 ] && grep -q '^no leak$' err
result $? 'a command that executes another one, without leaks, from a thread'
run "$mem" leaks -- sh -c "exec '$ends' 3 exit"
[ "$status" -eq 1 ] && grep -q '^3 objects leaked' err
result $? 'a command that executes another one, with leaks'
run "$mem" leaks -o file --list -- sh -c "'$ends' 3 exit; echo output; echo errors >&2; exit 7"
[ "$status" -eq 0 ] && [ "$(cat out)" = output ] && [ ! -s file ] &&
    [ "$(cat err)" = $'errors\nmem: sh ended with exit status 7' ]
result $? 'output of a command is its own; processes that it starts are not looked at'
run "$mem" leaks -- ./not-there
[ "$status" -eq 2 ] && grep -q '^mem: ./not-there: No such file' err
result $? 'a command that is not there'
# Says whether mem run --leaks ends with a status after a program with a number of leaks.
run_leaks() { # status leaks how [option...]
    run "$mem" run --leaks "${@:4}" "$ends" "$2" "$3"
    [ "$status" -eq "$1" ] && [ ! -s out ] &&
        if [ "$2" -eq 0 ]; then grep -q '^no leak$' err; else grep -q "^$2 objects leaked" err; fi
    result $? "mem run --leaks${4:+ $4}: $2 leaks, $3, status $1"
}
run_leaks 1 3 exit
run_leaks 0 0 exit
run_leaks 3 3 return
run_leaks 3 0 return
run_leaks 134 3 abort
run_leaks 137 3 kill
run_leaks 1 3 exit --history=1K
if ldd "$mem" | grep -q libdw; then
    grep -q '#0 .* leak+0x.* in ends at ' err
    result $? 'mem run --leaks --history: the stack that allocated them'
fi
run_leaks 1 3 alone --report
grep -q '^  exit status  *0$' err && grep -q '^  CPU time  *[0-9]' err &&
    grep -q '^  peak memory  *[1-9]' err
result $? 'mem run --leaks --report: what it has used'
cat >later.c <<'END'
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
static time_t later;
ssize_t process_vm_readv(pid_t pid, const struct iovec *local, unsigned long nlocal,
                         const struct iovec *remote, unsigned long nremote, unsigned long flags)
{
    later = 100000;
    return syscall(SYS_process_vm_readv, pid, local, nlocal, remote, nremote, flags);
}
int clock_gettime(clockid_t id, struct timespec *t)
{
    int failed = (int)syscall(SYS_clock_gettime, id, t);
    t->tv_sec += later;
    return failed;
}
END
${CC:-cc} -shared -fPIC -o later.so later.c # for mem it is a day later when it reads the memory
run env LD_PRELOAD="$work/later.so" "$mem" run --leaks --report "$ends" 3 exit
[ "$status" -eq 1 ] && grep -q '^  wall time  *[0-9]\{1,4\}\.' err
result $? 'mem run --leaks --report: the wall time is that of the program'
run "$mem" run --leaks ./not-there
[ "$status" -eq 127 ] && grep -q 'not-there: No such file' err
result $? 'mem run --leaks of a command that is not there'
run "$mem" run --leaks "$programs"
[ "$status" -eq 126 ]
result $? 'mem run --leaks of a folder'
echo 'int main(void) { return 0; }' >plain.c
${CC:-cc} -static -o plain plain.c
run "$mem" run --leaks ./plain
[ "$status" -eq 125 ] && grep -q 'no libmem in this program' err
result $? 'mem run --leaks of a program that is linked statically: that cannot be told'
# begin HOW runs a command in the background: sets pid, and child when the command has printed it.
begin() {
    : >out
    "$mem" leaks -- "$ends" 3 "$1" >out 2>err &
    pid=$!
    for _ in {1..4800}; do read -r child <out && return; sleep 0.05; done
    child=
}
# Ends waiting for mem.
end() {
    { wait "$pid"; } 2>/dev/null
    status=$? pid=
}
is_stopped() {
    grep -q '^State:.[tT]' "/proc/$child/status" 2>/dev/null
}
begin stop
for _ in {1..4800}; do is_stopped && break; sleep 0.05; done
sleep 0.2
is_stopped && was_stopped=yes || was_stopped=no
kill -CONT "$child" 2>/dev/null
end
[ "$was_stopped" = yes ] && [ "$status" -eq 1 ] && grep -q '^3 objects leaked' err
result $? 'a command that is stopped for a while'
begin wait
kill -TERM "$pid"
end
[ "$status" -eq 1 ] && grep -q 'ended with exit status 5' err && grep -q '^3 objects leaked' err
result $? 'a signal to mem goes to the command'
begin wait
kill -KILL "$pid"
end
for _ in {1..4800}; do
    grep -q '^TracerPid:.0$' "/proc/$child/status" 2>/dev/null && break
    sleep 0.05
done
grep -q '^TracerPid:.0$' "/proc/$child/status" 2>/dev/null && kill -TERM "$child"
result $? 'if mem is killed, the command goes on'

echo "1..$ntests"
[ "$nfailed" -eq 0 ]
