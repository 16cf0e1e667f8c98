#!/bin/bash
# SPDX-License-Identifier: MIT
#
# m07_limits.sh LIBRARY PROGRAMS - checks that what libmem-malloc.so reserves is address space and
# not data [M7]: limits, core files, locked memory. Prints TAP.
set -u
export LC_ALL=C
library=$(realpath "$1") program=$(realpath "$2")/limits
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
ntests=0 ENOMEM=12

result() { # status what
    ntests=$((ntests + 1))
    if [ "$1" -eq 0 ]; then echo "ok $ntests - $2"; else
        echo "not ok $ntests - $2"
        sed 's/^/# /' "$work/out" "$work/err" | head -n 20
    fi
}

# Runs the program with the library; leaves its output in $work/out and $work/err.
with() { # LIBMEM argument...
    local options=$1
    shift
    LIBMEM=$options LD_PRELOAD=$library "$program" "$@" >"$work/out" 2>"$work/err"
}
limited() { # ulimit's option and value, argument...
    local limit=$1 value=$2
    shift 2
    (ulimit "$limit" "$value" && with '' "$@") 2>"$work/shell"
}
bare() { # the same without the library
    (ulimit "$1" "$2" && "$program" "$3" >"$work/out" 2>"$work/err")
} 2>"$work/shell"
said() { sed -n "s/^$1 //p" "$work/out" | grep . || echo -1; } # what; prints its number
silent() { [ ! -s "$work/err" ]; }

# --- limits on address space and data ------------------------------------------------

for limit in v d; do
    limited -$limit 1048576 had && silent && [ "$(said MiB)" -ge 940 ] &&
        [ "$(said errno)" -eq "$ENOMEM" ]
    result $? "M7 of ulimit -$limit 1048576 at least 940 MiB can be had, then NULL with ENOMEM"
    limited -$limit 131072 had && silent && [ "$(said MiB)" -ge 50 ]
    result $? "M7 of ulimit -$limit 131072 at least 50 MiB"
done
with '' later data 1024 && silent && [ "$(said MiB)" -ge 900 ] && [ "$(said MiB)" -le 1024 ]
result $? 'M7 of 1 GiB of data at least 900 MiB, if the program limits itself later'
[ "$(said 'thread')" -eq 1 ] && [ "$(said map)" -eq 1 ] && [ "$(said '3 GiB')" -eq 0 ]
result $? 'M7 and then it can start threads and map memory, and gets no more than the limit allows'
# The page map of the first reservation stays, and takes a thousandth of it: up to 64 MiB.
with '' later address 2048 && silent && [ "$(said MiB)" -ge 1800 ] && [ "$(said thread)" -eq 1 ] &&
    [ "$(said map)" -eq 1 ] && [ "$(said '3 GiB')" -eq 0 ]
result $? 'M7 of 2 GiB of address space at least 1,800 MiB, if the program limits itself later'
with '' later address 1024 && silent && [ "$(said MiB)" -ge 850 ] && [ "$(said thread)" -eq 1 ]
result $? 'M7 of 1 GiB at least 850 MiB'
with '' twice && silent && [ "$(said MiB)" -ge 100 ] && [ "$(said MiB)" -le 256 ]
result $? 'M7 and of 256 MiB that it sets after 1 GiB, and maps memory where the heap was'
with '' vfork && silent && [ "$(said '3 GiB')" -eq 1 ]
result $? 'M7 a limit that a child of vfork sets is not for its parent'
with '' forked && silent && [ "$(said '3 GiB')" -eq 1 ]
result $? 'M7 nor for a parent that is itself a child of fork'
with region=16G,copy,onerror=report hole && [ "$(said copied)" -eq 1 ] &&
    [ "$(grep -c ': not ours: outside the heap$' "$work/err")" -eq 2 ] &&
    [ "$(wc -l <"$work/err")" -eq 2 ]
result $? 'M3 what the program maps where the heap was is not the heap'"'"'s, and may be copied to'
with region=2G later address 1024 && silent && [ "$(said MiB)" -ge 900 ]
result $? 'M7 of 1 GiB of address space at least 900 MiB, if the program limits itself later'

# A limit that leaves no room. The smallest with which a program starts depends on the system, and
# the dynamic linker ends a program with status 127 if it cannot load the library.
for limit in v d; do
    crashes=0 reports=0 started=0
    for kib in $(seq 100 10 400) $(seq 2000 20 3000); do
        bare -$limit "$kib" first || continue
        limited -$limit "$kib" first
        status=$?
        [ "$status" -gt 127 ] && crashes=$((crashes + 1))
        [ "$status" -eq 0 ] || continue
        started=$((started + 1))
        [ "$(said granted)" -eq 1 ] && silent && continue
        [ "$(said errno)" -eq "$ENOMEM" ] && [ "$(wc -l <"$work/err")" -eq 1 ] &&
            grep -q "^libmem: .*(ulimit -$limit, RLIMIT_" "$work/err" && reports=$((reports + 1))
    done
    [ "$crashes" -eq 0 ] && [ "$started" -gt 0 ]
    result $? "M7 no ulimit -$limit makes a program crash: $started small ones tried"
    echo "# $reports of them left no room for a heap"
done
[ "$reports" -gt 0 ]
result $? 'M7 where a limit leaves no room, one line names it, and malloc returns NULL'

# --- what can be seen --------------------------------------------------------------------

with '' open && silent && [ "$(said writable)" -le 20480 ] && [ "$(said reserved)" -ge 1048576 ]
result $? 'M7 with 5,000 KiB in use at most 20 MiB can be written to'
resident=$(said resident)
with region=2G lock && silent && [ "$(said resident)" -ge 5000 ] &&
    [ "$(said resident)" -le 102400 ]
result $? 'M7 mlockall locks what is open, and not what is reserved'

# Where core files go is the system's affair; the name `core' alone means the program's folder.
if [ "$(cat /proc/sys/kernel/core_pattern)" = core ]; then
    (cd "$work" && ulimit -c unlimited && with '' abort) 2>"$work/shell"
    size=$(cat "$work"/core* | wc -c)
    echo "# core file: $((size >> 10)) KiB; resident: $resident KiB" >>"$work/out"
    [ "$size" -ge 5120000 ] && [ "$size" -le $((resident * 1024 * 4)) ]
    result $? 'M7 a core file is about as large as what is resident'
else
    ntests=$((ntests + 1))
    echo "ok $ntests # SKIP core files go elsewhere"
fi
echo "1..$ntests"
