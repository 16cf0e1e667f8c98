#!/bin/bash
# SPDX-License-Identifier: MIT
#
# bench.sh - checks the benchmarks: prints TAP.
#
# Each workload of make bench, in a very short run, must read the same values from its objects on
# LIBRARY as on the system's malloc. The recorder must record the calls that a workload makes, and
# the table must find wrong results.
#
#     test/bench.sh BUILD LIBRARY
set -u
cd "$(dirname "$0")/.." || exit 1
build=$(realpath "$1") library=$(realpath "$2")
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
export LC_ALL=C
ntests=0 nfailed=0

result() { # status what [why]
    ntests=$((ntests + 1))
    if [ "$1" -eq 0 ]; then echo "ok $ntests - $2"; else
        nfailed=$((nfailed + 1))
        echo "not ok $ntests - $2"
        [ -z "${3-}" ] || sed 's/^/# /' <<<"$3"
    fi
}

# Prints the figures that must not depend on the allocator.
figures() { # file
    grep -o 'operations=[0-9]*\|sum=[0-9a-f]*' "$1"
}

compare() { # what argument...
    local what=$1 status
    shift
    timeout 240 "$build/bench/work" "$@" >"$work/system" 2>&1
    LD_PRELOAD=$library timeout 240 "$build/bench/work" "$@" >"$work/library" 2>&1
    [ "$(figures "$work/system")" = "$(figures "$work/library")" ] &&
        [ "$(figures "$work/system" | wc -l)" -eq 2 ] &&
        grep -q 'malloc=libc' "$work/system" && grep -q "malloc=${library##*/}\$" "$work/library"
    status=$?
    result $status "$what: as on the system's malloc" "$(cat "$work/system" "$work/library")"
}

record() { # argument...
    rm -f "$work"/t.*
    LIBMEM_RECORD=$work/t LD_PRELOAD=$build/libmem-record.so "$build/bench/work" "$@" >"$work/out"
    mv "$work"/t.work.* "$work/recorded"
}

# The C library also allocates for itself and keeps some of its objects.
nearly_all_freed() {
    head -n 1 "$work/sizes" | awk '{ n = $1 + $3 + $5 - $9 } END { exit !(n >= 0 && n < 60) }'
}

# The replay refuses a trace in which an object is used that does not exist. Of a million objects
# some collide in the recorder's table.
records() {
    local name
    record pair-64 0.000025
    "$build/bench/work" sizes "$work/recorded" >"$work/sizes" 2>&1
    awk -v n="$(grep -o 'operations=[0-9]*' "$work/out" | cut -d= -f2)" '
        $1 == 64 { found = $4 }
        END { exit !(n > 1000 && found >= n && found < n + 20) }' "$work/sizes"
    result $? 'the recorder has counted the objects of 64 bytes' "$(cat "$work/sizes")"
    for name in 'pair-64 0.001' 'parser 0.002' 'strings 0.02' 'aligned 0.002' 'server 0.002' \
        'replace-10M 0.1'; do
        # shellcheck disable=SC2086 # name is a workload and its scale
        record $name
        "$build/bench/work" replay "$work/recorded" 0.0001 >"$work/out" 2>&1 &&
            "$build/bench/work" sizes "$work/recorded" >"$work/sizes" && nearly_all_freed
        result $? "what it recorded of ${name% *} can be replayed, with its frees" \
            "$(cat "$work/out"; head -n 1 "$work/sizes")"
    done
}

# Each object of handoff is allocated by one thread and freed by another. What the replay reads
# from the objects does not depend on which thread is faster.
records_threads() {
    local n
    record handoff 0.002
    n=$(grep -o 'operations=[0-9]*' "$work/out" | cut -d= -f2)
    "$build/bench/work" sizes "$work/recorded" >"$work/sizes" 2>&1
    awk -v n="$n" '/threads/ { found = $1 == 3 && $6 >= n && $6 < n + 20 }
        END { exit !(n > 1000 && found) }' "$work/sizes"
    result $? 'the recorder has noted which thread frees what another has allocated' \
        "$n objects; $(cat "$work/sizes")"
    compare 'replay of its threads' replay "$work/recorded" 0.02
    record crowd 0.001
    compare 'replay of many threads by eight' replay "$work/recorded" 0.02
    printf 'libmem trace 1\n\055' >"$work/recorded" # thread 5, where only thread 0 is known
    ! "$build/bench/work" sizes "$work/recorded" >"$work/sizes" 2>&1 &&
        grep -q 'the trace is damaged' "$work/sizes"
    result $? 'a trace with an unknown thread is refused' "$(cat "$work/sizes")"
}

# Makes a table of libmem and two other allocators. Only the others decide which sum is right.
table() { # sum of libmem, of glibc, of jemalloc
    printf '%s\n' 'workload,allocator,round,operations,ns_per_operation,peak_kib,left_kib,sum' \
        "pair,libmem,1,10,20,100,-1,$1" "pair,libmem,2,10,10,100,-1,$1" \
        "pair,libmem,3,10,90,100,-1,$1" "pair,jemalloc,1,10,80,50,-1,$3" \
        "pair,jemalloc,2,10,80,50,-1,$3" "pair,glibc,1,10,40,100,-1,$2" |
        awk -f bench/malloc.awk >"$work/table" 2>&1
}

tables() {
    table 5 5 5
    result $? 'the table has no complaint where all agree' "$(cat "$work/table")"
    grep -q '^time .*fastest peer on each: 0.500 .*glibc' "$work/table" &&
        grep -q '^memory .*leanest peer on each: 2.000 .*jemalloc' "$work/table"
    result $? 'it has the ratio of the medians' "$(cat "$work/table")"
    sed -n '/fastest run/,$p' "$work/table" | grep -q '^time .*fastest peer on each: 0.250 .*glibc'
    result $? 'and that of the fastest runs' "$(cat "$work/table")"
    ! table 6 5 5 && grep -q 'pair on libmem: what was read' "$work/table"
    result $? 'it finds libmem wrong, and fails' "$(cat "$work/table")"
    table 5 6 5 && grep -q 'pair on glibc: what was read' "$work/table" &&
        grep -q '^time .*0.250 .*jemalloc' "$work/table"
    result $? 'it finds another wrong, leaves it out, and does not fail' "$(cat "$work/table")"
}

# Makes three calls of each kind; a slot must cost less than half of what a chunk costs.
bounded() {
    LD_LIBRARY_PATH=$build timeout 240 "$build/bench/bounded" 3 >"$work/out" 2>&1 &&
        awk -F, 'NR > 1 { n++; wrong += $6 != 3; sum[$1] += $7 }
            END { exit !(n == 24 && wrong == 0 && sum["slots"] > 0 &&
                         sum["slots"] * 2 < sum["chunks"]) }' "$work/out"
    result $? 'instructions of calls on bounded heaps can be counted' "$(cat "$work/out")"
}

for name in $("$build/bench/work" list); do
    compare "$name" "$name" 0.002
done
for trace in bench/traces/*.xz; do
    xz -dc "$trace" >"$work/trace"
    compare "replay of $(basename "$trace" .xz)" replay "$work/trace" 0.01
done
records
records_threads
# A geometric mean takes a logarithm, which some builds of busybox awk do not have.
if [ "$(awk 'BEGIN { print log(1) }' 2>&1)" = 0 ]; then tables; else
    ntests=$((ntests + 1))
    echo "ok $ntests # SKIP this awk has no logarithm"
fi
bounded
echo "1..$ntests"
[ "$nfailed" -eq 0 ]
