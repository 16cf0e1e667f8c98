/* SPDX-License-Identifier: MIT
 *
 * bits.h - masks and counts of bits, each in the few instructions that it needs.
 *
 * Every function here is on a fast path. Where a compiler makes more of a builtin than there
 * is to do, there is assembler instead, and the reason beside it.
 */
#ifndef BITS_H
#define BITS_H

#include "base/base.h"

/* --- which bytes are zero ------------------------------------------------------ */

/* zeros_of_16, zeros_of_8: bit i is set if byte i is 0. They may be unaligned. */
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
    uint64_t zero = ~(((all & low) + low) | all) & ~low; /* the top bit of each zero byte */
    return (zero >> 7) * 0x0102040810204080 >> 56;       /* these eight bits side by side */
}
static inline uint64_t zeros_of_16(const unsigned char *bytes)
{
    return zeros_of_8(bytes) | zeros_of_8(bytes + 8) << 8;
}
#endif

/* For ThreadSanitizer, which understands byte after byte. */
static inline uint64_t zeros_one_by_one(const unsigned char *bytes)
{
    uint64_t mask = 0;
    for (unsigned i = 0; i < 64; i++)
        mask |= (uint64_t)(__atomic_load_n(bytes + i, __ATOMIC_ACQUIRE) == 0) << i;
    return mask;
}

/* Returns which of 64 bytes are 0: bit i for byte i. Each byte counts as loaded with acquire, so
 * what a thread wrote before it made a byte 0 is visible afterwards. */
static inline uint64_t zeros_of_64(const unsigned char *bytes)
{
    if (UNDER_TSAN)
        return zeros_one_by_one(bytes);
    uint64_t mask = zeros_of_16(bytes) | zeros_of_16(bytes + 16) << 16 |
                    zeros_of_16(bytes + 32) << 32 | zeros_of_16(bytes + 48) << 48;
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return mask;
}

/* Returns the bits of n moved by `count` places, 1 to 31, to the left; those that leave at the top
 * come in again below. */
static inline uint32_t rotate_left(uint32_t n, unsigned count)
{
    return n << count | n >> (32 - count);
}

/* --- counts and positions ------------------------------------------------------ */

/* Returns how many bits of n are set. The builtin is a call where the processor may have no
 * instruction for it. Knuth, "The Art of Computer Programming" 4A, 7.1.3. */
static inline unsigned count_bits(uint64_t n)
{
    n -= n >> 1 & 0x5555555555555555;
    n = (n & 0x3333333333333333) + (n >> 2 & 0x3333333333333333);
    n = (n + (n >> 4)) & 0x0F0F0F0F0F0F0F0F;
    return (unsigned)(n * 0x0101010101010101 >> 56);
}

/* lowest_bit(n), highest_bit(n): the number of the lowest or highest bit that is set; n > 0.
 * `rep bsf` is tzcnt where the processor has that, and else gives the same for n > 0; the
 * builtin would first clear the register. `bsr` must wait for the last instruction that
 * wrote to its destination, since it leaves that alone for 0: so the destination is set to
 * 0 first, or a call before this one could hold it up. */
#if defined(__x86_64__)
static inline size_t lowest_bit(uint64_t n)
{
    size_t bit;
    assert(n > 0);
    __asm__("rep bsfq %1, %0" : "=r"(bit) : "r"(n) : "cc");
    return bit;
}

static inline unsigned highest_bit(uint32_t n)
{
    uint32_t bit = 0;
    assert(n > 0);
    __asm__("bsrl %1, %0" : "+r"(bit) : "r"(n) : "cc");
    return bit;
}
#else
static inline size_t lowest_bit(uint64_t n)
{
    assert(n > 0);
    return (size_t)__builtin_ctzll(n);
}

static inline unsigned highest_bit(uint32_t n)
{
    assert(n > 0);
    return 31 ^ (unsigned)__builtin_clz(n);
}
#endif

/* Subtracts 1 from *n and returns whether it is still positive. Threads may do so at the same
 * time without a lock; then a step may be lost, which is cheaper than an atomic
 * subtraction. From memory, with the flags for an answer, that is one instruction; compilers
 * make three of it. */
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

#endif
