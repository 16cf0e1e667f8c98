#!/bin/bash
# SPDX-License-Identifier: MIT
#
# taught.sh FOLDER - checks that the command line which users were taught works unchanged in the
# folder where make leaves libmem.so. Prints TAP.
#
# It is run in a folder of links to that folder, so that nothing is written there.
set -u
folder=$(cd "$1" && pwd) || exit 1
readme=$(cd "$(dirname "$0")/.." && pwd)/README.md
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
ln -s "$folder"/libmem.so* .
for header in mem.h mem_heap.h; do
    [ ! -e "$folder/$header" ] || ln -s "$folder/$header" .
done
ntests=0

# Builds the program on standard input with that command line, runs it and compares its output.
works() { # what output
    local got
    ntests=$((ntests + 1))
    rm -f myprogram
    cat >mymain.c
    got=$(gcc -o myprogram mymain.c -Wall -Werror -L. -lmem 2>&1 &&
        LD_LIBRARY_PATH=. timeout 240 ./myprogram 2>&1)
    if [ "$got" = "$2" ]; then echo "ok $ntests - $1"; else
        echo "not ok $ntests - $1"
        sed 's/^/# /' <<<"$got"
    fi
}

works 'with our mem.h, one argument and two' '0 100 40 0 -1 5' <<'END'
#include <stdio.h>
#include "mem.h"

int main(void)
{
    int init = Mem_Init(4096);
    char *p = Mem_Alloc(100);
    char *q = Mem_Alloc(40, BESTFIT);
    printf("%d %d %d ", init, Mem_GetSize(p), Mem_GetSize(q + 39));
    printf("%d ", Mem_Free(p + 99));
    printf("%d ", Mem_Free(p));
    printf("%d\n", m_error);
    return 0;
}
END

works 'with declarations of its own, one argument' '0 1 0 0' <<'END'
#include <stdio.h>

extern int m_error;
int Mem_Init(int sizeOfRegion);
void *Mem_Alloc(int size);
int Mem_Free(void *ptr);
int Mem_IsValid(void *ptr);
int Mem_GetSize(void *ptr);
void Mem_Dump(void);

int main(void)
{
    int init = Mem_Init(4096);
    char *p = Mem_Alloc(100);
    printf("%d %d ", init, Mem_IsValid(p));
    printf("%d ", Mem_Free(p));
    printf("%d\n", m_error);
    return 0;
}
END

works 'with declarations of its own, two arguments' '0 4048 0 4' <<'END'
#include <stdio.h>
#define M_WORSTFIT 1

extern int m_error;
int Mem_Init(int sizeOfRegion);
void *Mem_Alloc(int size, int style);
int Mem_Free(void *ptr);
int Mem_GetSize(void *ptr);

int main(void)
{
    int init = Mem_Init(4096);
    char *p = Mem_Alloc(4048, M_WORSTFIT);
    printf("%d %d ", init, Mem_GetSize(p));
    printf("%d ", Mem_Free(p));
    Mem_Alloc(0, M_WORSTFIT);
    printf("%d\n", m_error);
    return 0;
}
END

works 'with a dump' 'done' <<'END'
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "mem.h"

int main(void)
{
    int ends[2];
    char text[4096] = "";
    if (pipe(ends) != 0 || Mem_Init(4096) != 0)
        return 1;
    int terminal = dup(1);
    dup2(ends[1], 1);
    Mem_Dump();
    fflush(stdout);
    dup2(terminal, 1);
    close(ends[1]);
    ssize_t n = read(ends[0], text, sizeof(text) - 1);
    puts(n > 0 && strstr(text, "0x") != NULL ? "done" : "no address in the dump");
    return 0;
}
END
# The programs of the README must do what their comments say.
program_in_readme() { # number
    awk -v wanted="$1" '/^```$/ { inside = 0 }
        inside && n == wanted; /^```c$/ { inside = 1; n++ }' "$readme"
}

works 'the program in the README' '100
0
0
-1' < <(program_in_readme 1 | sed 's/^        Mem_Dump();.*/        return Mem_Free(name);/')

works "the README's program with heaps of its own" 'the address is outside the heap
the address is inside an object, but not its start
1 5000
3000 912' < <(program_in_readme 2)

echo "1..$ntests"
