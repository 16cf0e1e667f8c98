/* SPDX-License-Identifier: MIT
 *
 * reader.c - fuzz target: any bytes as a core file or a snapshot, which one of the commands of
 * `mem` looks into [T5]: which one, and with what address and options, follows from the bytes.
 *
 * It fails if the tool crashes or ends the process, or takes more than a few seconds, or memory
 * that the file's size does not account for. The input is the file with its zeros left out
 * (packed.h), or a file as it is.
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "damage.h"
#include "every.h"
#include "mutate.h"
#include "packed.h"

enum { FILE_MAX = 4 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

static uint8_t bytes[FILE_MAX];

/* Makes the bytes the content of a file, and returns its path. */
static const char *file_of(size_t nbytes)
{
    static char path[64];
    static int fd = -1;
    if (fd < 0)
        fd = memfd_create("fuzzed", 0);
    if (fd < 0 || ftruncate(fd, 0) != 0 || pwrite(fd, bytes, nbytes, 0) != (ssize_t)nbytes)
        err(2, "memfd_create");
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return path;
}

/* The most memory that the process had at any time, in bytes. */
static size_t memory_peak(void)
{
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return (size_t)r.ru_maxrss << 10;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { PATIENCE = 5, FIXED = 64 << 20, TIMES = 64 };
    size_t nbytes = size < FILE_MAX ? size : FILE_MAX;
    if (is_packed(data, size))
        nbytes = unpack(data, size, bytes, FILE_MAX);
    else
        memcpy(bytes, data, nbytes);
    struct damage d = {.bytes = bytes, .nbytes = nbytes, .state = hash_of(data, size)};
    size_t before = memory_peak();
    clock_t start = clock();
    look_in_one_way(file_of(nbytes), &d);
    if (clock() - start > (clock_t)PATIENCE * CLOCKS_PER_SEC)
        errx(2, "it took longer than %d seconds", PATIENCE);
    if (memory_peak() - before > FIXED + TIMES * nbytes)
        errx(2, "it took %zu MiB for a file of %zu KiB", (memory_peak() - before) >> 20,
             nbytes >> 10);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    static const struct unpacked u = {bytes, FILE_MAX, 128, NULL};
    return mutate_packed(&u, data, size, max_size, seed);
}
