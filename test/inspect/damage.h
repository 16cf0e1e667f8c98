/* SPDX-License-Identifier: MIT
 *
 * damage.h - damages core files and snapshots at random: single bits, words, pieces that are copied
 * elsewhere, an early end; and fields of a heap's header, whose checksum is made right again, so
 * that what lies behind the checksum is reached, too.
 */
#ifndef DAMAGE_H
#define DAMAGE_H

#include <stddef.h>
#include <stdint.h>

enum { NHOT = 256 };

/* A file in memory, and the offsets at which it has what matters most. */
struct damage {
    unsigned char *bytes;
    size_t nbytes;
    uint64_t state;                 /* of the random numbers: the seed, to begin with */
    size_t hot[NHOT], nhot;         /* what the caller has found; may be none */
    size_t headers[NHOT], nheaders; /* headers of heaps whose checksum is right */
};

uint64_t damage_random(struct damage *d);

/* Returns a random number below n, which is not 0. */
size_t damage_below(struct damage *d, size_t n);

/* Returns a number that a reader is likely to take for something. */
uint64_t damage_number(struct damage *d);

/* Returns an offset: near what matters most, in the headers of the file, at a byte that is not 0,
 * or anywhere. */
size_t damage_place(struct damage *d);

/* Finds the headers of heaps in the bytes. */
void damage_find_headers(struct damage *d);

/* Changes one thing, or makes the file shorter. It has more than 64 bytes. Headers are changed only
 * while they lie where they were found. */
void damage_once(struct damage *d);

#endif
