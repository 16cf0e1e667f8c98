/* SPDX-License-Identifier: MIT */
#include "heaps/session.h"

#include <errno.h>

#include "heaps/readers.h"
#include "heaps/registry.h"

_Thread_local enum mem_result result_last_error;

MEM_API enum mem_result mem_last_error(void)
{
    return result_last_error;
}

MEM_API const char *mem_strerror(enum mem_result result)
{
    static const char *const text[] = {
        [MEM_OK] = "no error",
        [MEM_NO_HEAP] = "there is no heap at that address",
        [MEM_BUSY] = "the heap is being walked by the caller, is changing, or is attached already",
        [MEM_BAD_SIZE] = "too small for a heap",
        [MEM_BAD_BUFFER] = "the buffer is NULL or no multiple of 16",
        [MEM_BAD_OPTIONS] = "an option that does not exist, or not there",
        [MEM_BAD_ALIGNMENT] = "the alignment is no power of two",
        [MEM_BAD_STYLE] = "no placement style, or not with this alignment",
        [MEM_TOO_LARGE] = "larger than there can be",
        [MEM_NO_MEMORY] = "the system refuses the mapping",
        [MEM_NO_SPACE] = "no free chunk can hold the object",
        [MEM_OVER_LIMIT] = "it would be more than the limit of the heap",
        [MEM_NOT_OURS] = "the address is outside the heap",
        [MEM_NO_OBJECT] = "the address is in the heap, but in no object",
        [MEM_FREE] = "the address is in free memory",
        [MEM_INSIDE] = "the address is inside an object, but not its start",
        [MEM_BAD_VERSION] = "another version of the library has made the heap",
        [MEM_DAMAGED] = "the heap's own data have been written to",
        [MEM_FOREIGN] = "the heap is malloc's or Mem_Init's, and this call is not for it",
    };
    size_t n = sizeof text / sizeof text[0];
    return (size_t)result < n ? text[result] : "no result of a heap";
}

enum mem_result result_of_heap(enum heap_result result)
{
    switch (result) {
    case HEAP_OK:
        return MEM_OK;
    case HEAP_NO_SPACE:
        return MEM_NO_SPACE;
    case HEAP_NOT_OURS:
        return MEM_NOT_OURS;
    case HEAP_NO_OBJECT:
    case HEAP_NOT_A_SLOT:
        return MEM_NO_OBJECT;
    case HEAP_FREE:
        return MEM_FREE;
    case HEAP_INSIDE:
        return MEM_INSIDE;
    case HEAP_CHANGING:
        return MEM_BUSY;
    case HEAP_NO_REGION:
    case HEAP_LIST_DAMAGED:
    case HEAP_DAMAGED:
        break;
    }
    return MEM_DAMAGED;
}

/* --- the lock -------------------------------------------------------------------- */

static uint16_t process_number;

void session_forked(void)
{
    process_number++;
}

void session_make_lock(mem_heap *m)
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK); /* a visitor that calls */
    pthread_mutex_init(lock_of(m), &attributes);
    pthread_mutexattr_destroy(&attributes);
    __atomic_store_n(&m->process, process_number, __ATOMIC_RELEASE);
}

bool session_lock_is_of_parent(const mem_heap *m)
{
    return __atomic_load_n(&m->process, __ATOMIC_ACQUIRE) != process_number;
}

__attribute__((noinline, cold)) static void renew_lock(mem_heap *m)
{
    registry_lock();
    if (session_lock_is_of_parent(m))
        session_make_lock(m);
    registry_unlock();
}

int session_lock(mem_heap *m)
{
    if (session_lock_is_of_parent(m))
        renew_lock(m);
    return pthread_mutex_lock(lock_of(m));
}

/* --- going in and out ------------------------------------------------------------ */

void session_close(const struct session *v)
{
    mem_heap *m = v->m;
    if (v->changes && !m->has_spans)
        header_store(m, v->h);
    if (v->changes) {
        header_sum_numbers(m);
        change_end(&m->changes);
    }
    if (m->lock != 0)
        pthread_mutex_unlock(lock_of(m));
    mutator_leave();
}

const char *session_numbers_fault(const struct session *v)
{
    if (!header_numbers_are_whole(v->m) || v->m->changes % 2 != 0)
        return "the numbers in the header have been written to";
    return ledger_is_sane(&v->h->chunks.ledger) ? NULL : "the numbers of the ledger cannot be";
}

enum mem_result session_open(mem_heap *m, struct session *v)
{
    enum mem_result result = header_verify(m);
    if (result != MEM_OK)
        return result_set(result);
    mutator_enter();
    if (m->lock == 0 ? m->is_walked != 0 : session_lock(m) == EDEADLK) {
        mutator_leave();
        return result_set(MEM_BUSY);
    }
    v->m = m;
    v->changes = false;
    v->h = m->has_spans ? header_part(m, m->state) : &v->view;
    if (!m->has_spans)
        header_load(m, v->h);
    if (session_numbers_fault(v) != NULL) {
        session_close(v);
        return result_set(MEM_DAMAGED);
    }
    return MEM_OK;
}
