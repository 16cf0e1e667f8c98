#!/bin/bash
# SPDX-License-Identifier: MIT
#
# run.sh - runs tests and counts the results.
#
#   run.sh [options] 'PROGRAM [ARGUMENT]...'...   programs and scripts that print TAP
#   run.sh [options] --misuse BINARIES SOURCES    programs with their outcome on line 1
#   run.sh --total FILE                           prints what failed, and the sum of the counts
#
#   --label NAME      begins each line with NAME, when there are several builds
#   --with COMMAND    an emulator, put before each binary (not before scripts)
#   --tally FILE      adds the counts and what failed to FILE, and leaves the last line to --total
#   --timeout SECONDS the limit for each program; TIMEOUT, or 900, by default
#
# The last line is "N passed, N failed"; the status is 0 if none failed. A program that crashes,
# hangs, prints no plan, or prints another number of results than planned counts as one more
# failure: a silent test has not passed. If no test was run, that is a failure, too.
set -u

label='' tally='' timeout=${TIMEOUT:-900} wrapper=() misuse=()
passed=0 failed=0
output=$(mktemp) || exit 1
trap 'rm -f "$output"' EXIT

# Sets `command`. A script runs on this machine even if the binaries run on an emulator.
command_for() {
    if [ -e "$1" ]; then command=("$1"); else read -ra command <<<"$1"; fi
    local magic=''
    [ -r "${command[0]}" ] && IFS= read -r -n 2 magic <"${command[0]}" 2>/dev/null
    [ "$magic" = '#!' ] || command=(${wrapper[@]+"${wrapper[@]}"} "${command[@]}")
}

# Leaves the output in the file and returns the status: 124 or 137 means that the program hung.
run_limited() {
    CMOCKA_MESSAGE_OUTPUT=TAP timeout -k 5 "$timeout" "$@" </dev/null >"$output" 2>&1
}

count_lines() { # pattern
    grep -Ec "$1" "$output"
}

# Prints why the program as a whole cannot be trusted, or nothing.
distrust() { # status planned printed nfailed
    if [ "$1" -eq 124 ] || [ "$1" -eq 137 ]; then echo "longer than $timeout s"
    elif [ "$1" -gt 128 ]; then echo "killed by signal $(($1 - 128))"
    elif [ -z "$2" ]; then echo "no plan"
    elif [ "$2" -ne "$3" ]; then echo "$2 planned, $3 printed"
    elif [ "$2" -eq 0 ]; then echo "nothing tested"
    elif [ "$1" -ne 0 ] && [ "$4" -eq 0 ]; then echo "exit status $1"
    fi
}

# The path below the last folder test/, or else the name of the file.
name_of() { # program
    case $1 in
    */test/* | test/*) echo "${1##*test/}" ;;
    *) basename "$1" ;;
    esac
}

# What --total prints again, so that it is also at the end of a long log: 20 lines at most for a
# program. In the tally such lines begin with "#".
note_failure() { # line details
    [ -z "$tally" ] || {
        echo "$1"
        grep -E -B 1 -A 3 '^not ok' <<<"$2" || tail -n 10 <<<"$2"
    } | head -n 20 | sed 's/^/# /' >>"$tally"
}

report() { # name ok bad skipped started why details
    local line
    line=$(printf '%s%-36s %4d ok' "${label:+$label: }" "$1" "$2")
    [ "$4" -eq 0 ] || line+=", $4 skipped"
    [ "$3" -eq 0 ] || line+=", $3 FAILED${6:+ ($6)}"
    line+=", $((SECONDS - $5)) s"
    echo "$line"
    passed=$((passed + $2)) failed=$((failed + $3))
    [ "$3" -gt 0 ] || return
    sed "s/^/${label:+$label: }    /" <<<"$7"
    note_failure "$line" "$7"
}

run_tap() { # item
    local started=$SECONDS status ok bad skipped printed plan why
    command_for "$1"
    run_limited "${command[@]}"
    status=$?
    printed=$(count_lines '^(not )?ok [0-9]')
    skipped=$(count_lines '^(not )?ok [0-9].*# SKIP')
    bad=$(grep -E '^not ok [0-9]' "$output" | grep -vc '# SKIP')
    ok=$((printed - skipped - bad))
    plan=$(sed -n 's/^1\.\.\([0-9]\{1,\}\).*/\1/p' "$output" | head -n 1)
    why=$(distrust "$status" "$plan" "$printed" "$bad")
    [ -z "$why" ] || bad=$((bad + 1))
    report "$(name_of "${1%% *}")" "$ok" "$bad" "$skipped" "$started" "$why" "$(cat "$output")"
}

# Prints why the program did not do what line 1 of its source says, or nothing.
misuse_fault() { # binary source
    local expect='^/\* EXPECT: ([0-9]+) "(.*)" \*/$' first='' status
    IFS= read -r first <"$2"
    [[ $first =~ $expect ]] || { echo "no EXPECT on line 1"; return; }
    [ -x "$1" ] || { echo "not built"; return; }
    CMOCKA_MESSAGE_OUTPUT='' timeout -k 5 "$timeout" ${wrapper[@]+"${wrapper[@]}"} "$1" \
        </dev/null >"$output" 2>"$output.err"
    status=$?
    [ "$status" -eq "${BASH_REMATCH[1]}" ] ||
        echo "exit status $status, expected ${BASH_REMATCH[1]}"
    # What ends by a signal has said why on standard error.
    [ -z "${BASH_REMATCH[2]}" ] || grep -qF -- "${BASH_REMATCH[2]}" "$output" ||
        { [ "${BASH_REMATCH[1]}" -gt 128 ] && grep -qF -- "${BASH_REMATCH[2]}" "$output.err"; } ||
        echo "did not print: ${BASH_REMATCH[2]}"
}

run_misuse() { # binaries sources
    local started=$SECONDS ok=0 bad=0 source name fault details=''
    for source in "$2"/*.c "$2"/*.cc; do
        [ -e "$source" ] || continue
        : >"$output"
        : >"$output.err"
        name=${source##*/}
        fault=$(misuse_fault "$1/${name%.*}" "$source")
        if [ -z "$fault" ]; then ok=$((ok + 1)); continue; fi
        bad=$((bad + 1))
        details+="$(basename "$source"): $fault"$'\n'$(sed 's/^/    /' "$output" "$output.err")$'\n'
    done
    rm -f "$output.err"
    report "$(name_of "$2")" "$ok" "$bad" 0 "$started" '' "$details"
}

finish() {
    [ $((passed + failed)) -gt 0 ] || failed=1
    if [ -n "$tally" ]; then
        echo "${label:-tests} $passed $failed" >>"$tally"
    else
        echo "$passed passed, $failed failed"
    fi
    [ "$failed" -eq 0 ]
    exit
}

total() { # file
    local name ok bad
    sed -n 's/^# //p' "$1"
    while read -r name ok bad; do
        [ "$name" = '#' ] || passed=$((passed + ok)) failed=$((failed + bad))
    done <"$1"
    finish
}

while [ $# -gt 0 ]; do
    case $1 in
    --label) label=$2; shift 2 ;;
    --with) read -ra wrapper <<<"$2"; shift 2 ;;
    --tally) tally=$2; shift 2 ;;
    --timeout) timeout=$2; shift 2 ;;
    --misuse) misuse=("$2" "$3"); shift 3 ;;
    --total) tally=''; total "$2" ;;
    -*) echo "run.sh: what is $1?" >&2; exit 2 ;;
    *) break ;;
    esac
done

for item in "$@"; do run_tap "$item"; done
[ ${#misuse[@]} -eq 0 ] || run_misuse "${misuse[@]}"
finish
