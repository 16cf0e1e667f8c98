/* SPDX-License-Identifier: MIT
 *
 * fork.c - the locks of the registry and of all heaps, around a fork. Invariants: fork.h.
 *
 *     parent   locks: registry, heap 1, heap 2 ...  | fork | unlocks all
 *     child                                                | forgets readers and locks of heaps
 *
 * A child does nothing in a heap before its first call on it, neither now nor when it forks itself:
 * the memory may be shared with a process that uses the heap, or not be there at all
 * (MADV_DONTFORK). So what a process knows of the locks for its forks is in its own registry.
 *
 * Without it the child could have a heap in which a thread of the parent was at work, and that
 * thread does not exist in the child. Heaps that belong to one thread have no lock: another thread
 * that forks in the middle of their call leaves the child a heap that is half changed, and a
 * session finds `changes` odd there [SE3]. The heaps of malloc and Mem_Init have handlers of their
 * own.
 */
#include "heaps/fork.h"

#include <pthread.h>

#include "base/os.h"
#include "base/seqcount.h"
#include "heaps/header.h"
#include "heaps/readers.h"
#include "heaps/registry.h"
#include "heaps/session.h"

/* --- one heap ------------------------------------------------------------------- */

/* Returns the heap of a range if it has a lock that is this process's. NULL also if its memory was
 * the caller's and is in use for something else by now. */
static mem_heap *lockable(const struct heap_range *p)
{
    mem_heap *m = p->owner;
    if (m == NULL || p->lock == RANGE_INHERITED || !header_is_whole(m) || !header_has_lock(m))
        return NULL;
    return session_lock_is_ours(m) ? m : NULL;
}

/* Whether the lock that was not to be had is that of a walk, whose visitor may wait for the forking
 * thread; or perhaps the forking thread's own, if it forks in a visitor or in a signal handler. The
 * registry's lock guards it. */
static bool may_last;

/* The thread that holds the lock may be waiting for a processor; if it is this thread, there is
 * nothing to wait for. The time is a rough one (os_milliseconds). */
static bool lock_in_time(mem_heap *m, uint64_t milliseconds)
{
    struct os_clock clock = {0};
    uint64_t until = os_milliseconds(&clock) + milliseconds;
    for (unsigned n = 0; !lock_try(header_lock(m)); n++) {
        if (session_is_walking(m) || os_milliseconds(&clock) >= until)
            return false;
        os_pause(n);
    }
    return true;
}

/* Takes the lock of a range's heap, if this process has made one. Returns false, without the lock,
 * if it was not to be had in time. If another process made it, no thread of this one is in a call
 * on the heap, and one that begins a call waits (session.c: renew_lock). */
static bool lock_range(struct heap_range *p, uint64_t milliseconds)
{
    mem_heap *m = lockable(p);
    if (m == NULL)
        return true;
    bool locked = lock_in_time(m, milliseconds);
    if (locked)
        p->lock = RANGE_HELD;
    may_last = !locked && (NOW(m->walker) != NULL || mutator_depth > 1);
    return locked;
}

/* The next three are for registry_all_locked: false ends the round. */
static bool lock_patiently(struct heap_range *p)
{
    return lock_range(p, 40);
}

/* Locks a heap that no other call is in. A heap that stays unlocked does not end the round. */
static bool lock_if_free(struct heap_range *p)
{
    lock_range(p, 1);
    return true;
}

static bool unlock_range(struct heap_range *p)
{
    if (p->lock != RANGE_HELD)
        return true;
    mem_heap *m = lockable(p);
    if (m != NULL)
        lock_release(header_lock(m));
    p->lock = RANGE_IN_USE;
    return true;
}

/* The child's heap has a new lock when a call needs it (session_lock). */
static bool forget_range(struct heap_range *p)
{
    p->lock = RANGE_INHERITED;
    return true;
}

/* --- around a fork -------------------------------------------------------------- */

/* A thread that holds one of the locks may be waiting for another one of them: a visitor of one
 * heap may call for a second heap, and a guard page moves under the registry's lock. So this never
 * waits for long with locks in hand, but lets go of all and tries again.
 *
 * A call ends by itself, unless its lock was overwritten, but on a busy machine its thread may wait
 * long for a processor. A visitor of a walk may never end. So there is an end to the tries: after
 * 200 of them, of which a walk costs 40, it takes what is free. Then a heap may be in the middle of
 * a call in the child, which is MEM_DAMAGED. */
static void lock_all_before_fork(void)
{
    enum { TRIES = 200, A_WALK = 40 };
    for (unsigned n = 0, spent = 0;; n++) {
        registry_lock();
        session_fork_waits(true);
        if (registry_all_locked(spent >= TRIES ? lock_if_free : lock_patiently))
            return;
        spent += may_last ? A_WALK : 1;
        registry_all_locked(unlock_range);
        session_fork_waits(false);
        registry_unlock();
        os_pause(n);
    }
}

/* The parent goes on: its other threads get the locks that they wait for. */
static void unlock_all_in_parent(void)
{
    session_fork_waits(false);
    registry_all_locked(unlock_range);
    registry_unlock();
}

/* A lock that was taken in the parent is not released here, since the memory may be shared with the
 * parent. From session_forked on it is a parent's lock, and is made anew when it is needed. */
static void forget_all_in_child(void)
{
    readers_forked();
    session_forked();
    registry_all_locked(forget_range);
    registry_unlock();
}

static void register_handlers(void)
{
    /* Should this fail, a child of a threaded process may find something locked. */
    (void)os_at_fork(lock_all_before_fork, unlock_all_in_parent, forget_all_in_child);
}

void fork_register_handlers(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, register_handlers);
}
