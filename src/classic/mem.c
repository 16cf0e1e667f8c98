/* SPDX-License-Identifier: MIT
 *
 * mem.c - the classic calls: one heap for the process. The heap judges; this file makes a return
 * value, m_error and errno of the judgement. The promises C1 to C15 are in include/mem.h.
 *
 * Mem_Alloc and Mem_Free mark the thread as a mutator (heaps/readers.h) while they are at work: a
 * signal handler that interrupts them may call mem_find, which then does not wait for them.
 */
#include "mem.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>

#include "core/pieces.h"
#include "classic/dump.h"
#include "heaps/foreign.h"
#include "core/heap.h"
#include "core/watch.h"
#include "base/describe.h"
#include "base/os.h"
#include "base/probe.h"
#include "heaps/readers.h"

MEM_API int m_error;
MEM_API MemNodePtr m_free_list;

/* The heap of Mem_Init. All zero is a free lock, so that any call may be the first. */
static DESCRIBED_VARIABLE struct heap the_heap;
DESCRIBE(DESCRIBED_CLASSIC, HEAP_LAYOUT, the_heap);

/* Notes the reason of a failure in m_error and errno [C9], and returns -1. */
static int fail(int why, int number)
{
    assert(why >= E_NO_SPACE && why <= E_BAD_POINTER && number > 0);
    __atomic_store_n(&m_error, why,
                     __ATOMIC_RELAXED); /* another thread may fail at the same time */
    errno = number;
    return -1;
}

/* Turns a judgement into what the caller sees: 0, or -1 with the reason in m_error. */
static int answer(enum heap_result result)
{
    switch (result) {
    case HEAP_OK:
        return 0;
    case HEAP_NO_SPACE:
        return fail(E_NO_SPACE, ENOMEM);
    case HEAP_NO_REGION:
        return fail(E_BAD_ARGS, EINVAL);
    case HEAP_LIST_DAMAGED:
    case HEAP_DAMAGED:
        return fail(E_CORRUPT_FREESPACE, EUCLEAN);
    case HEAP_NOT_OURS:
    case HEAP_NO_OBJECT:
    case HEAP_FREE:
    case HEAP_INSIDE:
    case HEAP_CHANGING:
    case HEAP_NOT_A_SLOT:
        break;
    }
    return fail(E_BAD_POINTER, EINVAL);
}

/* Holds the lock across a fork, so that the child has the heap as it was between two calls, and
 * finds the lock free. */
static void lock_for_fork(void)
{
    heap_lock(&the_heap);
}

static void unlock_after_fork(void)
{
    heap_unlock(&the_heap);
}

static void register_fork_handlers(void)
{
    /* If this fails, a child of a threaded process may find the lock taken for ever. */
    (void)os_at_fork(lock_for_fork, unlock_after_fork, unlock_after_fork);
}

/* Maps the region and opens the heap in it. The caller holds the lock. */
static int init_locked(size_t nbytes)
{
    struct region region;
    if (the_heap.chunks.region.base != NULL)
        return fail(E_BAD_ARGS, EEXIST);
    if (!region_map(&region, nbytes))
        return fail(E_NO_SPACE, ENOMEM);
    assert(region.nbytes >= nbytes && region.nbytes % os_page_bytes() == 0);
    heap_open_locked(&the_heap, region, &m_free_list);
    return 0;
}

MEM_API int Mem_Init(int sizeOfRegion)
{
    if (sizeOfRegion <= 0)
        return fail(E_BAD_ARGS, EINVAL);
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once,
                 register_fork_handlers); /* not under the lock: a fork may be waiting for it */
    heap_lock(&the_heap);
    int result = init_locked((size_t)sizeOfRegion);
    heap_unlock(&the_heap);
    int before = errno;
    if (result == 0)
        foreign_add(FOREIGN_CLASSIC, &the_heap);
    errno = before; /* if mem_find cannot know the heap, that is no failure [C9] */
    return result;
}

/* Both forms of Mem_Alloc: returns an object of `size` bytes, or NULL with the reason. */
static void *alloc_by(int size, enum fit fit)
{
    void *object;
    if (size <= 0) {
        fail(E_BAD_ARGS, EINVAL);
        return NULL;
    }
    mutator_enter();
    enum heap_result result = memcheck_is_there ? watch_take(&the_heap, (size_t)size, fit, &object)
                                                : heap_take(&the_heap, (size_t)size, fit, &object);
    mutator_leave();
    assert(result != HEAP_OK || (uintptr_t)object % 16 == 0);
    return answer(result) == 0 ? object : NULL;
}

MEM_API void *Mem_AllocStyle(int size, int style)
{
    static const enum fit fits[] = {
        [BESTFIT] = FIT_BEST, [WORSTFIT] = FIT_WORST, [FIRSTFIT] = FIT_FIRST};
    if (style < BESTFIT || style > FIRSTFIT) {
        fail(E_BAD_ARGS, EINVAL);
        return NULL;
    }
    return alloc_by(size, fits[style]);
}

/* Programs with a header of their own call this symbol with one argument or with two. With one,
 * `style` is what the second argument register happens to hold, so that any value may arrive: one
 * that is no style means FIT_ANY. */
MEM_API void *(Mem_Alloc)(int size, int style)
{
    bool known = style >= BESTFIT && style <= FIRSTFIT;
    return known ? Mem_AllocStyle(size, style) : alloc_by(size, FIT_ANY);
}

/* Tells a tracer of a refused address. Not inlined, so that Mem_Free keeps fewer registers. */
__attribute__((noinline, cold)) static int refused(void *ptr, enum heap_result why)
{
    (void)ptr; /* without probes */
    PROBE_REFUSED(ptr);
    return answer(why);
}

MEM_API int Mem_Free(void *ptr)
{
    if (ptr == NULL)
        return 0;
    mutator_enter();
    enum heap_result result =
        memcheck_is_there ? watch_free(&the_heap, ptr) : heap_free(&the_heap, ptr);
    mutator_leave();
    return result == HEAP_OK ? answer(result) : refused(ptr, result);
}

MEM_API int Mem_IsValid(void *ptr)
{
    struct object object;
    return heap_find(&the_heap, ptr, &object) == HEAP_OK;
}

MEM_API int Mem_GetSize(void *ptr)
{
    struct object object = {0};
    enum heap_result result = heap_find(&the_heap, ptr, &object);
    return result == HEAP_OK ? (int)object.size : answer(result);
}

MEM_API void Mem_Dump(void)
{
    int number = errno;
    fflush(stdout); /* so that earlier output of the program comes first */
    dump_heap(&the_heap, fileno(stdout));
    errno = number;
}

MEM_API int Mem_Check(void)
{
    return answer(check_heap(&the_heap));
}
