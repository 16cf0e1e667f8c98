#!/bin/bash
# SPDX-License-Identifier: MIT
#
# walk_files.sh [COMPILER] - prints TAP: how many .c files of src one call passes through, which is
# what a reader of the call has to open. It compiles the sources so that each function that is
# entered reports itself.
#
# A file that the call enters twice counts once, and inline functions of headers do not count.
set -u
cd "$(dirname "$0")/.." || exit 1
compiler=${1:-gcc}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
ntests=0 nfailed=0

result() { # status what
    ntests=$((ntests + 1))
    if [ "$1" -eq 0 ]; then echo "ok $ntests - $2"; else
        nfailed=$((nfailed + 1))
        echo "not ok $ntests - $2"
    fi
}

# A program that makes one call of each kind, and writes the address of each function that is
# entered, after the name of the kind.
cat >"$work/walk.c" <<'END'
#include <stdio.h>
#include <stdlib.h>
#include "mem.h"
#define HIDDEN __attribute__((no_instrument_function))
static const char *walk;
HIDDEN void __cyg_profile_func_enter(void *function, void *caller)
{
    (void)caller;
    if (walk != NULL)
        printf("%s %p\n", walk, function);
}
HIDDEN void __cyg_profile_func_exit(void *function, void *caller)
{
    (void)function, (void)caller;
}
HIDDEN static void *take(int size)
{
    void *object = Mem_Alloc(size, BESTFIT);
    if (object == NULL)
        exit(1);
    return object;
}
HIDDEN int main(void)
{
    void *object[64];
    if (Mem_Init(64 << 10) != 0)
        return 1;
    for (int i = 0; i < 64; i++)
        object[i] = take(100 + i);
    for (int i = 0; i < 64; i += 4)
        Mem_Free(object[i]);
    walk = "Mem_Free";
    int freed = Mem_Free(object[1]) | Mem_Free(object[63]);
    walk = "refused";
    int refused = Mem_Free(object[1]);
    walk = "Mem_Alloc";
    take(100);
    walk = NULL;
    return freed == 0 && refused == -1 ? 0 : 1;
}
END

"$compiler" -std=c11 -D_GNU_SOURCE -O0 -g -DNDEBUG -no-pie -finstrument-functions -Iinclude -Isrc \
    -pthread "$work/walk.c" src/{base,ledger,slots,core,heaps,classic}/*.c -o "$work/walk" &&
    "$work/walk" >"$work/entered"
result $? 'the walks are made'

files_of() { # walk: the .c files of src that it passes, in the order in which it enters them
    awk -v walk="$1" '$1 == walk { print $2 }' "$work/entered" | addr2line -e "$work/walk" |
        sed -n 's/.*\/src\/\([a-z]*\/[a-z]*\.c\):.*/\1/p' | awk '!seen[$0]++' | tr '\n' ' '
}

at_most() { # walk files
    local files
    files=$(files_of "$1")
    [ -n "$files" ] && [ "$(wc -w <<<"$files")" -le "$2" ]
    result $? "$1 of a chunk passes at most $2 files: ${files% }"
}

at_most Mem_Free 5
at_most refused 4
at_most Mem_Alloc 6
echo "1..$ntests"
[ "$nfailed" -eq 0 ]
