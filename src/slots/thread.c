/* SPDX-License-Identifier: MIT
 *
 * thread.c - the list of the threads that may be readers of a heap, and the wait for all of them.
 * Invariants: thread.h, base/grace.h.
 */
#include "slots/thread.h"

/* While the calling thread is the only one, it waits for no other, and no other waits for it. */
bool threads_may_read(void)
{
    return thread_is_the_only() || grace_open();
}

/* The list changes only under the lock, and only the lock holder reads it. */
void threads_join_locked(struct threads *all, struct member *m, struct thread *t)
{
    assert(t != NULL && m != all->first);
    *m = (struct member){.thread = t, .self = os_thread_pointer(), .next = all->first};
    if (all->first != NULL)
        all->first->previous = m;
    all->first = m;
}

/* previous <--> m <--> next => previous <--> next */
void threads_leave_locked(struct threads *all, struct member *m)
{
    assert(all->first != NULL);
    assert(m->previous == NULL ? all->first == m : m->previous->next == m);
    assert(m->next == NULL || m->next->previous == m);
    if (m->previous != NULL)
        m->previous->next = m->next;
    else
        all->first = m->next;
    if (m->next != NULL)
        m->next->previous = m->previous;
}

/* Returns whether the calling thread is the only member, or there is none. Then no thread is a
 * reader: the lock holder is none [TH2], and a thread that is no member sees that it has no cache.
 * It becomes a member under the lock only; and one that was a member has left under the lock, or
 * was waited for when its cache was taken away. So no fence is needed. */
static bool are_no_others(const struct threads *all)
{
    const struct member *m = all->first;
    return m == NULL || (m->next == NULL && m->self == os_thread_pointer());
}

/* A signal handler may have interrupted the calling thread in a look. */
bool threads_are_no_readers_locked(const struct threads *all)
{
    return are_no_others(all) &&
           (all->first == NULL || grace_has_left(&all->first->thread->busy, 1));
}

/* Each member is waited for in turn. One that has left and entered again has seen what the lock
 * holder unpublished, so it is enough to see each of them idle once [GR1]. One barrier is enough
 * for all threads. */
bool threads_wait_locked(const struct threads *all)
{
    if (are_no_others(all))
        return threads_are_no_readers_locked(all);
    if (!grace_barrier())
        return false;
    for (const struct member *m = all->first; m != NULL; m = m->next)
        grace_wait(&m->thread->busy, 1);
    return true;
}
