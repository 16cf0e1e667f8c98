/* SPDX-License-Identifier: MIT
 *
 * os.c - checks the clock that needs no system call, the address that stands for a thread, what is
 * resident, a write that is interrupted, and which files are mapped and opened (base/os.h).
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/os.h"

static uint64_t real_milliseconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* The bounds are wider than what os.h promises, since the test may not run for a while between two
 * looks. */
static void test_the_clock_keeps_the_pace(void **state)
{
    enum { WHILE = 200, FACTOR = 3 };
    (void)state;
    struct os_clock clock = {0};
    uint64_t from = os_milliseconds(&clock), real_from = real_milliseconds(), last = from;
    while (real_milliseconds() - real_from < WHILE) {
        uint64_t now = os_milliseconds(&clock);
        assert_true(now >= last);
        last = now;
    }
    uint64_t elapsed = os_milliseconds(&clock) - from, real = real_milliseconds() - real_from;
    assert_in_range(elapsed, WHILE / FACTOR, real * FACTOR);
}

/* A counter that begins anew, or another processor's, which is behind. */
static void test_the_clock_never_goes_back(void **state)
{
    (void)state;
    struct os_clock clock = {0};
    uint64_t before = os_milliseconds(&clock);
    clock.looked += (uint64_t)1 << 50;
    assert_int_equal(os_milliseconds(&clock), before);
    assert_in_range(os_milliseconds(&clock), before, before + 60000);
}

static void *thread_pointer(void *other)
{
    *(const void **)other = os_thread_pointer();
    return NULL;
}

static void test_each_thread_has_an_address(void **state)
{
    (void)state;
    pthread_t thread;
    const void *mine = os_thread_pointer(), *other = NULL;
    assert_int_equal(pthread_create(&thread, NULL, thread_pointer, (void *)&other), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_non_null(mine);
    assert_non_null(other);
    assert_ptr_not_equal(mine, other);
    assert_ptr_equal(os_thread_pointer(), mine);
}

/* Two pages are written to, then all. Where nothing is mapped, the system does not tell. */
static void test_what_is_resident(void **state)
{
    (void)state;
    size_t page = os_page_bytes();
    unsigned char *p = os_map(5000 * page); /* more than is asked about at once */
    assert_non_null(p);
    madvise(p, 5000 * page, MADV_NOHUGEPAGE);
    assert_int_equal(os_resident_bytes(p, 5000 * page), 0);
    p[0] = p[4999 * page] = 1;
    assert_int_equal(os_resident_bytes(p, 5000 * page), 2 * page);
    assert_int_equal(os_resident_bytes(p, 4999 * page), page);
    memset(p, 1, 5000 * page);
    assert_int_equal(os_resident_bytes(p, 4999 * page), 4999 * page);
    os_unmap(p, 5000 * page);
    assert_int_equal(os_resident_bytes(p, 5000 * page), 5000 * page);
}

enum { PIPE_BYTES = 4096, MORE = 3 * PIPE_BYTES };

static int pipe_ends[2];
static pthread_t writer;
static _Atomic int ninterrupted;

static void note_signal(int number)
{
    (void)number;
    ninterrupted++;
}

/* Interrupts the write, which waits for room in the pipe, and then reads all. */
static void *interrupt_and_read(void *text)
{
    size_t n = 0;
    while (ninterrupted == 0) {
        usleep(10000);
        pthread_kill(writer, SIGUSR1);
        usleep(10000);
    }
    while (n < PIPE_BYTES + MORE) {
        ssize_t part = read(pipe_ends[0], (char *)text + n, PIPE_BYTES + MORE - n);
        if (part <= 0)
            break;
        n += (size_t)part;
    }
    return NULL;
}

static void test_a_write_is_interrupted(void **state)
{
    (void)state;
    static char text[MORE], got[PIPE_BYTES + MORE];
    struct sigaction action = {.sa_handler = note_signal}, before; /* no SA_RESTART */
    pthread_t reader;
    for (size_t i = 0; i < MORE; i++)
        text[i] = (char)('a' + i % 26);
    assert_int_equal(pipe(pipe_ends), 0);
    if (fcntl(pipe_ends[1], F_SETPIPE_SZ, PIPE_BYTES) != PIPE_BYTES) /* pages are larger */
        skip();
    assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
    os_write(pipe_ends[1], text, PIPE_BYTES); /* it is full now */
    writer = pthread_self();
    assert_int_equal(pthread_create(&reader, NULL, interrupt_and_read, got), 0);
    os_write(pipe_ends[1], text, MORE);
    close(pipe_ends[1]);
    assert_int_equal(pthread_join(reader, NULL), 0);
    sigaction(SIGUSR1, &before, NULL);
    assert_true(ninterrupted > 0);
    assert_memory_equal(got, text, PIPE_BYTES);
    assert_memory_equal(got + PIPE_BYTES, text, MORE);
    close(pipe_ends[0]);
}

/* The time is asked for anew when it may have changed, and then it goes on. */
static void test_the_time_goes_on(void **state)
{
    (void)state;
    struct os_time t = {0};
    uint64_t from = os_time(&t), real = real_milliseconds();
    assert_true(from <= real && real - from < 60000);
    while (os_time(&t) < from + 20)
        assert_true(real_milliseconds() - real < 60000);
    assert_true(os_time(&t) <= real_milliseconds());
}

/* Until then the answer is kept, and the system is not asked. The first look always asks it. */
static void test_the_time_is_kept(void **state)
{
    (void)state;
    enum { KEPT = 5, TRIES = 1000 };
    struct os_time t = {0};
    uint64_t got = 0;
    for (int i = 0; i < TRIES && got != KEPT; i++) { /* a millisecond may pass between two lines */
        (void)os_time(&t);
        t.milliseconds = KEPT;
        got = os_time(&t);
    }
    assert_int_equal(got, KEPT);
    t.milliseconds = 0;
    assert_int_not_equal(os_time(&t), 0);
}

/* A new page takes longer than nothing, and eight of them no longer than the whole call, on a clock
 * that may be wrong by half; a page that is there takes less. */
static void test_small_page_ns(void **state)
{
    (void)state;
    size_t nbytes = OS_PAGES_TIMED * os_page_bytes();
    unsigned char *pages = os_map(2 * nbytes);
    assert_non_null(pages);
    uint64_t before = real_milliseconds(), took = os_small_page_ns(pages);
    uint64_t whole = (real_milliseconds() - before + 1) * 1000000;
    assert_in_range(took, 1, 2 * whole / OS_PAGES_TIMED * 4096 / os_page_bytes());
    assert_in_range(os_small_page_ns(pages), 0, took);
    assert_int_equal(os_resident_bytes(pages, 2 * nbytes), nbytes);
    for (size_t i = 0; i < nbytes; i++)
        assert_int_equal(pages[i], 0);
    os_unmap(pages, 2 * nbytes);
}

/* Without /proc, or without a descriptor for it, the size is not known. */
static void test_address_bytes(void **state)
{
    (void)state;
    struct rlimit limit, none;
    size_t before = os_address_bytes();
    assert_true(before != SIZE_MAX && before % os_page_bytes() == 0);
    void *more = mmap(NULL, 1 << 30, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(more != MAP_FAILED);
    assert_true(os_address_bytes() >= before + (1 << 30));
    munmap(more, 1 << 30);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = limit;
    none.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    size_t unknown = os_address_bytes();
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_true(unknown == SIZE_MAX);
}

/* A pipe is opened by its name only if it is the one that was meant. */
static void test_open_pipe(void **state)
{
    (void)state;
    int ends[2], fd;
    struct stat s;
    char path[64];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(fstat(ends[1], &s), 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", ends[1]);
    fd = os_open_pipe(path, s.st_ino);
    assert_true(fd > ends[1]);
    os_write(fd, "x", 1);
    assert_int_equal(read(ends[0], path + 32, 1), 1);
    os_close(fd);
    assert_int_equal(os_open_pipe(path, s.st_ino + 1), -1);
    assert_int_equal(os_open_pipe("/proc/self/fd/none", s.st_ino), -1);
    assert_int_equal(stat("/dev/null", &s), 0);
    assert_int_equal(os_open_pipe("/dev/null", s.st_ino), -1); /* no pipe */
    assert_int_equal(fcntl(fd, F_GETFD), -1);                  /* and none of them is left open */
    close(ends[0]);
    close(ends[1]);
}

/* Only a file that has a length, and may be written to, is mapped. */
static void test_map_file(void **state)
{
    (void)state;
    int ends[2];
    size_t nbytes = 0;
    char path[64];
    assert_int_equal(pipe(ends), 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", ends[1]);
    assert_null(os_map_file(path, &nbytes));
    assert_int_equal(errno, ESPIPE);
    assert_null(os_map_file("/", &nbytes));
    assert_int_equal(errno, EISDIR);
    assert_null(os_map_file("/proc/self/fd/none", &nbytes));
    assert_int_equal(errno, ENOENT);
    int file = memfd_create("file", 0);
    assert_int_equal(write(file, "content", 8), 8);
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    char *mapped = os_map_file(path, &nbytes);
    assert_non_null(mapped);
    assert_int_equal(nbytes, 8);
    assert_string_equal(mapped, "content");
    munmap(mapped, nbytes);
    close(file);
    close(ends[0]);
    close(ends[1]);
}

/* Returns whether a process that leads a session has a terminal once the library was told that one
 * is a pipe, or a file to map. The child process says so by its exit status. */
static bool has_terminal_after(const char *path, bool as_pipe)
{
    int wait_status;
    size_t nbytes;
    struct stat s;
    assert_int_equal(stat(path, &s), 0);
    pid_t child = fork();
    if (child == 0) {
        if (setsid() < 0 || open("/dev/tty", O_RDWR) >= 0)
            _exit(2);
        bool opened =
            as_pipe ? os_open_pipe(path, s.st_ino) >= 0 : os_map_file(path, &nbytes) != NULL;
        _exit(opened ? 2 : open("/dev/tty", O_RDWR) >= 0);
    }
    assert_int_equal(waitpid(child, &wait_status, 0), child);
    assert_true(WIFEXITED(wait_status) && WEXITSTATUS(wait_status) < 2);
    return WEXITSTATUS(wait_status) == 1;
}

/* A terminal that is named in the place of a pipe or a file does not become the program's. */
static void test_no_terminal(void **state)
{
    (void)state;
    int main_end = posix_openpt(O_RDWR | O_NOCTTY);
    if (main_end < 0 || grantpt(main_end) != 0 || unlockpt(main_end) != 0)
        skip();
    assert_false(has_terminal_after(ptsname(main_end), false));
    assert_false(has_terminal_after(ptsname(main_end), true));
    close(main_end);
}

static void test_readable(void **state)
{
    (void)state;
    size_t page = os_page_bytes();
    unsigned char *p = os_map(2 * page);
    assert_non_null(p);
    assert_true(os_forbid(p + page, page));
    assert_true(os_is_readable((uintptr_t)p + page - 8));
    assert_false(os_is_readable((uintptr_t)p + page));
    assert_false(os_is_readable(UINTPTR_MAX - 7));
    os_unmap(p, 2 * page);
    assert_false(os_is_readable((uintptr_t)p));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_readable),
        cmocka_unit_test(test_the_clock_keeps_the_pace),
        cmocka_unit_test(test_the_clock_never_goes_back),
        cmocka_unit_test(test_each_thread_has_an_address),
        cmocka_unit_test(test_what_is_resident),
        cmocka_unit_test(test_a_write_is_interrupted),
        cmocka_unit_test(test_the_time_goes_on),
        cmocka_unit_test(test_the_time_is_kept),
        cmocka_unit_test(test_small_page_ns),
        cmocka_unit_test(test_address_bytes),
        cmocka_unit_test(test_open_pipe),
        cmocka_unit_test(test_map_file),
        cmocka_unit_test(test_no_terminal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
