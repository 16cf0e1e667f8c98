/* SPDX-License-Identifier: MIT
 *
 * counters.c - counts objects as they come and go: in all, by size, and the peaks. Invariants:
 * counters.h. Each function keeps all three.
 */
#include "core/counters.h"

/* The shift is that of the power of two to which nbytes is rounded up: 5 for 17 to 32 bytes. */
unsigned counters_size(size_t nbytes)
{
    if (nbytes <= (size_t)1 << COUNTED_SHIFT_MIN)
        return 0;
    unsigned shift = 64 - (unsigned)__builtin_clzll(nbytes - 1);
    assert(shift > COUNTED_SHIFT_MIN);
    return least(shift, COUNTED_SHIFT_MAX) - COUNTED_SHIFT_MIN;
}

uint64_t counters_size_bytes(unsigned size)
{
    assert(size < NCOUNTED_SIZES);
    return (uint64_t)1 << (size + COUNTED_SHIFT_MIN);
}

/* Peaks only go up [CN3]. */
static void raise_to(uint64_t *peak, uint64_t n)
{
    *peak = *peak < n ? n : *peak;
}

/* One more object of nbytes is live: CN2 and CN3. */
static void begin_object(struct counters *c, size_t nbytes)
{
    struct count_of_size *s = &c->size[counters_size(nbytes)]; /* and in all [CN2] */
    s->nlive++;
    s->live_bytes += nbytes;
    raise_to(&s->nlive_peak, s->nlive);
    c->nlive++;
    c->live_bytes += nbytes;
    raise_to(&c->live_bytes_peak, c->live_bytes);
    assert(s->nlive_peak >= s->nlive && c->live_bytes >= s->live_bytes); /* CN2, CN3 */
}

/* One object of nbytes less is live. Peaks stay. */
static void end_object(struct counters *c, size_t nbytes)
{
    struct count_of_size *s = &c->size[counters_size(nbytes)];
    assert(s->nlive > 0 && s->live_bytes >= nbytes); /* it was counted with this size */
    assert(c->nlive >= s->nlive && c->live_bytes >= s->live_bytes); /* CN2 */
    s->nlive--;
    s->live_bytes -= nbytes;
    c->nlive--;
    c->live_bytes -= nbytes;
}

/* What is counted by size is counted for all sizes, too [CN2]. */
void counters_take(struct counters *c, size_t nbytes)
{
    c->nallocated++;
    c->allocated_bytes += nbytes;
    c->size[counters_size(nbytes)].nallocated++;
    begin_object(c, nbytes);
}

/* The size class is that of the size that the object has now, which a resize may have changed. */
void counters_free(struct counters *c, size_t nbytes)
{
    c->nfreed++;
    end_object(c, nbytes);
    assert(c->nlive + c->nfreed == c->nallocated + c->ninherited); /* CN1 */
}

/* The object stays the same one, so nothing is allocated or freed [CN1]; but it may change its
 * size class. */
void counters_resize(struct counters *c, size_t nbytes, size_t nbytes_after)
{
    c->nresized++;
    end_object(c, nbytes);
    begin_object(c, nbytes_after);
}

/* Called after each change, since objects, slots and records all count. */
void counters_use(struct counters *c, uint64_t nbytes)
{
    c->used_bytes = nbytes;
    raise_to(&c->used_bytes_peak, nbytes);
}

/* The child of a fork has allocated nothing yet, so its objects are inherited [CN1], and its
 * peaks begin with what is live. */
void counters_inherit(struct counters *child, const struct counters *parent)
{
    assert(child != parent);
    *child = (struct counters){.nlive = parent->nlive,
                               .live_bytes = parent->live_bytes,
                               .live_bytes_peak = parent->live_bytes,
                               .ninherited = parent->nlive,
                               .inherited_bytes = parent->live_bytes,
                               .region_bytes = parent->region_bytes,
                               .used_bytes = parent->used_bytes,
                               .used_bytes_peak = parent->used_bytes};
    for (unsigned i = 0; i < NCOUNTED_SIZES; i++)
        child->size[i] = (struct count_of_size){.nlive = parent->size[i].nlive,
                                                .nlive_peak = parent->size[i].nlive,
                                                .live_bytes = parent->size[i].live_bytes};
}
