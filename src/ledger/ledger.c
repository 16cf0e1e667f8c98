/* SPDX-License-Identifier: MIT
 *
 * ledger.c - keeps the records of all chunks: chooses, takes, joins and finds them.
 * Invariants: ledger.h; how the records are stored: btree.h.
 *
 * In this order: room for records, the guard, choosing, changing, finding, the check.
 *
 * A change of one chunk is a change of one to three records by address, and of up to three by size,
 * since only holes are in the order by size:
 *
 *     [a live][b hole][c live]        by address  (a, live) (b, free) (c, live)
 *                                     by size     (length of b, b)
 *
 *     free a, which joins b:          by address  (a, free) (c, live)
 *                                     by size     (length of a and b, a)
 *
 * Between two steps of such a change the two orders disagree. Readers without the lock notice
 * by l->changes, which is odd meanwhile; the lock holder sees only whole changes.
 */
#include "ledger/ledger.h"

RACING static uint64_t nchunks(const struct ledger *l)
{
    return l->b.tree[BY_ADDRESS].nwords;
}

/* Returns the granules that are left for chunks if each of nrecords has `cost` bytes for its
 * record. With a guard, records take whole pages, and the guard one page more [LG6]. */
RACING static uint32_t granules_left(const struct ledger *l, uint64_t nrecords, uint64_t cost)
{
    assert(cost >= BTREE_COST); /* no record is cheaper [BT4] */
    uint64_t taken = nrecords * cost, page = (uint64_t)l->guard.page * GRANULE_BYTES;
    if (page != 0)
        taken = (ceil_div(taken, page) + 1) * page; /* LG6 */
    return taken < l->nbytes ? (uint32_t)((l->nbytes - taken) / GRANULE_BYTES) : 0;
}

/* Returns whether LG3 would still hold with nmore chunks more. Every change that adds a record asks
 * this before; those that remove records make room, so they need not. */
static bool has_room(const struct ledger *l, uint64_t nmore)
{
    return l->b.top <= granules_left(l, nchunks(l) + nmore, BTREE_COST);
}

/* Notes the most records there ever were, which says how far down records may have been written.
 * Memory below that, and above `used`, is as the system gave it: ledger_fresh_from promises so, and
 * the page map need not be cleared there; ledger_clean_end is for memory that went back, too. */
static void note_most(struct ledger *l)
{
    if (nchunks(l) > l->most)
        l->most = (uint32_t)nchunks(l);
}

/* The tail ends where CHUNK_COST for one record more leaves room; or further up, if space that
 * was an object's before reaches there at the lower price [LG4]. */
RACING struct chunk ledger_tail(const struct ledger *l)
{
    uint32_t top = l->b.top;
    uint32_t end = granules_left(l, nchunks(l) + 1, CHUNK_COST);
    uint32_t again = least(l->high, granules_left(l, nchunks(l) + 1, BTREE_COST)); /* LG4 */
    end = again > end ? again : end;
    return (struct chunk){.start = top, .length = end > top ? end - top : 0};
}

/* The chunk whose record is at the cursor: it ends where the next one begins. */
static struct chunk chunk_at(const struct ledger *l, const struct cursor *c)
{
    assert(c->order == BY_ADDRESS);
    uint64_t word = cursor_word(c);
    uint32_t start = high_of(word);
    return (struct chunk){start, btree_chunk_end(&l->b, c) - start, low_of(word)};
}

/* Moves the cursor to the record of the chunk that begins at `granule` or nearest below it. Returns
 * false if there is none, which in a whole ledger means that there are no chunks [LG1]. */
static bool seek(const struct ledger *l, uint32_t granule, struct cursor *c)
{
    return btree_floor(&l->b, BY_ADDRESS, word_of(granule, UINT32_MAX), c);
}

/* Without records: all of the region is tail. Nothing is written to the region. */
void ledger_open(struct ledger *l, void *end, size_t nbytes)
{
    assert(nbytes % GRANULE_BYTES == 0 && nbytes <= (size_t)GRANULE_BYTES << 32);
    assert((uintptr_t)end % GRANULE_BYTES == 0);
    l->nbytes = nbytes;
    l->high = 0;
    l->used = 0;
    l->most = 0;
    l->live_granules = 0;
    l->ndirty = 0;
    l->least_dirty = 0;
    l->changes = 0;
    l->guard = (struct guard){0};
    btree_open(&l->b, end, nbytes);
}

/* --- the guard --------------------------------------------------------------
 *
 *     [ chunks ][ tail ]|.... guard ....|[ records ]
 *                       low             high
 */

/* Readers without the lock take the room of the records from b.room, and where chunks lie from the
 * low end, so these are stored at once. */
RACING void ledger_set_guard(struct ledger *l, uint32_t low, uint32_t high)
{
    __atomic_store_n(&l->guard.low, low, __ATOMIC_RELAXED);
    __atomic_store_n(&l->guard.high, high, __ATOMIC_RELAXED);
    __atomic_store_n(&l->b.room, l->nbytes - (size_t)high * GRANULE_BYTES, __ATOMIC_RELAXED);
}

/* The guard begins as high as one record allows; guard.c moves it when guard.wanted_low asks for
 * that. */
void ledger_open_guarded(struct ledger *l, void *end, size_t nbytes, uint32_t page)
{
    assert(page > 0 && nbytes % ((size_t)page * GRANULE_BYTES) == 0); /* whole pages */
    assert(nbytes / ((size_t)page * GRANULE_BYTES) >= 3);             /* objects, guard, records */
    ledger_open(l, end, nbytes);
    l->guard.page = page;
    uint32_t low = granules_left(l, 1, CHUNK_COST);
    ledger_set_guard(l, low, low + page);
}

void ledger_open_with_gap(struct ledger *l, void *end, size_t nbytes, uint32_t low,
                          size_t nbytes_high)
{
    ledger_open(l, end, nbytes);
    assert((size_t)low * GRANULE_BYTES + nbytes_high < nbytes);
    ledger_set_guard(l, low, (uint32_t)((nbytes - nbytes_high) / GRANULE_BYTES));
}

/* All memory is open by now, so a reader without the lock may see either number first. The low end
 * stays where it was, for a reader that has seen the gap. */
RACING void ledger_end_gap(struct ledger *l)
{
    __atomic_store_n(&l->b.room, l->nbytes, __ATOMIC_RELAXED);
    __atomic_store_n(&l->guard.high, 0, __ATOMIC_RELAXED);
}

size_t ledger_nbytes_most(const struct ledger *l)
{
    size_t nbytes = (nchunks(l) + 2) * BTREE_COST;
    return smaller_of(nbytes, l->nbytes);
}

/* Returns true if the guard leaves room for chunks up to `top` and for nmore records more. Else
 * notes where its low end has to be, for the caller of the ledger to move it there. */
static bool check_guard(struct ledger *l, uint32_t top, uint64_t nmore)
{
    uint64_t nrecords = nchunks(l) + nmore;
    if (l->guard.page == 0 || (top <= l->guard.low && nrecords * BTREE_COST <= l->b.room))
        return true;
    l->guard.wanted_low = granules_left(l, nrecords, BTREE_COST);
    return false;
}

/* A chunk from the tail moves the top; one from a hole leaves it. A skipped part costs two
 * records, and the rest of a hole one, if there is room for it at all. */
bool ledger_check_guard(struct ledger *l, const struct chunk *from, uint32_t skip, uint32_t length)
{
    assert(length > 0);
    uint32_t top = from->start == l->b.top ? from->start + skip + length : l->b.top;
    return check_guard(l, top, skip > 0 ? 2 : has_room(l, 1));
}

/* Returns whether guard or gap lies around neither chunk nor record, with a record's room as it was
 * set; a guard on whole pages. Not inlined, as most heaps have neither. */
static __attribute__((noinline)) bool guard_is_sane(const struct ledger *l)
{
    const struct guard *f = &l->guard;
    uint64_t page = f->page, low = f->low, high = f->high;
    return low < high && l->b.top <= low && high * GRANULE_BYTES < l->nbytes &&
           l->b.room == l->nbytes - high * GRANULE_BYTES &&
           (page == 0 || (low % page == 0 && high % page == 0 &&
                          l->b.top <= granules_left(l, nchunks(l), BTREE_COST)));
}

/* --- choosing -------------------------------------------------------------- */

/* first_hole, best_hole, worst_hole: the hole of `length` or more that each fit wants; false if
 * there is none. By address that is a descent along the longest hole below each inner word; by
 * size, the next word at or above the length. */
static bool first_hole(const struct ledger *l, uint32_t length, struct chunk *hole)
{
    struct cursor c;
    if (!btree_first_free(&l->b, length, &c))
        return false;
    *hole = chunk_at(l, &c);
    return true;
}

static bool best_hole(const struct ledger *l, uint32_t length, struct chunk *hole)
{
    assert(length > 0); /* every hole would do */
    struct cursor c;
    if (!btree_ceil(&l->b, BY_SIZE, word_of(length, 0), &c))
        return false;
    uint64_t word = cursor_word(&c);
    *hole = (struct chunk){.start = low_of(word), .length = high_of(word)};
    return true;
}

static bool worst_hole(const struct ledger *l, uint32_t length, struct chunk *hole)
{
    struct cursor c;
    if (!btree_last(&l->b, BY_SIZE, &c) || high_of(cursor_word(&c)) < length)
        return false;
    return best_hole(l, high_of(cursor_word(&c)), hole); /* the lowest of that size */
}

/* Returns whether a hole that the order by size has named cannot be one: a damaged record may name
 * one that is too short, or one above all chunks [LG5]. */
static bool is_no_hole(const struct ledger *l, const struct chunk *hole, uint32_t length)
{
    return hole->start >= l->b.top || hole->length < length;
}

/* Returns whether the hole can be cut, or else be taken whole: slack is counted with 32 bits. */
static bool can_take(const struct ledger *l, const struct chunk *hole, uint32_t length)
{
    return has_room(l, 1) || hole->length - length < UINT32_MAX / GRANULE_BYTES;
}

/* The tail competes with the holes as if it were one more hole, at the highest address of all.
 * What it offers has CHUNK_COST for the new record taken off already; a hole is cut only if LG3
 * allows one record more, and else it has to be taken whole. */
bool ledger_choose(const struct ledger *l, uint32_t length, enum fit fit, struct chunk *chosen)
{
    assert(length > 0); /* an object has a granule at least */
    assert((unsigned)fit <= FIT_ANY);
    struct chunk last = ledger_tail(l), hole;
    bool have_tail = last.length >= length;
    bool have_hole = fit == FIT_FIRST   ? first_hole(l, length, &hole)
                     : fit == FIT_WORST ? worst_hole(l, length, &hole)
                                        : best_hole(l, length, &hole);
    if (have_hole && is_no_hole(l, &hole, length))
        return false;
    /* The tail is above all holes, so a tie and first fit go to the hole. */
    if (have_hole && have_tail)
        have_hole = fit == FIT_FIRST   ? true
                    : fit == FIT_WORST ? hole.length >= last.length
                                       : hole.length <= last.length;
    *chosen = have_hole ? hole : last;
    assert(!(have_hole || have_tail) || chosen->length >= length);
    return have_hole ? can_take(l, &hole, length) : have_tail;
}

/* Returns how many granules have to be skipped from `start` on, to the next multiple of `align`. */
static uint32_t skip_of(uint32_t start, uint32_t align, uint32_t phase)
{
    assert(is_power_of_two(align) && phase < align);
    return (uint32_t)(-((uint64_t)start + phase) & (align - 1));
}

/* Returns whether `length` granules fit into the chunk behind what alignment skips, and two more
 * records fit below the region's end:
 *
 *     [------- free -------] => [skipped, free][this][rest, free]
 *
 * Stores how much is skipped. Behind the top, the skipped part becomes a hole with a record of
 * its own, which the tail's length does not allow for. */
static bool fits_aligned(const struct ledger *l, const struct chunk *c, uint32_t length,
                         uint32_t align, uint32_t phase, uint32_t *skip)
{
    enum { TAIL_SPARE = 2 }; /* granules for the record of what is skipped */
    *skip = skip_of(c->start, align, phase);
    assert(*skip < align && (c->start + (uint64_t)*skip + phase) % align == 0);
    uint64_t needed = (uint64_t)*skip + length;
    if (*skip > 0 && c->start == l->b.top) {
        if (c->start + needed > granules_left(l, nchunks(l) + 2, BTREE_COST))
            return false;
        needed += TAIL_SPARE;
    }
    return needed <= c->length && (*skip == 0 ? can_take(l, c, length) : has_room(l, 2));
}

/* From the shortest hole up, so that this is best fit. */
bool ledger_choose_hole(const struct ledger *l, uint32_t length, uint32_t align, uint32_t phase,
                        struct chunk *chosen, uint32_t *skip)
{
    struct cursor c;
    for (bool more = btree_ceil(&l->b, BY_SIZE, word_of(length, 0), &c); more;
         more = btree_next(&l->b, &c)) {
        uint64_t word = cursor_word(&c);
        *chosen = (struct chunk){.start = low_of(word), .length = high_of(word)};
        if (!is_no_hole(l, chosen, length) && fits_aligned(l, chosen, length, align, phase, skip))
            return true;
    }
    return false;
}

/* Three attempts, each of which costs more or wastes more than the one before:
 *
 *     1. the best fit for the length alone: it may happen to begin well, or to be long enough;
 *     2. the best fit for length + align, which is long enough wherever it begins;
 *     3. every hole from `length` up, and then the tail.
 */
bool ledger_choose_aligned(const struct ledger *l, uint32_t length, uint32_t align, uint32_t phase,
                           struct chunk *chosen, uint32_t *skip)
{
    assert(length > 0 && is_power_of_two(align) && phase < align);
    if (ledger_choose(l, length, FIT_BEST, chosen) &&
        fits_aligned(l, chosen, length, align, phase, skip))
        return true;
    uint64_t ample = (uint64_t)length + align + 1;
    if (ample <= UINT32_MAX && ledger_choose(l, (uint32_t)ample, FIT_BEST, chosen) &&
        fits_aligned(l, chosen, length, align, phase, skip))
        return true;
    /* No chunk is so long that it would do wherever it begins. One that is shorter may do if it
     * begins at a good place. */
    if (ledger_choose_hole(l, length, align, phase, chosen, skip))
        return true;
    *chosen = ledger_tail(l);
    return fits_aligned(l, chosen, length, align, phase, skip);
}

/* --- changing -------------------------------------------------------------- */

/* Adds a hole to the order by size. Among holes of equal length the lowest comes first, which makes
 * all fits choose the lowest one among equals. */
static void size_insert(struct ledger *l, uint32_t length, uint32_t start)
{
    struct cursor c;
    btree_floor(&l->b, BY_SIZE, word_of(length, start), &c);
    btree_insert(&l->b, &c, word_of(length, start));
}

/* Removes a hole from the order by size. If records were overwritten it may not be there [LG5]. */
static void size_remove(struct ledger *l, uint32_t length, uint32_t start)
{
    struct cursor c;
    btree_floor(&l->b, BY_SIZE, word_of(length, start), &c);
    if (c.step[0].index != BEFORE_FIRST && cursor_word(&c) == word_of(length, start))
        btree_remove(&l->b, &c);
}

/* Takes the low end of the tail. That always needs a record more, and the tail's length has room
 * for it taken off.
 *     [live][------ tail ------] => [live][this][--- tail ---] */
static void take_from_tail(struct ledger *l, uint32_t length, uint32_t slack)
{
    assert(length > 0 && slack < CHUNK_RESERVED);
    struct cursor c;
    btree_last(&l->b, BY_ADDRESS, &c);
    uint64_t word = word_of(l->b.top, slack + 1);
    l->b.top += length;
    l->high = l->b.top > l->high ? l->b.top : l->high;
    l->used = l->high > l->used ? l->high : l->used;
    assert(l->b.top <= l->high && l->high <= l->used); /* LG4 */
    btree_insert(&l->b, &c, word);
    note_most(l);
    assert(has_room(l, 0)); /* LG3: the tail was as long as ledger_tail said */
}

/* Returns whether the order by address has the hole that the order by size has named, and where. If
 * records were overwritten, the two may differ; what is handed out is free by address [LG5]. */
static bool is_hole(const struct ledger *l, const struct chunk *c, struct cursor *at)
{
    assert(c->start < l->b.top); /* what begins there is the tail */
    return seek(l, c->start, at) && cursor_word(at) == word_of(c->start, 0) &&
           btree_chunk_end(&l->b, at) - c->start == c->length && c->length <= l->b.top - c->start;
}

/* Takes the low end of a hole, or all of it if there is no room for a record of the rest; then
 * the rest is slack. Returns the length that was taken; or 0 if there is no such hole [LG5]. */
static uint32_t take_from_hole(struct ledger *l, const struct chunk *from, uint32_t length,
                               uint32_t slack)
{
    assert(length > 0 && length <= from->length); /* ledger_choose said so */
    if (!has_room(l, 1)) {
        if (slack != LEDGER_RESERVED)
            slack += (from->length - length) * GRANULE_BYTES;
        length = from->length;
    }
    struct cursor c;
    size_remove(l, from->length, from->start);
    if (!is_hole(l, from, &c))
        return 0;
    btree_update(&l->b, &c, word_of(from->start, slack + 1));
    if (length < from->length) {
        /* [------ free ------] => [this][--- free ---] */
        btree_insert(&l->b, &c, word_of(from->start + length, 0));
        size_insert(l, from->length - length, from->start + length);
        note_most(l);
        assert(has_room(l, 0)); /* LG3 */
    }
    return length;
}

void ledger_count_taken(struct ledger *l, uint32_t ngranules)
{
    uint64_t all = (uint64_t)l->ndirty + l->nforgotten;
    if (l->nforgotten == 0) {
        l->ndirty -= least(l->ndirty, ngranules);
    } else {
        uint32_t n = ngranules < all ? ngranules : (uint32_t)all;
        uint32_t ndirty = (uint32_t)((uint64_t)n * l->ndirty / all);
        l->ndirty -= ndirty;
        l->nforgotten -= least(l->nforgotten, n - ndirty);
    }
}

/* Counts granules that were free and are live now. What of them lies below `used` was written to
 * before. */
static void note_taken(struct ledger *l, uint32_t start, uint32_t length, uint32_t used)
{
    l->live_granules += length;
    if (start < used) /* what is above was never written to */
        ledger_count_taken(l, least(length, used - start));
}

/* Takes the low end of a hole or of the tail. */
static uint32_t chunk_take(struct ledger *l, const struct chunk *from, uint32_t length,
                           uint32_t slack)
{
    assert(length > 0 && length <= from->length);
    assert(from->start <= l->b.top); /* no chunk is above the tail */
    uint32_t used = l->used;
    if (from->start == l->b.top)
        take_from_tail(l, length, slack);
    else
        length = take_from_hole(l, from, length, slack);
    if (length > 0)
        note_taken(l, from->start, length, used);
    return length;
}

/* Returns the hole that a live chunk becomes with those of its neighbours that are free:
 *     [left, free][this][right, free] => [----- free -----] */
static struct chunk joined(struct chunk left, struct chunk this, struct chunk right)
{
    struct chunk hole = {.start = this.start, .length = this.length};
    if (right.state == 0)
        hole.length += right.length;
    if (left.state == 0) {
        hole.start = left.start;
        hole.length += left.length;
    }
    return hole;
}

/* Counts granules that were live and are free now. */
static void note_freed(struct ledger *l, uint32_t length)
{
    l->live_granules -= length;
    l->least_dirty = least(l->least_dirty, l->ndirty);
    l->ndirty += length;
}

/* Frees the live chunk at the cursor. It joins its free neighbours, and the tail if it is the last
 * chunk [LG2]; of two that join, the record of the lower one stays. */
static void chunk_give_back(struct ledger *l, const struct cursor *at)
{
    assert(at->order == BY_ADDRESS && at->step[0].index != BEFORE_FIRST);
    struct cursor c = *at;
    struct chunk this = chunk_at(l, &c), left = {.state = 1}, right = {.state = 1};
    uint64_t word;
    assert(this.state != 0); /* or it is free already, and in the order by size */
    bool last = this.start + this.length == l->b.top;
    if (btree_before(&l->b, &c, &word))
        left = (struct chunk){high_of(word), this.start - high_of(word), low_of(word)};
    if (btree_after(&l->b, &c, &word) && low_of(word) == 0) {
        /* [this][free] => [--- this ---] */
        btree_next(&l->b, &c);
        right = chunk_at(l, &c);
        btree_remove(&l->b, &c);
    }
    struct chunk hole = joined(left, this, right);
    note_freed(l, this.length);

    if (left.state == 0) {
        /* [free][this] => [--- free ---] */
        btree_remove(&l->b, &c);
    } else if (!last) {
        /* [live][this][live] => [live][free][live] */
        btree_update(&l->b, &c, word_of(this.start, 0));
    }
    if (last) {
        /* [live][free or this][-- tail --] => [live][------ tail ------] */
        btree_remove(&l->b, &c);
        l->b.top = hole.start;
        l->high = hole.start == 0 ? 0 : l->high;
    }
    /* The order by size comes last, and grows only after it has shrunk: while records by address
     * have gone and those of the same holes by size have not, it may have more than half as many
     * words [BT4]. */
    if (left.state == 0)
        size_remove(l, left.length, left.start);
    if (right.state == 0)
        size_remove(l, right.length, right.start);
    if (!last)
        size_insert(l, hole.length, hole.start);
}

/* Frees the live chunk that begins at `start`, which is sought. If records were overwritten
 * there may be none, and then nothing is done [LG5]. */
static void chunk_give_back_at(struct ledger *l, uint32_t start)
{
    struct cursor c;
    if (seek(l, start, &c) && high_of(cursor_word(&c)) == start && low_of(cursor_word(&c)) != 0)
        chunk_give_back(l, &c);
}

/* Cuts a live chunk in two, of which the second has `slack`.
 *     [------ this, live ------] => [this][that, live too] */
static void chunk_split(struct ledger *l, uint32_t start, uint32_t at, uint32_t slack)
{
    assert(at > start); /* both parts have a granule */
    assert(slack < CHUNK_RESERVED);
    assert(has_room(l, 1)); /* the caller has asked */
    struct cursor c;
    seek(l, start, &c);
    btree_insert(&l->b, &c, word_of(at, slack + 1));
    note_most(l);
}

/* Gives the live chunk that begins at `start` another slack. */
static void chunk_set_slack(struct ledger *l, uint32_t start, uint32_t slack)
{
    assert(slack < CHUNK_RESERVED); /* slack + 1 wraps to 0, which is free */
    struct cursor c;
    seek(l, start, &c);
    btree_update(&l->b, &c, word_of(start, slack + 1));
}

/* Takes what is skipped, too, and then gives it back: so only one kind of change has to know about
 * holes and the tail, and LG2 holds for what is skipped as for any chunk.
 *
 *     [------- free -------] => [skipped, live | this][free] => [free][this][free]
 */
bool ledger_take_aligned(struct ledger *l, const struct chunk *from, uint32_t skip, uint32_t length,
                         uint32_t slack)
{
    assert(length > 0 && (uint64_t)skip + length <= from->length);
    uint32_t least_dirty = l->least_dirty;
    change_begin(&l->changes);
    bool taken = chunk_take(l, from, skip + length, slack) > 0;
    if (taken && skip > 0) {
        chunk_split(l, from->start, from->start + skip, slack);
        chunk_give_back_at(l, from->start);
        l->least_dirty = least_dirty; /* nothing was freed */
    }
    change_end(&l->changes);
    return taken;
}

/* Moves the border between the live chunk before a hole and the hole, which begins at `to`
 * afterwards, or is gone. No step needs more records than there were. Returns false if there is no
 * such hole, since records were overwritten [LG5].
 *     [this][--- free ---] <=> [---- this ----][free] */
static bool move_hole(struct ledger *l, const struct chunk *hole, uint32_t to)
{
    struct cursor c;
    uint32_t end = hole->start + hole->length;
    assert(to <= end);
    size_remove(l, hole->length, hole->start);
    if (!is_hole(l, hole, &c))
        return false;
    btree_remove(&l->b, &c);
    if (to < end) {
        btree_insert(&l->b, &c, word_of(to, 0));
        size_insert(l, end - to, to);
    }
    return true;
}

/* Moves the border between the last chunk, which is live, and the tail. */
static void move_top(struct ledger *l, uint32_t to)
{
    l->b.top = to;
    l->high = to > l->high ? to : l->high;
    l->used = to > l->used ? to : l->used;
}

/* Finds the chunk behind a live one, which may be the tail, even of no length. Returns false if it
 * is not free. */
static bool free_behind(const struct ledger *l, const struct chunk *c, struct chunk *next)
{
    uint32_t end = c->start + c->length;
    *next = ledger_tail(l);
    return end == l->b.top || (ledger_find(l, end, next) && next->start == end && next->state == 0);
}

/* Moves the end of a live chunk, behind which is a free one, hole or tail. Returns false if records
 * were overwritten. */
static bool move_end(struct ledger *l, const struct chunk *next, uint32_t to)
{
    if (next->start != l->b.top)
        return move_hole(l, next, to);
    move_top(l, to);
    return true;
}

/* Cuts the end of a live chunk off and frees it. That needs a record only if a live chunk is behind
 * it; if there is no room for one, the end becomes slack, and is refused where 32 bits cannot count
 * that. */
static bool chunk_shrink(struct ledger *l, const struct chunk *c, uint32_t length, uint32_t slack)
{
    struct chunk next;
    uint32_t cut = c->length - length;
    assert(length > 0 && length <= c->length);
    if (cut > 0 && free_behind(l, c, &next)) {
        if (!move_end(l, &next, c->start + length))
            return false;
        note_freed(l, cut);
    } else if (cut > 0 && has_room(l, 1)) {
        if (!check_guard(l, l->b.top, 1))
            return false;
        chunk_split(l, c->start, c->start + length, 0);
        chunk_give_back_at(l, c->start + length);
    } else {
        if (cut >= UINT32_MAX / GRANULE_BYTES)
            return false;
        slack += cut * GRANULE_BYTES;
    }
    chunk_set_slack(l, c->start, slack);
    return true;
}

/* Shrinks a live chunk, or lets it grow into the free chunk behind it, hole or tail:
 *
 *     [this][--- free ---] => [---- this ----][free] */
static bool chunk_resize(struct ledger *l, uint32_t start, uint32_t length, uint32_t slack)
{
    struct chunk c, next;
    if (!ledger_find(l, start, &c) || c.start != start)
        return false;
    if (length <= c.length)
        return chunk_shrink(l, &c, length, slack);
    uint32_t more = length - c.length, used = l->used;
    if (!free_behind(l, &c, &next) || next.length < more)
        return false;
    if (!check_guard(l, next.start == l->b.top ? start + length : l->b.top, 0))
        return false;
    if (!move_end(l, &next, start + length))
        return false;
    note_taken(l, next.start, more, used);
    chunk_set_slack(l, start, slack);
    return true;
}

uint32_t ledger_take(struct ledger *l, const struct chunk *from, uint32_t length, uint32_t slack)
{
    assert(length > 0 && length <= from->length);
    assert(slack == LEDGER_RESERVED || slack <= (uint64_t)length * GRANULE_BYTES);
    change_begin(&l->changes);
    length = chunk_take(l, from, length, slack);
    change_end(&l->changes);
    return length;
}

void ledger_give_back(struct ledger *l, const struct ledger_place *p)
{
    assert(p->changes == l->changes); /* the cursor is still good */
    assert(p->chunk.state != 0 && p->chunk.length > 0);
    assert(high_of(cursor_word(&p->cursor)) == p->chunk.start);
    change_begin(&l->changes);
    chunk_give_back(l, &p->cursor);
    change_end(&l->changes);
}

bool ledger_may_resize(const struct ledger *l, const struct chunk *c, uint32_t length)
{
    struct chunk next;
    return length <= c->length || (free_behind(l, c, &next) && next.length >= length - c->length);
}

bool ledger_resize(struct ledger *l, uint32_t start, uint32_t length, uint32_t slack)
{
    assert(length > 0 && slack <= (uint64_t)length * GRANULE_BYTES);
    change_begin(&l->changes);
    bool done = chunk_resize(l, start, length, slack);
    change_end(&l->changes);
    return done;
}

/* --- finding ---------------------------------------------------------------- */

/* Returns whether the chunk has as many bytes as its slack says; a damaged record may say more
 * [LG5]. */
static bool has_so_much(const struct chunk *c)
{
    return c->state == 0 || c->state == CHUNK_RESERVED ||
           c->state - 1 <= (uint64_t)c->length * GRANULE_BYTES;
}

/* In a damaged ledger a record may say anything; what this finds lies below the top, has the
 * granule in it, and has at least as many bytes as slack [LG5]. */
bool ledger_find_place(const struct ledger *l, uint32_t granule, struct ledger_place *p)
{
    struct chunk *found = &p->chunk;
    p->changes = l->changes;
    if (granule >= l->b.top) {
        *found = ledger_tail(l);
        return granule - found->start < found->length;
    }
    if (!seek(l, granule, &p->cursor))
        return false;
    *found = chunk_at(l, &p->cursor);
    return found->start <= granule && granule - found->start < found->length &&
           found->length <= l->b.top - found->start && has_so_much(found);
}

/* Without the place, for callers that only ask. */
bool ledger_find(const struct ledger *l, uint32_t granule, struct chunk *found)
{
    struct ledger_place p;
    if (!ledger_find_place(l, granule, &p))
        return false;
    *found = p.chunk;
    return true;
}

/* Does what ledger_find does, with each number loaded once and checked before it is used. The
 * records may be in the middle of a change, or no longer be there: what is found is believed
 * only if l->changes has stayed the same [SQ1], but until then it must not lead outside the
 * region. */
RACING bool ledger_lookup(const struct ledger *l, uint32_t granule, struct chunk *found)
{
    uint64_t word;
    uint32_t end;
    if (granule >= NOW(l->b.top)) {
        *found = ledger_tail(l);
        if (granule - found->start >= found->length)
            found->length = 0;
        return true;
    }
    size_t room = NOW(l->b.room), high = (size_t)NOW(l->guard.high) * GRANULE_BYTES;
    if (room > l->nbytes || high > l->nbytes - room)
        room = high < l->nbytes ? l->nbytes - high : 0; /* one of the two was overwritten */
    if (!btree_lookup(&l->b, room, word_of(granule, UINT32_MAX), &word, &end) ||
        high_of(word) > granule || end <= granule)
        return false;
    *found = (struct chunk){high_of(word), end - high_of(word), low_of(word)};
    return end <= l->nbytes / GRANULE_BYTES && has_so_much(found);
}

/*     [before, free] [live] | granule  [live] [here, free] [live] [after, free] or the tail
 *
 * One search finds the record below the place, and the next record is the one above; from each, the
 * summaries lead to the nearest free chunk. */
void ledger_around(const struct ledger *l, uint32_t granule, struct around *a)
{
    struct cursor below, above;
    bool is_below = granule > 0 && seek(l, granule - 1, &below);
    bool is_above;
    if (is_below) {
        above = below;
        is_above = btree_next(&l->b, &above);
    } else {
        is_above = seek(l, 0, &above);
    }
    *a = (struct around){0};
    if (is_below && btree_free_below(&l->b, &below))
        a->before = chunk_at(l, &below);
    if (!is_above || !btree_free_above(&l->b, &above)) {
        if (granule <= l->b.top)
            a->here = ledger_tail(l);
        return;
    }
    a->here = chunk_at(l, &above);
    bool is_after = btree_next(&l->b, &above) && btree_free_above(&l->b, &above);
    a->after = is_after ? chunk_at(l, &above) : ledger_tail(l);
}

/* In the order by size, the word before a hole's own is the next shorter hole. */
bool ledger_next_shorter(const struct ledger *l, struct chunk *hole)
{
    struct cursor c;
    if (!btree_floor(&l->b, BY_SIZE, word_of(hole->length, hole->start) - 1, &c))
        return false;
    uint64_t word = cursor_word(&c);
    *hole = (struct chunk){.start = low_of(word), .length = high_of(word)};
    return true;
}

/* The other way round. A damaged record may name what is no hole [LG5]. */
bool ledger_next_longer(const struct ledger *l, struct chunk *hole)
{
    struct cursor c;
    if (!has_room(l, 1) || !btree_ceil(&l->b, BY_SIZE, word_of(hole->length, hole->start) + 1, &c))
        return false;
    uint64_t word = cursor_word(&c);
    struct chunk next = {.start = low_of(word), .length = high_of(word)};
    if (is_no_hole(l, &next, hole->length))
        return false;
    *hole = next;
    return true;
}

/* Records lie at the end of the region, dense [BT1], so this is also how far down they reach. */
size_t ledger_nbytes(const struct ledger *l)
{
    return btree_nbytes(&l->b);
}

size_t ledger_nbytes_written(const struct ledger *l)
{
    size_t nbytes = ((size_t)l->most + 2) * BTREE_COST;
    return smaller_of(nbytes, l->b.room);
}

/* One record more than there ever were, since a change may have one too many for a while. */
uint32_t ledger_clean_end(const struct ledger *l)
{
    return granules_left(l, (uint64_t)l->most + 1, BTREE_COST);
}

uint32_t ledger_fresh_from(const struct ledger *l, uint32_t start, uint32_t end)
{
    assert(start < end);
    if (end > ledger_clean_end(l) || l->used >= end)
        return end;
    return l->used < start ? start : l->used;
}

/* --- the check ----------------------------------------------------------------- */

/* Returns whether the order by size has the hole, under its length and start. */
static bool hole_is_listed(const struct ledger *l, const struct chunk *hole)
{
    assert(hole->state == 0); /* live chunks are not in the order by size */
    struct cursor c;
    uint64_t word = word_of(hole->length, hole->start);
    return btree_floor(&l->b, BY_SIZE, word, &c) && cursor_word(&c) == word;
}

/* These numbers alone bound every access to memory: whatever the records say, a call that starts
 * from numbers that are possible stays inside the region [LG5]. */
bool ledger_is_sane(const struct ledger *l)
{
    uint64_t cost = nchunks(l) * BTREE_COST;
    return l->b.top <= l->high && l->b.top * (uint64_t)GRANULE_BYTES + cost <= l->nbytes &&
           btree_is_sane(&l->b) && ledger_nbytes(l) <= cost &&
           ((l->guard.page | l->guard.high) == 0 || guard_is_sane(l));
}

/* What is wrong with a chunk, which ends where the next one begins; or NULL. */
static const char *chunk_fault(const struct ledger *l, const struct chunk *c)
{
    if (c->length == 0 || c->length > l->b.top - c->start)
        return "the records of two chunks overlap";
    if (!has_so_much(c))
        return "the record of an object says more slack than it is long";
    return c->state == 0 && !hole_is_listed(l, c) ? "a hole is not in the order by size" : NULL;
}

/* Adds a chunk to what is counted. */
static void recount_chunk(struct recount *n, const struct chunk *c)
{
    if (c->state == CHUNK_RESERVED) {
        n->nreserved++;
    } else if (c->state != 0) {
        n->nobjects++;
        n->object_bytes += (size_t)c->length * GRANULE_BYTES - (c->state - 1);
    }
}

/* Walks over all chunks from granule 0 to the top [LG1], and counts what it sees: two holes side
 * by side, or a hole at the end, contradict LG2. That the order by size has no other holes
 * follows from their number. */
const char *ledger_fault(const struct ledger *l, struct recount *n)
{
    struct chunk before = {.state = 1};
    struct cursor c;
    uint32_t at = 0, nholes = 0, live = 0;
    if (!ledger_is_sane(l) || l->high > granules_left(l, 1, BTREE_COST))
        return "the numbers of the ledger cannot be";
    if (!btree_is_valid(&l->b))
        return "a node or an array of the ledger is out of order";
    for (bool more = seek(l, 0, &c); more; more = btree_next(&l->b, &c)) {
        struct chunk chunk = chunk_at(l, &c);
        const char *fault = chunk_fault(l, &chunk);
        if (fault != NULL)
            return fault;
        if (chunk.state == 0 && before.state == 0)
            return "two holes are neighbours";
        nholes += chunk.state == 0;
        live += chunk.state == 0 ? 0 : chunk.length;
        at += chunk.length;
        before = chunk;
        recount_chunk(n, &chunk);
    }
    if (at != l->b.top)
        return "a chunk has no record";
    if (before.state == 0)
        return "the last chunk is a hole";
    bool agrees = live == l->live_granules && nholes == l->b.tree[BY_SIZE].nwords;
    return agrees ? NULL : "the ledger has other records than it counts";
}

bool ledger_is_valid(const struct ledger *l)
{
    struct recount n = {0};
    return ledger_fault(l, &n) == NULL;
}
