/* SPDX-License-Identifier: MIT
 *
 * os.c - every system call of the library. What each does, and what it promises about errno: os.h.
 *
 * Most keep errno as it was, since the C functions that call them may not change it when they
 * succeed: free, for one.
 */
#include "base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

/* Calls the system itself, not through the C library: a program may replace madvise, sched_yield
 * and the like by functions that allocate, and these calls are made while the heap's lock is held.
 * Returns the result, or an error number negated. Keeps errno. */
static long system_call(long number, long a, long b, long c)
{
#if defined(__x86_64__)
    __asm__ volatile("syscall"
                     : "+a"(number)
                     : "D"(a), "S"(b), "d"(c)
                     : "rcx", "r11", "cc", "memory");
    return number;
#elif defined(__aarch64__)
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c;
    __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "cc", "memory");
    return x0;
#else
    int before = errno;
    long result = syscall(number, a, b, c);
    if (result < 0)
        result = -errno;
    errno = before;
    return result;
#endif
}

/* Not kept in a variable: the C library has it in one already, and no fast path asks. */
size_t os_page_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

/* A new mapping, zero-filled; or NULL. */
static void *map_pages(size_t nbytes, int how, int flags)
{
    void *base = mmap(NULL, nbytes, how, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
    return base == MAP_FAILED ? NULL : base;
}

void *os_map(size_t nbytes)
{
    return map_pages(nbytes, PROT_READ | PROT_WRITE, 0);
}

/* MAP_NORESERVE does not help where the system commits memory strictly (vm.overcommit_memory =
 * 2): then the caller has to ask for less. */
void *os_reserve(size_t nbytes)
{
    return map_pages(nbytes, PROT_READ | PROT_WRITE, MAP_NORESERVE);
}

/* Pages that cannot be written to count against no limit but that on address space: they are
 * neither data (RLIMIT_DATA) nor committed memory, and no core file has them. */
void *os_reserve_closed(size_t nbytes)
{
    return map_pages(nbytes, PROT_NONE, MAP_NORESERVE);
}

/* It fails only for a range that is no mapping of the library's. */
void os_unmap(void *address, size_t nbytes)
{
    assert((uintptr_t)address % os_page_bytes() == 0); /* else the system refuses */
    munmap(address, nbytes);
}

/* The path comes from the user, so it may name anything: with O_NONBLOCK a fifo does not make
 * this wait, and with O_NOCTTY a terminal does not become the program's. The mapping stays when
 * the descriptor is closed, so the program never sees one that it did not open. */
void *os_map_file(const char *path, size_t *nbytes)
{
    assert(path != NULL && nbytes != NULL);
    struct stat file;
    void *base = MAP_FAILED;
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return NULL;
    if (fstat(fd, &file) == 0) {
        *nbytes = (size_t)file.st_size;
        base = mmap(NULL, *nbytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    int number = errno;
    close(fd);
    errno = number;
    return base == MAP_FAILED ? NULL : base;
}

/* MADV_DONTNEED, not MADV_FREE: the pages are gone at once, so that the program's resident size
 * says what it has, and they read as zero. */
bool os_give_back(void *address, size_t nbytes)
{
    assert((uintptr_t)address % os_page_bytes() == 0 && nbytes % os_page_bytes() == 0);
    return system_call(SYS_madvise, (long)address, (long)nbytes, MADV_DONTNEED) == 0;
}

/* Counts how many of npages are in memory. Returns false if the system does not tell. mincore fills
 * a byte for each page, so large mappings are asked about piece by piece. */
static bool count_resident(const unsigned char *first, size_t npages, size_t *nresident)
{
    unsigned char told[4096];
    size_t page = os_page_bytes(), n;
    *nresident = 0;
    for (size_t done = 0; done < npages; done += n) {
        n = npages - done < sizeof told ? npages - done : sizeof told;
        if (mincore((void *)(uintptr_t)(first + done * page), n * page, told) != 0)
            return false;
        assert(n > 0); /* or this never ends */
        for (size_t i = 0; i < n; i++)
            *nresident += told[i] & 1;
    }
    return true;
}

/* If the system does not tell, the answer is the most that it can be. */
size_t os_resident_bytes(const void *address, size_t nbytes)
{
    assert((uintptr_t)address % os_page_bytes() == 0); /* else mincore refuses */
    int number = errno;
    size_t page = os_page_bytes(), nresident;
    bool known = count_resident(address, nbytes / page, &nresident);
    errno = number; /* mincore may have set it */
    return known ? nresident * page : nbytes;
}

/* May fail for want of memory for the system's own records, as each change of access cuts a mapping
 * in two. Then it returns false. */
static bool set_access(void *address, size_t nbytes, int how)
{
    assert((uintptr_t)address % os_page_bytes() == 0 && nbytes % os_page_bytes() == 0);
    return system_call(SYS_mprotect, (long)address, (long)nbytes, how) == 0;
}

/* The memory of the pages stays theirs, and holds what it held when they are allowed again. */
bool os_forbid(void *address, size_t nbytes)
{
    return set_access(address, nbytes, PROT_NONE);
}

bool os_allow(void *address, size_t nbytes)
{
    return set_access(address, nbytes, PROT_READ | PROT_WRITE);
}

bool os_allow_reads(void *address, size_t nbytes)
{
    return set_access(address, nbytes, PROT_READ);
}

/* Decides how large a region is by default (malloc/start.c); swap does not count. */
size_t os_ram_bytes(void)
{
    struct sysinfo info; /* sysconf would open a file, perhaps with stdio, which calls malloc */
    return sysinfo(&info) == 0 ? (size_t)info.totalram * info.mem_unit : 0;
}

/* ulimit -v; the hard limit does not matter, since the library never raises the soft one. */
size_t os_address_limit(void)
{
    struct rlimit limit;
    bool limited = getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur < SIZE_MAX;
    return limited ? (size_t)limit.rlim_cur : SIZE_MAX;
}

/* A counter of the processor that always runs, and how much it counts between two looks at the
 * clock: some tenths of a millisecond. Without such a counter the clock is always asked. */
static uint64_t processor_ticks(uint64_t *least)
{
#if defined(__x86_64__)
    *least = 1 << 20;
    return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    uint64_t now, each_second;
    __asm__ volatile("mrs %0, cntfrq_el0" : "=r"(each_second));
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(now));
    *least = each_second / 4096;
    return now;
#else
    return *least = 0;
#endif
}

/* A system call takes much longer than the C library, which reads the clock without one, but a
 * program may replace the function of the C library (see system_call). So the system is asked only
 * when the processor has counted on. Even to read its counter takes a while: of a caller that comes
 * again soon, three calls in four get the time of the call before.
 *
 * The counters of two processors may differ, and a counter may begin anew: then the difference
 * wraps, and the system is asked. If it does not tell the time, the time stands still. */
uint64_t os_milliseconds(struct os_clock *clock)
{
    enum { SOON = 16, SKIPS = 3 };
    if (clock->nskips > 0) {
        clock->nskips--;
        return clock->milliseconds;
    }
    uint64_t least, ticks = processor_ticks(&least);
    if (ticks - clock->looked < least / SOON)
        clock->nskips = SKIPS;
    clock->looked = ticks;
    if (clock->milliseconds == 0 || ticks - clock->asked >= least) {
        struct timespec t;
        if (system_call(SYS_clock_gettime, CLOCK_MONOTONIC_COARSE, (long)&t, 0) == 0)
            clock->milliseconds = (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
        clock->asked = ticks;
    }
    return clock->milliseconds;
}

/* The first number in the file is the size of the address space in pages. */
size_t os_address_bytes(void)
{
    char text[32];
    size_t npages = 0;
    long fd = system_call(SYS_openat, AT_FDCWD, (long)"/proc/self/statm", O_RDONLY | O_CLOEXEC);
    long n = fd < 0 ? -1 : system_call(SYS_read, fd, (long)text, sizeof text);
    for (long i = 0; i < n && text[i] >= '0' && text[i] <= '9'; i++)
        npages = 10 * npages + (size_t)(text[i] - '0');
    if (fd >= 0)
        system_call(SYS_close, fd, 0, 0);
    return npages != 0 ? npages * os_page_bytes() : SIZE_MAX;
}

/* The kernel says so in the auxiliary vector, also for file capabilities; geteuid does not. */
bool os_is_privileged(void)
{
    return getauxval(AT_SECURE) != 0;
}

/* A signal may interrupt a write, and a pipe may take only a part of it; then it goes on. A
 * descriptor that takes nothing ends it, since the library has nowhere to complain to. */
void os_write(int fd, const char *text, size_t nbytes)
{
    assert(text != NULL || nbytes == 0);
    while (nbytes > 0) {
        ssize_t n = write(fd, text, nbytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) /* closed, or full and not waited for */
            return;
        text += n;
        nbytes -= (size_t)n;
    }
}

/* The C library has no function for membarrier. An old kernel, or a sandbox, refuses it with an
 * error; then the callers' threads have to make barriers of their own. */
static long call_membarrier(int command)
{
    return system_call(SYS_membarrier, command, 0, 0);
}

/* Registers the process for expedited barriers, which interrupt only the processors that run it. */
bool os_barrier_open(void)
{
    return call_membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0;
}

bool os_barrier(void)
{
    /* In the child of a fork the process may have to register again. */
    return call_membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0 ||
           (os_barrier_open() && call_membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0);
}

/* Not pthread_self: the number is unique in the system, and can be asked about from another
 * thread. */
int os_thread_id(void)
{
    return (int)system_call(SYS_gettid, 0, 0, 0);
}

/* Signal 0 is not sent: the system only says whether it could be. */
bool os_thread_is_gone(int id)
{
    return system_call(SYS_tgkill, system_call(SYS_getpid, 0, 0, 0), id, 0) == -ESRCH;
}

void os_pause(unsigned n)
{
    enum { YIELDS = 100 }; /* a yield returns at once where no other thread is ready */
    if (n < YIELDS) {
        system_call(SYS_sched_yield, 0, 0, 0);
        return;
    }
    /* The thread that this one waits for may have a lower priority, and run only while this one
     * sleeps. The function nanosleep would be a cancellation point; the system call is none. */
    struct timespec t = {.tv_nsec = 50000};
    system_call(SYS_nanosleep, (long)&t, 0, 0);
}

/* The C library calls `before` functions in the opposite order, so what was registered last
 * locks first; locks that are taken in one order elsewhere have to be registered accordingly. */
bool os_at_fork(void (*before)(void), void (*in_parent)(void), void (*in_child)(void))
{
    return pthread_atfork(before, in_parent, in_child) == 0;
}
