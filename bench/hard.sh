#!/bin/bash
# SPDX-License-Identifier: MIT
#
# hard.sh BUILD [ROUNDS [SCALE]] - what each measure of LIBMEM=hard costs in time and in memory.
#
#     make bench-hard PEERS="name=/a/path.so other=..."    beside other hardened allocators
#
# Rows: a pair of malloc and free; objects of random sizes that are replaced at random; a
# compilation. The variants take turns; of each the median of the time and the least peak is
# printed: nanoseconds (milliseconds for gcc) and MiB.
set -u
cd "$(dirname "$0")/.." || exit 1
export LC_ALL=C
build=$1 rounds=${2:-5} scale=${3:-0.1} ONLY=${ONLY:-pair-64 replace-100k gcc}
library=$(realpath "$build/libmem-malloc.so")
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

names=(off zero canary mismatch quarantine guard random copy hard)
for peer in ${PEERS:-}; do names+=("$peer"); done

# Prints "time peak_kib".
run() { # row name
    local preload=$library options=$2
    case $2 in
    off) options='' ;;
    *=*) preload=${2#*=} options='' ;;
    esac
    if [ "$1" = gcc ]; then
        LIBMEM=$options "$build/bench/launch" "$preload" "$(gcc -print-prog-name=cc1)" -quiet \
            -O2 -g -std=c11 "$work/btree.i" -o /dev/null 2>>"$work/errors" |
            awk '$3 == 0 { print $1 / 1000000, $2 }'
    else
        LIBMEM=$options LD_PRELOAD=$preload "$build/bench/work" "$1" "$scale" 2>>"$work/errors" |
            sed -n 's/.* ns=\([0-9.]*\) peak_kib=\([0-9]*\).*/\1 \2/p'
    fi
}

gcc -E -O2 -g -std=c11 -D_GNU_SOURCE -Iinclude -Isrc src/ledger/btree.c -o "$work/btree.i" || exit 1
for ((i = 0; i < rounds; i++)); do
    for row in $ONLY; do
        for name in "${names[@]}"; do
            echo "$row ${name%%=*} $(run "$row" "$name")" >>"$work/all"
        done
    done
done
for row in $ONLY; do
    for name in "${names[@]}"; do
        awk -v row="$row" -v name="${name%%=*}" '$1 == row && $2 == name && NF == 4' "$work/all" |
            sort -n -k3 | awk -v row="$row" -v name="${name%%=*}" '
                { ns[NR] = $3; if (peak == 0 || $4 < peak) peak = $4 }
                END {
                    if (NR == 0) { printf "%-14s %-12s failed\n", row, name; exit }
                    printf "%-14s %-12s %9.1f %9.1f MiB\n", row, name, ns[int((NR + 1) / 2)],
                        peak / 1024
                }'
    done
done
[ ! -s "$work/errors" ] || sort "$work/errors" | uniq -c | sort -rn | head -n 5 >&2
