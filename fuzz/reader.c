/* SPDX-License-Identifier: MIT
 *
 * reader.c - fuzz target: any bytes as a core file or a snapshot, which every command of `mem` that
 * reads one looks into [T5].
 *
 * It fails if the tool crashes or ends the process, or takes more than a few seconds, or memory
 * that the file's size does not account for. The input is the file with its zeros left out
 * (packed.h), or a file as it is.
 *
 * Half of the mutations are libFuzzer's own, but keep each byte of the file where it was; the
 * others damage the file as test/inspect/damaged.c does (test/inspect/damage.h).
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
#include "packed.h"

enum { FILE_MAX = 4 << 20, WINDOW = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
const char *__asan_default_options(void);

/* What was freed is kept for a while, but not so much that it hides what the tool takes. Where the
 * tool asks for too much, it ends with a message: that is a failure, too. */
const char *__asan_default_options(void)
{
    return "quarantine_size_mb=16:allocator_may_return_null=1";
}

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

/* FNV-1a: what is chosen at random is a function of the input. */
static uint64_t hash_of(const uint8_t *data, size_t size)
{
    uint64_t hash = 0xCBF29CE484222325;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ data[i]) * 0x100000001B3;
    return hash;
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
    size_t nread = 0, before = memory_peak();
    clock_t start = clock();
    (void)look_in_every_way(file_of(nbytes), &d, &nread);
    if (clock() - start > (clock_t)PATIENCE * CLOCKS_PER_SEC)
        errx(2, "it took longer than %d seconds", PATIENCE);
    if (memory_peak() - before > FIXED + TIMES * nbytes)
        errx(2, "it took %zu MiB for a file of %zu KiB", (memory_peak() - before) >> 20,
             nbytes >> 10);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    if (!is_packed(data, size))
        return LLVMFuzzerMutate(data, size, max_size);
    struct damage d = {.bytes = bytes, .state = seed};
    d.nbytes = unpack(data, size, bytes, FILE_MAX);
    if (d.nbytes <= 2 * WINDOW)
        return LLVMFuzzerMutate(data, size, max_size);
    damage_find_headers(&d);
    if (damage_below(&d, 2) == 0) {
        size_t at = damage_place(&d), n = d.nbytes - at < WINDOW ? d.nbytes - at : WINDOW;
        (void)LLVMFuzzerMutate(bytes + at, n, n);
    } else
        for (size_t i = 1 + damage_below(&d, 3); i > 0 && d.nbytes > 2 * WINDOW; i--)
            damage_once(&d);
    size_t n = pack(bytes, d.nbytes, data, max_size);
    return n > 0 ? n : size; /* what does not fit is as it was, up to there */
}
