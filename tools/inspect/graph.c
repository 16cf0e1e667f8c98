/* SPDX-License-Identifier: MIT
 *
 * graph.c - reads roots and objects, finds the object at an address, and marks what can be reached.
 *
 * In this order: memory for copies, reading while the target is stopped, finding all objects, from
 * address to object, marking.
 */
#include "graph.h"

#include <err.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "command.h"
#include "source.h"

enum {
    WORD = sizeof(uint64_t),
    PAGE = 4096,
    AT_ONCE = 4 << 20, /* bytes that are read by one call */
    OFTEN = 1 << 16    /* objects, from one sign of progress to the next */
};

/* Addresses, from `start` to `end`. */
struct range {
    uint64_t start, end;
};

/* One heap's objects. A bucket is 2^shift granules of the region, and there are at most as many
 * buckets as objects, so that few objects begin in each. */
struct nodes {
    const struct view *view;
    struct range all;       /* the whole heap, its header too */
    struct range chunks;    /* where objects can be */
    unsigned char *payload; /* a copy of `chunks`; NULL: it is empty */
    size_t reserved;        /* how long its mapping is */
    uint64_t *pages;        /* a bit for each page of it: whether anything of it was read */
    uint32_t first, n;      /* the numbers of its objects */
    size_t room;            /* for how many the arrays have room */
    uint32_t *start;        /* of each object, in granules of the region */
    size_t *size;
    uint32_t *bucket; /* the first object that begins in the bucket or above it */
    unsigned shift;
    uint32_t outer; /* the object that this heap lies in, or NO_OBJECT */
};

/* Memory for a copy of the region at `base`, made ready while the target runs. */
struct spare {
    uint64_t base;
    unsigned char *memory;
    size_t nbytes;
};

/* A word that may be a pointer, until all objects are known. */
struct word {
    uint64_t place, value;
};

struct graph {
    struct target *target;
    struct nodes *heaps; /* in the order of the views: outer ones before those in them */
    size_t nheaps;
    struct spare *spares;
    size_t nspares;
    struct range any; /* all `chunks` lie in it */
    uint32_t nobjects;
    struct root *roots;
    size_t nroots, roots_room;
    struct word *words; /* of the roots, while they are read; then `pointers` takes their place */
    size_t nwords, words_room;
    struct pointer *pointers;
    struct range *holes; /* what is no root [GA2], in address order and apart */
    size_t nholes;
    uint32_t *queue; /* for marking: room for all objects */
    uint64_t nbytes, nunread;
};

/* Makes room for one element more in an array of n. */
static void *grow(void *array, size_t n, size_t *room, size_t nbytes)
{
    if (n < *room)
        return array;
    *room = *room == 0 ? 64 : *room * 2;
    array = reallocarray(array, *room, nbytes);
    if (array == NULL)
        err(UNKNOWN, "the pointers of the target");
    return array;
}

static void *new_array(size_t n, size_t nbytes)
{
    void *array = calloc(n == 0 ? 1 : n, nbytes);
    if (array == NULL)
        err(UNKNOWN, "the objects of the target");
    return array;
}

/* --- memory for copies ---------------------------------------------------------------- */

/* Takes memory only for what is written to it. */
static unsigned char *reserve(size_t nbytes)
{
    void *memory = mmap(NULL, nbytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        err(UNKNOWN, "a copy of the objects");
    return memory;
}

/* Makes the system give the pages of some memory now: huge ones, as far as they are filled. */
static void make_present(unsigned char *memory, size_t nbytes)
{
    const uintptr_t huge = (uintptr_t)2 << 20;
    uintptr_t from = ((uintptr_t)memory + huge - 1) / huge * huge;
    uintptr_t end = ((uintptr_t)memory + nbytes) / huge * huge;
    if (from < end) /* without them it only takes longer */
        (void)madvise((void *)from, end - from, MADV_HUGEPAGE);
    for (size_t at = 0; at < nbytes; at += PAGE)
        ((volatile unsigned char *)memory)[at] = 0;
}

/* Finds the chunks of a view: where objects can be. */
static struct range chunks_of(const struct view *v)
{
    uint64_t top = v->fault != NULL ? 0 : (uint64_t)v->heap.chunks.ledger.b.top * GRANULE_BYTES;
    return (struct range){v->base, v->base + top};
}

/* Cuts a range down to what it has in common with another one. */
static struct range common(struct range a, struct range b)
{
    a.start = a.start > b.start ? a.start : b.start;
    a.end = a.end < b.end ? a.end : b.end;
    return a;
}

/* Makes memory ready for what a process has in memory of one region. */
static struct spare spare_for(struct target *t, const struct view *v)
{
    struct spare spare = {.base = v->base, .memory = reserve(v->nbytes), .nbytes = v->nbytes};
    struct extent *list = NULL;
    size_t n = 0;
    for (size_t i = 0; i < target_nmappings(t); i++) {
        const struct mapping *m = &target_mappings(t)[i];
        struct range part = common(chunks_of(v), (struct range){m->start, m->end});
        part.start = part.start / PAGE * PAGE;
        part.end = (part.end + PAGE - 1) / PAGE * PAGE;
        if (part.start < part.end && (m->access & MAY_READ) != 0)
            (void)target_resident(t, part.start, part.end, &list, &n);
    }
    for (size_t i = 0; i < n; i++) {
        struct range part = common((struct range){list[i].start, list[i].end}, chunks_of(v));
        make_present(spare.memory + (part.start - v->base), (size_t)(part.end - part.start));
    }
    free(list);
    return spare;
}

static int compare_spares(const void *a, const void *b)
{
    const struct spare *p = a, *q = b;
    return p->base < q->base ? -1 : p->base > q->base;
}

/* The views are of a process that runs, and may be nonsense: what is not as large as it seemed here
 * gets its memory while the process is stopped. */
static void prepare_copies(struct graph *g, const struct heaps *hs)
{
    g->spares = new_array(hs->n, sizeof *g->spares);
    for (size_t i = 0; i < hs->n; i++)
        if (hs->views[i].fault == NULL)
            g->spares[g->nspares++] = spare_for(g->target, &hs->views[i]);
    sort_array(g->spares, g->nspares, sizeof *g->spares, compare_spares);
}

/* Gives a heap the memory for its copy. */
static void take_memory(struct graph *g, struct nodes *h)
{
    struct spare key = {.base = h->view->base};
    struct spare *s = g->nspares == 0
                          ? NULL
                          : bsearch(&key, g->spares, g->nspares, sizeof *g->spares, compare_spares);
    if (s != NULL && s->memory != NULL && s->nbytes == h->view->nbytes) {
        h->payload = s->memory;
        h->reserved = s->nbytes;
        s->memory = NULL;
        return;
    }
    h->reserved = (size_t)(h->chunks.end - h->chunks.start);
    h->payload = reserve(h->reserved);
}

/* --- reading -------------------------------------------------------------------------- */

/* Notes a word of the root that is read now, if it may point to an object. */
static void note_word(struct graph *g, uint64_t place, uint64_t value)
{
    if (value - g->any.start >= g->any.end - g->any.start)
        return;
    g->words = grow(g->words, g->nwords, &g->words_room, sizeof *g->words);
    g->words[g->nwords++] = (struct word){place, value};
    g->roots[g->nroots - 1].npointers++;
}

/* Notes what may be pointers in a part of the root that is read now. All stretches begin at a
 * multiple of 8: a mapping does, and a stack pointer is rounded up. */
static void note_words(struct graph *g, uint64_t address, const unsigned char *bytes, size_t nbytes)
{
    for (size_t i = 0; i + WORD <= nbytes; i += WORD) {
        uint64_t value;
        memcpy(&value, bytes + i, WORD);
        note_word(g, address + i, value);
    }
}

static size_t page_of(const struct nodes *h, uint64_t address)
{
    return (size_t)(address / PAGE - h->chunks.start / PAGE);
}

/* Notes that pages of a heap were read, as far as they lie in its chunks. */
static void note_pages(struct nodes *h, uint64_t address, size_t nbytes)
{
    for (size_t i = page_of(h, address); i <= page_of(h, address + nbytes - 1); i++)
        h->pages[i / 64] |= (uint64_t)1 << i % 64;
}

/* Reads a range: a part of the heap h, into its copy; or of a root, if h is NULL. */
static void read_stretch(struct graph *g, struct range r, struct nodes *h)
{
    static unsigned char buffer[AT_ONCE];
    while (r.start < r.end) {
        unsigned char *to = h == NULL ? buffer : h->payload + (r.start - h->chunks.start);
        size_t wanted = r.end - r.start < AT_ONCE ? (size_t)(r.end - r.start) : AT_ONCE;
        size_t got = target_read_some(g->target, r.start, to, wanted);
        if (got > 0 && h != NULL)
            note_pages(h, r.start, got);
        else
            note_words(g, r.start, to, got);
        g->nbytes += got;
        r.start += got;
        if (got < wanted) {
            uint64_t next = target_next(g->target, r.start, r.end);
            g->nunread += next - r.start;
            r.start = next;
        }
    }
}

/* Reads parts of a heap that are in memory. They are cut into pieces for target_read_at_once; a
 * piece of which not all could be read is gone through once more, page by page. */
static void read_parts(struct graph *g, struct nodes *h, struct range r, const struct extent *list,
                       size_t n)
{
    struct transfer *pieces = NULL;
    size_t npieces = 0, room = 0;
    for (size_t i = 0; i < n; i++) {
        struct range part = common((struct range){list[i].start, list[i].end}, r);
        for (uint64_t at = part.start; at < part.end; at += AT_ONCE) {
            pieces = grow(pieces, npieces, &room, sizeof *pieces);
            pieces[npieces++] =
                (struct transfer){.address = at,
                                  .to = h->payload + (at - h->chunks.start),
                                  .nbytes =
                                      part.end - at < AT_ONCE ? (size_t)(part.end - at) : AT_ONCE};
        }
    }
    target_read_at_once(g->target, pieces, npieces);
    for (size_t i = 0; i < npieces; i++) {
        const struct transfer *p = &pieces[i];
        if (p->done > 0)
            note_pages(h, p->address, p->done);
        g->nbytes += p->done;
        read_stretch(g, (struct range){p->address + p->done, p->address + p->nbytes}, h);
    }
    free(pieces);
}

/* Pages that hold zeros are left out. The range lies in one mapping. */
static void read_range(struct graph *g, struct range r, struct nodes *h)
{
    struct extent *list = NULL;
    size_t n = 0;
    uint64_t start = r.start / PAGE * PAGE, end = (r.end + PAGE - 1) / PAGE * PAGE;
    (void)target_filled(g->target, start, end, &list, &n);
    if (h != NULL)
        read_parts(g, h, r, list, n);
    for (size_t i = 0; i < n && h == NULL; i++)
        read_stretch(g, common((struct range){list[i].start, list[i].end}, r), h);
    free(list);
}

/* Reads what the objects of a heap hold. The copy is as large as the chunks of the region, and
 * takes memory only for what is read. What lies in an object of another heap is read with that,
 * too; so heaps in heaps are read several times. A damaged file may list one heap thousands of
 * times: then most of them are not read. */
static void read_payload(struct graph *g, struct nodes *h)
{
    enum { NESTED = 8 };
    const struct mapping *m = target_mappings(g->target);
    size_t nbytes = (size_t)(h->chunks.end - h->chunks.start);
    if (nbytes == 0)
        return;
    take_memory(g, h);
    h->pages = new_array(page_of(h, h->chunks.end - 1) / 64 + 1, sizeof *h->pages);
    bool has_room = g->nbytes <= NESTED * target_bytes(g->target);
    g->nunread += has_room ? 0 : nbytes;
    for (size_t i = 0; i < target_nmappings(g->target) && has_room; i++) {
        struct range part = common((struct range){m[i].start, m[i].end}, h->chunks);
        if (part.start < part.end && m[i].access & MAY_READ)
            read_range(g, part, h);
    }
}

/* What is noted from now on is of this root. */
static void root_begin(struct graph *g, struct root root)
{
    g->roots = grow(g->roots, g->nroots, &g->roots_room, sizeof *g->roots);
    root.first = g->nwords;
    g->roots[g->nroots++] = root;
}

/* A root that holds no pointer is none. */
static void root_end(struct graph *g)
{
    if (g->roots[g->nroots - 1].npointers == 0)
        g->nroots--;
}

/* Reads a part of a mapping as one root, except what heaps take of it. */
static void read_root(struct graph *g, struct root root)
{
    uint64_t at = root.start;
    size_t i = 0;
    for (size_t n = g->nholes; n > 0;) { /* the first hole that ends above the root's start */
        size_t half = n / 2;
        bool is_below = g->holes[i + half].end <= at;
        i = is_below ? i + half + 1 : i;
        n = is_below ? n - half - 1 : half;
    }
    root_begin(g, root);
    for (; i < g->nholes && g->holes[i].start < root.end; i++) {
        struct range hole = g->holes[i];
        if (hole.start > at)
            read_range(g, (struct range){at, hole.start}, NULL);
        at = hole.end;
    }
    if (at < root.end)
        read_range(g, (struct range){at, root.end}, NULL);
    root_end(g);
}

static void read_registers(struct graph *g, const struct target_thread *thread)
{
    root_begin(g, (struct root){.kind = ROOT_REGISTERS, .thread = thread->id});
    for (size_t i = 0; i < thread->nregisters && i < REGISTERS_MAX; i++)
        note_word(g, i, thread->registers[i]);
    for (size_t i = 0; i < thread->nvectors; i++)
        note_word(g, REGISTERS_MAX + i, thread->vectors[i]);
    root_end(g);
}

/* Returns the thread whose stack a mapping holds: that with the lowest stack pointer in it; or
 * NULL. */
static const struct target_thread *thread_on(const struct graph *g, const struct mapping *m)
{
    const struct target_thread *threads = target_threads(g->target), *found = NULL;
    for (size_t i = 0; i < target_nthreads(g->target); i++)
        if (threads[i].stack_pointer >= m->start && threads[i].stack_pointer < m->end &&
            (found == NULL || threads[i].stack_pointer < found->stack_pointer))
            found = &threads[i];
    return found;
}

/* A mapping of a file to which the program may not write, right before one of the same file to
 * which it may, was written to before the dynamic linker protected it (RELRO). */
static bool is_protected_data(const struct mapping *m, const struct mapping *next)
{
    return (m->access & MAY_EXECUTE) == 0 && next != NULL && (next->access & MAY_WRITE) != 0 &&
           next->start == m->end && next->file != NULL && strcmp(next->file, m->file) == 0;
}

bool graph_is_root(const struct target *t, size_t i)
{
    const struct mapping *m = &target_mappings(t)[i];
    const struct mapping *next = i + 1 < target_nmappings(t) ? m + 1 : NULL;
    if ((m->access & MAY_READ) == 0)
        return false;
    return (m->access & MAY_WRITE) != 0 || m->file == NULL || is_protected_data(m, next);
}

static bool is_first_stack(const struct mapping *m)
{
    return m->file != NULL && strcmp(m->file, "[stack]") == 0;
}

/* Returns whether a mapping on which a thread runs looks like a stack: it is that of the first
 * thread, or lies above pages that are not accessible, as the stacks do that pthread_create makes.
 * The kernel joins neighbours, and a program may cut a mapping into stacks of coroutines, so that
 * it may hold more than the stack of that thread. */
static bool is_stack(const struct graph *g, const struct mapping *m)
{
    const struct mapping *below = m > target_mappings(g->target) ? m - 1 : NULL;
    return is_first_stack(m) ||
           (m->file == NULL && below != NULL && below->end == m->start && below->access == 0);
}

/* Returns whether the mapping is the thread's own stack, so that nothing below the stack pointer is
 * in use. It is, if it is the first thread's; or if a thread that pthread_create made has its
 * thread-local storage at the top, as the C library lays it out. If a mapping is cut into stacks of
 * coroutines, that lies elsewhere; but the first thread's may be right behind such a mapping. */
static bool is_own_stack(const struct graph *g, const struct mapping *m,
                         const struct target_thread *thread)
{
    int first = target_pid(g->target);
    return is_first_stack(m) ||
           (is_stack(g, m) && first != 0 && thread->id != first &&
            thread->thread_pointer > thread->stack_pointer && thread->thread_pointer < m->end);
}

/* The x86-64 ABI lets a function use 128 bytes below the stack pointer. */
static void read_mapping(struct graph *g, const struct mapping *m)
{
    enum { RED_ZONE = 128 };
    struct root root = {.kind = ROOT_MAPPING, .start = m->start, .end = m->end, .mapping = m};
    const struct target_thread *thread = thread_on(g, m);
    if (thread != NULL && is_stack(g, m)) {
        root.kind = ROOT_STACK;
        root.thread = thread->id;
    }
    if (thread != NULL && is_own_stack(g, m, thread)) {
        uint64_t low = (thread->stack_pointer + WORD - 1) / WORD * WORD;
        root.start = low - m->start > RED_ZONE ? low - RED_ZONE : m->start;
    }
    uint64_t nunread = g->nunread;
    read_root(g, root);
    if ((m->access & MAY_WRITE) == 0) /* such as [vvar], which core files do not have */
        g->nunread = nunread;
}

static void read_roots(struct graph *g)
{
    const struct target_thread *threads = target_threads(g->target);
    for (size_t i = 0; i < target_nthreads(g->target); i++)
        read_registers(g, &threads[i]);
    const struct mapping *m = target_mappings(g->target);
    size_t n = target_nmappings(g->target);
    for (size_t i = 0; i < n; i++)
        if (graph_is_root(g->target, i))
            read_mapping(g, &m[i]);
}

static struct nodes nodes_of(const struct view *v)
{
    struct nodes h = {.view = v, .outer = NO_OBJECT};
    h.all = (struct range){v->base, v->base + v->nbytes};
    if (v->kind == VIEW_OWN && v->address < v->base && v->part == 0)
        h.all.start = v->address; /* its header lies below */
    h.chunks = chunks_of(v);
    return h;
}

/* Of two ranges that begin at one address, the outer one comes first. */
static int by_address(const void *a, const void *b)
{
    const struct range *p = a, *q = b;
    if (p->start != q->start)
        return p->start < q->start ? -1 : 1;
    return p->end > q->end ? -1 : p->end < q->end;
}

/* A struct heap in the library's data has the address of the first object, the list of all heaps
 * those of heaps that lie in objects, and a history those of all objects. */
static void find_holes(struct graph *g, const struct heaps *hs)
{
    struct extent history = events_extent(g->target);
    g->holes = new_array(2 * g->nheaps + 2, sizeof *g->holes);
    g->holes[g->nholes++] = (struct range){hs->list.start, hs->list.end};
    g->holes[g->nholes++] = (struct range){history.start, history.end};
    for (size_t i = 0; i < g->nheaps; i++) {
        const struct view *v = g->heaps[i].view;
        g->holes[g->nholes++] = g->heaps[i].all;
        if (v->kind != VIEW_OWN)
            g->holes[g->nholes++] = (struct range){v->address, v->address + sizeof(struct heap)};
    }
    sort_array(g->holes, g->nholes, sizeof *g->holes, by_address);
    size_t n = 0;
    for (size_t i = 0; i < g->nholes; i++) { /* makes one of those that touch */
        struct range *last = n == 0 ? NULL : &g->holes[n - 1], hole = g->holes[i];
        if (last != NULL && hole.start <= last->end)
            last->end = hole.end > last->end ? hole.end : last->end;
        else
            g->holes[n++] = hole;
    }
    g->nholes = n;
}

/* Reads the roots, and what the objects hold. */
static void read_all(struct graph *g, const struct heaps *hs)
{
    g->heaps = new_array(hs->n, sizeof *g->heaps);
    g->nheaps = hs->n;
    g->any = (struct range){UINT64_MAX, 0};
    for (size_t i = 0; i < hs->n; i++)
        g->heaps[i] = nodes_of(&hs->views[i]);
    find_holes(g, hs);
    for (size_t i = 0; i < g->nheaps; i++) {
        const struct range *r = &g->heaps[i].chunks;
        g->any.start = r->start < g->any.start ? r->start : g->any.start;
        g->any.end = r->end > g->any.end ? r->end : g->any.end;
    }
    if (g->any.start > g->any.end)
        g->any = (struct range){0, 0};
    for (size_t i = 0; i < g->nheaps; i++)
        read_payload(g, &g->heaps[i]);
    read_roots(g);
}

struct graph *graph_open(struct look *look, const char *name, struct origins *history)
{
    struct graph *g = NULL;
    *look = (struct look){.t = target_open(name)};
    if (look->t == NULL)
        return NULL;
    progress("copying memory", 0, 1); /* so that time is counted from here on */
    if (heaps_prepare(&look->heaps, look->t)) {
        g = new_array(1, sizeof *g);
        g->target = look->t;
        prepare_copies(g, &look->heaps);
        if (heaps_copy(&look->heaps, look->t)) {
            read_all(g, &look->heaps);
            if (history != NULL)
                (void)origins_open(history, look->t);
            look_go_on(look);
            return g;
        }
        graph_close(g);
    }
    look_close(look);
    return NULL;
}

/* --- all objects ------------------------------------------------------------------------ */

static bool note_object(const struct target_piece *p, void *context)
{
    struct nodes *h = context;
    if (p->kind != PIECE_OBJECT)
        return true;
    if (h->n % OFTEN == OFTEN - 1)
        progress("finding objects", p->start - h->chunks.start, h->chunks.end - h->chunks.start);
    if (h->n == h->room) {
        size_t room = h->room;
        h->start = grow(h->start, h->n, &room, sizeof *h->start);
        h->size = grow(h->size, h->n, &h->room, sizeof *h->size);
    }
    h->start[h->n] = (uint32_t)((p->start - h->view->base) / GRANULE_BYTES);
    h->size[h->n++] = p->size;
    return true;
}

/* Fills the buckets from the last to the first: one in which no object begins has the number of the
 * next object that begins above it. */
static void fill_buckets(struct nodes *h)
{
    uint64_t ngranules = (h->chunks.end - h->chunks.start) / GRANULE_BYTES;
    while (ngranules >> h->shift > h->n)
        h->shift++;
    size_t nbuckets = (size_t)(ngranules >> h->shift) + 1;
    h->bucket = new_array(nbuckets + 1, sizeof *h->bucket);
    uint32_t object = h->n;
    h->bucket[nbuckets] = h->n;
    for (size_t b = nbuckets; b-- > 0; h->bucket[b] = object)
        while (object > 0 && h->start[object - 1] >> h->shift >= b)
            object--;
}

/* Keeps of the words those that point to objects. */
static void find_pointers(struct graph *g)
{
    size_t n = 0;
    g->pointers = new_array(g->nwords, sizeof *g->pointers);
    for (size_t i = 0; i < g->nroots; i++) {
        struct root *root = &g->roots[i];
        size_t first = root->first, end = root->first + root->npointers;
        root->first = n;
        for (size_t k = first; k < end; k++) {
            uint32_t object = graph_find(g, g->words[k].value);
            if (object != NO_OBJECT)
                g->pointers[n++] = (struct pointer){g->words[k].place, object};
        }
        root->npointers = n - root->first;
    }
    free(g->words);
    g->words = NULL;
}

void graph_build(struct graph *g)
{
    for (size_t i = 0; i < g->nheaps; i++) {
        struct nodes *h = &g->heaps[i];
        h->first = g->nobjects;
        if (h->view->fault == NULL)
            view_walk(h->view, note_object, h); /* of a damaged heap, what comes before that */
        fill_buckets(h);
        g->nobjects += h->n;
    }
    for (size_t i = 0; i < g->nheaps; i++) /* the heaps before it are known, the outer ones too */
        if (g->heaps[i].all.start > 0) {
            size_t nheaps = g->nheaps;
            g->nheaps = i;
            g->heaps[i].outer = graph_find(g, g->heaps[i].all.start);
            g->nheaps = nheaps;
        }
    find_pointers(g);
    g->queue = new_array(g->nobjects, sizeof *g->queue);
}

void graph_close(struct graph *g)
{
    for (size_t i = 0; i < g->nheaps; i++) {
        struct nodes *h = &g->heaps[i];
        if (h->payload != NULL)
            munmap(h->payload, h->reserved);
        free(h->pages);
        free(h->start);
        free(h->size);
        free(h->bucket);
    }
    for (size_t i = 0; i < g->nspares; i++)
        if (g->spares[i].memory != NULL)
            munmap(g->spares[i].memory, g->spares[i].nbytes);
    free(g->spares);
    free(g->heaps);
    free(g->holes);
    free(g->queue);
    free(g->roots);
    free(g->words);
    free(g->pointers);
    free(g);
}

uint64_t graph_nbytes(const struct graph *g)
{
    return g->nbytes;
}

uint64_t graph_nunread(const struct graph *g)
{
    return g->nunread;
}

/* Of how many threads the registers are not known: a debugger holds them, or they wait in the
 * kernel and could not be stopped. */
static size_t count_unknown(const struct graph *g)
{
    size_t n = target_nunstopped(g->target);
    for (size_t i = 0; i < target_nthreads(g->target); i++)
        n += target_threads(g->target)[i].nregisters == 0;
    return n;
}

bool graph_is_whole(const struct graph *g)
{
    return g->nunread == 0 && count_unknown(g) == 0 && !target_is_truncated(g->target);
}

void graph_print_gaps(FILE *f, const struct graph *g)
{
    char unread[BYTES_TEXT];
    size_t n = count_unknown(g);
    if (g->nunread > 0)
        fprintf(f, "%s could not be read: what is reached only from there seems to be lost\n",
                bytes_text(unread, g->nunread));
    if (n > 0)
        fprintf(f,
                "the registers of %zu thread%s are not known: what is reached only from there "
                "seems to be lost\n",
                n, plural(n));
}

void graph_print_json_gaps(const struct graph *g)
{
    printf(" \"read_bytes\": %" PRIu64 ", \"unread_bytes\": %" PRIu64
           ", \"threads_without_registers\": %zu, \"whole\": %s,\n",
           g->nbytes, g->nunread, count_unknown(g), graph_is_whole(g) ? "true" : "false");
}

uint32_t graph_nobjects(const struct graph *g)
{
    return g->nobjects;
}

size_t graph_nroots(const struct graph *g)
{
    return g->nroots;
}

const struct root *graph_root(const struct graph *g, size_t i)
{
    return &g->roots[i];
}

const struct pointer *graph_root_pointers(const struct graph *g, const struct root *root)
{
    return &g->pointers[root->first];
}

/* --- from address to object --------------------------------------------------------------- */

/* Returns the heap that has the object of this number. */
static const struct nodes *nodes_with(const struct graph *g, uint32_t object)
{
    size_t low = 0, high = g->nheaps;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (g->heaps[middle].first <= object)
            low = middle;
        else
            high = middle;
    }
    return &g->heaps[low];
}

/* Returns the object of one heap that an address in its chunks lies in. */
static uint32_t find_in(const struct nodes *h, uint64_t address)
{
    uint64_t offset = address - h->chunks.start;
    uint32_t granule = (uint32_t)(offset / GRANULE_BYTES);
    uint32_t low = h->bucket[granule >> h->shift], high = h->bucket[(granule >> h->shift) + 1];
    while (low < high) { /* objects below `low` begin at or below the granule */
        uint32_t middle = low + (high - low) / 2;
        if (h->start[middle] <= granule)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0)
        return NO_OBJECT;
    uint64_t into = offset - (uint64_t)h->start[low - 1] * GRANULE_BYTES;
    size_t size = h->size[low - 1];
    return into < size || (into == 0 && size == 0) ? h->first + low - 1 : NO_OBJECT;
}

/* Returns how many heaps begin below an address. */
static size_t count_below(const struct graph *g, uint64_t address)
{
    size_t low = 0, n = g->nheaps;
    while (n > 0) {
        size_t half = n / 2;
        bool is_below = g->heaps[low + half].all.start < address;
        low = is_below ? low + half + 1 : low;
        n = is_below ? n - half - 1 : half;
    }
    return low;
}

/* From the last heap that begins at or below the address, which is the innermost, outwards. */
uint32_t graph_find(const struct graph *g, uint64_t address)
{
    if (address - g->any.start >= g->any.end - g->any.start)
        return NO_OBJECT;
    size_t n = count_below(g, address + 1);
    for (size_t i = n > 0 ? n - 1 : NO_VIEW; i != NO_VIEW; i = g->heaps[i].view->within) {
        const struct nodes *h = &g->heaps[i];
        if (address - h->chunks.start >= h->chunks.end - h->chunks.start)
            continue;
        uint32_t object = find_in(h, address);
        if (object != NO_OBJECT || h->outer == NO_OBJECT)
            return object;
    }
    return NO_OBJECT;
}

struct graph_object graph_object(const struct graph *g, uint32_t object)
{
    const struct nodes *h = nodes_with(g, object);
    uint32_t i = object - h->first;
    return (struct graph_object){.start = h->chunks.start + (uint64_t)h->start[i] * GRANULE_BYTES,
                                 .size = h->size[i],
                                 .view = h->view};
}

uint32_t graph_outer(const struct graph *g, uint32_t object)
{
    return nodes_with(g, object)->outer;
}

uint64_t graph_word(const struct graph *g, uint32_t object, size_t offset)
{
    const struct nodes *h = nodes_with(g, object);
    uint32_t i = object - h->first;
    uint64_t word = 0;
    if (h->size[i] >= WORD && offset <= h->size[i] - WORD)
        memcpy(&word, h->payload + (uint64_t)h->start[i] * GRANULE_BYTES + offset, WORD);
    return word;
}

/* --- from object to object ------------------------------------------------------------------ */

/* The pointers in a part of an object, which begins at a multiple of 8. Pages of which nothing was
 * read hold none: an object may be much larger than what is in memory. */
static void each_pointer_in(const struct graph *g, const struct nodes *h, struct range r,
                            pointer_visitor *visit, void *context)
{
    const uint64_t low = g->any.start, span = g->any.end - g->any.start;
    for (uint64_t at = r.start, next; at < r.end; at = next) {
        size_t page = page_of(h, at);
        next = (at / PAGE + 1) * PAGE;
        next = next < r.end ? next : r.end;
        if ((h->pages[page / 64] >> page % 64 & 1) == 0)
            continue;
        const unsigned char *bytes = h->payload + (at - h->chunks.start);
        for (; at + WORD <= next; at += WORD, bytes += WORD) {
            uint64_t value;
            memcpy(&value, bytes, WORD);
            uint32_t found = value - low < span ? graph_find(g, value) : NO_OBJECT;
            if (found != NO_OBJECT)
                visit(context, at, found);
        }
    }
}

/* Heaps in the object are left out. They come after the heap that the object is in. */
void graph_each_pointer(const struct graph *g, uint32_t object, pointer_visitor *visit,
                        void *context)
{
    const struct nodes *h = nodes_with(g, object);
    uint32_t i = object - h->first;
    struct range r = {.start = h->chunks.start + (uint64_t)h->start[i] * GRANULE_BYTES};
    r.end = r.start + h->size[i];
    r.end = r.end < h->chunks.end ? r.end : h->chunks.end;
    const struct nodes *in = h + 1, *end = g->heaps + g->nheaps;
    if (in < end && in->all.start < r.start)
        in = g->heaps + count_below(g, r.start);
    for (; in < end && r.start < r.end; in++) {
        if (in->all.start >= r.end)
            break;
        if (in->all.end <= r.start)
            continue;
        each_pointer_in(g, h, (struct range){r.start, in->all.start}, visit, context);
        r.start = in->all.end;
    }
    each_pointer_in(g, h, r, visit, context);
    if (h->outer != NO_OBJECT)
        visit(context, h->all.start, h->outer);
}

/* --- marking ---------------------------------------------------------------------------------- */

void set_close(struct object_set *s)
{
    free(s->bits);
    s->bits = NULL;
}

/* Objects wait in a queue until their pointers are followed, each once: so a way that is found
 * first is a shortest one. */
struct marking {
    const struct graph *g;
    struct object_set *set;
    struct way *ways;
    uint32_t nqueued, from, without;
    bool from_root;
};

static void mark(void *context, uint64_t place, uint32_t object)
{
    struct marking *m = context;
    if (set_has(m->set, object) || object == m->without)
        return;
    m->set->bits[object / 64] |= (uint64_t)1 << object % 64;
    if (m->ways != NULL)
        m->ways[object] = (struct way){place, m->from, m->from_root};
    m->g->queue[m->nqueued++] = object;
}

/* Asks the processor for what will soon be read of the objects that wait: where they lie, and a
 * little later what they hold. Without that each object would be waited for in turn. (Cher, Hosking
 * and Vitek, "Software Prefetching for Mark-Sweep Garbage Collection", 2004.) */
static void prefetch(const struct marking *m, uint32_t i)
{
    enum { SOON = 8, LATER = 2 * SOON };
    const uint32_t *queue = m->g->queue;
    if (m->nqueued - i <= LATER)
        return;
    const struct nodes *h = nodes_with(m->g, queue[i + LATER]);
    __builtin_prefetch(&h->start[queue[i + LATER] - h->first]);
    __builtin_prefetch(&h->size[queue[i + LATER] - h->first]);
    h = nodes_with(m->g, queue[i + SOON]);
    __builtin_prefetch(h->payload + (size_t)h->start[queue[i + SOON] - h->first] * GRANULE_BYTES);
}

/* Follows all that waits. The queue is the graph's: marking is not called while marking. */
static void mark_on(struct marking *m)
{
    m->from_root = false;
    for (uint32_t i = 0; i < m->nqueued; i++) {
        if (i % OFTEN == 0)
            progress("following pointers", i, m->g->nobjects);
        prefetch(m, i);
        m->from = m->g->queue[i];
        m->set->n++;
        m->set->nbytes += graph_object(m->g, m->from).size;
        graph_each_pointer(m->g, m->from, mark, m);
    }
}

static struct marking marking_of(const struct graph *g, struct object_set *s)
{
    return (struct marking){.g = g, .set = s, .without = NO_OBJECT, .from = NO_OBJECT};
}

struct object_set graph_reach(const struct graph *g, uint32_t without, struct way *ways)
{
    struct object_set s = {.bits = new_array(g->nobjects / 64 + 1, sizeof *s.bits)};
    struct marking m = marking_of(g, &s);
    m.without = without;
    m.ways = ways;
    m.from_root = true;
    for (uint32_t i = 0; ways != NULL && i < g->nobjects; i++)
        ways[i].from = NO_OBJECT;
    for (m.from = 0; m.from < g->nroots; m.from++) {
        const struct root *root = &g->roots[m.from];
        for (size_t k = root->first; k < root->first + root->npointers; k++)
            mark(&m, g->pointers[k].place, g->pointers[k].object);
    }
    mark_on(&m);
    return s;
}

void graph_add_reachable(const struct graph *g, uint32_t object, struct object_set *s)
{
    struct marking m = marking_of(g, s);
    mark(&m, 0, object);
    mark_on(&m);
}
