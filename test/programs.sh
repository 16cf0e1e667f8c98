#!/bin/bash
# SPDX-License-Identifier: MIT
#
# programs.sh - checks that real programs behave on LIBRARY, a preloaded malloc, as on the
# system's: their output, standard error and exit status must be equal. Prints TAP.
#
#     test/programs.sh LIBRARY [PROGRAM]...
#
# Each program is run twice, in an empty folder. In the first run nothing is preloaded, and the
# status must be 0. In the second run the dynamic linker records which libraries each process has
# loaded, and LIBRARY must be among them.
set -u
self=$(realpath "$0")
root=$(dirname "$(dirname "$self")")
inputs=$root/test/programs
limit=240 # The limit for one run in seconds; on the system's malloc a run takes about 1.

# --- the programs -------------------------------------------------------------
#
# work_NAME runs in an empty folder, in a bash that stops at the first failure. It needs the
# program NAME, unless needs_NAME says otherwise.

work_python3() {
    PYTHONMALLOC=malloc python3 "$inputs/containers.py"
}

work_perl() {
    perl "$inputs/containers.pl"
}

work_lua5.4() {
    lua5.4 "$inputs/containers.lua"
}

work_node() {
    node "$inputs/buffers.js"
}

work_bash() {
    bash "$inputs/arrays.sh"
}

# The last statement of the script is wrong, so that the message and the status are compared, too.
work_sqlite3() {
    sqlite3 -batch :memory: <"$inputs/tables.sql" || echo "status $?"
    sqlite3 -batch tables.db <"$inputs/tables.sql" || echo "status $?"
    sqlite3 -batch tables.db 'SELECT * FROM person ORDER BY name, id' | cksum
}

work_gcc() {
    cd "$root"
    gcc -std=c11 -D_GNU_SOURCE -Iinclude -Isrc -O2 -g -S src/ledger/btree.c -o -
}

needs_gcc() {
    echo gcc cc1
}

work_gxx() {
    g++ -std=c++17 -O1 -pthread "$inputs/stl.cpp" -o stl
    ./stl
}

needs_gxx() {
    echo g++ cc1plus stl
}

# The program was built before, on the system's malloc.
work_threads() {
    cp "$LIBMEM_TEST_BUILT/threads" .
    ./threads
}

needs_threads() {
    echo threads
}

work_git() {
    export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null HOME=$PWD
    export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org GIT_AUTHOR_DATE='1000000000 +0000'
    export GIT_COMMITTER_NAME=c GIT_COMMITTER_EMAIL=c@example.org
    export GIT_COMMITTER_DATE='1000000000 +0000'
    git init -q -b first .
    local i
    for i in {1..12}; do
        mkdir -p "folder$((i % 4))"
        seq $((i * 100)) $((i * 1000)) >"folder$((i % 4))/numbers"
        seq "$i" >>growing
        git add .
        git commit -q -m "commit $i"
    done
    git checkout -q -b second HEAD~5
    cp -r "$root/src" .
    git add .
    git commit -q -m 'the sources'
    git merge -q -m 'both' first
    git log --stat --graph --format='%H %s'
    git diff HEAD~1 first -- folder1 src
    git blame growing
    git grep -c -e '9' HEAD~1
    git repack -adfq
    git fsck --strict --no-progress
    git ls-files -s
}

work_xz() {
    seq 900000 >numbers
    xz -T2 --block-size=1MiB -1 -k numbers
    xz -T2 -dc numbers.xz | cmp - numbers
    cksum <numbers.xz
}

work_cmake() {
    cp -r "$inputs/cmake" tiny
    # Newer versions print how long they took.
    cmake -S tiny -B made | sed 's/ ([0-9.]*s)$//'
    cmake --build made --target words >/dev/null
    made/words 1 2 3
}

# Runs a server with threads that saves its data in a forked child process, stops it, and starts
# it again on the saved data.
work_redis() {
    trap 'redis_stop >/dev/null 2>&1' EXIT
    redis_start
    redis-benchmark -s redis.sock -c 20 -n 10000 -P 4 -q \
        -t set,incr,lpush,rpush,sadd,hset,zadd,mset >/dev/null
    redis_commands | redis-cli -s redis.sock --pipe | tail -n 1
    redis-cli -s redis.sock BGSAVE
    until redis-cli -s redis.sock INFO persistence | grep bgsave_in_progress:0 >/dev/null; do
        sleep 0.05
    done
    redis-cli -s redis.sock INFO persistence | grep last_bgsave_status
    redis_look >before
    redis_stop
    redis_start
    redis_look >after
    cmp before after
    cat after
}

needs_redis() {
    echo redis-server redis-benchmark redis-cli
}

# redis-server and redis-check-rdb are one program that chooses its role by its name.
# redis-check-rdb can be installed without redis-server, and so without a system service.
redis_server() {
    exec -a redis-server "$(type -P redis-server || type -P redis-check-rdb)" "$@"
}

redis_start() {
    redis_server --port 0 --unixsocket redis.sock --dir "$PWD" --logfile redis.log \
        --io-threads 2 --save 3600 1 &
    echo $! >redis.pid
    until redis-cli -s redis.sock PING 2>/dev/null | grep PONG >/dev/null; do
        kill -0 "$(cat redis.pid)" 2>/dev/null || { cat redis.log >&2; return 1; }
        sleep 0.05
    done
}

redis_stop() {
    redis-cli -s redis.sock SHUTDOWN SAVE
    wait "$(cat redis.pid)"
}

redis_commands() {
    awk 'BEGIN {
        for (i = 0; i < 30000; i++) {
            n = i * 7919 % 30011
            value = sprintf("%*d", n % 300 + 1, n)
            print "SET key" n % 9001, "\"" value "\""
            print "HSET hash" n % 50, "field" n, n
            print "ZADD sorted" n % 20, n % 1009, "member" n
            print "APPEND text" n % 10, n
            if (i % 5 == 0) print "DEL key" i % 997
        }
    }'
}

redis_look() {
    {
        echo DBSIZE
        printf 'GET %s\n' key:__rand_int__ counter:__rand_int__ text{0..9} key{0..900}
        printf 'LLEN mylist\nSCARD myset\nHLEN myhash\nZCARD myzset\n'
        printf 'HMGET %s field1 field77 field7919\n' hash{0..49}
        printf 'HLEN %s\n' hash{0..49}
        printf 'ZRANGE sorted%d 0 -1 WITHSCORES\n' {0..19}
    } | redis-cli -s redis.sock
}

programs=(threads bash python3 perl lua5.4 sqlite3 gcc gxx git xz cmake node redis)

# --- running ------------------------------------------------------------------

if [ "${1-}" = --work ]; then
    set -eu -o pipefail
    "work_$2"
    exit
fi

library=$(realpath -e "${1:?usage: programs.sh LIBRARY [PROGRAM]...}") || exit 2
shift
[ $# -eq 0 ] || programs=("$@")
work=$(mktemp -d) || exit 1
trap 'reap; rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
ulimit -c 0
export LC_ALL=C TMPDIR=$work LIBMEM_TEST_BUILT=$work
ntests=0 nfailed=0

result() { # status what
    ntests=$((ntests + 1))
    if [ "$1" -eq 0 ]; then echo "ok $ntests - $2"; else
        nfailed=$((nfailed + 1))
        echo "not ok $ntests - $2"
    fi
}

skip() { # what why
    ntests=$((ntests + 1))
    echo "ok $ntests - $1 # SKIP $2"
}

# Kills the server if its shell was killed before it could stop the server.
reap() {
    local pid
    [ -s "$work/run/redis.pid" ] || return 0
    pid=$(cat "$work/run/redis.pid")
    [ "$(readlink "/proc/$pid/cwd")" = "$work/run" ] && kill -KILL "$pid"
    rm -f "$work/run/redis.pid"
}

# Leaves NAME.HOW.out, .err and .status, and sets `took` to the time in milliseconds.
run() { # name how variable...
    local name=$1 how=$2 began=${EPOCHREALTIME/[.,]/}
    shift 2
    rm -rf "$work/run"
    mkdir "$work/run"
    (cd "$work/run" && exec timeout -k 5 "$limit" env "$@" bash "$self" --work "$name") \
        </dev/null >"$work/$name.$how.out" 2>"$work/$name.$how.err"
    echo $? >"$work/$name.$how.status"
    took=$(((${EPOCHREALTIME/[.,]/} - began) / 1000))
    reap
}

run_on_system() { # name
    run "$1" system -u LD_PRELOAD
}

run_on_library() { # name
    rm -rf "$work/linked"
    mkdir "$work/linked"
    run "$1" library LD_PRELOAD="$library" LD_DEBUG=files LD_DEBUG_OUTPUT="$work/linked/process"
}

# Succeeds if a process of that name has loaded the library. Each line of the dynamic linker
# begins with the number of the process; a process may run several programs in succession.
was_in() { # program
    cat "$work"/linked/process.* 2>/dev/null | awk -v library="$library" -v program="$1" '
        index($0, "file=" library " ") && /generating link map/ { loaded[$1] = 1 }
        /initialize program: / {
            sub(".*/", "", $NF)
            if ($NF == program && loaded[$1]) found = 1
            loaded[$1] = 0
        }
        END { exit !found }'
}

# Prints the differences, for the reader of the log.
differences() { # name
    local what
    for what in status err out; do
        cmp -s "$work/$1.system.$what" "$work/$1.library.$what" && continue
        echo "$what: < on the system's malloc, > on the library"
        diff -a "$work/$1.system.$what" "$work/$1.library.$what" | grep -a '^[<>]' |
            cut -c 1-200 | head -n 20
    done
}

compare() { # name
    local program found different system
    run_on_system "$1"
    system=$took
    if [ "$(cat "$work/$1.system.status")" -ne 0 ] || [ ! -s "$work/$1.system.out" ]; then
        result 1 "$1: runs on the system's malloc"
        sed 's/^/# /' "$work/$1.system.err" | head -n 20
        return
    fi
    run_on_library "$1"
    different=$(differences "$1")
    [ -z "$different" ]
    result $? "$1: output, standard error and status as on the system's malloc"
    [ -z "$different" ] || echo "# ${different//$'\n'/$'\n# '}"
    echo "# $1: $system ms on the system's malloc, $took ms on the library"
    found=0
    for program in $(needs_of "$1"); do
        was_in "$program" || { found=1; echo "# not in $program"; }
    done
    result $found "$1: the library was in its processes"
}

needs_of() { # name
    if declare -F "needs_$1" >/dev/null; then "needs_$1"; else echo "$1"; fi
}

# Prints the first needed program that is missing. Some are parts of others, and some are built by
# the tests.
missing() { # name
    local program
    for program in $(needs_of "$1"); do
        case $program in
        cc1 | cc1plus | stl) ;;
        redis-server)
            (redis_server --version) 2>/dev/null | grep -q '^Redis server' || echo "$program"
            ;;
        threads) [ -x "$work/threads" ] || echo 'a C++ compiler' ;;
        *) command -v "$program" >/dev/null || echo "$program" ;;
        esac
    done | head -n 1
}

# Succeeds if calls are bound to the library, which its mapping alone does not prove.
bound() {
    LD_PRELOAD=$library LD_BIND_NOW=1 LD_DEBUG=bindings LD_DEBUG_OUTPUT=$work/bindings \
        bash -c : 2>/dev/null
    local function nbad=0
    for function in malloc calloc realloc free; do
        cat "$work"/bindings.* 2>/dev/null |
            grep -qF "binding file bash [0] to $library [0]: normal symbol \`$function'" ||
            { nbad=$((nbad + 1)) && echo "# $function is not bound to the library"; }
    done
    result "$nbad" 'malloc, calloc, realloc and free of a program are those of the library'
}

g++ -std=c++17 -O1 -g -pthread "$inputs/threads.cpp" -o "$work/threads" 2>"$work/log" ||
    sed 's/^/# /' "$work/log"
bound
for name in "${programs[@]}"; do
    declare -F "work_$name" >/dev/null || { echo "programs.sh: what is $name?" >&2; exit 2; }
    absent=$(missing "$name")
    if [ -n "$absent" ]; then
        skip "$name" "not installed: $absent"
    else
        compare "$name"
    fi
done
echo "1..$ntests"
[ "$nfailed" -eq 0 ]
