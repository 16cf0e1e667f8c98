/* SPDX-License-Identifier: MIT
 *
 * first-fit.c - the three placement styles in one picture.
 *
 *     ./first-fit
 *
 * One region with three holes and, at the end, a small rest. The same request
 * is made once by each style and taken back; the map shows where it landed.
 */
#include <stdio.h>
#include <stdlib.h>

#include "mem.h"

enum { COLUMN_BYTES = 64, REQUEST = 300, WALL = 64, REST = 256, NHOLES = 3 };

static const int hole_size[NHOLES] = {640, 384, 1280};

static char *must(void *p)
{
    if (p == NULL) {
        fprintf(stderr, "first-fit: Mem_Alloc failed, m_error is %d\n", m_error);
        exit(1);
    }
    return p;
}

/* [ 640 ]#[ 384 ]#[   1280   ]#####...: walls keep the holes apart, and the
 * last object fills the region up to a rest too small to be anyone's choice:
 * the heap's own records of the objects are kept there. Returns the first byte. */
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

static void draw(char *base, char *object)
{
    const int nbytes = hole_size[0] + hole_size[1] + hole_size[2] + NHOLES * WALL;

    for (int at = 0; at < nbytes; at += COLUMN_BYTES) {
        int is_ours = base + at >= object && base + at < object + REQUEST;
        putchar(is_ours ? 'N' : Mem_IsValid(base + at) ? '#' : '.');
    }
}

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
    printf("Where do %d bytes go? Holes of %d, %d and %d bytes; a column is %d bytes.\n"
           "N the new object, # another object, . free\n\n",
           REQUEST, hole_size[0], hole_size[1], hole_size[2], COLUMN_BYTES);
    show("FIRSTFIT", FIRSTFIT, "the lowest hole that can hold it", base);
    show("BESTFIT", BESTFIT, "the smallest hole that can hold it", base);
    show("WORSTFIT", WORSTFIT, "the largest hole", base);
    return 0;
}
