/* SPDX-License-Identifier: MIT
 *
 * base.h - what every file may take for granted: types, units, a few words.
 *
 * The units of the library, and the suffix that a name carries for each:
 *   bytes      what a caller counts in                      nbytes, size
 *   granules   16 bytes; what the ledger counts in          ngranules, start
 * A granule is a position or a length within one region, never an address: the
 * records of a heap hold no pointer.
 */
#ifndef BASE_H
#define BASE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define GRANULE_BYTES 16u

/* ThreadSanitizer does not see that a load of eight bytes follows a store to one. */
#ifndef __has_feature
#define __has_feature(feature) 0
#endif
#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
enum { UNDER_TSAN = 1 };
/* A function that reads what others may be writing, and finds out afterwards. */
#define RACING __attribute__((no_sanitize_thread))
#else
enum { UNDER_TSAN = 0 };
#define RACING
#endif

/* A count of changes: odd while somebody who has a lock makes one. Who has no lock looks
 * at it before and after, and believes what was read in between if it is even and the
 * same (Lameter, "Effective Synchronization on Linux/NUMA Systems", 2005). */
static inline void change_begin(uint32_t *changes)
{
    __atomic_store_n(changes, *changes + 1, __ATOMIC_RELAXED);
    if (!UNDER_TSAN)
        __atomic_thread_fence(__ATOMIC_RELEASE);
}

static inline void change_end(uint32_t *changes)
{
    __atomic_store_n(changes, *changes + 1, __ATOMIC_RELEASE);
}

RACING static inline uint32_t changes_seen(const uint32_t *changes)
{
    return __atomic_load_n(changes, __ATOMIC_ACQUIRE);
}

RACING static inline bool is_unchanged(const uint32_t *changes, uint32_t seen)
{
    if (!UNDER_TSAN)
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return seen % 2 == 0 && __atomic_load_n(changes, __ATOMIC_RELAXED) == seen;
}

/* What may be changing just now: once, and not torn. */
#define NOW(place) __atomic_load_n(&(place), __ATOMIC_RELAXED)

/* Which of 64 bytes are 0: bit i for byte i, as if each was loaded with acquire. */
#if defined(__SSE2__)
#include <emmintrin.h>
static inline uint64_t zeros_of_16(const unsigned char *bytes)
{
    __m128i all = _mm_loadu_si128((const __m128i *)(const void *)bytes);
    return (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(all, _mm_setzero_si128()));
}
#else
static inline uint64_t zeros_of_8(const unsigned char *bytes)
{
    const uint64_t low = 0x7F7F7F7F7F7F7F7F;
    uint64_t all = __atomic_load_n((const uint64_t *)(const void *)bytes, __ATOMIC_RELAXED);
    uint64_t zero = ~(((all & low) + low) | all) & ~low; /* the top bit of each that is 0 */
    return (zero >> 7) * 0x0102040810204080 >> 56;       /* side by side */
}
static inline uint64_t zeros_of_16(const unsigned char *bytes)
{
    return zeros_of_8(bytes) | zeros_of_8(bytes + 8) << 8;
}
#endif

static inline uint64_t zeros_one_by_one(const unsigned char *bytes)
{
    uint64_t mask = 0;
    for (unsigned i = 0; i < 64; i++)
        mask |= (uint64_t)(__atomic_load_n(bytes + i, __ATOMIC_ACQUIRE) == 0) << i;
    return mask;
}

static inline uint64_t zeros_of_64(const unsigned char *bytes)
{
    if (UNDER_TSAN)
        return zeros_one_by_one(bytes);
    uint64_t mask = zeros_of_16(bytes) | zeros_of_16(bytes + 16) << 16 |
                    zeros_of_16(bytes + 32) << 32 | zeros_of_16(bytes + 48) << 48;
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return mask;
}

/* The builtin is a call where the processor may have no instruction for it.
 * Knuth, "The Art of Computer Programming" 4A, 7.1.3. */
static inline unsigned count_bits(uint64_t n)
{
    n -= n >> 1 & 0x5555555555555555;
    n = (n & 0x3333333333333333) + (n >> 2 & 0x3333333333333333);
    n = (n + (n >> 4)) & 0x0F0F0F0F0F0F0F0F;
    return (unsigned)(n * 0x0101010101010101 >> 56);
}

/* Three that compilers make more of than there is to do: the number of the lowest bit of
 * n > 0; and of the highest; and *n -= 1, of which other threads may lose a step: is it still
 * positive? `bsr' waits for whoever wrote last to the register that it is about to write to,
 * so that one is made 0 here: it can be what a call before this one has to wait for. */
#if defined(__x86_64__)
static inline size_t lowest_bit(uint64_t n)
{
    size_t bit;
    __asm__("rep bsfq %1, %0" : "=r"(bit) : "r"(n) : "cc");
    return bit;
}

static inline unsigned highest_bit(uint32_t n)
{
    uint32_t bit = 0;
    __asm__("bsrl %1, %0" : "+r"(bit) : "r"(n) : "cc");
    return bit;
}
#else
static inline size_t lowest_bit(uint64_t n)
{
    return (size_t)__builtin_ctzll(n);
}

static inline unsigned highest_bit(uint32_t n)
{
    return 31 ^ (unsigned)__builtin_clz(n);
}
#endif
#if defined(__x86_64__) && defined(__GCC_ASM_FLAG_OUTPUTS__)
static inline bool count_down(int32_t *n)
{
    bool positive;
    if (UNDER_TSAN)
        return __atomic_sub_fetch(n, 1, __ATOMIC_RELAXED) > 0;
    __asm__ volatile("subl $1, %0" : "+m"(*n), "=@ccg"(positive));
    return positive;
}
#else
static inline bool count_down(int32_t *n)
{
    int32_t less = (int32_t)((uint32_t)__atomic_load_n(n, __ATOMIC_RELAXED) - 1);
    __atomic_store_n(n, less, __ATOMIC_RELAXED);
    return less > 0;
}
#endif

/* All symbols are hidden but these. */
#define MEM_API __attribute__((visibility("default")))

static inline size_t ceil_div(size_t n, size_t unit)
{
    return n / unit + (n % unit != 0); /* not (n + unit - 1) / unit: that wraps */
}

static inline unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

#endif
