#!/bin/bash
# SPDX-License-Identifier: MIT
#
# musl.sh BUILD - checks that libmem is built with musl in place of glibc, shared and static, and
# that it does then what the models of test/model say. Prints TAP.
#
# It takes the single-file form. Debian's musl-gcc has no headers of the kernel, which the library
# includes, so it gets links to those.
set -u
export LC_ALL=C
build=$(realpath -e "${1:?usage: musl.sh BUILD}") || exit 2
cd "$(dirname "$0")/.." || exit 1
command -v musl-gcc >/dev/null || { echo '1..0 # SKIP musl-gcc is not installed'; exit 0; }
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
ntests=0

result() { # status what
    ntests=$((ntests + 1))
    if [ "$1" -eq 0 ]; then echo "ok $ntests - $2"; return; fi
    echo "not ok $ntests - $2"
    [ ! -s "$work/log" ] || tail -n 12 "$work/log" | sed 's/^/# /'
}
silent() { # command...: succeeds, and prints nothing
    "$@" >"$work/log" 2>&1 && [ ! -s "$work/log" ]
}

mkdir "$work/kernel"
for folder in linux asm asm-generic; do
    for where in /usr/include "/usr/include/$(gcc -print-multiarch)"; do
        [ ! -d "$where/$folder" ] || ln -s "$where/$folder" "$work/kernel"
    done
done
silent musl-gcc -O1 -Wall -Werror -fpic -idirafter "$work/kernel" -c \
    "$build/amalgamation/mem.c" -o "$work/mem.o"
result $? 'musl-gcc compiles mem.c without a warning'
silent musl-gcc -shared -Wl,-soname,libmem.so "$work/mem.o" -o "$work/libmem.so"
result $? 'and makes libmem.so of it'

# Builds a program with musl and with what one of -static and -L says, and runs it.
works() { # kind what-it-prints what source... -- argument...
    local kind=$1 wanted=$2 what=$3 program
    shift 3
    local sources=()
    while [ "$1" != -- ]; do sources+=("$1") && shift; done
    shift
    program=$work/$(basename "${sources[0]}" .c)
    case $kind in -static) sources+=("$work/mem.o") ;; *) sources+=(-lmem) ;; esac
    silent musl-gcc -std=c11 -D_GNU_SOURCE -O1 -pthread "$kind" -Iinclude -Isrc -Itest/support \
        "${sources[@]}" -o "$program" &&
        LD_LIBRARY_PATH=$work "$program" "$@" >"$work/log" 2>&1 && grep -qE "$wanted" "$work/log"
    result $? "$what (${kind%%/*})"
}

for kind in -static -L"$work"; do
    works "$kind" '^ok 1 ' 'heaps of all sizes are as their model says' \
        test/model/heaps.c test/support/model.c test/support/draw.c -- 500 1
    works "$kind" 'region 33554432, 0 wrong' 'four threads hand objects to each other' \
        test/helgrind/hand_over.c -DCLASSIC --
    works "$kind" ' has 1 object, of 100 bytes' 'mem_find knows the objects of three heaps' \
        examples/what-is-there.c --
done
readelf -d "$work/heaps" | grep -q 'NEEDED.*\[libmem\.so\]' &&
    ! readelf -d "$work/libmem.so" | grep -q 'NEEDED.*\[libc\.so\.6\]'
result $? 'none of it needs glibc'
echo "1..$ntests"
