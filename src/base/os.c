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
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

#include "base/system_call.h"

/* The C library is asked once, and malloc sees to it that its lock is free then (malloc/start.c).
 * Threads may ask it at the same time, and store one and the same number. */
size_t os_page_bytes(void)
{
    static size_t page;
    size_t nbytes = __atomic_load_n(&page, __ATOMIC_RELAXED);
    if (nbytes == 0) {
        nbytes = getauxval(AT_PAGESZ);
        __atomic_store_n(&page, nbytes, __ATOMIC_RELAXED);
    }
    return nbytes;
}

/* Returns a new mapping, zero-filled; or NULL. Here a program may be told of the call, by a
 * function of its own. */
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
    enum { HOW = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE };
    long base = system_call_6(SYS_mmap, 0, (long)nbytes, PROT_NONE, HOW, -1, 0);
    if (is_error(base))
        return NULL;
    /* The kernel writes no such pages to a core file; but gdb's gcore would write all of them. */
    system_call(SYS_madvise, base, (long)nbytes, MADV_DONTDUMP);
    return (void *)base;
}

void *os_reserve_readable(size_t nbytes)
{
    return map_pages(nbytes, PROT_READ, MAP_NORESERVE);
}

/* It fails only for a range that is no mapping of the library's. */
void os_unmap(void *address, size_t nbytes)
{
    assert((uintptr_t)address % os_page_bytes() == 0); /* else the system refuses */
    system_call(SYS_munmap, (long)address, (long)nbytes, 0);
}

/* The path comes from the user, so it may name anything: with O_NONBLOCK a fifo does not make
 * this wait, and with O_NOCTTY a terminal does not become the program's. The mapping stays when
 * the descriptor is closed, so the program never sees one that it did not open. */
void *os_map_file(const char *path, size_t *nbytes)
{
    assert(path != NULL && nbytes != NULL);
    enum { OPEN = O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, ACCESS = PROT_READ | PROT_WRITE };
    long fd = system_call(SYS_openat, AT_FDCWD, (long)path, OPEN);
    long base = fd;
    if (!is_error(fd)) {
        base = system_call(SYS_lseek, fd, 0, SEEK_END); /* its length, if it is a file */
        *nbytes = (size_t)base;
        if (!is_error(base))
            base = system_call_6(SYS_mmap, 0, base, ACCESS, MAP_SHARED, fd, 0);
        system_call(SYS_close, fd, 0, 0);
    }
    if (is_error(base))
        errno = (int)-base;
    return is_error(base) ? NULL : (void *)base;
}

/* MADV_DONTNEED, not MADV_FREE: the pages are gone at once, so that the program's resident size
 * says what it has, and they read as zero. */
bool os_give_back(void *address, size_t nbytes)
{
    assert((uintptr_t)address % os_page_bytes() == 0 && nbytes % os_page_bytes() == 0);
    return system_call(SYS_madvise, (long)address, (long)nbytes, MADV_DONTNEED) == 0;
}

void os_want_huge_pages(void *address, size_t nbytes, bool wanted)
{
    uintptr_t first = ceil_div((uintptr_t)address, HUGE_PAGE_BYTES) * HUGE_PAGE_BYTES;
    uintptr_t end = ((uintptr_t)address + nbytes) / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES;
    if (first < end)
        system_call(SYS_madvise, (long)first, (long)(end - first),
                    wanted ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
}

void os_make_page(void *address)
{
    enum { POPULATE_WRITE = 23 }; /* MADV_POPULATE_WRITE, which older headers lack */
    system_call(SYS_madvise, (long)address, (long)os_page_bytes(), POPULATE_WRITE);
}

/* Counts how many of npages are in memory. Returns false if the system does not tell. mincore fills
 * a byte for each page, whose lowest bit tells, so large mappings are asked about piece by piece.
 * The bytes are counted eight at a time: of a terabyte there are 2^28. */
static bool count_resident(const unsigned char *first, size_t npages, size_t *nresident)
{
    const uint64_t EACH_BYTE = 0x0101010101010101;
    uint64_t told[512];
    size_t page = os_page_bytes(), n;
    *nresident = 0;
    for (size_t done = 0; done < npages; done += n) {
        n = npages - done < sizeof told ? npages - done : sizeof told;
        assert(n > 0); /* or this never ends */
        /* Not all of the last word may be filled. */
        told[(n - 1) / 8] = 0;
        if (system_call(SYS_mincore, (long)(first + done * page), (long)(n * page), (long)told))
            return false;
        for (size_t i = 0; i < (n + 7) / 8; i++)
            *nresident += (told[i] & EACH_BYTE) * EACH_BYTE >> 56; /* the sum of the bytes */
    }
    return true;
}

/* If the system does not tell, the answer is the most that it can be. */
size_t os_resident_bytes(const void *address, size_t nbytes)
{
    assert((uintptr_t)address % os_page_bytes() == 0); /* else mincore refuses */
    size_t page = os_page_bytes(), nresident;
    return count_resident(address, nbytes / page, &nresident) ? nresident * page : nbytes;
}

/* May fail for want of memory for the system's own records, as each change of access cuts a mapping
 * in two. Then it returns false. */
static bool set_access(void *address, size_t nbytes, int how)
{
    assert((uintptr_t)address % os_page_bytes() == 0 && nbytes % os_page_bytes() == 0);
    return system_call(SYS_mprotect, (long)address, (long)nbytes, how) == 0;
}

/* The system reads the set of signals before it sees that no change of the mask has this number. */
bool os_is_readable(uintptr_t address)
{
    enum { NO_CHANGE = -1, SET_BYTES = 8 };
    assert(address % SET_BYTES == 0);
    return system_call_6(SYS_rt_sigprocmask, NO_CHANGE, (long)address, 0, SET_BYTES, 0, 0) ==
           -EINVAL;
}

/* The memory of the pages stays theirs, and holds what it held when they are allowed again. */
bool os_forbid(void *address, size_t nbytes)
{
    return set_access(address, nbytes, PROT_NONE);
}

bool os_allow(void *address, size_t nbytes)
{
    if (!set_access(address, nbytes, PROT_READ | PROT_WRITE))
        return false;
    system_call(SYS_madvise, (long)address, (long)nbytes, MADV_DODUMP);
    return true;
}

bool os_allow_reads(void *address, size_t nbytes)
{
    return set_access(address, nbytes, PROT_READ);
}

int os_limit(int pid, int resource, const void *limit, void *was)
{
    return (int)-system_call_6(SYS_prlimit64, pid, resource, (long)limit, (long)was, 0, 0);
}

/* Decides how large a region is by default (malloc/start.c); swap does not count. */
size_t os_ram_bytes(void)
{
    struct sysinfo info; /* sysconf would open a file, perhaps with stdio, which calls malloc */
    bool known = system_call(SYS_sysinfo, (long)&info, 0, 0) == 0;
    return known ? (size_t)info.totalram * info.mem_unit : 0;
}

/* ulimit -v; the hard limit does not matter, since the library never raises the soft one. */
size_t os_address_limit(void)
{
    struct rlimit64 limit;
    bool limited = system_call_6(SYS_prlimit64, 0, RLIMIT_AS, 0, (long)&limit, 0, 0) == 0 &&
                   limit.rlim_cur < SIZE_MAX;
    return limited ? (size_t)limit.rlim_cur : SIZE_MAX;
}

/* A counter of the processor that always runs, in ticks of which the time above has `each` to a
 * millisecond. */
static uint64_t processor_ticks(uint64_t *each)
{
#if defined(__x86_64__)
    *each = 3 << 20;
    return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    uint64_t now, each_second;
    __asm__ volatile("mrs %0, cntfrq_el0" : "=r"(each_second));
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(now));
    *each = each_second / 1000;
    return now;
#else
    struct timespec t = {0};
    system_call(SYS_clock_gettime, CLOCK_MONOTONIC_COARSE, (long)&t, 0);
    *each = 1000;
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
#endif
}

/* The C library reads the clock without a system call, but by a function that a program may replace
 * (see system_call). The processor's counter is enough: an arm64 processor
 * says how fast it counts, and an x86-64 processor counts two to five times in a nanosecond.
 *
 * The counters of two processors may differ a little, and a counter may begin anew when the machine
 * has slept: a step back counts as none. */
uint64_t os_milliseconds(struct os_clock *clock)
{
    uint64_t each, now = processor_ticks(&each), step = now - clock->looked;
    if (step <= INT64_MAX)
        clock->ticks += step;
    clock->looked = now;
    return clock->ticks / each;
}

/* The fastest: another program may have run during any of the others. Where the system makes a huge
 * page of them unasked, all but the first take no time. */
uint64_t os_small_page_ns(void *pages)
{
    enum { EACH = 4096, NS_OF_MS = 1000000 };
    size_t page = os_page_bytes();
    uint64_t least = UINT64_MAX, each;
    for (size_t i = 0; i < OS_PAGES_TIMED; i++) {
        uint64_t before = processor_ticks(&each);
        ((volatile char *)pages)[i * page] = 0;
        least = smaller_of(least, processor_ticks(&each) - before);
    }
    return least * EACH / page * NS_OF_MS / each;
}

/* Not asked of the C library, whose function a program may replace (see system_call). */
uint64_t os_time(struct os_time *time)
{
    uint64_t each, now = processor_ticks(&each);
    if (time->milliseconds == 0 || now - time->asked >= each) {
        struct timespec t = {0};
        system_call(SYS_clock_gettime, CLOCK_MONOTONIC, (long)&t, 0);
        time->milliseconds = (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
        time->asked = now;
    }
    return time->milliseconds;
}

/* The first number in the file is the size of the address space in pages. If the file cannot be
 * opened, nothing is read from it. */
size_t os_address_bytes(void)
{
    char text[32];
    size_t npages = 0;
    long fd = system_call(SYS_openat, AT_FDCWD, (long)"/proc/self/statm", O_RDONLY | O_CLOEXEC);
    long n = system_call(SYS_read, fd, (long)text, sizeof text);
    for (long i = 0; i < n && text[i] != ' '; i++)
        npages = 10 * npages + (size_t)(text[i] - '0');
    system_call(SYS_close, fd, 0, 0);
    return npages != 0 ? npages * os_page_bytes() : SIZE_MAX;
}

/* The kernel says so in the auxiliary vector, also for file capabilities; geteuid does not. */
bool os_is_privileged(void)
{
    return getauxval(AT_SECURE) != 0;
}

bool os_random(void *memory, size_t nbytes)
{
    enum { DO_NOT_WAIT = 1 };
    return system_call(SYS_getrandom, (long)memory, (long)nbytes, DO_NOT_WAIT) == (long)nbytes;
}

/* A signal may interrupt a write, and a pipe may take only a part of it; then it goes on. A
 * descriptor that takes nothing ends it, since the library has nowhere to complain to. */
void os_write(int fd, const char *text, size_t nbytes)
{
    assert(text != NULL || nbytes == 0);
    while (nbytes > 0) {
        long n = system_call(SYS_write, fd, (long)text, (long)nbytes);
        if (n == -EINTR)
            continue;
        if (n <= 0) /* closed, or full and not waited for */
            return;
        text += n;
        nbytes -= (size_t)n;
    }
}

int os_open_pipe(const char *path, uint64_t inode)
{
    struct stat s;
    enum { OPEN = O_RDWR | O_CLOEXEC | O_NOCTTY }; /* the path may name anything here, too */
    long fd = system_call(SYS_openat, AT_FDCWD, (long)path, OPEN);
    if (system_call(SYS_fstat, fd, (long)&s, 0) == 0 && S_ISFIFO(s.st_mode) && s.st_ino == inode)
        return (int)fd;
    os_close((int)fd);
    return -1;
}

void os_close(int fd)
{
    system_call(SYS_close, fd, 0, 0);
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
    /* The process may not have registered yet, or may be a child that has to do so again. */
    return call_membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0 ||
           (os_barrier_open() && call_membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0);
}

/* Not pthread_self: the number is unique in the system, and can be asked about from another
 * thread. */
int os_thread_id(void)
{
    return (int)system_call(SYS_gettid, 0, 0, 0);
}

int os_process_id(void)
{
    return (int)system_call(SYS_getpid, 0, 0, 0);
}

int os_parent_id(void)
{
    return (int)system_call(SYS_getppid, 0, 0, 0);
}

/* Signal 0 is not sent: the system only says whether it could be. */
bool os_thread_is_gone(int id)
{
    return system_call(SYS_tgkill, os_process_id(), id, 0) == -ESRCH;
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

/* The system compares the word again before the thread sleeps, so that no os_wake is missed. */
void os_wait(const uint32_t *word, uint32_t value)
{
    system_call_6(SYS_futex, (long)word, FUTEX_WAIT_PRIVATE, value, 0, 0, 0);
}

void os_wake(const uint32_t *word)
{
    system_call(SYS_futex, (long)word, FUTEX_WAKE_PRIVATE, 1);
}

/* The C library calls `before` functions in the opposite order, so what was registered last
 * locks first; locks that are taken in one order elsewhere have to be registered accordingly. */
bool os_at_fork(void (*before)(void), void (*in_parent)(void), void (*in_child)(void))
{
    return pthread_atfork(before, in_parent, in_child) == 0;
}
