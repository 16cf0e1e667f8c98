#!/bin/bash
# SPDX-License-Identifier: MIT
#
# history.sh BUILD [ROUNDS] - what LIBMEM=history costs two compilers, beside heaptrack.
#
# The variants take turns, and the medians are printed: seconds of the processor, user and system,
# and how many times those without a history. heaptrack -r writes down what it sees and does not
# look into it; it takes no stacks of frees.
set -u
cd "$(dirname "$0")/.." || exit 1
export LC_ALL=C
library=$(realpath "$1/libmem-malloc.so") rounds=${2:-11}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

gcc -E -O2 -g -std=c11 -D_GNU_SOURCE -Iinclude -Isrc src/core/heap.c -o "$work/heap.i" &&
    g++ -E -O2 -std=c++17 test/programs/stl.cpp -o "$work/stl.ii" || exit 1
commands=("$(gcc -print-prog-name=cc1) -quiet -O2 -g -std=c11 $work/heap.i -o $work/out.s"
    "$(gcc -print-prog-name=cc1plus) -quiet -O2 -std=c++17 $work/stl.ii -o $work/out.s")
variants=(off history "history,stack=fp")
! command -v heaptrack >"$work/said" || variants+=('heaptrack -r')

seconds() { # variant command...
    local variant=$1 TIMEFORMAT='%U %S'
    shift
    case $variant in
    off) set -- env LD_PRELOAD="$library" "$@" ;;
    history*) set -- env LIBMEM="$variant" LD_PRELOAD="$library" "$@" ;;
    heaptrack*) set -- heaptrack -r -o "$work/track" "$@" ;;
    esac
    { time "$@" >"$work/said" 2>&1; } 2>&1 | awk '{ print $1 + $2 }'
}
median() {
    sort -n "$1" | awk '{ n[NR] = $1 } END { print n[int((NR + 1) / 2)] }'
}

for command in "${commands[@]}"; do
    read -ra words <<<"$command"
    for ((i = 0; i < rounds; i++)); do
        for v in "${!variants[@]}"; do
            seconds "${variants[v]}" "${words[@]}" >>"$work/$v"
        done
    done
    off=$(median "$work/0")
    for v in "${!variants[@]}"; do
        awk -v program="${words[0]##*/}" -v variant="${variants[v]}" -v off="$off" \
            -v s="$(median "$work/$v")" \
            'BEGIN { printf "%-8s %-18s %7.3f s %6.2f\n", program, variant, s, s / off }'
        rm "$work/$v"
    done
done
