/* SPDX-License-Identifier: MIT
 *
 * mem.h - one heap for the process, in one region of memory. The library can say of every address
 * which object it lies in.
 *
 *     Mem_Init(65536);
 *     char *p = Mem_Alloc(100);       // any fit: the library chooses where
 *     char *q = Mem_Alloc(100, FF);   // first fit
 *     Mem_GetSize(q + 42);            // 100: any address inside the object will do
 *     Mem_Free(q + 99);               // 0: any address inside the object frees it
 *     Mem_Free(q);                    // -1: it is free already, and nothing happens
 *
 * The numbers [C1] to [C15] are the promises of the library. Each has a test of this number in the
 * folder test/contract.
 *
 * Sizes are in bytes, and n in O(log n) is the number of chunks: the live objects and the runs of
 * free memory between them. Any thread may make any call at any time [C13]. Two frees of one
 * object that race may both return 0: if its memory is handed out between the two, the second one
 * frees the new object. The heap is intact all the same. A call that fails says why in m_error and
 * in errno. A call that succeeds leaves both alone [C9]. All that the library notes about objects
 * lies in the region, apart from the objects: if a program writes over an end of an object and into
 * other objects or free memory, no answer of the library changes [C10].
 */
#ifndef MEM_H
#define MEM_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Why the last call that failed did so [C9]. Only the library writes it. In a program with several
 * threads it holds the reason of some recent failure, perhaps of another thread; errno belongs to
 * each thread alone.
 *
 *   m_error                errno
 *   E_NO_SPACE             ENOMEM   No free chunk of the region is large enough.
 *                                   In Mem_Init: the system gives no region of this size.
 *   E_CORRUPT_FREESPACE    EUCLEAN  The program has written into the first 16 bytes of a free
 *                                   chunk; or an overrun has hit the library's records.
 *   E_PADDING_OVERWRITTEN  -        Never set, since there is no padding that matters.
 *   E_BAD_ARGS             EINVAL   An argument is out of range, or Mem_Init was not called before.
 *                          EEXIST   In Mem_Init: there is a heap already.
 *   E_BAD_POINTER          EINVAL   The address lies in no live object.
 */
enum {
    E_NO_SPACE = 1,
    E_CORRUPT_FREESPACE = 2,
    E_PADDING_OVERWRITTEN = 3,
    E_BAD_ARGS = 4,
    E_BAD_POINTER = 5
};
extern int m_error;

/* Where an object is placed [C3]. If two free chunks suit equally well, the one at the lower
 * address is chosen, and an object is cut from the low end of its chunk; so placement is
 * deterministic. (Knuth, The Art of Computer Programming vol. 1, 2.5, gives best fit and first
 * fit their names.) The names with M_ in front and the short names mean the same styles. */
enum {
    BESTFIT = 0,  /* In the smallest free chunk that is large enough. */
    WORSTFIT = 1, /* In the largest free chunk. */
    FIRSTFIT = 2, /* In the free chunk at the lowest address that is large enough. */
    M_BESTFIT = BESTFIT,
    M_WORSTFIT = WORSTFIT,
    M_FIRSTFIT = FIRSTFIT,
    BF = BESTFIT,
    WF = WORSTFIT,
    FF = FIRSTFIT
};

/* Makes the heap. Asks the system for a region of sizeOfRegion bytes, rounded up to whole pages
 * and zero-filled, with one mmap, the only one that the calls of this file ever make [C1]. (In a
 * program that has made 24 heaps of mem_heap.h before, the table of all heaps may need one more.)
 * The region belongs to the library until the process ends.
 *   Returns 0; or -1, and m_error is E_BAD_ARGS if sizeOfRegion <= 0 or there is a heap already, or
 * E_NO_SPACE if the system refuses. After a failure another call may succeed. */
int Mem_Init(int sizeOfRegion);

/* Mem_Alloc(size) and Mem_Alloc(size, style) return a new object of exactly `size` bytes, at a
 * multiple of 16 [C2]. Its content is indeterminate. The caller owns it until it passes any address
 * inside it to Mem_Free.
 *
 * With a style, the object is placed by that style [C3], in O(log n). Without a style the library
 * chooses: a small object comes from a slot, in O(1), and any other is placed by best fit. A slot
 * is one of many places of equal size that a piece of the region is cut into. Regions of less than
 * 1 MiB have no slots. In a region of 1 MiB slots serve objects of up to 512 bytes; in larger
 * regions they serve larger objects, and from 512 MiB on objects of up to 64 KiB. A call without a
 * style takes at most 1.2 times as long as one with BESTFIT, on average over some dozens of calls,
 * whatever was allocated before [C15]; where a slot serves it, it takes a fraction of that.
 *
 * An object costs its size, rounded up to a multiple of 16, and 24 bytes of the region in addition
 * [C11]. In a slot it costs one byte in addition, above 256 bytes three, and is rounded up to a
 * multiple of 16; above 128 bytes by at most an eighth of its size, above 8 KiB by up to a half.
 *
 * Returns NULL, and m_error is
 *   E_BAD_ARGS           if size <= 0, the style does not exist, or there is no heap yet;
 *   E_NO_SPACE           if and only if no free chunk can hold the object, and, without a style, no
 *                        free slot. (Where there is no room for one more record, a free chunk is
 *                        handed out whole, until the object is freed.)
 *   E_CORRUPT_FREESPACE  if the program had written into the first 16 bytes of the free chunk
 *                        that would be used [C12]. The damage is repaired, so that a second call
 *                        succeeds. Also if an overrun has hit the library's records, which cannot
 *                        be repaired.
 *
 * Programs with a header of their own may declare Mem_Alloc as (int) or as (int, int): the symbol
 * takes two arguments, and treats a style that it does not know as no style. If it is declared as
 * (int), the second argument is whatever the register holds, so that any style may come of it. In
 * programs that include this file, Mem_Alloc(size, style) calls Mem_AllocStyle, which refuses a
 * style that does not exist. The address of Mem_Alloc can be taken too. */
void *Mem_AllocStyle(int size, int style);
#ifdef __cplusplus
void *Mem_AllocSymbol(int size, int style) __asm__("Mem_Alloc");
#else
void *Mem_Alloc(int size, int style);
#define MEM_ALLOC_ONE(size)                 (Mem_Alloc)(size, -1)
#define MEM_ALLOC_TWO(size, style)          Mem_AllocStyle(size, style)
#define MEM_ALLOC_PICK(one, two, name, ...) name

#define Mem_Alloc(...) MEM_ALLOC_PICK(__VA_ARGS__, MEM_ALLOC_TWO, MEM_ALLOC_ONE, 0)(__VA_ARGS__)
#endif

/* Frees the live object that ptr lies in: its first byte, its last, or any byte between [C4]. Free
 * neighbours become one chunk at once [C5]. Never reads or writes through ptr.
 *   Returns 0. If ptr is NULL, nothing happens, and it returns 0 too. For every other address it
 * returns -1, and m_error is E_BAD_POINTER, or E_CORRUPT_FREESPACE if an overrun has hit the
 * records; then nothing has changed. Of two frees of one object, one after the other, the second is
 * refused.
 *   No address can tell two things [C14]. Once the memory of a freed object has been handed out
 * again, its old address is a valid address of the new object. And one past the end of an object
 * may be the first byte of the next object. O(log n). */
int Mem_Free(void *ptr);

/* Returns 1 if ptr lies in a live object, from the first to the last byte that was asked for [C6].
 * Otherwise returns 0, which is no failure: m_error and errno stay as they are. O(log n). */
int Mem_IsValid(void *ptr);

/* Returns the size, as it was asked for, of the live object that ptr lies in [C7]. Returns -1 if
 * there is none, and m_error is E_BAD_POINTER, or E_CORRUPT_FREESPACE if an overrun has hit the
 * records. O(log n). */
int Mem_GetSize(void *ptr);

/* Prints the free chunks to standard output, in address order, with totals and a map of the
 * region [C8]. Flushes stdout first, so that earlier output comes before. Allocates nothing. Other
 * threads that call the library wait until all is printed: do not print into a pipe that one of
 * these threads reads. */
void Mem_Dump(void);

/* Recounts all that the library knows of the heap, and compares it with the node of each free chunk
 * (see below). Other threads wait. O(n log n).
 *   Returns 0; or -1, and m_error is
 *   E_BAD_ARGS           if there is no heap yet;
 *   E_CORRUPT_FREESPACE  if the program has written over a node since it was last compared [C12];
 *                        the rest of free memory is not looked at. The nodes are repaired, so
 *                        that a second call returns 0. If it does not, an overrun has left the
 *                        objects and hit the records at the end of the region, and nothing can
 *                        repair those. */
int Mem_Check(void);

/* The free list [C12]. Each free chunk begins with such a node, and the nodes are linked in address
 * order. They are for reading: the library writes them, and decides nothing by them. If a node
 * disagrees with the library's own records, the program has overwritten it through a stale pointer
 * or an overrun. Mem_Check finds that and repairs it, and so does the Mem_Alloc that would use the
 * chunk. A program may walk the list only while no other thread calls the library. */
typedef struct __list_t {
    int size;              /* The size of the chunk in bytes. */
    bool type;             /* True, since the chunk is free; false where the program had written
                              over the node, until a call has reported that. */
    struct __list_t *next; /* The next free chunk by address, or NULL. */
} * MemNodePtr;
extern MemNodePtr m_free_list; /* The node of the first free chunk, or NULL. */

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
