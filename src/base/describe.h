/* SPDX-License-Identifier: MIT
 *
 * describe.h - says in a program's image where its heaps are, for a tool that looks from outside.
 *
 * A description is an ELF note in the library, or in the program that the library is linked into.
 * Stripped programs have it, too, and finding it needs no symbol (tools/inspect/heaps.c):
 *
 *     owner "libmem" | type: what it is | layout | offset -> the variable
 *
 *   DE1  the linker computes the offset, so that a description costs a program nothing at run time:
 *        no relocation, no instruction;
 *   DE2  the layout changes with all that the tool reads from the variable on, so that a tool of
 *        another version refuses it instead of reading nonsense.
 */
#ifndef DESCRIBE_H
#define DESCRIBE_H

#include <stdint.h>

#define DESCRIBED_OWNER "libmem"

/* What a variable is: the type of the note. */
enum {
    DESCRIBED_MALLOC = 1,          /* struct heap, of libmem-malloc.so */
    DESCRIBED_CLASSIC = 2,         /* struct heap, of Mem_Init */
    DESCRIBED_REGISTRY = 3,        /* a pointer to struct table, of the heaps of one's own */
    DESCRIBED_HISTORY = 5,         /* a pointer to struct history, or NULL (malloc/history.h) */
    DESCRIBED_REGISTRY_VERSION = 4 /* a uint32_t, odd while that table changes */
};

/* What a note holds. The offset counts from the address of the field itself. */
struct description {
    uint32_t layout, unused;
    int64_t offset;
};

/* Describes a variable of this file, which is marked DESCRIBED_VARIABLE so that the compiler keeps
 * its name. The function is never called: it only gives the assembler the constants. */
#define DESCRIBED_VARIABLE               __attribute__((used))
#define DESCRIBE(what, layout, variable) DESCRIBE_AS(what, layout, variable)
#define DESCRIBE_AS(what, layout, variable)                                                        \
    __attribute__((used, cold)) static void describe_##variable(void)                              \
    {                                                                                              \
        __asm__ volatile(".pushsection .note.libmem, \"a\", %%note\n\t"                            \
                         ".balign 4\n\t"                                                           \
                         ".long 7, 16, %c0\n\t"                                                    \
                         ".asciz \"" DESCRIBED_OWNER "\"\n\t"                                      \
                         ".balign 4\n\t"                                                           \
                         ".long %c1, 0\n\t"                                                        \
                         ".quad " #variable " - .\n\t"                                             \
                         ".popsection"                                                             \
                         :                                                                         \
                         : "i"(what), "i"((uint32_t)(layout)));                                    \
    }                                                                                              \
    static_assert(sizeof(struct description) == 16 && sizeof DESCRIBED_OWNER == 7, "see .long")

#endif
