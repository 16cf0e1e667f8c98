/* SPDX-License-Identifier: MIT
 *
 * census.c - counts live objects by their size and their origin. See census.h.
 */
#include "census.h"

#include <err.h>
#include <stdlib.h>

#include "source.h"

#include "command.h"

/* Kinds are a hash table whose room is a power of two, until they are sorted; `largest` is sorted
 * always, the largest first. */

static struct kind *place_of(const struct kinds *k, uint64_t key)
{
    size_t i = (size_t)(key * UINT64_C(0x9E3779B97F4A7C15) >> 20) & (k->room - 1);
    while (k->list[i].count != 0 && k->list[i].key != key)
        i = (i + 1) & (k->room - 1);
    return &k->list[i];
}

static void grow(struct kinds *k)
{
    struct kinds old = *k;
    k->room = old.room == 0 ? 1024 : 2 * old.room;
    k->list = calloc(k->room, sizeof *k->list);
    if (k->list == NULL)
        err(UNKNOWN, "no memory");
    for (size_t i = 0; i < old.room; i++)
        if (old.list[i].count != 0)
            *place_of(k, old.list[i].key) = old.list[i];
    free(old.list);
}

void kinds_add(struct kinds *k, struct kind more)
{
    if (2 * k->n >= k->room)
        grow(k);
    struct kind *kind = place_of(k, more.key);
    k->n += kind->count == 0;
    kind->key = more.key;
    kind->origin = more.origin;
    kind->count += more.count;
    kind->bytes += more.bytes;
}

static int compare(const void *a, const void *b)
{
    const struct kind *x = a, *y = b;
    if (x->bytes != y->bytes)
        return x->bytes > y->bytes ? -1 : 1;
    return x->key < y->key ? -1 : x->key > y->key;
}

void kinds_sort(struct kinds *k)
{
    size_t n = 0;
    for (size_t i = 0; i < k->room; i++)
        if (k->list[i].count != 0)
            k->list[n++] = k->list[i];
    sort_array(k->list, n, sizeof *k->list, compare);
}

static void note_large(struct census *c, const struct target_piece *p)
{
    if (c->top == 0 || (c->nlargest == c->top && c->largest[c->nlargest - 1].size >= p->size))
        return;
    if (c->nlargest < c->top)
        c->largest = grown(c->largest, c->nlargest++, sizeof *c->largest);
    size_t i = c->nlargest - 1;
    for (; i > 0 && c->largest[i - 1].size < p->size; i--)
        c->largest[i] = c->largest[i - 1];
    c->largest[i] = (struct object_at){p->start, p->size};
}

static bool count(const struct target_piece *p, void *context)
{
    struct census *c = context;
    progress("counting", p->start - c->view->base, c->view->nbytes);
    if (p->kind != PIECE_OBJECT)
        return true;
    kinds_add(&c->sizes, (struct kind){.key = p->size, .count = 1, .bytes = p->size});
    if (c->history != NULL) {
        uint32_t origin = origin_of(c->history, p->start, p->size);
        kinds_add(&c->origins, (struct kind){origin, origin, 1, p->size});
    }
    c->count++;
    c->bytes += p->size;
    c->slack += p->nbytes - p->size;
    note_large(c, p);
    return true;
}

/* Counts by key what was counted by origin. */
static void join_origins(struct census *c)
{
    struct kinds by_origin = c->origins;
    c->origins = (struct kinds){0};
    for (size_t i = 0; i < by_origin.room; i++) {
        struct kind kind = by_origin.list[i];
        kind.key = kind.count == 0 ? 0 : origin_key(c->history, kind.origin);
        if (kind.count > 0)
            kinds_add(&c->origins, kind);
    }
    free(by_origin.list);
}

bool census_take(struct census *c, const struct look *l)
{
    bool is_whole = true;
    for (size_t i = 0; i < l->heaps.n; i++) {
        c->view = &l->heaps.views[i];
        is_whole &= view_walk(c->view, count, c);
    }
    join_origins(c);
    kinds_sort(&c->sizes);
    kinds_sort(&c->origins);
    progress_end();
    return is_whole;
}

void census_free(struct census *c)
{
    free(c->sizes.list);
    free(c->origins.list);
    free(c->largest);
}

/* --- two of them ----------------------------------------------------------------------- */

int64_t change_objects(const struct change *c)
{
    return (int64_t)(c->new.count - c->old.count);
}

int64_t change_bytes(const struct change *c)
{
    return (int64_t)(c->new.bytes - c->old.bytes);
}

static int by_key(const void *a, const void *b)
{
    const struct kind *x = a, *y = b;
    return x->key < y->key ? -1 : x->key > y->key;
}

static int by_growth(const void *a, const void *b)
{
    const struct change *p = a, *q = b;
    int64_t x = llabs(change_bytes(p)), y = llabs(change_bytes(q));
    if (x != y)
        return x > y ? -1 : 1;
    return by_key(&p->new, &q->new);
}

/* Merges the two lists, and leaves out what is equal. */
struct changes kinds_compare(struct kinds *old, struct kinds *new)
{
    struct changes changes = {.list = calloc(old->n + new->n + 1, sizeof *changes.list)};
    if (changes.list == NULL)
        err(UNKNOWN, "no memory");
    if (old->n > 0)
        sort_array(old->list, old->n, sizeof *old->list, by_key);
    if (new->n > 0)
        sort_array(new->list, new->n, sizeof *new->list, by_key);
    for (size_t i = 0, k = 0; i < old->n || k < new->n;) {
        const struct kind *p = i < old->n ? &old->list[i] : NULL;
        const struct kind *q = k < new->n ? &new->list[k] : NULL;
        bool has_old = p != NULL && (q == NULL || p->key <= q->key);
        bool has_new = q != NULL && (p == NULL || q->key <= p->key);
        struct change c = {.old.key = has_old ? p->key : q->key};
        c.new.key = c.old.key;
        c.old = has_old ? *p : c.old;
        c.new = has_new ? *q : c.new;
        i += has_old;
        k += has_new;
        if (c.old.count != c.new.count || c.old.bytes != c.new.bytes)
            changes.list[changes.n++] = c;
    }
    if (changes.n > 0)
        sort_array(changes.list, changes.n, sizeof *changes.list, by_growth);
    return changes;
}

const struct kind *kinds_find(const struct kinds *k, uint64_t key)
{
    struct kind wanted = {.key = key};
    return k->n == 0 ? NULL : bsearch(&wanted, k->list, k->n, sizeof *k->list, by_key);
}
