#!/bin/bash
# SPDX-License-Identifier: MIT
#
# faults.sh [TEXT] - makes each fault of faults.tsv in a copy of src, or those in whose row TEXT is,
# and checks that a goal of the function is left that is proved of src as it is. Prints TAP.
# SECONDS_EACH: how long a prover may take for one goal; here, 10 if it is not said.
set -u
cd "$(dirname "$0")/.." || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
export SECONDS_EACH=${SECONDS_EACH:-10}
ntests=0 nfailed=0

result() { # status what
    ntests=$((ntests + 1))
    [ "$1" -eq 0 ] || { nfailed=$((nfailed + 1)); printf 'not '; }
    echo "ok $ntests - $2"
}

left() { # folder proof function: the goals that are left, or what is wrong with the source
    SRC=$1 ONLY=$3 prove/prove.sh "$2" >"$work/log"
    if grep -q skipped "$work/log"; then
        echo "1..0 # SKIP $(cat "$work/log")"
        exit 0
    fi
    sed -nE 's/.*\[Failed\] *//p; s/.*(\[kernel\].*[Ee]rror.*)/\1/p' "$work/log" | sort
}

try() { # what file change proof function
    local what=$1 file=$2 change=$3 proof=$4 function=$5
    rm -rf "$work/src"
    cp -r src "$work/src"
    sed -i -Ez "$change" "$work/src/$file"
    if cmp -s "src/$file" "$work/src/$file"; then
        result 1 "no such code any longer: $file: $what"
        return
    fi
    local known=$work/$proof.$function
    [ -e "$known" ] || left src "$proof" "$function" >"$known"
    left "$work/src" "$proof" "$function" | comm -13 "$known" - >"$work/new"
    if grep -q error "$work/new"; then
        result 1 "does not compile: $file: $what"
    else
        [ -s "$work/new" ]
        result $? "$proof: $function: $what"
    fi
    sed 's/^/# /; 3q' "$work/new"
}

while IFS=$'\t' read -r what file change proof function; do
    case $what in '#'*) continue ;; esac
    case "$what $file $proof $function" in
    *"${1-}"*) try "$what" "$file" "$change" "$proof" "$function" ;;
    esac
done <prove/faults.tsv
echo "1..$ntests"
exit $((nfailed > 0))
