/* SPDX-License-Identifier: MIT
 *
 * thread.c - the list of the threads that may be readers of a heap, and the wait for all of them.
 * Invariants: thread.h, base/grace.h.
 */
#include "slots/thread.h"

#include "base/os.h"

/* Registers the process with the system, if it has to be. */
bool threads_open(void)
{
    return grace_open();
}

/* The list changes only under the lock, and only the lock holder reads it. */
void threads_join_locked(struct threads *all, struct member *m, struct thread *t)
{
    assert(t != NULL && m != all->first);
    *m = (struct member){.thread = t, .id = os_thread_id(), .next = all->first};
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

/* Each member is waited for in turn. One that has left and entered again has seen what the lock
 * holder unpublished, so it is enough to see each of them idle once [GR1].
 *
 * One barrier is enough for all threads. If the system refuses it by now, a thread that is the
 * only one of the heap still knows that no other is a reader. */
bool threads_wait_locked(const struct threads *all)
{
    if (all->first == NULL)
        return true;
    if (!grace_barrier())
        return all->first->next == NULL && all->first->id == os_thread_id();
    for (const struct member *m = all->first; m != NULL; m = m->next)
        grace_wait(&m->thread->busy, 1);
    return true;
}
