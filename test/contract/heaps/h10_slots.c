/* SPDX-License-Identifier: MIT
 *
 * h10_slots.c - H10: changes single bits of a heap's own data where the heap has slots, guard pages
 * or parts: in the header, the struct heap, the page map, the states and the records.
 *
 *     in use       the bit changes, then mem_check and the calls that only read
 *     detached     mem_heap_detach; the bit changes; mem_heap_attach at another address
 *     copied       as detached, but the heap has the header of one in use
 *
 * Either the change is found, or all calls go on as a list of the objects says. In each case no
 * call crashes, hangs, or touches the pages around a buffer, which are forbidden. That
 * is all that is expected if several words are overwritten, since these may cancel each other out.
 * Each change is made in a process of its own.
 *
 *     h10_slots [N [SEED]]     changes N bits of each heap in each of these ways; all, if N is 0
 */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "heaps/header.h"
#include "heaps/parts.h"
#include "heaps/stored.h"

enum {
    KIB = 1 << 10,
    MIB = 1 << 20,
    AROUND = 4 * MIB,
    MOVED = 3 * MIB,
    NOBJECTS = 300,
    NMORE = 40
};
enum mode { IN_USE, DETACHED, COPIED, NMODES };
enum { SIZE_MAX_SMALL = 200, SIZE_MAX_LARGE = 60000 };

static const char *const mode_names[] = {"in use", "detached", "copied"};

static const struct kind {
    size_t nbytes, limit;
    unsigned flags;
    enum mem_style style;
    bool is_mapped; /* made by mem_heap_create: it cannot be attached to */
} kinds[] = {
    {16 * KIB, 0, MEM_SLOTS | MEM_SINGLE_THREADED, MEM_ANY_FIT, false},
    {64 * KIB, 0, MEM_SLOTS, MEM_ANY_FIT, false},
    {96 * KIB, 0, MEM_SLOTS | MEM_SINGLE_THREADED | MEM_CHECK_CALLS, MEM_ANY_FIT, false},
    {300 * KIB, 299 * KIB, MEM_SLOTS, MEM_ANY_FIT, false},
    {MIB + 256 * KIB, 0, 0, MEM_ANY_FIT, false},
    {2 * MIB, 0, MEM_SINGLE_THREADED, MEM_FIRST_FIT, false},
    {160 * MIB, 0, MEM_SINGLE_THREADED, MEM_ANY_FIT, false},
    {MIB + 256 * KIB, 0, 0, MEM_ANY_FIT, true},
    {64 * KIB, 0, MEM_GUARD_PAGES, MEM_ANY_FIT, true},
    {2 * MIB, 0, MEM_GUARD_PAGES | MEM_SINGLE_THREADED, MEM_ANY_FIT, true},
    {MEM_PART_BYTES + 512 * MIB, 0, MEM_SINGLE_THREADED, MEM_ANY_FIT, true},
};
enum { NKINDS = sizeof kinds / sizeof kinds[0] };

static const struct kind *kind;
static mem_heap *heap;
static struct known {
    unsigned char *start;
    size_t size;
} object[NOBJECTS + NMORE];
static int nobjects;
static size_t live_bytes;
static uint64_t dice = 41;
static unsigned long nwanted;

/* Pieces of the heap's own data, in bytes from the header. */
static struct piece_of_data {
    size_t at, nbytes;
} data[2000];
static size_t ndata, data_bytes;

/* --- in the child: a failure says what was changed -------------------------------------------- */

static struct {
    enum mode mode;
    size_t at;
    unsigned bit;
    uint64_t dice; /* of damage of any kind; 0: the bit changes */
} changed;

enum { IS_FOUND = 10, IS_HARMLESS, IS_WRONG };

static void fail_at(int line, const char *what)
{
    printf("heap of %zu bytes, flags %u, %s: bit %u of byte %zu, dice %llu: line %d: %s\n",
           kind->nbytes, kind->flags, mode_names[changed.mode], changed.bit, changed.at,
           (unsigned long long)changed.dice, line, what);
    fflush(stdout);
    _exit(IS_WRONG);
}

#define expect(condition) ((condition) ? (void)0 : fail_at(__LINE__, #condition))

/* --- the heap and the list of its objects --------------------------------------------------- */

static size_t random_size(void)
{
    uint32_t most = kind->nbytes < MIB                 ? SIZE_MAX_SMALL
                    : kind->nbytes < 100 * (size_t)MIB ? 2000
                                                       : 9000;
    if (kind->nbytes > 100 * (size_t)MIB && rnd(&dice, 4) == 0)
        most = SIZE_MAX_LARGE;
    return rnd(&dice, most);
}

static void note(void *start, size_t size)
{
    object[nobjects].start = start;
    object[nobjects++].size = size;
    live_bytes += size;
}

static void forget(int i)
{
    live_bytes -= object[i].size;
    object[i] = object[--nobjects];
}

/* So that there are spans with an owner, with few and with many free slots, holes, and free chunks
 * of all sizes. */
static void fill(void)
{
    enum { FEWEST = 24 };
    if (kind->nbytes > MEM_PART_BYTES) { /* the rest goes to the second part */
        size_t size = MEM_PART_BYTES - MIB;
        void *most = NULL;
        for (; most == NULL; size -= 4096)
            most = mem_alloc(heap, size);
        note(most, size + 4096);
    }
    for (int i = 0; i < 4 * NOBJECTS; i++) {
        size_t size = random_size();
        void *p = nobjects < NOBJECTS && i < 3 * NOBJECTS ? mem_alloc(heap, size) : NULL;
        if (p != NULL)
            note(p, size);
        if (nobjects > FEWEST && rnd(&dice, 3) == 0) {
            int k = 1 + (int)rnd(&dice, (uint32_t)nobjects - 1);
            assert_int_equal(mem_free(heap, object[k].start), MEM_OK);
            forget(k);
        }
    }
    assert_int_equal(mem_check(heap, NULL), MEM_OK);
    assert_true(nobjects >= FEWEST);
}

static unsigned char *memory, *elsewhere;

/* Returns memory whose neighbours are forbidden. */
static unsigned char *map_apart(size_t nbytes)
{
    unsigned char *p = mmap(NULL, nbytes + 2 * AROUND, PROT_NONE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(p != MAP_FAILED);
    p += AROUND - (uintptr_t)p % AROUND;
    assert_int_equal(mprotect(p, nbytes, PROT_READ | PROT_WRITE), 0);
    return p;
}

static void make(void)
{
    struct mem_options o = {.flags = kind->flags, .style = kind->style, .limit = kind->limit};
    nobjects = 0;
    live_bytes = 0;
    if (kind->is_mapped) {
        heap = mem_heap_create(kind->nbytes, &o);
    } else {
        memory = map_apart(kind->nbytes);
        elsewhere = map_apart(kind->nbytes);
        heap = mem_heap_in(memory, kind->nbytes, &o);
    }
    assert_non_null(heap);
    fill();
}

static void unmake(void)
{
    assert_int_equal(mem_heap_destroy(heap), MEM_OK);
    if (!kind->is_mapped) {
        munmap(memory, kind->nbytes);
        munmap(elsewhere, kind->nbytes);
    }
}

/* --- where its own data are ----------------------------------------------------------------- */

static void add_data(const void *at, size_t nbytes)
{
    assert_true(ndata < sizeof data / sizeof data[0]);
    data[ndata++] = (struct piece_of_data){(size_t)((const char *)at - (char *)heap), nbytes};
    data_bytes += nbytes;
}

static void add_spans(const struct spans *s)
{
    enum { BEYOND = 4 };
    if (s->nheld == 0)
        return;
    uint32_t n = least(pagemap_nslices_used(s) + BEYOND, (uint32_t)pagemap_nslices(s));
    add_data(region_at(spans_region(s), s->pagemap), QUEUES_BYTES + n * sizeof(struct span));
    for (uint32_t slice = 1; slice <= n; slice++) {
        const struct span *span = pagemap_span(s, slice);
        if (span->slot_bytes != 0)
            add_data(span->states, state_array_bytes(span->nslots, span->slot_bytes));
    }
}

static void find_data(void)
{
    size_t nparts = header_has_parts(heap) ? header_nopen(heap) : 1;
    ndata = data_bytes = 0;
    add_data(heap, header_has_guards(heap) ? heap->region : header_bytes(heap));
    for (size_t i = 0; i < nparts; i++) {
        struct heap view, *h = &view;
        if (heap->has_spans)
            h = parts_heap(heap, i, &view);
        else
            stored_load(heap, h);
        const struct ledger *l = &h->chunks.ledger;
        if (i > 0)
            add_data(h, sizeof *h);
        if (heap->has_spans)
            add_spans(&h->spans);
        add_data(l->b.end - ledger_nbytes(l), ledger_nbytes(l));
    }
    assert_true(nparts == ceil_div(kind->nbytes, MEM_PART_BYTES));
}

/* The lock is the one exception [H10], with what the header says of it. A heap that is attached
 * gets another one. */
static bool is_lock(size_t at, enum mode mode)
{
    bool in_lock = at >= heap->lock && at < heap->lock + sizeof(struct lock);
    bool in_header = at >= offsetof(struct mem_heap, process) && at < sizeof(struct mem_heap);
    return mode == IN_USE && header_has_lock(heap) && (in_lock || in_header);
}

/* --- in the child: what the calls have to do ------------------------------------------------ */

static int object_of(const unsigned char *start)
{
    for (int i = 0; i < nobjects; i++)
        if (object[i].start == start)
            return i;
    return -1;
}

static struct seen {
    const unsigned char *end;
    size_t nlive, live_bytes;
} seen;

static bool see(const struct mem_piece *p, void *context)
{
    (void)context;
    expect((const unsigned char *)p->start >= seen.end);
    seen.end = (const unsigned char *)p->start + p->size;
    if (p->live) {
        int i = object_of(p->start);
        expect(i >= 0 && object[i].size == p->size);
        seen.nlive++;
        seen.live_bytes += p->size;
    }
    return true;
}

static void expect_found(void)
{
    struct mem_piece p;
    for (int i = 0; i < nobjects; i++) {
        const struct known *o = &object[i];
        unsigned char *last = o->size > 0 ? o->start + o->size - 1 : o->start;
        expect(mem_find(last, &p) == MEM_OK && p.start == o->start && p.size == o->size);
        expect(mem_find_in(heap, o->start, &p) == MEM_OK && p.live && p.size == o->size);
    }
}

static void expect_counted(void)
{
    struct mem_statistics s;
    seen = (struct seen){0};
    expect(mem_walk(heap, see, NULL) == MEM_OK);
    expect(seen.nlive == (size_t)nobjects && seen.live_bytes == live_bytes);
    expect(mem_stats(heap, &s) == MEM_OK);
    expect(s.live_objects == (size_t)nobjects && s.live_bytes == live_bytes);
    expect(s.peak_bytes >= live_bytes && s.limit == kind->limit);
}

static void expect_taken(size_t size)
{
    unsigned char *p = mem_alloc(heap, size);
    if (p == NULL)
        return;
    expect(p > (unsigned char *)heap && p + size <= (unsigned char *)heap + heap->nbytes);
    for (int i = 0; i < nobjects; i++)
        expect(p + (size == 0) + size <= object[i].start || object[i].start + object[i].size <= p);
    note(p, size);
}

static void expect_freed(int i)
{
    unsigned char *p = object[i].start;
    expect(mem_free(heap, p) == MEM_OK);
    expect(mem_free(heap, p) != MEM_OK);
    forget(i);
}

/* All that a program can do with the heap, and in the end all of it is free in one piece. Twice,
 * since a heap that was empty makes much anew. */
static void expect_works(void)
{
    struct mem_statistics s;
    uint64_t same = 17;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < NMORE; i++) /* first: a walk closes all windows */
            expect_taken(i % 4 == 0 ? rnd(&same, 600) : random_size());
        expect_found();
        expect_counted();
        for (int i = 0; nobjects > NMORE / 2 && i < NMORE / 2; i++)
            expect_freed((int)rnd(&same, (uint32_t)nobjects));
        expect(mem_check(heap, NULL) == MEM_OK);
        while (nobjects > 0)
            expect_freed(nobjects - 1);
        expect(mem_stats(heap, &s) == MEM_OK);
        expect(s.live_objects == 0 && s.free_chunks == ceil_div(kind->nbytes, MEM_PART_BYTES));
        expect(mem_check(heap, NULL) == MEM_OK);
    }
}

static bool see_nothing(const struct mem_piece *p, void *context)
{
    (void)p, (void)context;
    return true;
}

/* The heap is damaged, and the change was found: only that these calls return is expected. */
static void call_what_reads(void)
{
    struct mem_piece p;
    struct mem_statistics s;
    mem_walk(heap, see_nothing, NULL);
    mem_stats(heap, &s);
    for (int i = 0; i < nobjects; i++) {
        mem_find(object[i].start, &p);
        mem_find_in(heap, object[i].start + object[i].size / 2, &p);
    }
    for (size_t i = 0; i < ndata; i++) {
        mem_find((char *)heap + data[i].at, &p);
        mem_find_in(heap, (char *)heap + data[i].at + data[i].nbytes / 2, &p);
    }
}

/* Calls what changes the heap, in which it finds no damage that it would go by. */
static void call_what_changes(void)
{
    for (int i = 0; i < nobjects; i++) {
        mem_free_any(heap, mem_resize(heap, object[i].start, object[i].size / 2 + 9));
        mem_alloc(heap, object[i].size);
    }
}

/* --- in the child: one change --------------------------------------------------------------- */

/* Returns a word of the heap's own data. */
static unsigned char *any_word(void)
{
    const struct piece_of_data *p = &data[rnd(&changed.dice, (uint32_t)ndata)];
    return (unsigned char *)heap + p->at + rnd(&changed.dice, (uint32_t)p->nbytes / 8) * 8;
}

/* Writes equal bytes or random bytes, or copies a word over another one. */
static void damage_a_word(void)
{
    unsigned char *at = any_word();
    switch (rnd(&changed.dice, 4)) {
    case 0:
        memset(at, 0, 8);
        break;
    case 1:
        memset(at, 0xFF, 8);
        break;
    case 2:
        memmove(at, any_word(), 8);
        break;
    default:
        for (int i = 0; i < 8; i++)
            at[i] = (unsigned char)rnd(&changed.dice, 256);
    }
}

/* Other damage leaves the lock alone. */
static void change(void)
{
    unsigned char lock[sizeof(struct lock)], first[sizeof(struct mem_heap)];
    const size_t held = offsetof(struct mem_heap, process);
    if (changed.dice == 0) {
        ((unsigned char *)heap)[changed.at] ^= (unsigned char)(1u << changed.bit);
        return;
    }
    size_t lock_at = heap->lock;
    memcpy(first, heap, sizeof first);
    memcpy(lock, (char *)heap + lock_at, sizeof lock);
    for (uint32_t n = 1 + rnd(&changed.dice, 4); n > 0; n--)
        damage_a_word();
    memcpy((char *)heap + held, first + held, sizeof first - held);
    if (lock_at > 0)
        memcpy((char *)heap + lock_at, lock, sizeof lock);
}

static uint64_t sum_of_data(void)
{
    uint64_t sum = 1;
    for (size_t i = 0; i < ndata; i++)
        for (size_t k = 0; k < data[i].nbytes; k++)
            sum = (sum ^ ((unsigned char *)heap)[data[i].at + k]) * 0x9E3779B97F4A7C15u;
    return sum;
}

static void move_objects(ptrdiff_t moved)
{
    for (int i = 0; i < nobjects; i++)
        object[i].start += moved;
}

/* Detaches the heap, changes it, and attaches it elsewhere. What is refused is as it was. */
static bool is_attached(void)
{
    unsigned char first[64];
    memcpy(first, heap, sizeof first);
    expect(mem_heap_detach(heap) == MEM_OK);
    if (changed.mode == COPIED)
        memcpy(heap, first, sizeof first);
    expect(mremap(memory, kind->nbytes, kind->nbytes, MREMAP_MAYMOVE | MREMAP_FIXED, elsewhere) ==
           elsewhere);
    heap = (mem_heap *)(void *)elsewhere;
    move_objects(elsewhere - memory);
    change();
    uint64_t sum = sum_of_data();
    if (mem_heap_attach(heap, kind->nbytes, NULL) == heap)
        return true;
    expect(sum == sum_of_data());
    return false;
}

static int outcome(void)
{
    bool found;
    const char *wrong;
    alarm(PATIENCE);
    if (changed.mode == IN_USE) {
        change();
        found = mem_check(heap, &wrong) != MEM_OK;
        expect(found == (wrong != NULL));
        if (found)
            call_what_reads();
        if (found && (kind->flags & MEM_CHECK_CALLS) != 0)
            call_what_changes();
    } else {
        found = !is_attached();
        expect(found || mem_check(heap, NULL) == MEM_OK);
    }
    if (found)
        return IS_FOUND;
    if (changed.dice == 0) {
        expect_works();
    } else { /* several changes may cancel each other out */
        call_what_reads();
        call_what_changes();
    }
    return IS_HARMLESS;
}

/* --- all changes ---------------------------------------------------------------------------- */

static unsigned long nfound, nharmless, nwrong;

static void change_in_child(void)
{
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(outcome());
    assert_int_equal(waitpid(child, &status, 0), child);
    int result = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
    nfound += result == IS_FOUND;
    nharmless += result == IS_HARMLESS;
    nwrong += result != IS_FOUND && result != IS_HARMLESS;
    if (WIFSIGNALED(status))
        print_message("heap of %zu bytes, flags %u, %s: bit %u of byte %zu, dice %llu: "
                      "signal %d\n",
                      kind->nbytes, kind->flags, mode_names[changed.mode], changed.bit, changed.at,
                      (unsigned long long)changed.dice, WTERMSIG(status));
}

static void change_bit(enum mode mode, size_t at, unsigned bit)
{
    changed.mode = mode;
    changed.at = at;
    changed.bit = bit;
    changed.dice = 0;
    if (!is_lock(at, mode))
        change_in_child();
}

static void change_anything(enum mode mode)
{
    changed.mode = mode;
    changed.at = changed.bit = 0;
    changed.dice = 1 + rnd(&dice, UINT32_MAX);
    change_in_child();
}

/* The n-th byte of the heap's own data. */
static size_t data_byte(size_t n)
{
    size_t i = 0;
    for (; n >= data[i].nbytes; i++)
        n -= data[i].nbytes;
    return data[i].at + n;
}

/* Pieces are chosen with equal probability, and then bits in them: else most would be states. */
static void change_some(enum mode mode, unsigned long n)
{
    for (; n > 0; n--) {
        const struct piece_of_data *p = &data[rnd(&dice, 3) == 0 ? 0 : rnd(&dice, (uint32_t)ndata)];
        change_bit(mode, p->at + rnd(&dice, (uint32_t)p->nbytes), rnd(&dice, 8));
    }
}

/* Bits that chance seldom meets: where the second part says that its page map is, which may then be
 * behind all memory that is open. */
static void change_place_of_pagemap(void)
{
    size_t at = MEM_PART_BYTES + offsetof(struct heap, spans.pagemap);
    for (unsigned bit = 0; bit < 32; bit++)
        change_bit(IN_USE, at + bit / 8, bit % 8);
}

static void change_kind(const struct kind *k)
{
    nfound = nharmless = nwrong = 0;
    kind = k;
    make();
    find_data();
    for (enum mode mode = IN_USE; mode < (k->is_mapped ? DETACHED : NMODES); mode++) {
        if (nwanted > 0)
            change_some(mode, nwanted);
        for (size_t bit = 0; nwanted == 0 && bit < data_bytes * 8; bit++)
            change_bit(mode, data_byte(bit / 8), bit % 8);
        for (unsigned long n = 0; n < (nwanted > 0 ? nwanted / 2 : data_bytes); n++)
            change_anything(mode);
    }
    if (k->nbytes > MEM_PART_BYTES)
        change_place_of_pagemap();
    unmake();
    print_message("heap of %zu bytes, flags %u: %lu found, %lu harmless, %lu wrong, in %zu bytes\n",
                  k->nbytes, k->flags, nfound, nharmless, nwrong, data_bytes);
    assert_int_equal(nwrong, 0);
    /* Of few bits all may be found. */
    assert_true(nfound > 0 && (nharmless > 0 || share() > 1));
}

static void test_each_bit(void **state)
{
    (void)state;
    for (int i = 0; i < NKINDS; i++)
        if (kinds[i].nbytes < MEM_PART_BYTES || mappings_are_cheap())
            change_kind(&kinds[i]);
}

/* Behind the last slice in use the page map is clear; what it says there is damage, which chance
 * seldom meets. */
static void test_the_rest_of_the_map(void **state)
{
    (void)state;
    const char *wrong = NULL;
    struct heap view;
    kind = &kinds[4];
    make();
    const struct spans *s = &parts_heap(heap, 0, &view)->spans;
    const uint32_t slices[] = {pagemap_nslices_used(s) + 1, s->nclear};
    assert_true(slices[0] <= slices[1]);
    for (int i = 0; i < 2; i++) {
        pagemap_span(s, slices[i])->nslots = 1;
        assert_int_equal(mem_check(heap, &wrong), MEM_DAMAGED);
        assert_string_equal(wrong,
                            "the map of the slices says something of memory that was never used");
        pagemap_span(s, slices[i])->nslots = 0;
        assert_int_equal(mem_check(heap, &wrong), MEM_OK);
    }
    unmake();
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_each_bit),
                                       cmocka_unit_test(test_the_rest_of_the_map)};
    nwanted = argc > 1 ? strtoul(argv[1], NULL, 10) : 4 + (unsigned long)share_of(16);
    if (argc > 2)
        dice = strtoul(argv[2], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
