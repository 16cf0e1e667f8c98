/* SPDX-License-Identifier: MIT
 *
 * cells.c - sorts the bytes of a region into cells. See cells.h.
 */
#include "cells.h"

#include <err.h>
#include <stdlib.h>

/* It declares progress and UNKNOWN. */
#include "command.h"

const struct kind_look kinds[NKINDS] = {
    [SMALL] = {"small objects, in slots", "small_bytes", "#3a9d4d", 2, 's'},
    [LARGE] = {"large objects", "large_bytes", "#3465a4", 4, 'l'},
    [SLACK] = {"slack", "slack_bytes", "#6fb7c0", 6, 'k'},
    [FREE_SLOT] = {"free slots", "free_slot_bytes", "#d8d8d8", 7, '.'},
    [FREE_CHUNK] = {"free chunks, in memory", "free_chunk_bytes", "#b0b0b0", 8, '-'},
    [RETURNED] = {"free chunks, not in memory", "returned_bytes", "#f4f4f4", 8, ' '},
    [METADATA] = {"metadata", "metadata_bytes", "#c4a000", 3, 'm'},
    [UNTOUCHED] = {"metadata, not in memory", "untouched_metadata_bytes", "#f7f0cc", 3, ' '},
};

/* Adds bytes [from, to) of the region, as offsets, to the cells that they lie in. */
static void fill(struct map *m, uint64_t from, uint64_t to, enum contents kind)
{
    m->bytes[kind] += to - from;
    while (from < to) {
        size_t i = (size_t)(from / m->cell_bytes);
        uint64_t end = (i + 1) * m->cell_bytes;
        uint64_t n = (to < end ? to : end) - from;
        if (i < m->ncells)
            m->cells[i].bytes[kind] += n;
        from += n;
    }
}

/* Adds bytes that need not be in memory: those that are, as one kind, and those that are not. */
static void fill_by_residence(struct map *m, uint64_t from, uint64_t to, enum contents in_memory,
                              enum contents not_in_memory)
{
    const uint64_t base = m->view->base;
    if (m->resident == NULL) {
        fill(m, from, to, in_memory);
        return;
    }
    while (m->at < m->nresident && m->resident[m->at].end <= base + from)
        m->at++;
    for (size_t i = m->at; i < m->nresident && m->resident[i].start < base + to; i++) {
        uint64_t a = m->resident[i].start > base + from ? m->resident[i].start - base : from;
        uint64_t b = m->resident[i].end < base + to ? m->resident[i].end - base : to;
        fill(m, from, a, not_in_memory);
        fill(m, a, b, in_memory);
        from = b;
    }
    fill(m, from, to, not_in_memory);
}

static bool fill_piece(const struct target_piece *p, void *context)
{
    struct map *m = context;
    uint64_t from = p->start - m->view->base, to = from + p->nbytes;
    if (from >= m->top_bytes) {
        m->tail_bytes += p->nbytes;
        return true;
    }
    if (p->kind == PIECE_OBJECT) {
        m->nobjects++;
        fill(m, from, from + p->size, p->is_slot ? SMALL : LARGE);
        fill(m, from + p->size, to, SLACK);
    } else if (p->kind == PIECE_FREE) {
        m->nfree++;
        m->largest_free = p->nbytes > m->largest_free ? p->nbytes : m->largest_free;
        fill_by_residence(m, from, to, FREE_CHUNK, RETURNED);
    } else if (p->kind == PIECE_FREE_SLOT)
        fill(m, from, to, FREE_SLOT);
    else
        fill_by_residence(m, from, to, METADATA, UNTOUCHED);
    progress("mapping", from, m->top_bytes);
    return true;
}

bool map_make(struct map *m, const struct view *v, size_t ncells, const struct extent *resident,
              size_t n)
{
    const struct ledger *l = &v->heap.chunks.ledger;
    *m = (struct map){.view = v, .cell_bytes = 1024, .resident = resident, .nresident = n};
    if (v->fault != NULL)
        return false;
    m->top_bytes = (uint64_t)l->b.top * GRANULE_BYTES;
    while (m->top_bytes > m->cell_bytes * ncells)
        m->cell_bytes *= 2;
    m->ncells = (size_t)((m->top_bytes + m->cell_bytes - 1) / m->cell_bytes);
    m->cells = calloc(m->ncells + 1, sizeof *m->cells);
    if (m->cells == NULL)
        err(UNKNOWN, "no memory");
    bool is_whole = view_walk(v, fill_piece, m);
    m->records_bytes = ledger_nbytes(l);
    progress_end();
    return is_whole;
}

static uint64_t sum_of(const uint64_t bytes[NKINDS])
{
    uint64_t sum = 0;
    for (int k = 0; k < NKINDS; k++)
        sum += bytes[k];
    return sum;
}

enum contents cell_kind(const struct cell *c)
{
    enum contents most = SMALL;
    for (enum contents k = SMALL; k < NKINDS; k++)
        if (c->bytes[k] > c->bytes[most])
            most = k;
    return most;
}

bool is_in_use(enum contents k)
{
    return k == SMALL || k == LARGE || k == METADATA;
}

double cell_share(const struct cell *c)
{
    uint64_t sum = sum_of(c->bytes), used = 0;
    for (enum contents k = SMALL; k < NKINDS; k++)
        used += is_in_use(k) ? c->bytes[k] : 0;
    return sum == 0 ? 0 : (double)used / (double)sum;
}

double map_fragmentation(const struct map *m)
{
    const uint64_t *b = m->bytes;
    uint64_t idle = b[SLACK] + b[FREE_SLOT] + b[FREE_CHUNK] + b[RETURNED];
    uint64_t all = idle + b[SMALL] + b[LARGE];
    return all == 0 ? 0 : (double)idle / (double)all;
}

/* A capital letter says that half of the cell or more is in use. */
char cell_letter(const struct cell *c)
{
    char letter = kinds[cell_kind(c)].letter;
    return cell_share(c) >= 0.5 && letter >= 'a' && letter <= 'z' ? (char)(letter - 'a' + 'A')
                                                                  : letter;
}

const char *cell_shade(const struct cell *c)
{
    static const char *const shades[] = {"\u2591", "\u2592", "\u2593", "\u2588"};
    enum contents k = cell_kind(c);
    double share = cell_share(c);
    if (share == 0)
        return k == RETURNED || k == UNTOUCHED ? " " : "\u00b7";
    return shades[share >= 1 ? 3 : (int)(share * 4)];
}
