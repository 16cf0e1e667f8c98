/* SPDX-License-Identifier: MIT
 *
 * textbook.h - the allocator that a textbook would write, to compare with.
 *
 * One region, one singly linked list of nodes in address order, a node in front
 * of every chunk, live or free. Everything is found by walking the list from its
 * start: a hole to allocate from, the object that an address lies in, and the
 * neighbours that a freed chunk joins.
 *
 *     first
 *       |
 *       v
 *     [node|object ...][node|hole .....][node|object][node|hole ...............]
 *         |____________^   |____________^    |_______^    |__ NULL             end
 *
 * It answers as libmem does: exact sizes, any address inside an object, joined
 * neighbours at once, ties to the lowest address, objects cut from the low end
 * of their hole. One thread only. Unlike libmem it believes what its nodes say,
 * and they stand between the objects.
 */
#ifndef TEXTBOOK_H
#define TEXTBOOK_H

#include <stdbool.h>
#include <stddef.h>

struct textbook_node {
    int size;  /* live: the bytes that were asked for; free: the bytes it can hold */
    bool type; /* true: free */
    struct textbook_node *next;
};

struct textbook {
    struct textbook_node *first; /* at the start of the region */
    char *end;                   /* one past the region's last granule */
};

/* A stretch of a heap that is to be laid out: an object, or a hole that an
 * object of this size left. */
struct textbook_piece {
    int size; /* bytes, > 0 */
    bool live;
};

enum { TEXTBOOK_GRANULE = 16 };

/* Makes one hole of the region, which is 16-byte aligned and of 32 bytes up to
 * INT_MAX. */
void textbook_init(struct textbook *t, void *region, size_t nbytes);

/* An object of `size` bytes, 16-byte aligned, placed by FIRSTFIT, BESTFIT or
 * WORSTFIT of mem.h; or NULL if size <= 0 or no hole can hold it. O(n). */
void *textbook_alloc(struct textbook *t, int size, int style);

/* Frees the object that ptr lies in and returns 0; or -1, changing nothing, if
 * ptr lies in none. O(n). */
int textbook_free(struct textbook *t, const void *ptr);

/* The size that was asked for, of the object that ptr lies in; or -1. O(n). */
int textbook_size_of(const struct textbook *t, const void *ptr);

/* How many holes there are; *last_bytes is what the one at the highest address
 * can hold. */
int textbook_count_holes(const struct textbook *t, int *last_bytes);

/* Lays out n pieces from the start of an empty list, and stores the address of
 * each live one in objects[], in order. The heap is the one that n first fits
 * and a free for each hole would give, without their n * n / 2 steps. No two
 * holes are neighbours, the last piece is live, and the region has room. */
void textbook_lay_out(struct textbook *t, const struct textbook_piece *pieces, int n,
                      void **objects);

/* Recounts everything: the nodes tile the region, and no two holes touch. */
bool textbook_is_valid(const struct textbook *t);

#endif
