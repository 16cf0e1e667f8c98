/* SPDX-License-Identifier: MIT
 *
 * os.h - every call that the library makes to the operating system, but for locks.
 *
 * Nothing above this file knows of system calls, and nothing here knows of heaps.
 */
#ifndef OS_H
#define OS_H

#include "base/base.h"

/* Bytes in a page: 4, 16 or 64 KiB, known at run time only. */
size_t os_page_bytes(void);

/* nbytes (a multiple of the page) of private zero-filled memory, or NULL. */
void *os_map(size_t nbytes);

/* The same without a promise that there is memory for all of it. */
void *os_reserve(size_t nbytes);

/* Takes a mapping, or a part of one in whole pages, out of the address space. */
void os_unmap(void *address, size_t nbytes);

/* A whole file, shared with all who map it, to read and write; or NULL, and errno says
 * why. */
void *os_map_file(const char *path, size_t *nbytes);

/* The pages need not keep what they hold: they have no memory behind them until
 * they are written to again, and read as zero. False if the system refuses, and
 * nothing has changed. Leaves errno alone. */
bool os_give_back(void *address, size_t nbytes);

/* How much of a mapping's nbytes from a page's begin on is in memory, in bytes; all, if the
 * system does not tell. Leaves errno alone. */
size_t os_resident_bytes(const void *address, size_t nbytes);

/* From now on whoever touches these pages has a fault; and no longer. False if the system
 * refuses, and nothing has changed. Leave errno alone. */
bool os_forbid(void *address, size_t nbytes);
bool os_allow(void *address, size_t nbytes);

/* Bytes of memory in this machine; and bytes of address space that this process may
 * have, SIZE_MAX for no limit. */
size_t os_ram_bytes(void);
size_t os_address_limit(void);

/* A clock that only goes on; it may tick every few milliseconds. */
uint64_t os_milliseconds(void);

/* Does the program have rights that who started it has not (setuid)? */
bool os_is_privileged(void);

/* Writes all of text to a file descriptor, or as much as it takes. */
void os_write(int fd, const char *text, size_t nbytes);

/* A memory barrier on all processors that run this process, so that the other side
 * needs none in its code. False: the system has none, or refuses. */
bool os_barrier_open(void);
bool os_barrier(void);

/* The number of the calling thread; and whether there is no such thread in this process. */
int os_thread_id(void);
bool os_thread_is_gone(int id);

/* Lets others run: for the n-th time in a row that what is waited for is not there. */
void os_pause(unsigned n);

/* Has the three called around each fork from now on: before it, and after it
 * in the parent and in the child. False for want of memory. */
bool os_at_fork(void (*before)(void), void (*in_parent)(void), void (*in_child)(void));

#endif
