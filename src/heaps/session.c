/* SPDX-License-Identifier: MIT
 *
 * session.c - the lock of a heap, and how a call begins and ends its work. Invariants: session.h.
 *
 *     heap with a lock       other threads wait; the same thread, in a visitor, gets MEM_BUSY
 *     heap without a lock    its thread promises to be alone; a visitor's call finds a walker
 *
 * The lock lies in the header, and the header may lie in memory that is shared with the parent of a
 * fork, or was written to a file. So a lock is believed only by the process that made it: `process`
 * in the header says which one that was, as a number of forks.
 */
#include "heaps/session.h"

#include "base/os.h"
#include "base/seqcount.h"
#include "heaps/readers.h"
#include "heaps/registry.h"
#include "heaps/stored.h"
#include "ledger/ledger.h"

/* --- the lock -------------------------------------------------------------------- */

/* How many forks this process is away from the first one, modulo FORK_WAITS. So no parent and no
 * child has this number, but a sibling has: fork.c does not rely on it alone. FORK_WAITS is added
 * while a thread is about to fork. Then the number is that of no lock, so that a thread that wants
 * a lock takes the slow way, in which it lets the fork pass. The fast way pays nothing for it. */
enum { FORK_WAITS = 1 << 30 };
static uint32_t process_number;

/* Without the bit which says that a fork waits. */
static uint32_t number_of_process(void)
{
    return NOW(process_number) & (FORK_WAITS - 1);
}

void session_fork_waits(bool waits)
{
    assert(mutator_depth > 0); /* fork.c holds the registry's lock */
    uint32_t number = number_of_process() | (waits ? FORK_WAITS : 0);
    __atomic_store_n(&process_number, number, __ATOMIC_RELAXED);
}

void session_forked(void)
{
    assert(mutator_depth > 0); /* fork.c holds the registry's lock */
    process_number = (number_of_process() + 1) & (FORK_WAITS - 1);
}

void session_make_lock(mem_heap *m)
{
    assert(header_has_lock(m));
    *header_lock(m) = (struct lock){0};
    m->walker = NULL;
    __atomic_store_n(&m->process, number_of_process(), __ATOMIC_RELEASE);
}

bool session_lock_is_ours(const mem_heap *m)
{
    return __atomic_load_n(&m->process, __ATOMIC_ACQUIRE) == number_of_process();
}

/* The lock is another process's, or a thread is about to fork.
 *
 * Two threads of the child may find the lock to be a parent's at the same time: the registry's lock
 * lets one of them make it anew. From then on the forks of this process wait for the heap.
 *
 * A thread that is about to fork holds the registry's lock until it has forked: so each heap's lock
 * is soon free for it, once the calls at work have ended, however busy the heaps are. A thread that
 * is at work in another heap does not wait here, since the fork waits for that heap's lock. */
__attribute__((noinline, cold)) static void renew_lock(mem_heap *m)
{
    if (mutator_depth > 1 && session_lock_is_ours(m))
        return;
    registry_lock();
    if (!session_lock_is_ours(m)) {
        struct heap_range *p = registry_at_locked(m);
        session_make_lock(m);
        if (p != NULL)
            p->lock = RANGE_IN_USE;
    }
    registry_unlock();
}

/* The lock does not know which thread holds it [LO3], but the header knows which one walks the
 * heap. In the child of a fork that may be a thread which only the parent has, and a new thread may
 * get its address. But that thread is not in a session beside the call that it makes. */
bool session_is_walking(const mem_heap *m)
{
    return NOW(m->walker) == os_thread_pointer() && mutator_depth > 1;
}

__attribute__((noinline, cold)) static bool lock_slowly(mem_heap *m)
{
    if (session_is_walking(m))
        return false;
    if (__atomic_load_n(&m->process, __ATOMIC_ACQUIRE) != NOW(process_number))
        renew_lock(m);
    lock_take(header_lock(m));
    return true;
}

/* One load and a compare more than the lock takes, in a process that was never forked. */
bool session_lock(mem_heap *m)
{
    assert(header_has_lock(m) && mutator_depth > 0); /* SE2 */
    uint32_t process = __atomic_load_n(&m->process, __ATOMIC_ACQUIRE);
    return (process == NOW(process_number) && lock_try(header_lock(m))) || lock_slowly(m);
}

/* --- opening and closing ----------------------------------------------------------- */

/* The order matters to a process that is forked, or dies, in between: the numbers are in the header
 * before their checksum is, and `changes` is even only when both are. */
void session_close(const struct session *v)
{
    mem_heap *m = v->m;
    assert(mutator_depth > 0);
    assert(!v->changes || m->changes % 2 == 1); /* SE3 */
    if (v->changes && !m->has_spans)
        stored_save(m, v->h);
    if (v->changes) {
        header_sum_numbers(m);
        change_end(&m->changes);
    }
    if (header_has_lock(m))
        lock_release(header_lock(m));
    mutator_leave();
}

/* The ledger's numbers are checked beside the checksums, since a heap with spans has none for
 * them. */
const char *session_numbers_fault(const struct session *v)
{
    if (!header_numbers_are_whole(v->m) || v->m->changes % 2 != 0)
        return "the numbers in the header have been written to";
    if (v->m->extras != 0 && !header_extras_are_whole(v->m))
        return "the limit or the callbacks have been written to";
    if (v->h->chunks.ledger.b.end != header_end_of_part(v->m))
        return "the place of the ledger has been written to";
    return ledger_is_sane(&v->h->chunks.ledger) ? NULL : "the numbers of the ledger cannot be";
}

/* The header is verified without the lock, since where the lock is stands in it. Its constants do
 * not change while the heap exists. A heap that was destroyed by another thread meanwhile is that
 * caller's mistake. */
enum mem_result session_open(mem_heap *m, struct session *v)
{
    enum mem_result result = session_verify(m);
    if (result != MEM_OK)
        return result_set(result);
    mutator_enter();
    bool busy = header_has_lock(m) ? !session_lock(m) : m->walker != NULL;
    if (busy) {
        mutator_leave();
        return result_set(MEM_BUSY);
    }
    v->m = m;
    v->changes = false;
    v->h = m->has_spans ? header_at(m, m->state) : &v->view;
    if (!m->has_spans)
        stored_load(m, v->h);
    if (session_numbers_fault(v) != NULL) {
        session_close(v);
        return result_set(MEM_DAMAGED);
    }
    return MEM_OK;
}
