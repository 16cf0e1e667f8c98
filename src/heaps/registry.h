/* SPDX-License-Identifier: MIT
 *
 * registry.h - which heap an address lies in, told without a lock.
 *
 *     place[0]      place[1]              place[n-1]       sorted by where they begin
 *     [ heap ]      [ heap [heap in an object of it] ]     up: back to the one around
 *
 * Whoever asks may be a signal handler, which has interrupted anything, and the heap
 * may be destroyed by another thread meanwhile. So:
 *
 *   RG1  the table is read under a count of changes, and its own length lies in it: who
 *       reads while it changes reads places that are or were, and then again;
 *   RG2  a heap leaves the table first; its memory goes after each reader was seen not to
 *       be `busy`. A reader says so before it looks, as the threads of a heap do
 *       (thread.h), and pays two stores: who destroys pays for the barrier;
 *   RG3  a reader's word is not in thread-local memory, which goes with its thread, but one
 *       of a few here that a thread keeps. The word of a thread that has ended, or did not
 *       come along through fork, goes to the next who wants one;
 *   RG4  threads for which there is none count themselves, with an atomic instruction;
 *   RG5  nothing here lies in a heap: what is written over one misleads no lookup of others.
 */
#ifndef REGISTRY_H
#define REGISTRY_H

#include "base/seqcount.h"
#include "base/base.h"

struct heap;
struct span;

struct heap_range {
    uintptr_t base;
    size_t nbytes;
    void *owner;             /* what heaps of one's own are known by; NULL: none of these */
    const struct heap *heap; /* NULL: it is too small to have one */
    uint32_t up;             /* how many places back is the one around it? 0: there is none */
    uint32_t version;        /* of the table, when it was found; 0: it is not to be noted */
};

/* A thread's word; and what it found the last time in a heap with spans (peek.h), where
 * that has no other heap in an object of it. The word is the version of the table that `last`
 * is of, or 0, there is none; and READER_BUSY while the thread does. Versions are multiples of
 * four, and odd while the table changes, so that no word with that bit is a version. */
enum { READER_BUSY = 2 };
struct reader {
    _Alignas(64) uint32_t word;
    int thread; /* 0: it is nobody's */
    struct slot_view {
        uint32_t mask, shift, seen;
        const uint32_t *changes;
        uintptr_t base;
        size_t nbytes;
        const struct span *pagemap;
        void *owner;
    } last;
};
static_assert(sizeof(struct reader) == 64, "a cache line each: they are written all the time");

/* The calling thread's; reader_none: none yet. That one's word is 0 for ever, and no version. */
extern struct reader reader_none;
extern __thread struct reader *reader_mine __attribute__((tls_model("initial-exec")));
extern uint32_t registry_version;

/* The places that a new one covers, wholly or in part, are none any more: that memory
 * is the new one's. False: it would not fit into the table, and the system gives no
 * memory for a larger one. Only for that is there a system call. */
bool registry_add(const struct heap_range *p);

/* Waits until nobody looks at what is at `base`. False: that cannot be known, and the
 * memory has to stay. A system call, if another thread has ever asked. */
bool registry_remove(const void *base);

/* Waits until all who look now have finished. False: that cannot be known. */
bool readers_wait_for_all(void);

/* Is the memory at `base` that of a heap? */
bool registry_has(const void *base);

void registry_lock(void);
void registry_unlock(void);

/* Each in turn, until one returns false: was that so? */
bool registry_all_locked(bool (*visit)(const struct heap_range *p));

/* Around each fork from now on: `lock_all` is called with the table locked, and, as long as it
 * returns false, again; the last time it has to give up. Then `unlock_all` in the parent, and
 * `forked` in the child. */
void registry_set_fork_handlers(bool (*lock_all)(bool give_up), void (*unlock_all)(void),
                                void (*forked)(void));

/* --- looking ------------------------------------------------------------------- */

/* A call that may be changing a heap, or the table. Who asks within one, as a signal
 * handler, may be asking about just what it has interrupted, and need not wait. */
extern __thread uint32_t mutator_depth __attribute__((tls_model("initial-exec")));

static inline void mutator_enter(void)
{
    __atomic_store_n(&mutator_depth, mutator_depth + 1, __ATOMIC_RELAXED);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static inline void mutator_leave(void)
{
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    __atomic_store_n(&mutator_depth, mutator_depth - 1, __ATOMIC_RELAXED);
}

/* For the n-th time in a row what is asked about was changing: waits a little, all in all
 * some milliseconds. False: that is enough. */
bool lookup_pause(unsigned n);

/* A look: from begin to end no memory goes that is in the table. It may be within
 * another of the same thread, which a signal interrupted. */
struct lookup_scope {
    struct reader *reader; /* NULL: it is counted */
    uint32_t was, phase;   /* what the word becomes again; RG4 */
};
struct lookup_scope lookup_begin_slow(void);
void lookup_end_slow(const struct lookup_scope *scope);

static inline void reader_mark(struct reader *r, uint32_t was)
{
    __atomic_store_n(&r->word, was | READER_BUSY, __ATOMIC_RELAXED);
    __atomic_signal_fence(__ATOMIC_SEQ_CST); /* the compiler must keep the order [RG2] */
}

static inline struct lookup_scope lookup_begin(void)
{
    struct reader *r = reader_mine;
    if (r == &reader_none)
        return lookup_begin_slow();
    struct lookup_scope scope = {.reader = r, .was = NOW(r->word)};
    reader_mark(r, scope.was);
    return scope;
}

static inline void lookup_end(const struct lookup_scope *scope)
{
    if (scope->reader == NULL)
        lookup_end_slow(scope);
    else
        __atomic_store_n(&scope->reader->word, scope->was, __ATOMIC_RELEASE);
}

static inline void lookup_end_fast(struct reader *r, uint32_t was)
{
    __atomic_store_n(&r->word, was, __ATOMIC_RELEASE);
}

/* A look by the thread's reader, if what it found the last time is still so: to be ended by
 * lookup_end_fast with what *was is then. False: no look has begun. Never within another
 * look, which may be writing `last`. Before a reader is busy what is so may soon be not; the
 * first question is only there so that nobody writes to reader_none. */
RACING static inline bool lookup_begin_fast(struct reader *r, uint32_t *was)
{
    *was = NOW(r->word);
    if (*was != changes_seen(&registry_version))
        return false;
    reader_mark(r, *was);
    bool current = *was == changes_seen(&registry_version); /* [RG2] */
    if (!current)
        lookup_end_fast(r, *was);
    return current;
}

/* Notes them for the next time; `version` is that of the table when they were looked for,
 * or 0. */
RACING static inline void lookup_note(struct lookup_scope *scope, const struct slot_view *spans,
                                      uint32_t version)
{
    if (scope->reader == NULL || (scope->was & READER_BUSY) != 0)
        return;
    scope->was = 0;
    if (version == 0)
        return;
    scope->reader->last = *spans;
    scope->was = version;
}

/* The innermost place that the address is in. BUSY: the table has been changing all the
 * time, perhaps by the thread that a signal has interrupted. */
enum registry_result { REGISTRY_FOUND, REGISTRY_NONE, REGISTRY_BUSY };
enum registry_result registry_find(uintptr_t address, struct heap_range *p);

/* The one around that. */
enum registry_result registry_find_around(const struct heap_range *inner, struct heap_range *p);

#endif
