#!/bin/sh
# SPDX-License-Identifier: MIT
#
# bounded.sh BUILD CALLS [TLSF.so] - runs bench/bounded, and prints its figures as a table.
#
#     bench/results/bounded.csv    all figures; the first line is the command
#
# The variable RESULTS names another folder for the CSV.
set -eu
cd "$(dirname "$0")/.."
build=$1 calls=$2 tlsf=${3-} results=${RESULTS:-bench/results}
csv=$results/bounded.csv
export LC_ALL=C

{
    echo "# make bench-bounded STEPPED=$calls${tlsf:+ TLSF=${tlsf##*/}}"
    name=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
    echo "# ${name:-$(uname -m)}, $(getconf _NPROCESSORS_ONLN) cores;" \
        "commit $(git describe --always 2>/dev/null || echo unknown); $(date -u +%Y-%m-%d)"
    LD_LIBRARY_PATH=$build "$build/bench/bounded" "$calls" ${tlsf:+"$tlsf"}
} >"$csv.part" || { rm -f "$csv.part"; exit 1; }
mv "$csv.part" "$csv"

awk -F, '/^#/ || /^heap/ { next }
    { row = $2 "," $3 "," $4 "," $5; if (!(row in seen)) { seen[row]; order[++n] = row }
      if (!($1 in known)) { known[$1]; heaps[++m] = $1 }
      text[row, $1] = sprintf("%d (%d) %5.1f%s", $7, $8, $9, $10 > 0 ? " !" : "") }
    END {
        print "instructions of a call: mean (most), and ns; ! if an allocation failed"
        printf "%10s %7s %6s %8s", "heap", "objects", "live", "at most"
        for (k = 1; k <= m; k++) printf "%24s", heaps[k]
        print ""
        for (i = 1; i <= n; i++) {
            split(order[i], f, ",")
            printf "%10d %7d %5d%% %8d", f[1], f[4], f[3], f[2]
            for (k = 1; k <= m; k++) printf "%24s", text[order[i], heaps[k]]
            print ""
        }
    }' "$csv"
