/* SPDX-License-Identifier: MIT
 *
 * btree.h - two sorted sequences of 64-bit words, in one piece of memory that
 * grows down from a fixed end.
 *
 * The ledger keeps its chunks in two orders. A word is (high, low):
 *
 *     BY_ADDRESS  (start, state)    every chunk; state 0 is free, else live
 *     BY_SIZE     (length, start)   the free chunks only
 *
 * The chunks tile the region from granule 0 to `top`, so a chunk ends where the
 * next one begins and needs no length of its own: to join two chunks is to
 * remove a word.
 *
 * A short sequence is a sorted array. A long one is a B+-tree (Bayer and
 * McCreight 1972; Comer, "The Ubiquitous B-Tree", 1979) with nodes of four
 * cache lines that stay three quarters full: a full node first shares with its
 * neighbours, and five become six (Knuth's B*-tree, vol. 3, 6.2.4). An inner
 * word stands for a child: by address it is (first start, longest free
 * chunk below), which is what makes first fit a descent; by size, the child's
 * first word.
 *
 *      low                                                             end
 *       | array by size | array by address | node n-1 | ... | node 0 |
 *          (either is absent once its sequence has become a tree)
 *
 *   BT1  nodes are dense: when one goes, the last one moves into its place;
 *   BT2  an inner word says exactly what is below it;
 *   BT3  a node has LEAF_MIN or INNER_MIN words or more, but for the root and for
 *       the children of a root that has fewer than GROUP_MAX;
 *   BT4  so the memory is at most BTREE_COST bytes for each word BY_ADDRESS, if
 *       BY_SIZE has at most half as many (test/unit/btree.c counts it out).
 *
 *   BT5  whatever somebody has written over the nodes and arrays: nothing outside the
 *       `room` is read or written, and every call returns. What it then does is of no
 *       use; only btree_is_valid and btree_lookup say so.
 *
 *   BT6  a sum of all words is kept: a boundary between two objects may be moved so that
 *       no count would tell.
 *
 * Not thread-safe. A cursor is good until the next change to either sequence.
 */
#ifndef BTREE_H
#define BTREE_H

#include "base/base.h"

enum order { BY_ADDRESS, BY_SIZE };

enum {
    LEAF_CAP = 31,
    LEAF_MIN = 24,
    INNER_CAP = 20,
    INNER_MIN = 15,
    GROUP_MAX = 5,     /* neighbours that share their words when one is full or short */
    ARRAY_MAX = 144,   /* a longer array becomes a tree, */
    ARRAY_AGAIN = 125, /* and a tree this short an array: apart, so as not to flutter */
    HEIGHT_MAX = 8,    /* 2^32 words in leaves of 24 below inner nodes of 15 */
    BTREE_COST = 19,
    NO_SLOT = -1
};

struct tree {
    uint32_t nwords;
    uint32_t root;   /* a node, if height > 0 */
    uint32_t height; /* levels of inner nodes; 0: an array */
};

struct btree {
    unsigned char *end;
    uint32_t nnodes;
    uint32_t top; /* where the last chunk ends, before and after each change */
    struct tree tree[2];
    uint32_t sum; /* of all words (BT6) */
    size_t room;  /* bytes below `end` that it may have */
};

/* A place in a sequence: the way down to it. step[0] is the leaf or the array. */
struct cursor {
    enum order order;
    int height;
    struct step {
        uint64_t *word;
        int nwords, slot;
    } step[HEIGHT_MAX + 1];
};

static inline uint64_t word_of(uint32_t high, uint32_t low)
{
    return (uint64_t)high << 32 | low;
}

static inline uint32_t high_of(uint64_t word)
{
    return (uint32_t)(word >> 32);
}

static inline uint32_t low_of(uint64_t word)
{
    return (uint32_t)word;
}

static inline uint64_t cursor_word(const struct cursor *c)
{
    return c->step[0].word[c->step[0].slot];
}

/* Two empty sequences in the `room` bytes below `end`, which is a multiple of 16. */
void btree_open(struct btree *b, void *end, size_t room);

/* Can these numbers be? BT5 holds if they can. O(1). */
bool btree_is_sane(const struct btree *b);

/* Memory in use below `end`, in bytes. */
size_t btree_nbytes(const struct btree *b);

/* To the last word <= key. If there is none: false, and the cursor is at
 * NO_SLOT, before the first. */
bool btree_floor(const struct btree *b, enum order order, uint64_t key, struct cursor *c);

/* To the first word >= key > 0, or false. */
bool btree_ceil(const struct btree *b, enum order order, uint64_t key, struct cursor *c);

/* To the last word, or false if the sequence is empty. */
bool btree_last(const struct btree *b, enum order order, struct cursor *c);

/* To the next or the previous word; or false, and the cursor stays. */
bool btree_next(const struct btree *b, struct cursor *c);
bool btree_prev(const struct btree *b, struct cursor *c);

/* By address: where the chunk at the cursor ends. */
uint32_t btree_chunk_end(const struct btree *b, const struct cursor *c);

/* By address: to the first free chunk of ngranules > 0 or more, or false. */
bool btree_first_free(const struct btree *b, uint32_t ngranules, struct cursor *c);

/* By address: from the cursor, which may be the answer itself, to the nearest
 * free chunk at a higher or a lower address; or false. */
bool btree_free_above(const struct btree *b, struct cursor *c);
bool btree_free_below(const struct btree *b, struct cursor *c);

/* For who has no lock: the last word BY_ADDRESS that is <= key, and where its chunk ends.
 * Never reads outside `nbytes` below b->end, nor for ever, whatever is there; what it
 * says is good only if nothing has changed meanwhile. False: there is none, or what is
 * there makes no sense. */
bool btree_lookup(const struct btree *b, size_t nbytes, uint64_t key, uint64_t *word,
                  uint32_t *end);

/* Inserts `word` right after the cursor, which must be btree_floor's for it. */
void btree_insert(struct btree *b, struct cursor *c, uint64_t word);

/* Removes the word at the cursor. The cursor is good still: at the word before, or
 * at NO_SLOT if there is none. */
void btree_remove(struct btree *b, struct cursor *c);

/* Replaces the word at the cursor by one that sorts in the same place. */
void btree_update(struct btree *b, struct cursor *c, uint64_t word);

/* Recounts BT1 to BT3, and BT6. */
bool btree_is_valid(const struct btree *b);

#endif
