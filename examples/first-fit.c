/* SPDX-License-Identifier: MIT
 *
 * first-fit.c - shows in one picture where the three placement styles put an object.
 *
 *     make build/examples/first-fit
 *     LD_LIBRARY_PATH=build build/examples/first-fit
 *
 * When a heap has several holes, it must choose one for a new object:
 *
 *     first fit   the hole at the lowest address that is large enough
 *     best fit    the smallest hole that is large enough
 *     worst fit   the largest hole
 *
 * The program makes a region with three holes of different sizes. It then allocates an
 * object of 300 bytes with each style in turn, draws where the object lies, and frees it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "mem.h"

enum { COLUMN_BYTES = 64, REQUEST = 300, WALL = 64, REST = 256, NHOLES = 3 };

static const int hole_size[NHOLES] = {640, 384, 1280};

/* Returns p, or ends the program if the allocation that returned p has failed. */
static char *must(void *p)
{
    if (p == NULL) {
        fprintf(stderr, "first-fit: Mem_Alloc failed, m_error is %d\n", m_error);
        exit(1);
    }
    return p;
}

/* Builds this region, and returns the address of its first byte:
 *
 *     [ 640 ]#[ 384 ]#[   1280   ]##########...
 *
 * [ ] is a hole and # a live object. Objects of 64 bytes, the walls, keep the holes apart:
 * neighbouring free chunks would become one chunk. The last object fills the rest of the
 * region except its last 256 bytes. That is too small for the request of 300 bytes, so no
 * style can choose it, and it leaves room for the heap's records, which lie at the region's
 * end. m_free_list is the exported list of free chunks; at that moment it has only one. */
static char *make_holes(void)
{
    char *hole[NHOLES];

    for (int i = 0; i < NHOLES; i++) {
        hole[i] = must(Mem_Alloc(hole_size[i], FIRSTFIT));
        must(Mem_Alloc(WALL, FIRSTFIT));
    }
    must(Mem_Alloc(m_free_list->size - REST, FIRSTFIT));
    for (int i = 0; i < NHOLES; i++)
        Mem_Free(hole[i]);
    return hole[0];
}

/* Prints one character for each 64 bytes. Mem_IsValid says whether an address lies inside a
 * live object. */
static void draw(char *base, char *object)
{
    const int nbytes = hole_size[0] + hole_size[1] + hole_size[2] + NHOLES * WALL;

    for (int at = 0; at < nbytes; at += COLUMN_BYTES) {
        int is_ours = base + at >= object && base + at < object + REQUEST;
        putchar(is_ours ? 'N' : Mem_IsValid(base + at) ? '#' : '.');
    }
}

/* Allocates with one style, draws the region, and frees the object again. */
static void show(const char *name, int style, const char *why, char *base)
{
    char *object = must(Mem_Alloc(REQUEST, style));

    printf("%-8s  ", name);
    draw(base, object);
    printf("  at %4d: %s\n", (int)(object - base), why);
    Mem_Free(object);
}

int main(void)
{
    if (Mem_Init(4096) != 0) {
        fprintf(stderr, "first-fit: Mem_Init failed, m_error is %d\n", m_error);
        return 1;
    }
    char *base = make_holes();
    printf("An object of %d bytes, and holes of %d, %d and %d bytes. Each column is %d bytes:\n"
           "N is the new object, # another object, . a free column.\n\n",
           REQUEST, hole_size[0], hole_size[1], hole_size[2], COLUMN_BYTES);
    show("FIRSTFIT", FIRSTFIT, "the lowest hole that can hold it", base);
    show("BESTFIT", BESTFIT, "the smallest hole that can hold it", base);
    show("WORSTFIT", WORSTFIT, "the largest hole", base);
    return 0;
}
