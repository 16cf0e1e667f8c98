/* SPDX-License-Identifier: MIT
 *
 * mem.h - a heap in one region of memory that can answer for every address.
 *
 *     Mem_Init(65536);
 *     char *p = Mem_Alloc(100);        any fit: the library chooses
 *     char *q = Mem_Alloc(100, FF);    first fit
 *     Mem_GetSize(q + 42);             100: from any address inside
 *     Mem_Free(q + 99);                0:   any address inside frees
 *     Mem_Free(q);                     -1:  already free, nothing happens
 *
 * The numbers [C1] to [C14] are the promises of the library; each has a test
 * of the same number in test/contract.
 *
 * Sizes are in bytes. Every call may be made from any thread [C13]. A call
 * that fails says why in m_error and in errno; a call that succeeds leaves
 * both alone [C9]. All bookkeeping lives in the region, apart from the
 * objects: no overrun of an object into another changes an answer [C10].
 */
#ifndef MEM_H
#define MEM_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Why the last call that failed did so [C9]. The library only writes it. With
 * threads it tells of some recent failure; errno is each thread's own.
 *
 *   m_error                errno
 *   E_NO_SPACE             ENOMEM   no free space in the region is large enough
 *   E_CORRUPT_FREESPACE    EUCLEAN  somebody wrote into freed memory
 *   E_PADDING_OVERWRITTEN  -        never set: there is no padding that matters
 *   E_BAD_ARGS             EINVAL   an argument out of range, or a call too early
 *                          EEXIST   Mem_Init: there is a heap already
 *   E_BAD_POINTER          EINVAL   the address lies in no live object
 */
enum {
    E_NO_SPACE = 1,
    E_CORRUPT_FREESPACE = 2,
    E_PADDING_OVERWRITTEN = 3,
    E_BAD_ARGS = 4,
    E_BAD_POINTER = 5
};
extern int m_error;

/* Where an object is placed [C3]. Ties go to the lowest address, and an object
 * is cut from the low end of its chunk (Knuth, The Art of Computer Programming
 * vol. 1, 2.5, gives the first two their names). */
enum {
    BESTFIT = 0,  /* in the smallest free chunk that is large enough */
    WORSTFIT = 1, /* in the largest free chunk */
    FIRSTFIT = 2, /* in the free chunk at the lowest address that is large enough */
    M_BESTFIT = BESTFIT,
    M_WORSTFIT = WORSTFIT,
    M_FIRSTFIT = FIRSTFIT,
    BF = BESTFIT,
    WF = WORSTFIT,
    FF = FIRSTFIT
};

/* Asks the system for a region of sizeOfRegion bytes, rounded up to whole
 * pages, zero-filled, with one mmap: the only one that the library ever makes
 * [C1]. The region lives until the process ends. Returns 0; or -1 with
 * E_BAD_ARGS if sizeOfRegion <= 0 or there is a heap already, E_NO_SPACE if the
 * system refuses. After a failure another call may succeed. */
int Mem_Init(int sizeOfRegion);

/* Mem_Alloc(size) and Mem_Alloc(size, style): a new object of exactly `size`
 * bytes [C2], 16-byte aligned; its content is indeterminate. The caller owns
 * it until it passes any address inside it to Mem_Free. A size is paid for in
 * whole multiples of 16, and an object costs 24 bytes of the region beside
 * [C11]; in a slot (below) a byte, and up to an eighth of its size, above 8 KiB a
 * half. Returns NULL with
 *   E_BAD_ARGS           size <= 0, a style that does not exist, or no Mem_Init;
 *   E_NO_SPACE           if and only if no free chunk can hold the object (where
 *                        there is no room for one more record, a free chunk is
 *                        handed out whole, until the object is freed);
 *   E_CORRUPT_FREESPACE  the free chunk that would be used had been written to
 *                        [C12]. The damage is repaired: a second call succeeds.
 * O(log n) in the number of chunks. Without a style: a small object (up to 512
 * bytes in a region of 1 MiB, up to 64 KiB from 128 MiB on) in a slot, in a piece of
 * the region that is cut into slots of about its size, O(1); any other by best fit.
 *
 * Programs with a header of their own may declare Mem_Alloc as (int) or as (int,
 * int): the symbol takes two arguments, and a style that it does not know is no
 * style. Declared as (int), the second one is whatever the register holds, so
 * that any of the three fits may come of it. Here Mem_Alloc(size, style) calls
 * Mem_AllocStyle, which refuses such a style; Mem_Alloc has an address, too. */
void *Mem_AllocStyle(int size, int style);
#ifdef __cplusplus
void *Mem_AllocSymbol(int size, int style) __asm__("Mem_Alloc");
#else
void *Mem_Alloc(int size, int style);
#define MEM_ALLOC_ONE(size)                 (Mem_Alloc)(size, -1)
#define MEM_ALLOC_TWO(size, style)          Mem_AllocStyle(size, style)
#define MEM_ALLOC_PICK(one, two, name, ...) name
#define Mem_Alloc(...)                      MEM_ALLOC_PICK(__VA_ARGS__, MEM_ALLOC_TWO, MEM_ALLOC_ONE, 0)(__VA_ARGS__)
#endif

/* Frees the live object that ptr lies in: its first byte, its last, or any
 * between [C4]. Free neighbours become one chunk at once [C5]. Never reads or
 * writes through ptr. Returns 0, also for NULL, where nothing happens; or -1
 * with E_BAD_POINTER, changing nothing, for any other address whatever. Of two
 * frees of one object, one after the other, one is refused. What no address
 * can tell [C14]: once the memory of a freed object has been given out again,
 * its old address is a valid address of the new object; and one past the end
 * of an object may be the first byte of the next. O(log n). */
int Mem_Free(void *ptr);

/* 1 if ptr lies in a live object, from the first to the last byte that was
 * asked for [C6]; else 0, which is no failure. O(log n). */
int Mem_IsValid(void *ptr);

/* The size in bytes that was asked for, of the live object that ptr lies in
 * [C7]; or -1 with E_BAD_POINTER if there is none. O(log n). */
int Mem_GetSize(void *ptr);

/* Prints the free chunks to standard output, in address order, with totals and
 * a map of the region [C8]. Allocates nothing. Other threads that call the
 * library wait until the printing is done: do not print into a pipe that one of
 * them reads. */
void Mem_Dump(void);

/* Recounts all that the library knows of the heap, and compares each free
 * chunk's node (below) with it. Returns 0; or -1 with E_CORRUPT_FREESPACE if
 * freed memory had been written to since it was last looked at: the nodes are
 * repaired, so a second call returns 0. If it does not, an overrun has left the
 * objects and hit the records at the end of the region; nothing can mend those.
 * -1 with E_BAD_ARGS before Mem_Init. O(n log n); other threads wait. */
int Mem_Check(void);

/* The free list [C12]: each free chunk begins with such a node, in address
 * order. It is for reading: the library writes it, and decides nothing by it.
 * A node that disagrees with the library's own records was overwritten through
 * a stale pointer or an overrun; Mem_Check and the Mem_Alloc that would use the
 * chunk find it and repair it. Walk it while no other thread calls. */
typedef struct __list_t {
    int size;              /* of the chunk, in bytes */
    bool type;             /* true: free */
    struct __list_t *next; /* the next free chunk by address, or NULL */
} * MemNodePtr;
extern MemNodePtr m_free_list; /* the first free chunk, or NULL */

#ifdef __cplusplus
} /* extern "C" */

inline void *Mem_Alloc(int size)
{
    return Mem_AllocSymbol(size, -1);
}

inline void *Mem_Alloc(int size, int style)
{
    return Mem_AllocStyle(size, style);
}
#endif
#endif
