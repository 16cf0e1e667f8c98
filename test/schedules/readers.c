/* SPDX-License-Identifier: MIT
 *
 * readers.c - checks lookups of any address (src/heaps/readers, src/heaps/registry) while heaps
 * come and go, in all schedules with few surprises.
 *
 * The heaps are ranges of addresses only. A lookup must find a heap that is there all the time, and
 * a heap that a lookup has found stays until the lookup ends.
 */
#include "explore.h"

#include "base/lock.h"
#include "heaps/readers.h"
#include "heaps/registry.h"

enum { NHEAPS = 6, BYTES = 4096, FIRST = 1 << 20 };

static bool is_gone[NHEAPS];

/* Stands for what lookups read in a heap, and others write once it is gone. */
static char memory_of[NHEAPS];

static struct heap_range range_of(int i)
{
    return (struct heap_range){.base = FIRST + (uintptr_t)i * 2 * BYTES,
                               .nbytes = BYTES,
                               .owner = &is_gone[i],
                               .version = 0};
}

static void add(int i)
{
    struct heap_range range = range_of(i);
    is_gone[i] = false;
    explore_expect(registry_add(&range), "a heap is refused");
}

static void remove_heap(int i)
{
    if (registry_remove((const void *)range_of(i).base)) {
        explore_use(&memory_of[i], sizeof *memory_of, true);
        is_gone[i] = true;
    }
}

/* Finds the heap i, which may go any time if `may_go`. */
static void look_up(int i, bool may_go)
{
    struct heap_range found = {0};
    struct lookup_scope scope = lookup_begin();
    enum registry_result result = registry_find(range_of(i).base + 100, &found);
    if (result == REGISTRY_FOUND) {
        explore_expect(found.owner == &is_gone[i] && found.base == range_of(i).base &&
                           found.nbytes == BYTES,
                       "a lookup finds another heap");
        explore_expect(!is_gone[i], "a lookup finds a heap that is gone");
        explore_point();
        explore_expect(!is_gone[i], "a heap goes while a lookup reads it");
        explore_use(&memory_of[i], sizeof *memory_of, false);
    } else {
        explore_expect(may_go || result == REGISTRY_BUSY, "a lookup misses a heap");
    }
    struct lookup_view view = {.owner = found.owner};
    lookup_note(&scope, &view, result == REGISTRY_FOUND ? found.version : 0);
    lookup_end(&scope);
}

/* Looks the heap i up by what the last lookup has noted. */
static void look_up_fast(int i)
{
    uint32_t was;
    struct reader *r = reader_mine;
    if (!lookup_begin_fast(r, &was))
        return;
    if (r->last.owner == &is_gone[i]) {
        explore_expect(!is_gone[i], "a fast lookup finds a heap that is gone");
        explore_point();
        explore_expect(!is_gone[i], "a heap goes while a fast lookup reads it");
        explore_use(&memory_of[i], sizeof *memory_of, false);
    }
    lookup_end_fast(r, was);
}

/* --- scenarios ------------------------------------------------------------------------- */

static void open_two(void)
{
    add(1);
    add(3);
}

/* In this one threads find no reader, so that they are counted [RD3]. */
static void open_two_counted(void)
{
    open_two();
    explore_refuse_barrier();
    look_up(1, false);
}

static void look_up_1_twice(void)
{
    look_up(1, true);
    look_up(1, true);
}

static void look_up_1_fast(void)
{
    look_up(1, true);
    look_up_fast(1);
}

static void look_up_1(void)
{
    look_up(1, true);
}

static void look_up_3(void)
{
    look_up(3, false);
}

static void remove_1(void)
{
    remove_heap(1);
}

static void wait_and_remove_1(void)
{
    registry_wait_for_readers();
    remove_heap(1);
}

static void add_0_and_2(void)
{
    add(0);
    add(2);
}

static void remove_1_add_2(void)
{
    remove_heap(1);
    add(2);
}

static void add_0(void)
{
    add(0);
}

static void add_2(void)
{
    add(2);
}

static void check_table(void)
{
    for (int i = 0; i < NHEAPS; i++)
        if (registry_has((const void *)range_of(i).base))
            explore_expect(!is_gone[i], "a heap that is gone is in the table");
    registry_lock();
    explore_expect(registry_is_valid_locked(), "the table is damaged");
    registry_unlock();
    explore_expect(registry_has((const void *)range_of(3).base), "a heap is lost");
    explore_expect(registry_version % 4 == 0, "the version is odd");
}

static void check_both(void)
{
    check_table();
    explore_expect(registry_has((const void *)range_of(0).base) &&
                       registry_has((const void *)range_of(2).base),
                   "a heap that was added is lost");
}

const struct scenario readers_scenarios[] = {
    {.name = "a heap goes while it is looked up",
     .open = open_two,
     .thread = {look_up_1_twice, remove_1},
     .check = check_table,
     .lookups_race = true},
    {.name = "a heap goes while it is looked up fast",
     .open = open_two,
     .thread = {look_up_1_fast, remove_1},
     .check = check_table,
     .lookups_race = true},
    {.name = "a heap goes while a counted lookup reads it",
     .open = open_two_counted,
     .thread = {look_up_1_twice, remove_1},
     .check = check_table,
     .lookups_race = true},
    {.name = "a heap goes at a second wait for counted lookups",
     .open = open_two_counted,
     .thread = {look_up_1, wait_and_remove_1},
     .check = check_table,
     .lookups_race = true},
    {.name = "a heap goes while two threads begin to look up",
     .open = open_two,
     .thread = {look_up_1, look_up_1, remove_1},
     .check = check_table,
     .lookups_race = true},
    {.name = "a heap stays while others come and go",
     .open = open_two,
     .thread = {look_up_3, remove_1_add_2},
     .check = check_table,
     .lookups_race = true},
    {.name = "a heap stays while others come",
     .open = open_two,
     .thread = {look_up_3, add_0_and_2},
     .check = check_table,
     .lookups_race = true},
    {.name = "two heaps come at the same time",
     .open = open_two,
     .thread = {add_0, add_2},
     .check = check_both},
    {.name = NULL}};
