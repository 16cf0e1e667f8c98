/* SPDX-License-Identifier: MIT
 *
 * h10_flips.c - H10: changes single bits of a heap's own data, in its header or in its records, as
 * arrays and as trees.
 *
 * Either mem_check finds the change, or a long script of calls has the same results as in the
 * intact heap. In both cases no call crashes, runs for ever, or writes outside the heap.
 *
 *     h10_flips [N [SEED]]     flips N bits, 4,000 by default
 */
#include "unit.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mem_heap.h"

enum { LARGEST = 16 << 10, GUARD = 4096, NOBJECTS = 400, LOCK_BYTES = 8, HEADER = 72 };
enum { CALLS_AT_ONCE = 200000 };

static _Alignas(4096) unsigned char all[GUARD + LARGEST + GUARD], pristine[LARGEST];
static unsigned char *const memory = all + GUARD;

static uint64_t dice;
static unsigned long seed = 19, nwanted, nfound, nharmless;

static struct history {
    size_t nbytes;
    unsigned flags;
    uint32_t size_max;
    bool bounded; /* It has a limit and callbacks. */
} histories[] = {
    {256, MEM_SINGLE_THREADED, 20, false},
    {1024, 0, 60, false},
    {4096, MEM_SINGLE_THREADED, 100, true},
    {8192, 0, 40, false},
    {LARGEST, MEM_SINGLE_THREADED, 60, false},
    {LARGEST, 0, 30, true},
    {512, MEM_SINGLE_THREADED | MEM_FILL_FREED, 20, false},
};
enum { NHISTORIES = sizeof histories / sizeof histories[0] };

static mem_heap *heap;
static unsigned char *object[NOBJECTS];
static size_t size_of[NOBJECTS];
static int nobjects, nrefused;

static void note_refused(mem_heap *h, const void *address, enum mem_result why, void *context)
{
    (void)h, (void)address, (void)why, (void)context;
    nrefused++;
}

static void make(const struct history *h)
{
    struct mem_options options = {.flags = h->flags};
    if (h->bounded) {
        options.limit = LARGEST;
        options.on_refused = note_refused;
    }
    memset(all, 0xA5, sizeof all);
    heap = mem_heap_in(memory, h->nbytes, &options);
    nobjects = 0;
    assert_non_null(heap);
    for (int k = 0; k < 6 * NOBJECTS; k++) {
        if (nobjects == NOBJECTS || (nobjects > 0 && rnd(&dice, 100) < 25)) {
            uint32_t i = rnd(&dice, (uint32_t)nobjects);
            assert_int_equal(mem_free(heap, object[i]), MEM_OK);
            object[i] = object[--nobjects];
            size_of[i] = size_of[nobjects];
        }
        size_t size = 1 + rnd(&dice, h->size_max);
        unsigned char *p = mem_alloc_fit(heap, size, 1, MEM_BEST_FIT);
        if (p == NULL)
            continue;
        object[nobjects] = p;
        size_of[nobjects++] = size;
    }
    assert_int_equal(mem_check(heap, NULL), MEM_OK);
    assert_true(nobjects > 0);
    memcpy(pristine, memory, h->nbytes);
}

/* --- everything that a caller can see of a heap ------------------------------------------------
 */

static uint64_t told;

static void tell(uint64_t what)
{
    told = (told ^ what) * 0x9E3779B97F4A7C15u;
    told ^= told >> 29;
}

static bool tell_piece(const struct mem_piece *piece, void *n)
{
    tell((uint64_t)((unsigned char *)piece->start - memory) * 2 + piece->live);
    tell(piece->size);
    assert_true(++*(size_t *)n <= LARGEST / 16);
    return true;
}

static void tell_found(size_t nbytes, int nasked)
{
    uint64_t same = 23;
    for (int i = 0; i < nasked; i++) {
        struct mem_piece found = {0};
        unsigned char *p = memory + rnd(&same, (uint32_t)nbytes);
        tell(mem_find(p, &found));
        tell((uint64_t)((unsigned char *)found.start - memory) + found.size + found.live);
        found = (struct mem_piece){0};
        tell(mem_find_in(heap, p, &found));
        tell((uint64_t)((unsigned char *)found.start - memory) + found.size + found.live);
    }
}

static void tell_all(size_t nbytes)
{
    struct mem_statistics s = {0};
    size_t n = 0;
    tell(mem_walk(heap, tell_piece, &n));
    tell(mem_stats(heap, &s));
    tell(s.live_bytes ^ s.peak_bytes << 20 ^ s.largest_free << 40);
    tell(s.live_objects ^ s.free_chunks << 20 ^ s.limit << 40);
    tell_found(nbytes, 10);
}

/* Frees most objects, in mixed order and with mistakes; allocates some; frees everything. */
static void script(size_t nbytes)
{
    uint64_t same = 29;
    for (int i = 0; i < nobjects; i++) {
        unsigned char *p = object[(i * 7 + 3) % nobjects];
        tell(i % 3 ? mem_free(heap, p) : mem_free_any(heap, p));
        if (i % 16 == 0)
            tell(mem_free(heap, memory + rnd(&same, (uint32_t)nbytes)));
        if (i % 2 == 0) {
            unsigned char *q = mem_alloc_fit(heap, 1 + rnd(&same, 200), 1, i % 4 ? 2 : 3);
            tell((uint64_t)(q - memory));
            if (i % 8 == 0)
                q = mem_resize(heap, q, 1 + rnd(&same, 300));
            tell((uint64_t)(q - memory));
        }
    }
    tell_all(nbytes);
    for (int i = 0; i < nobjects; i++)
        tell(mem_free(heap, object[i]));
    tell(mem_check(heap, NULL));
    tell_found(nbytes, 3);
}

static uint64_t all_told(size_t nbytes)
{
    told = 1;
    tell_all(nbytes);
    script(nbytes);
    return told;
}

/* --- flipping ------------------------------------------------------------------------------ */

static void assert_guards_whole(const struct history *h)
{
    for (size_t i = 0; i < GUARD; i++)
        assert_true(all[i] == 0xA5 && all[GUARD + h->nbytes + i % (GUARD / 2)] == 0xA5);
}

static void flip(const struct history *h, size_t bit, uint64_t expected)
{
    const char *wrong = NULL;
    memcpy(memory, pristine, h->nbytes);
    memory[bit / 8] ^= (unsigned char)(1u << bit % 8);
    enum mem_result result = mem_check(heap, &wrong);
    assert_true((wrong != NULL) == (result != MEM_OK));
    uint64_t is = all_told(h->nbytes);
    if (result == MEM_OK) {
        if (is != expected)
            fail_msg("heap of %zu bytes: bit %zu of byte %zu is not found", h->nbytes, bit % 8,
                     bit / 8);
        nharmless++;
    } else {
        nfound++;
    }
}

static bool is_lock(const struct history *h, size_t byte)
{
    return h->flags == 0 && byte >= HEADER && byte < HEADER + LOCK_BYTES;
}

/* Flips bits of the header, and then bits of the records, from the end down: n of them, or fewer if
 * the heap has many objects. A long run makes more heaps instead. */
static void flip_all(const struct history *h, unsigned long n)
{
    struct mem_statistics s;
    make(h);
    n = n < CALLS_AT_ONCE / (unsigned)nobjects ? n : CALLS_AT_ONCE / (unsigned)nobjects;
    uint64_t expected = all_told(h->nbytes);
    memcpy(memory, pristine, h->nbytes);
    assert_int_equal(mem_stats(heap, &s), MEM_OK);
    size_t header = (size_t)(object[0] - memory);
    for (int i = 0; i < nobjects; i++)
        header = (size_t)(object[i] - memory) < header ? (size_t)(object[i] - memory) : header;
    size_t nrecords = s.metadata_bytes - (s.metadata_bytes < header ? 0 : header) + 64;
    nrecords = nrecords < h->nbytes - header ? nrecords : h->nbytes - header;
    size_t nbits = (header + nrecords) * 8;
    size_t step = 1 + nbits / (n < nbits ? n : nbits);
    for (size_t k = n < nbits ? rnd(&dice, (uint32_t)step) : 0; k < nbits;
         k += n < nbits ? 1 + rnd(&dice, (uint32_t)(2 * step - 1)) : 1) {
        size_t byte = k / 8 < header ? k / 8 : h->nbytes - nrecords + (k / 8 - header);
        alarm(PATIENCE); /* Ends the test if a call does not return. */
        if (!is_lock(h, byte))
            flip(h, byte * 8 + k % 8, expected);
    }
    alarm(0);
    assert_guards_whole(h);
    memcpy(memory, pristine, h->nbytes);
    assert_int_equal(mem_heap_destroy(heap), MEM_OK);
}

static void test_each_bit_is_found_or_harmless(void **state)
{
    (void)state;
    while (nfound + nharmless < nwanted)
        for (int i = 0; i < NHISTORIES; i++)
            flip_all(&histories[i], nwanted / NHISTORIES);
    print_message("%lu bits: %lu found, %lu harmless; seed %lu\n", nfound + nharmless, nfound,
                  nharmless, seed);
    assert_true(nfound > nwanted / 4 && nharmless > 0);
}

static void swap_words(uint32_t *a, uint32_t *b)
{
    uint32_t was = *a;
    *a = *b;
    *b = was;
}

/* Damage that flipping a bit does not produce: records of which a half, or everything, was
 * swapped; zeros from the middle of the header on; eight bytes of 0xFF across two words. */
static void regular_damage(int kind, size_t nbytes)
{
    uint32_t *end = (uint32_t *)(void *)(memory + nbytes);
    switch (kind) {
    case 0:
        swap_words(&end[-2], &end[-4]);
        break;
    case 1:
        memset(memory + HEADER / 2, 0, (size_t)(object[1] - 16 - (memory + HEADER / 2)));
        break;
    case 2:
        memset(memory + 12, 0xFF, 8);
        break;
    default:
        swap_words(&end[-1], &end[-5]);
        swap_words(&end[-2], &end[-6]);
    }
}

static void test_regular_damage(void **state)
{
    enum { NBYTES = 4096, NKINDS = 4 };
    struct mem_options options = {.flags = MEM_SINGLE_THREADED | MEM_FILL_FREED};
    (void)state;
    for (int kind = 0; kind < NKINDS; kind++) {
        heap = mem_heap_in(memory, NBYTES, &options);
        for (int i = 0; i < 3; i++)
            assert_non_null(object[i] = mem_alloc(heap, (size_t)(16 - i)));
        memcpy(pristine, memory, NBYTES);
        regular_damage(kind, NBYTES);
        enum mem_result freed =
            /* Only the count of records shows damage of the first kind. */
            mem_free(heap, object[1]);
        assert_true(kind == 0 || freed == MEM_DAMAGED);
        memcpy(memory, pristine, NBYTES);
        regular_damage(kind, NBYTES);
        assert_int_equal(mem_check(heap, NULL), MEM_DAMAGED);
        memcpy(memory, pristine, NBYTES);
        assert_int_equal(mem_check(heap, NULL), MEM_OK);
        assert_int_equal(mem_heap_destroy(heap), MEM_OK);
    }
}

/* --- any other damage
 * ---------------------------------------------------------------------------- */

/* Returns one of the words of the header or, more often, of the records. */
static unsigned char *any_word(const struct history *h)
{
    enum { PART = 4 };
    bool in_header = rnd(&dice, PART) == 0;
    uint32_t nwords = (uint32_t)((in_header ? 2 * HEADER : h->nbytes / PART) / sizeof(uint64_t));
    uint32_t word = rnd(&dice, nwords);
    return memory + (in_header ? (size_t)word * 8 : h->nbytes - (size_t)(word + 1) * 8);
}

/* Writes equal bytes, as memset does, or random bytes; copies one word over another; or swaps two
 * words. */
static void damage(const struct history *h)
{
    unsigned char *at = any_word(h), *from = any_word(h), word[8];
    size_t left = (size_t)(memory + h->nbytes - at), n = 1 + rnd(&dice, 32);
    n = n < left ? n : left;
    memcpy(word, at, sizeof word);
    switch (rnd(&dice, 5)) {
    case 0:
        memset(at, 0, n);
        break;
    case 1:
        memset(at, 0xFF, n);
        break;
    case 2:
        memcpy(from, word, sizeof word);
        break;
    case 3:
        memcpy(at, from, sizeof word);
        memcpy(from, word, sizeof word);
        break;
    default:
        for (size_t i = 0; i < n; i++)
            at[i] = (unsigned char)rnd(&dice, 256);
    }
}

static void damage_all_but_lock(const struct history *h)
{
    unsigned char lock[LOCK_BYTES];
    memcpy(lock, memory + HEADER, LOCK_BYTES);
    for (uint32_t n = 1 + rnd(&dice, 4); n > 0; n--)
        damage(h);
    if ((h->flags & MEM_SINGLE_THREADED) == 0)
        memcpy(memory + HEADER, lock, LOCK_BYTES);
}

/* Requires only that all calls return. */
static void test_any_damage(void **state)
{
    (void)state;
    for (unsigned long n = 0; n < nwanted / 40; n++) {
        const struct history *h = &histories[n % NHISTORIES];
        make(h);
        damage_all_but_lock(h);
        alarm(PATIENCE);
        all_told(h->nbytes);
        alarm(0);
        assert_guards_whole(h);
        memcpy(memory, pristine, h->nbytes);
        assert_int_equal(mem_heap_destroy(heap), MEM_OK);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_bit_is_found_or_harmless),
        cmocka_unit_test(test_regular_damage),
        cmocka_unit_test(test_any_damage),
    };
    nwanted = argc > 1 ? strtoul(argv[1], NULL, 10) : (unsigned long)share_of(4000);
    if (argc > 2)
        seed = strtoul(argv[2], NULL, 10);
    dice = seed;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
