/* SPDX-License-Identifier: MIT
 *
 * hard.c - takes, resizes and frees objects with the measures that LIBMEM asks for. Invariants:
 * hard.h.
 *
 * In this order: the room of an object, closed pages, what is looked at, quarantine, the calls.
 */
#include "malloc/hard.h"

#include "malloc/canary.h"
#include "malloc/quarantine.h"
#include "malloc/start.h"

unsigned hard_measures;

static struct quarantine quarantine;

/* What hard_heap_opened gives the heap. */
static uint64_t random_seed;

static bool has(enum measure measure)
{
    return (hard_measures & measure) != 0;
}

/* --- opening -------------------------------------------------------------------- */

/* A generator of the heap that starts from 0 would stay there. */
static bool seed(void)
{
    return os_random(&random_seed, sizeof random_seed) && (random_seed |= 1) != 0;
}

const char *hard_open(const struct options *o)
{
    uint64_t secret[2];
    if (shim_heap.chunks.region.base != NULL)
        return "memory was needed before it could be read";
    if (!os_random(secret, sizeof secret) || !seed())
        return "the system has no random numbers";
    if ((o->measures & MEASURE_QUARANTINE) != 0 &&
        !quarantine_open(&quarantine, o->quarantine_bytes))
        return "the system refuses the memory; give a smaller quarantine=BYTES";
    canary_open(secret);
    hard_measures = o->measures & MEASURES_HARD;
    return NULL;
}

void hard_heap_opened(void)
{
    (void)heap_close_tcaches_locked(&shim_heap); /* no thread has one yet */
    heap_harden_locked(&shim_heap, has(MEASURE_GUARD), has(MEASURE_ZERO),
                       has(MEASURE_RANDOM) ? random_seed : 0);
}

void hard_forked(void)
{
    if (has(MEASURE_RANDOM) && seed())
        shim_heap.spans.random = random_seed;
}

/* --- the room of an object -------------------------------------------------------- */

/* The largest slots that are used: the next ones cannot be those of an object of no byte, so what
 * would need one gets a chunk. */
enum { SLOT_MAX = 49152 };

/* Returns whether an object with this room is large: a chunk of its own that begins with a page
 * and, with guards, ends with a closed one. */
static bool is_large(const void *start, size_t room)
{
    return room > SPAN_OBJECT_MAX && (uintptr_t)start % os_page_bytes() == 0;
}

static bool is_in_quarantine(const struct object *object, size_t room)
{
    return object->size == 0 && room > GRANULE_BYTES; /* HA1 */
}

static unsigned char *end_of(const struct object *object)
{
    return (unsigned char *)object->start + object->size;
}

/* Returns how much room an object of nbytes needs. Objects of SMALLEST bytes and more leave the
 * spans of CLOSED_CLASS to those of no byte. A slot of 256 bytes cannot be that of an object of no
 * byte (heap_relabel_locked), so no object gets one. A large object that is about to grow gets an
 * eighth more. */
static size_t room_for(size_t nbytes, size_t align, enum call call)
{
    enum { SMALLEST = GRANULE_BYTES + 1, NEXT_SMALLER = 240, NEXT_LARGER = ALL_NEAR_MAX + 1 };
    size_t room = nbytes + (has(MEASURE_CANARY) ? CANARY_BYTES : 0);
    if (nbytes == 0)
        return GRANULE_BYTES;
    if (room > SLOT_MAX) {
        bool grows = call == CALL_REALLOC || call == CALL_REALLOCARRAY;
        room = os_whole_pages(nbytes + (grows ? nbytes / 8 : 0)) + os_page_bytes();
        return room > SPAN_OBJECT_MAX ? room : os_whole_pages(SPAN_OBJECT_MAX + 1);
    }
    room = larger_of(room, SMALLEST);
    size_t slot = (room + align - 1) & -align;
    return slot > NEXT_SMALLER && slot <= ALL_NEAR_MAX ? NEXT_LARGER : room;
}

/* --- closed pages ----------------------------------------------------------------- */

/* All whole pages of a large object's slack are closed; of one in quarantine, all of its pages. The
 * system may refuse to close them: then they are a part of the slack like any other. An object that
 * was given a large room because a hole was taken whole has at most SLOT_MAX bytes. With pages of
 * 64 KiB it may have no page to close; then the system is asked to close 0 bytes. */
static bool set_closed(const struct object *object, size_t room, bool closed)
{
    if (!has(MEASURE_GUARD) || !is_large(object->start, room))
        return true;
    uintptr_t page = os_page_bytes();
    uintptr_t from = ceil_div((uintptr_t)end_of(object), page) * page;
    uintptr_t to = ((uintptr_t)object->start + room) / page * page;
    assert(from <= to);
    return closed ? os_forbid((void *)from, to - from) : os_allow((void *)from, to - from);
}

/* Returns how much of an object's slack can be touched. */
static size_t open_slack(const struct object *object, size_t room)
{
    size_t slack = room - object->size;
    if (!has(MEASURE_GUARD) || (room > GRANULE_BYTES && !is_large(object->start, room)))
        return slack;
    size_t to_page = room > GRANULE_BYTES ? os_whole_pages(object->size) - object->size : 0;
    return smaller_of(to_page, slack);
}

/* --- canaries ------------------------------------------------------------------- */

/* Without the measure there is one family. */
static enum family family_of(enum call call)
{
    if (!has(MEASURE_MISMATCH))
        return FAMILY_MALLOC;
    return call == CALL_NEW || call == CALL_DELETE               ? FAMILY_NEW
           : call == CALL_NEW_ARRAY || call == CALL_DELETE_ARRAY ? FAMILY_NEW_ARRAY
                                                                 : FAMILY_MALLOC;
}

static void mark(const struct object *object, size_t room, enum family family)
{
    if (has(MEASURE_CANARY))
        canary_write(end_of(object), open_slack(object, room), family);
}

/* Notes a fault. Returns false if the call has found one before. */
static bool find_fault(struct fault *fault, enum fault_kind kind, const struct object *object,
                       size_t at)
{
    if (fault->kind != FAULT_NONE)
        return false;
    *fault = (struct fault){.kind = kind, .object = *object, .at = at};
    return true;
}

/* Returns how much of an object's canary is intact. If it is that of another family than *family,
 * stores that. A damaged one is taken for another family's only if most of its bytes are: a single
 * byte is as another family would have it once in 256 times. */
static size_t intact_bytes(const struct object *object, size_t room, enum family *family)
{
    const void *end = end_of(object);
    size_t slack = open_slack(object, room), n = canary_length(slack);
    size_t intact = canary_intact(end, slack, *family);
    if (intact == n)
        return n;
    size_t most = larger_of(n / 2, canary_kept(end, slack, *family));
    for (int other = 0; other < NFAMILIES; other++) {
        size_t nkept = canary_kept(end, slack, (enum family)other);
        if (nkept > most) {
            most = nkept;
            intact = canary_intact(end, slack, (enum family)other);
        }
        if (nkept == n)
            *family = (enum family)other;
    }
    return intact;
}

/* Looks at the canary of an object that `call` frees or resizes. Returns its family. */
static enum family look_behind(const struct object *object, size_t room, enum call call,
                               struct fault *fault)
{
    static const enum call first[] = {CALL_MALLOC, CALL_NEW, CALL_NEW_ARRAY};
    enum family expected = family_of(call), family = expected;
    if (!has(MEASURE_CANARY))
        return expected;
    size_t intact = intact_bytes(object, room, &family);
    if (intact < canary_length(open_slack(object, room)))
        (void)find_fault(fault, FAULT_OVERRUN, object, object->size + intact);
    else if (family != expected && find_fault(fault, FAULT_MISMATCH, object, 0))
        fault->allocated_by = first[family];
    return family;
}

/* Returns whether no record was ever written to the memory below an address: records are not
 * cleared. */
static bool is_below_records(const void *address)
{
    size_t offset = region_offset(&shim_heap.chunks.region, address);
    return offset / GRANULE_BYTES <= ledger_clean_end(&shim_heap.chunks.ledger);
}

/* Returns whether the bytes before an object, of which it was found what and where they are, can be
 * touched and must be zero: they are free, in quarantine, or slack behind a canary. */
static bool is_zero_before(enum heap_result what, const struct object *there,
                           const struct location *at)
{
    bool closed = at->in_span && (at->slot.is_rest || at->slot.bytes == GRANULE_BYTES);
    if (there->start == NULL)
        return what == HEAP_FREE && !closed;
    return is_in_quarantine(there, location_room(at)) ||
           location_room(at) - there->size >= CANARY_MAX + CANARY_BYTES;
}

/* Looks at the eight bytes before an object that is freed: they are the end of another slot, and so
 * a canary, or zero where freed memory is cleared. */
static void look_before(const struct object *object, struct fault *fault)
{
    const unsigned char *start = object->start;
    struct object there;
    struct location at;
    enum family family = FAMILY_MALLOC;
    if (!has(MEASURE_CANARY) || !has(MEASURE_ZERO) || !is_below_records(start))
        return;
    enum heap_result what = heap_locate_locked(&shim_heap, start - 1, &there, &at);
    size_t room = there.start != NULL ? location_room(&at) : 0;
    if (room == GRANULE_BYTES || is_large(there.start, room))
        return; /* closed, or an end of its own */
    if (what != HEAP_NOT_OURS && is_zero_before(what, &there, &at)) {
        for (size_t i = 1; i <= CANARY_BYTES; i++)
            if (start[-(ptrdiff_t)i] != 0)
                (void)find_fault(fault, FAULT_UNDERRUN, object, i);
    } else if (room > 0) {
        size_t intact = intact_bytes(&there, room, &family);
        if (intact < canary_length(open_slack(&there, room)))
            (void)find_fault(fault, FAULT_OVERRUN, &there, there.size + intact);
    }
}

/* --- freed memory ----------------------------------------------------------------- */

/* Clears an object with its canary, or gives its pages back if it is large. */
static void clear(const struct object *object, size_t room)
{
    if (!has(MEASURE_ZERO | MEASURE_QUARANTINE))
        return;
    unsigned char *start = object->start;
    size_t n = object->size + canary_length(open_slack(object, room)), npages = 0;
    if (is_large(start, room) && os_give_back(start, room / os_page_bytes() * os_page_bytes()))
        npages = room / os_page_bytes() * os_page_bytes();
    if (n > npages)
        memset(start + npages, 0, n - npages);
}

/* Notes the first byte of a small object that was written to in quarantine. */
static void look_for_writes(const struct object *was, size_t room, struct fault *fault)
{
    const unsigned char *bytes = was->start;
    size_t n = was->size + canary_length(room - was->size), i = 0;
    if (is_large(was->start, room))
        return;
    while (n - i >= sizeof(uint64_t) && *(const uint64_t *)(const void *)(bytes + i) == 0)
        i += sizeof(uint64_t);
    while (i < n && bytes[i] == 0)
        i++;
    if (i < n)
        (void)find_fault(fault, FAULT_STALE, was, i);
}

/* Gives an object back to the heap. If its pages cannot be opened, they stay closed, and the object
 * is never used again. */
static void give_back(const struct object *object, const struct location *at)
{
    if (set_closed(object, location_room(at), false))
        heap_free_located_locked(&shim_heap, at);
}

/* What an object in quarantine counts as. The memory of a large one has gone back, and what it
 * holds is addresses. */
static size_t weight(const void *start, size_t room)
{
    enum { PART = 16 };
    return is_large(start, room) ? room / PART : room;
}

/* Gives the oldest object in quarantine back. Returns false if there is none. */
static bool release_oldest(struct fault *fault)
{
    struct held held;
    struct object empty;
    struct location at;
    if (!quarantine_oldest(&quarantine, &held))
        return false;
    enum heap_result result = heap_locate_locked(&shim_heap, held.start, &empty, &at);
    size_t room = location_room(&at);
    assert(result == HEAP_OK && is_in_quarantine(&empty, room));
    (void)result;
    look_for_writes(&(struct object){held.start, held.size}, room, fault);
    quarantine_pop(&quarantine, weight(held.start, room));
    give_back(&empty, &at);
    return true;
}

/* Puts a freed object into quarantine as one of no byte. Returns false if there is no quarantine,
 * or its slack would be too much to note. */
static bool hold(const struct object *object, const struct location *at, struct fault *fault)
{
    size_t room = location_room(at);
    if (!has(MEASURE_QUARANTINE) || !heap_relabel_locked(&shim_heap, at, 0))
        return false;
    (void)set_closed(&(struct object){object->start, 0}, room, true);
    quarantine_push(&quarantine, (struct held){object->start, object->size},
                    weight(object->start, room));
    while (quarantine_is_full(&quarantine))
        (void)release_oldest(fault);
    return true;
}

/* --- the calls ------------------------------------------------------------------- */

/* What is in quarantine is free. */
static enum heap_result locate(const void *address, struct object *found, struct location *at)
{
    enum heap_result result = heap_locate_locked(&shim_heap, address, found, at);
    return found->start != NULL && is_in_quarantine(found, location_room(at)) ? HEAP_FREE : result;
}

enum heap_result hard_find(const void *address, struct object *found)
{
    struct location at;
    return locate(address, found, &at);
}

/* Before there is no space for an object, the quarantine gives up what it holds. */
enum heap_result hard_take(size_t nbytes, size_t align, enum call call, void **object,
                           struct object *zero, struct fault *fault)
{
    enum heap_result result;
    size_t asked = room_for(nbytes, align, call), room;
    if (asked > SPAN_OBJECT_MAX && align < os_page_bytes())
        align = os_page_bytes();
    do {
        room = asked;
        result = heap_take_room_locked(&shim_heap, nbytes, &room, align, object, zero);
    } while (result == HEAP_NO_SPACE && release_oldest(fault));
    if (result != HEAP_OK)
        return result;
    struct object taken = {*object, nbytes};
    (void)set_closed(&taken, room, true);
    mark(&taken, room, family_of(call));
    return HEAP_OK;
}

enum heap_result hard_free(const void *address, enum call call, struct object *found,
                           struct fault *fault)
{
    struct location at;
    enum heap_result result = locate(address, found, &at);
    if (result != HEAP_OK)
        return result;
    size_t room = location_room(&at);
    (void)look_behind(found, room, call, fault);
    look_before(found, fault);
    clear(found, room);
    if (found->size == 0 || !hold(found, &at, fault))
        give_back(found, &at);
    return HEAP_OK;
}

/* Returns whether an object should stay in its room when it is resized: it fits, with its canary
 * and its closed page, and does not give up most of the room. */
static bool suits(const struct object *old, size_t room, size_t nbytes, bool anyway)
{
    enum { SMALL = 512, PART = 4 };
    size_t needed = is_large(old->start, room) ? os_whole_pages(nbytes) + os_page_bytes()
                                               : nbytes + (has(MEASURE_CANARY) ? CANARY_BYTES : 0);
    return room > GRANULE_BYTES && needed <= room &&
           (anyway || room <= SMALL || nbytes >= room / PART ||
            nbytes >= old->size - old->size / PART);
}

enum heap_result hard_resize(const void *address, size_t nbytes, bool anyway, enum call call,
                             struct fault *fault)
{
    struct object old;
    struct location at;
    enum heap_result result = locate(address, &old, &at);
    size_t room = result == HEAP_OK ? location_room(&at) : 0;
    if (result != HEAP_OK || !suits(&old, room, nbytes, anyway))
        return result != HEAP_OK ? result : HEAP_NO_SPACE;
    enum family family = look_behind(&old, room, call, fault);
    struct object new = {old.start, nbytes};
    size_t dirty = old.size + canary_length(open_slack(&old, room));
    size_t least = smaller_of(nbytes, old.size);
    if (!set_closed(&old, room, false) || !heap_relabel_locked(&shim_heap, &at, nbytes))
        return HEAP_NO_SPACE;
    if (has(MEASURE_ZERO) && least < dirty)
        memset((unsigned char *)old.start + least, 0, dirty - least);
    (void)set_closed(&new, room, true);
    mark(&new, room, family);
    return HEAP_OK;
}
