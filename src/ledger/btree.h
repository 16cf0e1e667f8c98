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
 * chunk below), which makes first fit a descent; by size it is the child's
 * first word.
 *
 *      low                                                             end
 *       | array by size | array by address | node n-1 | ... | node 0 |
 *          (either is absent once its sequence has become a tree)
 *
 *   BT1  nodes are dense: when one goes, the last one moves into its place;
 *   BT2  an inner word says exactly what is below it;
 *   BT3  a node has LEAF_MIN or INNER_MIN words or more, except the root and
 *        the children of a root that has fewer than GROUP_MAX;
 *   BT4  so the memory is at most BTREE_COST bytes for each word BY_ADDRESS, if
 *        BY_SIZE has at most half as many (test/unit/ledger/btree.c counts it out);
 *   BT5  whatever has been written over the nodes and arrays, every call returns, and reads
 *        and writes nothing outside the `room`. What it then does is of no use, and only
 *        btree_is_valid and btree_lookup say so;
 *   BT6  a sum of all words is kept, since a boundary between two objects may be moved in a
 *        way that changes no count.
 *
 * The caller holds the lock that guards the btree, except for btree_lookup. A cursor is good
 * until the next change to either sequence.
 */
#ifndef BTREE_H
#define BTREE_H

#include "base/base.h"

enum order { BY_ADDRESS, BY_SIZE };

enum {
    LEAF_CAP = 31, /* words in a node of level 0, at most and at least [BT3] */
    LEAF_MIN = 24,
    INNER_CAP = 20, /* and in a node above */
    INNER_MIN = 15,
    GROUP_MAX = 5,     /* neighbours that share their words when one is full or short */
    ARRAY_MAX = 144,   /* a longer array becomes a tree, */
    ARRAY_AGAIN = 125, /* and a tree this short an array; the gap prevents going to and fro */
    HEIGHT_MAX = 8,    /* 2^32 words in leaves of 24 below inner nodes of 15 */
    BTREE_COST = 19,   /* bytes for each word BY_ADDRESS [BT4] */
    BEFORE_FIRST = -1  /* an index in a node or an array */
};

struct tree {
    uint32_t nwords;
    uint32_t root;   /* a node, if height > 0 */
    uint32_t height; /* levels of inner nodes; 0: the sequence is an array */
};

struct btree {
    unsigned char *end;
    uint32_t nnodes;
    uint32_t top; /* where the last chunk ends, before and after each change */
    struct tree tree[2];
    uint32_t sum; /* of all words [BT6] */
    size_t room;  /* bytes below `end` that it may use */
};

/* A place in a sequence: the way down to it. step[0] is in the leaf or in the array. */
struct cursor {
    enum order order;
    int height;
    struct step {
        uint64_t *word;
        int nwords, index;
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

/* Returns the word at a cursor that is not at BEFORE_FIRST. */
static inline uint64_t cursor_word(const struct cursor *c)
{
    return c->step[0].word[c->step[0].index];
}

/* Makes two empty sequences in the `room` bytes below `end`, which is a multiple of 16. */
void btree_open(struct btree *b, void *end, size_t room);

/* Returns whether these numbers are possible. If they are, BT5 holds. O(1). */
bool btree_is_sane(const struct btree *b);

/* Memory in use below `end`, in bytes. */
size_t btree_nbytes(const struct btree *b);

/* --- finding: each is O(log n) ------------------------------------------------- */

/* Moves the cursor to the last word <= key. If there is none, returns false with the cursor at
 * BEFORE_FIRST, before the first word. */
bool btree_floor(const struct btree *b, enum order order, uint64_t key, struct cursor *c);

/* Moves the cursor to the first word >= key, where key > 0; returns false if there is none. */
bool btree_ceil(const struct btree *b, enum order order, uint64_t key, struct cursor *c);

/* Moves the cursor to the last word; returns false if the sequence is empty. */
bool btree_last(const struct btree *b, enum order order, struct cursor *c);

/* Move the cursor to the next or the previous word. If there is none, they return false and
 * leave the cursor where it is. */
bool btree_next(const struct btree *b, struct cursor *c);
bool btree_prev(const struct btree *b, struct cursor *c);

/* Store the word before or after the cursor's, which stays where it is; return false if there is
 * none. */
bool btree_before(const struct btree *b, const struct cursor *c, uint64_t *word);
bool btree_after(const struct btree *b, const struct cursor *c, uint64_t *word);

/* By address: where the chunk at the cursor ends. */
uint32_t btree_chunk_end(const struct btree *b, const struct cursor *c);

/* By address: moves the cursor to the first free chunk of ngranules > 0 or more; returns false
 * if there is none. */
bool btree_first_free(const struct btree *b, uint32_t ngranules, struct cursor *c);

/* By address: move the cursor to the nearest free chunk at a higher or a lower address, which
 * may be where it is already; return false if there is none, and the cursor is void. */
bool btree_free_above(const struct btree *b, struct cursor *c);
bool btree_free_below(const struct btree *b, struct cursor *c);

/* For a reader without the lock: finds the last word BY_ADDRESS that is <= key, and where its
 * chunk ends. It never reads outside `nbytes` below b->end, and always returns. What it
 * finds is good only if nothing has changed meanwhile [SQ1]. Returns false if there is no such
 * word, or if what is there is not a btree. */
bool btree_lookup(const struct btree *b, size_t nbytes, uint64_t key, uint64_t *word,
                  uint32_t *end);

/* --- changing: each is O(log n) ------------------------------------------------ */

/* Inserts `word` right after the cursor, where btree_floor has put it for this word. The
 * caller has seen to it that there is room. The cursor is void. */
void btree_insert(struct btree *b, struct cursor *c, uint64_t word);

/* Removes the word at the cursor, which moves to the word before, or to BEFORE_FIRST if there is
 * none. At BEFORE_FIRST it does nothing. */
void btree_remove(struct btree *b, struct cursor *c);

/* Replaces the word at the cursor by one that sorts in the same place. The cursor stays good. */
void btree_update(struct btree *b, struct cursor *c, uint64_t word);

/* Counts BT1 to BT3, the order of all words and BT6 anew. O(n). */
bool btree_is_valid(const struct btree *b);

#endif
