/* SPDX-License-Identifier: MIT
 *
 * mmap-example.c - shows what mmap does: the system call with which an allocator gets its
 * memory. It needs nothing but the C library, and any file that is not empty.
 *
 *     gcc -o mmap-example examples/mmap-example.c
 *     ./mmap-example README.md
 *
 * Four experiments show what the arguments of mmap mean:
 *
 *     1. MAP_PRIVATE and MAP_SHARED: does a write through the mapping reach the file?
 *     2. PROT_READ and PROT_WRITE: what happens to a write that is not allowed?
 *     3. MAP_ANONYMOUS: memory without a file. A heap's region is such a mapping.
 *     4. A file as an array: its lines are found and printed without a call of read.
 *
 * The program only reads the file. Experiment 1 writes to a temporary copy of it.
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

enum { LINES_SHOWN = 10 };

static const char *file_name;

/* Ends the program after a system call that failed. */
static void fail(const char *what)
{
    fprintf(stderr, "mmap-example: %s: %s: %s\n", file_name, what, strerror(errno));
    exit(1);
}

/* Ends the program because the file is of a kind that cannot be mapped. */
static void refuse(const char *why)
{
    fprintf(stderr, "mmap-example: %s: %s\n", file_name, why);
    exit(1);
}

/* Opens the file, and stores its size. An empty file is refused here, since mmap would fail
 * with a mere EINVAL. O_NONBLOCK: opening a FIFO would otherwise wait for a writer. */
static int open_file(size_t *nbytes)
{
    int fd = open(file_name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;

    if (fd < 0)
        fail("cannot be opened");
    if (fstat(fd, &st) != 0)
        fail("fstat");
    if (S_ISDIR(st.st_mode))
        refuse("is a directory, and mmap needs a regular file");
    if (!S_ISREG(st.st_mode))
        refuse("is not a regular file, and mmap needs one");
    if (st.st_size == 0)
        refuse("is empty, and mmap needs at least one byte");
    *nbytes = (size_t)st.st_size;
    return fd;
}

/* Maps the first nbytes of the file, at an address that the system chooses. */
static char *map(size_t nbytes, int protection, int flags, int fd)
{
    char *p = mmap(NULL, nbytes, protection, flags, fd, 0);

    if (p == MAP_FAILED)
        fail("mmap");
    return p;
}

/* Returns the descriptor of a copy that has no name any longer: the system deletes the copy
 * when the program ends, also if a signal ends it. */
static int temporary_copy(const char *bytes, size_t nbytes)
{
    const char *folder = getenv("TMPDIR");
    char name[4096];

    snprintf(name, sizeof name, "%s/mmap-example.XXXXXX", folder != NULL ? folder : "/tmp");
    int fd = mkstemp(name);
    if (fd < 0)
        fail("cannot make a temporary copy");
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

/* Returns the first byte of the file itself: it is read by a system call, and not through a
 * mapping. */
static unsigned first_byte(int fd)
{
    unsigned char byte;

    if (pread(fd, &byte, 1, 0) != 1)
        fail("pread");
    return byte;
}

/* Changes one bit through a mapping of the copy, and prints whether the file has changed. */
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

/* Experiment 1. */
static void private_and_shared(int copy, size_t nbytes)
{
    printf("1. MAP_PRIVATE and MAP_SHARED. A temporary copy of the file begins with the byte\n"
           "   0x%02x. One bit of that byte is changed through each kind of mapping:\n\n",
           first_byte(copy));
    write_through("MAP_PRIVATE", MAP_PRIVATE, copy, nbytes);
    write_through("MAP_SHARED", MAP_SHARED, copy, nbytes);
    printf("\n   The system copies a private page when it is first written (copy on write).\n\n");
}

static sigjmp_buf after_fault;
static volatile sig_atomic_t nfaults;

/* The handler of SIGSEGV. If it returned, the processor would repeat the faulting instruction
 * forever. siglongjmp continues at sigsetjmp instead, and restores the signal mask. */
static void on_fault(int signal_number)
{
    (void)signal_number;
    nfaults++;
    siglongjmp(after_fault, 1);
}

/* Returns whether the byte can be written, by trying it. sigsetjmp returns 0 when it is
 * called, and 1 when on_fault jumps back to it. */
static bool can_write(volatile char *p)
{
    if (sigsetjmp(after_fault, 1) != 0)
        return false;
    *p = *p; /* volatile makes the compiler emit the load and the store */
    return true;
}

/* Experiment 2. */
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
           "   The program caught SIGSEGV %d time%s. The processor refuses the write, and the\n"
           "   system turns that into the signal.\n\n",
           before ? "succeeds" : "is refused: SIGSEGV", after ? "succeeds" : "is refused: SIGSEGV",
           (int)nfaults, nfaults == 1 ? "" : "s");
    munmap(p, nbytes);
}

static size_t count_nonzero(const char *p, size_t nbytes)
{
    size_t n = 0;

    for (size_t i = 0; i < nbytes; i++)
        n += p[i] != 0;
    return n;
}

/* Experiment 3. */
static void anonymous(void)
{
    const size_t npages = 16, page = (size_t)sysconf(_SC_PAGESIZE);
    char *p = map(npages * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);

    printf("3. MAP_ANONYMOUS. Memory without a file, which the system fills with zeros.\n"
           "   Mapped: %zu pages of %zu bytes. Bytes that are not zero: %zu, of %zu.\n"
           "   A heap's region comes from here: libmem's Mem_Init makes this call once.\n\n",
           npages, page, count_nonzero(p, npages * page), npages * page);
    munmap(p, npages * page);
}

/* Experiment 4. */
static void print_lines(int fd, size_t nbytes)
{
    char *p = map(nbytes, PROT_READ, MAP_PRIVATE, fd);
    size_t end = 0;

    for (int nlines = 0; end < nbytes && nlines < LINES_SHOWN; nlines++) {
        const char *newline = memchr(p + end, '\n', nbytes - end);
        end = newline == NULL ? nbytes : (size_t)(newline - p) + 1;
    }
    printf("4. A file as an array: the first %zu of %zu bytes of %s,\n"
           "   printed from the mapping without a call of read.\n\n",
           end, nbytes, file_name);
    fwrite(p, 1, end, stdout);
    if (p[end - 1] != '\n')
        putchar('\n');
    if (end < nbytes)
        printf("[%zu more byte%s]\n", nbytes - end, nbytes - end == 1 ? "" : "s");
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
