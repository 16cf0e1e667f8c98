/* SPDX-License-Identifier: MIT
 *
 * random.c - compares the heap with the model (model.h) call by call: the address of every
 * object, the result of every free and every lookup, and the whole free list.
 *
 * Regions have 256 bytes to 4 MiB, with many mixes of sizes and fits.
 *
 *     build/test/model/random [CALLS [SEED]]
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/pieces.h"
#include "draw.h"
#include "model.h"

enum { REGION_MAX = 4 << 20 };

static _Alignas(4096) unsigned char region[REGION_MAX];
static struct heap heap;
static MemNodePtr head;
static struct model model;

static uint64_t seed, ncalls, nfrees, nrefused, nfull, nlisted, most_chunks;

static void die(const char *what, long expected, long got)
{
    printf("not ok 1 - %s: expected %ld, got %ld; call %" PRIu64 ", seed %" PRIu64 "\n1..1\n", what,
           expected, got, ncalls, seed);
    exit(1);
}

#define EXPECT(what, expected, got)                                                                \
    do {                                                                                           \
        if ((long)(expected) != (long)(got))                                                       \
            die(what, (long)(expected), (long)(got));                                              \
    } while (0)

/* The parameters of one run. */
struct mix {
    uint32_t region_bytes, size_max, free_percent, fits;
};

static struct mix new_mix(void)
{
    static const uint32_t sizes[] = {16, 64, 200, 1000, 5000, 40000};
    struct mix mix = {.size_max = sizes[draw(6)], .fits = draw(4)};
    uint32_t shift = 8 + draw(draw(40) == 0 ? 15 : 9);
    mix.region_bytes = ((1u << shift) + draw(1u << shift)) / 16 * 16;
    if (mix.region_bytes > REGION_MAX)
        mix.region_bytes = REGION_MAX;
    return mix;
}

/* The mark that is written to both ends of an object while it lives. */
static unsigned char mark_of(size_t start)
{
    return (unsigned char)(start / 16 * 37 + 1);
}

static void one_alloc(const struct mix *mix)
{
    size_t size = 1 + draw(draw(8) == 0 ? mix->size_max * 4 : mix->size_max);
    unsigned fit = mix->fits < 3 ? mix->fits : draw(3);
    void *object = NULL;
    ptrdiff_t expected = model_alloc(&model, size, (enum model_fit)fit);
    enum heap_result result = heap_take(&heap, size, (enum fit)fit, &object);
    EXPECT("result of alloc", expected < 0 ? HEAP_NO_SPACE : HEAP_OK, result);
    nfull += expected < 0;
    if (expected < 0)
        return;
    EXPECT("address of alloc", expected, (unsigned char *)object - region);
    memset(object, mark_of((size_t)expected), size < 64 ? size : 64);
    region[(size_t)expected + size - 1] = mark_of((size_t)expected);
}

/* Returns a position anywhere in the region, in a live or free chunk, or next to an end of one. */
static size_t some_position(const struct mix *mix)
{
    size_t at = draw(mix->region_bytes);
    if (model.n == 0 || draw(4) == 0)
        return at;
    const struct model_chunk *c = &model.chunk[draw((uint32_t)model.n)];
    switch (draw(5)) {
    case 0:
        return c->start;
    case 1:
        return c->size == 0 ? c->start : c->start + c->size - 1;
    case 2:
        return c->start + c->size; /* One past the end. */
    case 3:
        return c->start - (c->start > 0);
    default:
        return c->start + draw((uint32_t)c->nbytes);
    }
}

static void one_find(const struct mix *mix)
{
    size_t at = some_position(mix);
    struct object found;
    const struct model_chunk *c = model_find(&model, at);
    bool live = heap_find(&heap, region + at, &found) == HEAP_OK;
    EXPECT("is it live", c != NULL, live);
    if (c != NULL) {
        EXPECT("size", c->size, found.size);
        EXPECT("start", c->start, (unsigned char *)found.start - region);
    }
}

static void one_free(const struct mix *mix)
{
    size_t at = some_position(mix);
    const struct model_chunk *c = model_find(&model, at);
    if (c != NULL) {
        EXPECT("first byte", mark_of(c->start), region[c->start]);
        EXPECT("last byte", mark_of(c->start), region[c->start + c->size - 1]);
    }
    bool freed = heap_free(&heap, region + at) == HEAP_OK;
    EXPECT("is it freed", model_free(&model, at), freed);
    nfrees += freed;
    nrefused += !freed;
}

static void expect_node(MemNodePtr node, const struct model_chunk *c)
{
    EXPECT("place of node", c->start, (unsigned char *)node - region);
    EXPECT("size in node", c->nbytes, node->size);
    EXPECT("type in node", true, node->type);
    nlisted++;
}

static void check_all(void)
{
    EXPECT("check", HEAP_OK, check_heap(&heap));
    MemNodePtr node = head;
    for (size_t i = 0; i < model.n; i++) {
        if (model.chunk[i].size == 0) {
            expect_node(node, &model.chunk[i]);
            node = node->next;
        }
    }
    struct model_chunk tail = model_tail(&model);
    if (tail.nbytes > 0) {
        expect_node(node, &tail);
        node = node->next;
    }
    EXPECT("end of list", 0, (intptr_t)node);
}

static void one_run(void)
{
    struct mix mix = new_mix();
    model_open(&model, mix.region_bytes);
    heap_open_locked(&heap, (struct region){.base = region, .nbytes = mix.region_bytes}, &head);
    uint32_t length = mix.region_bytes > 1 << 18 ? 20000 : 4000;
    for (uint32_t i = 0; i < length; i++, ncalls++) {
        if (i % 500 == 0)
            mix.free_percent = 20 + draw(60);
        uint32_t dice = draw(100);
        if (dice < 10)
            one_find(&mix);
        else if (dice < 10 + mix.free_percent)
            one_free(&mix);
        else
            one_alloc(&mix);
        most_chunks = model.n > most_chunks ? model.n : most_chunks;
        if (draw(256) == 0)
            check_all();
    }
    while (model.n > 0) { /* Everything is freed and must become one chunk [C5]. */
        size_t start = model.chunk[draw((uint32_t)model.n)].start;
        EXPECT("free of all", model_free(&model, start), heap_free(&heap, region + start) == 0);
    }
    check_all();
    EXPECT("tail of all", (mix.region_bytes - 24) / 16 * 16, head->size);
}

int main(int argc, char **argv)
{
    uint64_t calls = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    seed = argc > 2 ? strtoull(argv[2], NULL, 10) : (uint64_t)time(NULL);
    draw_from_seed(seed);
    for (int i = 0; i < 8; i++)
        (void)draw(1);
    while (ncalls < calls)
        one_run();
    printf("# seed %" PRIu64 ": %" PRIu64 " calls, %" PRIu64 " frees, %" PRIu64 " refused, %" PRIu64
           " out of space, %" PRIu64 " nodes compared, up to %" PRIu64 " chunks\n",
           seed, ncalls, nfrees, nrefused, nfull, nlisted, most_chunks);
    EXPECT("frees, refusals, full heaps and nodes were seen", true,
           nfrees > 0 && nrefused > 0 && nfull > 0 && nlisted > 0);
    EXPECT("trees of inner nodes were seen", true, most_chunks > 2000 || calls < 10000000);
    printf("ok 1 - the model predicts every call\n1..1\n");
    return 0;
}
