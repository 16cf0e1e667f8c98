/* SPDX-License-Identifier: MIT
 *
 * mem.c - the classic calls: one heap for the process, and what each result is
 * to its caller. The promises are in mem.h.
 */
#include "mem.h"

#include <errno.h>
#include <stdio.h>

#include "core/check.h"
#include "classic/dump.h"
#include "heaps/foreign.h"
#include "core/heap.h"
#include "base/os.h"
#include "heaps/registry.h"

MEM_API int m_error;
MEM_API MemNodePtr m_free_list;

static struct heap the_heap = {.lock = PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP};

static int fail(int why, int number)
{
    __atomic_store_n(&m_error, why, __ATOMIC_RELAXED); /* other threads may fail just now */
    errno = number;
    return -1;
}

/* What an inner result is to a caller: 0, or -1 with the reason. */
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

/* A child of fork must find the lock free, whoever held it in the parent. */
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
    /* Should this fail, a child of a threaded process may find the lock taken. */
    (void)os_at_fork(lock_for_fork, unlock_after_fork, unlock_after_fork);
}

static int init_locked(size_t nbytes)
{
    struct region region;
    if (the_heap.chunks.region.base != NULL)
        return fail(E_BAD_ARGS, EEXIST);
    if (!region_map(&region, nbytes))
        return fail(E_NO_SPACE, ENOMEM);
    heap_open_locked(&the_heap, region, &m_free_list);
    return 0;
}

MEM_API int Mem_Init(int sizeOfRegion)
{
    if (sizeOfRegion <= 0)
        return fail(E_BAD_ARGS, EINVAL);
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, register_fork_handlers); /* before the lock: a fork may be under way */
    heap_lock(&the_heap);
    int result = init_locked((size_t)sizeOfRegion);
    heap_unlock(&the_heap);
    if (result == 0)
        foreign_add(FOREIGN_CLASSIC, &the_heap);
    return result;
}

static void *take(int size, enum fit fit)
{
    void *object;
    if (size <= 0) {
        fail(E_BAD_ARGS, EINVAL);
        return NULL;
    }
    mutator_enter();
    enum heap_result result = heap_take(&the_heap, (size_t)size, fit, &object);
    mutator_leave();
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
    return take(size, fits[style]);
}

/* Programs with a header of their own call this with one argument or with two;
 * with one, `style` is whatever the register held. */
MEM_API void *(Mem_Alloc)(int size, int style)
{
    bool known = style >= BESTFIT && style <= FIRSTFIT;
    return known ? Mem_AllocStyle(size, style) : take(size, FIT_ANY);
}

MEM_API int Mem_Free(void *ptr)
{
    if (ptr == NULL)
        return 0;
    mutator_enter();
    enum heap_result result = heap_free(&the_heap, ptr);
    mutator_leave();
    return answer(result);
}

MEM_API int Mem_IsValid(void *ptr)
{
    struct object object;
    return heap_find(&the_heap, ptr, &object) == HEAP_OK;
}

MEM_API int Mem_GetSize(void *ptr)
{
    struct object object;
    int result = answer(heap_find(&the_heap, ptr, &object));
    return result == 0 ? (int)object.size : result;
}

MEM_API void Mem_Dump(void)
{
    int number = errno;
    fflush(stdout); /* what the program printed before comes before */
    dump_heap(&the_heap, fileno(stdout));
    errno = number;
}

MEM_API int Mem_Check(void)
{
    return answer(check_heap(&the_heap));
}
