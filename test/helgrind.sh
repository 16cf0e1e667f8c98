#!/bin/bash
# SPDX-License-Identifier: MIT
#
# helgrind.sh LIBRARIES PROGRAMS - checks that helgrind sees no race in libmem.so and
# libmem-malloc.so (in LIBRARIES), and that it does see a race of the program. Prints TAP.
#
# valgrind replaces every malloc with its own unless an option forbids it. So the program prints
# the size of its region and makes bad frees, which only libmem reports.
#
# Helgrind knows locks but not atomics. The layers of libmem-malloc.so that work without a lock
# are named below, and races in their functions are suppressed. Races in the functions that they
# call and in everything else are reported. libmem.so needs no suppression.
set -u
export LC_ALL=C
libraries=$(realpath "$1") programs=$(realpath "$2")
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
ntests=0
suppressions=$work/lock-free.supp
options=(--tool=helgrind --error-exitcode=9 --fair-sched=try
    --soname-synonyms=somalloc=nouserintercepts)

# Atomics and a barrier on all processors order these accesses (src/slots/thread.h): they are the
# protocol of states, countdowns and spans, which test/spin and ThreadSanitizer check. Helgrind
# reports a race at whichever access comes second, so all functions of these files are named.
functions() { # files of src
    (cd "$(dirname "$0")/.." && sed -nE 's/^[A-Za-z][A-Za-z0-9_ ]*[ *]([a-z_0-9]+)\(.*/\1/p' "$@") |
        sort -u
}
except() { # frame function
    printf '{\n%s\nHelgrind:Race\n%sfun:%s\n}\n' "$2" "${1:+$1$'\n'}" "$2"
}
names=$(functions src/base/bits.h src/base/seqcount.h src/base/grace.[ch] src/slots/*.[ch])
for name in $names; do
    for inner in '' 'fun:mem*' 'fun:_mm_*'; do except "$inner" "$name"; done
done >"$suppressions"
# These functions make the first write to an object where metadata was before: see fresh() in
# helgrind/hand_over.c.
for name in $(functions src/malloc/malloc.c); do except 'fun:mem*' "$name"; done \
    >>"$suppressions"

result() { # status what
    ntests=$((ntests + 1))
    if [ "$1" -eq 0 ]; then echo "ok $ntests - $2"; else
        echo "not ok $ntests - $2"
        echo "# status $status"
        grep -v '^libmem:' "$work/err" | grep -A12 'data race' | sed 's/^/# /' | head -n 60
        tail -n 3 "$work/err" | sed 's/^/# /'
    fi
}

# Sets status, which is 9 if there was a race.
helgrind() { # variable=value... program argument...
    local set=()
    while [[ $1 == [A-Z]*=* ]]; do set+=("$1"); shift; done
    env "${set[@]}" timeout -k 5 600 valgrind "${options[@]}" "$@" >"$work/out" 2>"$work/err"
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
[ "$(grep -c '^libmem: free(' "$work/err")" -gt 300 ]
result $? 'and it was our malloc that ran'
[ "$(wc -w <<<"$names")" -gt 100 ] && ! grep -qE '\<(tree|ledger|freelist)_' <<<"$names"
result $? 'only the layers without a lock are excepted'
echo "1..$ntests"
