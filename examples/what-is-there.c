/* SPDX-License-Identifier: MIT
 *
 * what-is-there.c - shows how a program can say of any address what lies there: which heap, which
 * object, and where in it.
 *
 *     make build/examples/what-is-there
 *     LD_LIBRARY_PATH=build build/examples/what-is-there
 *
 * The program has three heaps: that of Mem_Init, one in a static array, and one in a mapping.
 * mem_find asks all of them. It takes no lock, so a handler of SIGSEGV may call describe, too.
 */
#include <stdio.h>
#include <stdlib.h>

#include "mem.h"
#include "mem_heap.h"

static _Alignas(16) char array[4096];
static mem_heap *small, *large;

static const char *name_of(mem_heap *heap)
{
    return heap == small ? "the small heap" : heap == large ? "the large heap" : "Mem_Init's heap";
}

/* Prints what lies at the address, which may be any value. */
static void describe(const char *what, const void *address)
{
    struct mem_piece piece;
    enum mem_result result = mem_find(address, &piece);

    if (result != MEM_OK) {
        printf("%-24s %s\n", what, mem_strerror(result));
        return;
    }
    printf("%-24s ", what);
    if (piece.live)
        printf("byte %td of an object of %zu bytes", (const char *)address - (char *)piece.start,
               piece.size);
    else
        printf("free memory");
    printf(" in %s\n", name_of(piece.heap));
}

/* Returns p, or ends the program if the call that returned p has failed. */
static void *must(void *p)
{
    if (p == NULL) {
        fprintf(stderr, "what-is-there: %s\n", mem_strerror(mem_last_error()));
        exit(1);
    }
    return p;
}

int main(void)
{
    struct mem_statistics classic;

    if (Mem_Init(65536) != 0) {
        fprintf(stderr, "what-is-there: Mem_Init failed, m_error is %d\n", m_error);
        return 1;
    }
    small = must(mem_heap_in(array, sizeof array, NULL));
    large = must(mem_heap_create((size_t)1 << 30, NULL));

    char *name = must(Mem_Alloc(100));
    char *first = must(mem_alloc_fit(small, 200, 16, MEM_FIRST_FIT));
    char *page = must(mem_aligned(large, 10000, 4096)); /* at a multiple of 4096 */

    describe("name", name);
    describe("first + 42", first + 42);
    describe("page + 9999", page + 9999);
    describe("one past its end", page + 10000);
    describe("a local variable", &classic);
    mem_free_any(small, first + 42); /* frees the object that this address lies in */
    describe("first + 42, now freed", first + 42);

    /* Mem_Init's heap has a handle, too: for questions, and not for allocating. */
    mem_stats(must(mem_heap_of_classic()), &classic);
    printf("Mem_Init's heap has %zu object, of %zu bytes\n", classic.live_objects,
           classic.live_bytes);
    return (size_t)page % 4096 != 0 || mem_heap_destroy(small) != MEM_OK ||
           mem_heap_destroy(large) != MEM_OK;
}
