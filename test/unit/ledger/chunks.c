/* SPDX-License-Identifier: MIT
 *
 * chunks.c - checks that chunks of a region which is opened in steps [CK2, LG7] lie where they lie
 * in one that is open, that they can be written to, and that a refused step changes nothing.
 *
 * Random calls go to both regions alike. Memory that is not open faults, so that a test which
 * touches it is red. RLIMIT_DATA makes the system refuse to open more.
 */
#include "unit.h"

#include <sys/resource.h>

#include "base/os.h"
#include "ledger/chunks.h"

enum { NOBJECTS = 4000, NCALLS = 30000, MIB = 1 << 20, REGION = 48 * MIB };

/* The linker sends the library's calls of os_allow here (--wrap in test.mk). */
bool __real_os_allow(void *address, size_t nbytes);
bool __wrap_os_allow(void *address, size_t nbytes);

static uint32_t refused_percent; /* This share of the calls is refused. */
static uint64_t refusal_dice = 3;
static unsigned nrefused;

bool __wrap_os_allow(void *address, size_t nbytes)
{
    if (rnd(&refusal_dice, 100) < refused_percent) {
        nrefused++;
        return false;
    }
    return __real_os_allow(address, nbytes);
}

static struct chunks stepwise, whole;

static struct object {
    uint32_t start, length; /* length 0: none */
} object[NOBJECTS];

static uint64_t state;
static size_t
    head; /* bytes below the region, as a heap's header has; the region is shorter by it */

static uint32_t random_below(uint32_t n)
{
    return rnd(&state, n);
}

static void open_both(size_t nbytes)
{
    struct region r;
    state = 88172645463325252;
    memset(object, 0, sizeof object);
    assert_int_equal(region_reserve(&r, nbytes), REGION_OK);
    r.open_bytes = region_open_bytes(nbytes, head);
    r.base += head;
    r.nbytes -= head;
    chunks_open(&stepwise, r, NULL);
    assert_true(region_map(&r, nbytes));
    r.base += head;
    r.nbytes -= head;
    chunks_open(&whole, r, NULL);
}

static void close_both(void)
{
    munmap(stepwise.region.base - head, stepwise.region.nbytes + head);
    munmap(whole.region.base - head, whole.region.nbytes + head);
}

/* Bytes that are open, at the low and at the high end. */
static size_t open_below(void)
{
    const struct guard *gap = &stepwise.ledger.guard;
    return gap->high == 0 ? stepwise.region.nbytes : (size_t)gap->low * GRANULE_BYTES;
}

static size_t open_above(void)
{
    return stepwise.ledger.b.room;
}

static void write_to(const struct object *o)
{
    memset(region_at(&stepwise.region, o->start), 1, (size_t)o->length * GRANULE_BYTES);
}

/* Addresses are multiples of a page only, so larger alignments would differ between the two. */
static void take(struct object *o)
{
    uint32_t length = 1 + random_below(random_below(8) == 0 ? 2000 : 40), start = 0, expected = 0;
    uint32_t align = random_below(3) == 0 ? 1u << random_below(9) : 1;
    enum chunks_result result, right;
    if (align == 1) {
        right = chunks_take(&whole, length, 0, FIT_BEST, &expected);
        result = chunks_take(&stepwise, length, 0, FIT_BEST, &start);
    } else {
        right = chunks_take_aligned(&whole, length, align, 0, &expected);
        result = chunks_take_aligned(&stepwise, length, align, 0, &start);
    }
    assert_int_equal(result, right);
    if (result != CHUNKS_OK)
        return;
    assert_int_equal(start, expected);
    *o = (struct object){start, length};
    write_to(o);
}

static void give_back(struct object *o)
{
    struct ledger_place p;
    assert_true(ledger_find_place(&whole.ledger, o->start, &p));
    chunks_give_back(&whole, &p);
    assert_true(ledger_find_place(&stepwise.ledger, o->start, &p));
    chunks_give_back(&stepwise, &p);
    o->length = 0;
}

static void resize(struct object *o)
{
    uint32_t length = 1 + random_below(2 * o->length);
    struct chunk old = {o->start, o->length, 1};
    bool right = chunks_resize(&whole, &old, length, 0);
    assert_int_equal(chunks_resize(&stepwise, &old, length, 0), right);
    if (right) {
        o->length = length;
        write_to(o);
    }
}

/* How many objects live changes again and again, so that the records become trees and arrays. */
static void compare_both(void)
{
    open_both(REGION);
    size_t below = open_below(), above = open_above();
    assert_true(below < REGION / 8 && above < REGION / 8);
    for (int i = 0, wanted = 0; i < NCALLS; i++) {
        wanted = i % 1000 == 0 ? (int)random_below(NOBJECTS) : wanted;
        struct object *o = &object[random_below(NOBJECTS)];
        if (o->length == 0 && (o - object) < wanted)
            take(o);
        else if (o->length > 0 && (o - object) >= wanted)
            give_back(o);
        else if (o->length > 0)
            resize(o);
        assert_true(open_below() >= below && open_above() >= above); /* LG7 */
        below = open_below();
        above = open_above();
        assert_true(ledger_nbytes(&stepwise.ledger) <= above);
        assert_true((size_t)stepwise.ledger.b.top * GRANULE_BYTES <= below);
    }
    assert_true(ledger_is_valid(&stepwise.ledger));
    assert_true(above > REGION_FIRST_BYTES);
    close_both();
}

static void test_chunks_lie_where_they_would(void **unused)
{
    (void)unused;
    compare_both();
}

static void test_a_region_that_begins_within_a_page(void **unused)
{
    (void)unused;
    head = 5000 / GRANULE_BYTES * GRANULE_BYTES;
    compare_both();
    head = 0;
}

/* Memory is opened 256 KiB at a time or more, and at most as much as is open already, so that calls
 * are few; where 512 MiB are open, at most an eighth of that. */
static void test_steps(void **unused)
{
    (void)unused;
    const size_t least = 256 << 10, large = 512 * (size_t)MIB, nbytes = 2 * large;
    uint32_t start;
    open_both(nbytes);
    for (size_t was = open_below(), now; was < large + large / 2; was = now) {
        uint32_t length = (uint32_t)(was / GRANULE_BYTES) - stepwise.ledger.b.top + 1;
        assert_int_equal(chunks_take(&stepwise, length, 0, FIT_BEST, &start), CHUNKS_OK);
        now = open_below();
        size_t most = was < large ? larger_of(was, least) : was / 8;
        assert_in_range(now - was, larger_of(least, most / 8), most);
    }
    close_both();
}

/* Memory is opened ahead for what has used up its own: for records, or for objects. One record for
 * each granule needs more than the granules do. */
static void test_only_what_is_short_is_opened_ahead(void **unused)
{
    (void)unused;
    open_both(REGION);
    size_t below = open_below(), above = open_above();
    uint32_t start;
    while (open_above() == above) {
        assert_int_equal(open_below(), below);
        assert_int_equal(chunks_take(&stepwise, 1, 0, FIT_BEST, &start), CHUNKS_OK);
    }
    assert_int_equal(open_below(), below);
    close_both();
    open_both(REGION);
    uint32_t length = (uint32_t)(below / GRANULE_BYTES) + 1;
    assert_int_equal(chunks_take(&stepwise, length, 0, FIT_BEST, &start), CHUNKS_OK);
    assert_true(open_below() > below);
    assert_int_equal(open_above(), above);
    close_both();
}

/* One object as large as the region allows needs all of it open, up to the records. */
static void test_a_full_region_has_no_gap(void **unused)
{
    (void)unused;
    open_both(MIB);
    struct chunk tail = ledger_tail(&stepwise.ledger);
    struct object o = {.length = tail.length};
    assert_int_equal(chunks_take(&stepwise, o.length, 0, FIT_BEST, &o.start), CHUNKS_OK);
    write_to(&o);
    assert_int_equal(stepwise.ledger.guard.high, 0);
    assert_int_equal(open_above(), MIB);
    close_both();
}

/* Nor is there a chunk if the system refuses to open the rest of it. */
static void test_the_rest_of_a_gap_may_be_refused(void **unused)
{
    (void)unused;
    open_both(MIB);
    uint32_t start, length = ledger_tail(&stepwise.ledger).length;
    struct ledger before = stepwise.ledger;
    refused_percent = 100;
    assert_int_equal(chunks_take(&stepwise, length, 0, FIT_BEST, &start), CHUNKS_NONE);
    refused_percent = 0;
    assert_memory_equal(&before, &stepwise.ledger, sizeof before);
    assert_int_equal(chunks_take(&stepwise, length, 0, FIT_BEST, &start), CHUNKS_OK);
    close_both();
}

/* What was cut out of the gap is mapped by the test, as a program would, and must stay as it is. */
static void test_a_gap_with_a_hole(void **unused)
{
    (void)unused;
    open_both(REGION);
    const struct guard *gap = &stepwise.ledger.guard;
    size_t was = gap->high - gap->low;
    chunks_cut_gap(&stepwise, was * GRANULE_BYTES);
    assert_int_equal(stepwise.high_least, 0); /* all of it was to be kept */
    chunks_cut_gap(&stepwise, was * GRANULE_BYTES / 2);
    uint32_t hole = stepwise.low_most, hole_end = stepwise.high_least;
    assert_true(gap->low < hole && hole < hole_end && hole_end < gap->high);
    assert_in_range(hole_end - hole, was / 2 - 2 * os_page_bytes() / GRANULE_BYTES, was / 2);
    size_t nbytes = (size_t)(hole_end - hole) * GRANULE_BYTES;
    unsigned char *mapped = mmap(region_at(&stepwise.region, hole), nbytes, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    assert_ptr_equal(mapped, region_at(&stepwise.region, hole));
    memset(mapped, 7, nbytes);
    struct object o;
    uint32_t ntaken = 0, length = 300;
    while (chunks_take(&stepwise, length, 0, FIT_BEST, &o.start) == CHUNKS_OK) {
        o.length = length;
        ntaken += length;
        write_to(&o);
    }
    assert_true(ntaken + length > hole - os_page_bytes() / GRANULE_BYTES);
    assert_true(gap->low <= hole && gap->high >= hole_end);
    for (size_t i = 0; i < nbytes; i++)
        assert_int_equal(mapped[i], 7);
    assert_true(ledger_is_valid(&stepwise.ledger));
    chunks_cut_gap(&stepwise, was * GRANULE_BYTES / 2); /* keeps what is left */
    assert_true(stepwise.low_most == hole && stepwise.high_least == hole_end);
    close_both();
}

/* The smallest objects need as much memory for their records as they have: these stop at the hole,
 * too. */
static void test_records_stop_at_a_hole(void **unused)
{
    (void)unused;
    open_both(REGION);
    const struct guard *gap = &stepwise.ledger.guard;
    size_t was = (size_t)(gap->high - gap->low) * GRANULE_BYTES;
    chunks_cut_gap(&stepwise, was / 2);
    size_t hole_end = (size_t)stepwise.high_least * GRANULE_BYTES;
    uint32_t n = 0, start;
    while (chunks_take(&stepwise, 1, 0, FIT_BEST, &start) == CHUNKS_OK)
        n++;
    assert_true(gap->high >= stepwise.high_least && gap->low < stepwise.low_most);
    size_t room = stepwise.region.nbytes - hole_end;
    assert_in_range(n * BTREE_COST, room - 2 * os_page_bytes(), room);
    assert_true(ledger_is_valid(&stepwise.ledger));
    close_both();
}

/* No hole is made that would be less than a page, and a hole is widened at both its ends. */
static void test_holes_of_any_length(void **unused)
{
    (void)unused;
    size_t page = os_page_bytes();
    open_both(REGION);
    const struct guard *gap = &stepwise.ledger.guard;
    size_t was = (size_t)(gap->high - gap->low) * GRANULE_BYTES;
    chunks_cut_gap(&stepwise, was - GRANULE_BYTES);
    assert_true(stepwise.low_most == 0 && stepwise.high_least == 0);
    chunks_cut_gap(&stepwise, was - 4 * page);
    uint32_t hole = stepwise.low_most, hole_end = stepwise.high_least;
    assert_in_range((hole_end - hole) * GRANULE_BYTES, page, 4 * page);
    for (size_t keep = was; keep > was / 64; keep = keep * 7 / 8) {
        chunks_cut_gap(&stepwise, keep);
        assert_true(gap->low <= stepwise.low_most && stepwise.low_most <= hole);
        assert_true(hole_end <= stepwise.high_least && stepwise.high_least <= gap->high);
        hole = stepwise.low_most;
        hole_end = stepwise.high_least;
        size_t left = was - (size_t)(hole_end - hole) * GRANULE_BYTES;
        assert_true(left <= keep + 2 * page || left <= was - page);
        assert_int_equal(msync(region_at(&stepwise.region, hole), page, MS_ASYNC), -1);
        assert_int_equal(msync((char *)region_at(&stepwise.region, hole_end) - page, page,
                               MS_ASYNC),
                         -1); /* that memory is not mapped any longer */
    }
    assert_true((size_t)(hole_end - hole) * GRANULE_BYTES > was / 2);
    close_both();
}

static void test_a_small_region_is_open(void **unused)
{
    (void)unused;
    for (size_t nbytes = os_page_bytes(); nbytes <= 2 * REGION_FIRST_BYTES; nbytes *= 2) {
        open_both(nbytes);
        assert_int_equal(stepwise.ledger.guard.high, 0);
        memset(stepwise.region.base, 1, nbytes);
        close_both();
    }
}

/* The soft limit can be raised again. Nothing may allocate in between. Of a limit of 0 the kernel
 * takes no notice, for the sake of valgrind. */
enum { LEAST = 4096 };
static rlim_t limit_data(rlim_t nbytes)
{
    struct rlimit limit;
    getrlimit(RLIMIT_DATA, &limit);
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = nbytes;
    setrlimit(RLIMIT_DATA, &limit);
    return before;
}

/* Not in an emulator, which keeps limits to itself. */
static bool limits_work(void)
{
    void *p = os_reserve_closed(MIB);
    rlim_t limit = limit_data(LEAST);
    bool refused = !os_allow(p, MIB);
    limit_data(limit);
    os_unmap(p, MIB);
    return refused;
}

static void test_a_refused_step_changes_nothing(void **unused)
{
    enum { FITS = 1000, TOO_LONG = REGION / 2 / GRANULE_BYTES };
    enum chunks_result long_one, fitting, aligned;
    uint32_t start, at;
    (void)unused;
    if (!limits_work())
        skip();
    open_both(REGION);
    assert_int_equal(chunks_take(&stepwise, FITS, 0, FIT_BEST, &start), CHUNKS_OK);
    struct ledger before = stepwise.ledger, after;
    rlim_t limit = limit_data(LEAST);
    long_one = chunks_take(&stepwise, TOO_LONG, 0, FIT_BEST, &at);
    aligned = chunks_take_aligned(&stepwise, TOO_LONG, 16, 0, &at);
    bool resized = chunks_resize(&stepwise, &(struct chunk){start, FITS, 1}, TOO_LONG, 0);
    after = stepwise.ledger;
    fitting = chunks_take(&stepwise, FITS, 0, FIT_BEST, &at);
    limit_data(limit);
    assert_int_equal(long_one, CHUNKS_NONE);
    assert_int_equal(aligned, CHUNKS_NONE);
    assert_false(resized);
    assert_memory_equal(&after.b, &before.b, sizeof before.b);
    assert_int_equal(after.guard.low, before.guard.low);
    assert_int_equal(fitting, CHUNKS_OK);
    assert_int_equal(chunks_take(&stepwise, TOO_LONG, 0, FIT_BEST, &at), CHUNKS_OK);
    close_both();
}

/* What the tail cannot have without a step, a hole may have that is not the best fit:
 *
 *     [ a ][ hole, begins well ][ b ][ hole, shorter ][ c ][ tail ]
 */
static void test_an_open_hole_instead_of_a_step(void **unused)
{
    enum { ALIGN = 256, SHORT = ALIGN, LONG = ALIGN + 40 };
    uint32_t a, hole, b, shorter, c, start = 0;
    struct ledger_place p;
    (void)unused;
    if (!limits_work())
        skip();
    open_both(REGION);
    struct chunks *s = &stepwise;
    assert_int_equal(chunks_take(s, ALIGN, 0, FIT_BEST, &a), CHUNKS_OK);
    assert_int_equal(chunks_take(s, LONG, 0, FIT_BEST, &hole), CHUNKS_OK);
    assert_int_equal(chunks_take(s, 8, 0, FIT_BEST, &b), CHUNKS_OK);
    assert_int_equal(chunks_take(s, SHORT, 0, FIT_BEST, &shorter), CHUNKS_OK);
    uint32_t rest = s->ledger.guard.low - s->ledger.b.top;
    assert_int_equal(chunks_take(s, rest, 0, FIT_BEST, &c), CHUNKS_OK);
    assert_true(ledger_find_place(&s->ledger, hole, &p));
    chunks_give_back(s, &p);
    assert_true(ledger_find_place(&s->ledger, shorter, &p));
    chunks_give_back(s, &p);
    rlim_t limit = limit_data(LEAST);
    enum chunks_result result = chunks_take_aligned(s, SHORT, ALIGN, 0, &start);
    limit_data(limit);
    assert_int_equal(result, CHUNKS_OK);
    assert_int_equal(start, hole);
    close_both();
}

static bool is_zero(uint32_t start, uint32_t length)
{
    const unsigned char *byte = region_at(&stepwise.region, start);
    size_t nbytes = (size_t)length * GRANULE_BYTES;
    return byte[0] == 0 && memcmp(byte, byte + 1, nbytes - 1) == 0;
}

/* A table can be read as a whole, and written to as far as was asked for; the chunk behind it, too.
 */
static void test_a_table_is_opened_by_and_by(void **unused)
{
    enum { TABLE = 8 * MIB / GRANULE_BYTES + 7, FIRST = 64, STEP = 1000, BEHIND = 500 };
    struct object before = {.length = 100}, table = {.length = TABLE}, behind = {.length = BEHIND};
    (void)unused;
    open_both(REGION);
    struct chunks *s = &stepwise;
    assert_int_equal(chunks_take(s, before.length, 0, FIT_BEST, &before.start), CHUNKS_OK);
    assert_int_equal(chunks_take_table(s, TABLE, 4, FIRST, &table.start), CHUNKS_OK);
    assert_true(chunks_have_unwritten(s));
    assert_int_equal(chunks_take(s, BEHIND, 0, FIT_BEST, &behind.start), CHUNKS_OK);
    write_to(&before);
    write_to(&behind);
    assert_true(is_zero(table.start, TABLE));
    for (uint32_t n = FIRST; n < TABLE; n += STEP) {
        uint32_t from = s->unwritten.from;
        assert_true(chunks_write_table(s, table.start + n));
        write_to(&(struct object){table.start, n});
        assert_true(s->unwritten.from >= from);
    }
    assert_true(chunks_write_table(s, table.start + TABLE));
    assert_false(chunks_have_unwritten(s));
    write_to(&table);
    assert_true(is_zero(behind.start + BEHIND, 100));
    close_both();
}

/* A table that ends where there is no gap is open as a whole; one that is too long is not there. */
static void test_a_table_without_a_gap(void **unused)
{
    uint32_t start;
    (void)unused;
    for (uint32_t less = 1; less <= 1 << 16; less *= 2) {
        open_both(REGION);
        uint32_t length = ledger_tail(&stepwise.ledger).length;
        assert_int_equal(chunks_take_table(&stepwise, length + 1, 1, 64, &start), CHUNKS_NONE);
        assert_int_equal(chunks_take_table(&stepwise, length - less, 1, 64, &start), CHUNKS_OK);
        assert_true(chunks_write_table(&stepwise, start + length - less));
        write_to(&(struct object){start, length - less});
        assert_int_equal(chunks_take_table(&whole, length - less, 1, 64, &start), CHUNKS_OK);
        assert_false(chunks_have_unwritten(&whole));
        close_both();
    }
    for (uint32_t written = 64; written <= 4096; written *= 4) { /* most of it is written at once */
        open_both(REGION);
        assert_int_equal(chunks_take_table(&stepwise, 4096, 1, written, &start), CHUNKS_OK);
        assert_true(chunks_write_table(&stepwise, start + 4096));
        write_to(&(struct object){start, 4096});
        close_both();
    }
    open_both(REGION);
    uint32_t length = ledger_tail(&stepwise.ledger).length - 9;
    assert_int_equal(chunks_take_table(&stepwise, length, 1, length, &start), CHUNKS_OK);
    write_to(&(struct object){start, length});
    close_both();
}

static void test_a_table_that_cannot_be_written_to(void **unused)
{
    enum { TABLE = 8 * MIB / GRANULE_BYTES, FIRST = 64 };
    uint32_t table;
    (void)unused;
    if (!limits_work())
        skip();
    open_both(REGION);
    assert_int_equal(chunks_take_table(&stepwise, TABLE, 4, FIRST, &table), CHUNKS_OK);
    struct unwritten before = stepwise.unwritten;
    rlim_t limit = limit_data(LEAST);
    bool first = chunks_write_table(&stepwise, table + FIRST);
    bool all = chunks_write_table(&stepwise, table + TABLE);
    limit_data(limit);
    assert_true(first);
    assert_false(all);
    assert_memory_equal(&before, &stepwise.unwritten, sizeof before);
    assert_true(chunks_write_table(&stepwise, table + TABLE));
    close_both();
}

/* CK2: whichever calls the system refuses, a chunk that is taken can be written to, one that is not
 * has changed nothing, and there is room for it as soon as nothing is refused any longer. */
static void take_and_refuse(uint32_t most, unsigned *nnone)
{
    uint32_t length = 1 + random_below(most), align = 1 + 15 * random_below(2), start;
    uint32_t top = stepwise.ledger.b.top;
    refused_percent = 60;
    enum chunks_result result = chunks_take_aligned(&stepwise, length, align, 0, &start);
    refused_percent = 0;
    if (result == CHUNKS_NONE) {
        ++*nnone;
        assert_int_equal(stepwise.ledger.b.top, top);
        result = chunks_take_aligned(&stepwise, length, align, 0, &start);
    }
    if (result == CHUNKS_NONE) { /* the region is full */
        assert_false(chunks_have_room(&stepwise, length, align));
        return;
    }
    unsigned char *memory = region_at(&stepwise.region, start);
    memory[0] = memory[(size_t)length * GRANULE_BYTES - 1] = 1;
}

static void test_any_step_may_be_refused(void **unused)
{
    enum { NROUNDS = 20, NTAKEN = 8000, LONG = 60000 };
    (void)unused;
    unsigned nnone = 0;
    nrefused = 0;
    for (int round = 0; round < NROUNDS; round++) {
        open_both(REGION);
        state += (uint64_t)round;
        for (int i = 0; i < NTAKEN; i++)
            take_and_refuse(i % (100 + 100 * round) == 0 ? LONG : 3, &nnone);
        while (round % 4 == 0 && chunks_have_room(&stepwise, LONG, 16)) /* until it is full */
            take_and_refuse(LONG, &nnone);
        assert_true(ledger_is_valid(&stepwise.ledger));
        close_both();
    }
    assert_true(nrefused > 50 && nnone > 20);
}

/* --- with a free list ------------------------------------------------------------------- */

enum { LISTED_BYTES = 1 << 16, ALIGN = 16 };
static _Alignas(256) unsigned char listed_memory[LISTED_BYTES];
static struct chunks listed;
static MemNodePtr listed_head;

/* [ a ][ hole of 50 granules ][ b ][ tail ], of which neither `a` nor the hole begins well. Returns
 * where `a` begins. */
static uint32_t open_listed(uint32_t *hole)
{
    uint32_t first, a, b;
    memset(listed_memory, 0, sizeof listed_memory);
    chunks_open(&listed, (struct region){.base = listed_memory, .nbytes = LISTED_BYTES},
                &listed_head);
    assert_int_equal(chunks_take(&listed, 7, 0, FIT_BEST, &first), CHUNKS_OK);
    assert_int_equal(chunks_take(&listed, 100, 0, FIT_BEST, &a), CHUNKS_OK);
    assert_int_equal(chunks_take(&listed, 50, 0, FIT_BEST, hole), CHUNKS_OK);
    assert_int_equal(chunks_take(&listed, 100, 0, FIT_BEST, &b), CHUNKS_OK);
    struct ledger_place p;
    assert_true(ledger_find_place(&listed.ledger, *hole, &p));
    chunks_give_back(&listed, &p);
    assert_true(a % ALIGN != 0 && *hole % ALIGN != 0);
    return a;
}

/* Without room for two records more, no aligned chunk is cut out of the hole. */
static void test_an_aligned_chunk_and_the_list(void **unused)
{
    uint32_t hole, at;
    struct chunk c;
    (void)unused;
    open_listed(&hole);
    assert_int_equal(chunks_take_aligned(&listed, 10, ALIGN, 0, &at), CHUNKS_OK);
    assert_int_equal(at, (hole + ALIGN - 1) / ALIGN * ALIGN);
    assert_true(ledger_find(&listed.ledger, hole, &c));
    assert_true(c.state == 0 && c.start == hole && c.length == at - hole);
    assert_int_equal(freelist_mend_all(&listed.list), 0); /* the nodes are right */
    assert_int_equal(chunks_take_aligned(&listed, 3, 1, 0, &at), CHUNKS_OK);
    assert_int_equal(freelist_mend_all(&listed.list), 0);
    assert_true(ledger_is_valid(&listed.ledger));
}

/* CK1: a node that was written over is not used, and nothing changes. */
static void test_an_aligned_chunk_and_a_wrong_node(void **unused)
{
    uint32_t hole, at;
    struct chunk c;
    (void)unused;
    open_listed(&hole);
    listed_memory[hole * GRANULE_BYTES] ^= 1;
    assert_int_equal(chunks_take_aligned(&listed, 10, ALIGN, 0, &at), CHUNKS_NONE);
    assert_true(ledger_find(&listed.ledger, hole, &c));
    assert_true(c.state == 0 && c.length == 50);
    assert_int_equal(freelist_mend_all(&listed.list), 1);
    assert_int_equal(chunks_take_aligned(&listed, 10, ALIGN, 0, &at), CHUNKS_OK);
}

/* LG5: where the order by size names an object as a hole, the object stays. */
static void test_an_aligned_chunk_and_a_wrong_hole(void **unused)
{
    (void)unused;
    for (uint32_t align = 1; align <= ALIGN; align += ALIGN - 1) {
        uint32_t hole, at, a = open_listed(&hole);
        struct cursor c;
        struct chunk chunk;
        assert_true(btree_last(&listed.ledger.b, BY_SIZE, &c));
        assert_true(cursor_word(&c) == word_of(50, hole));
        btree_update(&listed.ledger.b, &c, word_of(50, a));
        assert_int_not_equal(chunks_take_aligned(&listed, 10, align, 0, &at), CHUNKS_OK);
        assert_true(ledger_find(&listed.ledger, a, &chunk));
        assert_int_equal(chunk.state, 1);
        assert_int_equal(chunk.length, 100);
    }
}

/* LG5: without a list the damage is told, and the object stays as well. */
static void test_a_wrong_hole_without_a_list(void **unused)
{
    uint32_t first, a, hole, b, at;
    struct ledger_place p;
    struct cursor c;
    struct chunk chunk;
    (void)unused;
    for (uint32_t align = 1; align <= ALIGN; align += ALIGN - 1) {
        chunks_open(&listed, (struct region){.base = listed_memory, .nbytes = LISTED_BYTES}, NULL);
        assert_int_equal(chunks_take(&listed, 7, 0, FIT_BEST, &first), CHUNKS_OK);
        assert_int_equal(chunks_take(&listed, 100, 0, FIT_BEST, &a), CHUNKS_OK);
        assert_int_equal(chunks_take(&listed, 50, 0, FIT_BEST, &hole), CHUNKS_OK);
        assert_int_equal(chunks_take(&listed, 100, 0, FIT_BEST, &b), CHUNKS_OK);
        assert_true(ledger_find_place(&listed.ledger, hole, &p));
        chunks_give_back(&listed, &p);
        assert_true(btree_last(&listed.ledger.b, BY_SIZE, &c));
        btree_update(&listed.ledger.b, &c, word_of(50, a));
        assert_int_equal(chunks_take_aligned(&listed, 10, align, 0, &at), CHUNKS_DAMAGED);
        assert_true(ledger_find(&listed.ledger, a, &chunk));
        assert_true(chunk.state == 1 && chunk.length == 100);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chunks_lie_where_they_would),
        cmocka_unit_test(test_a_region_that_begins_within_a_page),
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_only_what_is_short_is_opened_ahead),
        cmocka_unit_test(test_a_full_region_has_no_gap),
        cmocka_unit_test(test_the_rest_of_a_gap_may_be_refused),
        cmocka_unit_test(test_a_gap_with_a_hole),
        cmocka_unit_test(test_records_stop_at_a_hole),
        cmocka_unit_test(test_holes_of_any_length),
        cmocka_unit_test(test_a_small_region_is_open),
        cmocka_unit_test(test_a_refused_step_changes_nothing),
        cmocka_unit_test(test_an_open_hole_instead_of_a_step),
        cmocka_unit_test(test_a_table_is_opened_by_and_by),
        cmocka_unit_test(test_a_table_without_a_gap),
        cmocka_unit_test(test_a_table_that_cannot_be_written_to),
        cmocka_unit_test(test_any_step_may_be_refused),
        cmocka_unit_test(test_an_aligned_chunk_and_the_list),
        cmocka_unit_test(test_an_aligned_chunk_and_a_wrong_node),
        cmocka_unit_test(test_an_aligned_chunk_and_a_wrong_hole),
        cmocka_unit_test(test_a_wrong_hole_without_a_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
