/* SPDX-License-Identifier: MIT
 *
 * registry.c - the table of heap ranges: sorted, changed under a lock, read without one.
 * Invariants: registry.h.
 *
 *     range    0      1           2     3       4          B and C lie in objects of A, D in C
 *              [A     [B]         [C    [D]]  ] [E]
 *     up       0      1           2     1       0          A range that has `up` 0 is in no other
 *
 * The ranges around an address are found from the last one that begins at or below it, by going
 * back `up` places as often as the range found does not cover the address: for an address behind D
 * in C that is D, then C. Ranges are nested or apart, and never overlap in part: registry_add
 * removes what the new one would cut.
 *
 * A lookup may read all this while it changes. It may see a range twice, or not at all, or one that
 * is half written. Each loop ends nevertheless, since it goes back at each step, and reads within
 * the table, since the number of ranges never exceeds what a table has room for. The version says
 * at the end whether the answer counts.
 */
#include "heaps/registry.h"

#include "base/describe.h"
#include "base/lock.h"
#include "base/os.h"
#include "base/seqcount.h"
#include "heaps/readers.h"

enum { NFIRST = 24, FIRST_VERSION = 4 };

/* The table for the first heaps is static, so that few programs need a mapping for it. */
static union {
    struct table table;
    unsigned char bytes[sizeof(struct table) + NFIRST * sizeof(struct heap_range)];
} first = {.table = {.capacity = NFIRST}};

static DESCRIBED_VARIABLE struct table *table = &first.table;
static uint32_t nnested;                                      /* ranges with one around them */
DESCRIBED_VARIABLE uint32_t registry_version = FIRST_VERSION; /* 0 is a reader that knows none */
DESCRIBE(DESCRIBED_REGISTRY, REGISTRY_LAYOUT, table);
DESCRIBE(DESCRIBED_REGISTRY_VERSION, REGISTRY_LAYOUT, registry_version);

static struct lock lock; /* guards changes of all this */

/* --- versions and the lock ------------------------------------------------------- */

/* From here to table_change_end registry_version is odd, and lookups do not believe the table. */
static void table_change_begin(void)
{
    assert(registry_version % 4 == 0);
    change_begin(&registry_version);
}

/* One was added at the begin, so that three more make the next multiple of four. 0 is left out: it
 * stands for no version. */
static void table_change_end(void)
{
    assert(registry_version % 4 == 1);
    uint32_t next = registry_version + 3;
    __atomic_store_n(&registry_version, next != 0 ? next : FIRST_VERSION, __ATOMIC_RELEASE);
}

void registry_lock(void)
{
    mutator_enter();
    lock_take(&lock);
}

void registry_unlock(void)
{
    lock_release(&lock);
    mutator_leave();
}

/* --- ranges ---------------------------------------------------------------------- */

/* Returns whether the address is in the range: below its base the difference wraps to a huge
 * number. */
static bool covers(const struct heap_range *p, uintptr_t address)
{
    return address - p->base < p->nbytes;
}

/* Returns the address of the last byte of a range. One behind that may be 0, at the end of the
 * address space. */
static uintptr_t last_of(const struct heap_range *p)
{
    return p->base + (p->nbytes - 1);
}

/* Returns how many of the first n ranges begin at `address` or below it: a binary search, without a
 * branch that depends on what is compared. It ends after log n steps whatever it reads. */
RACING static uint32_t count_up_to(const struct table *t, uint32_t n, uintptr_t address)
{
    uint32_t low = 0;
    while (n > 0) {
        uint32_t half = n / 2;
        bool above = NOW(t->range[low + half].base) <= address;
        low = above ? low + half + 1 : low;
        n = above ? n - half - 1 : half;
    }
    return low;
}

/* Finds for each range the one around it. That is the range before it, or one that is around that,
 * and so on outwards: the first that the range ends in. All are linked anew, since a range that
 * comes or goes changes how far back the ones behind it are. */
static void link_all_locked(void)
{
    nnested = 0;
    for (uint32_t i = 0; i < table->n; i++) {
        struct heap_range *p = &table->range[i];
        uint32_t around = i, back = 1;
        while (back > 0 && back <= around && !covers(&table->range[around - back], last_of(p))) {
            around -= back;
            back = table->range[around].up;
        }
        p->up = back > 0 && back <= around ? i - (around - back) : 0;
        nnested += p->up > 0;
    }
}

/* Takes the ranges [from, to) out of the table. */
static void cut_out_locked(uint32_t from, uint32_t to)
{
    assert(from <= to && to <= table->n);
    memmove(&table->range[from], &table->range[to], (table->n - to) * sizeof(struct heap_range));
    table->n -= to - from;
}

/* Puts a range in front of the one that is number `at`. There is room for it. */
static void insert_locked(uint32_t at, const struct heap_range *p)
{
    assert(at <= table->n && table->n < table->capacity);
    assert(at == 0 || table->range[at - 1].base < p->base);
    assert(at == table->n || last_of(p) < table->range[at].base);
    memmove(&table->range[at + 1], &table->range[at], (table->n - at) * sizeof(struct heap_range));
    table->range[at] = *p;
    table->n++;
}

/* --- changing ------------------------------------------------------------------- */

/* Makes sure that there is room for one more range, in a table of twice the size if need be.
 * Returns false, and changes nothing, if the system gives no memory. A table that lookups may be
 * reading is unmapped after they have ended, or never. */
static bool make_room_locked(void)
{
    if (table->n < table->capacity)
        return true;
    size_t nbytes = os_whole_pages(sizeof *table + 2 * table->n * sizeof(struct heap_range));
    struct table *larger = os_map(nbytes), *was = table;
    if (larger == NULL)
        return false;
    memcpy(larger, was, sizeof *was + was->n * sizeof(struct heap_range));
    larger->capacity = (uint32_t)((nbytes - sizeof *larger) / sizeof(struct heap_range));
    table_change_begin();
    __atomic_store_n(&table, larger, __ATOMIC_RELEASE);
    table_change_end();
    if (was != &first.table && readers_wait_locked())
        os_unmap(was, os_whole_pages(sizeof *was + was->capacity * sizeof(struct heap_range)));
    assert(table->n < table->capacity);
    return true;
}

/* Takes the ranges out of the table that a new one covers, wholly or in part, and returns where the
 * new one goes. They begin in it; or they begin before it and end in it, and then a heap in an
 * object of theirs stays, if it ends before the new one.
 *
 *     [   around   [ ends in it  [stays]    ][ begins in it ]   ]
 *                                       [       new      ]
 */
static uint32_t cut_covered_locked(const struct heap_range *p)
{
    uint32_t from = count_up_to(table, table->n, p->base - 1), i = from;
    uint32_t end = count_up_to(table, table->n, last_of(p));
    for (uint32_t up = 1; up > 0 && up <= i; up = table->range[i].up) {
        i -= up;
        if (covers(p, last_of(&table->range[i])))
            from = i;
    }
    for (i = from; i < end; i++)
        if (last_of(&table->range[i]) < p->base)
            table->range[from++] = table->range[i];
    cut_out_locked(from, end);
    return from;
}

/* Only a range that begins in the one before it, or a table that has nested ranges already, needs
 * the links; most programs have neither. */
static bool add_locked(const struct heap_range *p)
{
    assert(p->nbytes > 0 && last_of(p) >= p->base);
    assert(p->owner != NULL || p->heap != NULL);
    if (!make_room_locked())
        return false;
    table_change_begin();
    uint32_t at = cut_covered_locked(p);
    insert_locked(at, p);
    if (nnested > 0 || (at > 0 && covers(&table->range[at - 1], p->base)))
        link_all_locked();
    table_change_end();
    assert(registry_is_valid_locked());
    return true;
}

bool registry_add(const struct heap_range *p)
{
    registry_lock();
    bool added = add_locked(p);
    registry_unlock();
    return added;
}

struct heap_range *registry_at_locked(const void *base)
{
    uint32_t n = count_up_to(table, table->n, (uintptr_t)base);
    bool is_there = n > 0 && table->range[n - 1].base == (uintptr_t)base;
    return is_there ? &table->range[n - 1] : NULL;
}

/* It waits also if the heap is not in the table any longer: a newer heap may have covered it, while
 * lookups were reading it [RG2]. */
bool registry_remove(const void *base)
{
    registry_lock();
    const struct heap_range *p = registry_at_locked(base);
    if (p != NULL) {
        uint32_t at = (uint32_t)(p - table->range);
        table_change_begin();
        cut_out_locked(at, at + 1);
        if (nnested > 0)
            link_all_locked();
        table_change_end();
        assert(registry_is_valid_locked());
    }
    bool gone = readers_wait_locked();
    registry_unlock();
    return gone;
}

/* The lock is not for the table here, but lets one thread at a time wait (readers.h). */
bool registry_wait_for_readers(void)
{
    registry_lock();
    bool gone = readers_wait_locked();
    registry_unlock();
    return gone;
}

bool registry_has(const void *base)
{
    registry_lock();
    bool has = registry_at_locked(base) != NULL;
    registry_unlock();
    return has;
}

bool registry_all_locked(bool (*visit)(struct heap_range *p))
{
    assert(mutator_depth > 0);
    for (uint32_t i = 0; i < table->n; i++)
        if (!visit(&table->range[i]))
            return false;
    return true;
}

/* Returns whether the range around another one ends behind it, and all between the two end before
 * it. */
static bool is_linked(uint32_t i)
{
    const struct heap_range *p = &table->range[i];
    uint32_t from = p->up > 0 ? i - p->up + 1 : 0;
    if (p->up > i || (p->up > 0 && !covers(&table->range[i - p->up], last_of(p))))
        return false;
    for (uint32_t k = from; k < i; k++)
        if (last_of(&table->range[k]) >= p->base)
            return false;
    return true;
}

bool registry_is_valid_locked(void)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < table->n; i++) {
        n += table->range[i].up > 0;
        if ((i > 0 && table->range[i - 1].base >= table->range[i].base) || !is_linked(i))
            return false;
    }
    return n == nnested && table->n <= table->capacity;
}

/* --- without the lock ------------------------------------------------------------ */

/* Copies a range that may be changing, field by field. */
RACING static void copy_range(const struct heap_range *from, struct heap_range *to)
{
    to->base = NOW(from->base);
    to->nbytes = NOW(from->nbytes);
    to->owner = NOW(from->owner);
    to->heap = NOW(from->heap);
    to->up = NOW(from->up);
}

/* Finds the innermost range that the address is in, from the one before the i-th outwards. Each
 * step goes back, so that a table which is changing does not make it endless. */
RACING static bool find_back_from(const struct table *t, uint32_t i, uintptr_t address,
                                  struct heap_range *p)
{
    for (uint32_t up = 1; up > 0 && up <= i; up = p->up) {
        i -= up;
        copy_range(&t->range[i], p);
        if (covers(p, address))
            return true;
    }
    return false;
}

/* The version is that of the table if no heap lies in another one: only then is an object in a slot
 * what the address is, whichever heap it may be in. */
RACING enum registry_result registry_find(uintptr_t address, struct heap_range *p)
{
    for (unsigned n = 0; lookup_pause(n); n++) {
        uint32_t seen = changes_seen(&registry_version);
        const struct table *t = __atomic_load_n(&table, __ATOMIC_ACQUIRE);
        bool alone = NOW(nnested) == 0;
        bool found = find_back_from(t, count_up_to(t, NOW(t->n), address), address, p);
        p->version = alone ? seen : 0;
        if (is_unchanged(&registry_version, seen))
            return found ? REGISTRY_FOUND : REGISTRY_NONE;
    }
    return REGISTRY_BUSY;
}

/* `inner` may be elsewhere in the table by now, so that it is searched for by where it begins. It
 * may be gone, too: then what is found has to be around its place, or the result is none. */
RACING enum registry_result registry_find_around(const struct heap_range *inner,
                                                 struct heap_range *p)
{
    assert(inner != p);
    for (unsigned n = 0; lookup_pause(n); n++) {
        uint32_t seen = changes_seen(&registry_version);
        const struct table *t = __atomic_load_n(&table, __ATOMIC_ACQUIRE);
        uint32_t i = count_up_to(t, NOW(t->n), inner->base);
        bool found = i > 0 && inner->up > 0 && inner->up < i;
        if (found)
            copy_range(&t->range[i - 1 - inner->up], p);
        p->version = 0;
        if (is_unchanged(&registry_version, seen))
            return found && covers(p, inner->base) ? REGISTRY_FOUND : REGISTRY_NONE;
    }
    return REGISTRY_BUSY;
}
