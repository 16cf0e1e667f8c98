/* SPDX-License-Identifier: MIT */
#include "slots/thread.h"

#include "base/os.h"

bool threads_open(void)
{
    return grace_open();
}

void threads_join_locked(struct threads *all, struct member *m, struct thread *t)
{
    *m = (struct member){.thread = t, .id = os_thread_id(), .next = all->first};
    if (all->first != NULL)
        all->first->previous = m;
    all->first = m;
}

void threads_leave_locked(struct threads *all, struct member *m)
{
    if (m->previous != NULL)
        m->previous->next = m->next;
    else
        all->first = m->next;
    if (m->next != NULL)
        m->next->previous = m->previous;
}

bool threads_wait_locked(const struct threads *all)
{
    if (all->first == NULL)
        return true;
    if (!grace_barrier()) /* refused by now: a thread that is alone needs none */
        return all->first->next == NULL && all->first->id == os_thread_id();
    for (const struct member *m = all->first; m != NULL; m = m->next)
        grace_wait(&m->thread->busy, 1);
    return true;
}
