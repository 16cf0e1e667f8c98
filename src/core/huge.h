/* SPDX-License-Identifier: MIT
 *
 * huge.h - whether huge pages are asked for now: the policy alone, without a clock.
 *
 * A virtual machine may get memory from its host only when it touches it. Then a huge page takes 5
 * to 13 ms, and the small pages in its place 1 ms, since these are made of memory that some program
 * has just left. Elsewhere a huge page takes 0.1 ms. Only the time of one tells. So now and then
 * the first huge page that is asked for is made and timed:
 *
 *   HU1  while huge pages are fast, at most one in 5 ms is timed. An object's goes back to the
 *        system at once, so that the object takes no memory that the program does not write to.
 *        One into which the heap grows [HU3] stays, since another thread may have got it by then;
 *   HU2  after a slow one nothing asks for huge pages during a pause of 20 ms, which is four
 *        times as long after each further slow one, up to a second. The slow page itself stays,
 *        since the program is likely to write to it, and has waited for it;
 *   HU3  large objects ask; and so does a heap that has grown beyond HUGE_HEAP, for the memory into
 *        which it grows next, HUGE_PIECE at a time and HUGE_AHEAD before it is used. What such a
 *        heap wastes in a huge page is little beside what it has, while its many small pages would
 *        each cost a fault, and the processor remembers where only some of them are.
 *   HU4  before anything asks, small pages are timed, once. They are slow in a virtual machine
 *        whose hypervisor keeps page tables besides the system's: 512 of them take longer than the
 *        slowest huge page. There large objects ask, and all of the heap beyond HUGE_SOME, the page
 *        map counted, without timing any. For a program of some GiB that has a few huge pages among
 *        small ones waits 5 to 7 us there for each access to a small one, and less than 0.1 with
 *        either kind alone;
 *   HU5  a huge page that has gone back in part does not ask any longer, since the system
 *        (khugepaged) would make it whole again within seconds; nor does one that has gone back
 *        wholly, since smaller objects may come to lie there, but where small pages are slow.
 *
 * All times are in milliseconds, but that of a small page. The caller holds the heap's lock.
 */
#ifndef HUGE_H
#define HUGE_H

#include "base/base.h"

/* All 0 at first, except `next`: the first page is timed. */
struct huge {
    bool slow;        /* the page that was timed last was slow */
    bool knows_small; /* small pages have been timed [HU4] */
    bool always;      /* they were slow */
    uint32_t next;    /* when all below was used, the next memory asks; 0: never [HU3, HU4] */
    uint64_t pause;   /* how long the last answer holds */
    uint64_t again;   /* when the next page is timed */
};

/* In granules, and whole huge pages. */
enum {
    HUGE_SOME = (32 << 20) / GRANULE_BYTES,
    HUGE_HEAP = (512 << 20) / GRANULE_BYTES,
    HUGE_PIECE = (16 << 20) / GRANULE_BYTES,
    HUGE_AHEAD = (2 << 20) / GRANULE_BYTES
};

enum huge_answer { HUGE_NO, HUGE_YES, HUGE_TIME_ONE };

/* Returns whether an object should ask for huge pages, or should time one first, for which it has a
 * page if `can_time`. Then other callers go by the last answer until huge_note is called. */
enum huge_answer huge_ask(struct huge *h, bool can_time, uint64_t now);

/* Notes how many nanoseconds 4 KiB of small pages took, before anything has asked [HU4]. */
void huge_note_small(struct huge *h, uint64_t took);

/* Notes how long the timed page took, and returns whether that was fast. */
bool huge_note(struct huge *h, uint64_t took, uint64_t now);

#endif
