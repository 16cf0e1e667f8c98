/* SPDX-License-Identifier: MIT
 *
 * session.h - one call at work in a heap of the caller's own.
 *
 *     session_verify   is there a heap, and is its header whole
 *     session_open     verifies the header, takes the lock, verifies the numbers
 *     session_begin_change      `changes` is odd from here
 *       the work
 *     session_close    writes the numbers back, makes `changes` even, releases the lock
 *
 *   SE1  nothing is done by what the header says before its checksum was verified [HD4];
 *   SE2  in a session the thread holds the heap's lock, if it has one, and counts as a mutator, so
 *        that a lookup in a signal handler does not wait for it (readers.h);
 *   SE3  `changes` is odd while, and only while, a thread changes more of the heap than the state
 *        of a slot. A child of fork that finds it odd knows that no thread will finish that change.
 */
#ifndef SESSION_H
#define SESSION_H

#include "base/seqcount.h"
#include "heaps/foreign.h"
#include "heaps/header.h"
#include "heaps/parts.h"
#include "heaps/result.h"

/* --- the lock -------------------------------------------------------------------- */

/* Makes the lock of a heap that has one, and notes in the header how many forks this process is
 * away from the first one. A lock that was made in a parent may be held there by a thread that the
 * child does not have. So the child makes it anew, not at the fork, as the memory may be shared
 * with the parent, but when a call needs it first. */
void session_make_lock(mem_heap *m);

/* Returns whether this process made the lock. Otherwise a parent did; or a child, if it shares the
 * memory. */
bool session_lock_is_ours(const mem_heap *m);

/* Takes the lock of a heap that has one. Returns false, without the lock, if the calling thread is
 * walking the heap: a visitor of mem_walk makes the call, and would wait for itself. */
bool session_lock(mem_heap *m);

/* Returns whether the calling thread is walking the heap, which has a lock. It has entered as a
 * mutator beside the walk. */
bool session_is_walking(const mem_heap *m);

/* In the child of a fork: all locks are a parent's. */
void session_forked(void);

/* While a fork waits, a thread that wants a heap's lock first waits for the registry's, which the
 * forking thread holds. The caller holds the registry's lock. */
void session_fork_waits(bool waits);

/* --- opening and closing ----------------------------------------------------------- */

struct session {
    mem_heap *m;
    struct heap *h;   /* of part 0 at first; the other calls of this header choose another part */
    bool changes;     /* whether session_begin_change was called */
    struct heap view; /* where h is if none is in memory, or the part is not open */
};

/* MEM_OK if there is a header with whole constants; MEM_NO_HEAP, MEM_FOREIGN or MEM_DAMAGED
 * otherwise. Notes no error. Before it, nothing of a heap may be read except its address. */
static inline enum mem_result session_verify(const mem_heap *m)
{
    if (m == NULL || (uintptr_t)m % HEAP_ALIGN != 0 || !header_is_here(m))
        return foreign_heap(m) == NULL ? MEM_NO_HEAP : MEM_FOREIGN;
    return header_is_whole(m) ? MEM_OK : MEM_DAMAGED;
}

/* Begins a session; the caller closes it. Fails, with nothing to be closed and the error noted,
 * with what session_verify says; with MEM_BUSY if the calling thread is walking the heap; with
 * MEM_DAMAGED if the numbers are not whole. */
enum mem_result session_open(mem_heap *m, struct session *v);
void session_close(const struct session *v);

/* From here to session_close the call may change the heap. */
static inline void session_begin_change(struct session *v)
{
    assert(!v->changes && v->m->changes % 2 == 0);
    v->changes = true;
    change_begin(&v->m->changes);
}

/* Returns NULL, or in words what is wrong with the numbers in the header. Odd `changes` are wrong,
 * too: they were not made so by a call that is at work. The caller holds the lock, and has not
 * begun a change. */
const char *session_numbers_fault(const struct session *v);

/* --- parts --------------------------------------------------------------------------- */

/* Goes to a part: to read it, or to change it, if it is open. Returns false if the heap has no such
 * part. */
static inline bool session_part(struct session *v, size_t part)
{
    if (part > 0 && part >= parts_count(v->m))
        return false;
    if (header_has_parts(v->m))
        v->h = parts_heap(v->m, part, &v->view);
    return true;
}

/* Goes to the part that the address is in; of an address outside the heap, to any. */
static inline void session_select(struct session *v, const void *address)
{
    if (header_has_parts(v->m))
        session_part(v, parts_index(v->m, address));
}

#endif
