/* SPDX-License-Identifier: MIT
 *
 * info.c - statistics and settings of glibc's interface: mallinfo, malloc_stats, malloc_info,
 * malloc_trim, mallopt.
 */
#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <stdio.h>

#include "core/usage.h"
#include "malloc/report.h"
#include "malloc/start.h"

/* Returns what glibc calls the bytes of its arena: all that is in use or free, and in use is what
 * the program was given, so that the library's own records are in neither (docs/malloc.md). */
static size_t arena_bytes(const struct usage *u)
{
    return u->live_bytes + u->free_bytes;
}

/* Free slots stand for the blocks in glibc's fast bins: small, kept by size, and joined to nothing.
 * Nothing is mapped by itself, however large, so hblks and hblkhd are 0. */
static struct mallinfo2 info_of(const struct usage *u)
{
    return (struct mallinfo2){.arena = arena_bytes(u),
                              .ordblks = u->nfree_chunks,
                              .smblks = u->slots.nfree,
                              .fsmblks = u->slots.free_bytes,
                              .uordblks = u->live_bytes,
                              .fordblks = u->free_bytes,
                              .keepcost = u->trimmable_bytes};
}

MEM_API struct mallinfo2 mallinfo2(void)
{
    struct usage u = heap_usage(&shim_heap);
    return info_of(&u);
}

/* mallinfo reports int; what does not fit is reported as INT_MAX. */
static int as_int(size_t n)
{
    return n < INT_MAX ? (int)n : INT_MAX;
}

MEM_API struct mallinfo mallinfo(void)
{
    struct mallinfo2 m = mallinfo2();
    return (struct mallinfo){.arena = as_int(m.arena),
                             .ordblks = as_int(m.ordblks),
                             .smblks = as_int(m.smblks),
                             .fsmblks = as_int(m.fsmblks),
                             .uordblks = as_int(m.uordblks),
                             .fordblks = as_int(m.fordblks),
                             .keepcost = as_int(m.keepcost)};
}

/* Writes a line of malloc_stats, whose numbers have ten places. */
static void write_sum(const char *what, size_t n)
{
    struct line l = {0};
    line_text(&l, what);
    for (size_t limit = 1000000000; limit > 1 && n < limit; limit /= 10)
        line_text(&l, " ");
    line_decimal(&l, n);
    line_write(&l);
}

static void write_heading(const char *heading)
{
    struct line l = {0};
    line_text(&l, heading);
    line_write(&l);
}

/* The form is glibc's, for programs that read it. */
MEM_API void malloc_stats(void)
{
    struct usage u = heap_usage(&shim_heap);
    static const char *const heading[] = {"Arena 0:", "Total (incl. mmap):"};
    for (int i = 0; i < 2; i++) {
        write_heading(heading[i]);
        write_sum("system bytes     = ", arena_bytes(&u));
        write_sum("in use bytes     = ", u.live_bytes);
    }
    write_sum("max mmap regions = ", 0);
    write_sum("max mmap bytes   = ", 0);
}

/* Writes a line for each size class that has free slots: from which size on, and up to which, an
 * object gets one. */
static void write_sizes(const struct slot_tally *slots, FILE *stream)
{
    unsigned below = 0;
    fprintf(stream, "<sizes>\n");
    for (unsigned c = 0; c < NCLASSES; c++) {
        unsigned nbytes = sizeclass_bytes(c), n = slots->nfree_of[c];
        if (sizeclass_of(nbytes) != c) /* no class: there are fewer of large ones */
            continue;
        if (n > 0)
            fprintf(stream, "  <size from=\"%u\" to=\"%u\" total=\"%zu\" count=\"%u\"/>\n",
                    below + 1, nbytes, (size_t)n * nbytes, n);
        below = nbytes;
    }
    fprintf(stream, "</sizes>\n");
}

/* Writes what glibc writes for each arena, and for all of them together. */
static void write_totals(const struct usage *u, bool of_all, FILE *stream)
{
    fprintf(stream,
            "<total type=\"fast\" count=\"%zu\" size=\"%zu\"/>\n"
            "<total type=\"rest\" count=\"%zu\" size=\"%zu\"/>\n"
            "%s"
            "<system type=\"current\" size=\"%zu\"/>\n"
            "<system type=\"max\" size=\"%zu\"/>\n"
            "<aspace type=\"total\" size=\"%zu\"/>\n"
            "<aspace type=\"mprotect\" size=\"%zu\"/>\n",
            u->slots.nfree, u->slots.free_bytes, u->nfree_chunks, u->free_chunk_bytes,
            of_all ? "<total type=\"mmap\" count=\"0\" size=\"0\"/>\n" : "", arena_bytes(u),
            u->open_bytes, u->reserved_bytes, u->open_bytes);
}

/* The form is glibc's, with one arena. To write may allocate, so all is read before. */
MEM_API int malloc_info(int flags, FILE *stream)
{
    if (flags != 0)
        return EINVAL;
    struct usage u = heap_usage(&shim_heap);
    fprintf(stream, "<malloc version=\"1\">\n<heap nr=\"0\">\n");
    write_sizes(&u.slots, stream);
    write_totals(&u, false, stream);
    fprintf(stream, "</heap>\n");
    write_totals(&u, true, stream);
    fprintf(stream, "</malloc>\n");
    return 0;
}

/* Returns 1 if free pages went back to the system, else 0. `pad` is ignored: nothing is kept. */
MEM_API int malloc_trim(size_t pad)
{
    (void)pad;
    return heap_trim(&shim_heap);
}

/* Accepts each parameter of glibc's allocator; none has an effect here. Always returns success. */
MEM_API int mallopt(int parameter, int value)
{
    (void)parameter;
    (void)value;
    return 1;
}
