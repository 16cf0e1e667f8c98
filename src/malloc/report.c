/* SPDX-License-Identifier: MIT
 *
 * report.c - assembles and writes the lines of report.h, among them the one for a refused pointer.
 */
#include "malloc/report.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/os.h"

void line_bytes(struct line *l, const char *text, size_t n)
{
    assert(l->n < sizeof l->text);
    size_t room = sizeof l->text - 1 - l->n; /* one byte is for the newline */
    n = smaller_of(n, room);
    memcpy(l->text + l->n, text, n);
    l->n += n;
}

void line_text(struct line *l, const char *text)
{
    line_bytes(l, text, strlen(text));
}

static void line_digits(struct line *l, uintptr_t number, unsigned base)
{
    char digits[24];
    size_t at = sizeof digits;
    assert(base == 10 || base == 16);
    do {
        digits[--at] = "0123456789abcdef"[number % base];
        number /= base;
    } while (number != 0);
    line_bytes(l, digits + at, sizeof digits - at);
}

void line_decimal(struct line *l, size_t number)
{
    line_digits(l, number, 10);
}

void line_address(struct line *l, const void *address)
{
    line_text(l, "0x");
    line_digits(l, (uintptr_t)address, 16);
}

void line_write_to(struct line *l, int fd)
{
    assert(l->n < sizeof l->text);
    l->text[l->n] = '\n';
    os_write(fd, l->text, l->n + 1);
}

void line_write(struct line *l)
{
    line_write_to(l, STDERR_FILENO);
}

/* How each line about an address begins. */
static void line_begin(struct line *l, const char *call, const void *address)
{
    line_text(l, "libmem: ");
    line_text(l, call);
    line_text(l, "(");
    line_address(l, address);
    line_text(l, "): ");
}

#ifndef NDEBUG
/* What a failing assertion of this library calls. That of libc allocates, and would wait for ever
 * for the heap's lock if the assertion failed while the lock was held. */
void __assert_fail(const char *assertion, const char *file, unsigned line, const char *function)
{
    struct line l = {0};
    line_text(&l, "libmem: ");
    line_text(&l, file);
    line_text(&l, ":");
    line_decimal(&l, line);
    line_text(&l, ": ");
    line_text(&l, function);
    line_text(&l, ": assertion failed: ");
    line_text(&l, assertion);
    line_write(&l);
    abort();
}
#endif

void report_refusal(const char *call, const void *address, enum heap_result why,
                    const struct object *there)
{
    struct line l = {0};
    assert(why != HEAP_OK && (why != HEAP_INSIDE || there->start != NULL));
    line_begin(&l, call, address);
    if (why == HEAP_FREE) {
        line_text(&l, "already free");
    } else if (why == HEAP_NOT_OURS) {
        line_text(&l, "not ours: outside the heap");
    } else if (why == HEAP_INSIDE) {
        line_decimal(&l, (uintptr_t)address - (uintptr_t)there->start);
        line_text(&l, " bytes into the object of ");
        line_decimal(&l, there->size);
        line_text(&l, " bytes at ");
        line_address(&l, there->start);
    } else {
        line_text(&l, "in no object: behind the end of one, or in the heap's own records");
    }
    line_write(&l);
}

void report_fault(const char *call, const void *address, const struct fault *fault)
{
    struct line l = {0};
    const struct object *object = &fault->object;
    assert(fault->kind != FAULT_NONE);
    line_begin(&l, call, address);
    line_text(&l, fault->kind == FAULT_MISMATCH   ? "the object of "
                  : fault->kind == FAULT_UNDERRUN ? "byte -"
                                                  : "byte ");
    if (fault->kind != FAULT_MISMATCH) {
        line_decimal(&l, fault->at);
        line_text(&l, " of the object of ");
    }
    line_decimal(&l, object->size);
    line_text(&l, " bytes at ");
    line_address(&l, object->start);
    if (fault->kind == FAULT_STALE)
        line_text(&l, " was written after it was freed");
    else if (fault->kind == FAULT_UNDERRUN)
        line_text(&l, ", before its start, was written");
    else if (fault->kind == FAULT_OVERRUN)
        line_text(&l, ", behind its end, was written");
    else {
        line_text(&l, " was allocated by ");
        line_text(&l, call_name(fault->allocated_by));
    }
    line_write(&l);
}

void report_copy(const char *call, bool writes, const void *address, size_t nbytes, bool is_free,
                 const struct object *object)
{
    const char *access = writes ? "would be written" : "would be read";
    size_t into = (uintptr_t)address - (uintptr_t)object->start;
    struct line l = {0};
    line_begin(&l, call, address);
    if (object->start != NULL) {
        line_text(&l, "byte ");
        line_decimal(&l, into > object->size ? into : object->size);
        line_text(&l, " of the object of ");
        line_decimal(&l, object->size);
        line_text(&l, " bytes at ");
        line_address(&l, object->start);
        line_text(&l, ", behind its end, ");
        line_text(&l, access);
    } else {
        line_decimal(&l, nbytes);
        line_text(&l, " bytes ");
        line_text(&l, access);
        line_text(&l, is_free ? " where memory is free" : " in the heap's own records");
    }
    line_write(&l);
}

void report_failure(const char *call, size_t nbytes, size_t number)
{
    struct line l = {0};
    line_text(&l, "libmem: ");
    line_text(&l, call);
    line_text(&l, " of ");
    line_decimal(&l, nbytes);
    line_text(&l, " bytes fails: allocation ");
    line_decimal(&l, number);
    line_write(&l);
}

void report_wrong_size(const char *call, const struct object *object, size_t nbytes, size_t align)
{
    struct line l = {0};
    line_begin(&l, call, object->start);
    if (object->size != nbytes) {
        line_text(&l, "called for ");
        line_decimal(&l, nbytes);
        line_text(&l, " bytes, but the object has ");
        line_decimal(&l, object->size);
    } else {
        line_text(&l, "called for an object at a multiple of ");
        line_decimal(&l, align);
        line_text(&l, ", but it is not at one");
    }
    line_write(&l);
}
