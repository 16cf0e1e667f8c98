#!/bin/bash
# SPDX-License-Identifier: MIT
#
# races.sh - makes each error of test/schedules/seeded.tsv and orders.tsv in a copy of src, and
# checks that the explorer (test/schedules/explore.h) finds it, in the scenario that the table
# names; or that nothing finds it, where the table gives a reason instead. Prints TAP.
#
#     test/races.sh BUILD [TEXT]     only the errors in whose row TEXT is
set -u
cd "$(dirname "$0")/.." || exit 1
build=$1 text=${2-}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
ntests=0 nfailed=0

test/schedules/build.sh src "$build/schedules" || exit 1

result() { # status what
    ntests=$((ntests + 1))
    [ "$1" -eq 0 ] || { nfailed=$((nfailed + 1)); printf 'not '; }
    echo "ok $ntests - $2"
}

try() { # what file change scenario
    local what=$1 file=$2 change=$3 scenario=$4 surprises=$5
    rm -rf "$work/src" "$work/build"
    cp -r src "$work/src"
    cp -r "$build/schedules" "$work/build"
    sed -i -Ez "$change" "$work/src/$file"
    if cmp -s "src/$file" "$work/src/$file"; then
        result 1 "no such code any longer: $file: $what"
        return
    fi
    if ! test/schedules/build.sh "$work/src" "$work/build" "$file" >"$work/log" 2>&1; then
        result 1 "does not compile: $file: $what"
        grep -m 3 error "$work/log" | sed 's/^/# /'
        return
    fi
    # Of what nothing finds, all scenarios are tried, in little time each.
    [ "$scenario" = nothing ] && scenario='' surprises=1
    timeout 300 "$work/build/schedules" --surprises "$surprises" "$scenario" >"$work/log" 2>&1
    if [ -z "$scenario" ]; then
        ! grep -q '^not ok' "$work/log"
        result $? "$file: $what (nothing can find it)"
    else
        grep -q '^not ok' "$work/log"
        result $? "$file: $what"
    fi
    sed -nE '/^not ok/{s/^not ok [0-9]+ - /# found: /p;n;p;q}' "$work/log"
}

while IFS=$'\t' read -r what file change scenario surprises; do
    case $what in '#'*) continue ;; esac
    case "$what $file $scenario" in
    *"$text"*) try "$what" "$file" "$change" "$scenario" "$surprises" ;;
    esac
done < <(cat test/schedules/{seeded,orders}.tsv)
echo "1..$ntests"
exit $((nfailed > 0))
