/* SPDX-License-Identifier: MIT
 *
 * dump.c - Mem_Dump's output: one walk over the pieces of the heap (core/pieces.h) lists what is
 * free, adds up the totals and fills in the picture. It may run when there is no memory left, so it
 * uses no stdio stream and does not allocate.
 */
#include "classic/dump.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/os.h"

enum { MAP_ROWS = 4, MAP_COLUMNS = 64, NCELLS = MAP_ROWS * MAP_COLUMNS };

/* A picture of the region in 256 cells. In a region of one page a cell is one granule; in a larger
 * one it is as many granules as are needed. */
struct picture {
    size_t cell_bytes;
    bool live[NCELLS], free[NCELLS]; /* whether a cell has any of it */
};

/* Collects text, so that one system call writes many lines. */
struct out {
    int fd;
    size_t n;
    char text[4096];
};

/* Appends formatted text of less than LINE_MAX_BYTES, and writes out what was collected when the
 * buffer is nearly full. */
__attribute__((format(printf, 2, 3))) static void say(struct out *o, const char *format, ...)
{
    enum { LINE_MAX_BYTES = 256 };
    assert(o->n <= sizeof o->text);
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

/* Marks the cells that a piece lies in. */
static void picture_add(struct picture *m, size_t at, const struct piece *p)
{
    assert(p->nbytes > 0 && (at + p->nbytes - 1) / m->cell_bytes < NCELLS);
    bool *cells = p->kind == PIECE_FREE || p->kind == PIECE_FREE_SLOT ? m->free : m->live;
    for (size_t cell = at / m->cell_bytes; cell <= (at + p->nbytes - 1) / m->cell_bytes; cell++)
        cells[cell] = true;
}

/* Prints a free chunk, or a run of free slots of one size that lie side by side, as one line. */
static void say_free(struct out *o, const struct piece *run, size_t nslots)
{
    uintptr_t start = (uintptr_t)run->start;
    assert(run->nbytes > 0 && (run->kind == PIECE_FREE || nslots > 0));
    say(o, "  %#18" PRIxPTR "  %#18" PRIxPTR "  %12zu", start, start + run->nbytes - 1,
        run->nbytes);
    if (run->kind == PIECE_FREE_SLOT)
        say(o, "  %zu slot%s of %zu", nslots, nslots == 1 ? "" : "s", run->nbytes / nslots);
    say(o, "\n");
}

/* Walks the heap once: prints what is free, and fills in the picture and the tally. The caller
 * holds the heap's lock. */
static void say_all_free(const struct heap *h, struct out *o, struct picture *m,
                         struct pieces_tally *tally)
{
    struct piece p, run = {0};
    size_t nslots = 0; /* in the run */
    for (size_t at = 0; heap_piece_locked(h, at, &p); at += p.nbytes) {
        tally_piece(tally, &p);
        picture_add(m, at, &p);
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

/* Prints the picture, row by row, as far as the region reaches. */
static void say_picture(struct out *o, const struct picture *m, size_t nbytes)
{
    size_t cell_bytes = m->cell_bytes;
    assert(cell_bytes % GRANULE_BYTES == 0 && cell_bytes * NCELLS >= nbytes);
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

/* The caller holds the heap's lock. */
static void dump_locked(const struct heap *h, struct out *o)
{
    struct picture picture = {0};
    struct pieces_tally tally = {0};
    size_t nbytes = h->chunks.region.nbytes;
    picture.cell_bytes = ceil_div(nbytes / GRANULE_BYTES, NCELLS) * GRANULE_BYTES;
    say(o, "free memory in the heap at %p, %zu bytes\n", (void *)h->chunks.region.base, nbytes);
    say(o, "  %18s  %18s  %12s\n", "first byte", "last byte", "bytes");
    say_all_free(h, o, &picture, &tally);
    say(o, "%zu free chunk%s, %zu bytes, the largest %zu\n", tally.nfree_chunks,
        tally.nfree_chunks == 1 ? "" : "s", tally.free_chunk_bytes, tally.largest_free);
    if (tally.nfree_slots > 0)
        say(o, "%zu free slot%s, %zu bytes\n", tally.nfree_slots, tally.nfree_slots == 1 ? "" : "s",
            tally.free_slot_bytes);
    say(o, "%zu object%s, %zu byte%s; ledger %zu bytes\n", tally.nobjects,
        tally.nobjects == 1 ? "" : "s", tally.object_bytes, tally.object_bytes == 1 ? "" : "s",
        ledger_nbytes(&h->chunks.ledger));
    say_picture(o, &picture, nbytes);
}

void dump_heap(struct heap *h, int fd)
{
    struct out o = {.fd = fd};
    int cancel;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE,
                           &cancel); /* a thread that is cancelled in a write would keep the lock */
    heap_lock(h);
    if (h->chunks.region.base != NULL)
        dump_locked(h, &o);
    else
        say(&o, "no heap: it has not been initialised\n");
    os_write(fd, o.text, o.n);
    heap_unlock(h);
    pthread_setcancelstate(cancel, &cancel);
}
