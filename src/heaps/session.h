/* SPDX-License-Identifier: MIT
 *
 * visit.h - a call at work in a heap of the caller's own, and how its results are told.
 *
 *     header_verify    is there a heap?  its lock; its numbers        odd changes
 *     enter  ->  look, in v.h; or  change  ->  the work  ->  leave: the numbers, even changes, the lock
 *
 *   SE1  nothing is done by what the header says before its sum was looked at [HD4];
 *   SE2  who visits a heap has its lock, if it has one, and is known to who looks at
 *       addresses in this thread meanwhile (mutator_enter);
 *   SE3  `changes` is odd while, and only while, somebody changes more of the heap than the state
 *       of a slot: a child of fork that finds it odd knows that nobody will finish that.
 */
#ifndef VISIT_H
#define VISIT_H

#include <pthread.h>

#include "heaps/foreign.h"
#include "heaps/header.h"

/* --- results --------------------------------------------------------------------- */

extern _Thread_local enum mem_result result_last_error __attribute__((tls_model("initial-exec")));

static inline enum mem_result result_set(enum mem_result result)
{
    if (result != MEM_OK)
        result_last_error = result;
    return result;
}

static inline void *result_null(enum mem_result why)
{
    result_set(why);
    return NULL;
}

/* What heap.c says is to callers. */
enum mem_result result_of_heap(enum heap_result result);

/* --- the lock -------------------------------------------------------------------- */

static inline pthread_mutex_t *lock_of(const mem_heap *m)
{
    return header_part(m, m->lock);
}

/* How many forks a process is away from the first is noted with each lock that it makes. One
 * that threads of the parent had held would be held for ever: it is made anew by who needs
 * it first, and not by the fork, as the memory may be shared with the parent. */
void session_make_lock(mem_heap *m);
bool session_lock_is_of_parent(const mem_heap *m);

/* What pthread_mutex_lock returns: EDEADLK, the caller has it. */
int session_lock(mem_heap *m);
void session_forked(void);

/* --- going in and out ------------------------------------------------------------ */

/* A call at work in a heap. */
struct session {
    mem_heap *m;
    struct heap *h; /* of part 0 at first */
    bool changes;
    struct heap view; /* where no struct heap is in memory */
};

/* Nothing else of it may be read before. */
static inline enum mem_result header_verify(const mem_heap *m)
{
    if (m == NULL || (uintptr_t)m % HEAP_ALIGN != 0 || !header_is_here(m))
        return foreign_heap(m) == NULL ? MEM_NO_HEAP : MEM_FOREIGN;
    return header_is_whole(m) ? MEM_OK : MEM_DAMAGED;
}

/* MEM_NO_HEAP, MEM_DAMAGED, MEM_BUSY: has not entered. To be left again. */
enum mem_result session_open(mem_heap *m, struct session *v);
void session_close(const struct session *v);

/* From now on the visitor may change the heap. */
static inline void session_begin_change(struct session *v)
{
    v->changes = true;
    change_begin(&v->m->changes);
}

/* Goes to a part: false, there is none. To be looked at; or to take from. */
static inline bool session_part(struct session *v, size_t part)
{
    if (part > 0 && part >= header_nparts(v->m))
        return false;
    if (v->m->nbytes > PART_BYTES)
        v->h = header_heap(v->m, part, &v->view);
    return true;
}

static inline bool session_open_part(struct session *v, size_t part)
{
    if (part > 0 && part >= header_nparts(v->m))
        return false;
    if (v->m->nbytes > PART_BYTES)
        v->h = header_open(v->m, part);
    return true;
}

/* To the part that the address is in; of one outside, to any. */
static inline void session_select(struct session *v, const void *address)
{
    if (v->m->nbytes > PART_BYTES)
        session_part(v, header_part_of(v->m, address));
}

/* Under the lock, before anything is done by them: NULL, or what is wrong with the numbers
 * in the header. A count of changes that is odd now was not made so by a call. */
const char *session_numbers_fault(const struct session *v);

#endif
