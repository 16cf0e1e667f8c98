/* SPDX-License-Identifier: MIT
 *
 * mmap-example.c - what mmap does, seen from the place where a heap begins.
 *
 *     ./mmap-example FILE
 *
 * An allocator gets its memory from the operating system with mmap. This
 * program shows what the arguments of that call mean, one experiment a
 * paragraph, and then prints the first lines of FILE out of a mapping. FILE is
 * only read: what must be written is written to a temporary copy of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mem.h"

enum { LINES_SHOWN = 10 };

static const char *file_name;

static void fail(const char *what)
{
    fprintf(stderr, "mmap-example: %s: %s: %s\n", file_name, what, strerror(errno));
    exit(1);
}

static void refuse(const char *why)
{
    fprintf(stderr, "mmap-example: %s: %s\n", file_name, why);
    exit(1);
}

/* Opens FILE and stores its size, which is never 0: mmap maps no empty range,
 * and says no more than EINVAL about it. */
static int open_file(size_t *nbytes)
{
    int fd = open(file_name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;

    if (fd < 0)
        fail("cannot open it");
    if (fstat(fd, &st) != 0)
        fail("fstat");
    if (S_ISDIR(st.st_mode))
        refuse("is a directory, and mmap needs a regular file");
    if (!S_ISREG(st.st_mode))
        refuse("is not a regular file, and mmap needs one");
    if (st.st_size == 0)
        refuse("is empty: there is nothing to map");
    *nbytes = (size_t)st.st_size;
    return fd;
}

static char *map(size_t nbytes, int protection, int flags, int fd)
{
    char *p = mmap(NULL, nbytes, protection, flags, fd, 0);

    if (p == MAP_FAILED)
        fail("mmap");
    return p;
}

/* A copy that has a file descriptor but, once unlinked, no name: it is gone
 * when the program ends, however it ends. */
static int temporary_copy(const char *bytes, size_t nbytes)
{
    const char *folder = getenv("TMPDIR");
    char name[4096];

    snprintf(name, sizeof name, "%s/mmap-example.XXXXXX", folder != NULL ? folder : "/tmp");
    int fd = mkstemp(name);
    if (fd < 0)
        fail("no temporary copy");
    unlink(name);
    while (nbytes > 0) {
        ssize_t n = write(fd, bytes, nbytes);
        if (n <= 0)
            fail("cannot write the temporary copy");
        bytes += n;
        nbytes -= (size_t)n;
    }
    return fd;
}

/* The first byte of the file itself, asked for with a system call and not
 * through any mapping. */
static unsigned first_byte(int fd)
{
    unsigned char byte;

    if (pread(fd, &byte, 1, 0) != 1)
        fail("pread");
    return byte;
}

/* Writes one byte through a mapping of the copy and looks whether the file has
 * changed. */
static void write_through(const char *name, int flag, int fd, size_t nbytes)
{
    char *p = map(nbytes, PROT_READ | PROT_WRITE, flag, fd);
    unsigned before = first_byte(fd);

    p[0] = (char)(p[0] ^ 1);
    unsigned after = first_byte(fd);
    printf("    %-12s the mapping says 0x%02x, the file says 0x%02x: the write %s\n", name,
           (unsigned)(unsigned char)p[0], after,
           before == after ? "stayed in the mapping" : "reached the file");
    munmap(p, nbytes);
}

static void private_and_shared(int copy, size_t nbytes)
{
    printf("1. MAP_PRIVATE and MAP_SHARED. A temporary copy of the file begins with the byte\n"
           "   0x%02x. One bit of it is turned over through each kind of mapping:\n\n",
           first_byte(copy));
    write_through("MAP_PRIVATE", MAP_PRIVATE, copy, nbytes);
    write_through("MAP_SHARED", MAP_SHARED, copy, nbytes);
    printf("\n   A private page is copied at the first write to it (copy on write).\n\n");
}

static sigjmp_buf after_fault;
static volatile sig_atomic_t nfaults;

/* Returning from the handler would repeat the faulting instruction forever;
 * siglongjmp leaves it behind, and restores the signal mask. */
static void on_fault(int signal_number)
{
    (void)signal_number;
    nfaults++;
    siglongjmp(after_fault, 1);
}

static bool can_write(volatile char *p)
{
    if (sigsetjmp(after_fault, 1) != 0)
        return false;
    *p = *p; /* volatile: a real load, and a real store */
    return true;
}

static void protection(int fd, size_t nbytes)
{
    struct sigaction ours = {.sa_handler = on_fault}, theirs;
    char *p = map(nbytes, PROT_READ, MAP_PRIVATE, fd);

    sigemptyset(&ours.sa_mask);
    sigaction(SIGSEGV, &ours, &theirs);
    bool before = can_write(p);
    if (mprotect(p, nbytes, PROT_READ | PROT_WRITE) != 0)
        fail("mprotect");
    bool after = can_write(p);
    sigaction(SIGSEGV, &theirs, NULL);

    printf("2. Protection. A write to a page that was mapped\n\n"
           "    PROT_READ                %s\n"
           "    and, after mprotect,\n"
           "    PROT_READ | PROT_WRITE   %s\n\n"
           "   SIGSEGV was caught %d time(s). The processor refuses the write, the system\n"
           "   turns that into the signal.\n\n",
           before ? "succeeds" : "is refused: SIGSEGV", after ? "succeeds" : "is refused: SIGSEGV",
           (int)nfaults);
    munmap(p, nbytes);
}

static size_t count_nonzero(const char *p, size_t nbytes)
{
    size_t n = 0;

    for (size_t i = 0; i < nbytes; i++)
        n += p[i] != 0;
    return n;
}

static void anonymous(void)
{
    const size_t npages = 16, page = (size_t)sysconf(_SC_PAGESIZE);
    char *p = map(npages * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);

    printf("3. MAP_ANONYMOUS. No file behind it: %zu pages of %zu bytes, %zu of those %zu\n"
           "   bytes are not zero. Here a heap's region comes from: libmem's Mem_Init makes\n"
           "   this call once. ",
           npages, page, count_nonzero(p, npages * page), npages * page);
    munmap(p, npages * page);
    if (Mem_Init((int)(npages * page)) == 0 && m_free_list != NULL)
        printf("Of as many bytes, Mem_Alloc can hand out %d.\n\n", m_free_list->size);
    else
        printf("Here it failed, and m_error is %d.\n\n", m_error);
}

static void print_lines(int fd, size_t nbytes)
{
    char *p = map(nbytes, PROT_READ, MAP_PRIVATE, fd);
    size_t end = 0;

    for (int nlines = 0; end < nbytes && nlines < LINES_SHOWN; nlines++) {
        const char *newline = memchr(p + end, '\n', nbytes - end);
        end = newline == NULL ? nbytes : (size_t)(newline - p) + 1;
    }
    printf("4. A file as an array: the first %zu of %zu bytes of %s,\n   without a read.\n\n", end,
           nbytes, file_name);
    fwrite(p, 1, end, stdout);
    if (p[end - 1] != '\n')
        putchar('\n');
    if (end < nbytes)
        printf("[%zu bytes more]\n", nbytes - end);
    munmap(p, nbytes);
}

int main(int argc, char **argv)
{
    size_t nbytes;

    if (argc != 2) {
        fprintf(stderr, "usage: mmap-example FILE\n");
        return 64;
    }
    file_name = argv[1];
    int fd = open_file(&nbytes);
    char *bytes = map(nbytes, PROT_READ, MAP_PRIVATE, fd);
    int copy = temporary_copy(bytes, nbytes);
    munmap(bytes, nbytes);

    private_and_shared(copy, nbytes);
    protection(fd, nbytes);
    anonymous();
    print_lines(fd, nbytes);
    close(copy);
    close(fd);
    return fflush(stdout) == 0 ? 0 : 1;
}
