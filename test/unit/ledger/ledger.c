/* SPDX-License-Identifier: MIT
 *
 * ledger.c - checks LG1 to LG4 (src/ledger/ledger.h) without a heap around the ledger.
 *
 * It compares the choice of a chunk with a search of the model's array, and checks what happens
 * when there is no room for another record, and that freeing never leaves less to allocate.
 * Regions of up to 64 GiB are simulated: a ledger touches only its records at the end of the
 * region.
 *
 * Links test/support/model.c.
 */
#include "unit.h"

#include "ledger/ledger.h"
#include "base/region.h"
#include "model.h"

enum { ARENA_BYTES = 1 << 19, PAINT = 0xA5, FAR_BYTES = 512 };

static _Alignas(16) unsigned char arena[ARENA_BYTES];
static struct ledger l;
static struct model model;
static uint64_t dice;
static size_t region_bytes;

static unsigned char *region(void)
{
    return arena + sizeof arena - region_bytes;
}

static void open_ledger(size_t nbytes)
{
    region_bytes = nbytes;
    dice = 88172645463325252u + nbytes;
    ledger_open(&l, arena + sizeof arena, nbytes);
    if (nbytes <= ARENA_BYTES)
        model_open(&model, nbytes);
}

/* --- against the model ---------------------------------------------------------- */

static struct chunk as_chunk(const struct model_chunk *m)
{
    size_t unused = m->size > 0 ? m->nbytes - m->size + 1 : 0;
    return (struct chunk){(uint32_t)(m->start / 16), (uint32_t)(m->nbytes / 16), (uint32_t)unused};
}

static void assert_same(const struct chunk *expected, const struct chunk *got)
{
    assert_int_equal(expected->length, got->length);
    if (expected->length == 0)
        return;
    assert_int_equal(expected->start, got->start);
    assert_int_equal(expected->state, got->state);
}

/* Lists the free chunks by address, the tail last, and returns their number. */
static size_t free_chunks(struct chunk *list)
{
    size_t n = 0;
    for (size_t i = 0; i < model.n; i++)
        if (model.chunk[i].size == 0)
            list[n++] = as_chunk(&model.chunk[i]);
    struct model_chunk tail = model_tail(&model);
    if (tail.nbytes > 0)
        list[n++] = as_chunk(&tail);
    return n;
}

static struct chunk list[MODEL_CHUNKS_MAX];

static const struct chunk *naive_choice(size_t n, uint32_t length, enum fit fit)
{
    const struct chunk *best = NULL;
    for (size_t i = 0; i < n; i++) {
        const struct chunk *c = &list[i];
        if (c->length < length)
            continue;
        if (best == NULL || (fit == FIT_BEST && c->length < best->length) ||
            (fit == FIT_WORST && c->length > best->length))
            best = c;
    }
    return best;
}

static void assert_choice(size_t n, uint32_t length, enum fit fit)
{
    struct chunk chosen;
    const struct chunk *expected = naive_choice(n, length, fit);
    assert_int_equal(ledger_choose(&l, length, fit, &chosen), expected != NULL);
    if (expected != NULL)
        assert_same(expected, &chosen);
}

static void assert_every_choice(void)
{
    size_t n = free_chunks(list);
    uint32_t longest = 1;
    for (size_t i = 0; i < n; i++)
        longest = list[i].length > longest ? list[i].length : longest;
    for (uint32_t length = 1; length <= longest + 1; length++)
        for (int fit = FIT_BEST; fit <= FIT_FIRST; fit++)
            assert_choice(n, length, (enum fit)fit);
}

/* Checks LG1 and LG2 for each chunk from its first granule to its last, and LG3 by its formula. */
static void assert_lg1_lg2_lg3(void)
{
    struct chunk found, tail = ledger_tail(&l);
    uint32_t top = 0;
    for (size_t i = 0; i < model.n; i++) {
        struct chunk c = as_chunk(&model.chunk[i]);
        assert_int_equal(c.start, top);
        top = c.start + c.length;
        assert_true(ledger_find(&l, c.start, &found));
        assert_same(&c, &found);
        assert_true(ledger_find(&l, top - 1, &found));
        assert_same(&c, &found);
        assert_true(c.state != 0 || (i + 1 < model.n && model.chunk[i + 1].size != 0));
    }
    struct model_chunk last = model_tail(&model);
    struct chunk expected = as_chunk(&last);
    assert_same(&expected, &tail);
    assert_int_equal(ledger_find(&l, top, &found), tail.length > 0);
    assert_false(ledger_find(&l, top + tail.length, &found));
    assert_true(top * (size_t)16 + model.n * BTREE_COST <= region_bytes);
    assert_true(ledger_nbytes(&l) <= model.n * BTREE_COST);
    assert_true(ledger_is_valid(&l));
}

/* The records may grow and shrink only above the chunks: a call must not change the last
 * FAR_BYTES of the chunks. */
static size_t paint(void)
{
    size_t top = (size_t)l.b.top * 16, low = top > FAR_BYTES ? top - FAR_BYTES : 0;
    memset(region() + low, PAINT, top - low);
    return top;
}

static void assert_painted(size_t top)
{
    size_t now = (size_t)l.b.top * 16, low = top > FAR_BYTES ? top - FAR_BYTES : 0;
    for (size_t i = low; i < top && i < now; i++)
        assert_int_equal(region()[i], PAINT);
}

static bool take(uint32_t size, enum fit fit)
{
    static const enum model_fit fits[] = {MODEL_BEST, MODEL_WORST, MODEL_FIRST};
    struct chunk from;
    uint32_t length = (size + 15) / 16;
    ptrdiff_t expected = model_alloc(&model, size, fits[fit]);
    size_t painted = paint();
    bool can = ledger_choose(&l, length, fit, &from);
    assert_int_equal(can, expected >= 0);
    if (can) {
        assert_int_equal((size_t)from.start * 16, expected);
        ledger_take(&l, &from, length, length * 16 - size);
    }
    assert_painted(painted);
    return can;
}

static void give_back_at(uint32_t granule)
{
    struct ledger_place p;
    assert_true(ledger_find_place(&l, granule, &p) && p.chunk.start == granule);
    ledger_give_back(&l, &p);
}

static void give_back(uint32_t granule)
{
    size_t painted = paint();
    assert_true(model_free(&model, (size_t)granule * 16));
    give_back_at(granule);
    assert_painted(painted);
}

static void give_back_any(void)
{
    size_t i = rnd(&dice, (uint32_t)model.n);
    while (model.chunk[i].size == 0)
        i = (i + 1) % model.n;
    give_back((uint32_t)(model.chunk[i].start / 16));
}

/* --- LG1 to LG3: histories ------------------------------------------------------- */

static void history(size_t nbytes, uint32_t size_max, uint32_t ncalls, void (*look)(void))
{
    open_ledger(nbytes);
    uint32_t percent = 70;
    for (uint32_t i = 0; i < ncalls; i++) {
        if (i % 64 == 0)
            percent = 30 + rnd(&dice, 50);
        if (model.n == 0 || rnd(&dice, 100) < percent)
            take(1 + rnd(&dice, size_max), (enum fit)rnd(&dice, 3));
        else
            give_back_any();
        if (i % 8 == 0)
            look();
    }
    while (model.n > 0)
        give_back_any();
    look();
    assert_int_equal(ledger_tail(&l).length, (nbytes - CHUNK_COST) / 16);
    assert_int_equal(ledger_nbytes(&l), 0);
}

static void test_lg1_lg2_lg3_histories(void **state)
{
    (void)state;
    for (size_t nbytes = 64; nbytes <= 16384; nbytes = nbytes * 5 / 4 / 16 * 16)
        history(nbytes, 100, 1500, assert_lg1_lg2_lg3);
    for (size_t nbytes = 256; nbytes <= 8192; nbytes += 1040)
        history(nbytes, 16, 1500, assert_lg1_lg2_lg3); /* There are as many records as possible. */
    history(ARENA_BYTES, 300, 6000, assert_lg1_lg2_lg3);
}

/* Fills the region with objects of one granule, frees every other one, and fills it again: the
 * records take most of the region, as arrays and as trees. */
static void test_lg3_most_records(void **state)
{
    (void)state;
    for (size_t nbytes = 64; nbytes < 60000; nbytes = nbytes * 3 / 2 / 16 * 16) {
        open_ledger(nbytes);
        while (take(16, FIT_BEST))
            ;
        size_t n = model.n;
        assert_int_equal(n, nbytes / (16 + CHUNK_COST)); /* This is C11. */
        for (uint32_t i = 0; i < n; i += 2)
            give_back(i);
        assert_lg1_lg2_lg3();
        while (take(1, FIT_WORST))
            ;
        assert_true(model.n >= n);
        assert_lg1_lg2_lg3();
    }
}

/* --- choosing -------------------------------------------------------------------- */

/* Makes [live][hole][live][hole]...[live][tail] with the given holes, and cuts the tail down to
 * about `tail` granules. */
static void make_holes(const uint32_t *hole, size_t nholes, uint32_t tail)
{
    uint32_t start[1000];
    for (size_t i = 0; i < nholes; i++) {
        assert_true(take(16, FIT_FIRST));
        start[i] = l.b.top;
        assert_true(take(hole[i] * 16, FIT_FIRST));
    }
    assert_true(take(16, FIT_FIRST));
    while (ledger_tail(&l).length > tail + 2)
        assert_true(take((ledger_tail(&l).length - tail - 2) * 16, FIT_WORST));
    for (size_t i = 0; i < nholes; i++)
        give_back(start[i]);
}

static struct chunk choice(uint32_t length, enum fit fit)
{
    struct chunk chosen = {0};
    if (!ledger_choose(&l, length, fit, &chosen))
        chosen.length = 0;
    return chosen;
}

/* These holes start at 1, 5, 11, 17, 20, 29, 38 and 40, each behind one granule. */
static void test_choice_and_ties_by_hand(void **state)
{
    (void)state;
    static const uint32_t holes[] = {3, 5, 5, 2, 8, 8, 1, 3};
    open_ledger(8192);
    make_holes(holes, 8, 6);
    assert_true(ledger_tail(&l).length < 8);
    assert_int_equal(choice(1, FIT_FIRST).start, 1);
    assert_int_equal(choice(1, FIT_BEST).start, 38);
    assert_int_equal(choice(1, FIT_WORST).start, 20);
    assert_int_equal(choice(3, FIT_BEST).start, 1);
    assert_int_equal(choice(4, FIT_FIRST).start, 5);
    assert_int_equal(choice(4, FIT_BEST).start, 5);
    assert_int_equal(choice(5, FIT_WORST).start, 20);
    assert_int_equal(choice(8, FIT_BEST).start, 20);
    assert_int_equal(choice(9, FIT_BEST).length, 0);
    assert_int_equal(choice(9, FIT_WORST).length, 0);
    assert_int_equal(choice(9, FIT_FIRST).length, 0);
    assert_every_choice();
}

/* The tail is as long as the longest hole, one granule shorter, one longer, or empty. */
static void test_choice_and_ties_with_the_tail(void **state)
{
    (void)state;
    static const uint32_t holes[] = {4, 6, 6, 1};
    bool tied = false, shorter = false, longer = false;
    for (size_t nbytes = 600; nbytes < 1000; nbytes += 4) {
        open_ledger(nbytes / 16 * 16);
        uint32_t start[4];
        for (size_t i = 0; i < 4; i++) {
            take(16, FIT_FIRST);
            start[i] = l.b.top;
            take(holes[i] * 16, FIT_FIRST);
        }
        take(1, FIT_FIRST);
        for (size_t i = 0; i < 4; i++)
            give_back(start[i]);
        uint32_t length = ledger_tail(&l).length;
        tied |= length == 6;
        shorter |= length < 6;
        longer |= length > 6;
        assert_every_choice();
    }
    assert_true(tied && shorter && longer);
}

static void test_choice_among_hundreds(void **state)
{
    (void)state;
    uint32_t holes[1000];
    /* The ledger is in arrays first and in trees later. */
    for (uint32_t n = 50; n <= 1000; n += 190) {
        open_ledger(ARENA_BYTES);
        for (uint32_t i = 0; i < n; i++)
            holes[i] = 1 + rnd(&dice, 6 + n / 100);
        make_holes(holes, n, rnd(&dice, 12));
        assert_every_choice();
        for (uint32_t i = 0; i < 200; i++)
            take(1 + rnd(&dice, 100), (enum fit)(i % 3));
        assert_every_choice();
    }
}

/* --- no room --------------------------------------------------------------------- */

/* Returns true if LG3 holds with one more record, by its formula. */
static bool has_room(void)
{
    return l.b.top * (size_t)16 + (l.b.tree[BY_ADDRESS].nwords + (size_t)1) * BTREE_COST <=
           region_bytes;
}

static void test_lg3_without_room_a_hole_is_taken_whole(void **state)
{
    (void)state;
    struct chunk from, found;
    open_ledger(1024);
    assert_true(take(320, FIT_FIRST));
    while (take(16, FIT_FIRST))
        ;
    give_back(0);
    uint32_t nsplit = 0;
    while (has_room()) {
        assert_true(take(10, FIT_FIRST));
        nsplit++;
    }
    assert_true(nsplit > 0 && nsplit < 19);
    assert_true(ledger_choose(&l, 1, FIT_FIRST, &from));
    assert_int_equal(from.length, 20 - nsplit);
    uint32_t n = l.b.tree[BY_ADDRESS].nwords;
    ledger_take(&l, &from, 1, 6);
    assert_true(ledger_find(&l, from.start + from.length - 1, &found));
    assert_int_equal(found.start, from.start);
    assert_int_equal(found.length, from.length);
    assert_int_equal(found.state, 1 + 6 + (from.length - 1) * 16); /* 10 bytes were requested. */
    assert_int_equal(l.b.tree[BY_ADDRESS].nwords, n);
    assert_int_equal(l.b.tree[BY_SIZE].nwords, 0);
    assert_true(ledger_is_valid(&l));
}

/* Slack is counted with 32 bits. So a hole that would be taken whole may leave less than 2^28 - 1
 * granules unused. Where it can be cut, it may be of any length. */
static void test_lg3_a_hole_four_gib_too_large(void **state)
{
    (void)state;
    const uint32_t most = UINT32_MAX / 16, gib = 1u << 26;
    struct chunk from, hole;
    open_ledger(REGION_BYTES_MAX);
    static const uint32_t lengths[] = {40, 1, 8 * (1u << 26), 1};
    uint32_t start[5];
    for (int i = 0; i < 5; i++) {
        start[i] = l.b.top;
        from = ledger_tail(&l);
        ledger_take(&l, &from, i < 4 ? lengths[i] : from.length, 0);
    }
    give_back_at(start[0]);
    give_back_at(start[2]);
    /* There is room for a record, so the hole would be cut. */
    assert_true(ledger_choose(&l, 1, FIT_WORST, &hole));
    assert_int_equal(hole.length, 8 * gib);
    while (has_room()) {
        assert_true(ledger_choose(&l, 1, FIT_FIRST, &from));
        ledger_take(&l, &from, 1, 0);
    }
    assert_true(ledger_choose(&l, 1, FIT_BEST, &from)); /* The small hole is chosen. */
    assert_false(ledger_choose(&l, 1, FIT_WORST, &from));
    assert_false(ledger_choose(&l, hole.length - most, FIT_BEST, &from));
    assert_true(ledger_choose(&l, hole.length - most + 1, FIT_BEST, &from));
    assert_int_equal(from.start, hole.start);
    ledger_take(&l, &from, hole.length - most + 1, 15);
    assert_true(ledger_find(&l, hole.start, &from));
    assert_int_equal(from.state, 1 + 15 + (most - 1) * (uint64_t)16);
    assert_true(ledger_is_valid(&l));
}

/* --- LG4 ------------------------------------------------------------------------- */

/* Returns the length of the longest object that can be allocated now, in granules. */
static uint32_t longest_to_be_had(enum fit fit)
{
    struct chunk chosen;
    uint32_t can = 0, cannot = UINT32_MAX;
    while (can + 1 < cannot) {
        uint32_t middle = can + (cannot - can) / 2;
        if (ledger_choose(&l, middle, fit, &chosen))
            can = middle;
        else
            cannot = middle;
    }
    return can;
}

static uint32_t nshrunk;

static void free_and_compare(uint32_t granule)
{
    struct chunk freed;
    assert_true(ledger_find(&l, granule, &freed));
    uint32_t before = longest_to_be_had(FIT_FIRST), high = l.high;
    give_back(freed.start);
    uint32_t after = longest_to_be_had(FIT_FIRST);
    assert_true(after >= before);
    assert_true(after >= freed.length); /* The memory of an object can become an object again. */
    assert_int_equal(after, longest_to_be_had(FIT_BEST));
    assert_int_equal(after, longest_to_be_had(FIT_WORST));
    assert_int_equal(l.high, l.b.top == 0 ? 0 : high);
    nshrunk += l.b.top < high;
}

static void lg4_history(size_t nbytes, uint32_t size_max)
{
    open_ledger(nbytes);
    for (uint32_t i = 0; i < 1200; i++) {
        bool full = !take(1 + rnd(&dice, size_max), (enum fit)rnd(&dice, 3));
        uint32_t nfrees = full ? rnd(&dice, (uint32_t)model.n + 1) : rnd(&dice, 2);
        while (nfrees-- > 0 && model.n > 0) {
            size_t k = rnd(&dice, (uint32_t)model.n);
            if (model.chunk[k].size > 0)
                free_and_compare((uint32_t)(model.chunk[k].start / 16));
        }
    }
}

static void test_lg4_freeing_never_leaves_less(void **state)
{
    (void)state;
    nshrunk = 0;
    for (size_t nbytes = 96; nbytes < 4200; nbytes += 112)
        lg4_history(nbytes, nbytes % 3 == 0 ? 16 : (uint32_t)nbytes / 4);
    lg4_history(65536, 200);
    assert_true(nshrunk > 1000);
}

/* --- neighbours ------------------------------------------------------------------ */

static void assert_around(const struct chunk *free_list, size_t n, uint32_t granule)
{
    static const struct chunk none;
    struct around a;
    size_t i = 0;
    while (i < n && free_list[i].start < granule)
        i++;
    ledger_around(&l, granule, &a);
    assert_same(i > 0 ? &free_list[i - 1] : &none, &a.before);
    assert_same(i < n ? &free_list[i] : &none, &a.here);
    assert_same(i + 1 < n ? &free_list[i + 1] : &none, &a.after);
}

static void assert_around_everywhere(void)
{
    size_t n = free_chunks(list);
    for (uint32_t granule = 0; granule <= l.b.top; granule++)
        assert_around(list, n, granule);
    struct around a;
    struct chunk tail = ledger_tail(&l);
    ledger_around(&l, tail.start + tail.length + (tail.length == 0), &a);
    assert_int_equal(a.here.length, 0); /* The walk has ended. */
    assert_int_equal(a.after.length, 0);
}

static void test_around_at_every_granule(void **state)
{
    (void)state;
    for (size_t nbytes = 64; nbytes <= 4096; nbytes = nbytes * 3 / 2 / 16 * 16)
        history(nbytes, 90, 800, assert_around_everywhere);
    history(40000, 40, 1200, assert_around_everywhere); /* The ledger is in trees. */
}

/* --- the checker can fail -------------------------------------------------------- */

static struct ledger keep;
static unsigned char keep_arena[ARENA_BYTES];

static void set_up_holes(uint32_t n)
{
    uint32_t holes[1000];
    for (uint32_t i = 0; i < n; i++)
        holes[i] = 2 + i % 5;
    open_ledger(ARENA_BYTES);
    make_holes(holes, n, 20000);
    assert_true(ledger_is_valid(&l));
    keep = l;
    memcpy(keep_arena, arena, sizeof arena);
}

static void assert_found_and_undo(void)
{
    assert_false(ledger_is_valid(&l));
    l = keep;
    memcpy(arena, keep_arena, sizeof arena);
    assert_true(ledger_is_valid(&l));
}

static void replace(enum order order, uint32_t nth, uint64_t xor)
{
    struct cursor c;
    btree_last(&l.b, order, &c);
    while (nth-- > 0)
        assert_true(btree_prev(&l.b, &c));
    btree_update(&l.b, &c, cursor_word(&c) ^ xor);
}

/* Makes the n-th chunk from the end, which is live without slack, a free one, and enters it by
 * size. Only its neighbours make that wrong. */
static void make_free(uint32_t nth)
{
    struct cursor c;
    btree_last(&l.b, BY_ADDRESS, &c);
    while (nth-- > 0)
        assert_true(btree_prev(&l.b, &c));
    uint32_t start = high_of(cursor_word(&c));
    uint64_t word = word_of(btree_chunk_end(&l.b, &c) - start, start);
    assert_int_equal(low_of(cursor_word(&c)), 1);
    btree_update(&l.b, &c, word_of(start, 0));
    btree_floor(&l.b, BY_SIZE, word, &c);
    btree_insert(&l.b, &c, word);
}

static void test_checker_sees_lg2_broken(void **state)
{
    (void)state;
    for (uint32_t n = 10; n <= 600; n += 590) {
        set_up_holes(n);
        make_free(5); /* Its neighbour is free. */
        assert_found_and_undo();
        make_free(0); /* The tail behind it is free. */
        assert_found_and_undo();
    }
}

static void damage_each_kind(uint32_t n)
{
    set_up_holes(n);
    l.high = l.b.top - 1;
    assert_found_and_undo();
    l.nbytes =
        /* This breaks LG3. */
        l.b.top * (size_t)16 + l.b.tree[BY_ADDRESS].nwords * (size_t)BTREE_COST - 1;
    assert_found_and_undo();
    /* A hole becomes live: it is still counted by size and is not found by address. */
    replace(BY_ADDRESS, 1, 1);
    assert_found_and_undo();
    /* A live chunk becomes free: two holes are neighbours, which breaks LG2. */
    replace(BY_ADDRESS, 2, 1);
    assert_found_and_undo();
    replace(BY_ADDRESS, 0, 1); /* The last chunk is free. */
    assert_found_and_undo();
    /* A chunk of 16 bytes has a state that says that 16 of them are slack. */
    replace(BY_ADDRESS, 4, 17);
    assert_found_and_undo();
    replace(BY_SIZE, n / 2, (uint64_t)1 << 40); /* The length differs. */
    assert_found_and_undo();
    replace(BY_SIZE, 0, 1); /* The start differs. */
    assert_found_and_undo();
}

static void test_checker_sees_each_kind_of_damage(void **state)
{
    (void)state;
    damage_each_kind(10);  /* The ledger is in arrays. */
    damage_each_kind(600); /* The ledger is in trees. */
}

static void remove_nth(enum order order, uint32_t nth)
{
    struct cursor c;
    btree_last(&l.b, order, &c);
    while (nth-- > 0)
        assert_true(btree_prev(&l.b, &c));
    btree_remove(&l.b, &c);
}

static void test_checker_sees_a_record_missing(void **state)
{
    (void)state;
    for (uint32_t n = 10; n <= 600; n += 590) {
        set_up_holes(n);
        remove_nth(BY_SIZE, n / 3);
        assert_found_and_undo();
        remove_nth(BY_ADDRESS, 3); /* The hole before it becomes longer than its word by size. */
        assert_found_and_undo();
        remove_nth(BY_ADDRESS, 5);
        remove_nth(BY_SIZE, 0);
        assert_found_and_undo();
    }
}

static void test_checker_sees_a_wrong_count_or_top(void **state)
{
    (void)state;
    for (uint32_t n = 10; n <= 600; n += 590) {
        set_up_holes(n);
        for (int o = BY_ADDRESS; o <= BY_SIZE; o++) {
            l.b.tree[o].nwords++;
            assert_found_and_undo();
            l.b.tree[o].nwords--;
            assert_found_and_undo();
        }
        l.b.top++;
        assert_found_and_undo(); /* The top lies above `high`. */
    }
}

/* Breaks LG1: the last chunk begins behind the end of the chunks. */
static void test_checker_sees_a_top_below_the_last_chunk(void **state)
{
    (void)state;
    struct cursor c;
    for (uint32_t n = 10; n <= 600; n += 590) {
        set_up_holes(n);
        btree_last(&l.b, BY_ADDRESS, &c);
        l.b.top = high_of(cursor_word(&c)); /* The chunk has no length. */
        assert_found_and_undo();
        l.b.top = high_of(cursor_word(&c)) - 1; /* The chunk has a negative length. */
        assert_found_and_undo();
    }
}

/* Two chunks at one place: the upper one has no length. */
static void test_checker_sees_an_empty_chunk(void **state)
{
    (void)state;
    for (uint32_t n = 10; n <= 600; n += 590) {
        struct cursor c;
        set_up_holes(n);
        btree_last(&l.b, BY_ADDRESS, &c);
        btree_insert(&l.b, &c, cursor_word(&c) + 1);
        assert_found_and_undo();
    }
}

/* The order by size has one word more than there are holes. */
static void test_checker_sees_a_hole_too_many(void **state)
{
    (void)state;
    for (uint32_t n = 10; n <= 600; n += 590) {
        struct cursor c;
        set_up_holes(n);
        btree_last(&l.b, BY_SIZE, &c);
        btree_insert(&l.b, &c, cursor_word(&c) + 1);
        assert_found_and_undo();
    }
}

static void test_checker_sees_wrong_numbers(void **state)
{
    (void)state;
    set_up_holes(10);
    l.live_granules++;
    assert_found_and_undo();
    l.live_granules--;
    assert_found_and_undo();
    l.high = ARENA_BYTES / 16; /* no chunk was ever where the last record is */
    assert_found_and_undo();
    open_ledger(ARENA_BYTES);
    l.b.top = l.high = 5; /* chunks, and no record of them */
    struct recount n = {0};
    assert_string_equal(ledger_fault(&l, &n), "a chunk has no record");
}

/* --- numbers that cannot be: LG5 rests on these ----------------------------------- */

static void assert_insane_and_undo(void)
{
    assert_false(ledger_is_sane(&l));
    l = keep;
    assert_true(ledger_is_sane(&l));
}

static void take_some(uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        struct chunk tail = ledger_tail(&l);
        assert_int_equal(ledger_take(&l, &tail, 1, 0), 1);
    }
    keep = l;
    assert_true(ledger_is_sane(&l));
}

/* A gap lies above the chunks and below the records, whose room ends where it does. */
static void test_lg7_numbers_of_a_gap(void **state)
{
    (void)state;
    ledger_open_with_gap(&l, arena + sizeof arena, ARENA_BYTES, 1000, 4096);
    take_some(10);
    l.guard.low = l.guard.high;
    assert_insane_and_undo();
    l.guard.low = l.b.top - 1;
    assert_insane_and_undo();
    l.guard.low = l.b.top;
    assert_true(ledger_is_sane(&l));
    l.guard.high++;
    assert_insane_and_undo();
    l.b.room++;
    assert_insane_and_undo();
    ledger_open_with_gap(&l, arena + sizeof arena, ARENA_BYTES, 1000, 4096);
    keep = l;
    ledger_set_guard(&l, 1000, ARENA_BYTES / 16); /* no room for any record */
    assert_insane_and_undo();
}

/* LG6: a guard is on whole pages, and leaves room for the records there are. */
static void test_lg6_numbers_of_a_guard(void **state)
{
    (void)state;
    enum { PAGE = 256, ALL = ARENA_BYTES / 16, NRECORDS = 4096 / BTREE_COST };
    ledger_open_guarded(&l, arena + sizeof arena, ARENA_BYTES, PAGE);
    take_some(10);
    uint32_t low = l.guard.low, high = l.guard.high;
    ledger_set_guard(&l, low - 1, high);
    assert_insane_and_undo();
    ledger_set_guard(&l, low, high + 1);
    assert_insane_and_undo();
    ledger_set_guard(&l, low - PAGE, high);
    assert_true(ledger_is_sane(&l));
    l = keep;
    take_some(NRECORDS - 10);
    l.b.top = l.high = ALL - 2 * PAGE;
    assert_true(ledger_is_sane(&l));
    l = keep;
    take_some(1); /* from now on the records may need two pages, and so chunks have one less */
    l.b.top = l.high = ALL - 2 * PAGE;
    assert_insane_and_undo();
}

/* --- resizing is refused, and changes nothing --------------------------------------- */

static void assert_refused(uint32_t start, uint32_t length)
{
    struct ledger was = l;
    assert_false(ledger_resize(&l, start, length, 0));
    was.changes += 2; /* readers may see that a change was tried */
    was.guard.wanted_low = l.guard.wanted_low;
    assert_memory_equal(&was, &l, sizeof l);
}

/* The guard is in the way of a chunk that grows, and of one that would leave a second record. */
static void test_lg6_no_resize_into_the_guard(void **state)
{
    (void)state;
    enum { PAGE = 256, NRECORDS = 4096 / BTREE_COST };
    ledger_open_guarded(&l, arena + sizeof arena, ARENA_BYTES, PAGE);
    struct chunk tail = ledger_tail(&l);
    assert_int_equal(ledger_take(&l, &tail, 100, 0), 100);
    uint32_t low = l.guard.low;
    ledger_set_guard(&l, PAGE, 2 * PAGE); /* as low as it could be */
    assert_true(ledger_resize(&l, 0, PAGE, 0));
    assert_true(ledger_resize(&l, 0, 100, 0));
    assert_refused(0, PAGE + 1);
    assert_true(l.guard.wanted_low > PAGE);
    ledger_set_guard(&l, low, low + PAGE);
    assert_true(ledger_resize(&l, 0, PAGE + 1, 0));
    take_some(NRECORDS - 1);
    assert_refused(0, 10); /* a record for what becomes free has no room in one page */
    assert_int_equal(l.guard.wanted_low, low - PAGE);
}

/* Without room for a record, an end that is cut off is slack, and 32 bits count that. */
static void test_lg3_no_resize_by_four_gib(void **state)
{
    (void)state;
    const uint32_t most = UINT32_MAX / 16, gib = 1u << 26, lengths[] = {8 * gib, 40, 1};
    struct chunk from;
    open_ledger(REGION_BYTES_MAX);
    for (int i = 0; i < 4; i++) {
        from = ledger_tail(&l);
        ledger_take(&l, &from, i < 3 ? lengths[i] : from.length, 0);
    }
    give_back_at(8 * gib);
    while (has_room()) { /* until the hole of 40 granules cannot be cut any further */
        assert_true(ledger_choose(&l, 1, FIT_FIRST, &from));
        ledger_take(&l, &from, 1, 0);
    }
    assert_refused(0, 8 * gib - most);
    assert_true(ledger_resize(&l, 0, 8 * gib - most + 1, 0));
}

/* Where only the border between a live chunk and a free one moves, no record is needed: neither to
 * grow nor to shrink, beside a hole or the tail. */
static void test_lg3_a_border_needs_no_record(void **state)
{
    (void)state;
    const uint32_t gib = 1u << 26, lengths[] = {1, 8 * gib, 1};
    uint32_t last = 0;
    struct chunk from, hole;
    open_ledger(REGION_BYTES_MAX);
    for (int i = 0; i < 4; i++) {
        from = ledger_tail(&l);
        ledger_take(&l, &from, i < 3 ? lengths[i] : from.length, 0);
    }
    give_back_at(1);
    while (has_room()) {
        assert_true(ledger_choose(&l, 1, FIT_FIRST, &from));
        last = from.start;
        ledger_take(&l, &from, 1, 0);
    }
    assert_true(ledger_find(&l, last + 1, &hole));
    assert_true(hole.state == 0 && hole.length > 7 * gib);
    for (uint32_t more = 1; more < 8 * gib; more *= 5) {
        struct chunk rest, whole = {last, 1, 1};
        uint32_t dirty = l.ndirty, live = l.live_granules;
        assert_true(ledger_resize(&l, last, 1 + more, 0));
        assert_true(ledger_find(&l, last + 1 + more, &rest));
        assert_true(rest.start == last + 1 + more && rest.length == hole.length - more);
        assert_int_equal(l.ndirty, dirty - more);
        assert_int_equal(l.live_granules, live + more);
        assert_true(ledger_is_valid(&l));
        assert_true(ledger_resize(&l, last, 1, 0));
        assert_true(ledger_find(&l, last, &from));
        assert_memory_equal(&from, &whole, sizeof from);
        assert_int_equal(l.ndirty, dirty);
        assert_int_equal(l.live_granules, live);
        assert_true(ledger_is_valid(&l));
    }
    assert_true(ledger_resize(&l, last, 1 + hole.length, 0)); /* and the hole is gone */
    assert_true(ledger_is_valid(&l));
    uint32_t top = l.b.top;
    assert_true(ledger_find(&l, top - 1, &from) && from.length > gib); /* the last one */
    assert_true(ledger_resize(&l, from.start, 1, 0));
    assert_int_equal(l.b.top, from.start + 1);
    assert_true(ledger_find(&l, from.start, &from) && from.state == 1 && from.length == 1);
    assert_true(ledger_resize(&l, from.start, top - from.start, 0));
    assert_int_equal(l.b.top, top);
    assert_true(ledger_is_valid(&l));
}

/* LG5: with a record that was overwritten a resize finds no chunk, or no hole, and is refused. */
static void test_lg5_no_resize_of_what_is_damaged(void **state)
{
    (void)state;
    struct cursor c;
    for (uint32_t n = 10; n <= 600; n += 590) {
        set_up_holes(n);
        struct chunk first;
        assert_true(ledger_find(&l, 0, &first));
        uint32_t at = first.state == 0 ? first.length : 0;
        btree_floor(&l.b, BY_ADDRESS, word_of(at, UINT32_MAX), &c);
        btree_update(&l.b, &c, word_of(at, UINT32_MAX - 1)); /* more slack than it is long */
        assert_false(ledger_resize(&l, at, 1, 0));
        l = keep;
        memcpy(arena, keep_arena, sizeof arena);
    }
}

/* Whether a chunk begins there, in the order by address. */
static bool begins_at(uint32_t start, struct chunk *c)
{
    return ledger_find(&l, start, c) && c->start == start;
}

/* Tries to let each live chunk grow by a granule, in copies of the ledger as it is now, whose few
 * records lie at the end of the arena. */
static void grow_each_chunk(void)
{
    static unsigned char records[4096];
    unsigned char *from = arena + sizeof arena - sizeof records;
    struct ledger damaged = l;
    struct chunk c, again, behind;
    memcpy(records, from, sizeof records);
    for (uint32_t granule = 0; granule < damaged.b.top; granule++) {
        if (!ledger_find(&l, granule, &c) || c.state == 0)
            continue;
        bool can_grow = begins_at(c.start, &again) && begins_at(c.start + again.length, &behind) &&
                        behind.state == 0;
        assert_true(!ledger_resize(&l, c.start, again.length + 1, 0) || can_grow);
        l = damaged;
        memcpy(from, records, sizeof records);
    }
}

/* LG5: where records were overwritten, the hole that is found at the end of a chunk may begin
 * elsewhere. A chunk does not grow into that. */
static void test_lg5_no_resize_into_another_hole(void **state)
{
    (void)state;
    struct cursor c;
    for (uint32_t n = 10; n <= 40; n += 30) {
        set_up_holes(n);
        for (uint32_t i = 0; i < 2 * n; i++) {
            btree_floor(&l.b, BY_ADDRESS, word_of(0, UINT32_MAX), &c);
            for (uint32_t k = i; k > 0 && btree_next(&l.b, &c);)
                k--;
            btree_update(&l.b, &c, word_of(0, 0));
            grow_each_chunk();
            l = keep;
            memcpy(arena, keep_arena, sizeof arena);
        }
    }
}

/* Overwrites a child of the root by size, one beside the leaf at `c`, with the leaf by address at
 * `other`. */
static void overwrite_child(const struct cursor *c, const struct cursor *other)
{
    enum { NODE_BYTES = 256, HEAD_BYTES = 8 };
    const unsigned char *leaf = (unsigned char *)other->step[0].word - HEAD_BYTES;
    uint32_t id = (uint32_t)((size_t)(arena + sizeof arena - leaf) / NODE_BYTES - 1);
    int index = c->step[1].index > 0 ? c->step[1].index - 1 : 1;
    memcpy((unsigned char *)(c->step[1].word + INNER_CAP) + (size_t)index * sizeof id, &id,
           sizeof id);
}

/* Lets the live chunk before a hole grow by all of it. Returns false if that was refused, which it
 * is only where the hole is not found by address any longer. */
static bool grow_into(const struct chunk *before, const struct chunk *hole)
{
    struct chunk c;
    uint32_t length = before->length + hole->length;
    if (!ledger_resize(&l, before->start, length, 0)) {
        assert_false(begins_at(hole->start, &c) && c.state == 0 && c.length == hole->length);
        return false;
    }
    assert_true(begins_at(before->start, &c) && c.state == 1 && c.length == length);
    return true;
}

/* LG5: the order by size becomes an array when a hole is taken, and its leaves go. Where one of
 * them was the leaf by address that has the record of the hole, that goes, too, and a chunk does
 * not grow into the hole. */
static void test_lg5_no_resize_into_a_hole_that_goes(void **state)
{
    (void)state;
    uint32_t nrefused = 0;
    struct chunk before = {0}, hole;
    set_up_holes(ARRAY_MAX + 1);
    while (l.b.tree[BY_SIZE].nwords > ARRAY_AGAIN + 1) {
        assert_true(ledger_choose(&l, 1, FIT_FIRST, &hole));
        ledger_take(&l, &hole, hole.length, 0);
    }
    assert_true(l.b.tree[BY_SIZE].height == 1 && l.b.tree[BY_ADDRESS].height == 1);
    keep = l;
    memcpy(keep_arena, arena, sizeof arena);
    for (uint32_t start = 0; start < keep.b.top; start += hole.length, before = hole) {
        struct cursor by_size, by_address;
        assert_true(begins_at(start, &hole));
        if (hole.state != 0)
            continue;
        btree_floor(&l.b, BY_ADDRESS, word_of(start, 0), &by_address);
        btree_floor(&l.b, BY_SIZE, word_of(hole.length, start), &by_size);
        overwrite_child(&by_size, &by_address);
        nrefused += !grow_into(&before, &hole);
        l = keep;
        memcpy(arena, keep_arena, sizeof arena);
    }
    assert_true(nrefused > ARRAY_AGAIN / 2);
}

/* LG5: the order by size names a hole that is shorter than it sorts, or above all chunks. */
static void test_lg5_no_such_hole(void **state)
{
    (void)state;
    for (uint32_t n = 10; n <= 600; n += 590) {
        struct cursor c;
        struct chunk hole;
        uint32_t skip;
        set_up_holes(n);
        btree_last(&l.b, BY_SIZE, &c);
        uint32_t length = high_of(cursor_word(&c));
        btree_update(&l.b, &c, word_of(length, l.b.top));
        hole = (struct chunk){.start = 0, .length = length - 1};
        while (ledger_next_longer(&l, &hole))
            assert_true(hole.start < l.b.top);
        assert_true(hole.start < l.b.top);
        while (ledger_choose_hole(&l, length, 1, 0, &hole, &skip)) {
            assert_true(hole.start < l.b.top);
            ledger_take(&l, &hole, hole.length, 0);
        }
        assert_false(ledger_choose(&l, length, FIT_BEST, &hole));
        l = keep;
        memcpy(arena, keep_arena, sizeof arena);
    }
}

/* LG5: where the last record says that its chunk is free, the tail is what comes after it. */
static void test_lg5_around_a_hole_at_the_end(void **state)
{
    (void)state;
    for (uint32_t n = 10; n <= 600; n += 590) {
        struct cursor c;
        struct around a;
        set_up_holes(n);
        make_free(0);
        assert_true(btree_last(&l.b, BY_ADDRESS, &c));
        uint32_t start = high_of(cursor_word(&c));
        struct chunk last = {start, l.b.top - start, 0}, tail = ledger_tail(&l);
        ledger_around(&l, start, &a);
        assert_same(&last, &a.here);
        assert_same(&tail, &a.after);
    }
}

/* The records need no more than all of a region that is too small for any. */
static void test_a_region_without_room_for_records(void **state)
{
    (void)state;
    open_ledger(16);
    assert_int_equal(ledger_nbytes_most(&l), 16);
    assert_int_equal(ledger_nbytes_written(&l), 16);
    assert_int_equal(ledger_tail(&l).length, 0);
}

/* A length and an alignment whose sum 32 bits cannot hold. */
static void test_aligned_by_all_of_the_region(void **state)
{
    (void)state;
    const uint32_t half = 1u << 31;
    struct chunk from;
    uint32_t skip;
    open_ledger(REGION_BYTES_MAX);
    from = ledger_tail(&l);
    assert_true(ledger_choose_aligned(&l, half, half, 0, &from, &skip));
    assert_int_equal(skip, 0);
    ledger_take(&l, &from, 1, 0);
    for (uint32_t less = 1; less <= 3; less++) /* the sum is 2^32, and less */
        assert_false(ledger_choose_aligned(&l, half - less, half, 0, &from, &skip));
    assert_false(ledger_choose_aligned(&l, half, half, 0, &from, &skip));
    assert_true(ledger_choose_aligned(&l, half - 1000, half, 0, &from, &skip));
    assert_true(from.start == 1 && skip == half - 1);
}

/* LG5: where the room of the records or the gap was written over, a reader without the lock still
 * reads records only, and finds no chunk above the top. */
static void test_lg5_lookup_with_a_wrong_room(void **state)
{
    (void)state;
    static const size_t rooms[] = {0, 64, ARENA_BYTES + 16, SIZE_MAX};
    static const uint32_t highs[] = {0, ARENA_BYTES / 16 - 4, ARENA_BYTES / 16 + 1, UINT32_MAX};
    for (uint32_t n = 10; n <= 600; n += 590)
        for (int i = 0; i < 16; i++) {
            set_up_holes(n);
            l.b.room = rooms[i % 4];
            l.guard.high = highs[i / 4];
            for (uint32_t granule = 0; granule < l.b.top; granule += 7) {
                struct chunk expected, found;
                bool sound = ledger_lookup(&l, granule, &found);
                assert_true(ledger_find(&keep, granule, &expected));
                if (sound)
                    assert_same(&expected, &found);
            }
        }
}

/* LG5: where the room or the gap was written over, and the number of nodes, too, a reader does not
 * take for records what lies below them. */
static void test_lg5_lookup_below_the_records(void **state)
{
    (void)state;
    enum { NODE_BYTES = 256, HIGH = 4 * NODE_BYTES / GRANULE_BYTES };
    struct chunk found;
    set_up_holes(10);
    memset(arena, 0, sizeof arena - FAR_BYTES); /* were these records, each would begin at 0 */
    l.b.nnodes = ARENA_BYTES / NODE_BYTES - 2;
    l.b.room = SIZE_MAX;
    l.guard.high = HIGH;
    assert_false(ledger_lookup(&l, 0, &found));
    l.guard.high = 0;
    assert_true(ledger_lookup(&l, 0, &found)); /* now they may be */
}

/* LG5: a reader believes no chunk that is shorter than its slack, or ends beyond the region. */
static void test_lg5_lookup_of_what_is_damaged(void **state)
{
    (void)state;
    struct chunk found;
    struct cursor c;
    for (uint32_t n = 10; n <= 600; n += 590) {
        set_up_holes(n);
        assert_true(btree_last(&l.b, BY_ADDRESS, &c));
        uint32_t last = high_of(cursor_word(&c));
        assert_true(ledger_lookup(&l, last, &found));
        btree_update(&l.b, &c, word_of(last, UINT32_MAX - 1));
        assert_false(ledger_lookup(&l, last, &found));
        btree_update(&l.b, &c, word_of(last, 1));
        assert_true(ledger_lookup(&l, last, &found));
        l.b.top = ARENA_BYTES / GRANULE_BYTES + 1;
        assert_false(ledger_lookup(&l, last, &found));
    }
}

/* What was in the struct before does not matter. */
static void test_opened_over_another_ledger(void **state)
{
    (void)state;
    memset(&l, 0xA5, sizeof l);
    open_ledger(ARENA_BYTES);
    assert_int_equal(l.nbytes, ARENA_BYTES);
    assert_int_equal(l.high, 0);
    assert_int_equal(l.used, 0);
    assert_int_equal(l.most, 0);
    assert_int_equal(l.live_granules, 0);
    assert_int_equal(l.ndirty, 0);
    assert_int_equal(l.least_dirty, 0);
    assert_int_equal(l.changes, 0);
    assert_int_equal(l.guard.low, 0);
    assert_int_equal(l.guard.high, 0);
    assert_int_equal(l.guard.page, 0);
    assert_int_equal(l.b.top, 0);
    assert_int_equal(l.b.nnodes, 0);
    assert_true(ledger_is_valid(&l));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lg1_lg2_lg3_histories),
        cmocka_unit_test(test_lg3_most_records),
        cmocka_unit_test(test_choice_and_ties_by_hand),
        cmocka_unit_test(test_choice_and_ties_with_the_tail),
        cmocka_unit_test(test_choice_among_hundreds),
        cmocka_unit_test(test_lg3_without_room_a_hole_is_taken_whole),
        cmocka_unit_test(test_lg3_a_hole_four_gib_too_large),
        cmocka_unit_test(test_lg4_freeing_never_leaves_less),
        cmocka_unit_test(test_around_at_every_granule),
        cmocka_unit_test(test_checker_sees_each_kind_of_damage),
        cmocka_unit_test(test_checker_sees_lg2_broken),
        cmocka_unit_test(test_checker_sees_a_record_missing),
        cmocka_unit_test(test_checker_sees_a_wrong_count_or_top),
        cmocka_unit_test(test_checker_sees_a_top_below_the_last_chunk),
        cmocka_unit_test(test_checker_sees_an_empty_chunk),
        cmocka_unit_test(test_checker_sees_a_hole_too_many),
        cmocka_unit_test(test_checker_sees_wrong_numbers),
        cmocka_unit_test(test_lg7_numbers_of_a_gap),
        cmocka_unit_test(test_lg6_numbers_of_a_guard),
        cmocka_unit_test(test_lg6_no_resize_into_the_guard),
        cmocka_unit_test(test_lg3_no_resize_by_four_gib),
        cmocka_unit_test(test_lg3_a_border_needs_no_record),
        cmocka_unit_test(test_lg5_no_resize_of_what_is_damaged),
        cmocka_unit_test(test_lg5_no_resize_into_another_hole),
        cmocka_unit_test(test_lg5_no_resize_into_a_hole_that_goes),
        cmocka_unit_test(test_lg5_no_such_hole),
        cmocka_unit_test(test_lg5_around_a_hole_at_the_end),
        cmocka_unit_test(test_a_region_without_room_for_records),
        cmocka_unit_test(test_aligned_by_all_of_the_region),
        cmocka_unit_test(test_lg5_lookup_with_a_wrong_room),
        cmocka_unit_test(test_lg5_lookup_below_the_records),
        cmocka_unit_test(test_lg5_lookup_of_what_is_damaged),
        cmocka_unit_test(test_opened_over_another_ledger),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
