#!/bin/bash
# SPDX-License-Identifier: MIT
#
# poison.sh BUILD - checks that AddressSanitizer reports a touch of memory that no code may touch in
# a heap of one's own (src/base/poison.h), and reports nothing else. Prints TAP.
#
# The library of BUILD was compiled with AddressSanitizer. All other tests of such a build run with
# allow_user_poisoning=0, since many look at freed memory, or copy a heap as it is.
set -u
export LC_ALL=C ASAN_OPTIONS=detect_leaks=0
build=$(realpath -e "${1:?usage: poison.sh BUILD}") || exit 2
cd "$(dirname "$0")/.." || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
ntests=0

result() { # status what
    ntests=$((ntests + 1))
    if [ "$1" -eq 0 ]; then echo "ok $ntests - $2"; return; fi
    echo "not ok $ntests - $2"
    [ ! -s "$work/log" ] || head -n 12 "$work/log" | sed 's/^/# /'
}

cat >"$work/touch.c" <<'END'
#include <stdlib.h>
#include <string.h>
#include <sanitizer/asan_interface.h>
#include "mem_heap.h"

/* A copy of a heap with slots is attached at a multiple of 64 KiB from it. */
static _Alignas(65536) char buffer[65536], copy[65536];
static volatile char *touched;
static char *filled[sizeof buffer / 3000];

__attribute__((noinline)) static void touch(char *p)
{
    touched = p;
    *touched = 1;
}

/* Each object is followed by another one: what the last one leaves is no longer any object's. */
static char *object(mem_heap *heap, size_t size)
{
    char *p = mem_alloc(heap, size);
    if (p == NULL || mem_alloc(heap, size) == NULL)
        exit(2);
    return p;
}

int main(int argc, char **argv)
{
    struct mem_options slots = {.flags = MEM_SLOTS | MEM_SINGLE_THREADED};
    const char *how = argv[argc - 1];
    int n = 0;
    mem_heap *heap = mem_heap_in(buffer, sizeof buffer, strstr(how, "slot") ? &slots : NULL);
    char *p = object(heap, 100), *q = object(heap, 5000);
    memset(p, 1, 100);
    memset(q, 1, 5000);
    if (strstr(how, "freed")) {
        mem_free(heap, p);
        touch(p + 50);
    } else if (strstr(how, "behind")) {
        touch(p + 100);
    } else if (strstr(how, "moved")) {
        mem_resize(heap, p, 6000);
        touch(p + 50);
    } else if (strstr(how, "shrunk")) {
        touch(mem_resize(heap, p, 97) + 97);
    } else if (strstr(how, "last")) {
        char *last = mem_alloc(heap, 3000);
        mem_free(heap, last);
        touch(last + 50);
    } else if (strstr(how, "given up")) {
        touch((char *)mem_resize(heap, q, 64) + 64);
    } else if (strstr(how, "records")) {
        while ((p = mem_alloc(heap, 3000)) != NULL)
            filled[n++] = p;
        while (n > 0)
            mem_free(heap, filled[--n]);
        while (mem_alloc(heap, 1) != NULL)
            ;
        if (mem_check(heap, NULL) != MEM_OK)
            return 3;
    } else if (strstr(how, "again")) {
        mem_free(heap, p);
        touch(object(heap, 100) + 99);
    } else if (strstr(how, "grown")) {
        touch((char *)mem_resize(heap, p, 110) + 109);
    } else if (strstr(how, "detached")) {
        mem_free(heap, p);
        mem_heap_detach(heap);
        memcpy(copy, buffer, sizeof copy);
        heap = mem_heap_attach(copy, sizeof copy, NULL);
        memset(buffer, 1, sizeof buffer);
        if (heap == NULL || mem_check(heap, NULL) != MEM_OK)
            return 3;
    } else if (strstr(how, "destroyed")) {
        mem_free(heap, p);
        mem_heap_destroy(heap);
        memset(buffer, 1, sizeof buffer);
    } else if (strstr(how, "looked up")) {
        struct mem_piece found;
        __asan_poison_memory_region(p, (size_t)(buffer + sizeof buffer - p));
        if (mem_find(q, &found) != MEM_OK || mem_find_in(heap, q, &found) != MEM_OK)
            return 3;
    } else {
        return 4;
    }
    return 0;
}
END
gcc -g -O1 -fsanitize=address,undefined -Iinclude "$work/touch.c" "$build/libmem.a" -pthread \
    -o "$work/touch" || exit 1

for where in slot chunk; do
    for how in freed behind moved shrunk last 'given up'; do
        "$work/touch" "$where $how" >"$work/log" 2>&1
        [ $? -ne 0 ] && grep -q 'ERROR: AddressSanitizer: use-after-poison' "$work/log" &&
            grep -q '#0 .* in touch ' "$work/log"
        result $? "a touch of what was $how is reported, in a $where"
    done
    for how in again grown detached destroyed; do
        "$work/touch" "$where $how" >"$work/log" 2>&1
        result $? "a touch of what was taken $how is not, in a $where"
    done
    "$work/touch" "$where records" >"$work/log" 2>&1
    result $? "records grow into what was an object, beside each $where"
    "$work/touch" "$where looked up" >"$work/log" 2>&1
    result $? "records become an object and are freed while a lookup reads them, beside each $where"
done
for program in h03_allocation h04_styles h11_threads h12_fork h16_limit; do
    timeout 240 "$build/test/contract/heaps/$program" >"$work/log" 2>&1
    result $? "the library itself touches no such memory: $program"
done
echo "1..$ntests"
