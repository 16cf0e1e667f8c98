#!/bin/sh
# SPDX-License-Identifier: MIT
#
# fit.sh - the benchmark of the fits: builds bench/fit.c against the libmem.so in
# the root of the tree, runs it, and shows what came out.
#
#     bench/fit.sh [--quick] [--holes=N]... [--seed=S] [--heap=aged|fresh]
#
#     stdout                   a table, and the marks: met or missed
#     stderr                   progress
#     bench/results/fit.csv    all figures
#     bench/results/fit.svg    the picture, if there is gnuplot
#
# The marks mean nothing with --quick: its short rounds begin in caches that the
# walk of the list has just emptied, and end before they are warm.
#
# A missed mark is told, not an error: the exit status is that of the measuring.
# CC and CFLAGS are those of make; RESULTS is another place for CSV and SVG.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
CC=${CC:-cc}
CFLAGS=${CFLAGS:--O2 -g -DNDEBUG}
results=${RESULTS:-bench/results}
program=build/bench/fit
csv=$results/fit.csv
export LC_ALL=C # a point in the figures, whatever the user's language

build() {
    [ -e libmem.so ] || { echo "fit.sh: no libmem.so here: run make first" >&2; exit 1; }
    mkdir -p build/bench "$results"
    # shellcheck disable=SC2086 # CFLAGS are words
    $CC -std=c11 -D_GNU_SOURCE $CFLAGS -Iinclude \
        bench/fit.c bench/fit_selftest.c bench/textbook.c -L. -lmem -o "$program"
}

run() {
    LD_LIBRARY_PATH=. "$program" "$@"
}

cpu() {
    name=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo 2>/dev/null | head -n 1)
    echo "${name:-$(uname -m)}, $(getconf _NPROCESSORS_ONLN) cores"
}

commit() {
    git describe --always --dirty 2>/dev/null || echo unknown
}

# Line 1 says how to get these figures, line 2 where they come from.
head_of_csv() {
    echo "# bench/fit.sh${*:+ $*}"
    echo "# $(cpu); $($CC --version | head -n 1); commit $(commit); $(date -u +%Y-%m-%d)"
}

measure() {
    { head_of_csv "$@"; run "$@"; } >"$csv.part" || { rm -f "$csv.part"; exit 1; }
    mv "$csv.part" "$csv"
}

draw() {
    if ! grep -q '^aged,' "$csv"; then
        echo "fit.sh: the picture shows the aged heap, which was not measured: no picture" >&2
    elif command -v gnuplot >/dev/null; then
        LC_ALL=C.UTF-8 gnuplot -e "csv='$csv'; svg='$results/fit.svg'" bench/fit.gp
    else
        echo "fit.sh: gnuplot is not installed: there are a table and $csv, but no picture" >&2
    fi
}

table_and_marks() {
    awk -f bench/fit.awk "$csv"
}

build
case " $* " in
*" --help "* | *" --usage "* | *" -? "*) run "$@" && exit ;;
esac
run --selftest >&2 # figures of a wrong list would be worth nothing
measure "$@"
table_and_marks
draw
