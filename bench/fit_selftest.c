/* SPDX-License-Identifier: MIT
 *
 * fit_selftest.c - compares the textbook list with a naive model, to show that the list is
 * right.
 *
 * The model has no list. It keeps one number for each granule of the region, the id of the
 * object that has the granule or 0 if it is free, and finds holes by looking at all of them.
 * Where an object must go follows from the rules alone: to the lowest, the smallest or the
 * largest run that is long enough, and among equal runs to the lowest.
 *
 *     owner   3 3 3 0 0 0 0 7 7 0 0 0 ...
 *             |     |
 *             node  a run of 4: it can hold 3 granules, since one will be the node
 *
 *     M1  owner[g] == id  <=>  granule g belongs to object id: to its node, its bytes or its
 *         slack
 *     M2  Each object is filled with its own id, so that an overlap is found.
 */
#include "fit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "textbook.h"

enum {
    GRANULE = TEXTBOOK_GRANULE,
    NGRANULES = 1024,
    REGION_BYTES = NGRANULES * GRANULE,
    MAX_OBJECTS = 256, /* ids 1 .. 255 */
    NSTEPS = 60000,
    PHASE = 1500,
    MAX_REPORTS = 10
};

struct object {
    int at; /* the granule of its node */
    int size;
    bool live;
};

struct model {
    unsigned char owner[NGRANULES];
    struct object objects[MAX_OBJECTS];
};

struct run {
    int at;
    int length; /* in granules, that of the node included; 0 if there is no run */
};

static _Alignas(GRANULE) char region[REGION_BYTES];
static int nfailed;

static bool check(bool good, const char *what, int step)
{
    if (!good && nfailed++ < MAX_REPORTS)
        fprintf(stderr, "selftest: step %d: %s\n", step, what);
    return good;
}

/* -------------------------------------------------------------------- model */

static struct run model_next_run(const struct model *m, int from)
{
    struct run r = {.at = from, .length = 0};
    while (r.at < NGRANULES && m->owner[r.at] != 0)
        r.at++;
    while (r.at + r.length < NGRANULES && m->owner[r.at + r.length] == 0)
        r.length++;
    return r;
}

static bool is_better(struct run a, struct run b, int style)
{
    if (b.length == 0)
        return true;
    if (style == BESTFIT)
        return a.length < b.length;
    return style == WORSTFIT && a.length > b.length;
}

static struct run model_find(const struct model *m, int need, int style)
{
    struct run found = {0, 0};
    struct run r = model_next_run(m, 0);
    for (; r.length > 0; r = model_next_run(m, r.at + r.length)) {
        if (r.length >= need && is_better(r, found, style))
            found = r;
    }
    return found;
}

/* Returns the address that the object must get, or NULL if none fits. */
static void *model_alloc(struct model *m, int id, int size, int style)
{
    int need = 1 + (size + GRANULE - 1) / GRANULE;
    struct run r = model_find(m, need, style);
    if (r.length == 0)
        return NULL;
    if (r.length == need + 1)
        need++; /* one granule more would be left: a node without payload */
    memset(m->owner + r.at, id, (size_t)need);
    m->objects[id] = (struct object){.at = r.at, .size = size, .live = true};
    return region + (r.at + 1) * GRANULE;
}

/* Returns the object that has the byte at this offset from the region's start, or 0. */
static int model_find_object(const struct model *m, int offset)
{
    if (offset < 0 || offset >= REGION_BYTES)
        return 0;
    int id = m->owner[offset / GRANULE];
    int inside = offset - (m->objects[id].at + 1) * GRANULE;
    return id != 0 && inside >= 0 && inside < m->objects[id].size ? id : 0;
}

static void model_free(struct model *m, int id)
{
    for (int g = 0; g < NGRANULES; g++) {
        if (m->owner[g] == id)
            m->owner[g] = 0;
    }
    m->objects[id].live = false;
}

/* ------------------------------------------------------------- model vs list */

static bool is_filled(const char *bytes, int id, int size)
{
    for (int i = 0; i < size; i++) {
        if (bytes[i] != (char)id)
            return false;
    }
    return true;
}

static void step_alloc(struct textbook *t, struct model *m, struct rng *r, int step)
{
    static const int styles[] = {FIRSTFIT, BESTFIT, WORSTFIT};
    int id = 1 + rng_below(r, MAX_OBJECTS - 1);
    if (m->objects[id].live)
        return;
    int size = 1 + rng_below(r, rng_below(r, 8) == 0 ? 2000 : 100);
    int style = styles[rng_below(r, 3)];
    char *must = model_alloc(m, id, size, style);
    char *is = textbook_alloc(t, size, style);
    if (check(is == must, "the object is not where the style puts it", step) && is != NULL)
        memset(is, id, (size_t)size);
}

static void step_free(struct textbook *t, struct model *m, struct rng *r, int step)
{
    /* Some addresses lie outside the region, below or above it. */
    int offset = rng_below(r, REGION_BYTES + 64) - 32;
    const char *ptr = (const char *)((uintptr_t)region + (uintptr_t)(intptr_t)offset);
    int id = model_find_object(m, offset);
    int size = id != 0 ? m->objects[id].size : -1;
    check(textbook_size_of(t, ptr) == size, "the size of an address is wrong", step);
    if (id != 0)
        check(is_filled(region + (m->objects[id].at + 1) * GRANULE, id, size),
              "an object was overwritten", step);
    check(textbook_free(t, ptr) == (id != 0 ? 0 : -1), "free returns the wrong result", step);
    if (id != 0)
        model_free(m, id);
}

static void compare_holes(const struct textbook *t, const struct model *m, int step)
{
    int nruns = 0;
    int length = 1;
    struct run r = model_next_run(m, 0);
    for (; r.length > 0; r = model_next_run(m, r.at + r.length)) {
        nruns++;
        length = r.length;
    }
    int last_bytes;
    check(textbook_count_holes(t, &last_bytes) == nruns, "the number of holes is wrong", step);
    check(last_bytes == (length - 1) * GRANULE, "the last hole's size is wrong", step);
    check(textbook_is_valid(t), "the list contradicts itself", step);
}

static void free_all(struct textbook *t, struct model *m)
{
    for (int id = 1; id < MAX_OBJECTS; id++) {
        if (!m->objects[id].live)
            continue;
        const char *last = region + (m->objects[id].at + 1) * GRANULE + m->objects[id].size - 1;
        check(textbook_free(t, last) == 0, "the last byte of an object does not free it", NSTEPS);
        model_free(m, id);
    }
    compare_holes(t, m, NSTEPS);
    check(textbook_alloc(t, REGION_BYTES - GRANULE, BESTFIT) != NULL,
          "the whole region is not one hole again", NSTEPS);
}

static void compare_with_model(struct rng *r)
{
    static struct model m;
    struct textbook t;
    textbook_init(&t, region, REGION_BYTES);
    m = (struct model){.owner = {0}};
    for (int step = 0; step < NSTEPS && nfailed == 0; step++) {
        int nfrees_of_4 = step / PHASE % 2 == 0 ? 1 : 3; /* the heap fills and empties in turn */
        if (rng_below(r, 4) < nfrees_of_4)
            step_free(&t, &m, r, step);
        else
            step_alloc(&t, &m, r, step);
        compare_holes(&t, &m, step);
    }
    if (nfailed == 0) /* otherwise the list may be damaged */
        free_all(&t, &m);
}

/* Checks that a heap which is laid out at once equals the heap that the calls build. */
static void compare_lay_out(struct rng *r)
{
    enum { NPIECES = 41 };
    static _Alignas(GRANULE) char twin[REGION_BYTES];
    struct textbook_piece pieces[NPIECES];
    void *objects[NPIECES];
    void *called[NPIECES];
    struct textbook at_once;
    struct textbook by_calls;
    textbook_init(&at_once, region, REGION_BYTES);
    textbook_init(&by_calls, twin, REGION_BYTES);
    for (int i = 0; i < NPIECES; i++)
        pieces[i] = (struct textbook_piece){.size = 1 + rng_below(r, 300), .live = i % 2 == 0};
    textbook_lay_out(&at_once, pieces, NPIECES, objects);
    for (int i = 0; i < NPIECES; i++)
        called[i] = textbook_alloc(&by_calls, pieces[i].size, FIRSTFIT);
    for (int i = 1; i < NPIECES; i += 2)
        textbook_free(&by_calls, called[i]);

    const struct textbook_node *a = at_once.first;
    const struct textbook_node *b = by_calls.first;
    for (; a != NULL && b != NULL; a = a->next, b = b->next) {
        check((const char *)a - region == (const char *)b - twin,
              "lay_out: a chunk is at the wrong place", 0);
        check(a->size == b->size && a->type == b->type,
              "lay_out: a chunk has the wrong size or type", 0);
    }
    check(a == NULL && b == NULL, "lay_out: the number of chunks is wrong", 0);
    for (int i = 0; i < NPIECES; i += 2)
        check((char *)objects[i / 2] - region == (char *)called[i] - twin,
              "lay_out: an object is at the wrong place", 0);
}

int fit_selftest(uint64_t seed)
{
    struct rng r = {.state = seed};
    nfailed = 0;
    compare_lay_out(&r);
    compare_with_model(&r);
    return nfailed;
}
