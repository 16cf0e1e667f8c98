#!/bin/bash
# SPDX-License-Identifier: MIT
#
# record.sh - records the calls of malloc in short runs of programs, for make bench to replay.
#
#     make build/libmem-record.so build/bench/work
#     bench/record.sh [PROGRAM]...        PROGRAM is gcc, python3, sqlite3, redis, rocksdb, mariadb
#
#     bench/traces/PROGRAM.xz    the calls (tools/trace.h)
#     bench/traces/README.md     the sizes that the programs asked for
#
# Other versions of the programs make other traces.
set -eu -o pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
recorder=$root/build/libmem-record.so
traces=bench/traces
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export LC_ALL=C PATH=$PATH:/usr/sbin # mariadbd is there

recorded() { # command...
    LD_PRELOAD="$recorder" LIBMEM_RECORD="$work/trace" "$@" >/dev/null
}

record_gcc() {
    recorded gcc -std=c11 -D_GNU_SOURCE -Iinclude -Isrc -O2 -g -S src/ledger/freelist.c -o /dev/null
}

# Records the interpreter itself; python3 may be a script, such as pyenv's.
record_python3() {
    PYTHONMALLOC=malloc recorded "$(python3 -c 'import sys; print(sys.executable)')" -c '
import collections, json, re
text = " ".join(f"{n:x} word{n * 7919 % 1009}" for n in range(4000))
words = collections.Counter(re.findall(r"\w+", text))
tree = {k: {"n": v, "chars": list(k)} for k, v in words.items()}
print(len(json.dumps(json.loads(json.dumps(tree)))), sum(map(len, sorted(tree))))'
}

record_sqlite3() {
    sed 's/200000/20000/' bench/programs/bulk.sql >"$work/bulk.sql"
    recorded sqlite3 -batch :memory: ".read $work/bulk.sql"
}

# glibc is preloaded before the jemalloc that Debian's server is linked with. Otherwise the
# server would call jemalloc's malloc_usable_size for objects of glibc.
record_redis() {
    local socket=$work/redis.sock
    recorder="$recorder $(${CC:-cc} -print-file-name=libc.so.6)"
    recorded redis-server --port 0 --unixsocket "$socket" --save '' --dir "$work" &
    until redis-cli -s "$socket" PING 2>/dev/null | grep -q PONG; do
        kill -0 $!
        sleep 0.05
    done
    redis-benchmark -s "$socket" -c 10 -P 8 -n 4000 -r 2000 -d 200 -q \
        -t set,get,incr,lpush,lpop,sadd,hset,zadd,mset >/dev/null
    redis-cli -s "$socket" SHUTDOWN NOSAVE
    wait $!
}

record_rocksdb() {
    recorded db_bench --db="$work/rocksdb" --benchmarks=fillrandom,readwhilewriting,seekrandom \
        --threads=6 --num=2000 --seed=1 --disable_wal --write_buffer_size=200000 \
        --cache_size=100000 --stats_interval=1000000000
}

record_mariadb() {
    local socket=$work/mariadb/socket
    mkdir "$work/mariadb"
    recorded mariadbd --defaults-file="$root/bench/programs/mariadb.cnf" --user="$(id -un)" \
        --datadir="$work/mariadb" &
    until mariadb-admin --no-defaults -S "$socket" ping >/dev/null 2>&1; do
        kill -0 $!
        sleep 0.05
    done
    mariadb-slap --no-defaults -S "$socket" --delimiter=';' --concurrency=6 \
        --create="$(<bench/programs/shop.sql)" --query="$(<bench/programs/visit.sql)" \
        --number-of-queries=1500 >/dev/null
    mariadb-admin --no-defaults -S "$socket" shutdown
    wait $!
}

# Keeps the largest trace, which is that of the process that did the work: gcc starts others.
store() { # program
    local trace
    trace=$(find "$work" -name 'trace.*' -printf '%s %p\n' | sort -n | tail -n 1 | cut -d' ' -f2)
    xz -9e -c "$trace" >"$traces/$1.xz"
    rm -f "$work"/trace.*
}

readme() {
    local trace
    echo '# Calls of real programs'
    echo
    echo 'bench/record.sh has recorded them, and make bench replays them. This is what'
    echo '"build/bench/work sizes FILE" prints for the unpacked files. rocksdb and mariadb have'
    echo 'several threads, and the replay has up to eight.'
    for trace in "$traces"/*.xz; do
        xz -dc "$trace" >"$work/sizes"
        printf '\n## %s\n\n' "$(basename "$trace" .xz)"
        build/bench/work sizes "$work/sizes" | sed 's/^/    /'
    done
}

[ $# -gt 0 ] || set -- gcc python3 sqlite3 redis rocksdb mariadb
for program; do
    echo "$program"
    (record_"$program")
    store "$program"
done
readme >"$traces/README.md"
