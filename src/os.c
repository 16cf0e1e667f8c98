/* SPDX-License-Identifier: MIT */
#include "os.h"

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

size_t os_page_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static void *map(size_t nbytes, int flags)
{
    void *base = mmap(NULL, nbytes, PROT_READ | PROT_WRITE, flags, -1, 0);
    return base == MAP_FAILED ? NULL : base;
}

void *os_map(size_t nbytes)
{
    return map(nbytes, MAP_PRIVATE | MAP_ANONYMOUS);
}

void *os_reserve(size_t nbytes)
{
    return map(nbytes, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE);
}

void os_write(int fd, const char *text, size_t nbytes)
{
    while (nbytes > 0) {
        ssize_t n = write(fd, text, nbytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return;
        text += n;
        nbytes -= (size_t)n;
    }
}

void os_at_fork(void (*before)(void), void (*in_parent)(void), void (*in_child)(void))
{
    /* It fails only for want of memory. Then a child of a threaded process may
     * find the lock taken, as it would without this call. */
    (void)pthread_atfork(before, in_parent, in_child);
}
