/* SPDX-License-Identifier: MIT
 *
 * free-anywhere.c - shows which addresses Mem_Free accepts, and which it refuses.
 *
 *     make build/examples/free-anywhere
 *     LD_LIBRARY_PATH=build build/examples/free-anywhere
 *
 * Mem_Free accepts the address of any byte of a live object, not only of the first byte, and
 * returns 0. It refuses every other address except NULL: it returns -1, sets m_error to
 * E_BAD_POINTER, and changes nothing. It never reads or writes the memory at the address.
 *
 * The program prints one line for each call: the address, the result, and m_error if the
 * call was refused. It ends with status 1 if a result is not the promised one.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mem.h"

enum { OBJECT_BYTES = 100, REFUSED = -1, FREED = 0 };

/* The number of calls whose result was not the promised one. */
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

/* Calls Mem_Free(ptr), and prints what it did beside what it has promised to do. */
static void try_free(const char *what, void *ptr, int promised)
{
    int result = Mem_Free(ptr);
    /* m_error is the reason of the last failure. A call that succeeds does not change it. */
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

/* Frees three objects, through three different bytes of them. */
static void inside(void)
{
    char *a = new_object(), *b = new_object(), *c = new_object();

    try_free("a       the first byte of 100", a, FREED);
    try_free("b + 50  a byte in the middle", b + OBJECT_BYTES / 2, FREED);
    try_free("c + 99  the last byte", c + OBJECT_BYTES - 1, FREED);
}

/* Passes addresses behind an object, and addresses of an object that was freed.
 *
 * An object of 100 bytes occupies 112, since the heap rounds up to a multiple of 16. Byte 100
 * therefore belongs to no object, and is refused. If the size were a multiple of 16, then
 * start + size could be the first byte of the next object, and Mem_Free would free that. */
static void around_an_object(void)
{
    char *d = new_object();

    try_free("d + 100 one past the end", d + OBJECT_BYTES, REFUSED);
    try_free("d       still live: the refusal changed nothing", d, FREED);
    try_free("d       already free", d, REFUSED);
    try_free("d + 50  a byte in the middle, already free", d + OBJECT_BYTES / 2, REFUSED);
}

/* Passes addresses outside the heap. */
static void foreign(void)
{
    static char fixed;
    char local = 0;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    void *mapping = mmap(NULL, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    try_free("a variable on the stack", &local, REFUSED);
    try_free("a static variable", &fixed, REFUSED);
    try_free("the code of a function", (void *)(uintptr_t)foreign, REFUSED);
    /* The mapping cannot be read: if Mem_Free did, SIGSEGV would end the program. */
    if (mapping != MAP_FAILED)
        try_free("a page that was mapped without access", mapping, REFUSED);
    try_free("address 1", (void *)(uintptr_t)1, REFUSED);
    try_free("the highest address", (void *)UINTPTR_MAX, REFUSED);
    try_free("NULL    is allowed and does nothing", NULL, FREED);
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

    /* Everything was freed, so all free chunks must have become one again. */
    int is_whole =
        m_free_list != NULL && m_free_list->next == NULL && m_free_list->size == free_at_start;
    printf("\nThe heap is %s: %d bytes at the start, %d in the first free chunk now.\n",
           is_whole ? "one free chunk again" : "NOT one free chunk again", free_at_start,
           m_free_list == NULL ? 0 : m_free_list->size);
    return nsurprises == 0 && is_whole ? 0 : 1;
}
