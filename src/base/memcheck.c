/* SPDX-License-Identifier: MIT
 *
 * memcheck.c - what the library tells memcheck, as valgrind's client requests. Invariants:
 * memcheck.h.
 */
#include "base/memcheck.h"

#ifdef WITH_MEMCHECK
#include <valgrind/memcheck.h>

bool memcheck_is_there;

/* Only memcheck answers: neither the processor nor another tool of valgrind does. */
__attribute__((constructor)) void memcheck_ask(void)
{
    memcheck_is_there = VALGRIND_MAKE_MEM_DEFINED(&memcheck_is_there, sizeof(bool)) != 0;
}

/* The heap has judged already whether there is such an object, so memcheck need not say that there
 * is none: of an object in which a heap lies it does not know. */
static void end_block(const void *object)
{
    memcheck_quiet(true);
    VALGRIND_FREELIKE_BLOCK(object, 0);
    memcheck_quiet(false);
}

void memcheck_take(void *object, size_t size, size_t room)
{
    VALGRIND_MALLOCLIKE_BLOCK(object, size, 0, 0);
    (void)VALGRIND_MAKE_MEM_NOACCESS((char *)object + size, room - size);
}

/* Memcheck resizes no block to 0 bytes, and none of 0 bytes. What a block grows by, it marks as not
 * initialised by itself. */
void memcheck_resize(void *object, size_t old, size_t size, size_t room)
{
    if (old == 0 || size == 0) {
        end_block(object);
        memcheck_take(object, size, room);
        return;
    }
    memcheck_quiet(true);
    VALGRIND_RESIZEINPLACE_BLOCK(object, old, size, 0);
    memcheck_quiet(false);
    (void)VALGRIND_MAKE_MEM_NOACCESS((char *)object + size, room - size);
}

void memcheck_free(void *object, size_t size)
{
    end_block(object);
    (void)VALGRIND_MAKE_MEM_NOACCESS(object, size);
}

void memcheck_forget(void *object, size_t size)
{
    end_block(object);
    memcheck_show(object, size);
}

void memcheck_show(void *from, size_t nbytes)
{
    (void)VALGRIND_MAKE_MEM_DEFINED(from, nbytes);
}

void memcheck_quiet(bool quiet)
{
    if (quiet)
        VALGRIND_DISABLE_ERROR_REPORTING;
    else
        VALGRIND_ENABLE_ERROR_REPORTING;
}
#endif
