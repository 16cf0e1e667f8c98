#!/bin/bash
# SPDX-License-Identifier: MIT
#
# run_selftest.sh - checks that run.sh counts passed tests and notices failures. Prints TAP.
set -u
run=$(cd "$(dirname "$0")" && pwd)/run.sh
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
ntests=0

program() { # name body: a script
    printf '#!/bin/bash\n%s\n' "$2" >"$1"
    chmod +x "$1"
}

# Checks the last line and the exit status of run.sh.
check() { # what last-line status argument...
    local what=$1 last=$2 status=$3 got got_last
    shift 3
    "$run" "$@" >log 2>&1
    got=$?
    got_last=$(tail -n 1 log)
    ntests=$((ntests + 1))
    if [ "$got_last" = "$last" ] && [ "$got" -eq "$status" ]; then
        echo "ok $ntests - $what"
    else
        echo "not ok $ntests - $what"
        echo "# expected '$last', status $status; status $got and:"
        sed 's/^/# /' log
    fi
}

says() { # what text: the last log contains it
    ntests=$((ntests + 1))
    if grep -qF -- "$2" log; then echo "ok $ntests - $1"; else
        echo "not ok $ntests - $1"
        sed 's/^/# /' log
    fi
}

program passes 'echo 1..2; echo ok 1 - a; echo ok 2 - b'
program fails 'echo 1..2; echo ok 1 - a; echo not ok 2 - b; echo "# the reason"; exit 1'
program fails_politely 'echo 1..1; echo not ok 1 - and the exit status is 0'
program crashes 'echo 1..2; echo ok 1 - a; kill -SEGV $$'
program crashes_at_the_end 'echo 1..1; echo ok 1 - a; kill -ABRT $$'
program hangs 'echo 1..1; echo ok 1 - a; sleep 60'
program silent 'exit 0'
program planless 'echo ok 1 - a'
program prints_less 'echo 1..3; echo ok 1 - a; echo ok 2 - b'
program prints_more 'echo 1..1; echo ok 1 - a; echo ok 2 - b'
program exits_badly 'echo 1..1; echo ok 1 - a; exit 3'
program skips 'echo 1..2; echo ok 1 - a; echo "ok 2 # SKIP b"'
program comments 'echo 1..1; echo "# not ok 7 - in a comment"; echo ok 1 - a'
# shellcheck disable=SC2016 # the program itself expands it
program argument 'echo 1..1; [ "$1" = good ] && echo ok 1 || echo not ok 1'

check 'all that pass are counted' '4 passed, 0 failed' 0 ./passes ./passes
check 'a failed test is a failure' '3 passed, 1 failed' 1 ./passes ./fails
says 'the output of what failed is shown' '# the reason'
check 'a failed test is one, whatever the exit status' '0 passed, 1 failed' 1 ./fails_politely
check 'a crash is a failure' '1 passed, 1 failed' 1 ./crashes
says 'the signal is named' 'signal 11'
check 'a crash after the last test is a failure' '1 passed, 1 failed' 1 ./crashes_at_the_end
check 'a hang is a failure' '1 passed, 1 failed' 1 --timeout 1 ./hangs
TIMEOUT=1 check 'and by another limit for all' '1 passed, 1 failed' 1 ./hangs
check 'silence is a failure' '0 passed, 1 failed' 1 ./silent
check 'to print no plan is a failure' '1 passed, 1 failed' 1 ./planless
check 'to print less than planned is a failure' '2 passed, 1 failed' 1 ./prints_less
check 'to print more than planned is a failure' '2 passed, 1 failed' 1 ./prints_more
check 'a bad exit status is a failure' '1 passed, 1 failed' 1 ./exits_badly
check 'a program that is not there is a failure' '0 passed, 1 failed' 1 ./absent
check 'nothing run is a failure' '0 passed, 1 failed' 1
check 'a skipped test is neither' '1 passed, 0 failed' 0 ./skips
check 'comments are not counted' '1 passed, 0 failed' 0 ./comments
check 'arguments are passed on' '1 passed, 0 failed' 0 './argument good'
check 'one failure among many is not lost' '5 passed, 1 failed' 1 ./passes ./fails ./passes

# A file without "#!" is a binary for run.sh, which must run it with the wrapper, here a shell.
printf 'echo 1..1; echo ok 1 - wrapped\n' >binary
check 'a wrapper is put before a binary' '1 passed, 0 failed' 0 --with 'bash -u' ./binary
check 'and not before a script' '2 passed, 0 failed' 0 --with 'false' ./passes

mkdir sources binaries
source_of() { # name expected body
    printf '/* EXPECT: %s */\n' "$2" >"sources/$1.c"
    program "binaries/$1" "$3"
}
source_of right '0 "free: -1, [refused]"' 'echo "free: -1, [refused] at once"'
source_of aborts '134 "bad free"' 'echo bad free; kill -ABRT $$'
check 'misuse as expected' '2 passed, 0 failed' 0 --misuse binaries sources
source_of status '0 "free"' 'echo free; exit 1'
source_of text '0 "free"' 'echo fre'
source_of on_stderr '0 "free"' 'echo free >&2'
source_of unbuilt '0 "free"' ''
rm binaries/unbuilt
program binaries/unsaid 'echo free'
echo '/* expects nothing */' >sources/unsaid.c
check 'misuse not as expected' '2 passed, 5 failed' 1 --misuse binaries sources
rm -r sources
mkdir sources
check 'no misuse at all is a failure' '0 passed, 1 failed' 1 --misuse binaries sources

"$run" --label one --tally sum ./passes >log 2>&1
says 'the label is shown' 'one: passes'
check 'totals of what passed' '2 passed, 0 failed' 0 --total sum
"$run" --label two --tally sum ./passes ./fails >log 2>&1
check 'totals of several' '5 passed, 1 failed' 1 --total sum
says 'what failed is there, too, by its name' 'two: fails  '
says 'and with its reason' '# the reason'
check 'no file, no success' '0 passed, 1 failed' 1 --total nowhere
"$run" --tally sum2 >log 2>&1
check 'nothing run is noted as a failure' '0 passed, 1 failed' 1 --total sum2

echo "1..$ntests"
