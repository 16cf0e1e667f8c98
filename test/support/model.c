/* SPDX-License-Identifier: MIT */
#include "model.h"

#include <string.h>

enum { GRANULE = 16, COST_FROM_TAIL = 24, COST_FROM_HOLE = 19 };

void model_open(struct model *m, size_t region_bytes)
{
    m->region_bytes = region_bytes;
    m->high = 0;
    m->n = 0;
}

static size_t top_of(const struct model *m)
{
    return m->n == 0 ? 0 : m->chunk[m->n - 1].start + m->chunk[m->n - 1].nbytes;
}

/* Returns how far chunks may reach if there is one more and each costs `cost` bytes for its
 * record. */
static size_t reach(const struct model *m, size_t cost)
{
    size_t records = (m->n + 1) * cost;
    return records < m->region_bytes ? (m->region_bytes - records) / GRANULE * GRANULE : 0;
}

struct model_chunk model_tail(const struct model *m)
{
    struct model_chunk tail = {.start = top_of(m)};
    size_t fresh = reach(m, COST_FROM_TAIL), again = reach(m, COST_FROM_HOLE);
    size_t end = again < m->high ? again : m->high;
    end = fresh > end ? fresh : end;
    tail.nbytes = end > tail.start ? end - tail.start : 0;
    return tail;
}

static void insert(struct model *m, size_t i, struct model_chunk c)
{
    memmove(&m->chunk[i + 1], &m->chunk[i], (m->n - i) * sizeof c);
    m->chunk[i] = c;
    m->n++;
}

static void remove_at(struct model *m, size_t i)
{
    m->n--;
    memmove(&m->chunk[i], &m->chunk[i + 1], (m->n - i) * sizeof m->chunk[0]);
}

static bool better(size_t a, size_t b, enum model_fit fit)
{
    return fit == MODEL_BEST ? a < b : fit == MODEL_WORST ? a > b : false;
}

ptrdiff_t model_alloc(struct model *m, size_t size, enum model_fit fit)
{
    size_t need = (size + GRANULE - 1) / GRANULE * GRANULE;
    struct model_chunk tail = model_tail(m);
    size_t best = m->n + 1, best_bytes = 0; /* m->n stands for the tail. */
    for (size_t i = 0; i <= m->n; i++) {
        const struct model_chunk *c = i < m->n ? &m->chunk[i] : &tail;
        if (c->size != 0 || c->nbytes < need)
            continue;
        if (best > m->n || better(c->nbytes, best_bytes, fit)) {
            best = i;
            best_bytes = c->nbytes;
        }
    }
    if (best > m->n)
        return -1;
    if (best == m->n) {
        insert(m, m->n, (struct model_chunk){tail.start, need, size});
        m->high = top_of(m) > m->high ? top_of(m) : m->high;
        return (ptrdiff_t)tail.start;
    }
    bool split = top_of(m) <= reach(m, COST_FROM_HOLE) && best_bytes > need;
    struct model_chunk *c = &m->chunk[best];
    size_t start = c->start;
    c->size = size;
    if (split) {
        c->nbytes = need;
        insert(m, best + 1, (struct model_chunk){start + need, best_bytes - need, 0});
    }
    return (ptrdiff_t)start;
}

/* Returns the index of the live object that contains the position, or m->n. */
static size_t index_of(const struct model *m, size_t position)
{
    size_t low = 0,
           high = m->n; /* `low` becomes the first chunk that begins behind the position. */
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (m->chunk[middle].start <= position)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0)
        return m->n;
    const struct model_chunk *c = &m->chunk[low - 1];
    return c->size != 0 && position < c->start + c->size ? low - 1 : m->n;
}

const struct model_chunk *model_find(const struct model *m, size_t position)
{
    size_t i = index_of(m, position);
    return i < m->n ? &m->chunk[i] : NULL;
}

bool model_free(struct model *m, size_t position)
{
    size_t i = index_of(m, position);
    if (i == m->n)
        return false;
    m->chunk[i].size = 0;
    if (i + 1 < m->n && m->chunk[i + 1].size == 0) {
        m->chunk[i].nbytes += m->chunk[i + 1].nbytes;
        remove_at(m, i + 1);
    }
    if (i > 0 && m->chunk[i - 1].size == 0) {
        m->chunk[i - 1].nbytes += m->chunk[i].nbytes;
        remove_at(m, i--);
    }
    if (i + 1 == m->n)
        m->n--; /* Free space at the end is the tail. */
    if (m->n == 0)
        m->high = 0;
    return true;
}
