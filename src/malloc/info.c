/* SPDX-License-Identifier: MIT
 *
 * info.c - statistics and settings of glibc's interface: mallinfo, malloc_stats, malloc_info,
 * malloc_trim, mallopt.
 */
#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <stdio.h>

#include "core/pieces.h"
#include "malloc/report.h"
#include "malloc/start.h"

MEM_API struct mallinfo2 mallinfo2(void)
{
    struct pieces_tally tally = tally_heap(&shim_heap);
    return (struct mallinfo2){.arena = tally.region_bytes,
                              .ordblks = tally_nfree(&tally),
                              .uordblks = tally.object_bytes,
                              .fordblks = tally_free_bytes(&tally)};
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
                             .uordblks = as_int(m.uordblks),
                             .fordblks = as_int(m.fordblks)};
}

/* Appends a number and what it counts: "1 object", "2 objects". */
static void line_count(struct line *l, size_t n, const char *what)
{
    line_decimal(l, n);
    line_text(l, " ");
    line_text(l, what);
    line_text(l, n == 1 ? "" : "s");
}

/* Writes a line of malloc_stats; without the count if `counted` is NULL. */
static void write_sum(const char *what, size_t count, const char *counted, size_t nbytes)
{
    struct line l = {0};
    line_text(&l, what);
    line_count(&l, nbytes, "byte");
    if (counted != NULL) {
        line_text(&l, " in ");
        line_count(&l, count, counted);
    }
    line_write(&l);
}

MEM_API void malloc_stats(void)
{
    struct pieces_tally tally = tally_heap(&shim_heap);
    write_sum("libmem: region  ", 0, NULL, tally.region_bytes);
    write_sum("libmem: in use  ", tally.nobjects, "object", tally.object_bytes);
    write_sum("libmem: free    ", tally_nfree(&tally), "chunk", tally_free_bytes(&tally));
    write_sum("libmem: records ", 0, NULL, tally.ledger_bytes + tally.metadata_bytes);
}

MEM_API int malloc_info(int flags, FILE *stream)
{
    if (flags != 0)
        return EINVAL;
    struct pieces_tally tally = tally_heap(&shim_heap);
    fprintf(stream,
            "<malloc version=\"1\">\n"
            "<total type=\"used\" count=\"%zu\" size=\"%zu\"/>\n"
            "<total type=\"rest\" count=\"%zu\" size=\"%zu\"/>\n"
            "<system type=\"current\" size=\"%zu\"/>\n"
            "</malloc>\n",
            tally.nobjects, tally.object_bytes, tally_nfree(&tally), tally_free_bytes(&tally),
            tally.region_bytes);
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
