/* SPDX-License-Identifier: MIT
 *
 * work.c - runs a workload on the malloc that is linked or preloaded, and measures it.
 *
 *     work NAME [SCALE]            runs a workload of the table below, SCALE times as long
 *     work replay FILE [SCALE]     repeats the calls of a program, recorded by tools/record.c
 *     work sizes FILE              prints the sizes in such a recording
 *     work list                    prints the names of the workloads
 *
 * Prints one line, such as
 *
 *     name=pair-64 operations=30000000 ns=13.1 peak_kib=1460 left_kib=-1 sum=7b malloc=libc.so.6
 *
 * ns        wall time of one operation, in nanoseconds
 * peak_kib  peak of the resident memory, less this program's own tables. It is VmHWM and not
 *           ru_maxrss, since the latter begins with the memory of the parent before the exec.
 * left_kib  resident memory a second after everything was freed; -1 if it is not measured
 * sum       the sum of what was read from the objects; it is equal on every allocator
 * malloc    the library that malloc comes from
 */
#include <dlfcn.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "work.h"

static const struct work works[] = {
    /* name           run             operations  bytes  live */
    {"pair-64", run_pair, 60000000, 64, 1},
    {"pair-1k", run_pair, 50000000, 1 << 10, 1},
    {"pair-8k", run_pair, 20000000, 8 << 10, 1},
    {"order-64", run_in_order, 30000000, 64, 1000},
    {"order-1k", run_in_order, 4000000, 1 << 10, 1000},
    {"reversed-64", run_reversed, 30000000, 64, 1000},
    {"reversed-1k", run_reversed, 12000000, 1 << 10, 1000},
    {"shuffled-64", run_shuffled, 25000000, 64, 1000},
    {"shuffled-1k", run_shuffled, 8000000, 1 << 10, 1000},
    {"replace-1k", run_replace, 20000000, 0, 1000},
    {"replace-100k", run_replace, 3000000, 0, 100000},
    {"replace-10M", run_replace, 1500000, 0, 10000000},
    {"skewed", run_skewed, 12000000, 0, 1000},
    {"batches", run_batches, 2000000, 0, 2000},
    {"medium", run_medium, 3000000, 0, 500},
    {"buffers", run_buffers, 1500000, 0, 100},
    {"large", run_large, 40000, 0, 30},
    {"images", run_images, 2000, 0, 16},
    {"frames", run_frames, 100, 0, 4},
    {"strings", run_strings, 6000000, 0, 200},
    {"calloc", run_calloc, 1500000, 0, 100},
    {"aligned", run_aligned, 3000000, 0, 1000},
    {"drift", run_drift, 3000000, 0, 20000},
    {"tree", run_tree, 30000000, 0, 0},
    {"parser", run_parser, 8000000, 0, 0},
    {"shrink", run_shrink, 400000, 0, 0},
    {"two-pairs", run_two_pairs, 80000000, 64, 1},
    {"two-replace", run_two_replace, 24000000, 0, 10000},
    {"exchange", run_exchange, 3000000, 0, 512},
    {"handoff", run_handoff, 4000000, 64, 0},
    {"server", run_server, 12000000, 0, 2000},
    {"crowd", run_crowd, 30000000, 0, 300},
    {"replay", run_replay, 8000000, 0, 0},
};
enum { NWORKS = sizeof(works) / sizeof(works[0]) };

void die(const char *format, ...)
{
    char message[256];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    fprintf(stderr, "work: %s\n", message);
    exit(1);
}

/* --- time and memory ------------------------------------------------------------ */

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

void clock_start(struct job *job)
{
    job->took_ns = 0;
    job->began_ns = now_ns();
}

void clock_stop(struct job *job)
{
    if (job->took_ns == 0)
        job->took_ns = now_ns() - job->began_ns;
}

static size_t ntable_bytes;

void *table_new(size_t nbytes)
{
    void *table = mmap(NULL, nbytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (table == MAP_FAILED)
        die("no memory for a table");
    ntable_bytes += (nbytes + 4095) & ~(size_t)4095;
    return table;
}

/* Returns a field of /proc/self/status, in KiB, or -1 if there is none. */
static int64_t status_kib(const char *field)
{
    FILE *status = fopen("/proc/self/status", "re");
    char line[128];
    long long kib = -1;

    while (status != NULL && kib < 0 && fgets(line, sizeof(line), status) != NULL)
        if (strncmp(line, field, strlen(field)) == 0)
            sscanf(line + strlen(field), ": %lld", &kib);
    if (status != NULL)
        fclose(status);
    return kib;
}

int64_t resident_kib(void)
{
    return status_kib("VmRSS") - (int64_t)(ntable_bytes >> 10);
}

static int64_t peak_kib(void)
{
    return status_kib("VmHWM") - (int64_t)(ntable_bytes >> 10);
}

void peak_forget(void)
{
    FILE *file = fopen("/proc/self/clear_refs", "we");
    if (file != NULL) {
        fputs("5\n", file);
        fclose(file);
    }
}

/* --- objects --------------------------------------------------------------------- */

void mark_all(void *object, size_t nbytes, uint64_t word)
{
    memset(object, (int)(word & 0xff), nbytes);
    mark(object, word);
}

void mark_pages(void *object, size_t nbytes, uint64_t word)
{
    for (size_t i = 0; i + sizeof(word) <= nbytes; i += 4096)
        mark((unsigned char *)object + i, word);
}

uint64_t look_all(const void *object, size_t nbytes)
{
    uint64_t sum = 0;
    for (size_t i = 0; i + sizeof(sum) <= nbytes; i += sizeof(sum))
        sum += look((const unsigned char *)object + i);
    return sum;
}

/* --- the command line ------------------------------------------------------------- */

static const char *malloc_library(void)
{
    Dl_info info;
    const char *slash;

    if (dladdr((void *)(uintptr_t)malloc, &info) == 0)
        return "unknown";
    slash = strrchr(info.dli_fname, '/');
    return slash != NULL ? slash + 1 : info.dli_fname;
}

static void run(struct job *job)
{
    job->noperations = (uint64_t)((double)job->work->noperations * job->scale) + 1;
    clock_start(job);
    job->work->run(job);
    clock_stop(job);
    printf("name=%s operations=%" PRIu64 " ns=%.3f peak_kib=%" PRId64 " left_kib=%" PRId64
           " sum=%" PRIx64 " malloc=%s\n",
           job->work->name, job->noperations, (double)job->took_ns / (double)job->noperations,
           peak_kib(), job->left_kib, job->sum, malloc_library());
}

/* Reads a scale, which is 1 if there is none. At a scale of 1000 a run takes minutes. */
static double scale_from(const char *text)
{
    char *end;
    double scale = text != NULL ? strtod(text, &end) : 1;

    if (text != NULL && (*end != '\0' || !(scale > 0) || scale > 1000))
        die("%s: give a scale above 0, up to 1000", text);
    return scale;
}

static const struct work *find(const char *name)
{
    for (size_t i = 0; i < NWORKS; i++)
        if (strcmp(name, works[i].name) == 0)
            return &works[i];
    die("%s: no such workload; work list prints the names", name);
}

/* Prints the names, without replay, which needs a file. */
static void list(void)
{
    for (size_t i = 0; i < NWORKS; i++)
        if (works[i].run != run_replay)
            puts(works[i].name);
}

int main(int argc, char **argv)
{
    struct job job = {.left_kib = -1};
    const char *name = argc > 1 ? argv[1] : "";
    bool wants_file = strcmp(name, "replay") == 0 || strcmp(name, "sizes") == 0;

    if (argc < 2 + wants_file || argc > 3 + wants_file)
        die("usage: work NAME [SCALE] | replay FILE [SCALE] | sizes FILE | list");
    if (strcmp(name, "list") == 0) {
        list();
    } else if (strcmp(name, "sizes") == 0) {
        print_sizes(argv[2]);
    } else {
        job.work = find(name);
        job.file = argv[2];
        job.scale = scale_from(argv[2 + wants_file]);
        run(&job);
    }
    return 0;
}
