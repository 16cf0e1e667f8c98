/* SPDX-License-Identifier: MIT
 *
 * parts.c - the parts of a heap, and how many of them are open. Invariants: parts.h, header.h.
 *
 *     part 0 ... nopen - 1     open: a struct heap in memory
 *     part nopen ...           only reserved: a struct heap is made up for each call that reads one
 *
 * So a heap of 128 TiB costs what its first part costs until that is full.
 */
#include "heaps/parts.h"

#include "base/os.h"
#include "core/heap.h"

/* Returns the struct heap of a part: in the header, or at the part's begin. */
RACING static void *part_at(const mem_heap *m, size_t part)
{
    return part == 0 ? header_at(m, m->state) : header_at(m, part * PART_BYTES);
}

/* Returns how many bytes a part has, its struct heap included. */
RACING static size_t part_bytes(const mem_heap *m, size_t part)
{
    size_t rest = m->nbytes - part * PART_BYTES;
    return smaller_of(rest, PART_BYTES);
}

/* The region of a part, as it is when the part is opened: of a heap that opens in steps, only the
 * ends are open then. */
RACING static struct region part_region(const mem_heap *m, size_t part)
{
    struct region r = header_region(m);
    size_t nbytes = part_bytes(m, part), head = part == 0 ? header_bytes(m) : PART_HEAD;
    if (part > 0)
        r = (struct region){header_at(m, part * PART_BYTES + head), nbytes - head, true, 0};
    if (header_opens_in_steps(m))
        r.open_bytes = region_open_bytes(nbytes, head);
    return r;
}

/* Only a heap with guard pages has no spans here, and only one of a single part has an hcache. */
RACING void parts_make(const mem_heap *m, size_t part, struct heap *h)
{
    struct region r = part_region(m, part);
    if (header_has_guards(m))
        heap_open_guarded(h, r, (uint32_t)(header_guard_bytes(m) / GRANULE_BYTES));
    else
        heap_open_single(h, r, !m->is_mapped, header_has_hcache(m));
}

RACING bool parts_is_in_place(const mem_heap *m, size_t part, const struct heap *h)
{
    struct region r = part_region(m, part);
    const struct ledger *l = &h->chunks.ledger;
    return (part == 0 || header_nopen(m) > 0) && NOW(h->chunks.region.base) == r.base &&
           NOW(h->chunks.region.nbytes) == r.nbytes && NOW(l->b.end) == r.base + r.nbytes &&
           NOW(l->nbytes) == r.nbytes && NOW(l->b.room) <= r.nbytes &&
           ledger_readable_bytes(l) <= r.nbytes && NOW(h->spans.slice_shift) <= SLICE_SHIFT;
}

RACING struct heap *parts_heap(const mem_heap *m, size_t part, struct heap *view)
{
    if (part == 0 || part < header_nopen(m))
        return part_at(m, part);
    parts_make(m, part, view);
    return view;
}

/* A lookup may read the part as soon as it is counted. */
struct heap *parts_open(mem_heap *m)
{
    size_t nopen = header_nopen(m);
    struct heap *h = part_at(m, nopen);
    assert(nopen < parts_count(m));
    if (!region_open_ends((unsigned char *)h, part_bytes(m, nopen)))
        return NULL;
    parts_make(m, nopen, h);
    header_set_nopen(m, nopen + 1);
    return h;
}

/* No byte was ever written in parts that are not open [HD6]. */
size_t parts_resident_bytes(const mem_heap *m)
{
    size_t nbytes = m->nbytes;
    if (header_has_parts(m) && header_nopen(m) < parts_count(m))
        nbytes = header_nopen(m) * PART_BYTES;
    return m->is_mapped ? os_resident_bytes(m, nbytes) : nbytes;
}
