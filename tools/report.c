/* SPDX-License-Identifier: MIT
 *
 * report.c - adds up and prints what the processes of `mem run --report` have counted: a
 * table of sums, a table of sizes and, if there was more than one process, a table of
 * processes.
 *
 * Processes reach their peaks at different times, so the sum of their peaks means nothing.
 * The peak of several processes is here the highest peak of one process.
 */
#include "report.h"

#include <stdlib.h>

/* --- numbers ---------------------------------------------------------------------- */

struct text {
    char s[32];
};

/* Formats 1234567 as 1,234,567. */
static struct text grouped(uint64_t n)
{
    struct text digits, t;
    size_t length = (size_t)snprintf(digits.s, sizeof(digits.s), "%llu", (unsigned long long)n);
    size_t at = 0;

    for (size_t i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            t.s[at++] = ',';
        t.s[at++] = digits.s[i];
    }
    t.s[at] = '\0';
    return t;
}

/* Formats bytes as 1.2 MiB. A whole number of a unit has no fraction. */
static struct text rounded(uint64_t nbytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    struct text t;
    double n = (double)nbytes;
    size_t unit = 0;

    for (; n >= 1023.95 && unit < 4; unit++) /* so that 1024.0 is never printed */
        n /= 1024;
    snprintf(t.s, sizeof(t.s), "%.*f %s", unit > 0 && n != (double)(uint64_t)n, n, units[unit]);
    return t;
}

/* "s", or nothing behind a 1. */
static const char *plural(uint64_t n)
{
    return n == 1 ? "" : "s";
}

static void print_objects(FILE *f, const char *what, uint64_t nobjects, uint64_t nbytes)
{
    fprintf(f, "  %-14s %13s object%-1s %19s byte%-1s  %10s\n", what, grouped(nobjects).s,
            plural(nobjects), grouped(nbytes).s, plural(nbytes), rounded(nbytes).s);
}

static void print_bytes(FILE *f, const char *what, uint64_t nbytes)
{
    fprintf(f, "  %-14s %41s byte%-1s  %10s\n", what, grouped(nbytes).s, plural(nbytes),
            rounded(nbytes).s);
}

/* --- sums ------------------------------------------------------------------------- */

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static void add(struct counters *sum, const struct counters *c)
{
    sum->nallocated += c->nallocated;
    sum->allocated_bytes += c->allocated_bytes;
    sum->nfreed += c->nfreed;
    sum->nlive += c->nlive;
    sum->live_bytes += c->live_bytes;
    sum->live_bytes_peak = larger(sum->live_bytes_peak, c->live_bytes_peak);
    sum->ninherited += c->ninherited;
    sum->inherited_bytes += c->inherited_bytes;
    sum->nresized += c->nresized;
    sum->nmoved += c->nmoved;
    sum->nfailed += c->nfailed;
    for (int i = 0; i < NREFUSALS; i++)
        sum->nrefused[i] += c->nrefused[i];
    sum->region_bytes = larger(sum->region_bytes, c->region_bytes);
    sum->used_bytes_peak = larger(sum->used_bytes_peak, c->used_bytes_peak);
    sum->given_back_bytes += c->given_back_bytes;
    for (int i = 0; i < NCOUNTED_SIZES; i++) {
        struct count_of_size *s = &sum->size[i];
        const struct count_of_size *more = &c->size[i];
        s->nallocated += more->nallocated;
        s->nlive += more->nlive;
        s->nlive_peak = larger(s->nlive_peak, more->nlive_peak);
        s->live_bytes += more->live_bytes;
    }
}

static uint64_t nrefused(const struct counters *c)
{
    uint64_t n = 0;

    for (int i = 0; i < NREFUSALS; i++)
        n += c->nrefused[i];
    return n;
}

static void print_refusals(FILE *f, const struct counters *c)
{
    static const char *const why[NREFUSALS] = {"already free", "inside an object",
                                               "outside the heap", "in no object"};
    const char *before = ": ";

    fprintf(f, "  %-14s %13s pointer%s", "refused", grouped(nrefused(c)).s, plural(nrefused(c)));
    for (int i = 0; i < NREFUSALS; i++)
        if (c->nrefused[i] > 0) {
            fprintf(f, "%s%s %s", before, grouped(c->nrefused[i]).s, why[i]);
            before = ", ";
        }
    fputc('\n', f);
}

static void print_sums(FILE *f, const struct counters *c, size_t n)
{
    if (n > 1)
        fprintf(f, "\n  all %zu processes; each peak is that of the process with the highest\n", n);
    else
        fputs("\n  the process\n", f);
    print_objects(f, "allocated", c->nallocated, c->allocated_bytes);
    fprintf(f, "  %-14s %13s object%s\n", "freed", grouped(c->nfreed).s, plural(c->nfreed));
    print_objects(f, "live at end", c->nlive, c->live_bytes);
    if (c->ninherited > 0)
        print_objects(f, "from parents", c->ninherited, c->inherited_bytes);
    print_bytes(f, "live, peak", c->live_bytes_peak);
    print_bytes(f, "region, peak", c->used_bytes_peak);
    print_bytes(f, "reserved", c->region_bytes);
    print_bytes(f, "given back", c->given_back_bytes);
    fprintf(f, "  %-14s %13s in place, %s moved\n", "resized", grouped(c->nresized).s,
            grouped(c->nmoved).s);
    fprintf(f, "  %-14s %13s request%s\n", "out of memory", grouped(c->nfailed).s,
            plural(c->nfailed));
    print_refusals(f, c);
}

/* --- sizes ------------------------------------------------------------------------ */

enum { BAR = 24 };

/* Returns the length of the bar of n beside the longest, which is that of `most`; at least 1 unless
 * n is 0. */
static int bar_length(uint64_t n, uint64_t most)
{
    int length = most == 0 ? 0 : (int)((double)n / (double)most * (double)BAR + 0.5);

    return n > 0 && length == 0 ? 1 : length;
}

static void print_sizes(FILE *f, const struct counters *c)
{
    static const char bar[BAR + 1] = "########################";
    uint64_t most = 0;

    for (int i = 0; i < NCOUNTED_SIZES; i++)
        most = larger(most, c->size[i].nallocated);
    if (c->nallocated + c->ninherited == 0)
        return;
    fprintf(f, "\n  %9s %13s  %-*s %12s %12s %10s\n", "size up to", "allocated", BAR, "",
            "live, peak", "live at end", "in bytes");
    for (unsigned i = 0; i < NCOUNTED_SIZES; i++) {
        const struct count_of_size *s = &c->size[i];
        if (s->nallocated > 0 || s->nlive_peak > 0)
            fprintf(f, "  %9s  %13s  %-*.*s %12s %12s %10s\n", rounded(counters_size_bytes(i)).s,
                    grouped(s->nallocated).s, BAR, bar_length(s->nallocated, most), bar,
                    grouped(s->nlive_peak).s, grouped(s->nlive).s, rounded(s->live_bytes).s);
    }
}

/* --- processes -------------------------------------------------------------------- */

static int by_peak(const void *a, const void *b)
{
    const struct row *x = *(const struct row *const *)a, *y = *(const struct row *const *)b;
    uint64_t peak = x->counters.live_bytes_peak, other = y->counters.live_bytes_peak;

    if (peak != other)
        return peak < other ? 1 : -1;
    return (x > y) - (x < y); /* with equal peaks, in the order in which they began */
}

static void print_command(FILE *f, const struct row *r)
{
    for (size_t i = 0; i < ROW_COMMAND_MAX && r->command[i] != '\0'; i++) {
        unsigned char c = (unsigned char)r->command[i];
        fputc(c < ' ' || c == 127 ? '?' : c, f); /* a newline would break the table */
    }
}

static void print_processes(FILE *f, const struct row **rows, size_t n)
{
    enum { NSHOWN = 20 };

    fprintf(f, "\n  %7s %10s %12s %13s %12s %10s %8s  %s\n", "process", "live, peak",
            "region, peak", "allocated", "live at end", "in bytes", "refused", "program");
    for (size_t i = 0; i < n && i < NSHOWN; i++) {
        const struct counters *c = &rows[i]->counters;
        fprintf(f, "  %7d %10s %12s %13s %12s %10s %8s  %s", rows[i]->pid,
                rounded(c->live_bytes_peak).s, rounded(c->used_bytes_peak).s,
                grouped(c->nallocated).s, grouped(c->nlive).s, rounded(c->live_bytes).s,
                grouped(nrefused(c)).s, rows[i]->is_forked ? "(fork) " : "");
        print_command(f, rows[i]);
        fputc('\n', f);
    }
    if (n > NSHOWN)
        fprintf(f, "  and %zu more, with lower peaks\n", n - NSHOWN);
}

/* --- the report ------------------------------------------------------------------- */

void report_print(FILE *f, const struct counterfile *counterfile)
{
    uint32_t nwanted = __atomic_load_n(&counterfile->nwanted, __ATOMIC_ACQUIRE);
    uint32_t nrows = nwanted < COUNTERFILE_NROWS ? nwanted : COUNTERFILE_NROWS;
    static const struct row *rows[COUNTERFILE_NROWS];
    struct counters sum = {0};
    size_t n = 0;

    for (uint32_t i = 0; i < nrows; i++)
        if (counterfile->row[i].pid != 0) {
            rows[n++] = &counterfile->row[i];
            add(&sum, &counterfile->row[i].counters);
        }
    fputs("  counting takes time: use --time to measure without it\n", f);
    if (n == 0)
        fputs("  no process was counted: the program is linked statically, or is setuid\n", f);
    if (nwanted > nrows)
        fprintf(f, "  %u process%s not counted: there is room for %u\n", nwanted - nrows,
                nwanted - nrows == 1 ? " was" : "es were", nrows);
    if (n > 0) {
        print_sums(f, &sum, n);
        print_sizes(f, &sum);
    }
    qsort(rows, n, sizeof(*rows), by_peak);
    if (n > 1)
        print_processes(f, rows, n);
}
