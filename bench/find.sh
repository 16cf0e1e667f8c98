#!/bin/sh
# SPDX-License-Identifier: MIT
#
# find.sh BUILD [SECONDS] - runs bench/find, and prints its figures as a table.
#
#     bench/results/find.csv    all figures; the first line is the command
#
# The variable RESULTS names another folder for the CSV.
set -eu
cd "$(dirname "$0")/.."
build=$1 seconds=${2:-0.05} results=${RESULTS:-bench/results}
csv=$results/find.csv
export LC_ALL=C

{
    echo "# make bench-find"
    name=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
    echo "# ${name:-$(uname -m)}, $(getconf _NPROCESSORS_ONLN) cores;" \
        "commit $(git describe --always 2>/dev/null || echo unknown); $(date -u +%Y-%m-%d)"
    LD_LIBRARY_PATH=$build "$build/bench/find" "$seconds"
} >"$csv.part" || { rm -f "$csv.part"; exit 1; }
mv "$csv.part" "$csv"

awk -F, '/^#/ || /^objects/ { next }
    { ns[$1, $2, $3] = $4
      if (!($1 in seen)) { seen[$1]; order[++n] = $1 }
      if (!($3 in known)) { known[$3]; lookups[++m] = $3 } }
    END {
        printf "%10s  median ns of a lookup, hot (cold)\n%10s", "", "objects"
        for (k = 1; k <= m; k++) printf "%18s", lookups[k]
        print ""
        for (i = 1; i <= n; i++) {
            printf "%10d", order[i]
            for (k = 1; k <= m; k++)
                printf "%18s", sprintf("%.1f (%.1f)", ns[order[i], "hot", lookups[k]],
                    ns[order[i], "cold", lookups[k]])
            print ""
        }
    }' "$csv"
