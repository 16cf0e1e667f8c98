/* SPDX-License-Identifier: MIT
 *
 * canary.h - secret bytes behind an object, which say whether anything was written there, and which
 * family of calls the object came from.
 *
 *     [ object ][ 00 c1 c2 ... c7 | 00 c1 c2 ... c7 | ... ][ rest of the slack ]
 *               end                                  at most CANARY_MAX bytes
 *
 *   CA1  the bytes depend on a secret of the process, on the address, and on the family. The first
 *        of each eight is 0, so that a string without an end stops there;
 *   CA2  an overrun is seen if it changes one of these bytes. To keep all of them it would have to
 *        know them: 56 bits, where the object has eight bytes of slack or more.
 */
#ifndef CANARY_H
#define CANARY_H

#include "base/base.h"

/* Which calls belong together: what one of a family allocates, another one of it frees. */
enum family { FAMILY_MALLOC, FAMILY_NEW, FAMILY_NEW_ARRAY, NFAMILIES };

enum { CANARY_BYTES = 8, CANARY_MAX = 64 };

/* Sets the secret of this process, before the first canary is written. */
void canary_open(const uint64_t secret[2]);

/* Writes a canary into the slack behind an object, which ends at `end`. */
void canary_write(void *end, size_t slack, enum family family);

/* Returns how many bytes behind `end` are as canary_write left them; `slack`, or CANARY_MAX if that
 * is less, says that all of them are. */
size_t canary_intact(const void *end, size_t slack, enum family family);

/* Returns how many bytes of the canary are as canary_write left them, wherever they are. */
size_t canary_kept(const void *end, size_t slack, enum family family);

/* Returns how many bytes of the slack are a canary. */
static inline size_t canary_length(size_t slack)
{
    return smaller_of(slack, CANARY_MAX);
}

#endif
