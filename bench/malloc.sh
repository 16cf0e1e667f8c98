#!/bin/bash
# SPDX-License-Identifier: MIT
#
# malloc.sh - measures libmem-malloc.so beside other allocators, on the workloads of bench/work,
# on recorded calls of programs, and on programs.
#
#     make bench                                   takes about half an hour
#     make bench QUICK=1 ROUNDS=1                  takes about two minutes; rough figures
#     make bench ONLY="pair-64 gcc"                runs some of the workloads
#     make bench PEERS="name=/a/path.so other=..." adds other, or newer, allocators
#     make bench BEFORE=/a/libmem-malloc.so        shows what a change to libmem does to each row
#
#     ROUNDS   (5) how often each workload runs on each allocator. The allocators take turns,
#              so that a slow period of the machine slows all of them. The time of a program
#              that is no server is the processor time of all its threads.
#     SCALE    (1) the length of a workload. QUICK=1 means 0.1, and workloads with very many
#              objects then have fewer.
#     RESULTS  (bench/results) the folder for malloc.csv and malloc.svg
#
# Prints tables on standard output, and progress on standard error. The exit status is 1 if a
# run on libmem failed, or read from its objects what most others did not read. (Debian 12's
# mimalloc is found wrong on "aligned": microsoft/mimalloc issue 700.)
set -u -o pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root" || exit 1
ROUNDS=${ROUNDS:-5} QUICK=${QUICK:-} ONLY=${ONLY:-} PEERS=${PEERS:-} BEFORE=${BEFORE:-} CC=${CC:-cc}
SCALE=${SCALE:-${QUICK:+0.1}}
SCALE=${SCALE:-1}
RESULTS=${RESULTS:-bench/results}
csv=$RESULTS/malloc.csv
limit=300 # seconds for one run; launch.c has a limit of its own
work=$(mktemp -d) || exit 1
trap 'client redis stops; client mariadb stops; rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
export LC_ALL=C # so that figures have a decimal point in every language
export PATH=$PATH:/usr/sbin # mariadbd is there
unset LD_PRELOAD LIBMEM

report() {
    [ ! -t 2 ] || printf '\r\033[K' >&2
    echo "malloc.sh: $*" >&2
}

# --- allocators -----------------------------------------------------------------

names=() # in the order of the columns
declare -A library

add() { # name path
    [ -n "${library[$1]-}" ] || names+=("$1")
    library[$1]=$2
}

# glibc is preloaded too. Otherwise a program that is linked with another allocator would run
# on that one, as Debian's redis does on jemalloc.
add_installed() { # name file...
    local name=$1 file path
    shift
    for file in "$@"; do
        path=$($CC -print-file-name="$file")
        [ ! -e "$path" ] || { add "$name" "$(realpath "$path")"; return; }
    done
    report "$name is not installed: left out"
}

add_file() { # name path
    [ -e "$2" ] || { report "there is no file $2"; exit 2; }
    add "$1" "$(realpath "$2")"
}

add_all() {
    local peer
    add libmem "$root/build/libmem-malloc.so"
    [ -z "$BEFORE" ] || add_file before "$BEFORE"
    add_installed glibc libc.so.6
    add_installed jemalloc libjemalloc.so.2
    add_installed mimalloc libmimalloc.so.2 libmimalloc.so.3
    add_installed tcmalloc libtcmalloc_minimal.so.4
    add_installed tbbmalloc libtbbmalloc_proxy.so.2
    for peer in $PEERS; do
        add_file "${peer%%=*}" "${peer#*=}"
    done
}

# --- workloads --------------------------------------------------------------------

programs=(sqlite3 lua5.4 python3 perl gcc redis z3 ruby rocksdb mariadb)

# The commands of a program, where they have other names.
declare -A commands=(
    [redis]='redis-server redis-cli redis-benchmark'
    [rocksdb]='db_bench'
    [mariadb]='mariadbd mariadb-admin mariadb-slap'
)

list_all() {
    local trace
    build/bench/work list
    for trace in bench/traces/*.xz; do
        [ ! -e "$trace" ] || echo "replay-$(basename "$trace" .xz)"
    done
    printf '%s\n' "${programs[@]}"
}

available_gib() {
    awk '/^MemAvailable:/ { print int($2 / 1048576) }' /proc/meminfo
}

# Prints why the workload cannot run on this machine, or nothing.
obstacle() { # workload
    local command
    case $1 in
    replace-10M) [ "$SCALE" != 1 ] || [ "$(available_gib)" -ge 8 ] || echo 'less than 8 GiB free' ;;
    replay-*) command -v xz >/dev/null || echo 'xz is not installed' ;;
    *)
        [[ " ${programs[*]} " == *" $1 "* ]] || return
        for command in ${commands[$1]-$1}; do
            command -v "$command" >/dev/null || { echo "$command is not installed"; return; }
        done
        ;;
    esac
}

choose() {
    local all chosen name why
    mapfile -t all < <(list_all)
    chosen=("${all[@]}")
    [ -z "$ONLY" ] || read -ra chosen <<<"$ONLY"
    workloads=()
    for name in "${chosen[@]}"; do
        [[ " ${all[*]} " == *" $name "* ]] || { report "ONLY: there is no workload $name"; exit 2; }
        why=$(obstacle "$name")
        if [ -z "$why" ]; then workloads+=("$name"); else report "$name: $why: left out"; fi
    done
}

# --- one run ------------------------------------------------------------------------
#
# Each function prints "operations ns_per_operation peak_kib left_kib sum", or nothing if the
# run failed.

on() { # allocator command...
    local preload=${library[$1]}
    shift
    timeout -k 5 "$limit" env LD_PRELOAD="$preload" "$@" 2>>"$work/errors"
}

# The program prints which malloc it used; the run fails if the preload was ignored.
run_work() { # allocator argument...
    local file=${library[$1]##*/}
    on "$1" build/bench/work "${@:2}" | awk -v file="$file" '
        { for (i = 1; i <= NF; i++) { split($i, part, "="); got[part[1]] = part[2] } }
        got["malloc"] == file {
            print got["operations"], got["ns"], got["peak_kib"], got["left_kib"], got["sum"]
        }'
}

trace_of() { # name
    local trace=$work/$1.trace
    [ -e "$trace" ] || xz -dc "bench/traces/$1.xz" >"$trace"
    echo "$trace"
}

run_program() { # allocator command...
    build/bench/launch "${library[$1]}" "${@:2}" 2>>"$work/errors" |
        awk '$3 == 0 { print 1, $1, $2, -1, "-" }'
}

new_folder() { # path
    rm -rf "$1" && mkdir "$1"
}

# Prints the path of the interpreter itself; python3 may be a script, such as pyenv's.
python() {
    python3 -c 'import sys; print(sys.executable)'
}

# Measures a server and not its client: its peak memory, and the time in which it served, not the
# processor time, part of which is that of its beginning.
run_server() { # allocator name command...
    local began ended
    new_folder "$work/$2" || return
    build/bench/launch "${library[$1]}" "${@:3}" >"$work/launched" 2>>"$work/errors" &
    until client "$2" asks; do
        kill -0 $! 2>/dev/null || return
        sleep 0.02
    done
    began=${EPOCHREALTIME/./}
    client "$2" works >/dev/null 2>>"$work/errors" || { client "$2" stops; return; }
    ended=${EPOCHREALTIME/./}
    client "$2" stops
    wait $!
    awk -v us=$((ended - began)) '$3 == 0 { print 1, us * 1000, $2, -1, "-" }' "$work/launched"
}

client() { # server asks|works|stops
    local socket=$work/$1/socket
    [ -S "$socket" ] || return
    case $1-$2 in
    redis-asks) redis-cli -s "$socket" PING 2>/dev/null | grep -q PONG ;;
    redis-works) redis-benchmark -s "$socket" -c 20 -P 16 -n 100000 -r 20000 -d 200 -q \
        -t set,get,incr,lpush,lpop,sadd,hset,zadd,mset ;;
    redis-stops) redis-cli -s "$socket" SHUTDOWN NOSAVE >/dev/null 2>&1 ;;
    mariadb-asks) mariadb-admin --no-defaults -S "$socket" ping >/dev/null 2>&1 ;;
    # mariadb-slap would open files for writing, too.
    mariadb-works) mariadb-slap --no-defaults -S "$socket" --concurrency=8 --delimiter=';' \
        --create="$(<bench/programs/shop.sql)" --query="$(<bench/programs/visit.sql)" \
        --number-of-queries=4000 ;;
    mariadb-stops) mariadb-admin --no-defaults -S "$socket" shutdown >/dev/null 2>&1 ;;
    esac
}

# Eight threads write and read; the library compresses and merges files in threads of its own.
# How many files are left differs from run to run, and a seek looks into each of them. So they
# are all merged before the seeks, which are as much work in each run then.
run_rocksdb() { # allocator
    new_folder "$work/rocksdb" || return
    run_program "$1" db_bench --db="$work/rocksdb" \
        --benchmarks=fillrandom,readwhilewriting,compact,seekrandom --threads=8 --num=20000 \
        --seed=1 --disable_wal --write_buffer_size=1000000 --cache_size=1000000 \
        --stats_interval=1000000000
}

run() { # workload allocator
    case $1 in
    replay-*) run_work "$2" replay "$(trace_of "${1#replay-}")" "$SCALE" ;;
    sqlite3) run_program "$2" sqlite3 -batch :memory: '.read bench/programs/bulk.sql' ;;
    lua5.4) run_program "$2" lua5.4 test/programs/containers.lua ;;
    python3) PYTHONMALLOC=malloc run_program "$2" "$(python)" test/programs/containers.py ;;
    perl) run_program "$2" perl test/programs/containers.pl ;;
    gcc) run_program "$2" gcc -std=c11 -D_GNU_SOURCE -Iinclude -Isrc -O2 -g -S src/ledger/btree.c \
        -o /dev/null ;;
    z3) run_program "$2" z3 bench/programs/group.smt2 ;;
    redis) run_server "$2" redis redis-server --port 0 --unixsocket "$work/redis/socket" --save '' \
        --dir "$work/redis" --pidfile "$work/redis/pid" --daemonize no ;;
    mariadb) run_server "$2" mariadb mariadbd --defaults-file="$root/bench/programs/mariadb.cnf" \
        --datadir="$work/mariadb" --user="$(id -un)" ;;
    ruby) run_program "$2" ruby --disable-gems bench/programs/orders.rb ;;
    rocksdb) run_rocksdb "$2" ;;
    *) run_work "$2" "$1" "$SCALE" ;;
    esac
}

# What db_bench writes on standard error about the machine.
always_written='^\(RocksDB\|Date\|CPU\|CPUCache\): '

# --- all runs -------------------------------------------------------------------------

cpu() {
    local name
    name=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
    echo "${name:-$(uname -m)}, $(getconf _NPROCESSORS_ONLN) cores"
}

commit() {
    git describe --always --dirty 2>/dev/null || echo unknown
}

# Line 1 is the command that makes these figures, line 2 the machine and the commit.
head_of_csv() {
    echo "# make bench ROUNDS=$ROUNDS" \
        "SCALE=$SCALE${ONLY:+ ONLY=\"$ONLY\"}${PEERS:+ PEERS=\"$(peer_names)\"}" \
        "${BEFORE:+BEFORE=...}"
    echo "# $(cpu); Linux $(uname -r); $($CC --version | head -n 1); commit $(commit);" \
        "$(date -u +%Y-%m-%d)"
    echo 'workload,allocator,round,operations,ns_per_operation,peak_kib,left_kib,sum'
}

# Prints the names of the peers without their paths, which differ from machine to machine.
peer_names() {
    local peer names=()
    for peer in $PEERS; do names+=("${peer%%=*}=..."); done
    echo "${names[*]}"
}

progress() { # done of what
    local width=30 filled
    [ -t 2 ] || return 0
    filled=$((width * $1 / $2))
    printf '\r\033[K[%-*s] %d/%d %s' \
        "$width" "$(printf '%*s' "$filled" '' | tr ' ' '#')" "$1" "$2" "$3" >&2
}

measure() {
    local round workload name figures ndone=0 nruns
    nruns=$((ROUNDS * ${#workloads[@]} * ${#names[@]}))
    for ((round = 1; round <= ROUNDS; round++)); do
        for workload in "${workloads[@]}"; do
            for name in "${names[@]}"; do
                progress "$ndone" "$nruns" "$workload, $name"
                figures=$(run "$workload" "$name")
                echo "$workload,$name,$round,${figures:+${figures// /,}}"
                ndone=$((ndone + 1))
            done
        done
    done
    progress "$nruns" "$nruns" 'done'
    [ ! -t 2 ] || echo >&2
}

draw() {
    if command -v gnuplot >/dev/null; then
        awk -v plot=1 -f bench/malloc.awk "$csv" >"$work/plot" &&
            LC_ALL=C.UTF-8 gnuplot -e "data='$work/plot'; svg='$RESULTS/malloc.svg'" bench/malloc.gp
    else
        report "no picture: gnuplot is not installed; the figures are in $csv"
    fi
}

for file in build/libmem-malloc.so build/bench/work build/bench/launch; do
    [ -e $file ] || { report "there is no $file: run make bench"; exit 2; }
done
add_all
choose
mkdir -p "$RESULTS"
{ head_of_csv; measure; } >"$work/csv"
mv "$work/csv" "$csv"
awk -f bench/malloc.awk "$csv"
status=$?
if grep -v "$always_written" "$work/errors" >"$work/written"; then
    printf '\nThe programs wrote on standard error:\n' >&2
    sort "$work/written" | uniq -c | sort -rn | head -n 20 >&2
fi
draw
exit $status
