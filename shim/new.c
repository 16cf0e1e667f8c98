/* SPDX-License-Identifier: MIT
 *
 * new.c - the C++ operators new and delete, by the names that they have in object
 * files (Itanium C++ ABI, 5.1.4; `m` is a size_t of 64 bits).
 *
 * In C, so that a C program that preloads the library does not load a C++ one. To
 * throw, and to find the handler of std::set_new_handler, the C++ library is needed,
 * and who calls these operators has it: it is referred to weakly. Without it a
 * failed new can only say so and abort. (That includes a C++ library that came with
 * dlopen into a program in C.)
 *
 * new(nothrow) does not call the new handler: it may throw, which cannot be caught
 * here. It is NULL at once.
 *
 * The file is compiled with -fexceptions: they pass through it.
 */
#include <stdlib.h>

#include "report.h"
#include "shim.h"

typedef void handler(void);

__attribute__((weak, noreturn)) void throw_bad_alloc(void) __asm__("_ZSt17__throw_bad_allocv");
__attribute__((weak)) handler *get_new_handler(void) __asm__("_ZSt15get_new_handlerv");

__attribute__((noreturn)) static void fail(size_t nbytes)
{
    if (throw_bad_alloc != NULL)
        throw_bad_alloc();
    struct line l = {0};
    line_text(&l, "libmem: operator new: no memory for ");
    line_decimal(&l, nbytes);
    line_text(&l, " bytes, and no C++ library to throw std::bad_alloc");
    line_write(&l);
    abort();
}

/* The handler makes room, or throws, or does not return (C++17, 21.6.2.1). */
static void *take_or_throw(size_t nbytes, size_t align)
{
    for (;;) {
        void *object = shim_take_aligned(nbytes, align);
        if (object != NULL)
            return object;
        handler *make_room = get_new_handler == NULL ? NULL : get_new_handler();
        if (make_room == NULL)
            fail(nbytes);
        make_room();
    }
}

/* --- new: plain, nothrow, aligned, both ------------------------------------------ */

/* Apart, so that the way before it needs no frame. */
__attribute__((noinline)) static void *new_slowly(size_t nbytes)
{
    return take_or_throw(nbytes, GRANULE_BYTES);
}

MEM_API void *_Znwm(size_t nbytes)
{
    void *object;
    return cache_take_small(&shim_thread, nbytes, &object) ? object : new_slowly(nbytes);
}

MEM_API void *_ZnwmRKSt9nothrow_t(size_t nbytes, const void *nothrow)
{
    (void)nothrow;
    return shim_take(nbytes);
}

MEM_API void *_ZnwmSt11align_val_t(size_t nbytes, size_t align)
{
    return take_or_throw(nbytes, align);
}

MEM_API void *_ZnwmSt11align_val_tRKSt9nothrow_t(size_t nbytes, size_t align, const void *nothrow)
{
    (void)nothrow;
    return shim_take_aligned(nbytes, align);
}

#define SAME_AS(name) MEM_API __attribute__((alias(name)))

SAME_AS("_Znwm") void *_Znam(size_t nbytes);
SAME_AS("_ZnwmRKSt9nothrow_t") void *_ZnamRKSt9nothrow_t(size_t nbytes, const void *nothrow);
SAME_AS("_ZnwmSt11align_val_t") void *_ZnamSt11align_val_t(size_t nbytes, size_t align);
SAME_AS("_ZnwmSt11align_val_tRKSt9nothrow_t")
void *_ZnamSt11align_val_tRKSt9nothrow_t(size_t nbytes, size_t align, const void *nothrow);

/* --- delete: the address says all, so what else they are given is not looked at ---- */

MEM_API void _ZdlPv(void *object)
{
    shim_free(object, "operator delete");
}

MEM_API void _ZdaPv(void *object)
{
    shim_free(object, "operator delete[]");
}

SAME_AS("_ZdlPv") void _ZdlPvm(void *object);
SAME_AS("_ZdlPv") void _ZdlPvRKSt9nothrow_t(void *object);
SAME_AS("_ZdlPv") void _ZdlPvSt11align_val_t(void *object);
SAME_AS("_ZdlPv") void _ZdlPvSt11align_val_tRKSt9nothrow_t(void *object);
SAME_AS("_ZdlPv") void _ZdlPvmSt11align_val_t(void *object);
SAME_AS("_ZdaPv") void _ZdaPvm(void *object);
SAME_AS("_ZdaPv") void _ZdaPvRKSt9nothrow_t(void *object);
SAME_AS("_ZdaPv") void _ZdaPvSt11align_val_t(void *object);
SAME_AS("_ZdaPv") void _ZdaPvSt11align_val_tRKSt9nothrow_t(void *object);
SAME_AS("_ZdaPv") void _ZdaPvmSt11align_val_t(void *object);
