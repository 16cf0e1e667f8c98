/* SPDX-License-Identifier: MIT
 *
 * events.c - finds and copies the history of a target: see events.h.
 */
#include "events.h"

#include <err.h>
#include <stdlib.h>

#include "base/describe.h"
#include "images.h"
#include "source.h"

/* Finds where the library says that its history is. */
static enum events_answer find_head(struct target *t, uint64_t *address)
{
    struct described *d;
    enum events_answer answer = EVENTS_NONE;
    size_t n = images_described(t, &d);
    for (size_t i = 0; i < n && answer == EVENTS_NONE; i++) {
        if (d[i].type != DESCRIBED_HISTORY)
            continue;
        if (d[i].layout != HISTORY_LAYOUT)
            answer = EVENTS_OTHER_VERSION;
        else if (!target_read(t, d[i].address, address, sizeof *address))
            answer = EVENTS_UNREADABLE;
        else if (*address != 0)
            answer = EVENTS_OPEN;
    }
    free(d);
    return answer;
}

/* Returns whether the library could have written these numbers, of a mapping that the target can
 * have. */
static bool is_sound(const struct history *h, uint64_t address)
{
    enum { PART_MAX = 1 << 30, WORDS_MAX = 64 };
    const uint64_t most = (uint64_t)PART_MAX * WORDS_MAX; /* bytes of the largest history */
    return h->nevents >= HISTORY_MIN && h->nevents <= HISTORY_MAX &&
           (h->nevents & (h->nevents - 1)) == 0 && h->nwords <= most / sizeof(uint64_t) &&
           h->nwords_used <= h->nwords && h->events_at <= most && h->stacks_at <= most &&
           h->index_at <= most && address <= UINT64_MAX - 4 * most;
}

/* Finds the head and copies it. */
static enum events_answer open_head(struct events *e, struct target *t)
{
    *e = (struct events){.t = t};
    enum events_answer answer = find_head(t, &e->address);
    if (answer != EVENTS_OPEN)
        return answer;
    bool ok =
        target_read(t, e->address, &e->head, sizeof e->head) && is_sound(&e->head, e->address);
    return ok ? EVENTS_OPEN : EVENTS_UNREADABLE;
}

struct extent events_extent(struct target *t)
{
    struct events e;
    if (open_head(&e, t) != EVENTS_OPEN)
        return (struct extent){0, 0};
    return (struct extent){e.address,
                           e.address + e.head.index_at + e.head.nevents * sizeof(uint32_t)};
}

/* Copies the events from number `from` on, n of them. The ring may end in between. */
static bool copy_events(struct events *e, uint64_t from, size_t n)
{
    size_t place = (size_t)(from & (e->head.nevents - 1));
    size_t nfirst = e->head.nevents - place < n ? (size_t)(e->head.nevents - place) : n;
    uint64_t ring = e->address + e->head.events_at;
    return target_read(e->t, ring + place * sizeof *e->event, e->event,
                       nfirst * sizeof *e->event) &&
           target_read(e->t, ring, e->event + nfirst, (n - nfirst) * sizeof *e->event);
}

/* Copies the stacks. Of a file that was cut off, those at its end are missing. */
static bool copy_stacks(struct events *e)
{
    uint64_t most = target_bytes(e->t) / sizeof *e->words;
    uint64_t n = e->head.nwords_used < most ? e->head.nwords_used : most;
    e->words = calloc(n > 0 ? n : 1, sizeof *e->words);
    if (e->words == NULL)
        return false;
    uint64_t from = e->address + e->head.stacks_at;
    e->nwords = target_read_some(e->t, from, e->words, n * sizeof *e->words) / sizeof *e->words;
    return true;
}

/* When the ring is full, a thread may have been about to write over the oldest event: that is left
 * out. */
enum events_answer events_open(struct events *e, struct target *t)
{
    enum events_answer answer = open_head(e, t);
    if (answer != EVENTS_OPEN)
        return answer;
    const struct history *h = &e->head;
    uint64_t n = h->nnoted < h->nevents ? h->nnoted : h->nevents - 1;
    if (n > target_bytes(t) / sizeof *e->event)
        return EVENTS_UNREADABLE;
    e->event = calloc(n > 0 ? n : 1, sizeof *e->event);
    if (e->event == NULL || !copy_events(e, h->nnoted - n, n) || !copy_stacks(e)) {
        events_close(e);
        return EVENTS_UNREADABLE;
    }
    e->n = n;
    return EVENTS_OPEN;
}

void events_close(struct events *e)
{
    free(e->event);
    free(e->words);
    *e = (struct events){.t = e->t};
}

void events_explain(const struct target *t, enum events_answer answer)
{
    const char *what = answer == EVENTS_NONE
                           ? "it keeps no history. Start it by `mem run --history PROGRAM', or set "
                             "LIBMEM=history"
                       : answer == EVENTS_OTHER_VERSION
                           ? "its history is of another version: look at it with the mem of that "
                             "version"
                           : "its history cannot be read";
    warnx("%s: %s", target_name(t), what);
}

size_t events_about(const struct events *e, uint64_t address, const struct event ***found)
{
    const struct event **list = NULL;
    size_t n = 0;
    bool is_live = false; /* an object that the address was in has not been freed yet */
    uint64_t start = 0;
    for (size_t i = 0; i < e->n; i++) {
        const struct event *at = &e->event[i];
        bool is_around = address - at->address < at->nbytes || address == at->address;
        if (!is_around && !(is_live && at->address == start))
            continue;
        list = grown(list, n, sizeof(const struct event *));
        list[n++] = at;
        is_live = at->kind != EVENT_FREED;
        start = at->address;
    }
    for (size_t i = 0; i < n / 2; i++) {
        const struct event *other = list[i];
        list[i] = list[n - 1 - i];
        list[n - 1 - i] = other;
    }
    *found = list;
    return n;
}

size_t events_stack(const struct events *e, uint32_t stack, const uint64_t **frames)
{
    if (stack == 0 || stack >= e->nwords)
        return 0;
    size_t n = STACK_NFRAMES(e->words[stack]);
    *frames = &e->words[stack + 1];
    return n <= STACK_MAX && n < e->nwords - stack ? n : 0;
}
