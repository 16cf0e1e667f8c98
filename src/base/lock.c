/* SPDX-License-Identifier: MIT
 *
 * lock.c - a thread waits for a lock; and helgrind learns of it. Invariants: lock.h.
 */
#include "base/lock.h"

#include "base/os.h"

#ifdef WITH_HELGRIND
#include <valgrind/helgrind.h>

bool lock_is_watched;

/* Only helgrind says of the byte that it can be read, and neither the processor nor another tool of
 * valgrind. What threads do with a lock before this constructor runs is not told. */
__attribute__((constructor)) static void ask_helgrind(void)
{
    lock_is_watched = VALGRIND_DO_CLIENT_REQUEST_EXPR(0, _VG_USERREQ__HG_GET_ABITS,
                                                      &lock_is_watched, NULL, 1, 0, 0) == 1;
}

void lock_tell_taken(struct lock *l)
{
    VALGRIND_HG_MUTEX_LOCK_POST(l);
}

static void tell_release(struct lock *l)
{
    VALGRIND_HG_MUTEX_UNLOCK_PRE(l);
}
#else
void lock_tell_taken(struct lock *l)
{
    (void)l;
}

static void tell_release(struct lock *l)
{
    (void)l;
}
#endif

void lock_tell_and_release(struct lock *l)
{
    tell_release(l);
    if (__atomic_exchange_n(&l->state, LOCK_FREE, __ATOMIC_RELEASE) == LOCK_WAITED_FOR)
        lock_wake(l);
}

/* Tells the processor that it is waiting: it may save power, or run another thread meanwhile. */
static void relax(void)
{
#if defined(__x86_64__)
    __asm__ volatile("pause");
#elif defined(__aarch64__)
    __asm__ volatile("isb");
#endif
}

/* Most calls hold a lock for less time than it takes to fall asleep and to be woken. So the thread
 * looks again a few times before it sleeps. It pauses twice as long before each look: threads that
 * look all the time take the lock's cache line away from the thread that holds it. */
__attribute__((noinline, cold)) void lock_wait(struct lock *l)
{
    enum { LONGEST = 64 };
    for (unsigned npauses = 1; npauses <= LONGEST; npauses *= 2) {
        for (unsigned i = 0; i < npauses; i++)
            relax();
        if (!lock_is_taken(l) && lock_try(l))
            return;
    }
    while (__atomic_exchange_n(&l->state, LOCK_WAITED_FOR, __ATOMIC_ACQUIRE) != LOCK_FREE)
        os_wait(&l->state, LOCK_WAITED_FOR);
    if (lock_is_watched)
        lock_tell_taken(l);
}

__attribute__((noinline, cold)) void lock_wake(struct lock *l)
{
    os_wake(&l->state);
}
