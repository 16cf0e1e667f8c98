/* SPDX-License-Identifier: MIT
 *
 * lock.c - checks the lock (src/base/lock) in all schedules with few surprises: one thread has it
 * at a time, and none that waits for it is forgotten.
 */
#include "explore.h"

#include "base/lock.h"

static struct lock lock;
static unsigned nholders, ntimes;

static void open_lock(void)
{
    lock = (struct lock){0};
    nholders = ntimes = 0;
}

/* No thread is switched in it. */
__attribute__((no_sanitize_thread)) static void note_end(void)
{
    ntimes++;
}

static void take_and_release(void)
{
    lock_take(&lock);
    explore_expect(nholders++ == 0, "two threads have the lock");
    explore_point();
    nholders--;
    lock_release(&lock);
    note_end();
}

static void try_and_release(void)
{
    if (lock_try(&lock)) {
        explore_expect(nholders++ == 0, "two threads have the lock");
        explore_point();
        nholders--;
        lock_release(&lock);
    }
    note_end();
}

static void check_lock(void)
{
    explore_expect(ntimes == 3 && lock.state == LOCK_FREE, "the lock is not free at the end");
}

const struct scenario lock_scenarios[] = {
    {.name = "three threads take a lock",
     .open = open_lock,
     .thread = {take_and_release, take_and_release, take_and_release},
     .check = check_lock,
     .waits_in_lock = true},
    {.name = "two threads take a lock and one tries to",
     .open = open_lock,
     .thread = {take_and_release, try_and_release, take_and_release},
     .check = check_lock,
     .waits_in_lock = true},
    {.name = NULL}};
