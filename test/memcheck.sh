#!/bin/bash
# SPDX-License-Identifier: MIT
#
# memcheck.sh BUILD - checks that valgrind's memcheck reports what a program does wrong with objects
# of mem_heap.h, of mem.h and of libmem-malloc.so, each with the right object, and reports nothing
# of a program without mistakes (src/base/memcheck.h). Prints TAP.
set -u
export LC_ALL=C
build=$(realpath -e "${1:?usage: memcheck.sh BUILD}") || exit 2
cd "$(dirname "$0")/.." || exit 1
if ! command -v valgrind >/dev/null ||
    ! echo '#include <valgrind/memcheck.h>' | gcc -E - >/dev/null 2>&1; then
    echo '1..0 # SKIP valgrind or its header is not installed'
    exit 0
fi
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
export LD_LIBRARY_PATH=$build LIBMEM=region=64M
ntests=0

result() { # status what
    ntests=$((ntests + 1))
    if [ "$1" -eq 0 ]; then echo "ok $ntests - $2"; return; fi
    echo "not ok $ntests - $2"
    head -n 60 "$work/log" | sed 's/^/# /'
}

# The three mistakes. The sizes of the objects say which: n + 1 bytes are written behind, n + 2 are
# touched after they were freed, and n + 3 are lost.
cat >"$work/mistakes.h" <<'END'
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static volatile char *kept[8]; /* can be reached at the end */
static int nkept;

#define MISTAKES(heap)                                                                             \
    __attribute__((noinline)) static void mistakes_with_##heap(size_t n)                           \
    {                                                                                              \
        volatile char *behind = take_##heap(n + 1), *freed = take_##heap(n + 2);                   \
        kept[nkept++] = behind;                                                                    \
        behind[n + 1] = 1;                                                                         \
        give_##heap((void *)freed);                                                                \
        freed[60] = 1;                                                                             \
        memset(take_##heap(n + 3), 1, n + 3);                                                      \
    }
END
cat >"$work/linked.c" <<'END'
#include "mistakes.h"
#include <valgrind/memcheck.h>
#include "mem.h"
#include "mem_heap.h"

static _Alignas(16) char buffer[16384], copy[16384];
static mem_heap *small, *large;

static void *take_small(size_t n) { return mem_alloc(small, n); }
static void give_small(void *p) { mem_free(small, p); }
static void *take_large(size_t n) { return mem_zalloc(large, n); }
static void give_large(void *p) { mem_free_any(large, (char *)p + 5); }
static void *take_classic(size_t n) { return Mem_Alloc((int)n); }
static void give_classic(void *p) { Mem_Free((char *)p + 5); }
MISTAKES(small)
MISTAKES(large)
MISTAKES(classic)

static void must(bool good, int line)
{
    if (!good) {
        fprintf(stderr, "line %d is wrong\n", line);
        exit(2);
    }
}
#define MUST(x) must(x, __LINE__)

/* Fills the heap, frees all, and fills it again with smaller objects: records grow into what was
 * objects, and so do spans. */
static void refill(mem_heap *heap)
{
    static void *held[2000];
    for (size_t size = 3000; size > 0; size /= 7) {
        int n = 0;
        while (n < 2000 && (held[n] = mem_alloc(heap, size)) != NULL)
            memset(held[n++], 1, size);
        MUST(mem_check(heap, NULL) == MEM_OK);
        for (int i = 0; i < n; i++)
            MUST(mem_free(heap, held[i]) == MEM_OK);
    }
}

static void resize(mem_heap *heap)
{
    char *p = mem_alloc(heap, 0);
    for (size_t old = 0, size = 1; size < 3000; old = size, size += size / 3 + 1) {
        MUST((p = mem_resize(heap, p, size)) != NULL);
        memset(p + old, 1, size - old);
    }
    for (size_t size = 2000; size > 0; size /= 2)
        MUST((p = mem_resize(heap, p, size)) != NULL && p[0] == 1 && p[size - 1] == 1);
    MUST((p = mem_resize(heap, p, 0)) != NULL && mem_free(heap, p) == MEM_OK);
}

/* A heap in an object, which is freed; and heaps that are covered and were never destroyed. */
static void nest(mem_heap *heap)
{
    char *in = mem_aligned(heap, 5000, 64);
    mem_heap *inner = mem_heap_in(in, 4992, NULL);
    refill(inner);
    MUST(mem_alloc(inner, 100) != NULL && mem_heap_destroy(inner) == MEM_OK);
    memset(in, 1, 5000);
    MUST(mem_free(heap, in) == MEM_OK);
    for (int at = 0; at < 8192; at += 2048)
        MUST(mem_alloc(mem_heap_in(copy + at, 4096, NULL), 100) != NULL);
    MUST(mem_heap_destroy(mem_heap_in(copy, sizeof copy, NULL)) == MEM_OK);
}

/* An object in which a heap was is no block of memcheck's [MC3]. */
__attribute__((noinline)) static void touch_after_heap(mem_heap *heap)
{
    volatile char *in = mem_aligned(heap, 5000, 64);
    MUST(mem_heap_destroy(mem_heap_in((void *)in, 4992, NULL)) == MEM_OK);
    MUST(mem_free(heap, (void *)in) == MEM_OK);
    in[60] = 1;
}

/* What it grows into was never an object. */
__attribute__((noinline)) static void write_behind_grown(mem_heap *heap)
{
    volatile char *p = mem_alloc(heap, 100000);
    MUST((kept[nkept++] = mem_resize(heap, (void *)p, 150001)) == p);
    p[150001] = 1;
}

/* The program writes what the object has, and reads what it has grown by. */
__attribute__((noinline)) static void read_grown(mem_heap *heap)
{
    volatile char *p = mem_alloc(heap, 100000);
    p[99999] = 1;
    MUST((kept[nkept++] = mem_resize(heap, (void *)p, 150002)) == p);
    if (p[99999] != 1 || p[150001] == 1)
        nkept++;
}

static void move(mem_heap *heap)
{
    char *p = mem_alloc(heap, 100);
    memset(p, 1, 100);
    MUST(mem_heap_detach(heap) == MEM_OK);
    memcpy(copy, buffer, sizeof copy);
    memset(buffer, 2, sizeof buffer);
    MUST((heap = mem_heap_attach(copy, sizeof copy, NULL)) != NULL);
    p = copy + (p - buffer);
    MUST(p[99] == 1 && mem_free(heap, p) == MEM_OK && mem_heap_destroy(heap) == MEM_OK);
    memset(copy, 2, sizeof copy);
}

/* Records become an object, which is freed, while a lookup reads them. */
static void look_up(void)
{
    struct mem_piece found;
    mem_heap *heap = mem_heap_in(copy, sizeof copy, NULL);
    char *p = mem_alloc(heap, 100), *q = mem_alloc(heap, 3000);
    VALGRIND_MAKE_MEM_NOACCESS(p, copy + sizeof copy - p);
    MUST(mem_find(q + 9, &found) == MEM_OK && found.start == q);
    MUST(mem_find_in(heap, q + 9, &found) == MEM_OK && found.start == q);
    VALGRIND_MAKE_MEM_DEFINED(p, copy + sizeof copy - p);
    MUST(mem_heap_destroy(heap) == MEM_OK);
}

static void use_classic(void)
{
    static char *held[500];
    for (int i = 0; i < 3000; i++) {
        int n = i * 37 % 500, size = i % 700 + 1;
        MUST(held[n] == NULL || Mem_Free(held[n]) == 0);
        held[n] = size % 3 ? Mem_Alloc(size, size % 3) : Mem_Alloc(size);
        if (held[n] != NULL)
            memset(held[n], i, (size_t)size);
        if (i % 100 == 0)
            for (MemNodePtr node = m_free_list; node != NULL; node = node->next)
                MUST(node->type);
    }
    MUST(Mem_Check() == 0);
}

int main(int argc, char **argv)
{
    MUST(Mem_Init(200000) == 0);
    small = mem_heap_in(buffer, sizeof buffer, NULL);
    large = mem_heap_create(2 << 20, NULL);
    if (strcmp(argv[argc - 1], "wrong") == 0) {
        mistakes_with_small(100);
        mistakes_with_large(200);
        mistakes_with_classic(300);
        touch_after_heap(large);
        write_behind_grown(large);
        read_grown(large);
        return 0;
    }
    refill(small), refill(large), resize(small), resize(large), nest(small), nest(large);
    use_classic();
    look_up();
    move(small);
    MUST(mem_heap_destroy(large) == MEM_OK);
    large = mem_heap_create(2 << 20, NULL);
    small = mem_heap_in(mem_alloc(large, 4096), 4096, NULL);
    kept[0] = mem_alloc(small, 100); /* in the heap in an object, at the end */
    return 0;
}
END
cat >"$work/preloaded.c" <<'END'
#include "mistakes.h"

static void *take_malloc(size_t n) { return malloc(n); }
static void give_malloc(void *p) { free(p); }
static void *take_aligned(size_t n) { return aligned_alloc(64, n); }
static void give_aligned(void *p) { free(p); }
MISTAKES(malloc)
MISTAKES(aligned)

int main(int argc, char **argv)
{
    static char *held[200];
    if (strcmp(argv[argc - 1], "wrong") == 0) {
        mistakes_with_malloc(400);
        mistakes_with_aligned(500);
        return 0;
    }
    for (int i = 0; i < 3000; i++) {
        size_t size = (size_t)(i * 7919 % (i % 50 ? 700 : 200000)) + 1;
        char **p = &held[i * 37 % 200];
        if (i % 3 == 0) {
            free(*p);
            *p = calloc(1, size);
            if ((*p)[size - 1] != 0)
                return 3;
        } else {
            *p = realloc(*p, size);
            memset(*p, i, size);
        }
    }
    for (int i = 0; i < 200; i++)
        free(held[i]);
    return 0;
}
END
gcc -g -O0 -Iinclude "$work/linked.c" -L"$build" -lmem -o "$work/linked" &&
    gcc -g -O0 -fno-builtin "$work/preloaded.c" -o "$work/preloaded" || exit 1

run() { # option... program how
    timeout -k 5 240 valgrind -q --leak-check=full --show-leak-kinds=definite --error-exitcode=9 \
        "$@" >"$work/log" 2>&1
    status=$?
}
on_malloc() { # option... how
    LD_PRELOAD=$build/libmem-malloc.so run "${@:1:$#-1}" "$work/preloaded" "${@: -1}"
}

# Whether a line of the report is followed, before the next report, by a call of the program's.
reported() { # line function
    awk -v line="$1" -v call=": $2 (" '/== $/ { on = 0 } index($0, line) { on = 1 }
        on && index($0, call) { found = 1 } END { exit !found }' "$work/log"
}

# In Mem_Init's heap the next object may begin at the next multiple of 16: memcheck names either.
reported_behind() { # heap n
    reported "is 0 bytes after a block of size $(($2 + 1)) alloc'd" "take_$1" && return
    [ "$1" = classic ] && reported "bytes before a block of size $(($2 + 2)) alloc'd" "take_$1"
}

reports_mistakes() { # heap n
    reported_behind "$1" "$2"
    result $? "$1: a byte behind an object is reported, with where that was taken"
    reported "is 60 bytes inside a block of size $(($2 + 2)) free'd" "give_$1"
    result $? "$1: a touch of what was freed, with where"
    reported "$(($2 + 3)) bytes in 1 blocks are definitely lost" "take_$1"
    result $? "$1: an object that nothing points to, with where it was taken"
}

reports_no_others() { # number
    [ "$status" -eq 9 ] && [ "$(grep -cE '== (Inv|Cond|Use|Sysc)|lost in' "$work/log")" -eq "$1" ]
    result $? 'and nothing else'
}

reports_nothing() { # what
    [ "$status" -eq 0 ] && [ ! -s "$work/log" ]
    result $? "nothing is reported of a program without mistakes, on $1"
}

run "$work/linked" wrong
reports_mistakes small 100
reports_mistakes large 200
reports_mistakes classic 300
reported 'Invalid write of size 1' touch_after_heap
result $? 'a touch of what was freed, if a heap was in it'
reported 'is 0 bytes after a block of size 150,001' write_behind_grown
result $? 'a byte behind an object that has grown where it lies'
reported 'depends on uninitialised value' read_grown
result $? 'a read of what an object has grown by'
reports_no_others 12
run "$work/linked" clean
reports_nothing 'heaps of its own and that of Mem_Init'
on_malloc wrong # valgrind has put its own malloc in place of the library's
reports_mistakes malloc 400
reports_mistakes aligned 500
ours=--soname-synonyms=somalloc=nouserintercepts
on_malloc $ours wrong
grep -q 'take_watched (' "$work/log"
result $? "the library's malloc stays in place if an option says so"
reports_mistakes malloc 400
reports_mistakes aligned 500
reports_no_others 6
on_malloc $ours clean
reports_nothing "the library's malloc"
echo "1..$ntests"
