/* SPDX-License-Identifier: MIT
 *
 * h04_styles.c - H4: checks where each placement style puts an object.
 *
 * Without slots, each placement in several heaps at once is compared with model.c.
 */
#include "own_heaps.h"

#include "model.h"

static uint64_t dice = 7;

enum { NHEAPS = 6, NOBJECTS = 1000 };

struct modelled {
    mem_heap *heap;
    unsigned char *base; /* The start of the region that the model knows. */
    struct model model;
    unsigned char *held[NOBJECTS];
    size_t size[NOBJECTS];
    int n;
};
static struct modelled modelled[NHEAPS];
static size_t nplaced, nfull, nrefused;

/* The first object of a new heap lies where the region begins. */
static unsigned char *base_of(mem_heap *heap)
{
    unsigned char *p = mem_alloc(heap, 1);
    assert_non_null(p);
    assert_ok(mem_free(heap, p));
    return p;
}

static void open_modelled(struct modelled *m, unsigned char *buffer, size_t nbytes, unsigned flags)
{
    struct mem_options options = {.flags = flags};
    memset(buffer, 0xEE, nbytes);
    m->heap = mem_heap_in(buffer, nbytes, &options);
    assert_non_null(m->heap);
    m->base = base_of(m->heap);
    assert_true(m->base - buffer < 200);
    model_open(&m->model, nbytes / 16 * 16 - (size_t)(m->base - buffer));
    m->n = 0;
}

static void place_modelled(struct modelled *m, size_t size)
{
    static const enum model_fit expected[] = {[MEM_ANY_FIT] = MODEL_BEST,
                                              [MEM_BEST_FIT] = MODEL_BEST,
                                              [MEM_WORST_FIT] = MODEL_WORST,
                                              [MEM_FIRST_FIT] = MODEL_FIRST};
    enum mem_style style = (enum mem_style)rnd(&dice, 4);
    ptrdiff_t at = model_alloc(&m->model, size, expected[style]);
    unsigned char *p =
        style == MEM_ANY_FIT ? mem_alloc(m->heap, size) : mem_alloc_fit(m->heap, size, 1, style);
    if (at < 0) {
        assert_null(p);
        assert_true(mem_last_error() == MEM_NO_SPACE || mem_last_error() == MEM_TOO_LARGE);
        nfull++;
        return;
    }
    assert_ptr_equal(p, m->base + at);
    memset(p, (int)size, size);
    m->held[m->n] = p;
    m->size[m->n++] = size;
    nplaced++;
}

static void free_modelled(struct modelled *m, int i)
{
    unsigned char *p = m->held[i];
    size_t into = rnd(&dice, (uint32_t)m->size[i]);
    for (size_t k = 0; k < m->size[i]; k++)
        assert_int_equal(p[k], (unsigned char)m->size[i]);
    assert_true(model_free(&m->model, (size_t)(p - m->base)));
    if (into > 0)
        assert_int_equal(mem_free(m->heap, p + into), MEM_INSIDE);
    assert_ok(into > 0 ? mem_free_any(m->heap, p + into) : mem_free(m->heap, p));
    m->held[i] = m->held[--m->n];
    m->size[i] = m->size[m->n];
}

/* Asks this heap for an address in any of the heaps. */
static void poke_modelled(struct modelled *m, unsigned char *from, size_t nbytes)
{
    unsigned char *p = from + rnd(&dice, (uint32_t)nbytes);
    struct mem_piece found;
    const struct model_chunk *c =
        p >= m->base ? model_find(&m->model, (size_t)(p - m->base)) : NULL;
    enum mem_result result = mem_find_in(m->heap, p, &found);
    if (c != NULL) {
        assert_ok(result);
        assert_true(found.live && found.start == m->base + c->start && found.size == c->size);
        return;
    }
    assert_true(result != MEM_OK || !found.live);
    if (result == MEM_OK)
        assert_true((unsigned char *)found.start <= p &&
                    p < (unsigned char *)found.start + found.size);
    enum mem_result refused = mem_free_any(m->heap, p);
    assert_int_equal(refused, result == MEM_OK ? MEM_FREE : result);
    assert_int_equal(mem_free(m->heap, p), refused);
    nrefused++;
}

static void history(size_t nbytes, int ncalls)
{
    size_t stride = (nbytes + 4095) / 4096 * 4096, offset = 16 * rnd(&dice, 3);
    for (int i = 0; i < NHEAPS; i++)
        open_modelled(&modelled[i], memory + (size_t)i * stride * 2 + offset, nbytes,
                      i % 2 ? MEM_SINGLE_THREADED : 0);
    uint32_t size_max = (uint32_t)nbytes / 2 >> rnd(&dice, 6);
    for (int k = 0; k < ncalls; k++) {
        struct modelled *m = &modelled[rnd(&dice, NHEAPS)];
        if (m->n > 0 && (m->n == NOBJECTS || rnd(&dice, 100) < (k / 100 % 2 ? 60u : 30u)))
            free_modelled(m, (int)rnd(&dice, (uint32_t)m->n));
        else
            place_modelled(m, 1 + rnd(&dice, size_max));
        poke_modelled(m, memory, stride * 2 * NHEAPS);
    }
    for (int i = 0; i < NHEAPS; i++) {
        struct modelled *m = &modelled[i];
        assert_ok(mem_check(m->heap, NULL));
        while (m->n > 0)
            free_modelled(m, 0);
        assert_ok(mem_check(m->heap, NULL));
        assert_ok(mem_heap_destroy(m->heap));
        assert_int_equal(mem_check(m->heap, NULL), MEM_NO_HEAP);
    }
}

static void test_every_placement_is_the_models(void **state)
{
    (void)state;
    for (size_t nbytes = 256; nbytes < 1400; nbytes += 8)
        history(nbytes, 300);
    for (size_t nbytes = 1400; nbytes < MIB; nbytes = nbytes * 5 / 3)
        history(nbytes, 3000);
    assert_true(nplaced > 20000 && nfull > 2000 && nrefused > 20000);
}

static void test_the_heaps_style(void **state)
{
    (void)state;
    for (enum mem_style style = MEM_ANY_FIT; style <= MEM_FIRST_FIT; style++) {
        struct mem_options options = {.style = style};
        mem_heap *heap = mem_heap_in(memory, 8192, &options);
        char *hole[3];
        /* First fit chooses the first and best fit the second; worst fit chooses the tail. */
        size_t size[3] = {480, 320, 640};
        for (int i = 0; i < 3; i++) {
            hole[i] = mem_alloc_fit(heap, size[i], 1, MEM_FIRST_FIT);
            assert_non_null(mem_alloc_fit(heap, 16, 1, MEM_FIRST_FIT));
        }
        char *end = mem_alloc_fit(heap, 16, 1, MEM_FIRST_FIT);
        for (int i = 0; i < 3; i++)
            assert_ok(mem_free(heap, hole[i]));
        char *p = mem_alloc(heap, 300);
        assert_ptr_equal(p, style == MEM_FIRST_FIT   ? hole[0]
                            : style == MEM_WORST_FIT ? end + 16
                                                     : hole[1]);
    }
}

/* An alignment beyond 16 goes with best fit and with no style. */
static void test_aligned_styles(void **state)
{
    (void)state;
    mem_heap *heap = mem_heap_in(memory, 1 << 16, NULL);
    static const enum mem_style styles[] = {MEM_ANY_FIT, MEM_BEST_FIT, MEM_WORST_FIT, MEM_FIRST_FIT,
                                            (enum mem_style)(MEM_FIRST_FIT + 1)};
    for (int i = 0; i < 5; i++) {
        char *p = mem_alloc_fit(heap, 100, 16, styles[i]),
             *q = mem_alloc_fit(heap, 100, 256, styles[i]);
        assert_int_equal(p != NULL, i < 4);
        assert_int_equal(q != NULL, i < 2);
        assert_int_equal((uintptr_t)q % 256, 0);
        if (q == NULL)
            assert_int_equal(mem_last_error(), MEM_BAD_STYLE);
    }
    assert_ok(mem_heap_destroy(heap));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_placement_is_the_models),
        cmocka_unit_test(test_the_heaps_style),
        cmocka_unit_test(test_aligned_styles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
