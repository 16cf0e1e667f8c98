/* SPDX-License-Identifier: MIT
 *
 * limit.c - setrlimit and prlimit: a program that limits its own address space (RLIMIT_AS) gets
 * back what the heap has reserved of it and cannot use within that limit [M7].
 *
 * The limit counts what is reserved. Without this, a limit below the reservation leaves a program
 * none for threads and libraries, although hardly any memory is in use. A limit that another
 * process sets, or a system call that is made directly, goes unseen.
 */
/* With these the system's header would call setrlimit64 what is defined here as setrlimit. */
#undef _FILE_OFFSET_BITS
#undef _TIME_BITS

#include <errno.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "base/os.h"
#include "malloc/shim.h"
#include "malloc/start.h"

/* Returns whether the caller is a child of vfork, which shares the memory of its parent. libc notes
 * the number of a thread when the thread begins and in a child of fork, but not in one of vfork,
 * and writes it into a mutex. */
static bool is_child_of_vfork(void)
{
    pthread_mutex_t mutex = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
    pthread_mutex_lock(&mutex);
    bool is_noted = mutex.__data.__owner == os_thread_id();
    pthread_mutex_unlock(&mutex);
    return !is_noted;
}

/* Lets the heap keep as much of its spare address space as it would have reserved under this limit.
 * The limit of a child of vfork is not for the memory of its parent. */
static void keep_within(size_t limit)
{
    size_t taken = os_address_bytes(), spare = heap_spare_bytes(&shim_heap);
    if (limit == SIZE_MAX || taken == SIZE_MAX || is_child_of_vfork())
        return;
    heap_give_up_spare(&shim_heap, shim_bytes_within(limit, taken - spare));
}

/* Does what prlimit does, for processes of any kind. `pid` 0 is the calling one. */
static int set_limit(int pid, int resource, const struct rlimit *limit, struct rlimit *was)
{
    int number = os_limit(pid, resource, limit, was);
    if (number != 0) {
        errno = number;
        return -1;
    }
    if (limit != NULL && resource == RLIMIT_AS && (pid == 0 || pid == os_process_id()))
        keep_within(limit->rlim_cur);
    return 0;
}

/* On 64-bit systems a struct rlimit64 is a struct rlimit. */
static_assert(sizeof(struct rlimit64) == sizeof(struct rlimit), "limits have 64 bits");

MEM_API int setrlimit(__rlimit_resource_t resource, const struct rlimit *limit)
{
    return set_limit(0, (int)resource, limit, NULL);
}

MEM_API int setrlimit64(__rlimit_resource_t resource, const struct rlimit64 *limit)
{
    return set_limit(0, (int)resource, (const struct rlimit *)limit, NULL);
}

MEM_API int prlimit(pid_t pid, enum __rlimit_resource resource, const struct rlimit *limit,
                    struct rlimit *was)
{
    return set_limit(pid, (int)resource, limit, was);
}

MEM_API int prlimit64(pid_t pid, enum __rlimit_resource resource, const struct rlimit64 *limit,
                      struct rlimit64 *was)
{
    return set_limit(pid, (int)resource, (const struct rlimit *)limit, (struct rlimit *)was);
}
