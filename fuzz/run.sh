#!/bin/bash
# SPDX-License-Identifier: MIT
#
# run.sh [--keep] BUILD SECONDS SEED NAME... - runs the fuzz targets BUILD/NAME, each on its corpus
# and on its seeds (fuzz/corpus/NAME, BUILD/seeds/NAME), and then for some seconds on what it makes
# of these. Prints TAP.
#
# With --keep, the inputs that reach something new stay in BUILD/corpus/NAME, where the next run
# finds them. The input of a failure is put into BUILD/found, which stays: run `BUILD/NAME FILE` to
# see it fail again. LONGEST=256 limits inputs to that many bytes, so that there are more of them.
set -u
usage='usage: run.sh [--keep] BUILD SECONDS SEED NAME...'
keeps=
if [ "${1-}" = --keep ]; then keeps=yes; shift; fi
build=$(realpath -e "${1:?$usage}") || exit 2
seconds=${2:?$usage} seed=${3:?$usage} longest=${LONGEST:-100000}
shift 3
cd "$(dirname "$0")" || exit 2
unset LIBMEM LD_PRELOAD ASAN_OPTIONS
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
mkdir -p "$build/found"
ntests=0 nfailed=0

result() { # status what
    ntests=$((ntests + 1))
    if [ "$1" -eq 0 ]; then echo "ok $ntests - $2"; return; fi
    nfailed=$((nfailed + 1))
    echo "not ok $ntests - $2"
}

# -entropic=0: by default libFuzzer spends up to half of the time on choosing what to change next.
# Each target says on its standard error what it does; what `mem` prints goes nowhere.
fuzz() { # name
    local name=$1 folder=$work/$1 status count folders=()
    [ -z "$keeps" ] || folder=$build/corpus/$name
    mkdir -p "$folder"
    for path in "corpus/$name" "$build/seeds/$name"; do
        [ ! -e "$path" ] || folders+=("$path")
    done
    timeout -k 10 $((seconds + 600)) "$build/$name" -seed="$seed" -max_total_time="$seconds" \
        -entropic=0 -reload=0 -timeout=100 -rss_limit_mb=2048 -max_len="$longest" \
        -verbosity=1 -print_final_stats=1 \
        -close_fd_mask="$([ "$name" = reader ] && echo 3 || echo 1)" \
        -artifact_prefix="$build/found/$name-" "$folder" "${folders[@]}" >"$work/log" 2>&1
    status=$?
    count=$(awk '/^stat::number_of_executed_units/ { print $2 }' "$work/log")
    if [ "$status" -eq 0 ] && [ "${count:-0}" -gt 0 ]; then
        result 0 "$name: $count inputs, seed $seed; reached $(grep -o 'cov: .* corp' \
            "$work/log" | tail -n 1 | awk '{ print $2 }') places in the code"
        return
    fi
    result 1 "$name: status $status, seed $seed"
    grep -vE '^#[0-9]|^\s*NEW_FUNC' "$work/log" | tail -n 40 | cut -c1-200 | sed 's/^/# /'
}

nbytes=$(find corpus -type f -printf '%s\n' | awk '{ n += $1 } END { print n }')
[ "$nbytes" -gt 0 ] && [ "$nbytes" -le 204800 ]
result $? "the corpora have at most 200 KiB ($nbytes bytes)"
for name; do fuzz "$name"; done
if [ $# -eq 0 ]; then
    result 0 'fuzzing # SKIP clang has no libFuzzer (libclang-rt-dev)'
fi
echo "1..$ntests"
[ "$nfailed" -eq 0 ]
