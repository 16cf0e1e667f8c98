/* SPDX-License-Identifier: MIT
 *
 * free-anywhere.c - what Mem_Free accepts, and what it refuses.
 *
 *     ./free-anywhere
 *
 * Prints a line for each call: what was passed, what came back and, where the
 * call was refused, m_error by name. Three objects are freed through their
 * first, a middle and their last byte; everything else is refused and changes
 * nothing. Ends with status 1 if an answer is not the promised one.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mem.h"

enum { OBJECT_BYTES = 100, REFUSED = -1, FREED = 0 };

static int nsurprises;

static const char *error_name(int error)
{
    switch (error) {
    case E_NO_SPACE:
        return "E_NO_SPACE";
    case E_CORRUPT_FREESPACE:
        return "E_CORRUPT_FREESPACE";
    case E_PADDING_OVERWRITTEN:
        return "E_PADDING_OVERWRITTEN";
    case E_BAD_ARGS:
        return "E_BAD_ARGS";
    case E_BAD_POINTER:
        return "E_BAD_POINTER";
    default:
        return "an unknown error";
    }
}

static void try_free(const char *what, void *ptr, int promised)
{
    int result = Mem_Free(ptr);
    /* m_error tells of the last failure, so it means nothing after a success. */
    const char *error = result == REFUSED ? error_name(m_error) : "-";
    int is_as_promised = result == promised && (result != REFUSED || m_error == E_BAD_POINTER);

    printf("%-48s  %6d   %s%s\n", what, result, error, is_as_promised ? "" : "  NOT AS PROMISED");
    nsurprises += !is_as_promised;
}

static char *new_object(void)
{
    char *object = Mem_Alloc(OBJECT_BYTES);

    if (object == NULL) {
        fprintf(stderr, "free-anywhere: Mem_Alloc: %s\n", error_name(m_error));
        exit(1);
    }
    return object;
}

static void inside(void)
{
    char *a = new_object(), *b = new_object(), *c = new_object();

    try_free("a       the first byte of 100", a, FREED);
    try_free("b + 50  a byte in the middle", b + OBJECT_BYTES / 2, FREED);
    try_free("c + 99  the last byte", c + OBJECT_BYTES - 1, FREED);
}

/* One past the end is tried on an object of 100 bytes: it is paid for with 112,
 * so that byte 100 is rounding slack, which is nobody's. Were the size a
 * multiple of 16, start + size could be the first byte of the next object, and
 * Mem_Free, which accepts any byte of an object, would rightly free that one. */
static void around_an_object(void)
{
    char *d = new_object();

    try_free("d + 100 one past the end", d + OBJECT_BYTES, REFUSED);
    try_free("d       still there, so this one succeeds", d, FREED);
    try_free("d       the same again", d, REFUSED);
    try_free("d + 50  a byte in the middle of what was freed", d + OBJECT_BYTES / 2, REFUSED);
}

static void foreign(void)
{
    static char fixed;
    char local = 0;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    void *mapping = mmap(NULL, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    try_free("a variable on the stack", &local, REFUSED);
    try_free("a static variable", &fixed, REFUSED);
    try_free("the code of a function", (void *)(uintptr_t)foreign, REFUSED);
    /* PROT_NONE: had Mem_Free looked there, the program would end here. */
    if (mapping != MAP_FAILED)
        try_free("a mapping of our own, which nobody may read", mapping, REFUSED);
    try_free("address 1", (void *)(uintptr_t)1, REFUSED);
    try_free("the highest address there is", (void *)UINTPTR_MAX, REFUSED);
    try_free("NULL    allowed, and nothing happens", NULL, FREED);
}

int main(void)
{
    if (Mem_Init(4096) != 0) {
        fprintf(stderr, "free-anywhere: Mem_Init: %s\n", error_name(m_error));
        return 1;
    }
    int free_at_start = m_free_list->size;

    printf("%-48s  %6s   %s\n", "passed to Mem_Free", "result", "m_error");
    printf("------------------------------------------------  ------   -------------\n");
    inside();
    around_an_object();
    foreign();

    int is_whole =
        m_free_list != NULL && m_free_list->next == NULL && m_free_list->size == free_at_start;
    printf("\nThe heap is %s: %d bytes at the start, %d in the first free chunk now.\n",
           is_whole ? "one free chunk again" : "NOT one free chunk again", free_at_start,
           m_free_list == NULL ? 0 : m_free_list->size);
    return nsurprises == 0 && is_whole ? 0 : 1;
}
