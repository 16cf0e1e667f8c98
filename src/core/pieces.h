/* SPDX-License-Identifier: MIT
 *
 * pieces.h - a whole heap: piece by piece, tallied, and checked.
 *
 *     base                                                  base + nbytes
 *      [object][free][slot][slot][free slot][rest]...[tail]  [ ledger ]
 *
 *   PC1  pieces tile the region from its first byte to the end of the tail: each begins where
 *        the last one ended, and has one byte or more;
 *
 * Threads with caches take and free slots meanwhile, without the lock. Then each slot is as
 * it was at some moment of the walk, and a tally is close to the truth. A free slot counts as
 * free whether or not it is in the window of a thread.
 */
#ifndef PIECES_H
#define PIECES_H

#include "core/heap.h"
#include "slots/verify.h"

enum piece_kind {
    PIECE_OBJECT,
    PIECE_FREE,      /* a free chunk */
    PIECE_FREE_SLOT, /* a free slot among others of its size */
    PIECE_METADATA   /* what the library needs for spans, and what is left over in them */
};

struct piece {
    unsigned char *start;
    size_t nbytes; /* up to the next one */
    size_t size;   /* of an object, as asked for; of anything else 0 */
    enum piece_kind kind;
};

/* Finds the piece that begins `offset` bytes into the region, which is 0 or where another piece
 * ended. Returns false if none does: either all have ended (heap_ends_locked), or the ledger is
 * damaged. O(log n). */
bool heap_piece_locked(const struct heap *h, size_t offset, struct piece *p);

/* Finds the piece that begins at *offset, which may be anywhere, or that is the next to begin;
 * inside a free chunk, what is left of that. Stores in *offset where the piece begins. So a
 * caller that has let go of the lock in between can go on where a piece ended: it sees
 * what has not changed, and sees it once. Returns false as heap_piece_locked does. */
bool heap_piece_from_locked(const struct heap *h, size_t *offset, struct piece *p);

/* Returns whether all pieces have ended below `offset`. */
bool heap_ends_locked(const struct heap *h, size_t offset);

/* What is in a heap, or in several, counted out. All 0 at first. */
struct pieces_tally {
    size_t region_bytes, ledger_bytes;
    size_t metadata_bytes;                               /* of spans, beside the ledger */
    size_t nobjects, object_bytes, slack_bytes;          /* object_bytes: as asked for */
    size_t nfree_chunks, free_chunk_bytes, largest_free; /* the largest is of chunks */
    size_t nfree_slots, free_slot_bytes;
};

/* Adds one piece. */
void tally_piece(struct pieces_tally *t, const struct piece *p);

/* Adds all pieces of a heap, its region and its ledger. Returns false, with what was
 * counted until then, if the ledger is damaged. O(n log n). */
bool tally_heap_locked(struct pieces_tally *t, const struct heap *h);

/* Tallies one heap. Other threads wait, except those with caches. */
struct pieces_tally tally_heap(struct heap *h);

/* Free memory, in chunks and in slots alike. */
static inline size_t tally_nfree(const struct pieces_tally *t)
{
    return t->nfree_chunks + t->nfree_slots;
}

static inline size_t tally_free_bytes(const struct pieces_tally *t)
{
    return t->free_chunk_bytes + t->free_slot_bytes;
}

/* Says in words what is wrong with what is stored once, in the ledger and in the slots [VF1]; NULL
 * if nothing is, and then *n has counted the objects, too. The heap need not be in use: the
 * addresses in its page map may be `moved` bytes lower than what they stand for. Writes nothing.
 * O(n) for n chunks, slots and slices, and O(h log h) for h holes and spans. */
const char *check_given_locked(const struct heap *h, ptrdiff_t moved, struct recount *n);

/* Says in words which invariant of the ledger or of the slots does not hold; NULL if all do.
 * It believes no counter: all are counted again, and *n has the objects. */
const char *check_fault_locked(const struct heap *h, struct recount *n);

/* Checks the free list beside all that. Returns HEAP_OK; HEAP_LIST_DAMAGED if a node had been
 * written to since it was last looked at, and now all are right; HEAP_DAMAGED if there is a
 * fault, and nothing was changed; HEAP_NO_REGION. */
enum heap_result check_heap(struct heap *h);
enum heap_result check_heap_locked(const struct heap *h);

#endif
