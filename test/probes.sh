#!/bin/bash
# SPDX-License-Identifier: MIT
#
# probes.sh BUILD - checks the static probes libmem:refused and libmem:trim (src/base/probe.h): that
# they are in the libraries, that gdb stops at the call that is refused, and that bpftrace sees both
# where the kernel lets it. Prints TAP.
set -u
export LC_ALL=C
build=$(realpath -e "${1:?usage: probes.sh BUILD}") || exit 2
cd "$(dirname "$0")/.." || exit 1
if ! echo '#include <sys/sdt.h>' | gcc -E - >/dev/null 2>&1; then
    echo '1..0 # SKIP sys/sdt.h (systemtap-sdt-dev) is not installed'
    exit 0
fi
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
ntests=0

result() { # status what
    ntests=$((ntests + 1))
    if [ "$1" -eq 0 ]; then echo "ok $ntests - $2"; return; fi
    echo "not ok $ntests - $2"
    [ ! -s "$work/log" ] || tail -n 20 "$work/log" | sed 's/^/# /'
}

for library in libmem.so libmem-malloc.so; do
    readelf -n "$build/$library" 2>/dev/null |
        awk '/Provider: / { ours = $2 == "libmem" } ours && /Name: / { print $2 }' |
        sort -u >"$work/log"
    [ "$(tr '\n' ' ' <"$work/log")" = 'refused trim ' ]
    result $? "$library has the probes refused and trim, and no others"
done
# Stops a program at a probe, and prints the probe's first argument and the stack.
stop_at() { # probe variable=value program argument...
    timeout -k 5 240 gdb -nx -batch -ex 'set breakpoint pending on' \
        -ex 'set debuginfod enabled off' -ex "set exec-wrapper env $2" \
        -ex "break -probe-stap libmem:$1" -ex run -ex 'printf "at %p\n", $_probe_arg0' -ex bt \
        --args "${@:3}" >"$work/log" 2>&1 </dev/null
}

if ! command -v gdb >/dev/null; then
    echo "ok $((ntests + 1)) # SKIP gdb is not installed"
    echo "1..$((ntests + 1))"
    exit 0
fi
cat >"$work/bad.c" <<'END'
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "mem.h"
#include "mem_heap.h"

__attribute__((noinline)) static void misuse(int how, char *p)
{
    fprintf(stderr, "wrong is %p\n", (void *)p);
    if (how == 0)
        free(p);
    else if (how == 1)
        mem_free(mem_heap_create(4096, NULL), p);
    else if (Mem_Init(4096) == 0)
        Mem_Free(p);
}

int main(int argc, char **argv)
{
    char *p = malloc(100), *large = malloc(64 << 20);
    memset(large, 1, 64 << 20);
    free(large);
    malloc_trim(0);
    misuse(atoi(argv[argc - 1]), p + 24);
    return 0;
}
END
gcc -g -O0 -fno-builtin -w -Iinclude "$work/bad.c" -L"$build" -lmem -o "$work/bad" || exit 1
export LD_LIBRARY_PATH=$build
for how in '0 free' '1 mem_free' '2 Mem_Free'; do
    stop_at refused "LD_PRELOAD=$build/libmem-malloc.so" "$work/bad" "${how% *}"
    wrong=$(sed -n 's/^wrong is //p' "$work/log")
    grep -qx "at $wrong" "$work/log" && grep -qE '^#[0-9]+ .*misuse ' "$work/log"
    result $? "gdb stops where ${how#* } refuses an address, which is the probe's argument"
done
stop_at trim "LD_PRELOAD=$build/libmem-malloc.so" "$work/bad" 0
grep -q '^at 0x' "$work/log" && ! grep -q 'misuse ' "$work/log"
result $? 'and where pages go back to the system'

# Runs the program until bpftrace, which takes a while to begin, and longer for one probe than for
# the other, has seen a refused address after a trim.
trace() {
    local here=usdt:$build/libmem-malloc.so:libmem pid
    # shellcheck disable=SC2016 # these are variables of bpftrace
    timeout -k 5 240 bpftrace -e "$here:trim { printf(\"trim %d\n\", arg1); @trimmed = 1; }
        $here:refused /@trimmed/ { printf(\"refused %p\n\", arg0); exit(); }" >"$work/log" 2>&1 &
    pid=$!
    while kill -0 $pid 2>/dev/null; do
        LIBMEM=onerror=report LD_PRELOAD=$build/libmem-malloc.so "$work/bad" 0 >>"$work/said" 2>&1
        sleep 0.2
    done
    wait $pid
}

if ! timeout -k 5 240 bpftrace -e 'BEGIN { exit(); }' >"$work/log" 2>&1; then
    echo "ok $((ntests + 1)) # SKIP bpftrace is not installed, or may not trace here"
    echo "1..$((ntests + 1))"
    exit 0
fi
trace
address=$(sed -n 's/^refused //p' "$work/log")
[ -n "$address" ] && grep -qx "wrong is $address" "$work/said"
result $? 'bpftrace sees the address that a free refuses'
[ "$(sed -n 's/^trim //p' "$work/log" | sort -n | tail -n 1)" -ge $((60 << 20)) ]
result $? 'and how much goes back to the system'
echo "1..$ntests"
