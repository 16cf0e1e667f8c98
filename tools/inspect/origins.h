/* SPDX-License-Identifier: MIT
 *
 * origins.h - where the live objects of a target were allocated, if it keeps a history.
 *
 *     object: address, size --> newest event of that address --> its stack
 *
 *   OR1  the origin of an object is the stack of the call that gave it its present size: the one
 *        that allocated it, or a realloc that resized it where it lay;
 *   OR2  the ring has the newest events, so if it has one of an address, it has the newest one. If
 *        that one is a free, or has another size, it is not the object's: the object is of another
 *        heap, or a thread is between taking it and noting that. Such an object is as one whose
 *        event is no longer in the ring.
 *
 * An origin is a number: that of a stack in the events, or one of those below.
 */
#ifndef ORIGINS_H
#define ORIGINS_H

#include "events.h"
#include "symbols.h"

#define ORIGIN_NO_STACK ((uint32_t)0)           /* the event is there, its stack is not known */
#define ORIGIN_NO_EVENT ((uint32_t)0xffffffffu) /* no event is the object's [OR2] */

struct origins {
    enum events_answer answer; /* EVENTS_OPEN: there is a history */
    struct events events;
    uint32_t *table; /* by address: its newest event's index + 1, or 0. Made when it is needed */
    size_t room;     /* a power of two */
};

/* Copies the history of a target, which the caller has stopped. If there is none, all objects are
 * without an event; o->answer says why. Returns whether there is one. */
bool origins_open(struct origins *o, struct target *t);
void origins_close(struct origins *o);

/* Returns the origin of an object. O(1), except for the first call. */
uint32_t origin_of(struct origins *o, uint64_t address, size_t size);

/* Returns a number for an origin that is equal for equal places in the code, also in another
 * process of the program: it depends on files and on offsets in them, and not on addresses. */
uint64_t origin_key(const struct origins *o, uint32_t origin);

/* Finds the stack of an origin: see events_stack. */
size_t origin_stack(const struct origins *o, uint32_t origin, const uint64_t **frames);

/* Prints an origin: its stack, or a line that says why there is none. In JSON, null is the stack of
 * an object without an event. */
void origin_print(const struct origins *o, struct symbols *s, uint32_t origin);
void origin_print_json(const struct origins *o, struct symbols *s, uint32_t origin);

#endif
