/* SPDX-License-Identifier: MIT
 *
 * count.c - makes the file in which the processes of a program count. See count.h.
 */
#include "count.h"

#include <argp.h>
#include <err.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "program.h"

static int descriptor; /* of the one file */

/* Makes a file in memory. Returns its descriptor, or -1. */
static int file_in_memory(size_t nbytes)
{
    int fd = memfd_create("libmem counts", MFD_CLOEXEC);

    if (fd >= 0 && ftruncate(fd, (off_t)nbytes) != 0)
        err(argp_err_exit_status, "cannot make a file of %zu bytes for the counts", nbytes);
    return fd;
}

struct counterfile *counterfile_make(void)
{
    size_t nbytes = counterfile_bytes(COUNTERFILE_NROWS);
    struct counterfile *counterfile = MAP_FAILED;

    descriptor = file_in_memory(nbytes);
    if (descriptor >= 0)
        counterfile = mmap(NULL, nbytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (counterfile == MAP_FAILED)
        err(argp_err_exit_status, "cannot make a file for the counts");
    *counterfile = (struct counterfile){.title = COUNTERFILE_TITLE,
                                        .row_bytes = sizeof(struct row),
                                        .nrows = COUNTERFILE_NROWS};
    return counterfile;
}

/* The file has no name of its own, so the option names mem's descriptor. */
void counterfile_name(const struct counterfile *counterfile)
{
    char path[64];
    (void)counterfile;
    snprintf(path, sizeof(path), "/proc/%d/fd/%d", getpid(), descriptor);
    set_option("count", path);
}

static uint32_t nrows_used(const struct counterfile *counterfile)
{
    uint32_t nwanted = __atomic_load_n(&counterfile->nwanted, __ATOMIC_ACQUIRE);
    return nwanted < COUNTERFILE_NROWS ? nwanted : COUNTERFILE_NROWS;
}

void counterfile_clear(struct counterfile *counterfile)
{
    memset(counterfile->row, 0, nrows_used(counterfile) * sizeof(struct row));
    __atomic_store_n(&counterfile->nwanted, 0, __ATOMIC_RELEASE);
}

void counterfile_add(const struct counterfile *counterfile, uint64_t *nallocated, uint64_t *nfailed)
{
    for (uint32_t i = 0; i < nrows_used(counterfile); i++) {
        *nallocated += counterfile->row[i].counters.nallocated;
        *nfailed += counterfile->row[i].counters.nfailed;
    }
}
