/* SPDX-License-Identifier: MIT
 *
 * attach.c - fuzz target: any bytes as a heap in a buffer, which mem_heap_attach opens or refuses
 * [H15]; then every call of mem_heap.h on it [H10].
 *
 *     refused   the buffer is as it was, and no call takes it for a heap
 *     opened    mem_walk says which objects it has; each call from then on does what that list
 *               says, until all is freed; it can be detached and attached again
 *     damaged   and while it is in use, its own data are overwritten: if it has no slots, no call
 *               crashes, takes long, or touches what is around the buffer
 *
 * The input is the buffer with its zeros left out (packed.h), and decides which calls are made.
 * Mutations damage it as test/inspect/damage.h does, and mostly make its checksums right again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "damage.h"
#include "heaps/header.h"
#include "mem_heap.h"
#include "mutate.h"
#include "packed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

enum { BUFFER_MAX = 2 << 20, SLICE = 1 << 16, NOBJECTS = 1000, NCALLS = 30 };

static _Alignas(SLICE) uint8_t bytes[BUFFER_MAX + SLICE]; /* what is behind holds sections */

/* The heap of each input lies at `buffer`, since a mapping for each would take longer than the
 * input. What is around the heap is forbidden to all that AddressSanitizer watches. */
static _Alignas(SLICE) uint8_t around[SLICE + BUFFER_MAX + SLICE];
static uint8_t *const buffer = around + SLICE;

void __asan_get_shadow_mapping(size_t *scale, size_t *offset);
void __asan_set_shadow_00(uintptr_t shadow, size_t n);
void __asan_set_shadow_f8(uintptr_t shadow, size_t n);

/* Forbids a slice, or allows it. The sanitizer is told so in a way that allow_user_poisoning=0 does
 * not forbid (options.c). */
static void forbid_slice(const uint8_t *slice, bool forbids)
{
    size_t scale, offset;
    __asan_get_shadow_mapping(&scale, &offset);
    (forbids ? __asan_set_shadow_f8 : __asan_set_shadow_00)(((uintptr_t)slice >> scale) + offset,
                                                            (size_t)SLICE >> scale);
}

#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not so: %s (%s)\n", __FILE__, __LINE__, #condition,            \
                    mem_strerror(mem_last_error()));                                               \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* --- the list of objects ------------------------------------------------------------- */

static struct owned {
    uint8_t *start;
    size_t size;
} object[NOBJECTS];
static size_t nobjects;
static bool has_more; /* objects than fit into the list */

static bool note(const struct mem_piece *piece, void *context)
{
    mem_heap *heap = context;
    EXPECT(piece->heap == heap);
    if (!piece->live)
        return true;
    has_more = nobjects == NOBJECTS;
    if (!has_more)
        object[nobjects++] = (struct owned){piece->start, piece->size};
    return !has_more;
}

static void list_objects(mem_heap *heap)
{
    nobjects = 0;
    has_more = false;
    EXPECT(mem_walk(heap, note, heap) == MEM_OK);
}

static void add(mem_heap *heap, size_t nbytes, uint8_t *p, size_t size)
{
    EXPECT(p > (uint8_t *)heap && size <= (size_t)((uint8_t *)heap + nbytes - p));
    for (size_t i = 0; i < nobjects; i++)
        EXPECT(p + (size > 0 ? size : 1) <= object[i].start ||
               object[i].start + (object[i].size > 0 ? object[i].size : 1) <= p);
    memset(p, 0xA5, size);
    if (nobjects == NOBJECTS)
        EXPECT(mem_free(heap, p) == MEM_OK);
    else
        object[nobjects++] = (struct owned){p, size};
}

/* --- calls ---------------------------------------------------------------------------- */

static size_t some_size(struct damage *d, size_t nbytes)
{
    return damage_below(d, damage_below(d, 4) == 0 ? nbytes : 500);
}

static void take_one(mem_heap *heap, size_t nbytes, struct damage *d)
{
    size_t size = some_size(d, nbytes), align = (size_t)1 << damage_below(d, 13);
    uint8_t *p;
    switch (damage_below(d, 4)) {
    case 0:
        p = mem_zalloc(heap, size);
        break;
    case 1:
        p = mem_aligned(heap, size, align);
        EXPECT((uintptr_t)p % align == 0);
        break;
    case 2:
        p = mem_alloc_fit(heap, size, 1, (enum mem_style)damage_below(d, 4));
        break;
    default:
        p = mem_alloc(heap, size);
    }
    if (p != NULL)
        add(heap, nbytes, p, size);
    else
        EXPECT(mem_last_error() == MEM_NO_SPACE || mem_last_error() == MEM_OVER_LIMIT ||
               mem_last_error() == MEM_TOO_LARGE);
}

static void use_one(mem_heap *heap, size_t nbytes, struct damage *d)
{
    size_t i = damage_below(d, nobjects), size = some_size(d, nbytes);
    struct owned o = object[i];
    struct mem_piece found;
    EXPECT(mem_find(o.start + o.size / 2, &found) == MEM_OK);
    EXPECT(found.heap == heap && found.live && found.start == o.start && found.size == o.size);
    if (damage_below(d, 2) == 0) {
        uint8_t *p = mem_resize(heap, o.start, size);
        if (p == NULL)
            return;
        object[i] = object[--nobjects];
        add(heap, nbytes, p, size);
        return;
    }
    EXPECT(damage_below(d, 2) == 0 ? mem_free(heap, o.start) == MEM_OK
                                   : mem_free_any(heap, o.start + o.size / 2) == MEM_OK);
    object[i] = object[--nobjects];
}

/* Frees an address that begins no object: it may be anywhere in the buffer. */
static void make_mistake(mem_heap *heap, size_t nbytes, struct damage *d)
{
    uint8_t *p = (uint8_t *)heap + damage_below(d, nbytes + 32);
    for (size_t i = 0; i < nobjects; i++)
        if (p == object[i].start)
            return;
    EXPECT(has_more || mem_free(heap, p) != MEM_OK);
}

static void use_sound(mem_heap *heap, size_t nbytes, struct damage *d)
{
    struct mem_statistics s;
    list_objects(heap);
    EXPECT(mem_check(heap, NULL) == MEM_OK);
    EXPECT(mem_stats(heap, &s) == MEM_OK);
    EXPECT(s.region_bytes == s.live_bytes + s.slack_bytes + s.free_bytes + s.metadata_bytes);
    EXPECT(has_more || s.live_objects == nobjects);
    for (int i = 0; i < NCALLS && !has_more; i++)
        switch (damage_below(d, 5)) {
        case 0:
        case 1:
            take_one(heap, nbytes, d);
            break;
        case 2:
            make_mistake(heap, nbytes, d);
            break;
        default:
            if (nobjects > 0)
                use_one(heap, nbytes, d);
        }
    EXPECT(mem_check(heap, NULL) == MEM_OK);
}

static bool visit(const struct mem_piece *piece, void *context)
{
    size_t *n = context;
    *n += piece->size > 0;
    return true;
}

/* Overwrites data of a heap without slots, except its lock, and makes each call. What they return
 * does not matter. */
static void use_damaged(mem_heap *heap, size_t nbytes, struct damage *d)
{
    struct mem_statistics s;
    struct mem_piece found;
    struct lock lock = {0};
    size_t at = heap->lock, n = 0;
    d->bytes = (uint8_t *)heap;
    d->nbytes = nbytes;
    d->nhot = d->nheaders = 0; /* a forged checksum is an exception in H10 */
    if (at != 0)
        memcpy(&lock, (uint8_t *)heap + at, sizeof lock);
    for (size_t i = 1 + damage_below(d, 3); i > 0; i--)
        damage_once(d);
    if (at != 0)
        memcpy((uint8_t *)heap + at, &lock, sizeof lock);
    for (int i = 0; i < NCALLS; i++) {
        uint8_t *p = nobjects > 0 && damage_below(d, 2) ? object[damage_below(d, nobjects)].start
                                                        : (uint8_t *)heap + damage_below(d, nbytes);
        size_t size = some_size(d, nbytes);
        switch (damage_below(d, 9)) {
        case 0:
            (void)mem_alloc(heap, size);
            break;
        case 1:
            (void)mem_alloc_fit(heap, size, 1, (enum mem_style)damage_below(d, 4));
            break;
        case 2:
            (void)mem_aligned(heap, size, (size_t)1 << damage_below(d, 13));
            break;
        case 3:
            (void)mem_resize(heap, p, size);
            break;
        case 4:
            (void)mem_free(heap, p);
            break;
        case 5:
            (void)mem_free_any(heap, p);
            break;
        case 6:
            (void)mem_find(p, &found);
            (void)mem_find_in(heap, p, &found);
            break;
        case 7:
            (void)mem_stats(heap, &s);
            break;
        default:
            (void)mem_walk(heap, visit, &n);
            (void)mem_check(heap, NULL);
        }
    }
}

/* --- one input ------------------------------------------------------------------------- */

/* What an exhausted heap and a refused address lead to: nothing. */
static bool give_up(mem_heap *heap, size_t size, void *context)
{
    (void)heap;
    (void)size;
    (void)context;
    return false;
}

static void open_and_use(size_t nbytes, struct damage *d)
{
    struct mem_options o = {.on_exhausted = damage_below(d, 4) == 0 ? give_up : NULL};
    struct mem_piece found;
    mem_heap *heap = mem_heap_attach(buffer, nbytes, &o);
    if (heap == NULL) {
        EXPECT(memcmp(buffer, bytes, nbytes) == 0);
        EXPECT(mem_find(buffer + nbytes / 2, &found) == MEM_NOT_OURS);
        return;
    }
    EXPECT((uint8_t *)heap == buffer);
    size_t used = heap->nbytes;
    use_sound(heap, used, d);
    EXPECT(mem_heap_detach(heap) == MEM_OK);
    EXPECT(mem_heap_attach(buffer, used, NULL) == heap);
    if (!heap->has_spans) {
        memcpy(bytes, buffer, used);
        use_damaged(heap, used, d);
        memcpy(buffer, bytes, used); /* so that it can be destroyed */
        EXPECT(mem_heap_destroy(heap) == MEM_OK);
        return;
    }
    list_objects(heap);
    while (nobjects > 0 && !has_more)
        EXPECT(mem_free(heap, object[--nobjects].start) == MEM_OK);
    EXPECT(mem_heap_destroy(heap) == MEM_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct damage d = {.state = hash_of(data, size)};
    size_t nbytes = unpack(data, size, bytes, BUFFER_MAX) / 16 * 16;
    if (nbytes == 0)
        return 0;
    memcpy(buffer, bytes, nbytes);
    forbid_slice(around, true);
    forbid_slice(buffer + nbytes, true);
    open_and_use(nbytes, &d);
    forbid_slice(buffer + nbytes, false);
    return 0;
}

/* Whether the offset of a section is one behind the header. */
static bool is_behind(size_t offset)
{
    return offset >= sizeof(mem_heap) && offset % sizeof(void *) == 0;
}

/* Mostly makes the checksums right, as those of a heap in use or of one that was detached, if there
 * is something to be summed. */
static void sum_up(struct damage *d)
{
    mem_heap *m = (mem_heap *)bytes;
    if (damage_below(d, 4) == 0 || d->nbytes < sizeof *m || !is_behind(m->state) ||
        (m->extras != 0 && !is_behind(m->extras)))
        return;
    bytes[offsetof(mem_heap, has_spans)] &= 1; /* it is read as a bool here */
    memset(bytes + d->nbytes, 0,
           sizeof bytes - d->nbytes < SLICE ? sizeof bytes - d->nbytes : SLICE);
    header_make_anew(m, &(struct mem_options){.flags = 0});
    header_sum_numbers(m);
    if (damage_below(d, 2))
        header_detach(m);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    static const struct unpacked u = {bytes, BUFFER_MAX, MEM_HEAP_MIN, sum_up};
    return mutate_packed(&u, data, size, max_size, seed);
}
