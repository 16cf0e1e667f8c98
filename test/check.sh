#!/bin/bash
# SPDX-License-Identifier: MIT
#
# check.sh - makes and tests the builds of builds.tsv, and adds up the results.
#
#     test/check.sh            every build
#     test/check.sh LABEL...   some of them
#
# First all are built, one after the other. Then their suites run, one more at once than there are
# processors, but at most four, since some take 2 GiB of memory; and at the end, alone, the suites
# of builds whose label is "alone".
#
# A program that does not compile is one failure, and the others are tested nevertheless. A suite
# that fails without having reported a failed test is one failure, too. What failed is printed
# again at the end; the last line is "N passed, N failed".
set -u
cd "$(dirname "$0")/.." || exit 1
builds=test/builds.tsv tallies=build/tallies
rm -rf "$tallies"
mkdir -p "$tallies"
lanes=$(($(nproc) + 1)) # some tests wait
[ "$lanes" -le 4 ] || lanes=4
trap 'trap "" TERM; kill 0; exit 130' INT # what runs in the background ignores a ^C

fail() { # label what: notes one failure
    echo "$1: $2: FAILED"
    printf '# %s: %s: FAILED\n%s 0 1\n' "$1" "$2" "$1" >>"$tallies/$1.failed"
}

has_failures() { # tally
    [ -e "$1" ] && awk '!/^#/ { n += $3 } END { exit !n }' "$1"
}

# Reads a row of builds.tsv, sets `label`, `suites` and `variables`, and returns whether it is one
# of those that were asked for.
read_build() { # row label...
    local cc cflags names parameters
    IFS=$'\t' read -r label cc cflags names parameters <<<"$1"
    case $label in '' | '#'*) return 1 ;; esac
    [ $# -eq 1 ] || [[ " ${*:2} " == *" $label "* ]] || return 1
    eval "variables=($parameters)" # words, some of them in quotes
    variables=(LABEL="$label" CC="$cc" CFLAGS="$cflags" BUILD="build/$label" "${variables[@]}")
    read -ra suites <<<"$names"
}

run_suite() { # label suite variable=value...: BUILT=1, since the programs have been built
    local tally=$tallies/$1.$2
    make -s -j1 "$2" BUILT=1 TALLY="$tally" "${@:3}" || has_failures "$tally" || fail "$1" "$2"
}

start_suite() { # label suite variable=value...
    while [ "$(jobs -rp | wc -l)" -ge "$lanes" ]; do wait -n; done
    run_suite "$@" &
}

nbuilds=0
mapfile -t rows <"$builds"
for row in "${rows[@]}"; do
    read_build "$row" "$@" || continue
    nbuilds=$((nbuilds + 1))
    make -s -k -j"$(nproc)" "${suites[@]/%/-programs}" "${variables[@]}" || fail "$label" build
done
[ "$nbuilds" -ge $(($# > 1 ? $# : 1)) ] || fail check 'no such build'
for row in "${rows[@]}"; do
    read_build "$row" "$@" || continue
    [ "$label" != alone ] || wait
    for suite in "${suites[@]}"; do start_suite "$label" "$suite" "${variables[@]}"; done
done
wait
cat "$tallies"/* >build/tally
exec test/run.sh --total build/tally
