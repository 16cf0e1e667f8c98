/* SPDX-License-Identifier: MIT
 *
 * history.h - the last calls that allocated, resized or freed an object: what, where, when, and
 * from where in the program. LIBMEM=history asks for it.
 *
 *     [head][event][event] ... [stack][stack] ...        one mapping, private to the process
 *
 *   HS1  events lie in a ring, in the order in which the heap changed. The oldest are overwritten;
 *   HS2  stacks are raw return addresses. Each is stored once, and stays until the process ends. If
 *        no room is left for a new one, its events have no stack;
 *   HS3  no memory but this mapping is used, and none after the start;
 *   HS4  the stack is taken before the heap's lock, and the event is noted under it.
 *
 * A process with a history has no thread caches, so each call comes through a slow path.
 *
 * Both the library and the tool `mem` include this file. The mapping is private, and not shared, so
 * that the child of a fork goes on with a copy of its parent's history, and core files have it.
 */
#ifndef HISTORY_H
#define HISTORY_H

#include "malloc/call.h"
#include "malloc/stack.h"

/* --- what lies in the mapping ------------------------------------------------------ */

enum event_kind { EVENT_TAKEN = 1, EVENT_FREED, EVENT_RESIZED /* where it lay */ };

struct event {
    uint64_t address;
    uint64_t nbytes : 40; /* of the object; after the call, if it was resized */
    uint64_t kind : 4;    /* enum event_kind */
    uint64_t call : 20;   /* enum call */
    uint64_t time;        /* of CLOCK_MONOTONIC, in milliseconds (os_time) */
    uint32_t thread;      /* its number in the system */
    uint32_t stack;       /* which word of the stacks it begins at; 0: it is not known */
};

/* The head. Places count in bytes from the head itself. */
struct history {
    uint64_t nevents; /* that the ring holds: a power of two */
    uint64_t nnoted;  /* so far. Event n is at n % nevents, and is complete if n < nnoted */
    uint64_t nwords, nwords_used; /* of stacks; word 0 is not used */
    uint64_t events_at, stacks_at, index_at;
    uint64_t nstacks, nlost; /* stored, and those that found no room */
};

/* A stack is a word that says how many return addresses follow it, innermost first. The rest of the
 * word is the upper part of their hash. */
#define STACK_NFRAMES(word) ((unsigned)((word)&63))
static_assert(STACK_MAX < 64, "a stack's length fits there");

/* A tool of another version does not understand the mapping. It changes with all of the above. */
#define HISTORY_LAYOUT ((1u << 16) + (unsigned)sizeof(struct event))

enum { HISTORY_MIN = 1 << 10, HISTORY_DEFAULT = 1 << 20, HISTORY_MAX = 1 << 26 };

/* --- the library's part -------------------------------------------------------------- */

/* Makes the history of this process, for nevents, a power of two. Returns NULL if the system
 * refuses the memory: about 100 bytes for each event, most of which are touched only when they are
 * used. */
struct history *history_open(size_t nevents);

/* After a fork, in the child: the calling thread has another number now. */
void history_forked(void);

/* What is known of a call before the heap's lock is taken. */
struct moment {
    struct stack stack;
    uint32_t thread;
};

/* Stores the calling thread's stack and number. */
void moment_take(struct moment *m);

/* Notes an event. The caller holds the heap's lock. */
void history_note_locked(struct history *h, const struct moment *m, enum event_kind kind,
                         enum call call, const void *address, size_t nbytes);

/* The last events of the object that an address lies in, or lay in. */
struct past {
    struct event taken, freed; /* kind is 0 if there is none in the ring */
    uint64_t time;             /* now, on the clock of events */
};

/* Looks for the last events around an address. The caller holds the heap's lock. O(nevents). */
struct past history_find_locked(const struct history *h, const void *address);

/* Writes three stacks to a descriptor: that of the call at `now`, and those of the past; only the
 * first if `past` is NULL. The caller holds no lock. */
void history_print(const struct history *h, const struct moment *now, const struct past *past,
                   int fd);

#endif
