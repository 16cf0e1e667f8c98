/* SPDX-License-Identifier: MIT
 *
 * call.h - the calls that allocate, resize and free, by number and by name.
 *
 * Both the library and the tool `mem` include this file: the events of a history (history.h) hold
 * the number.
 */
#ifndef CALL_H
#define CALL_H

enum call {
    CALL_MALLOC,
    CALL_CALLOC,
    CALL_REALLOC,
    CALL_REALLOCARRAY,
    CALL_POSIX_MEMALIGN,
    CALL_ALIGNED_ALLOC,
    CALL_MEMALIGN,
    CALL_VALLOC,
    CALL_PVALLOC,
    CALL_FREE,
    CALL_CFREE,
    CALL_FREE_SIZED,
    CALL_FREE_ALIGNED_SIZED,
    CALL_USABLE_SIZE,
    CALL_NEW,
    CALL_DELETE,
    CALL_DELETE_ARRAY,
    CALL_NEW_ARRAY,
    NCALLS
};

/* Returns the call's name, or "?" for a number that no call has. */
static inline const char *call_name(unsigned call)
{
    static const char *const names[NCALLS] = {[CALL_MALLOC] = "malloc",
                                              [CALL_CALLOC] = "calloc",
                                              [CALL_REALLOC] = "realloc",
                                              [CALL_REALLOCARRAY] = "reallocarray",
                                              [CALL_POSIX_MEMALIGN] = "posix_memalign",
                                              [CALL_ALIGNED_ALLOC] = "aligned_alloc",
                                              [CALL_MEMALIGN] = "memalign",
                                              [CALL_VALLOC] = "valloc",
                                              [CALL_PVALLOC] = "pvalloc",
                                              [CALL_FREE] = "free",
                                              [CALL_CFREE] = "cfree",
                                              [CALL_FREE_SIZED] = "free_sized",
                                              [CALL_FREE_ALIGNED_SIZED] = "free_aligned_sized",
                                              [CALL_USABLE_SIZE] = "malloc_usable_size",
                                              [CALL_NEW] = "operator new",
                                              [CALL_DELETE] = "operator delete",
                                              [CALL_DELETE_ARRAY] = "operator delete[]",
                                              [CALL_NEW_ARRAY] = "operator new[]"};
    return call < NCALLS ? names[call] : "?";
}

#endif
