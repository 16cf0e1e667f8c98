#!/bin/bash
# SPDX-License-Identifier: MIT
#
# tool.sh MEM LIBRARY KNOWN - checks that `mem run` runs a program on LIBRARY, ends as the program
# does, and reports. Prints TAP.
#
# MEM and LIBRARY are copied, so that the search of mem for its library is tested, too. KNOWN is
# built from known.c: the report must contain the objects that it allocates.
#
# shellcheck disable=SC2016 # the program's shell expands what is in single quotes
set -u
usage='usage: tool.sh MEM LIBRARY KNOWN'
mem=$(realpath -e "${1:?$usage}") || exit 2
library=$(realpath -e "${2:?$usage}") || exit 2
known=$(realpath -e "${3:?$usage}") || exit 2
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
unset LD_PRELOAD LIBMEM
export LC_ALL=C
ulimit -c 0
ntests=0 nfailed=0
mkdir "$work"/{built,bin,lib,tools,build,alone} && cd "$work" || exit 1
for folder in built bin tools alone; do cp "$mem" "$folder/mem"; done
for folder in built lib build; do cp "$library" "$folder/libmem-malloc.so"; done
mem=$work/built/mem

result() { # status what
    ntests=$((ntests + 1))
    if [ "$1" -eq 0 ]; then echo "ok $ntests - $2"; return; fi
    nfailed=$((nfailed + 1))
    echo "not ok $ntests - $2"
    echo "# status $status"
    sed 's/^/# /' out err
}

# run COMMAND... sets status and leaves the output in out and err.
run() {
    timeout -k 5 240 "$@" >out 2>err </dev/null
    status=$?
}

ended() { # status what: and the library has said nothing
    [ "$status" -eq "$1" ] && ! grep -q '^libmem:' err
    result $? "$2"
}

printed() { # pattern what
    grep -qE -- "$1" out
    result $? "$2"
}

complained() { # pattern what
    grep -qE -- "$1" err
    result $? "$2"
}

run "$mem" --help
printed '^Usage: mem .*COMMAND' '--help'
printed '^  run ' '--help names the command'
run "$mem" run --help
printed '^Usage: mem run .*PROGRAM' 'run --help'
for option in --usage '-?' --version -V; do
    run "$mem" run "$option"
    ended 0 "run $option"
done
run "$mem" --version
printed '^mem \(libmem\) [0-9]+\.[0-9]+\.[0-9]+$' '--version'

run "$mem" run cat /proc/self/maps
ended 0 'a program runs'
[ ! -s err ]
result $? 'and mem says nothing'
printed "$work/built/libmem-malloc.so\$" 'the library beside mem is in it'
run bin/mem run cat /proc/self/maps
printed "$work/lib/libmem-malloc.so\$" 'the library in ../lib'
rm -r lib
run tools/mem run cat /proc/self/maps
printed "$work/build/libmem-malloc.so\$" 'the library in ../build'
rm -r build
run alone/mem run true
ended 125 'no library: status 125'
complained '^mem: libmem-malloc.so is not in the folder of mem' 'no library: a message'
for folder in 'a space' 'a:colon' '$ORIGIN' ' a:$LIB  b:'; do
    mkdir -p "$folder"
    cp "$mem" "$library" "$folder"
    run "$folder/mem" run sh -c 'exec 3>&- 4>&- 5>&- 6>&-; cat /proc/self/maps'
    [ ! -s err ] && grep -qF "$work/$folder/libmem-malloc.so" out
    result $? "a path that LD_PRELOAD cannot name, in a program and its child: '$folder'"
done
run 'a space/mem' run --time 'a space/mem' run --region=1G --report cat /proc/self/maps
ended 0 'such a path, twice'
[ "$(grep -c 'r-xp .*libmem-malloc.so' out)" -eq 1 ]
result $? 'and the library is loaded once'
run sh -c '"$0" run cat /proc/self/maps <&- 2>&-' 'a space/mem'
grep -q 'r-xp .*libmem-malloc.so' out
result $? 'with standard input and standard error closed, too'
run sh -c '"$0" run --leaks --report=counts true 2>&-' "$mem" # leaks are printed there
grep -q '^mem: true$' counts && ! grep -q 'looked for pointers' counts
result $? 'a report does not get the number of a standard error that is closed'

run "$mem" run printf '%s|' --help -r 'two  words' ''
[ "$(cat out)" = '--help|-r|two  words||' ]
result $? 'arguments arrive as they are, options too'
run "$mem" run -- printf -- '%s' x
[ "$(cat out)" = x ]
result $? '-- ends the options of mem'
run "$mem" run --time sh -c 'exit 7'
ended 7 'the status is that of the program'
complained '^  exit status +7$' 'and is reported'
run "$mem" run --time sh -c 'kill -SEGV $$'
ended 139 'a program that a signal ended: 128 + 11'
complained '^  ended by +signal 11, Segmentation fault' 'and is reported'
run "$mem" run no-such-program
ended 127 'not found: status 127'
complained '^mem: no-such-program: No such file or directory$' 'not found: a message'
run "$mem" run --time "$work"
ended 126 'not executable: status 126'
complained '^mem: .*: Permission denied$' 'not executable: a message'
[ "$(wc -l <err)" -eq 1 ]
result $? 'and no report of what did not run'
run "$mem" run ''
ended 127 'no name: status 127'
echo 'echo "$0 $1"' >no-interpreter
chmod +x no-interpreter
run "$mem" run ./no-interpreter told
printed '^./no-interpreter told$' 'a script without #! is for sh, as with env'
run env --ignore-signal=CHLD "$mem" run sh -c 'exit 7'
ended 7 'started by a process that ignores SIGCHLD'
"$mem" --help >/dev/full 2>err
status=$?
ended 125 'help that cannot be written is a failure'

run env LD_PRELOAD=libm.so.6 "$mem" run sh -c 'echo "$LD_PRELOAD"'
printed "^$work/built/libmem-malloc.so:libm.so.6\$" 'what was preloaded stays, behind the library'
run "$mem" run --region=1G --onerror=report sh -c 'echo "$LIBMEM"'
printed '^region=1G,onerror=report$' 'options reach the library'
run "$mem" run -r64k -e ignore -t sh -c 'echo "$LIBMEM"'
printed '^region=64k,onerror=ignore$' 'short options'
grep -q '^  wall time ' err
result $? '-t'
run "$mem" run -oreport -- "$known" objects
[ -s report ] && [ ! -s err ] && rm report
result $? '-oFILE'
run "$mem" run -s -ttimes true
[ -s times ] && [ ! -s err ] && rm times
result $? '-s -tFILE'
run env LIBMEM=region=2G "$mem" run --onerror=ignore sh -c 'echo "$LIBMEM"'
printed '^region=2G,onerror=ignore$' 'behind those of the environment'
run "$mem" run sh -c 'echo "${LIBMEM-none}"'
printed '^none$' 'no option: nothing is set'

run "$mem" run --system --time=report cat /proc/self/maps
ended 0 '--system: a program runs'
grep -q libmem out
[ $? -eq 1 ]
result $? "on the system's malloc"
cp report out
printed "^mem: cat, on the system's malloc\$" 'and the report says so'

nbad=0
for size in 64K 64k 65536 512M 512m 4G 4g 64G 64g; do
    run "$mem" run --region="$size" echo ran
    { [ "$status" -eq 0 ] && ! grep -q '^libmem:' err; } ||
        { nbad=$((nbad + 1)) && echo "# $size: $status"; }
done
result "$nbad" 'sizes that the library understands'
nbad=0
# shellcheck disable=SC2086 # some options are two words
for option in --region= --region=0 --region=-1 --region=63K --region=65G \
    --region=18446744073709551616K --region=1T --region=12Q --region=1GG \
    --region=1Gg --region=1t --region=G --region=g --onerror= \
    --onerror=maybe '-s -eabort' '--region=1G --system' '--report --system' '--report --time' \
    --nonsense; do
    run "$mem" run $option echo ran
    { [ "$status" -eq 125 ] && [ ! -s out ] && [ -s err ]; } ||
        { nbad=$((nbad + 1)) && echo "# $option: $status"; }
done
result "$nbad" 'options that make no sense: status 125, a message, nothing run'
run "$mem"
ended 125 'no command: status 125'
run "$mem" walk
complained '^mem: walk: no such command; ' 'an unknown command: a message'
run "$mem" run --region=1G
complained '^mem run: no program to run: ' 'no program: a message'

run "$mem" run --time=report sh -c 'echo to-out; echo to-err >&2'
[ "$(cat out err)" = $'to-out\nto-err' ]
result $? '--time: the outputs are those of the program alone'
cp report out
printed '^mem: sh$' '--time: the report is in the file'
run "$mem" run --time=no/such/folder echo ran
ended 125 '--time to where nothing can be written: status 125'
[ ! -s out ]
result $? 'before the program is run'
run "$mem" run --time=/dev/full true
ended 125 'a report that cannot be written is a failure'

# --- figures, compared with what the program is known to do ---
field() { # name: the first figure behind it
    sed -n "s/^  $1 *\([0-9.]*\) .*/\1/p" err
}
between() { # figure least most
    awk -v n="${1:-none}" -v least="$2" -v most="$3" \
        'BEGIN { exit !(n ~ /^[0-9.]+$/ && n + 0 >= least && n + 0 <= most) }'
}
run "$mem" run --time sleep 0.3
between "$(field 'wall time')" 0.3 200
result $? 'wall time: a program that sleeps for 0.3 s'
between "$(field 'CPU time')" 0 0.25
result $? 'CPU time: a program that sleeps'
run "$mem" run --time bash -c 'for ((i = 0; i < 300000; i++)); do :; done; times'
between "$(field 'CPU time')" 0.05 20
result $? 'CPU time: a program that counts'
run "$mem" run --time dd if=/dev/zero of=/dev/null bs=64M count=1
between "$(field 'peak memory')" 64 256
result $? 'peak memory: a program that fills 64 MiB'
run "$mem" run --time --system sh -c 'dd if=/dev/zero of=/dev/null bs=64M count=1; exit 0'
between "$(field 'peak memory')" 64 256
result $? 'peak memory: a program that has another fill 64 MiB'

# --- counts, compared with what known.c says that it does ---
counted() { # what...: leaves the report in out, numbers without commas
    run "$mem" run --report=report "$@"
    sed ':again; s/\([0-9]\),\([0-9]\)/\1\2/; t again' report >out
}
says() { # what, label, figure...: the line of that label has these figures, in this order
    local what=$1 found label=$2
    shift 2
    found=$(sed -n "s/^  $label  *\([0-9].*\)/\1/p" out |
        grep -o '^[0-9][0-9]*\|[0-9][0-9]* \(bytes\|moved\)' | grep -o '[0-9]*' | paste -sd' ')
    [ "$found" = "$*" ]
    result $? "$what: $label: $*${found:+ (found: $found)}"
}
size() { # what, size, allocated, peak, live
    local found
    found=$(sed -n "s/^ *$2  *\([0-9]*\) *#* *\([0-9]*\) *\([0-9]*\) .*/\1 \2 \3/p" out)
    [ "$found" = "$3 $4 $5" ]
    result $? "$1: size up to $2: $3 allocated, at most $4 live, $5 at the end (found: $found)"
}
counted "$known" objects
ended 0 '--report: the status is that of the program'
says objects allocated 21 1064656
says objects freed 5
says objects 'live at end' 16 15680
says objects 'live, peak' 1048576
says objects 'out of memory' 0
says objects refused 0
size objects '16 B' 7 7 7
size objects '128 B' 10 10 6
size objects '8 KiB' 3 3 3
size objects '1 MiB' 1 1 0
[ "$(grep -cE '^ +[0-9]+ [KMG]?i?B ' out)" -eq 4 ] && ! grep -q program out
result $? 'objects: no other size, no table of processes'
grep -q '^  exit status  *0$' out && grep -q '^  wall time ' out &&
    grep -q '^  counting takes time: ' out
result $? 'objects: status and time, and that counting takes time'
counted "$known" resize
says resize allocated 4 1453676
says resize freed 3
says resize 'live at end' 1 400000
says resize 'live, peak' 1448576
says resize resized 1 2
size resize '128 B' 1 1 0
size resize '8 KiB' 1 1 0
size resize '512 KiB' 1 1 1
size resize '1 MiB' 1 1 0
run env LIBMEM=onerror=ignore "$mem" run --report "$known" refused
cp err out
says refused refused 10
reasons='4 already free, 2 inside an object, 3 outside the heap, 1 in no object'
printed "^  refused +10 pointers: $reasons\$" 'and why; to standard error'
says refused freed 1
counted "$known" twice
[ "$status" -eq 134 ] && grep -q '^  ended by .*Aborted' out
result $? 'twice: aborted, and reported'
says twice refused 1
says twice 'live at end' 2 2000
counted "$known" leave
ended 3 'leave: by _exit'
says leave 'live at end' 3 3000
counted "$known" killed
ended 137 'killed: by a signal that cannot be caught'
says killed 'live at end' 3 3000
counted "$known" threads
size threads '32 KiB' 4400 400 40
counted "$known" fork
says fork allocated 5 9000
says fork 'from parents' 4 4000
says fork 'live at end' 7 11000
says fork 'live, peak' 5000
rows() { # of the table of processes: without pid and region
    sed -n '/^  process/,$ { /^  process/d
        s/^  *[0-9]*  *\([0-9.]* [KM]*i*B\)  *[0-9.]* [KM]*i*B /\1 /; s/  */ /gp }' out
}
child='3.9 KiB 1 2 2.9 KiB 0 (fork) known fork'
[ "$(rows)" = $'4.9 KiB 3 3 4.9 KiB 0 known fork\n'"$child"$'\n'"$child" ]
result $? 'fork: a row each'
counted "$known" exec
[ "$(rows)" = $'1 MiB 21 16 15.3 KiB 0 known objects a?b\n2.0 KiB 2 2 2.0 KiB 0 known exec' ]
result $? 'exec: a row for each program, a line for each row'
[ "$(sed -n '/^  process/,$ { /^  process/d; s/^  *\([0-9]*\) .*/\1/p }' out |
    sort -u | wc -l)" -eq 1 ]
result $? 'exec: both are one process'
says exec allocated 23 1066656
says exec 'live at end' 18 17680
counted "$known" back
between "$(sed -n 's/^  given back *\([0-9]*\) bytes .*/\1/p' out)" 67108864 69206016
result $? 'back: 64 MiB'
counted "$known" most
says most 'out of memory' 5
counted bash -c 'for ((i = 0; i < 30; i++)); do (exit); done'
printed '^  all 31 processes; ' 'a shell and 30 that it forks'
printed '^  and 11 more, with lower peaks$' 'a long table is cut'
counted env -u LD_PRELOAD sh -c ':'
printed '^  the process$' 'what is not on libmem is not counted'
counted env LIBMEM= sh -c ':'
printed '^  the process$' 'nor what has lost the option'
counted /sbin/ldconfig --version # Debian links it statically.
printed '^  no process was counted: ' 'and if nothing is counted, the report says so'
run "$mem" run --report=no/such/folder echo ran
[ "$status" -eq 125 ] && [ ! -s out ] &&
    grep -q '^mem: no/such/folder: No such file or directory$' err
result $? '--report to where nothing can be written: a message, nothing run'
seq 10000 >report && cp report kept
run "$mem" run --report=report no-such-program
[ "$status" -eq 127 ] && cmp -s report kept
result $? 'no such program: the file of the report keeps what it has'
for option in '' --leaks; do
    run "$mem" run ${option:+"$option"} --report=new no-such-program
    [ "$status" -eq 127 ] && [ ! -e new ]
    result $? "no such program: a new file of the report is removed${option:+, $option}"
done
run "$mem" run --report=report true
[ "$status" -eq 0 ] && head -n 1 report | grep -q '^mem: true$' && ! grep -q '^10000$' report
result $? 'and loses that to a report'
run sh -c '"$0" run --report=/dev/stdout seq 3 >report' "$mem"
[ "$status" -eq 0 ] && [ "$(head -n 3 report | tr '\n' ' ')" = '1 2 3 ' ] &&
    sed -n 4p report | grep -q '^mem: seq$'
result $? 'but what the program wrote into that file stays before the report'
run "$mem" run --report=/dev/full true
ended 125 '--report that cannot be written is a failure'
run sh -c '"$0" run --report true 2>&-' "$mem"
ended 125 'so is one to a standard error that is closed'
run sh -c 'ulimit -f 100; "$0" run --report echo ran' "$mem"
[ "$status" -eq 125 ] && [ ! -s out ] &&
    grep -q '^mem: cannot make a file of [0-9]* bytes for the counts: File too large$' err
result $? 'files may not be as large as the counts: a message, nothing run'
run bash -o pipefail -c '(ulimit -f 0; exec "$0" run --time=limited true) 2>&1 | cat >&2' "$mem"
[ "$status" -eq 125 ] && grep -q '^mem: limited: File too large$' err
result $? 'a report above the limit on the size of files: a message'
run "$mem" run sh -c 'ulimit -f 0; echo more >limited'
ended 153 'the program is ended by such a write, as without mem: 128 + 25'
run bash -c "trap '' CHLD; exec \"$mem\" run grep SigIgn: /proc/self/status"
# The signal's bit is the 17th.
printed '[13579bdf][0-9a-f]{4}$' 'a signal that is ignored is so in the program'
run "$mem" run --region="$(printf '0%.0s' {1..200})64M" "$known" objects
ended 0 'a size with many digits'
run "$mem" run --report sh -c 'cp "${LIBMEM#count=}" counters'
head -c 100000 counters >short
# This changes the recorded size of the rows.
printf x | dd of=counters bs=1 seek=20 conv=notrunc 2>/dev/null
for file in /dev/null "$known" / short counters; do
    run env LD_PRELOAD="$library" LIBMEM=count="$file" "$known" objects
    [ "$status" -eq 0 ] &&
        [ "$(cat err)" = "libmem: LIBMEM: count ignored: that is no file that \`mem run' has made" ]
    result $? "count=$file: said, and ignored"
done
run env LD_PRELOAD="$library" LIBMEM=count=/proc/1/no/such/file "$known" objects
[ "$status" -eq 0 ] && [ ! -s err ]
result $? 'count: the process that made the file has ended'

# mem passes a signal on to the program and stays to report.
nbad=0
for signal in HUP INT QUIT TERM USR1 USR2; do
    rm -f out
    env --default-signal="$signal" "$mem" run --time sh -c "trap 'echo told; exit 5' $signal
        echo ready
        for i in \$(seq 4800); do sleep 0.05; done" >out 2>err </dev/null &
    pid=$!
    for _ in {1..4800}; do grep -qs ready out && break; sleep 0.05; done
    kill -s "$signal" "$pid"
    wait "$pid"
    status=$?
    { [ "$status" -eq 5 ] && grep -q '^told$' out && grep -Eq '^  exit status +5$' err; } ||
        { nbad=$((nbad + 1)) && echo "# $signal: $status"; }
done
result "$nbad" 'signals are passed on to the program, and mem reports'
run "$mem" run --time "$mem" run --time=report sh -c 'kill -INT $$'
ended 130 'a program that was interrupted: 128 + 2'
complained '^  ended by +signal 2, Interrupt' 'mem dies of it too, so that a loop around it ends'

# When the program has ended, a signal ends mem: here mem waits for a reader of what it writes.
mkfifo full
exec 7<>full
dd if=/dev/zero of=full bs=4096 oflag=nonblock 2>/dev/null # until no more fits
for option in --report=full --leaks; do
    rm -f ended
    env --default-signal=TERM "$mem" run "$option" sh -c 'echo $$ >ended' >out 2>full </dev/null &
    pid=$!
    for _ in {1..4800}; do [ -s ended ] && [ ! -e "/proc/$(cat ended)" ] && break; sleep 0.05; done
    kill -TERM "$pid"
    { timeout 10 tail --pid="$pid" -f /dev/null || kill -KILL "$pid"; } 2>/dev/null
    { wait "$pid"; } 2>err
    status=$?
    [ "$status" -eq 143 ]
    result $? "run $option: a signal that comes after the program has ended ends mem"
done
exec 7>&-
echo "1..$ntests"
[ "$nfailed" -eq 0 ]
