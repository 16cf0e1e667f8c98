#!/bin/bash
# SPDX-License-Identifier: MIT
#
# overcommit.sh LIBRARY PROGRAMS OWN - checks libmem-malloc.so, and with OWN, which is h01_steps,
# heaps of one's own, on a system with strict overcommit, which grants only memory that it can
# provide [M4, H1]. Prints TAP.
#
# The setting is the whole system's. It is in force for one program at a time and is restored at
# once. If this script is stopped, its trap restores the setting. If it is killed, a guard process
# that outlives it does: the guard starts first and then waits without asking for more memory.
# Where the setting is not writable, or too little memory would be left for others, the test is
# skipped.
set -u
export LC_ALL=C
library=$(realpath "$1") programs=$2 own=$3
setting=/proc/sys/vm/overcommit_memory
# Two such scripts at once would each restore what the other has set.
exec {turn}<"$setting" && flock "$turn" || exit 1
# A program takes up to a third of the memory; its parent and its child may take as much each.
STRICT=2 ENOUGH_KIB=6291456
work=$(mktemp -d) || exit 1
before=$(cat "$setting")
ntests=0 last_resort=''

put_back() {
    [ "$(cat "$setting")" = "$before" ] || echo "$before" >"$setting"
    [ -z "$last_resort" ] || { kill "$last_resort" && wait "$last_resort"; } 2>/dev/null
    last_resort=''
}
trap 'put_back; rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

result() { # status what
    ntests=$((ntests + 1))
    if [ "$1" -eq 0 ]; then echo "ok $ntests - $2"; else
        echo "not ok $ntests - $2"
        sed 's/^/# /' "$work/out" "$work/err" | head -n 20
    fi
}

kib() { awk -v name="$1:" '$1 == name { print $2 }' /proc/meminfo; }
skip() {
    echo "ok 1 # SKIP $1"
    echo 1..1
    exit 0
}

strictly() { # program argument...
    coproc GUARD { exec setsid bash -c "echo; read -rt 30; echo $before >$setting"; }
    last_resort=$GUARD_PID
    read -r <&"${GUARD[0]}"
    echo "$STRICT" >"$setting"
    LD_PRELOAD=$library timeout 240 "$@" >"$work/out" 2>"$work/err"
    local status=$? was
    read -r was <"$setting"
    put_back
    echo "# exit status $status, setting $was" >>"$work/out"
    [ "$was" = "$STRICT" ] && [ "$status" -eq 0 ] && [ ! -s "$work/err" ]
}
reserved() { sed -n 's/^# reserved //p' "$work/out" | grep . || echo 0; }
all_ok() { grep -q '^1\.\.' "$work/out" && ! grep -q '^not ok' "$work/out"; }

[ -w "$setting" ] || skip 'the setting is not writable'
left=$(($(kib CommitLimit) - $(kib Committed_AS)))
[ "$left" -ge "$ENOUGH_KIB" ] || skip 'too little memory would be left for others'
(echo "$before" >"$setting") 2>"$work/err" || skip 'the setting is not writable'

strictly "$programs/m05_early" && all_ok && [ "$(reserved)" -ge 33554432 ]
result $? 'M4 it starts under strict overcommit'
strict=$(reserved)
LD_PRELOAD=$library "$programs/m05_early" >"$work/out" 2>"$work/err"
[ "$strict" -gt 0 ] && [ "$strict" -eq "$(reserved)" ]
result $? 'M7 and reserves as much as elsewhere, since address space is not committed'
strictly "$programs/m05_threads" 200 20 && all_ok
result $? 'M4 threads and forks under strict overcommit'
# shellcheck disable=SC2016 # the other shell expands it
strictly bash -c 'for i in $(seq 20); do x[$i]=$(echo $i); done; [ ${#x[@]} -eq 20 ]'
result $? 'M4 bash and 20 forks under strict overcommit'
strictly sh -c '"$0" 2>&1' "$own" && grep -Eq '(OK ]|^ok [0-9]+ -) test_little_is_open' "$work/out"
result $? 'H1 large heaps of one'"'"'s own, and the parts of larger ones, under strict overcommit'
[ "$(cat "$setting")" = "$before" ]
result $? 'the setting is as it was'
echo "1..$ntests"
