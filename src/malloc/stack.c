/* SPDX-License-Identifier: MIT
 *
 * stack.c - walks along the return addresses of a stack: see stack.h.
 */
#include "malloc/stack.h"

#include <pthread.h>

#include "base/os.h"
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
    uintptr_t page;       /* in a careful walk: the number of a page that can be read */
};
enum { LEAST_PAGE_BYTES = 4096 }; /* each page is a multiple of it */

/* Returns an address that is above all frames of the stack that sp points into, or UINTPTR_MAX if
 * none is known. glibc puts a thread's control block above the frames, into the same mapping. */
static uintptr_t end_of_stack(uintptr_t sp)
{
    uintptr_t block = (uintptr_t)pthread_self(), end = UINTPTR_MAX;
    if (sp < block)
        end = block;
    return sp < end_of_first && end_of_first < end ? end_of_first : end;
}

/* Returns whether all from sp to the stack's end can be read, without a question to the system. The
 * kernel puts nothing else into the 128 MiB below the end of the first stack, and libc gives each
 * thread more than 8 KiB below its control block. */
static bool is_on_known_stack(uintptr_t sp)
{
    enum { OF_FIRST = 128 << 20, OF_OTHERS = 8 << 10 };
    return end_of_first - sp <= OF_FIRST || (uintptr_t)pthread_self() - sp <= OF_OTHERS;
}

/* A word that other functions may have written as a value of any type. */
typedef uintptr_t word_of_stack __attribute__((may_alias));

/* Where nothing says how a function keeps its frame, the walk guesses that it has a frame pointer.
 * If it has none, all that is found by fp from then on is wrong. On a known stack that does no
 * harm. On another one the walk goes on carefully from there: it asks the system of each page that
 * it comes to. */
struct walk {
    uintptr_t end;
    bool may_guess, is_careful;
};

/* There is code for each of the two walks, so that the plain one does not pay for the other. */
#define INLINE __attribute__((always_inline)) static inline

__attribute__((noinline, cold)) static bool ask_for_page(struct place *p, uintptr_t at)
{
    p->page = at / LEAST_PAGE_BYTES;
    return os_is_readable(at);
}

/* Reads a word of the stack, between sp and `end`. */
INLINE bool read_word(struct place *p, uintptr_t at, const struct walk *w, uintptr_t *word)
{
    if (at < p->sp || at % sizeof *word != 0 || at > w->end - sizeof *word)
        return false;
    if (w->is_careful && p->page != at / LEAST_PAGE_BYTES && !ask_for_page(p, at))
        return false;
    *word = *(const word_of_stack *)at;
    return true;
}

INLINE bool find_frame(const struct rule *r, struct place *p, const struct walk *w,
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
        return w->may_guess;
    case FRAME_AT_FP:
        return read_word(p, p->fp + offset, w, frame);
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
INLINE bool go_to_caller(struct place *p, const struct walk *w)
{
    bool is_asked = by_frame_pointers && !is_ours(p->pc); /* this library keeps none */
    struct rule r = is_asked ? RULE_FRAME_POINTER : rule_at(p->pc);
    uintptr_t frame, word_bytes = sizeof frame, fp = p->fp, ra = p->ra;
    if (!find_frame(&r, p, w, &frame) || frame < p->sp || frame > w->end || frame % word_bytes != 0)
        return false;
    if (r.ra_at != RA_IS_KEPT &&
        !read_word(p, frame + (uintptr_t)(intptr_t)r.ra_at * word_bytes, w, &ra))
        return false;
    uintptr_t fp_at =
        r.fp_at == FP_IS_AT_FP ? fp : frame + (uintptr_t)(intptr_t)r.fp_at * word_bytes;
    if (r.fp_at != FP_IS_KEPT && !read_word(p, fp_at, w, &fp))
        return false;
    ra = without_signature(ra);
    if (ra == 0)
        return false;
    *p = (struct place){.pc = ra - 1, .sp = frame, .fp = fp, .page = p->page};
    return true;
}

static inline uint64_t mix(uint64_t hash, uintptr_t frame)
{
    hash = (hash ^ frame) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 32;
}

INLINE void follow(struct stack *s, struct place *p, const struct walk *w)
{
    while (s->nframes < STACK_MAX && go_to_caller(p, w)) {
        if (is_ours(p->pc))
            continue;
        s->frame[s->nframes++] = p->pc + 1;
        s->hash = mix(s->hash, p->pc);
    }
}

/* The word below sp was read, or is the callee's. */
__attribute__((noinline)) static void follow_carefully(struct stack *s, struct place p,
                                                       uintptr_t end)
{
    p.page = (p.sp - 1) / LEAST_PAGE_BYTES;
    follow(s, &p, &(struct walk){.end = end, .may_guess = true, .is_careful = true});
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
    const struct walk w = {.end = end_of_stack(p.sp), .may_guess = is_on_known_stack(p.sp)};
    follow(s, &p, &w);
    if (!w.may_guess && s->nframes < STACK_MAX)
        follow_carefully(s, p, w.end);
}

void stack_use_frame_pointers(void)
{
    by_frame_pointers = true;
}

void stack_ends_at(const void *end)
{
    end_of_first = (uintptr_t)end;
}
