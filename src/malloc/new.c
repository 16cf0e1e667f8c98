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
 * and likewise with an alignment. new(nothrow) returns NULL if new throws. C cannot catch, so one
 * function is written in assembler, with the tables that a C++ compiler makes for `catch (...)`.
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
static void *take_or_throw(size_t nbytes, size_t align, enum call call)
{
    for (;;) {
        void *object = shim_take_aligned(nbytes, align, call);
        if (object != NULL)
            return object;
        handler *make_room = get_new_handler == NULL ? NULL : get_new_handler();
        if (make_room == NULL)
            fail(nbytes);
        make_room();
    }
}

/* Both are not inlined, so that the fast paths of our_new and our_new_array need no stack frame. */
__attribute__((noinline)) static void *new_slow(size_t nbytes, size_t align)
{
    return take_or_throw(nbytes, align, CALL_NEW);
}

__attribute__((noinline)) static void *new_array_slow(size_t nbytes, size_t align)
{
    return take_or_throw(nbytes, align, CALL_NEW_ARRAY);
}

/* --- catching ------------------------------------------------------------------- */

/* What the C++ library has for `catch`, if it was there when the program began. The first decides
 * by the tables below where an exception is caught; its address is found there. */
extern __attribute__((weak)) char personality[] __asm__("__gxx_personality_v0");
__attribute__((weak)) void *begin_catch(void *exception) __asm__("__cxa_begin_catch");
__attribute__((weak)) void end_catch(void) __asm__("__cxa_end_catch");
static const void *const new_personality __attribute__((used)) = personality;

/* Ends an exception that was caught, and returns what new(nothrow) returns then. */
__attribute__((used)) static void *new_caught(void *exception)
{
    begin_catch(exception);
    end_catch();
    return NULL;
}

/* Any function new: one without an alignment ignores that argument. */
typedef void any_function(void);
#define ANY(function) ((any_function *)(function))

/* Returns function(nbytes, align), or NULL if that throws. It is `try { return function(nbytes,
 * align); } catch (...) { return NULL; }`: the table (Itanium C++ ABI, exception handling) names
 * the one call, where to go on if it throws, and a list of the types to catch, with 0 for all.
 * Without a C++ library nothing can be thrown, and the table is not read. */
#if defined(__x86_64__) || defined(__aarch64__)
void *new_or_null(size_t nbytes, size_t align, any_function *function);
#define CATCH_ALL(enter, call, leave, caught)                                                      \
    __asm__(".pushsection .text\n"                                                                 \
            ".hidden new_or_null\n"                                                                \
            ".globl new_or_null\n"                                                                 \
            ".type new_or_null, %function\n"                                                       \
            ".balign 16\n"                                                                         \
            "new_or_null:\n"                                                                       \
            ".cfi_startproc\n"                                                                     \
            ".cfi_personality 0x9b, new_personality\n"                                             \
            ".cfi_lsda 0x1b, .Lnew_table\n" enter "\n"                                             \
            ".Lnew_call: " call "\n"                                                               \
            ".Lnew_called: " leave "\n"                                                            \
            ".Lnew_caught: " caught "\n"                                                           \
            ".cfi_endproc\n"                                                                       \
            ".size new_or_null, . - new_or_null\n"                                                 \
            ".popsection\n"                                                                        \
            ".pushsection .gcc_except_table, \"a\", %progbits\n"                                   \
            ".balign 4\n"                                                                          \
            ".Lnew_table: .byte 0xff, 0x9b\n"                                                      \
            ".uleb128 .Lnew_types - .Lnew_calls_at\n"                                              \
            ".Lnew_calls_at: .byte 1\n"                                                            \
            ".uleb128 .Lnew_actions - .Lnew_calls\n"                                               \
            ".Lnew_calls: .uleb128 .Lnew_call - new_or_null\n"                                     \
            ".uleb128 .Lnew_called - .Lnew_call\n"                                                 \
            ".uleb128 .Lnew_caught - new_or_null\n"                                                \
            ".uleb128 1\n"                                                                         \
            ".Lnew_actions: .byte 1, 0\n"                                                          \
            ".balign 4\n"                                                                          \
            ".long 0\n"                                                                            \
            ".Lnew_types:\n"                                                                       \
            ".popsection\n")
#endif
#if defined(__x86_64__)
CATCH_ALL("subq $8, %rsp\n .cfi_def_cfa_offset 16", "callq *%rdx",
          "addq $8, %rsp\n .cfi_def_cfa_offset 8\n retq\n .cfi_def_cfa_offset 16",
          "movq %rax, %rdi\n callq new_caught\n jmp .Lnew_called");
#elif defined(__aarch64__)
CATCH_ALL("stp x29, x30, [sp, -16]!\n .cfi_def_cfa_offset 16\n"
          ".cfi_offset 29, -16\n .cfi_offset 30, -8",
          "blr x2",
          "ldp x29, x30, [sp], 16\n .cfi_restore 29\n .cfi_restore 30\n"
          ".cfi_def_cfa_offset 0\n ret\n .cfi_def_cfa_offset 16\n"
          ".cfi_offset 29, -16\n .cfi_offset 30, -8",
          "bl new_caught\n b .Lnew_called");
#else
static void *new_or_null(size_t nbytes, size_t align, any_function *function)
{
    return ((void *(*)(size_t, size_t))function)(nbytes, align); /* what it throws passes through */
}
#endif

/* Our new(nothrow). It asks without new first, and throws nothing if there is no handler: to throw
 * and catch takes a thousand times as long. */
__attribute__((noinline)) static void *ours_or_null(size_t nbytes, size_t align, enum call call)
{
    void *object = shim_take_aligned(nbytes, align, call);
    bool has_handler = get_new_handler != NULL && get_new_handler() != NULL;
    if (object != NULL || !has_handler)
        return object;
    return new_or_null(nbytes, align, call == CALL_NEW ? ANY(new_slow) : ANY(new_array_slow));
}

/* --- the four -------------------------------------------------------------------- */

ALIGNED_TO_LINE static void *our_new(size_t nbytes)
{
    void *object;
    return tcache_take_small(&shim_thread, nbytes, &object) ? object
                                                            : new_slow(nbytes, GRANULE_BYTES);
}

static void *our_new_aligned(size_t nbytes, size_t align)
{
    return take_or_throw(nbytes, align, CALL_NEW);
}

/* The heap knows an object's size, so delete needs only the address. The forms that are given a
 * size compare it (below) [M10]. */
ALIGNED_TO_LINE static void our_delete(void *object)
{
    shim_free(object, CALL_DELETE);
}

static void our_delete_aligned(void *object, size_t align)
{
    shim_free_aligned(object, align, CALL_DELETE);
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

/* Our new(nothrow) with its fast path. */
static void *take_or_null(size_t nbytes, enum call call)
{
    void *object;
    return tcache_take_small(&shim_thread, nbytes, &object)
               ? object
               : ours_or_null(nbytes, GRANULE_BYTES, call);
}

/* Whether the program's new is ours, so that our new[] need not call it; false until it is known.
 * To look at a flag takes no longer than a jump to the program's new. */
static bool new_is_ours, new_aligned_is_ours;

__attribute__((constructor)) static void look_at_operators(void)
{
    new_is_ours = IS_OURS(any_new, our_new);
    new_aligned_is_ours = IS_OURS(any_new_aligned, our_new_aligned);
}

ALIGNED_TO_LINE static void *our_new_array(size_t nbytes)
{
    void *object;
    if (!new_is_ours)
        return any_new(nbytes);
    return tcache_take_small(&shim_thread, nbytes, &object) ? object
                                                            : new_array_slow(nbytes, GRANULE_BYTES);
}

static void *our_new_array_aligned(size_t nbytes, size_t align)
{
    return new_aligned_is_ours ? take_or_throw(nbytes, align, CALL_NEW_ARRAY)
                               : any_new_aligned(nbytes, align);
}

OURS("our_new_array") void *_Znam(size_t nbytes);
OURS("our_new_array_aligned") void *_ZnamSt11align_val_t(size_t nbytes, size_t align);

MEM_API void *_ZnwmRKSt9nothrow_t(size_t nbytes, const void *nothrow)
{
    (void)nothrow;
    if (!IS_OURS(any_new, our_new))
        return new_or_null(nbytes, 0, ANY(any_new));
    return take_or_null(nbytes, CALL_NEW);
}

MEM_API void *_ZnamRKSt9nothrow_t(size_t nbytes, const void *nothrow)
{
    (void)nothrow;
    bool ours = IS_OURS(any_new, our_new) && IS_OURS(any_new_array, our_new_array);
    return ours ? take_or_null(nbytes, CALL_NEW_ARRAY) : new_or_null(nbytes, 0, ANY(any_new_array));
}

MEM_API void *_ZnwmSt11align_val_tRKSt9nothrow_t(size_t nbytes, size_t align, const void *nothrow)
{
    (void)nothrow;
    return IS_OURS(any_new_aligned, our_new_aligned)
               ? ours_or_null(nbytes, align, CALL_NEW)
               : new_or_null(nbytes, align, ANY(any_new_aligned));
}

MEM_API void *_ZnamSt11align_val_tRKSt9nothrow_t(size_t nbytes, size_t align, const void *nothrow)
{
    (void)nothrow;
    bool ours = IS_OURS(any_new_aligned, our_new_aligned) &&
                IS_OURS(any_new_array_aligned, our_new_array_aligned);
    return ours ? ours_or_null(nbytes, align, CALL_NEW_ARRAY)
                : new_or_null(nbytes, align, ANY(any_new_array_aligned));
}

/* --- delete ---------------------------------------------------------------------- */

ALIGNED_TO_LINE static void our_delete_array(void *object)
{
    if (IS_OURS(any_delete, our_delete))
        shim_free(object, CALL_DELETE_ARRAY);
    else
        any_delete(object);
}

static void our_delete_array_aligned(void *object, size_t align)
{
    if (IS_OURS(any_delete_aligned, our_delete_aligned))
        shim_free_aligned(object, align, CALL_DELETE_ARRAY);
    else
        any_delete_aligned(object, align);
}

OURS("our_delete_array") void _ZdaPv(void *object);
OURS("our_delete_array_aligned") void _ZdaPvSt11align_val_t(void *object, size_t align);

/* Returns whether delete[] is ours, and delete, which ours calls. */
static bool delete_array_is_ours(void)
{
    return IS_OURS(any_delete, our_delete) && IS_OURS(any_delete_array, our_delete_array);
}

static bool delete_array_aligned_is_ours(void)
{
    return IS_OURS(any_delete_aligned, our_delete_aligned) &&
           IS_OURS(any_delete_array_aligned, our_delete_array_aligned);
}

MEM_API ALIGNED_TO_LINE void _ZdlPvm(void *object, size_t nbytes)
{
    if (IS_OURS(any_delete, our_delete))
        shim_free_sized(object, nbytes, 1, CALL_DELETE);
    else
        any_delete(object);
}

MEM_API ALIGNED_TO_LINE void _ZdaPvm(void *object, size_t nbytes)
{
    if (delete_array_is_ours())
        shim_free_sized(object, nbytes, 1, CALL_DELETE_ARRAY);
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
        shim_free_sized(object, nbytes, align, CALL_DELETE);
    else
        any_delete_aligned(object, align);
}

MEM_API void _ZdaPvmSt11align_val_t(void *object, size_t nbytes, size_t align)
{
    if (delete_array_aligned_is_ours())
        shim_free_sized(object, nbytes, align, CALL_DELETE_ARRAY);
    else
        any_delete_array_aligned(object, align);
}
