#!/bin/bash
# SPDX-License-Identifier: MIT
#
# helgrind.sh LIBRARIES PROGRAMS - prints TAP: helgrind sees no race in libmem.so and
# libmem-malloc.so (in LIBRARIES), and does see one that is in the program.
#
# valgrind puts its own malloc in the place of every other, unless told not to; so the
# program says how large its region is, and makes bad frees, which only ours reports.
#
# Helgrind knows locks, and nothing of atomics. Where libmem-malloc.so does without a
# lock, test/helgrind.supp names the function and says why. libmem.so needs none.
set -u
export LC_ALL=C
libraries=$(realpath "$1") programs=$(realpath "$2")
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
ntests=0
suppressions=$(dirname "$0")/helgrind.supp
options=(--tool=helgrind --error-exitcode=9 --fair-sched=try --soname-synonyms=somalloc=nouserintercepts)

result() { # status what
    ntests=$((ntests + 1))
    if [ "$1" -eq 0 ]; then echo "ok $ntests - $2"; else
        echo "not ok $ntests - $2"
        echo "# status $status"
        grep -v '^libmem:' "$work/err" | sed 's/^/# /' | head -n 40
    fi
}

# Sets status: 9 if there was a race.
helgrind() { # variable=value... program argument...
    local set=()
    while [[ $1 == [A-Z]*=* ]]; do set+=("$1"); shift; done
    env "${set[@]}" timeout -k 5 100 valgrind "${options[@]}" "$@" >"$work/out" 2>"$work/err"
    status=$?
}
said() { grep -q -- "$1" "$work/err"; }
finished() { said '^region 33554432, 0 wrong$'; }
classic() { helgrind LD_LIBRARY_PATH="$libraries" "$programs/classic" "$@"; }
preloaded() {
    helgrind LIBMEM=onerror=report,region=32M LD_PRELOAD="$libraries/libmem-malloc.so" \
        "--suppressions=$suppressions" "$programs/malloc" "$@"
}

classic race
[ "$status" -eq 9 ] && finished && said 'data symbol "nwrong"'
result $? 'a race of the program is seen, beside libmem.so'
classic
[ "$status" -eq 0 ] && finished && said 'ERROR SUMMARY: 0 errors'
result $? 'C13 no race in libmem.so'
preloaded race
[ "$status" -eq 9 ] && finished && said 'data symbol "nwrong"'
result $? 'a race of the program is seen, on libmem-malloc.so'
preloaded
[ "$status" -eq 0 ] && finished && said 'ERROR SUMMARY: 0 errors'
result $? 'M5 no race in libmem-malloc.so'
[ "$(grep -c '^libmem: free(' "$work/err")" -gt 1000 ]
result $? 'and it was our malloc that ran'
gone=$(sed -n 's/^ *fun:\([a-z].*\)/\1/p' "$suppressions" | grep -vx memset | sort -u |
    while read -r name; do grep -rqE "\b$name\(" src shim test/helgrind || echo "$name"; done)
[ -z "$gone" ]
result $? "no suppression for a function that is gone ${gone//$'\n'/ }"
echo "1..$ntests"
