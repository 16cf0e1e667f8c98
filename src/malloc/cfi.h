/* SPDX-License-Identifier: MIT
 *
 * cfi.h - how to get from a function's frame to the frame of its caller.
 *
 * For each instruction, compilers write down where the frame begins and where the caller's
 * registers are saved: call frame information (DWARF 5, 6.4). Exceptions need it, so stripped
 * programs and programs in C have it, too, in .eh_frame. This module reduces what it says about one
 * instruction to a rule in one word, which is all that a walk along the return addresses needs:
 *
 *     high    | caller's frame      |
 *             |---------------------| <- the frame's address (CFA) = base + offset
 *             | return address      |    at ra_at words from there
 *             | caller's fp         |    at fp_at words from there
 *             | local variables     |
 *     low     |---------------------| <- stack pointer (sp)
 *
 * fp is the register that functions may use as a frame pointer: rbp, or x29 on arm64. The other
 * registers that a frame's address could be computed from are not followed: such a frame is where
 * the walk ends. gcc uses them only in functions that align the stack anew, and there only in the
 * first few instructions. The walk also ends below a signal handler on x86-64.
 */
#ifndef CFI_H
#define CFI_H

#include "base/base.h"

enum frame_base {
    FRAME_UNKNOWN,   /* nothing is said about this instruction, or more than a rule can hold */
    FRAME_OUTERMOST, /* there is no caller */
    FRAME_BY_SP,     /* CFA = sp + offset */
    FRAME_BY_FP,     /* CFA = fp + offset */
    FRAME_AT_FP,     /* CFA = the word at fp + offset: the function aligns the stack anew */
    FRAME_GUESSED    /* as FRAME_BY_FP, if the function keeps a frame pointer: nothing says so */
};

enum {
    FP_IS_KEPT = 0,
    FP_IS_AT_FP = INT16_MAX
};                       /* values of fp_at: no register was saved; it is
                                                     saved where fp points to */
enum { RA_IS_KEPT = 0 }; /* of ra_at: it is in a register (arm64) */

struct rule {
    uint32_t offset_bits : 28; /* rule_offset */
    uint32_t base : 4;         /* enum frame_base */
    int16_t fp_at, ra_at;
};
static_assert(sizeof(struct rule) == sizeof(uint64_t), "a rule is one word");

/* Returns the offset in bytes, with its sign. */
static inline int32_t rule_offset(const struct rule *r)
{
    return (int32_t)((uint32_t)r->offset_bits << 4) >> 4;
}

/* The rule of a function that keeps a frame pointer, on both processors. */
#define RULE_FRAME_POINTER                                                                         \
    ((struct rule){.base = FRAME_GUESSED, .offset_bits = 16, .fp_at = -2, .ra_at = -1})

/* Stores the rule for the instruction at `address`. Of code about which nothing is said at all,
 * that is RULE_FRAME_POINTER: what a program compiles at run time often keeps frame pointers.
 * Returns false if the question cannot be asked now (module.h). Allocates nothing; the caller does
 * not hold the heap's lock. */
bool cfi_rule(uintptr_t address, struct rule *r);

/* Reads the rule for an instruction from a table: the contents of .eh_frame_hdr. Stores whether it
 * says anything about that code. */
struct rule cfi_read(const void *eh_frame_hdr, uintptr_t address, bool *is_covered);

#endif
