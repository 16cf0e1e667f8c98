/* SPDX-License-Identifier: MIT
 *
 * readers.c - which threads are in a lookup, and the wait until these lookups have ended.
 * Invariants: readers.h.
 *
 *     first lookup of a thread    it claims a reader that is unused, or whose thread has ended
 *     later lookups               two stores to the reader's word
 *     no reader to be had         the lookup counts itself; the thread tries again after a while
 *
 * There are 20 readers, as many as threads that look up addresses all the time are likely to be; to
 * wait is to look at each of them. A thread never gives its reader back, for it would have to know
 * when it ends: thread-local memory and its destructors may be gone before its last lookup. Instead
 * the next thread that needs one asks the system which threads are still there.
 */
#include "heaps/readers.h"

#include "base/memcheck.h"
#include "base/os.h"

enum { NREADERS = 20 };

static _Alignas(64) struct reader readers[NREADERS];

/* The lookups of threads that have no reader: how many there are in each of two phases [RD3]. A new
 * one is counted in counted[phase % 2]. */
static uint32_t counted[2], phase;
struct reader reader_none;
THREAD_LOCAL struct reader *reader_mine = &reader_none;
THREAD_LOCAL uint32_t mutator_depth;

/* --- the writer ---------------------------------------------------------------- */

/* A thread may have ended within a lookup, for example by a signal handler that calls pthread_exit.
 * Then its word would stay busy for ever, so that this is no plain grace_wait: every now and then
 * it asks the system whether the thread is still there. */
static void wait_for_reader(struct reader *r)
{
    enum { SOMETIMES = 64 };
    assert(r != reader_mine);
    for (unsigned n = 0; !grace_has_left(&r->word, READER_BUSY); n++) {
        os_pause(n);
        if (n % SOMETIMES == SOMETIMES - 1 && os_thread_is_gone(NOW(r->thread)))
            __atomic_store_n(&r->word, 0, __ATOMIC_RELAXED);
    }
}

/* New lookups are counted in the other phase, so that the count of this one goes down to 0 however
 * many begin meanwhile. Each wait leaves `phase` even, but a thread that read it during a wait has
 * read an odd number, and may count itself much later: so lookups may be in either count, and both
 * are waited for. A thread that counts itself after its count was seen to be 0 reads the table only
 * then, and sees that the heap is gone. */
static void wait_for_counted_locked(void)
{
    for (int i = 0; i < 2; i++) {
        uint32_t was = __atomic_fetch_add(&phase, 1, __ATOMIC_SEQ_CST) % 2;
        for (unsigned n = 0; __atomic_load_n(&counted[was], __ATOMIC_SEQ_CST) != 0; n++)
            os_pause(n);
    }
}

/* The calling thread's own reader is left out: a lookup that this call has interrupted would wait
 * for itself. The fence orders the caller's change of the table before the loads of `thread`: a
 * thread whose claim (claim_reader) is not seen here sees the change in turn. So a process in which
 * no other thread has made a lookup pays for no barrier. */
bool readers_wait_locked(void)
{
    bool are_others = false;
    assert(mutator_depth > 0); /* the registry's lock is held */
    if (!UNDER_TSAN)
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
    for (int i = 0; i < NREADERS; i++)
        are_others |= &readers[i] != reader_mine &&
                      __atomic_load_n(&readers[i].thread, __ATOMIC_SEQ_CST) != 0;
    if (are_others && !grace_barrier())
        return false;
    for (int i = 0; are_others && i < NREADERS; i++)
        if (&readers[i] != reader_mine)
            wait_for_reader(&readers[i]);
    wait_for_counted_locked();
    return true;
}

/* The other threads did not come along, and their lookups will not end here. The system knows the
 * forking thread by another number in the child. */
void readers_forked(void)
{
    assert(mutator_depth > 0);
    assert(reader_mine == &reader_none || reader_mine->thread != 0);
    for (int i = 0; i < NREADERS; i++)
        if (&readers[i] != reader_mine)
            readers[i] = (struct reader){0};
    if (reader_mine != &reader_none)
        reader_mine->thread = os_thread_id();
    counted[0] = counted[1] = 0;
}

/* --- a thread's reader ---------------------------------------------------------- */

/* Makes a reader the calling thread's if it still belongs to the thread `was`. The word is stored
 * and fenced before the first lookup: see readers_wait_locked. Returns false if another thread was
 * faster. */
RACING static bool claim_reader(struct reader *r, int was, int id)
{
    assert(id != 0 && reader_mine == &reader_none);
    if (NOW(r->thread) != was || !__atomic_compare_exchange_n(&r->thread, &was, id, false,
                                                              __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        return false;
    __atomic_store_n(&r->word, 0, __ATOMIC_RELAXED);
    if (!UNDER_TSAN)
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
    reader_mine = r;
    return true;
}

/* Takes a reader that no thread has, else one whose thread has ended. */
static bool get_reader(void)
{
    int id = os_thread_id();
    for (int i = 0; i < NREADERS; i++)
        if (claim_reader(&readers[i], 0, id))
            return true;
    for (int i = 0; i < NREADERS; i++) {
        int thread = NOW(readers[i].thread);
        if (os_thread_is_gone(thread) && claim_reader(&readers[i], thread, id))
            return true;
    }
    return false;
}

/* Opens the barrier, and returns whether the thread should look for a reader now. It does not
 * each time, as to look at all of them is slow. Without a barrier every lookup is counted. */
static bool prepare_readers(void)
{
    static THREAD_LOCAL uint32_t ntries;
    enum { SELDOM = 1024 };
    return !memcheck_is_there && ntries++ % SELDOM == 0 && grace_open();
}

/* --- a lookup ------------------------------------------------------------------- */

/* A thread gets its reader at its first lookup, and keeps it. The count needs no barrier of the
 * writer's: it is an atomic instruction, and thus a fence of its own. */
struct lookup_scope lookup_begin_slow(void)
{
    assert((NOW(reader_none.word) & ~(uint32_t)READER_BUSY) == 0); /* other threads change it */
    if (prepare_readers() && get_reader())
        return lookup_begin();
    struct lookup_scope scope = {.phase = __atomic_load_n(&phase, __ATOMIC_SEQ_CST) % 2};
    __atomic_fetch_add(&counted[scope.phase], 1, __ATOMIC_SEQ_CST);
    if (!UNDER_TSAN)
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (memcheck_is_there)
        memcheck_quiet(true);
    return scope;
}

void lookup_end_slow(const struct lookup_scope *scope)
{
    assert(scope->reader == NULL && scope->phase < 2);
    assert(__atomic_load_n(&counted[scope->phase], __ATOMIC_RELAXED) > 0);
    if (memcheck_is_there)
        memcheck_quiet(false);
    __atomic_fetch_sub(&counted[scope->phase], 1, __ATOMIC_RELEASE);
}

/* At first it does not wait: most changes take less time than a system call. A mutator gives up at
 * once after that: what it waits for may be its own change, which a signal has interrupted. */
bool lookup_pause(unsigned n)
{
    enum { AT_ONCE = 100, TRIES = 300 };
    if (n < AT_ONCE)
        return true;
    if (n == TRIES || mutator_depth > 0)
        return false;
    os_pause(n - AT_ONCE);
    return true;
}
