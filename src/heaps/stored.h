/* SPDX-License-Identifier: MIT
 *
 * stored.h - a small heap keeps its ledger as numbers, without an address.
 *
 *     struct stored in the header  -- stored_load -->  struct heap on the stack  -->  a call
 *                                  <-- stored_save --
 *
 * So the heap may be moved or copied to another address, and 256 bytes are enough for it [HD1].
 */
#ifndef STORED_H
#define STORED_H

#include "core/heap.h"
#include "heaps/header.h"
#include "core/lookup.h"

/* Makes the struct heap of a heap without spans. The numbers in it may be damaged: the caller asks
 * header_numbers_are_whole and ledger_is_sane before it uses them. */
void stored_load(const mem_heap *m, struct heap *h);

/* Writes the numbers of such a struct heap back into the header. The caller holds the lock. */
void stored_save(mem_heap *m, const struct heap *h);

/* What an address is in a heap with or without spans, told without its lock [LK1 to LK3]. The
 * caller has seen that the header is whole. */
enum heap_result header_lookup(const mem_heap *m, const void *address, struct lookup_result *p);

#endif
