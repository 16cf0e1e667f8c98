/* SPDX-License-Identifier: MIT
 *
 * system_call.h - what stands between os.c and the system in a build that believes in larger pages.
 *
 * With -Itest/support/pages -DPAGE_BYTES=65536 the library, the tests and the tool are told that a
 * page has 64 KiB, and os.c includes this file in place of the one in src/base. A multiple of that
 * is one of the machine's 4 KiB, too, so the system does as it is asked to. What it cannot know is
 * checked or made up here:
 *
 *   - The address and the length of a call are multiples of PAGE_BYTES. Another call ends
 *     the program with a line on standard error.
 *   - A mapping begins at a multiple of PAGE_BYTES.
 *   - mincore and /proc/self/statm count pages of PAGE_BYTES.
 */
#ifndef PAGES_SYSTEM_CALL_H
#define PAGES_SYSTEM_CALL_H

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#define system_call   machine_call
#define system_call_6 machine_call_6
#include "../../../../src/base/system_call.h"
#undef system_call
#undef system_call_6

enum { MACHINE_PAGE_BYTES = 4096 };
static_assert(PAGE_BYTES % MACHINE_PAGE_BYTES == 0, "each such page is some of the machine's");

/* How long the last file was that was mapped: munmap is given such a length, too. */
static long file_bytes;
/* The descriptor by which /proc/self/statm is being read; 0 if none is. */
static long statm;

static long whole_pages(long nbytes)
{
    return (nbytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
}

/* Ends the program unless both are whole pages. */
static void expect_pages(const char *call, long address, long nbytes)
{
    char line[160];
    if (address % PAGE_BYTES == 0 && nbytes % PAGE_BYTES == 0)
        return;
    int n = snprintf(line, sizeof line, "%s(0x%lx, 0x%lx): a page has 0x%x bytes\n", call,
                     (unsigned long)address, (unsigned long)nbytes, PAGE_BYTES);
    machine_call(SYS_write, STDERR_FILENO, (long)line, n);
    machine_call(SYS_kill, machine_call(SYS_getpid, 0, 0, 0), SIGKILL, 0); /* no handler runs */
}

/* Finds addresses for a mapping. Returns the first one, or an error number negated. */
static long place(long nbytes)
{
    enum { HOW = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE };
    long all = whole_pages(nbytes);
    if (nbytes < 0 || all > INT64_MAX - PAGE_BYTES)
        return -ENOMEM;
    long at = machine_call_6(SYS_mmap, 0, all + PAGE_BYTES, PROT_NONE, HOW, -1, 0);
    if (is_error(at))
        return at;
    long first = whole_pages(at);
    if (first > at)
        machine_call(SYS_munmap, at, first - at, 0);
    machine_call(SYS_munmap, first + all, at + PAGE_BYTES - first, 0);
    return first;
}

static long call_mmap(long nbytes, long how, long flags, long fd, long offset)
{
    long first = place(nbytes);
    if (is_error(first))
        return first;
    if (fd < 0)
        expect_pages("mmap", first, nbytes);
    else
        file_bytes = nbytes;
    long base = machine_call_6(SYS_mmap, first, nbytes, how, flags | MAP_FIXED, fd, offset);
    if (is_error(base))
        machine_call(SYS_munmap, first, whole_pages(nbytes), 0);
    return base;
}

/* A page is in memory if a part of it is. The library asks about at most 4,096 at once. */
static long call_mincore(long address, long nbytes, unsigned char *told)
{
    enum { NPARTS = PAGE_BYTES / MACHINE_PAGE_BYTES, MOST = 4096 };
    unsigned char parts[MOST * NPARTS];
    expect_pages("mincore", address, nbytes);
    assert(nbytes <= MOST * PAGE_BYTES);
    long result = machine_call(SYS_mincore, address, nbytes, (long)parts);
    for (long i = 0; result == 0 && i < nbytes / PAGE_BYTES; i++) {
        told[i] = 0;
        for (int k = 0; k < NPARTS; k++)
            told[i] |= parts[i * NPARTS + k] & 1;
    }
    return result;
}

/* The first number is the address space; the others are not asked for. */
static long read_statm(char *to, long nbytes)
{
    char text[32] = "";
    machine_call(SYS_read, statm, (long)text, sizeof text - 1);
    return snprintf(to, (size_t)nbytes, "%ld",
                    strtol(text, NULL, 10) / (PAGE_BYTES / MACHINE_PAGE_BYTES));
}

static long system_call_6(long number, long a, long b, long c, long d, long e, long f)
{
    switch (number) {
    case SYS_mmap:
        return call_mmap(b, c, d, e, f);
    case SYS_mincore:
        return call_mincore(a, b, (unsigned char *)c);
    case SYS_munmap:
        expect_pages("munmap", a, b == file_bytes ? 0 : b);
        break;
    case SYS_mprotect:
        expect_pages("mprotect", a, b);
        break;
    case SYS_madvise:
        expect_pages("madvise", a, b);
        break;
    case SYS_openat:
        if (strcmp((const char *)b, "/proc/self/statm") == 0)
            return statm = machine_call_6(SYS_openat, a, b, c, d, e, f);
        break;
    case SYS_read:
        if (a == statm)
            return read_statm((char *)b, c);
        break;
    }
    return machine_call_6(number, a, b, c, d, e, f);
}

static long system_call(long number, long a, long b, long c)
{
    return system_call_6(number, a, b, c, 0, 0, 0);
}

/* The C library's function, which the library calls so that a program may be told. */
static void *pages_mmap(size_t nbytes, int how, int flags)
{
    long first = place((long)nbytes);
    if (is_error(first)) {
        errno = (int)-first;
        return MAP_FAILED;
    }
    expect_pages("mmap", first, (long)nbytes);
    void *base = (mmap)((void *)first, nbytes, how, flags | MAP_FIXED, -1, 0);
    if (base == MAP_FAILED)
        machine_call(SYS_munmap, first, (long)nbytes, 0);
    return base;
}

#define mmap(at, nbytes, how, flags, fd, offset) pages_mmap(nbytes, how, flags)

/* A test may define a function getauxval and say a larger number than PAGE_BYTES. */
static unsigned long pages_getauxval(unsigned long type)
{
    unsigned long value = (getauxval)(type);
    return type == AT_PAGESZ && value < PAGE_BYTES ? PAGE_BYTES : value;
}

#define getauxval(type) pages_getauxval(type)

#endif
