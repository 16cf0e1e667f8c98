#!/bin/bash
# SPDX-License-Identifier: MIT
#
# seeded.sh - checks that each error that `make races` and `make prove-faults` make in a copy of src
# still fits the code. These two take long; a row that changes nothing is seen here at once. Prints
# TAP.
set -u
cd "$(dirname "$0")/.." || exit 1
ntests=0 nfailed=0

for table in test/schedules/seeded.tsv test/schedules/orders.tsv prove/faults.tsv; do
    unfit=$(grep -v '^#' "$table" | while IFS=$'\t' read -r what file change _; do
        ! sed -Ez "$change" "src/$file" | cmp -s - "src/$file" || echo "# $file: $what"
    done)
    ntests=$((ntests + 1))
    if [ -z "$unfit" ]; then
        echo "ok $ntests - each row of $table changes src"
    else
        nfailed=$((nfailed + 1))
        echo "not ok $ntests - each row of $table changes src"
        echo "$unfit"
    fi
done
echo "1..$ntests"
exit $((nfailed > 0))
