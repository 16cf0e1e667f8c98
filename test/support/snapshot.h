/* SPDX-License-Identifier: MIT
 *
 * snapshot.h - a heap of one page beside its model, both of which can be saved and restored.
 *
 * The pages before and behind the heap's page do not belong to the heap.
 */
#ifndef SNAPSHOT_H
#define SNAPSHOT_H

#include <string.h>

#include "core/pieces.h"
#include "model.h"

enum { PAGE = 4096, SNAPSHOT_CHUNKS = 20 };

static _Alignas(PAGE) unsigned char pages[3 * PAGE];
static unsigned char *const page = pages + PAGE;
static struct heap heap;
static MemNodePtr head;
static struct model model;

struct snapshot {
    unsigned char page[PAGE];
    struct heap heap;
    MemNodePtr head;
    size_t high, n;
    struct model_chunk chunk[SNAPSHOT_CHUNKS];
};

static inline void save(struct snapshot *s)
{
    memcpy(s->page, page, PAGE);
    memcpy(&s->heap, &heap, sizeof heap); /* The copy includes the padding between the fields. */
    s->head = head;
    s->high = model.high;
    s->n = model.n;
    memcpy(s->chunk, model.chunk, model.n * sizeof model.chunk[0]);
}

static inline void restore(const struct snapshot *s)
{
    memcpy(page, s->page, PAGE);
    memcpy(&heap, &s->heap, sizeof heap);
    head = s->head;
    model.high = s->high;
    model.n = s->n;
    memcpy(model.chunk, s->chunk, s->n * sizeof model.chunk[0]);
}

static inline bool is_same(const struct snapshot *s)
{
    return memcmp(page, s->page, PAGE) == 0 && head == s->head &&
           memcmp(&heap.chunks, &s->heap.chunks, sizeof heap.chunks) == 0;
}

#endif
