/* SPDX-License-Identifier: MIT */
#include "classic/dump.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/os.h"

enum { MAP_ROWS = 4, MAP_COLUMNS = 64, NCELLS = MAP_ROWS * MAP_COLUMNS };

/* One cell of the map of one page is one granule; larger regions have larger cells. */
struct map {
    size_t cell_bytes;
    bool live[NCELLS], free[NCELLS]; /* is there any of it in a cell? */
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

static void map_add(struct map *m, size_t at, const struct piece *p)
{
    bool *cells = p->kind == PIECE_FREE || p->kind == PIECE_FREE_SLOT ? m->free : m->live;
    for (size_t cell = at / m->cell_bytes; cell <= (at + p->nbytes - 1) / m->cell_bytes; cell++)
        cells[cell] = true;
}

/* Free slots side by side are one line. */
static void say_free(struct out *o, const struct piece *run, size_t nslots)
{
    uintptr_t start = (uintptr_t)run->start;
    say(o, "  %#18" PRIxPTR "  %#18" PRIxPTR "  %12zu", start, start + run->nbytes - 1,
        run->nbytes);
    if (run->kind == PIECE_FREE_SLOT)
        say(o, "  %zu slot%s of %zu", nslots, nslots == 1 ? "" : "s", run->nbytes / nslots);
    say(o, "\n");
}

static void say_all_free(const struct heap *h, struct out *o, struct map *m,
                         struct pieces_tally *tally)
{
    struct piece p, run = {0};
    size_t nslots = 0; /* in the run */
    for (size_t at = 0; heap_piece_locked(h, at, &p); at += p.nbytes) {
        tally_piece(tally, &p);
        map_add(m, at, &p);
        if (nslots > 0 && (p.kind != PIECE_FREE_SLOT || p.nbytes != run.nbytes / nslots)) {
            say_free(o, &run, nslots);
            nslots = 0;
        }
        if (p.kind == PIECE_FREE)
            say_free(o, &p, 0);
        if (p.kind == PIECE_FREE_SLOT && nslots++ == 0)
            run = p;
        else if (p.kind == PIECE_FREE_SLOT)
            run.nbytes += p.nbytes;
    }
    if (nslots > 0)
        say_free(o, &run, nslots);
}

static void say_map(struct out *o, const struct map *m, size_t nbytes)
{
    size_t cell_bytes = m->cell_bytes;
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
    struct pieces_tally tally = {0};
    size_t nbytes = h->chunks.region.nbytes;
    map.cell_bytes = ceil_div(nbytes / GRANULE_BYTES, NCELLS) * GRANULE_BYTES;
    say(o, "free memory in the heap at %p, %zu bytes\n", (void *)h->chunks.region.base, nbytes);
    say(o, "  %18s  %18s  %12s\n", "first byte", "last byte", "bytes");
    say_all_free(h, o, &map, &tally);
    say(o, "%zu free chunk%s, %zu bytes, the largest %zu\n", tally.nfree_chunks,
        tally.nfree_chunks == 1 ? "" : "s", tally.free_chunk_bytes, tally.largest_free);
    if (tally.nfree_slots > 0)
        say(o, "%zu free slot%s, %zu bytes\n", tally.nfree_slots, tally.nfree_slots == 1 ? "" : "s",
            tally.free_slot_bytes);
    say(o, "%zu object%s, %zu bytes; ledger %zu bytes\n", tally.nobjects,
        tally.nobjects == 1 ? "" : "s", tally.object_bytes, ledger_nbytes(&h->chunks.ledger));
    say_map(o, &map, nbytes);
}

void dump_heap(struct heap *h, int fd)
{
    struct out o = {.fd = fd};
    int cancel;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel); /* not while the lock is held */
    heap_lock(h);
    if (h->chunks.region.base != NULL)
        dump_locked(h, &o);
    else
        say(&o, "no heap: it has not been initialised\n");
    os_write(fd, o.text, o.n);
    heap_unlock(h);
    pthread_setcancelstate(cancel, &cancel);
}
