/* SPDX-License-Identifier: MIT
 *
 * new.c - the 20 C++ operators new and delete, under the names that they have in object files
 * (Itanium C++ ABI, 5.1.4; `m` stands for a size_t of 64 bits).
 *
 * They are written in C, so that a C program that preloads the library does not load the C++
 * library. Throwing an exception and finding the handler of std::set_new_handler need that library;
 * a program that calls these operators has it, so it is referred to weakly. Without it a failed new
 * can only write a message and abort; so also where dlopen brought the C++ library into a C
 * program.
 *
 * A program may define some of these operators itself, in place of ours. It then expects that the
 * others call its own, as the standard says (C++17, 21.6.2). So all but four are made of those
 * four:
 *
 *     new[](n)  new(n, nothrow)  new[](n, nothrow)                    ---> new(n)
 *     delete[](p)  delete(p, n)  delete(p, nothrow)  delete[](p, n) ...  ---> delete(p)
 *
 * and likewise with an alignment. C code cannot catch what new throws. So new(nothrow) calls ours
 * in a way that neither throws nor calls the new handler, which may throw: it returns NULL at once.
 * If new is the program's own, what it throws passes through new(nothrow).
 *
 * The file is compiled with -fexceptions, so that exceptions can pass through it.
 */
#include <stdlib.h>

#include "malloc/report.h"
#include "malloc/shim.h"

typedef void handler(void);

__attribute__((weak, noreturn)) void throw_bad_alloc(void) __asm__("_ZSt17__throw_bad_allocv");
__attribute__((weak)) handler *get_new_handler(void) __asm__("_ZSt15get_new_handlerv");

/* Throws std::bad_alloc, or aborts if there is no C++ library. */
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

/* Calls the new handler until there is space. The handler makes room, throws, or does not return
 * (C++17, 21.6.2.1). */
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

/* --- the four -------------------------------------------------------------------- */

/* Not inlined, so that the fast path of our_new needs no stack frame. */
__attribute__((noinline)) static void *new_slow(size_t nbytes)
{
    return take_or_throw(nbytes, GRANULE_BYTES);
}

static void *our_new(size_t nbytes)
{
    void *object;
    return tcache_take_small(&shim_thread, nbytes, &object) ? object : new_slow(nbytes);
}

static void *our_new_aligned(size_t nbytes, size_t align)
{
    return take_or_throw(nbytes, align);
}

/* The heap knows an object's size, so delete needs only the address. The forms that are given a
 * size compare it (below) [M10]. */
static void our_delete(void *object)
{
    shim_free(object, "operator delete");
}

static void our_delete_aligned(void *object, size_t align)
{
    shim_free_aligned(object, align, "operator delete");
}

#define OURS(name) MEM_API __attribute__((alias(name)))

OURS("our_new") void *_Znwm(size_t nbytes);
OURS("our_new_aligned") void *_ZnwmSt11align_val_t(size_t nbytes, size_t align);
OURS("our_delete") void _ZdlPv(void *object);
OURS("our_delete_aligned") void _ZdlPvSt11align_val_t(void *object, size_t align);

/* The definitions that the program is linked with: its own, or ours. They are declared under other
 * C names, so that the compiler does not assume that they are ours. */
MEM_API extern void *any_new(size_t nbytes) __asm__("_Znwm");
MEM_API extern void *any_new_array(size_t nbytes) __asm__("_Znam");
MEM_API extern void *any_new_aligned(size_t nbytes, size_t align) __asm__("_ZnwmSt11align_val_t");
MEM_API extern void *any_new_array_aligned(size_t nbytes,
                                           size_t align) __asm__("_ZnamSt11align_val_t");
MEM_API extern void any_delete(void *object) __asm__("_ZdlPv");
MEM_API extern void any_delete_array(void *object) __asm__("_ZdaPv");
MEM_API extern void any_delete_aligned(void *object, size_t align) __asm__("_ZdlPvSt11align_val_t");
MEM_API extern void any_delete_array_aligned(void *object,
                                             size_t align) __asm__("_ZdaPvSt11align_val_t");

/* Compares two functions at run time. A compiler takes two names for two functions and would fold
 * the comparison, so the address passes through an empty assembler statement. */
#define IS_OURS(any, our) is_same((uintptr_t)(any), (uintptr_t)(our))
static bool is_same(uintptr_t any, uintptr_t our)
{
    __asm__("" : "+r"(any));
    return any == our;
}

/* --- new ----------------------------------------------------------------------- */

static void *our_new_array(size_t nbytes)
{
    return any_new(nbytes);
}

static void *our_new_array_aligned(size_t nbytes, size_t align)
{
    return any_new_aligned(nbytes, align);
}

OURS("our_new_array") void *_Znam(size_t nbytes);
OURS("our_new_array_aligned") void *_ZnamSt11align_val_t(size_t nbytes, size_t align);

MEM_API void *_ZnwmRKSt9nothrow_t(size_t nbytes, const void *nothrow)
{
    (void)nothrow;
    return IS_OURS(any_new, our_new) ? shim_take(nbytes) : any_new(nbytes);
}

MEM_API void *_ZnamRKSt9nothrow_t(size_t nbytes, const void *nothrow)
{
    (void)nothrow;
    bool ours = IS_OURS(any_new, our_new) && IS_OURS(any_new_array, our_new_array);
    return ours ? shim_take(nbytes) : any_new_array(nbytes);
}

MEM_API void *_ZnwmSt11align_val_tRKSt9nothrow_t(size_t nbytes, size_t align, const void *nothrow)
{
    (void)nothrow;
    return IS_OURS(any_new_aligned, our_new_aligned) ? shim_take_aligned(nbytes, align)
                                                     : any_new_aligned(nbytes, align);
}

MEM_API void *_ZnamSt11align_val_tRKSt9nothrow_t(size_t nbytes, size_t align, const void *nothrow)
{
    (void)nothrow;
    bool ours = IS_OURS(any_new_aligned, our_new_aligned) &&
                IS_OURS(any_new_array_aligned, our_new_array_aligned);
    return ours ? shim_take_aligned(nbytes, align) : any_new_array_aligned(nbytes, align);
}

/* --- delete ---------------------------------------------------------------------- */

static void our_delete_array(void *object)
{
    if (IS_OURS(any_delete, our_delete))
        shim_free(object, "operator delete[]");
    else
        any_delete(object);
}

static void our_delete_array_aligned(void *object, size_t align)
{
    if (IS_OURS(any_delete_aligned, our_delete_aligned))
        shim_free_aligned(object, align, "operator delete[]");
    else
        any_delete_aligned(object, align);
}

OURS("our_delete_array") void _ZdaPv(void *object);
OURS("our_delete_array_aligned") void _ZdaPvSt11align_val_t(void *object, size_t align);

/* Whether delete[] is ours, and delete, which ours calls. */
static bool delete_array_is_ours(void)
{
    return IS_OURS(any_delete, our_delete) && IS_OURS(any_delete_array, our_delete_array);
}

static bool delete_array_aligned_is_ours(void)
{
    return IS_OURS(any_delete_aligned, our_delete_aligned) &&
           IS_OURS(any_delete_array_aligned, our_delete_array_aligned);
}

MEM_API void _ZdlPvm(void *object, size_t nbytes)
{
    if (IS_OURS(any_delete, our_delete))
        shim_free_sized(object, nbytes, 1, "operator delete");
    else
        any_delete(object);
}

MEM_API void _ZdaPvm(void *object, size_t nbytes)
{
    if (delete_array_is_ours())
        shim_free_sized(object, nbytes, 1, "operator delete[]");
    else
        any_delete_array(object);
}

MEM_API void _ZdlPvRKSt9nothrow_t(void *object, const void *nothrow)
{
    (void)nothrow;
    any_delete(object);
}

MEM_API void _ZdaPvRKSt9nothrow_t(void *object, const void *nothrow)
{
    (void)nothrow;
    any_delete_array(object);
}

MEM_API void _ZdlPvSt11align_val_tRKSt9nothrow_t(void *object, size_t align, const void *nothrow)
{
    (void)nothrow;
    any_delete_aligned(object, align);
}

MEM_API void _ZdaPvSt11align_val_tRKSt9nothrow_t(void *object, size_t align, const void *nothrow)
{
    (void)nothrow;
    any_delete_array_aligned(object, align);
}

MEM_API void _ZdlPvmSt11align_val_t(void *object, size_t nbytes, size_t align)
{
    if (IS_OURS(any_delete_aligned, our_delete_aligned))
        shim_free_sized(object, nbytes, align, "operator delete");
    else
        any_delete_aligned(object, align);
}

MEM_API void _ZdaPvmSt11align_val_t(void *object, size_t nbytes, size_t align)
{
    if (delete_array_aligned_is_ours())
        shim_free_sized(object, nbytes, align, "operator delete[]");
    else
        any_delete_array_aligned(object, align);
}
