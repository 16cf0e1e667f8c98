/* SPDX-License-Identifier: MIT
 *
 * heaps.c - compares many heaps at once (mem_heap.h) with a list of their objects.
 *
 * The heaps are buffers and mappings of 256 bytes to 256 GiB, with and without slots, lock,
 * limit, patterns and guard pages, and of each style. The calls alternate between the heaps.
 *
 *     build/test/model/heaps [CALLS [SEED]]
 *
 * After each call
 *   - a new object is in its heap, aligned, and overlaps no live object; in a heap without slots
 *     it is cut from the low end of the free chunk that the style chooses among those that
 *     mem_walk has shown; and if the call failed, none of these was large enough;
 *   - an arbitrary address, in this heap, in another or outside, is what the list says, according
 *     to mem_find and mem_find_in and to the frees and resizes that must refuse it.
 * At intervals mem_walk shows the list, mem_stats adds up, mem_check finds nothing, and all
 * objects hold what was written. When all objects were freed, each heap is again one free chunk
 * in each of its parts.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "draw.h"
#include "heaps.h"
#include "mem_heap.h"

enum { NHEAPS = 12, NOBJECTS = 500, NPIECES = 1 << 20, BUFFER = 4 << 20, EDGE = 200 };
enum { WITH_SLOTS = (1 << 20) + (1 << 10), WITH_SMALL_SLOTS = 1 << 14, MUCH = 1 << 20 };

static uint64_t seed, ncalls, nhistories;
static unsigned top; /* The largest heaps have 2^top bytes. */
static int nheaps;   /* How many there are now. */
static uint64_t nplaced, nstyled, nfull, nlimited, nasked, nrefused, nresized, nwalked, nlargest,
    nreopened;

/* Returns a size of up to 2^log; each magnitude is equally likely. */
static size_t draw_size(unsigned log)
{
    size_t most = (size_t)1 << draw(log + 1);
    return most / 2 + (size_t)((double)most / 2 * draw(1 << 30) / (1 << 30));
}

struct owned {
    unsigned char *start;
    size_t size;
    unsigned char pattern;
};

struct one {
    mem_heap *heap;
    unsigned char *base;
    /* nbytes is the size of the whole heap, fresh that of the longest free chunk when the heap
     * was new. */
    size_t nbytes, fresh, nparts;
    struct mem_options options;
    bool has_slots, is_buffer;
    struct owned object[NOBJECTS]; /* In address order. */
    int n;
    size_t live, peak;
    unsigned char *gone; /* The start of the object that was freed last. */
};
static struct one heaps[NHEAPS];
static _Alignas(4096) unsigned char buffers[NHEAPS][BUFFER + 4096];

/* The pieces that mem_walk has shown of one heap. */
static struct mem_piece pieces[NPIECES];
static size_t npieces;

static void die(const struct one *h, const char *what, uint64_t expected, uint64_t got)
{
    printf("not ok 1 - %s: expected %" PRIu64 ", got %" PRIu64 "; heap of %zu bytes, flags %u, "
           "style %d; call %" PRIu64 ", seed %" PRIu64 "\n1..1\n",
           what, expected, got, h->nbytes, h->options.flags, (int)h->options.style, ncalls, seed);
    fflush(stdout);
    exit(1);
}

#define EXPECT(what, expected, got)                                                                \
    do {                                                                                           \
        if ((uint64_t)(expected) != (uint64_t)(got))                                               \
            die(h, what, (uint64_t)(expected), (uint64_t)(got));                                   \
    } while (0)

/* --- the list ---------------------------------------------------------------------- */

static size_t granules(size_t size)
{
    return size == 0 ? 16 : (size + 15) / 16 * 16;
}

/* Returns the index of the first object that ends behind the address, or h->n. */
static int index_at(const struct one *h, const unsigned char *p)
{
    int i = 0;
    while (i < h->n && h->object[i].start + granules(h->object[i].size) <= p)
        i++;
    return i;
}

/* Returns the object that contains the address, or NULL. */
static const struct owned *owner_of(const struct one *h, const unsigned char *p)
{
    int i = index_at(h, p);
    const struct owned *o = &h->object[i];
    bool in = i < h->n && p >= o->start && (p == o->start || (size_t)(p - o->start) < o->size);
    return in ? o : NULL;
}

static void add(struct one *h, unsigned char *p, size_t size)
{
    int i = index_at(h, p);
    bool apart = i == h->n || p + granules(size) <= h->object[i].start;
    EXPECT("an object that overlaps no other", true, apart);
    EXPECT("an object in its heap", true,
           p > h->base && granules(size) <= (size_t)(h->base + h->nbytes - p));
    memmove(&h->object[i + 1], &h->object[i], (size_t)(h->n++ - i) * sizeof h->object[0]);
    h->object[i] = (struct owned){p, size, (unsigned char)draw(256)};
    h->live += size;
    h->peak = h->live > h->peak ? h->live : h->peak;
}

static void take_out(struct one *h, int i)
{
    h->live -= h->object[i].size;
    h->gone = h->object[i].start;
    memmove(&h->object[i], &h->object[i + 1], (size_t)(--h->n - i) * sizeof h->object[0]);
}

/* Writes to both ends only: the pages of large objects would fill the machine's memory. */
static void write_to(const struct owned *o)
{
    size_t edge = o->size < EDGE ? o->size : EDGE;
    memset(o->start, o->pattern, edge);
    memset(o->start + o->size - edge, o->pattern, edge);
}

static bool holds(const unsigned char *p, int c, size_t nbytes)
{
    while (nbytes > 0 && p[nbytes - 1] == c)
        nbytes--;
    return nbytes == 0;
}

static void read_from(const struct one *h, const struct owned *o, size_t size)
{
    size_t edge = o->size < EDGE ? o->size : EDGE;
    EXPECT("the first bytes", true, holds(o->start, o->pattern, edge < size ? edge : size));
    if (size >= o->size)
        EXPECT("the last bytes", true, holds(o->start + o->size - edge, o->pattern, edge));
}

/* --- what the heap shows ------------------------------------------------------------ */

static bool note(const struct mem_piece *piece, void *context)
{
    (void)context;
    if (npieces < NPIECES)
        pieces[npieces++] = *piece;
    return npieces < NPIECES;
}

/* Checks that the live pieces are the list's objects, in order, and that the free ones lie
 * between them. */
static void walk(const struct one *h)
{
    const unsigned char *end = h->base;
    int k = 0;
    npieces = 0;
    EXPECT("a walk", MEM_OK, mem_walk(h->heap, note, NULL));
    for (size_t i = 0; i < npieces; i++) {
        const struct mem_piece *p = &pieces[i];
        EXPECT("a piece behind the one before", true, (unsigned char *)p->start >= end);
        EXPECT("its heap", (uintptr_t)h->heap, (uintptr_t)p->heap);
        end = (unsigned char *)p->start + p->size;
        if (p->live) {
            EXPECT("a live piece", true, k < h->n);
            EXPECT("its start", (uintptr_t)h->object[k].start, (uintptr_t)p->start);
            EXPECT("its size", h->object[k++].size, p->size);
        } else {
            bool apart = k == h->n || end <= h->object[k].start;
            EXPECT("a free piece between objects", true, apart && p->size > 0);
        }
    }
    EXPECT("all live pieces", h->n, k);
    EXPECT("the end of the last in the heap", true, end <= h->base + h->nbytes);
    nwalked++;
}

static struct mem_statistics stats_of(const struct one *h)
{
    struct mem_statistics s;
    EXPECT("statistics", MEM_OK, mem_stats(h->heap, &s));
    return s;
}

/* Returns the statistics of the heap. */
static struct mem_statistics check_whole_heap(const struct one *h)
{
    const char *wrong = NULL;
    struct mem_statistics s = stats_of(h);
    size_t nfree = 0, free_bytes = 0;
    EXPECT("a check", MEM_OK, mem_check(h->heap, &wrong));
    walk(h);
    for (size_t i = 0; i < npieces; i++) {
        nfree += !pieces[i].live;
        free_bytes += pieces[i].live ? 0 : pieces[i].size;
    }
    EXPECT("live objects", h->n, s.live_objects);
    EXPECT("live bytes", h->live, s.live_bytes);
    EXPECT("peak bytes", h->peak, s.peak_bytes);
    EXPECT("free chunks", nfree, s.free_chunks);
    EXPECT("free bytes", free_bytes, s.free_bytes);
    EXPECT("the limit", h->options.limit, s.limit);
    EXPECT("all bytes", h->nbytes, s.region_bytes);
    EXPECT("their sum", s.region_bytes,
           s.live_bytes + s.slack_bytes + s.free_bytes + s.metadata_bytes);
    for (int i = 0; i < h->n; i++)
        read_from(h, &h->object[i], h->object[i].size);
    return s;
}

/* --- callbacks ------------------------------------------------------------------------- */

/* What the callbacks were told last, and how often. The context is the heap that the list has. */
static struct told {
    uint64_t nrefused, nexhausted;
    const void *address;
    enum mem_result why;
    size_t size;
} told;

static void note_refused(mem_heap *heap, const void *address, enum mem_result why, void *context)
{
    const struct one *h = context;
    EXPECT("the heap of a callback", (uintptr_t)h->heap, (uintptr_t)heap);
    told.nrefused++;
    told.address = address;
    told.why = why;
}

static bool note_exhausted(mem_heap *heap, size_t size, void *context)
{
    const struct one *h = context;
    EXPECT("the heap of a callback", (uintptr_t)h->heap, (uintptr_t)heap);
    told.nexhausted++;
    told.size = size;
    return false;
}

/* Checks that a call that refused an address has said so, once. */
static void check_told(const struct one *h, uint64_t before, const void *p, enum mem_result why)
{
    EXPECT("calls of on_refused", before + (h->options.on_refused != NULL), told.nrefused);
    if (h->options.on_refused == NULL)
        return;
    EXPECT("the address it was told", (uintptr_t)p, (uintptr_t)told.address);
    EXPECT("the reason it was told", why, told.why);
}

/* --- any address ---------------------------------------------------------------------- */

static struct one *any_heap(void)
{
    return &heaps[draw((uint32_t)nheaps)];
}

static unsigned char *any_address(void)
{
    static unsigned char outside[16];
    const struct one *h = any_heap();
    const struct owned *o = &h->object[h->n > 0 ? draw((uint32_t)h->n) : 0];
    switch (h->n > 0 ? draw(12) : 4 + draw(8)) {
    case 0:
        return o->start;
    case 1:
        return o->start + o->size / 2;
    case 2:
        return o->start + (o->size == 0 ? 0 : o->size - 1);
    case 3:
        return o->start + o->size;
    case 4:
        return h->gone;
    case 5:
        return h->base + h->nbytes - 1 - draw(256);
    case 6:
        return h->base + h->nbytes;
    case 7:
        return h->base + draw(256);
    case 8:
        return draw(8) ? h->base - 1 : draw(2) ? outside : NULL;
    default:
        return h->base + (size_t)((double)h->nbytes * draw(1 << 30) / (1 << 30));
    }
}

static bool is_in(const struct one *h, const unsigned char *p)
{
    return p >= h->base && p < h->base + h->nbytes;
}

/* Asks mem_find and mem_find_in for the address, checks both answers against the list, and
 * returns the result that a free in heap `h` must have. */
static enum mem_result ask(const struct one *h, unsigned char *p)
{
    struct mem_piece any = {0}, in = {0};
    enum mem_result result = mem_find(p, &any), inside = mem_find_in(h->heap, p, &in);
    const struct one *around = NULL;
    for (int i = 0; i < nheaps; i++)
        around = is_in(&heaps[i], p) ? &heaps[i] : around;
    const struct owned *o = around == NULL ? NULL : owner_of(around, p);
    nasked++;
    EXPECT("of an address of another heap", around == h ? result : MEM_NOT_OURS, inside);
    if (around == NULL) {
        EXPECT("of an address outside", MEM_NOT_OURS, result);
        return MEM_NOT_OURS;
    }
    EXPECT("live", o != NULL, result == MEM_OK && any.live);
    EXPECT("an answer", true, result == MEM_OK || result == MEM_NO_OBJECT);
    if (result == MEM_OK)
        EXPECT("the heap", (uintptr_t)around->heap, (uintptr_t)any.heap);
    if (result == MEM_OK && around == h)
        EXPECT("the same twice", true,
               any.start == in.start && any.size == in.size && any.live == in.live);
    if (o != NULL) {
        EXPECT("the start", (uintptr_t)o->start, (uintptr_t)any.start);
        EXPECT("the size", o->size, any.size);
    } else if (result == MEM_OK) {
        unsigned char *from = any.start;
        int i = index_at(around, from);
        EXPECT("free memory around it", true, from <= p && p < from + any.size);
        EXPECT("nothing live in it", true,
               i == around->n || from + any.size <= around->object[i].start);
    }
    if (around != h)
        return MEM_NOT_OURS;
    return o == NULL ? (result == MEM_OK ? MEM_FREE : result) : p == o->start ? MEM_OK : MEM_INSIDE;
}

/* Frees and resizes an address that is not the start of an object of this heap. */
static void mistake(struct one *h, unsigned char *p)
{
    enum mem_result expected = ask(h, p);
    if (expected == MEM_OK || p == NULL)
        return;
    uint64_t ntold = told.nrefused;
    EXPECT("a refused free", expected, mem_free(h->heap, p));
    check_told(h, ntold, p, expected);
    if (expected != MEM_INSIDE)
        EXPECT("a refused free of any address", expected, mem_free_any(h->heap, p));
    ntold = told.nrefused;
    EXPECT("a refused resize", 0, (uintptr_t)mem_resize(h->heap, p, 1 + draw(100)));
    EXPECT("why", expected, mem_last_error());
    check_told(h, ntold, p, expected);
    nrefused++;
}

/* --- objects come and go --------------------------------------------------------------- */

static bool is_over_limit(const struct one *h, size_t size, size_t old)
{
    return h->options.limit > 0 && size > old && h->live - old + size > h->options.limit;
}

/* Returns true if the style prefers a chunk of nbytes to one of `was` bytes. */
static bool is_better(size_t nbytes, size_t was, bool lower, enum mem_style style)
{
    switch (style) {
    case MEM_FIRST_FIT:
        return lower;
    case MEM_WORST_FIT:
        return nbytes > was || (nbytes == was && lower);
    case MEM_ANY_FIT:
    case MEM_BEST_FIT:
        break;
    }
    return nbytes < was || (nbytes == was && lower);
}

/* Checks, by the last walk, that the object was cut from the chunk that the style chooses. */
static void check_place(const struct one *h, const unsigned char *p, size_t size,
                        enum mem_style style)
{
    size_t was = 0;
    for (size_t i = 0; i < npieces; i++)
        if (!pieces[i].live && pieces[i].start == p)
            was = pieces[i].size;
    EXPECT("cut from the low end of a free chunk", true, was >= granules(size));
    for (size_t i = 0; i < npieces; i++)
        if (!pieces[i].live && pieces[i].size >= granules(size) && pieces[i].start != p)
            EXPECT("no chunk that is better", false,
                   is_better(pieces[i].size, was, (unsigned char *)pieces[i].start < p, style));
    nstyled++;
}

/* Without room for the record of a rest, a chunk is taken whole; but not if this much is left. */
#define WHOLE_MAX ((size_t)UINT32_MAX / 16 * 16)

static void check_none(const struct one *h, size_t size, size_t old, bool walked)
{
    enum mem_result why = mem_last_error();
    if (size > h->nbytes || size > MEM_PART_BYTES) {
        EXPECT("an object larger than there can be", MEM_TOO_LARGE, why);
        return;
    }
    if (h->options.on_exhausted != NULL)
        EXPECT("the size that on_exhausted was told", size, told.size);
    nlimited += is_over_limit(h, size, old);
    nfull += !is_over_limit(h, size, old);
    EXPECT("why there is none", is_over_limit(h, size, old) ? MEM_OVER_LIMIT : MEM_NO_SPACE, why);
    for (size_t i = 0; walked && why == MEM_NO_SPACE && i < npieces; i++)
        EXPECT("no chunk is large enough", true,
               pieces[i].live || pieces[i].size < granules(size) ||
                   pieces[i].size - granules(size) >= WHOLE_MAX);
}

/* Returns a size that depends on the heap's, so that heaps become full. */
static size_t any_size(const struct one *h)
{
    unsigned log = 1;
    while (h->nbytes >> log > 2)
        log++;
    if (draw(40) == 0)
        return h->nbytes / (1 + draw(3)) + draw(1000);
    if (draw(2) && log > 9)
        return draw(500);
    return draw_size(log) / 4;
}

static void place(struct one *h)
{
    enum mem_style style = (enum mem_style)draw(4), used = h->options.style;
    size_t size = any_size(h), align = 1;
    bool walked = !h->has_slots && draw(3) == 0, zero = false;
    unsigned char *p;
    if (walked)
        walk(h);
    switch (draw(4)) {
    case 0:
        align = (size_t)1 << draw(14);
        p = mem_aligned(h->heap, size, align);
        break;
    case 1:
        used = style;
        p = mem_alloc_fit(h->heap, size, 1, style);
        break;
    case 2:
        zero = size <= MUCH;
        p = zero ? mem_zalloc(h->heap, size) : mem_alloc(h->heap, size);
        break;
    default:
        p = mem_alloc(h->heap, size);
    }
    if (p == NULL) {
        check_none(h, size, 0, walked && align <= 16);
        return;
    }
    EXPECT("an aligned object", 0, (uintptr_t)p % (align > 16 ? align : 16));
    EXPECT("an object below the limit", false, is_over_limit(h, size, 0));
    if (walked && align <= 16)
        check_place(h, p, size, used);
    add(h, p, size);
    const struct owned *o = owner_of(h, p);
    if (zero)
        EXPECT("zeros", true, holds(p, 0, size));
    else if (h->options.flags & MEM_FILL_NEW)
        EXPECT("the pattern of new objects", true, holds(p, h->options.fill_new, size));
    write_to(o);
    nplaced++;
}

static void resize(struct one *h, int i)
{
    struct owned o = h->object[i];
    size_t size = draw(3) ? any_size(h) : o.size + draw(100);
    if (o.size > MUCH && size > MUCH)
        /* The object may be copied, which would bring all its pages into memory. */
        size = o.size - draw(MUCH);
    unsigned char *p = mem_resize(h->heap, o.start, size);
    if (p == NULL) {
        check_none(h, size, o.size, false);
        read_from(h, &o, o.size);
        return;
    }
    EXPECT("an object below the limit", false, is_over_limit(h, size, o.size));
    size_t peak = h->peak;
    take_out(h, i);
    add(h, p, size);
    h->peak = h->live > peak ? h->live : peak;
    struct owned *now = &h->object[index_at(h, p)];
    now->pattern = o.pattern;
    o.start = p;
    read_from(h, &o, size);
    write_to(now);
    nresized++;
}

static void drop(struct one *h, int i)
{
    struct owned o = h->object[i];
    read_from(h, &o, o.size);
    if (o.size > 1 && draw(2))
        EXPECT("a free from inside", MEM_OK,
               mem_free_any(h->heap, o.start + (draw(2) ? o.size - 1 : o.size / 2)));
    else
        EXPECT("a free", MEM_OK, mem_free(h->heap, o.start));
    take_out(h, i);
    if (h->options.flags & MEM_FILL_FREED)
        EXPECT("the pattern of freed objects", true, holds(o.start, h->options.fill_freed, o.size));
    /* If its span became empty, the heap took the span back: the address may now lie in memory
     * that is neither an object nor a free chunk. */
    enum mem_result again = mem_free(h->heap, o.start);
    EXPECT("a second free", true, again == MEM_FREE || (h->has_slots && again == MEM_NO_OBJECT));
}

/* --- heaps come and go ------------------------------------------------------------------ */

static struct mem_options any_options(size_t nbytes, bool is_buffer)
{
    struct mem_options o = {.flags = draw(2) ? MEM_SINGLE_THREADED : 0,
                            .style = (enum mem_style)(draw(2) ? 0 : draw(4)),
                            .fill_new = 0xA1,
                            .fill_freed = 0xD2};
    if (nbytes <= 64 << 10)
        /* In larger heaps the pattern would bring all pages of large objects into memory. */
        o.flags |= draw(4) * MEM_FILL_NEW;
    if (nbytes <= 4 << 10 && draw(4) == 0)
        o.flags |= MEM_CHECK_CALLS;
    if (draw(2))
        o.flags |= MEM_SLOTS;
    if (!is_buffer && draw(2) && nbytes <= MEM_PART_BYTES - MUCH)
        o.flags |= MEM_GUARD_PAGES; /* Guard pages take space in the heap, too. */
    o.limit = draw(4) ? 0 : nbytes / 3;
    o.on_refused = draw(2) ? note_refused : NULL;
    o.on_exhausted = draw(2) ? note_exhausted : NULL;
    return o;
}

static void open_one(struct one *h, int i, size_t nbytes)
{
    bool is_buffer = nbytes <= BUFFER && draw(3) > 0;
    unsigned char *buffer = buffers[i] + 16 * draw(256);
    *h = (struct one){.is_buffer = is_buffer, .options = any_options(nbytes, is_buffer)};
    h->options.context = h;
    if (is_buffer)
        memset(buffer, (int)draw(256), nbytes < 4096 ? nbytes : 4096);
    h->heap =
        is_buffer ? mem_heap_in(buffer, nbytes, &h->options) : mem_heap_create(nbytes, &h->options);
    EXPECT("a heap", true, h->heap != NULL);
    h->base = h->gone = (unsigned char *)h->heap;
    struct mem_statistics s = stats_of(h);
    h->nbytes = s.region_bytes;
    h->fresh = s.largest_free;
    size_t least = h->options.flags & MEM_SLOTS ? WITH_SMALL_SLOTS : WITH_SLOTS;
    h->has_slots = h->nbytes >= least && (h->options.flags & MEM_GUARD_PAGES) == 0;
    h->nparts = (h->nbytes + MEM_PART_BYTES - 1) / MEM_PART_BYTES;
    nlargest += h->nparts > 1;
    EXPECT("one free chunk in each part", h->nparts, s.free_chunks);
    EXPECT("nearly all of it free", true,
           s.free_bytes + h->nparts * 8192 + (h->has_slots ? 0 : 6 << 16) >= h->nbytes);
}

static void close_one(struct one *h)
{
    while (h->n > 0)
        drop(h, (int)draw((uint32_t)h->n));
    struct mem_statistics s = check_whole_heap(h);
    EXPECT("one free chunk again", h->nparts, s.free_chunks);
    EXPECT("all of it", h->fresh, s.largest_free);
    EXPECT("which is no longer", 0, (uintptr_t)mem_alloc_fit(h->heap, h->fresh + 1, 1, 1));
    if (h->options.limit == 0 && (h->options.flags & (MEM_FILL_NEW | MEM_FILL_FREED)) == 0) {
        void *p = mem_alloc_fit(h->heap, h->fresh, 1, (enum mem_style)draw(4));
        EXPECT("and can be had", true, p != NULL);
        EXPECT("and given back", MEM_OK, mem_free(h->heap, p));
    }
    EXPECT("its end", MEM_OK, mem_heap_destroy(h->heap));
    if (h->is_buffer)
        EXPECT("a heap that was", MEM_NO_HEAP, mem_free(h->heap, h->base));
    struct mem_piece found;
    EXPECT("an address in it", MEM_NOT_OURS, mem_find(h->base + h->nbytes / 2, &found));
    *h = (struct one){0};
}

/* Detaches a heap in a buffer, and attaches it again where it is. */
static void reopen(struct one *h)
{
    EXPECT("detached", MEM_OK, mem_heap_detach(h->heap));
    EXPECT("a free in a heap that is detached", MEM_NO_HEAP, mem_free(h->heap, h->gone));
    mem_heap *heap = mem_heap_attach(h->base, h->nbytes, &h->options);
    EXPECT("attached again", (uintptr_t)h->heap, (uintptr_t)heap);
    nreopened++;
}

static void one_call(struct one *h, uint32_t percent)
{
    if (h->is_buffer && draw(100) == 0)
        reopen(h);
    uint32_t what = draw(100);
    if (h->n == NOBJECTS || (h->n > 0 && what < percent))
        drop(h, (int)draw((uint32_t)h->n));
    else if (h->n > 0 && what % 4 == 0)
        resize(h, (int)draw((uint32_t)h->n));
    else
        place(h);
    mistake(any_heap(), any_address());
    (void)ask(h, any_address());
    ncalls++;
}

/* Makes heaps of all sizes, with one of the smallest and one of the largest each time. */
void heaps_run(uint64_t n, int most, unsigned log)
{
    top = log;
    nheaps = most < NHEAPS ? most : NHEAPS;
    for (int i = 0; i < nheaps; i++)
        open_one(&heaps[i], i,
                 i == 0   ? 256 + draw(300)
                 : i == 1 ? (size_t)1 << top
                          : 256 + draw_size(top - 1));
    for (uint64_t k = 0; k < n && !draw_has_ended(); k++) {
        struct one *h = any_heap();
        one_call(h, k / 9000 % 2 ? 70 : 20);
        /* Not 0, which is drawn when all bytes are used up. */
        if (draw(h->has_slots ? 1500 : 300) == 1)
            (void)check_whole_heap(h);
        if (draw(2000) == 1) {
            size_t nbytes = 256 + draw_size(top - 1);
            close_one(h);
            open_one(h, (int)(h - heaps), nbytes);
        }
    }
    for (int i = 0; i < nheaps; i++)
        (void)check_whole_heap(&heaps[i]);
    for (int i = nheaps; i > 0; i--)
        close_one(&heaps[i - 1]);
    nhistories++;
}

#ifndef WITHOUT_MAIN
/* Returns true if the machine grants NHEAPS heaps of that size. */
static bool can_have(size_t nbytes)
{
    const struct one *h = &heaps[0];
    mem_heap *heap[NHEAPS];
    int n = 0;
    clock_t end = clock() + CLOCKS_PER_SEC / 40; /* An emulator is slow to map them. */
    while (n < NHEAPS && clock() < end && (heap[n] = mem_heap_create(nbytes, NULL)) != NULL)
        n++;
    bool all = n == NHEAPS;
    if (!all && clock() < end)
        EXPECT("why there is no heap", MEM_NO_MEMORY, mem_last_error());
    while (n-- > 0)
        EXPECT("the end of a heap", MEM_OK, mem_heap_destroy(heap[n]));
    return all;
}

static bool all_happened(void)
{
    return nplaced && nstyled && nfull && nlimited && nasked && nrefused && nresized && nwalked &&
           nreopened && told.nrefused && told.nexhausted;
}

int main(int argc, char **argv)
{
    uint64_t wanted = argc > 1 ? strtoull(argv[1], NULL, 10) : 100000;
    seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    draw_from_seed(seed);
    unsigned log = 38;
    while (log > 20 && !can_have((size_t)1 << log))
        log--;
    /* A short run goes on until each kind of result was seen: it does not depend on luck. */
    const uint64_t at_most = wanted + 100000;
    while (ncalls < wanted || (!all_happened() && ncalls < at_most))
        heaps_run(wanted < 16000 ? wanted : 16000, NHEAPS, log);
    const struct one *h = &heaps[0];
    EXPECT("each of these has happened", true, all_happened());
    printf("ok 1 - %" PRIu64 " calls on %" PRIu64 " times %d heaps are as in the list\n", ncalls,
           nhistories, NHEAPS);
    printf("# %" PRIu64 " placed (%" PRIu64 " beside the walk before), %" PRIu64 " full, %" PRIu64
           " over a limit, %" PRIu64 " resized\n# %" PRIu64 " addresses, %" PRIu64
           " mistakes, %" PRIu64 " walks, %" PRIu64
           " heaps of several parts (largest: 2^%u); seed %" PRIu64 "\n1..1\n",
           nplaced, nstyled, nfull, nlimited, nresized, nasked, nrefused, nwalked, nlargest, top,
           seed);
    return 0;
}
#endif
