#!/bin/sh
# SPDX-License-Identifier: MIT
#
# fit.sh - the benchmark of the placement styles: builds bench/fit.c against the libmem.so in
# the root of the tree, runs it, and prints its figures.
#
#     bench/fit.sh [--quick] [--holes=N]... [--seed=S] [--heap=aged|fresh]
#
#     standard output          a table, and whether libmem reaches its marks
#     standard error           progress
#     bench/results/fit.csv    all figures
#     bench/results/fit.svg    a picture, if gnuplot is installed
#
# With --quick the marks mean nothing: the rounds are so short that the caches, which the walk
# of the list has just filled with its nodes, are cold for libmem.
#
# A missed mark is not an error: the exit status is that of the measurement. CC and CFLAGS are
# those of make. The variable RESULTS names another folder for the CSV and the SVG.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
CC=${CC:-cc}
CFLAGS=${CFLAGS:--O2 -g -DNDEBUG}
results=${RESULTS:-bench/results}
program=build/bench/fit
csv=$results/fit.csv
export LC_ALL=C # so that figures have a decimal point in every language

build() {
    if [ ! -e libmem.so ]; then
        echo "fit.sh: there is no libmem.so in $root: run make first" >&2
        exit 1
    fi
    mkdir -p build/bench "$results"
    # shellcheck disable=SC2086 # CFLAGS are several words
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

# Line 1 is the command that makes these figures, line 2 the machine and the commit.
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
        echo "fit.sh: no picture: it shows the aged heap, which was not measured" >&2
    elif command -v gnuplot >/dev/null; then
        LC_ALL=C.UTF-8 gnuplot -e "csv='$csv'; svg='$results/fit.svg'" bench/fit.gp
    else
        echo "fit.sh: no picture: gnuplot is not installed; the figures are in $csv" >&2
    fi
}

table_and_marks() {
    awk -f bench/fit.awk "$csv"
}

build
case " $* " in
*" --help "* | *" --usage "* | *" -? "*) run "$@" && exit ;;
esac
run --selftest >&2 # figures of a wrong list would mean nothing
measure "$@"
table_and_marks
draw
