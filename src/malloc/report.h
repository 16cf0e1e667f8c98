/* SPDX-License-Identifier: MIT
 *
 * report.h - one line on standard error, written from any state of the process.
 *
 * A line is assembled in a buffer on the stack and leaves with one write(). It uses no stdio, which
 * allocates and may not be ready yet, and takes no lock.
 *
 *     libmem: free(0x7f21c4000a18): 24 bytes into the object of 100 bytes at 0x7f21c4000a00
 */
#ifndef REPORT_H
#define REPORT_H

#include "core/heap.h"
#include "malloc/hard.h"

struct line {
    size_t n;
    char text[256]; /* a longer line is cut off */
};

/* Append a string, n bytes, a number in decimal, an address in hexadecimal. */
void line_text(struct line *l, const char *text);
void line_bytes(struct line *l, const char *text, size_t n);
void line_decimal(struct line *l, size_t number);
void line_address(struct line *l, const void *address);

/* Ends the line and writes it. Not a cancellation point; keeps errno. */
void line_write(struct line *l);

/* Writes it to a descriptor, instead of standard error. */
void line_write_to(struct line *l, int fd);

/* Reports that `call` refused `address` because of `why`. `there` is the object that the address
 * lies in; it is read only if `why` is HEAP_INSIDE. Users match these lines: do not change them. */
void report_refusal(const char *call, const void *address, enum heap_result why,
                    const struct object *there);

/* Reports what a measure has found during `call`. It begins like the two others: "libmem: call(",
 * the argument, and "): ". */
void report_fault(const char *call, const void *address, const struct fault *fault);

/* Reports that `call` would read, or write, nbytes at `address`: beyond the end of `object`; or, if
 * its start is NULL, in memory that is free or that is no object's. */
void report_copy(const char *call, bool writes, const void *address, size_t nbytes, bool is_free,
                 const struct object *object);

/* Reports that `call`, for nbytes, fails since LIBMEM=fail wants the allocation of that number to
 * fail. */
void report_failure(const char *call, size_t nbytes, size_t number);

/* Reports that `call` was given another size or alignment than the object has. */
void report_wrong_size(const char *call, const struct object *object, size_t nbytes, size_t align);

#endif
