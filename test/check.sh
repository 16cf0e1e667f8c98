#!/bin/bash
# SPDX-License-Identifier: MIT
#
# check.sh - makes and tests the builds of builds.tsv, one after the other, and adds up the
# results.
#
#     test/check.sh            every build
#     test/check.sh LABEL...   some of them
#
# A program that does not compile is one failure, and the others are tested nevertheless. A suite
# that fails without having reported a failed test is one failure, too. The last line is
# "N passed, N failed".
set -u
cd "$(dirname "$0")/.." || exit 1
tally=build/tally builds=test/builds.tsv
mkdir -p build
: >"$tally"

failures_of() { # label
    awk -v label="$1" '$1 == label { n += $3 } END { print n + 0 }' "$tally"
}

fail() { # label what: notes one failure
    echo "$1: $2: FAILED"
    echo "$1 0 1" >>"$tally"
}

run_suite() { # label suite variable=value...: BUILT=1, since the programs have been built
    local before
    before=$(failures_of "$1")
    make -s -j1 "$2" BUILT=1 "${@:3}" || [ "$(failures_of "$1")" -gt "$before" ] || fail "$1" "$2"
}

# The suites of an emulated build run side by side: none of their tests looks at the clock, and
# the emulator is slow.
check_build() { # label CC CFLAGS suites parameters
    local label=$1 suites suite variables
    eval "variables=($5)" # words, some of them in quotes
    variables=(LABEL="$label" CC="$2" CFLAGS="$3" BUILD="build/$label" "${variables[@]}")
    read -ra suites <<<"$4"
    make -s -k -j"$(nproc)" "${suites[@]/%/-programs}" "${variables[@]}" || fail "$label" build
    for suite in "${suites[@]}"; do
        case $2 in
        aarch64-*) run_suite "$label" "$suite" "${variables[@]}" & ;;
        *) run_suite "$label" "$suite" "${variables[@]}" ;;
        esac
    done
    wait
}

nbuilds=0
while IFS=$'\t' read -r label cc cflags suites parameters <&3; do
    case $label in '' | '#'*) continue ;; esac
    [ $# -eq 0 ] || [[ " $* " == *" $label "* ]] || continue
    nbuilds=$((nbuilds + 1))
    check_build "$label" "$cc" "$cflags" "$suites" "$parameters"
done 3<"$builds"
[ "$nbuilds" -ge $(($# > 1 ? $# : 1)) ] || fail check 'no such build'
exec test/run.sh --total "$tally"
