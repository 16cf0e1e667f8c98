/* SPDX-License-Identifier: MIT
 *
 * misuse.h - the scene for programs that make one mistake each.
 *
 * Line 1 of each program states, for test/run.sh, the exit status and a text that standard output
 * must contain:
 *
 *     (slash star) EXPECT: 0 "Mem_Free: -1 E_BAD_POINTER, heap unchanged"
 *
 * A program has two steps:
 *
 *     begin();                               makes a heap with objects and a hole
 *     return tell("Mem_Free", Mem_Free(object + 100));
 */
#ifndef MISUSE_H
#define MISUSE_H

#include "observe.h"

#include <limits.h>

/* [object 100, slack 12][hole 200, freed][neighbour 40, slack 8][ free ] */
static unsigned char *object, *hole, *neighbour;
static char *before;

/* Takes the picture that tell() compares with. A program calls it again after its own
 * preparations, before the mistake. */
static inline void remember(void)
{
    free(before);
    before = picture();
    m_error = 0;
}

static inline void begin(void)
{
    open_heap(8192);
    object = get(100);
    hole = get(200);
    neighbour = get(40);
    give(hole);
    remember();
}

static inline const char *reason(void)
{
    static const char *const names[] = {
        "no error",   "E_NO_SPACE",   "E_CORRUPT_FREESPACE", "E_PADDING_OVERWRITTEN",
        "E_BAD_ARGS", "E_BAD_POINTER"};
    return m_error >= 0 && m_error <= E_BAD_POINTER ? names[m_error] : "an unknown error";
}

/* Prints the outcome. Returns 0, which main returns: the printed line is what run.sh compares. */
static inline int tell(const char *call, int result)
{
    const char *change = same_picture(before) ? "unchanged" : "CHANGED";
    before = NULL;
    printf("%s: %d %s, heap %s\n", call, result, reason(), change);
    return 0;
}

static inline int tell_pointer(const char *call, const void *result)
{
    const char *change = same_picture(before) ? "unchanged" : "CHANGED";
    before = NULL;
    printf("%s: %s %s, heap %s\n", call, result == NULL ? "NULL" : "a pointer", reason(), change);
    return 0;
}

#endif
