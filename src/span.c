/* SPDX-License-Identifier: MIT */
#include "span.h"

enum { FOR_OBJECTS, FOR_BLOCKS };
enum { NO_UNIT = 0, QUEUE_SHARE = 8 };

/* What is known of a unit. All 0: it is no span. */
struct unit {
    uint32_t slot_bytes;
    uint32_t reciprocal; /* ceil(2^32 / slot_bytes): a multiplication finds the slot */
    uint32_t block;      /* where its states are */
    uint16_t nslots;
    uint8_t sizeclass;
    uint8_t purpose;
};

struct block {
    uint32_t next, previous; /* in the queue */
    uint16_t nfree;
    uint16_t hint; /* no slot below this one is free */
    bool queued;
    _Alignas(uint16_t) uint8_t state[]; /* or uint16_t: see state_of */
};

static struct unit *unit_at(const struct spans *s, uint32_t unit)
{
    return (struct unit *)region_at(&s->region, s->map) + (unit - 1);
}

static struct block *block_of(const struct spans *s, uint32_t unit)
{
    return region_at(&s->region, unit_at(s, unit)->block);
}

/* Units are aligned addresses, and counted from the one that the region begins in. */
static uintptr_t unit_address(const struct spans *s, uint32_t unit)
{
    return (((uintptr_t)s->region.base >> UNIT_SHIFT) + (unit - 1)) << UNIT_SHIFT;
}

static uint32_t unit_of(const struct spans *s, uintptr_t address)
{
    return (uint32_t)((address >> UNIT_SHIFT) - ((uintptr_t)s->region.base >> UNIT_SHIFT)) + 1;
}

static uint32_t nunits(const struct spans *s)
{
    return unit_of(s, (uintptr_t)s->region.base + s->region.nbytes - 1);
}

static uint32_t map_granules(const struct spans *s)
{
    return (uint32_t)ceil_div(nunits(s) * sizeof(struct unit), GRANULE_BYTES);
}

void spans_open(struct spans *s, struct region region, struct ledger *ledger)
{
    *s = (struct spans){.region = region, .ledger = ledger};
}

/* --- states ---------------------------------------------------------------------- */

static bool is_wide(const struct unit *u)
{
    return u->slot_bytes > NARROW_BYTES_MAX;
}

static size_t state_bytes(const struct unit *u)
{
    return is_wide(u) ? sizeof(uint16_t) : sizeof(uint8_t);
}

static uint32_t slack_max(uint32_t slot_bytes)
{
    return (slot_bytes > NARROW_BYTES_MAX ? UINT16_MAX : UINT8_MAX) - 1;
}

static uint16_t state_of(const struct unit *u, const struct block *b, uint32_t index)
{
    return is_wide(u) ? ((const uint16_t *)b->state)[index] : b->state[index];
}

static void set_state(const struct unit *u, struct block *b, uint32_t index, uint32_t state)
{
    if (is_wide(u))
        ((uint16_t *)b->state)[index] = (uint16_t)state;
    else
        b->state[index] = (uint8_t)state;
}

/* The first free slot from `hint` on; there is one. */
static uint32_t first_free(const struct unit *u, const struct block *b)
{
    if (!is_wide(u))
        return (uint32_t)((uint8_t *)memchr(b->state + b->hint, 0, u->nslots - b->hint) - b->state);
    uint32_t index = b->hint;
    while (state_of(u, b, index) != 0)
        index++;
    return index;
}

/* --- the queue of a class ------------------------------------------------------ */

static uint32_t *queue_of(struct spans *s, uint32_t unit)
{
    return &s->queue[unit_at(s, unit)->purpose][unit_at(s, unit)->sizeclass];
}

static void queue_push(struct spans *s, uint32_t unit)
{
    uint32_t *head = queue_of(s, unit);
    struct block *b = block_of(s, unit);
    b->next = *head;
    b->previous = NO_UNIT;
    b->queued = true;
    if (*head != NO_UNIT)
        block_of(s, *head)->previous = unit;
    *head = unit;
}

static void queue_remove(struct spans *s, uint32_t unit)
{
    struct block *b = block_of(s, unit);
    if (b->previous != NO_UNIT)
        block_of(s, b->previous)->next = b->next;
    else
        *queue_of(s, unit) = b->next;
    if (b->next != NO_UNIT)
        block_of(s, b->next)->previous = b->previous;
    b->queued = false;
}

/* --- units from and to the ledger ---------------------------------------------- */

/* Takes granules that are neither an object nor free; 0 bytes of slack say so. */
static bool ledger_reserve(struct spans *s, uint32_t length, uint32_t align, uint32_t *start)
{
    uint32_t phase = (uint32_t)((uintptr_t)s->region.base / GRANULE_BYTES) & (align - 1), skip;
    struct chunk from;
    if (!ledger_choose_aligned(s->ledger, length, align, phase, &from, &skip))
        return false;
    ledger_take_aligned(s->ledger, &from, skip, length, LEDGER_RESERVED);
    *start = from.start + skip;
    return true;
}

/* The map is zero at first: no unit is a span. */
static bool map_open(struct spans *s)
{
    if (s->nspans > 0)
        return true;
    uint32_t used = s->ledger->used; /* before this */
    if (!ledger_reserve(s, map_granules(s), 1, &s->map))
        return false;
    if (!s->region.is_zero || s->map < used) /* else do not touch it: it may be large */
        memset(region_at(&s->region, s->map), 0, nunits(s) * sizeof(struct unit));
    return true;
}

static void map_close(struct spans *s)
{
    if (s->nspans == 0)
        ledger_give_back(s->ledger, s->map);
}

static uint32_t unit_take(struct spans *s)
{
    uint32_t start;
    if (!map_open(s))
        return NO_UNIT;
    if (!ledger_reserve(s, UNIT_GRANULES, UNIT_GRANULES, &start)) {
        map_close(s);
        return NO_UNIT;
    }
    s->nspans++;
    return unit_of(s, (uintptr_t)region_at(&s->region, start));
}

static uint32_t unit_granule(const struct spans *s, uint32_t unit)
{
    return (uint32_t)((unit_address(s, unit) - (uintptr_t)s->region.base) / GRANULE_BYTES);
}

static void unit_give_back(struct spans *s, uint32_t unit)
{
    *unit_at(s, unit) = (struct unit){0};
    ledger_give_back(s->ledger, unit_granule(s, unit));
    s->nspans--;
    map_close(s);
}

/* --- slots ----------------------------------------------------------------------- */

static void *slot_take(struct spans *s, unsigned sizeclass, int purpose, uint32_t state);
static void slot_free(struct spans *s, uint32_t unit, uint32_t index);

static size_t block_bytes(const struct unit *u)
{
    return offsetof(struct block, state) + (size_t)u->nslots * state_bytes(u);
}

/* A span of blocks has its own block in its first slots. */
static uint32_t nreserved(const struct unit *u)
{
    return u->purpose == FOR_BLOCKS ? (uint32_t)ceil_div(block_bytes(u), u->slot_bytes) : 0;
}

static bool is_empty(const struct spans *s, uint32_t unit)
{
    const struct unit *u = unit_at(s, unit);
    return block_of(s, unit)->nfree == u->nslots - nreserved(u);
}

/* Finds a place for the block of a new span. */
static bool block_place(struct spans *s, uint32_t unit)
{
    struct unit *u = unit_at(s, unit);
    if (u->purpose == FOR_BLOCKS) {
        u->block = unit_granule(s, unit);
        return true;
    }
    void *block = slot_take(s, sizeclass_of(block_bytes(u)), FOR_BLOCKS, 1);
    if (block == NULL)
        return false;
    u->block = (uint32_t)(region_offset(&s->region, block) / GRANULE_BYTES);
    return true;
}

static uint32_t span_make(struct spans *s, unsigned sizeclass, int purpose)
{
    uint32_t unit = unit_take(s), slot_bytes = sizeclass_bytes(sizeclass);
    if (unit == NO_UNIT)
        return NO_UNIT;
    struct unit *u = unit_at(s, unit);
    *u = (struct unit){.slot_bytes = slot_bytes,
                       .reciprocal = UINT32_MAX / slot_bytes + 1,
                       .nslots = (uint16_t)(UNIT_BYTES / slot_bytes),
                       .sizeclass = (uint8_t)sizeclass,
                       .purpose = (uint8_t)purpose};
    if (!block_place(s, unit)) {
        unit_give_back(s, unit);
        return NO_UNIT;
    }
    struct block *b = block_of(s, unit);
    memset(b, 0, block_bytes(u));
    b->hint = (uint16_t)nreserved(u);
    b->nfree = (uint16_t)(u->nslots - b->hint);
    for (uint32_t i = 0; i < b->hint; i++)
        set_state(u, b, i, 1);
    queue_push(s, unit);
    return unit;
}

/* Of an empty span; its block is freed after it, as that may empty the block's span. */
static void span_give_back(struct spans *s, uint32_t unit)
{
    struct unit was = *unit_at(s, unit);
    queue_remove(s, unit);
    unit_give_back(s, unit);
    if (was.purpose == FOR_BLOCKS)
        return;
    uintptr_t block = (uintptr_t)region_at(&s->region, was.block);
    uint32_t among = unit_of(s, block);
    slot_free(s, among, (uint32_t)(block - unit_address(s, among)) / unit_at(s, among)->slot_bytes);
}

static void *slot_take(struct spans *s, unsigned sizeclass, int purpose, uint32_t state)
{
    uint32_t unit = s->queue[purpose][sizeclass];
    if (unit == NO_UNIT)
        unit = span_make(s, sizeclass, purpose);
    if (unit == NO_UNIT)
        return NULL;
    const struct unit *u = unit_at(s, unit);
    struct block *b = block_of(s, unit);
    uint32_t index = first_free(u, b);
    set_state(u, b, index, state);
    b->hint = (uint16_t)(index + 1);
    if (--b->nfree == 0)
        queue_remove(s, unit);
    return (void *)(unit_address(s, unit) + (uintptr_t)index * u->slot_bytes);
}

static void slot_free(struct spans *s, uint32_t unit, uint32_t index)
{
    const struct unit *u = unit_at(s, unit);
    struct block *b = block_of(s, unit);
    set_state(u, b, index, 0);
    b->hint = index < b->hint ? (uint16_t)index : b->hint;
    b->nfree++;
    if (!b->queued && b->nfree >= ceil_div(u->nslots, QUEUE_SHARE))
        queue_push(s, unit);
    bool alone = b->queued && b->next == NO_UNIT && b->previous == NO_UNIT;
    if (is_empty(s, unit) && !alone) /* the last one stays: no take-free-take churn */
        span_give_back(s, unit);
}

static bool trim_queue(struct spans *s, int purpose, unsigned sizeclass)
{
    bool trimmed = false;
    uint32_t next;
    for (uint32_t unit = s->queue[purpose][sizeclass]; unit != NO_UNIT; unit = next) {
        next = block_of(s, unit)->next;
        if (is_empty(s, unit)) {
            span_give_back(s, unit);
            trimmed = true;
        }
    }
    return trimmed;
}

bool spans_trim(struct spans *s)
{
    bool trimmed = false;
    for (int purpose = FOR_OBJECTS; purpose <= FOR_BLOCKS; purpose++)
        for (unsigned c = 0; c < NCLASSES && s->nspans > 0; c++)
            trimmed |= trim_queue(s, purpose, c);
    return trimmed;
}

/* --- objects ---------------------------------------------------------------------- */

/* NULL also if there would be more slack than a state can tell. */
static void *object_take(struct spans *s, size_t nbytes, unsigned sizeclass)
{
    uint32_t slack = sizeclass_bytes(sizeclass) - (uint32_t)nbytes;
    if (slack > slack_max(sizeclass_bytes(sizeclass)))
        return NULL;
    return slot_take(s, sizeclass, FOR_OBJECTS, slack + 1);
}

void *spans_take(struct spans *s, size_t nbytes, size_t slot_bytes)
{
    return object_take(s, nbytes, sizeclass_of(nbytes > slot_bytes ? nbytes : slot_bytes));
}

void *spans_take_larger(struct spans *s, size_t nbytes)
{
    for (unsigned c = sizeclass_of(nbytes) + 1; c < NCLASSES; c++) {
        void *object = s->queue[FOR_OBJECTS][c] != NO_UNIT ? object_take(s, nbytes, c) : NULL;
        if (object != NULL)
            return object;
    }
    return NULL;
}

bool spans_find(const struct spans *s, size_t offset, struct slot *slot)
{
    if (s->nspans == 0)
        return false;
    uintptr_t address = (uintptr_t)s->region.base + offset;
    slot->unit = unit_of(s, address);
    const struct unit *u = unit_at(s, slot->unit);
    if (u->slot_bytes == 0)
        return false;
    uint32_t into_unit = address & (UNIT_BYTES - 1);
    slot->index = (uint32_t)((uint64_t)into_unit * u->reciprocal >> 32);
    slot->bytes = u->slot_bytes;
    slot->into = into_unit - slot->index * u->slot_bytes;
    slot->state = 0;
    if (slot->index < u->nslots && u->purpose == FOR_OBJECTS)
        slot->state = state_of(u, block_of(s, slot->unit), slot->index);
    return true;
}

void spans_free(struct spans *s, const struct slot *slot)
{
    slot_free(s, slot->unit, slot->index);
}

bool spans_resize(struct spans *s, const struct slot *slot, size_t nbytes)
{
    const struct unit *u = unit_at(s, slot->unit);
    /* Half of the slot for nothing is too much: let it move. */
    if (nbytes > slot->bytes || slot->bytes - nbytes > slack_max(slot->bytes) ||
        (nbytes < slot->bytes / 2 && slot->bytes > SMALL_MAX))
        return false;
    set_state(u, block_of(s, slot->unit), slot->index, slot->bytes - (uint32_t)nbytes + 1);
    return true;
}

/* --- check ------------------------------------------------------------------------ */

static bool span_is_valid(const struct spans *s, uint32_t unit)
{
    const struct unit *u = unit_at(s, unit);
    const struct block *b = block_of(s, unit);
    struct chunk chunk;
    uint32_t nfree = 0;
    for (uint32_t i = 0; i < u->nslots; i++) {
        uint32_t state = state_of(u, b, i);
        nfree += state == 0;
        if (state > u->slot_bytes + 1 || (state == 0 && i < b->hint))
            return false;
    }
    bool must = nfree >= ceil_div(u->nslots, QUEUE_SHARE);
    return nfree == b->nfree && (b->queued ? nfree > 0 : !must) &&
           ledger_find(s->ledger, unit_granule(s, unit), &chunk) && chunk.state == CHUNK_RESERVED &&
           chunk.start == unit_granule(s, unit) && chunk.length >= UNIT_GRANULES;
}

/* How many spans the queue holds; more than there are, if it is broken. */
static uint32_t queue_length(const struct spans *s, int purpose, unsigned sizeclass)
{
    uint32_t n = 0, previous = NO_UNIT;
    for (uint32_t unit = s->queue[purpose][sizeclass]; unit != NO_UNIT; n++) {
        const struct unit *u = unit_at(s, unit);
        const struct block *b = block_of(s, unit);
        if (n > s->nspans || u->purpose != purpose || u->sizeclass != sizeclass || !b->queued ||
            b->previous != previous)
            return s->nspans + 1;
        previous = unit;
        unit = b->next;
    }
    return n;
}

bool spans_are_valid(const struct spans *s)
{
    uint32_t nspans = 0, nqueued = 0, nlisted = 0;
    if (s->nspans == 0)
        return true;
    for (uint32_t unit = 1; unit <= nunits(s); unit++) {
        if (unit_at(s, unit)->slot_bytes == 0)
            continue;
        if (!span_is_valid(s, unit))
            return false;
        nspans++;
        nqueued += block_of(s, unit)->queued;
    }
    for (int purpose = FOR_OBJECTS; purpose <= FOR_BLOCKS; purpose++)
        for (unsigned c = 0; c < NCLASSES; c++)
            nlisted += queue_length(s, purpose, c);
    return nspans == s->nspans && nqueued == nlisted;
}
