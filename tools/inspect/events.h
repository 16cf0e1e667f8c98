/* SPDX-License-Identifier: MIT
 *
 * events.h - the history of a target: the events that its library keeps (malloc/history.h).
 *
 * Numbers that the target holds are compared with each other and with its memory before they are
 * used.
 */
#ifndef EVENTS_H
#define EVENTS_H

#include "malloc/history.h"
#include "target.h"

enum events_answer {
    EVENTS_OPEN,
    EVENTS_NONE,          /* the program keeps no history */
    EVENTS_OTHER_VERSION, /* or one that this tool does not understand */
    EVENTS_UNREADABLE     /* or it cannot be read, or contradicts itself */
};

struct events {
    struct target *t;
    uint64_t address;    /* of the head, in the target */
    struct history head; /* a copy */
    struct event *event; /* the copies of the last n, oldest first */
    size_t n;
    uint64_t *words; /* the copy of the stacks, as far as they can be read */
    size_t nwords;
};

/* Copies the events of a target, which the caller has stopped, and their stacks. */
enum events_answer events_open(struct events *e, struct target *t);
void events_close(struct events *e);

/* Returns where the history of a target lies: it has the addresses of objects, and keeps none of
 * them alive. The extent is empty if there is no history that can be read. */
struct extent events_extent(struct target *t);

/* Says on standard error why a target has no events, and what to do. */
void events_explain(const struct target *t, enum events_answer answer);

/* Stores pointers to the events of the objects that lay at an address, newest first, and returns
 * how many there are. The caller frees *found. An object that was resized so that the address was
 * no longer in it still counts, until it is freed. */
size_t events_about(const struct events *e, uint64_t address, const struct event ***found);

/* Finds a stack by the number that its events have: return addresses, innermost first, which last
 * until events_close. Returns how many there are, 0 if the stack is not known or cannot be read. */
size_t events_stack(const struct events *e, uint32_t stack, const uint64_t **frames);

#endif
