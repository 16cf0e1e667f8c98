/* SPDX-License-Identifier: MIT
 *
 * counters.h - what a heap has done, in numbers.
 *
 *   CN1  nlive + nfreed == nallocated + ninherited;
 *   CN2  nlive and live_bytes are the sums of those of all sizes;
 *   CN3  no peak is less than what it is the peak of.
 *
 * Bytes are those that callers asked for. An object is counted by its size:
 *
 *     size[i]    0 to 16, 17 to 32, 33 to 64, ... up to 64 GiB
 *
 * These are numbers and no pointers, so they may lie in a file that other processes map
 * (counterfile.h). The caller holds the heap's lock.
 */
#ifndef COUNTERS_H
#define COUNTERS_H

#include "base/base.h"

enum { COUNTED_SHIFT_MIN = 4, COUNTED_SHIFT_MAX = 36 };
enum { NCOUNTED_SIZES = COUNTED_SHIFT_MAX - COUNTED_SHIFT_MIN + 1 };

enum refusal { REFUSED_FREE, REFUSED_INSIDE, REFUSED_NOT_OURS, REFUSED_NO_OBJECT, NREFUSALS };

struct count_of_size {
    uint64_t nallocated, nlive, nlive_peak, live_bytes;
};

struct counters {
    uint64_t nallocated, allocated_bytes;
    uint64_t nfreed;
    uint64_t nlive, live_bytes, live_bytes_peak;
    uint64_t ninherited, inherited_bytes; /* a child of fork begins with its parent's objects */
    uint64_t nresized;                    /* where they lay */
    uint64_t nmoved;                      /* to be resized: one allocated, one freed */
    uint64_t nfailed;                     /* for want of memory */
    uint64_t nrefused[NREFUSALS];         /* wrong pointers */
    uint64_t region_bytes;                /* reserved */
    uint64_t used_bytes, used_bytes_peak; /* of that in objects, slots and records */
    uint64_t given_back_bytes;            /* to the system: an estimate */
    struct count_of_size size[NCOUNTED_SIZES];
};

/* Returns which of size[] an object of nbytes counts in. */
unsigned counters_size(size_t nbytes);

/* Returns the most bytes that an object in size[size] has. In the last of size[] larger objects
 * count, too. */
uint64_t counters_size_bytes(unsigned size);

/* counters_take: an object of nbytes was allocated. counters_free: one was freed.
 * counters_resize: one has become nbytes_after long where it lay. */
void counters_take(struct counters *c, size_t nbytes);
void counters_free(struct counters *c, size_t nbytes);
void counters_resize(struct counters *c, size_t nbytes, size_t nbytes_after);

/* Notes that nbytes of the region are in use now. */
void counters_use(struct counters *c, uint64_t nbytes);

/* Makes the counts that the child of a fork begins with. */
void counters_inherit(struct counters *child, const struct counters *parent);

#endif
