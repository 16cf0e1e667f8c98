/* SPDX-License-Identifier: MIT
 *
 * report.h - one line on standard error, from anywhere.
 *
 * A line is put together here and leaves with one write: no stdio, which may not
 * be ready yet and allocates, and no lock.
 *
 *     libmem: free(0x7f21c4000a18): 24 bytes into the object of 100 bytes at 0x7f21c4000a00
 */
#ifndef REPORT_H
#define REPORT_H

#include "core/heap.h"

struct line {
    size_t n;
    char text[256]; /* what is too long for it is cut off */
};

void line_text(struct line *l, const char *text);
void line_bytes(struct line *l, const char *text, size_t n);
void line_decimal(struct line *l, size_t number);
void line_address(struct line *l, const void *address);

/* Ends the line and writes it. No cancellation point; leaves errno alone. */
void line_write(struct line *l);

/* The call refused `address` because of `why`; `there` is the object that the address
 * lies in, if why is HEAP_INSIDE. */
void report_refusal(const char *call, const void *address, enum heap_result why,
                    const struct object *there);

#endif
