/* SPDX-License-Identifier: MIT */
#include "dump.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "os.h"

enum { MAP_ROWS = 4, MAP_COLUMNS = 64, NCELLS = MAP_ROWS * MAP_COLUMNS };

/* One cell of the map in one page is one granule; larger regions have larger cells. */
struct map {
    uint32_t granules_per_cell;
    uint32_t live[NCELLS], free[NCELLS]; /* granules of each kind in a cell */
};

struct sums {
    size_t nobjects, object_bytes, nfree, free_bytes, largest_free;
};

/* Text is gathered here, so that a system call writes many lines. */
struct out {
    int fd;
    size_t n;
    char text[4096];
};

__attribute__((format(printf, 2, 3))) static void say(struct out *o, const char *format, ...)
{
    enum { LINE_MAX_BYTES = 256 };
    if (o->n + LINE_MAX_BYTES > sizeof o->text) {
        os_write(o->fd, o->text, o->n);
        o->n = 0;
    }
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(o->text + o->n, LINE_MAX_BYTES, format, arguments);
    va_end(arguments);
    o->n += n < 0 ? 0 : least((unsigned)n, LINE_MAX_BYTES - 1);
}

static void map_add(struct map *m, uint32_t *cells, const struct chunk *c)
{
    uint64_t at = c->start, end = at + c->length;
    while (at < end) {
        uint64_t cell = at / m->granules_per_cell;
        uint64_t cell_end = (cell + 1) * m->granules_per_cell;
        uint64_t stop = cell_end < end ? cell_end : end;
        cells[cell] += (uint32_t)(stop - at);
        at = stop;
    }
}

static void count(struct sums *s, struct map *m, const struct chunk *c)
{
    size_t nbytes = (size_t)c->length * GRANULE_BYTES;
    if (c->state == 0) {
        s->nfree++;
        s->free_bytes += nbytes;
        s->largest_free = nbytes > s->largest_free ? nbytes : s->largest_free;
        map_add(m, m->free, c);
    } else {
        s->nobjects += c->state != CHUNK_RESERVED;
        s->object_bytes += c->state != CHUNK_RESERVED ? nbytes - (c->state - 1) : 0;
        map_add(m, m->live, c);
    }
}

static void say_map(struct out *o, const struct map *m, size_t nbytes)
{
    size_t cell_bytes = (size_t)m->granules_per_cell * GRANULE_BYTES;
    say(o, "\nmap, %zu bytes a cell: # objects  . free  + both  = ledger\n", cell_bytes);
    for (unsigned row = 0; row < MAP_ROWS && row * MAP_COLUMNS * cell_bytes < nbytes; row++) {
        say(o, "  ");
        for (unsigned cell = row * MAP_COLUMNS; cell < (row + 1) * MAP_COLUMNS; cell++)
            say(o, "%c",
                cell * cell_bytes >= nbytes      ? ' '
                : m->live[cell] && m->free[cell] ? '+'
                : m->live[cell]                  ? '#'
                : m->free[cell]                  ? '.'
                                                 : '=');
        say(o, "\n");
    }
}

static void dump_locked(const struct heap *h, struct out *o)
{
    struct map map = {0};
    struct sums sums = {0};
    size_t ngranules = h->region.nbytes / GRANULE_BYTES;
    map.granules_per_cell = (uint32_t)ceil_div(ngranules, NCELLS);
    say(o, "free memory in the heap at %p, %zu bytes\n", (void *)h->region.base, h->region.nbytes);
    say(o, "  %18s  %18s  %12s\n", "first byte", "last byte", "bytes");
    struct chunk c;
    for (uint32_t at = 0; ledger_find(&h->ledger, at, &c); at = c.start + c.length) {
        count(&sums, &map, &c);
        uintptr_t start = (uintptr_t)region_at(&h->region, c.start);
        size_t nbytes = (size_t)c.length * GRANULE_BYTES;
        if (c.state == 0)
            say(o, "  %#18" PRIxPTR "  %#18" PRIxPTR "  %12zu\n", start, start + nbytes - 1,
                nbytes);
    }
    say(o, "%zu free chunk%s, %zu bytes, the largest %zu\n", sums.nfree, sums.nfree == 1 ? "" : "s",
        sums.free_bytes, sums.largest_free);
    say(o, "%zu object%s, %zu bytes; ledger %zu bytes\n", sums.nobjects,
        sums.nobjects == 1 ? "" : "s", sums.object_bytes, ledger_nbytes(&h->ledger));
    say_map(o, &map, h->region.nbytes);
}

void dump_heap(struct heap *h, int fd)
{
    struct out o = {.fd = fd};
    int cancel;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel); /* not while the lock is held */
    heap_lock(h);
    if (h->region.base != NULL)
        dump_locked(h, &o);
    else
        say(&o, "no heap: it has not been initialised\n");
    os_write(fd, o.text, o.n);
    heap_unlock(h);
    pthread_setcancelstate(cancel, &cancel);
}
