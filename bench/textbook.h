/* SPDX-License-Identifier: MIT
 *
 * textbook.h - the allocator that a textbook would write, to compare libmem with.
 *
 * It has one region, and one singly linked list of nodes in address order. A node stands in
 * front of each chunk, live or free. Everything is found by walking the list from its start:
 * a hole to allocate from, the object that an address lies in, and the neighbours with which
 * a freed chunk is joined.
 *
 *     first
 *       |
 *       v
 *     [node|object ...][node|hole .....][node|object][node|hole ...............]
 *         |____________^   |____________^    |_______^    |__ NULL             end
 *
 * It returns what libmem returns: exact sizes; it accepts any address inside an object; free
 * neighbours are joined at once; among equal holes the lowest is chosen; an object is cut from
 * the low end of its hole. It is for one thread only. Unlike libmem it trusts its nodes, which
 * stand between the objects.
 */
#ifndef TEXTBOOK_H
#define TEXTBOOK_H

#include <stdbool.h>
#include <stddef.h>

struct textbook_node {
    int size;  /* of an object: the bytes that were asked for; of a hole: its payload */
    bool type; /* true if the chunk is free */
    struct textbook_node *next;
};

struct textbook {
    struct textbook_node *first; /* at the start of the region */
    char *end;                   /* one past the region's last granule */
};

/* A piece of a heap for textbook_lay_out: an object, or the hole that an object of this size
 * has left. */
struct textbook_piece {
    int size; /* bytes, > 0 */
    bool live;
};

enum { TEXTBOOK_GRANULE = 16 };

/* Makes one hole of the region, which is 16-byte aligned and has 32 bytes to INT_MAX. */
void textbook_init(struct textbook *t, void *region, size_t nbytes);

/* Allocates an object of `size` bytes, 16-byte aligned, placed by FIRSTFIT, BESTFIT or
 * WORSTFIT of mem.h. Returns NULL if size <= 0 or if no hole can hold the object. O(n). */
void *textbook_alloc(struct textbook *t, int size, int style);

/* Frees the object that ptr lies in, and returns 0. Returns -1 and changes nothing if ptr lies
 * in no object. O(n). */
int textbook_free(struct textbook *t, const void *ptr);

/* Returns the size that was asked for of the object that ptr lies in, or -1 if it lies in
 * none. O(n). */
int textbook_size_of(const struct textbook *t, const void *ptr);

/* Returns the number of holes. *last_bytes is the payload of the hole at the highest
 * address. */
int textbook_count_holes(const struct textbook *t, int *last_bytes);

/* Lays out n pieces from the start of an empty list, and stores the addresses of the live
 * ones in objects[], in order. The heap becomes the one that n allocations by first fit and a
 * free of each hole would make, without their n * n / 2 steps. The caller ensures that no two
 * holes are neighbours, that the last piece is live, and that the region has room. */
void textbook_lay_out(struct textbook *t, const struct textbook_piece *pieces, int n,
                      void **objects);

/* Returns whether T1 to T4 of textbook.c hold. */
bool textbook_is_valid(const struct textbook *t);

#endif
