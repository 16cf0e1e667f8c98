#!/bin/bash
# SPDX-License-Identifier: MIT
#
# seeded.sh - checks that each error that `make races` and `make prove-faults` make in a copy of src
# still fits the code, and each mutant that `make mutants` leaves out. These take long; a row that
# does not fit any longer is seen here at once. Prints TAP.
set -u
cd "$(dirname "$0")/.." || exit 1
ntests=0 nfailed=0

result() { # what rows: those that do not fit
    ntests=$((ntests + 1))
    [ -z "$2" ] || { nfailed=$((nfailed + 1)); printf 'not '; }
    echo "ok $ntests - $1"
    [ -z "$2" ] || sed 's/^/# /' <<<"$2"
}

for table in test/schedules/seeded.tsv test/schedules/orders.tsv prove/faults.tsv; do
    unfit=$(grep -v '^#' "$table" | while IFS=$'\t' read -r what file change _; do
        ! sed -Ez "$change" "src/$file" | cmp -s - "src/$file" || echo "$file: $what"
    done)
    result "each row of $table changes src" "$unfit"
done
unfit=$(python3 test/mutants.py --n 0 --list 2>&1)
result 'each row of test/mutants.tsv is a possible mutant' "$unfit"
echo "1..$ntests"
exit $((nfailed > 0))
