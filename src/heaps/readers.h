/* SPDX-License-Identifier: MIT
 *
 * readers.h - lookups hold no lock; a thread that takes memory away waits until they have ended.
 *
 * A lookup (mem_find, mem_find_in) reads the table of heaps, and then headers, records and states
 * of one heap. Another thread may destroy that heap, or replace the table, at any moment. So each
 * lookup is a reader: from lookup_begin to lookup_end nothing that is in the table goes away.
 *
 *     reader    lookup_begin | reads the table, then a heap | lookup_end
 *     writer    takes the heap out of the table | readers_wait_locked | unmaps the heap
 *
 *   RD1  a reader marks its word as busy before it reads the table, and the wait is a grace period
 *        (base/grace.h): a lookup pays two plain stores, and the writer the barrier;
 *   RD2  a reader's word does not lie in thread-local memory, which goes when its thread ends, but
 *        is one of a few here that a thread keeps. The word of a thread that has ended, or that
 *        did not come along through fork, goes to the next thread that asks for one;
 *   RD3  a thread for which there is no word counts itself, with an atomic instruction. Under
 *        memcheck each does, so that the fast ways know nothing of memcheck [MC5];
 *   RD4  a lookup may interrupt another one of the same thread: it may be a signal handler's. The
 *        inner one restores the word as it found it.
 */
#ifndef READERS_H
#define READERS_H

#include "base/grace.h"
#include "base/seqcount.h"
#include "core/lookup.h"

/* The version of the table of heap ranges: a multiple of four and never 0, but odd while the
 * table changes. registry.c changes it under its lock. It is declared here because a reader
 * remembers what it found together with the version of the table at that time. */
extern uint32_t registry_version;

/* One thread's reader. Its word is the version of the table that `last` belongs to, or 0 if `last`
 * is empty; during a lookup it has READER_BUSY, too, or nothing else. No version has that bit. */
enum { READER_BUSY = 2 };
struct reader {
    _Alignas(64) uint32_t word;
    int thread; /* the system's number of the thread that has it; 0: it is unused */
    struct lookup_view last;
};
static_assert(sizeof(struct reader) == 64, "a cache line each: they are written all the time");

/* The calling thread's reader, or &reader_none, which all threads without one share. Its word is 0
 * or READER_BUSY, so never a version, and no thread waits for it. */
extern struct reader reader_none;
extern THREAD_LOCAL struct reader *reader_mine;

/* --- the writer ---------------------------------------------------------------- */

/* Waits until each lookup that began before the call has ended, except for lookups that the
 * calling thread was interrupted in. Returns false if that cannot be known, as the system refuses
 * the barrier: then the memory has to stay. Makes a system call if any other thread ever made a
 * lookup. The caller holds the registry's lock, so that one thread at a time waits. */
bool readers_wait_locked(void);

/* In the child of a fork: the calling thread is the only one. */
void readers_forked(void);

/* --- a call that may change a heap ---------------------------------------------- */

/* Each call that may be changing a heap, or the table, is between these two. A lookup in between
 * can only be a signal handler's: it may ask about just what it has interrupted, and so does not
 * wait until that has changed. */
extern THREAD_LOCAL uint32_t mutator_depth;

static inline void mutator_enter(void)
{
    __atomic_store_n(&mutator_depth, mutator_depth + 1, __ATOMIC_RELAXED);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static inline void mutator_leave(void)
{
    assert(mutator_depth > 0);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    __atomic_store_n(&mutator_depth, mutator_depth - 1, __ATOMIC_RELAXED);
}

/* --- a lookup ------------------------------------------------------------------- */

/* What has to be restored when a lookup ends. */
struct lookup_scope {
    struct reader *reader; /* NULL: the thread has counted itself [RD3] */
    uint32_t was, phase;   /* what the word was; in which of the two counts */
};

/* lookup_begin of a thread that has no reader yet: it may get one. lookup_end of a lookup that was
 * counted. */
struct lookup_scope lookup_begin_slow(void);
void lookup_end_slow(const struct lookup_scope *scope);

/* Begins a lookup, which may be within another one of the thread [RD4]. The caller ends it with
 * lookup_end before it waits for anything. */
static inline struct lookup_scope lookup_begin(void)
{
    struct reader *r = reader_mine;
    if (r == &reader_none)
        return lookup_begin_slow();
    struct lookup_scope scope = {.reader = r, .was = NOW(r->word)};
    grace_enter(&r->word, scope.was | READER_BUSY);
    return scope;
}

/* Ends a lookup of the thread's reader, whose word becomes again what it was, or what was noted. */
static inline void lookup_end_fast(struct reader *r, uint32_t was)
{
    assert(r == reader_mine && (NOW(r->word) & READER_BUSY) != 0);
    grace_leave(&r->word, was);
}

static inline void lookup_end(const struct lookup_scope *scope)
{
    if (scope->reader == NULL)
        lookup_end_slow(scope);
    else
        lookup_end_fast(scope->reader, scope->was);
}

/* Begins a lookup that may use r->last, what the thread's last lookup found; lookup_end_fast ends
 * it, with the *was that this stores. Returns false, and begins nothing, if the table has changed
 * since then. That is so, too, within another lookup, which may be writing r->last: its word is
 * busy, and no version is. The version is compared when the reader is busy, as only then the answer
 * stays true [RD1]. */
RACING static inline bool lookup_begin_fast(struct reader *r, uint32_t *was)
{
    *was = NOW(r->word);
    grace_enter(&r->word, READER_BUSY);
    bool current = *was == changes_seen(&registry_version);
    if (!current)
        grace_leave(&r->word, *was); /* other threads may share this one: reader_none */
    return current;
}

/* Keeps a view for the thread's next lookup; `version` is that of the table when the heap was
 * found, or 0 to keep none. Does nothing in a lookup within another [RD4]. */
RACING static inline void lookup_note(struct lookup_scope *scope, const struct lookup_view *spans,
                                      uint32_t version)
{
    assert(version % 4 == 0);
    assert(scope->reader == NULL || scope->reader == reader_mine);
    if (scope->reader == NULL || (scope->was & READER_BUSY) != 0)
        return;
    scope->was = 0;
    if (version == 0)
        return;
    scope->reader->last = *spans;
    scope->was = version;
}

/* What a lookup asked about was being changed, for the n-th time in a row. Waits a little, some
 * milliseconds over all n. Returns false if the lookup is to give up. */
bool lookup_pause(unsigned n);

#endif
