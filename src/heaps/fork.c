/* SPDX-License-Identifier: MIT */
#include "heaps/fork.h"

#include <time.h>

#include "heaps/registry.h"
#include "heaps/session.h"

static mem_heap *lockable(const struct heap_range *p)
{
    mem_heap *m = p->owner;
    return m != NULL && header_is_whole(m) && m->lock != 0 ? m : NULL;
}

static bool unlock_one(const struct heap_range *p)
{
    mem_heap *m = lockable(p);
    if (m != NULL && m->is_held == 1) {
        m->is_held = 0;
        pthread_mutex_unlock(lock_of(m));
    }
    return true;
}

static void unlock_all(void)
{
    registry_all_locked(unlock_one);
}

enum { A_MILLISECOND = 1000000, A_SECOND = 1000 * A_MILLISECOND }; /* in nanoseconds */

/* Who has it may be waiting for a processor. */
static bool lock_in_time(pthread_mutex_t *lock, long patience)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += patience;
    until.tv_sec += until.tv_nsec / A_SECOND;
    until.tv_nsec %= A_SECOND;
    return pthread_mutex_timedlock(lock, &until) == 0;
}

static bool lock_range(const struct heap_range *p, long patience)
{
    mem_heap *m = lockable(p);
    if (m == NULL)
        return true;
    if (session_lock_is_of_parent(m))
        session_make_lock(m);
    if (!lock_in_time(lock_of(m), patience))
        return false;
    m->is_held = 1;
    return true;
}

static bool lock_one(const struct heap_range *p)
{
    return lock_range(p, 50 * A_MILLISECOND);
}

static bool try_one(const struct heap_range *p)
{
    lock_range(p, A_MILLISECOND);
    return true;
}

/* Never waits for long with locks in hand: a visitor of one heap may want another. Who
 * gives up, after some tries, has a heap in the child that may be found in the middle of a
 * call: MEM_DAMAGED. */
static bool lock_all(bool give_up)
{
    if (registry_all_locked(give_up ? try_one : lock_one))
        return true;
    unlock_all();
    return false;
}

static bool free_in_child(const struct heap_range *p)
{
    mem_heap *m = lockable(p);
    if (m != NULL)
        m->is_held = 0;
    return true;
}

static void forked(void)
{
    session_forked();
    registry_all_locked(free_in_child);
}

void fork_register_handlers(void)
{
    registry_set_fork_handlers(lock_all, unlock_all, forked);
}
