/* SPDX-License-Identifier: MIT
 *
 * origins.c - finds for each live object the event that allocated it. See origins.h.
 */
#include "origins.h"

#include <err.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"

bool origins_open(struct origins *o, struct target *t)
{
    *o = (struct origins){0};
    o->answer = events_open(&o->events, t);
    return o->answer == EVENTS_OPEN;
}

void origins_close(struct origins *o)
{
    events_close(&o->events);
    free(o->table);
    o->table = NULL;
}

/* --- the event of an object ----------------------------------------------------------------- */

static uint64_t mixed(uint64_t n)
{
    n = (n ^ n >> 32) * UINT64_C(0x9E3779B97F4A7C15);
    return n ^ n >> 29;
}

/* Returns the place of an address in the table, which is at most half full. */
static uint32_t *place_of(const struct origins *o, uint64_t address)
{
    size_t i = (size_t)mixed(address) & (o->room - 1);
    while (o->table[i] != 0 && o->events.event[o->table[i] - 1].address != address)
        i = (i + 1) & (o->room - 1);
    return &o->table[i];
}

/* Events are in the order of time: a later one replaces the earlier ones of its address. */
static void make_table(struct origins *o)
{
    for (o->room = 2; o->room < 2 * o->events.n; o->room *= 2)
        ;
    o->table = calloc(o->room, sizeof *o->table);
    if (o->table == NULL)
        err(UNKNOWN, "the history");
    for (size_t i = 0; i < o->events.n; i++)
        *place_of(o, o->events.event[i].address) = (uint32_t)i + 1;
}

uint32_t origin_of(struct origins *o, uint64_t address, size_t size)
{
    if (o->answer != EVENTS_OPEN)
        return ORIGIN_NO_EVENT;
    if (o->table == NULL)
        make_table(o);
    uint32_t place = *place_of(o, address);
    const struct event *e = place == 0 ? NULL : &o->events.event[place - 1];
    bool is_its = e != NULL && e->kind != EVENT_FREED && e->nbytes == size;
    return is_its ? e->stack : ORIGIN_NO_EVENT;
}

/* --- origins -------------------------------------------------------------------------------- */

size_t origin_stack(const struct origins *o, uint32_t origin, const uint64_t **frames)
{
    return origin == ORIGIN_NO_EVENT ? 0 : events_stack(&o->events, origin, frames);
}

/* A file that was replaced or removed while the program runs has this behind its name. */
static size_t name_bytes(const char *file)
{
    const char *end = strstr(file, " (deleted)");
    return end == NULL ? strlen(file) : (size_t)(end - file);
}

static uint64_t add_frame(uint64_t key, const struct mapping *m, uint64_t address)
{
    size_t n = m == NULL || m->file == NULL ? 0 : name_bytes(m->file);
    for (size_t i = 0; i < n; i++)
        key = mixed(key + (unsigned char)m->file[i]);
    return mixed(key + (n == 0 ? address : address - m->start + m->offset));
}

uint64_t origin_key(const struct origins *o, uint32_t origin)
{
    const uint64_t *frames;
    size_t n = origin_stack(o, origin, &frames);
    uint64_t key = origin == ORIGIN_NO_EVENT;
    for (size_t i = 0; i < n; i++)
        key = add_frame(key + 1, target_mapping(o->events.t, frames[i]), frames[i]);
    return key;
}

/* --- output ----------------------------------------------------------------------------------- */

void origin_print(const struct origins *o, struct symbols *s, uint32_t origin)
{
    const uint64_t *frames;
    size_t n = origin_stack(o, origin, &frames);
    if (origin == ORIGIN_NO_EVENT)
        printf("    allocated by none of the last %zu calls that are kept\n", o->events.n);
    else
        symbols_print_stack(s, frames, n);
}

void origin_print_json(const struct origins *o, struct symbols *s, uint32_t origin)
{
    const uint64_t *frames;
    size_t n = origin_stack(o, origin, &frames);
    if (origin == ORIGIN_NO_EVENT)
        printf("null");
    else
        symbols_print_json_stack(s, frames, n);
}
