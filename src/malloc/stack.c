/* SPDX-License-Identifier: MIT
 *
 * stack.c - walks along the return addresses of a stack: see stack.h.
 */
#include "malloc/stack.h"

#include <pthread.h>

#include "malloc/cfi.h"

static bool by_frame_pointers;
static uintptr_t end_of_first; /* 0: not known yet */

/* --- rules that were looked up --------------------------------------------------- */

/* Threads read and write an entry at the same time, without a lock. An entry is valid if its two
 * words are of one write: then `key` is what was looked up. */
struct known {
    uint64_t address_xor_rule, rule;
};
enum { NKNOWN = 1 << 14 };

/* A linker puts common variables behind all others. So those share one page, although this table
 * is long, and only a process with a history touches it. */
struct known stack_known[NKNOWN] __attribute__((common));

union rule_word {
    struct rule rule;
    uint64_t word;
};

static struct known *known_at(uintptr_t address)
{
    return &stack_known[(address * UINT64_C(0x9e3779b97f4a7c15)) >> 50];
}

__attribute__((noinline)) static struct rule look_up(uintptr_t address)
{
    union rule_word r;
    struct known *k = known_at(address);
    if (!cfi_rule(address, &r.rule))
        return (struct rule){.base = FRAME_UNKNOWN};
    __atomic_store_n(&k->rule, r.word, __ATOMIC_RELAXED);
    __atomic_store_n(&k->address_xor_rule, address ^ r.word, __ATOMIC_RELAXED);
    return r.rule;
}

static inline struct rule rule_at(uintptr_t address)
{
    const struct known *k = known_at(address);
    union rule_word r = {.word = __atomic_load_n(&k->rule, __ATOMIC_RELAXED)};
    bool is_known = (__atomic_load_n(&k->address_xor_rule, __ATOMIC_RELAXED) ^ r.word) == address;
    return is_known ? r.rule : look_up(address);
}

/* --- the walk ---------------------------------------------------------------------- */

/* Where a function is, and its registers. */
struct place {
    uintptr_t pc;         /* in the instruction that it executes */
    uintptr_t sp, fp, ra; /* ra: of the innermost frame alone */
};

/* Returns an address that is above all frames of the stack that sp points into, or UINTPTR_MAX if
 * none is known. glibc puts a thread's control block above the frames, into the same mapping. */
static uintptr_t end_of_stack(uintptr_t sp)
{
    uintptr_t block = (uintptr_t)pthread_self(), end = UINTPTR_MAX;
    if (sp < block)
        end = block;
    return sp < end_of_first && end_of_first < end ? end_of_first : end;
}

/* A word that other functions may have written as a value of any type. */
typedef uintptr_t word_of_stack __attribute__((may_alias));

/* Reads a word of the stack, between `low` and `end`. */
static inline bool read_word(uintptr_t at, uintptr_t low, uintptr_t end, uintptr_t *word)
{
    if (at < low || at % sizeof *word != 0 || at > end - sizeof *word)
        return false;
    *word = *(const word_of_stack *)at;
    return true;
}

static inline bool find_frame(const struct rule *r, const struct place *p, uintptr_t end,
                              uintptr_t *frame)
{
    uintptr_t offset = (uintptr_t)(intptr_t)rule_offset(r);
    switch ((enum frame_base)r->base) {
    case FRAME_BY_SP:
        *frame = p->sp + offset;
        return true;
    case FRAME_BY_FP:
        *frame = p->fp + offset;
        return true;
    case FRAME_GUESSED:
        *frame = p->fp + offset;
        return end != UINTPTR_MAX;
    case FRAME_AT_FP:
        return read_word(p->fp + offset, p->sp, end, frame);
    case FRAME_UNKNOWN:
    case FRAME_OUTERMOST:
        break;
    }
    return false;
}

/* On arm64, a return address may be signed in its upper bits. */
static inline uintptr_t without_signature(uintptr_t ra)
{
#if defined(__aarch64__)
    register uintptr_t x30 __asm__("x30") = ra;
    __asm__("hint #7" : "+r"(x30)); /* xpaclri, which older processors take for a nop */
    return x30;
#else
    return ra;
#endif
}

/* Returns whether the code at `address` is of this library: it lies between the library's first
 * byte, which the linker names, and its variables. */
static inline bool is_ours(uintptr_t address)
{
    extern const char first[] __asm__("__ehdr_start") __attribute__((visibility("hidden")));
    return address - (uintptr_t)first < (uintptr_t)stack_known - (uintptr_t)first;
}

/* Moves from a function to its caller. Returns false where the stack ends, or is not understood. */
static inline bool go_to_caller(struct place *p, uintptr_t end)
{
    bool is_asked = by_frame_pointers && !is_ours(p->pc); /* this library keeps none */
    struct rule r = is_asked ? RULE_FRAME_POINTER : rule_at(p->pc);
    uintptr_t frame, word_bytes = sizeof frame, fp = p->fp, ra = p->ra;
    if (!find_frame(&r, p, end, &frame) || frame < p->sp || frame > end || frame % word_bytes != 0)
        return false;
    if (r.ra_at != RA_IS_KEPT &&
        !read_word(frame + (uintptr_t)(intptr_t)r.ra_at * word_bytes, p->sp, end, &ra))
        return false;
    uintptr_t fp_at =
        r.fp_at == FP_IS_AT_FP ? fp : frame + (uintptr_t)(intptr_t)r.fp_at * word_bytes;
    if (r.fp_at != FP_IS_KEPT && !read_word(fp_at, p->sp, end, &fp))
        return false;
    ra = without_signature(ra);
    if (ra == 0)
        return false;
    *p = (struct place){.pc = ra - 1, .sp = frame, .fp = fp};
    return true;
}

static inline uint64_t mix(uint64_t hash, uintptr_t frame)
{
    hash = (hash ^ frame) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 32;
}

/* Of this function itself: where it is, and its registers there. */
#if defined(__x86_64__)
#define HERE(p)                                                                                    \
    __asm__ volatile("lea 0(%%rip), %0\n\tmov %%rsp, %1\n\tmov %%rbp, %2"                          \
                     : "=&r"((p).pc), "=&r"((p).sp), "=&r"((p).fp))
#elif defined(__aarch64__)
#define HERE(p)                                                                                    \
    __asm__ volatile("adr %0, .\n\tmov %1, sp\n\tmov %2, x29\n\tmov %3, x30"                       \
                     : "=&r"((p).pc), "=&r"((p).sp), "=&r"((p).fp), "=&r"((p).ra))
#else
#define HERE(p) ((void)(p))
#endif

__attribute__((noinline)) void stack_take(struct stack *s)
{
    struct place p = {0};
    s->nframes = 0;
    s->hash = 0;
    HERE(p);
    uintptr_t end = end_of_stack(p.sp);
    while (s->nframes < STACK_MAX && go_to_caller(&p, end)) {
        if (is_ours(p.pc))
            continue;
        s->frame[s->nframes++] = p.pc + 1;
        s->hash = mix(s->hash, p.pc);
    }
}

void stack_use_frame_pointers(void)
{
    by_frame_pointers = true;
}

void stack_ends_at(const void *end)
{
    end_of_first = (uintptr_t)end;
}
