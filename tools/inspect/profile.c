/* SPDX-License-Identifier: MIT
 *
 * profile.c - writes a heap profile for pprof. See profile.h.
 */
#include "profile.h"

#include <err.h>
#include <inttypes.h>
#include <string.h>

/* The address of objects without a stack, where no code can be. Of a lower one google-pprof thinks
 * that it is in the program, and a higher one it leaves out. */
#define NO_ADDRESS "0x7fffffffffff"

/* Both readers take the byte before a return address, except that google-pprof takes the first
 * address as it is: that one is given as the byte before. Both then find the call, since no call is
 * as short as one byte. */
static void write_kind(FILE *f, const struct origins *history, const struct kind *k)
{
    const uint64_t *frames;
    size_t n = origin_stack(history, k->origin, &frames);
    fprintf(f, "%" PRIu64 ": %" PRIu64 " [%" PRIu64 ": %" PRIu64 "] @", k->count, k->bytes,
            k->count, k->bytes);
    for (size_t i = 0; i < n; i++)
        fprintf(f, " 0x%" PRIx64, frames[i] - (i == 0));
    fprintf(f, "%s\n", n == 0 ? " " NO_ADDRESS : "");
}

/* As /proc/PID/maps has it. A core file may give any names. */
static void write_mapping(FILE *f, const struct mapping *m)
{
    if (m->file == NULL || strchr(m->file, '\n') != NULL)
        return;
    fprintf(f, "%" PRIx64 "-%" PRIx64 " %c%c%cp %08" PRIx64 " 00:00 0 %s\n", m->start, m->end,
            (m->access & MAY_READ) != 0 ? 'r' : '-', (m->access & MAY_WRITE) != 0 ? 'w' : '-',
            (m->access & MAY_EXECUTE) != 0 ? 'x' : '-', m->offset, m->file);
}

bool profile_write(const char *path, const struct origins *history, const struct kinds *origins)
{
    uint64_t count = 0, bytes = 0;
    const struct target *t = history->events.t;
    FILE *f = fopen(path, "we");
    if (f == NULL) {
        warn("%s", path);
        return false;
    }
    for (size_t i = 0; i < origins->n; i++) {
        count += origins->list[i].count;
        bytes += origins->list[i].bytes;
    }
    fprintf(f, "heap profile: %" PRIu64 ": %" PRIu64 " [%" PRIu64 ": %" PRIu64 "] @ heapprofile\n",
            count, bytes, count, bytes);
    for (size_t i = 0; i < origins->n; i++)
        write_kind(f, history, &origins->list[i]);
    fprintf(f, "\nMAPPED_LIBRARIES:\n");
    for (size_t i = 0; i < target_nmappings(t); i++)
        write_mapping(f, &target_mappings(t)[i]);
    bool ok = !ferror(f);
    ok = fclose(f) == 0 && ok;
    if (!ok)
        warn("%s", path);
    return ok;
}
