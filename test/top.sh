#!/bin/bash
# SPDX-License-Identifier: MIT
#
# top.sh BUILD - checks that `mem top` shows how a program changes, to the byte, as text and on a
# screen with keys, resizes and signals, and that the program goes on [T1, T5]. Prints TAP.
#
# The program (test/inspect/grows.c) does what it is told. The screen is that of a terminal which
# test/inspect/screen.py plays.
set -u
usage='usage: top.sh BUILD'
build=$(realpath -e "${1:?$usage}") || exit 2
screen=$(realpath "$(dirname "$0")/inspect/screen.py")
mem=$build/mem grows=$build/test/inspect/grows library=$build/libmem-malloc.so
work=$(mktemp -d) || exit 1
pid='' tool=''
trap 'exec 3>&-; [ -z "$tool" ] || kill -9 "$tool"; [ -z "$pid" ] || kill -9 "$pid"
      rm -rf "$work"' EXIT
unset LIBMEM LD_PRELOAD NO_COLOR DEBUGINFOD_URLS
export LC_ALL=C LD_LIBRARY_PATH=$build
ntests=0 nfailed=0 status=0
cd "$work" || exit 1

result() { # status what
    ntests=$((ntests + 1))
    if [ "$1" -eq 0 ]; then echo "ok $ntests - $2"; return; fi
    nfailed=$((nfailed + 1))
    echo "not ok $ntests - $2"
    echo "# status $status"
    tail -n 40 out err says | cut -c1-200 | sed 's/^/# /'
}

# run COMMAND... sets status and leaves the output in out and err.
run() {
    timeout -k 5 240 "$@" >out 2>err </dev/null
    status=$?
}

refuses() { # pattern what: with status 2, and nothing on standard output
    [ "$status" -eq 2 ] && [ ! -s out ] && grep -qE "$1" err
    result $? "$2"
}

# await PATTERN FILE COUNT waits until a file has COUNT lines with the pattern.
await() {
    local n
    for _ in {1..4800}; do
        n=$(grep -cE "$1" "$2" 2>/dev/null) # nothing, if there is no such file yet
        [ "${n:-0}" -lt "$3" ] || return 0
        sleep 0.05
    done
    return 1
}

# start COMMAND... runs the program, in the background, until `finish`: sets pid, which is that of
# the program, and child, and leaves what it says in `says`.
start() {
    rm -f input says
    mkfifo input
    "$@" "$grows" <input >says 2>says.err &
    child=$!
    exec 3>input
    await '^ready' says 1 || echo '# the program does not start'
    pid=$(awk '/^ready/ { print $2 }' says)
    nsteps=0
}

# Tells the program what to do, and waits until it has.
tell() {
    echo "$*" >&3
    nsteps=$((nsteps + 1))
    await '^done' says "$nsteps"
}

# Ends the program, and returns whether it was alive until then.
finish() {
    exec 3>&-
    pid=
    wait "$child"
    grep -q '^alive' says
}

# Starts the tool in the background, and waits for its first look.
look() { # option...
    : >out
    "$mem" top --batch "$@" "$pid" >out 2>err </dev/null 3>&- &
    tool=$!
    await 'last look$' out 1
}

# Waits for two looks more, of which the second has begun after this was called, and ends the tool.
look_last() {
    local n
    n=$(grep -c '^process' out)
    await '^process' out $((n + 3))
    kill "$tool"
    await_tool
}

# Sets status when the tool has ended; a tool that does not is killed.
await_tool() {
    for _ in {1..4800}; do
        kill -0 "$tool" 2>/dev/null || break
        sleep 0.05
    done
    kill -9 "$tool" 2>/dev/null
    wait "$tool" 2>/dev/null
    status=$? tool=
}

preloaded=(env "LD_PRELOAD=$library" LIBMEM=region=64M)

# --- what has changed ----------------------------------------------------------------------

start "${preloaded[@]}"
tell take 5 101
tell take 11 40000
look --delay=0.2
tell take 7 13
tell take 1 500
tell free 4 101
look_last
[ "$status" -eq 143 ]
result $? 'it looks until it is ended'

# Sums over all looks what the columns of the objects and of the bytes say of a line.
sum() { # line
    awk -v line="$1" 'index($0, line) == 1 {
            sub(line, ""); objects += $1; bytes += $2; if ($3 != "B") other = 1 }
        END { print objects, bytes, other + 0 }' out
}
[ "$(sum 'came, by size')" = '8 591 0' ]
result $? 'what came, to the byte'
[ "$(sum 'went, by size')" = '4 404 0' ]
result $? 'what went'
tac out | awk '{ print } /^process/ { exit }' | tac >last
grep -qE '\| +13 +\+7 +\+91 B +0 B$' last && grep -qE '\| +500 +\+1 +\+500 B +0 B$' last &&
    ! grep -qE '\| +101 ' last
result $? 'the sizes that grew since the first look'
grep -qE '^ +40000 +11 +429.7 KiB  \|' last && grep -qE '^ +101 +1 +101 B  \|' last
result $? 'the largest sizes'
# 11 * 40000 + 500 + 101 + 7 * 13
[ "$(awk '/^malloc.s heap  / { print $3, $4, $5, $6, $7 }' last)" = '64.0 MiB 430.4 KiB 20' ]
result $? 'the heap: its size, bytes in use, objects'
awk '/^malloc.s heap  / { exit !($8 > 0 && $9 ~ /iB$/) }' last
result $? 'and what is resident'
grep -qE '^malloc.s heap: .* below the top; a cell is [0-9.]+ KiB; fragmentation' last &&
    awk '/below the top/ { on = 1; next } /^$/ { on = 0 } on && /L/ { large = 1 }
        on && /M/ { metadata = 1 } END { exit !(large && metadata) }' last
result $? 'a picture of it, which has large objects and metadata'
grep -qE '^stopped for [0-9.]+ ms.*, [0-9.]+ % of its time; mem takes [0-9.]+ % of a' last
result $? 'how long the program was stopped'
run "$mem" top -b -n 3 -d 0.1 "$pid"
[ "$status" -eq 0 ] && [ "$(grep -c '^process' out)" -eq 3 ]
result $? '-n 3: three looks, then status 0'
finish
result $? 'the program goes on'

start "$mem" run --report=report
look --delay=0.2
tell take 100 50
tell free 100 50
look_last
[ "$(sum 'allocated, as counted' | cut -d' ' -f1)" = 100 ]
result $? 'a program that counts its calls: what was allocated'
[ "$(sum 'freed, as counted' | cut -d' ' -f1)" = 100 ]
result $? 'and what was freed'
finish
result $? 'it goes on'

# --- ends, other programs, signals ------------------------------------------------------------

start "${preloaded[@]}"
look --delay=0.1
finish
await_tool
[ "$status" -eq 1 ] && grep -q 'the process has ended' err
result $? 'the program ends: status 1, and a line that says so'
for program in "$grows" /bin/cat; do
    start "${preloaded[@]}"
    target=$pid
    look --delay=0.1
    echo "exec $program" >&3
    await_tool
    [ "$status" -eq 1 ] && grep -q "^mem: $target: the process executes another program now" err
    result $? "it executes ${program##*/}: status 1, and a line that says so"
    exec 3>&-
    pid=
    wait "$child"
done
start "${preloaded[@]}"
tell take 1000 40000
# The first thread of a process that is killed may end before the one that has stopped the program.
has_ended_or_stopped() { # process
    grep -q '^State:.T' "/proc/$1/status" || [ ! -e "/proc/$1" ] ||
        ! grep -qs '^State:.[^Z]' "/proc/$1/task/"*/status
}

# Stops or kills the tool at forty moments, as a job of its own, since only that can be stopped. The
# status is how often a thread of the program was still stopped when the tool was. `mem leaks' has
# the program stopped most of the time.
end_tools() {
    local number nbad=0 tool
    set -m
    for number in TSTP TTOU KILL TERM; do
        for _ in {1..5}; do
            "$mem" "$@" "$pid" >out 2>err </dev/null 3>&- &
            tool=$!
            sleep "0.0$((RANDOM % 50 + 10))"
            kill "-$number" "$tool"
            for _ in {1..4800}; do
                has_ended_or_stopped "$tool" && break
                sleep 0.01
            done
            ! grep -q '^State:.t' "/proc/$pid/task/"*/status || nbad=$((nbad + 1))
            kill -9 "$tool"
            wait "$tool"
        done
    done
    return "$nbad"
}
(end_tools top --batch --delay=0.1) 2>/dev/null
status=$?
result "$status" 'the tool is stopped or killed at any moment: no thread stays stopped'
(end_tools leaks) 2>/dev/null
status=$?
result "$status" 'and so it is for mem leaks'
"$mem" snap "$pid" -o snap >out
finish
result $? 'the program goes on'

# --- what cannot be looked at -------------------------------------------------------------------

run "$mem" top -b snap
refuses 'a file does not change: give the id of a process' 'a snapshot is refused'
run "$mem" top -b 4194305
refuses 'no such process' 'no such process'
run "$mem" top -b $$
refuses 'no libmem in this program' 'a process without libmem'
for words in '' '1 2' '-d 0 1' '-d x 1' '-d 1e9 1' '-d nan 1' '-d 0x2 1' '-n 0 1' '-n x 1' \
    '--what 1'; do
    # shellcheck disable=SC2086 # several words
    run "$mem" top -b $words
    refuses 'Try .mem top --help' "usage: top -b $words"
done
run "$mem" snap --every 1s -o series snap
refuses 'a file does not change' 'nor is a series of snapshots taken of one'

# --- the screen ---------------------------------------------------------------------------------

start "${preloaded[@]}"
timeout 240 "$mem" top --batch --delay=0.1 "$pid" >/dev/full 2>err </dev/null
status=$?
[ "$status" -eq 2 ] && grep -q 'standard output: No space left' err
result $? 'a look that cannot be written is the last one'
run "$mem" top "$pid"
if grep -q 'built without ncurses' err; then
    refuses 'so that it has no screen: use --batch' 'without ncurses, --batch is needed'
    finish
else
    refuses 'there is no terminal: use --batch' 'without a terminal, --batch is needed'
    finish
    export TERMINFO=$work/terminfo
    tic -x - >out 2>err <<'EOF'
plain|a terminal without colours,
    cols#80, lines#24, bel=^G, cr=\r, cud1=\n, ind=\n, clear=\E[H\E[2J,
    cup=\E[%i%p1%d;%p2%dH, ed=\E[J, el=\E[K, bold=\E[1m, sgr0=\E[m,
    smcup=\E[?1049h, rmcup=\E[?1049l, civis=\E[?25l, cnorm=\E[?25h,
painted|a terminal with eight colours,
    colors#8, pairs#64, setaf=\E[3%p1%dm, setab=\E[4%p1%dm, op=\E[39;49m, use=plain,
EOF
    status=0
    timeout -k 5 800 python3 "$screen" "$mem" "$library" "$grows" >screens 2>err || status=$?
    : >out
    while read -r word what; do
        case $word in
        pass) result 0 "the screen: $what" ;;
        fail) result 1 "the screen: $what" ;;
        '#') echo "# $what" ;;
        esac
    done <screens
    [ "$status" -eq 0 ]
    result $? 'the screens were all there'
fi
echo "1..$ntests"
[ "$nfailed" -eq 0 ]
