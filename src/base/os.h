/* SPDX-License-Identifier: MIT
 *
 * os.h - every call that the library makes to the operating system.
 *
 * Nothing above this file knows of system calls, and nothing here knows of heaps. A function
 * changes errno only where its comment says so.
 */
#ifndef OS_H
#define OS_H

#include "base/base.h"

/* Bytes in a page: 4, 16 or 64 KiB, known at run time only. */
size_t os_page_bytes(void);

/* Rounds nbytes up to whole pages. What is larger than SIZE_MAX wraps to 0. */
static inline size_t os_whole_pages(size_t nbytes)
{
    return ceil_div(nbytes, os_page_bytes()) * os_page_bytes();
}

/* Maps nbytes, a multiple of the page, of private zero-filled memory. Returns NULL, with errno
 * set, if the system refuses. */
void *os_map(size_t nbytes);

/* Maps memory likewise, without a promise of the system that there is memory for all of it. */
void *os_reserve(size_t nbytes);

/* Reserves nbytes of address space. Each access to it is a fault until os_allow. Returns NULL if
 * the system refuses. */
void *os_reserve_closed(size_t nbytes);

/* Reserves nbytes of address space likewise. It reads as zero, and each write to it is a fault
 * until os_allow. */
void *os_reserve_readable(size_t nbytes);

/* Removes a mapping, or a part of one in whole pages, from the address space. */
void os_unmap(void *address, size_t nbytes);

/* Maps a whole file to read and write, shared with all processes that map it, and stores its
 * length. Returns NULL, with errno set, if that fails. */
void *os_map_file(const char *path, size_t *nbytes);

/* Gives the memory of whole pages back: they read as zero, and have no memory behind them until
 * they are written to again. Returns false, and changes nothing, if the system refuses. */
bool os_give_back(void *address, size_t nbytes);

/* The size of a huge page that os_want_huge_pages asks for. */
enum { HUGE_PAGE_BYTES = 2 << 20 };

/* Tells the system that huge pages would suit the memory, or would not, where such pages lie wholly
 * in it. That is advice, and nothing else depends on it. (Linux heeds it unless all huge pages are
 * switched off: Documentation/admin-guide/mm/transhuge.rst.) */
void os_want_huge_pages(void *address, size_t nbytes, bool wanted);

/* Makes the page at the address now, a huge one if the system has one for it, as a write would, but
 * changes no byte. A system that cannot (Linux before 5.14) does nothing. */
void os_make_page(void *address);

/* Writes a zero to each of OS_PAGES_TIMED pages, which were never written to, and returns how many
 * nanoseconds 4 KiB took at least. That may be too few or too many by half, as it makes no system
 * call. */
enum { OS_PAGES_TIMED = 8 };
uint64_t os_small_page_ns(void *pages);

/* Returns how many of nbytes from a page's beginning on are in memory; all of them, if the system
 * does not tell. */
size_t os_resident_bytes(const void *address, size_t nbytes);

/* Returns whether the 8 bytes at an address, a multiple of 8, can be read without a fault. False,
 * too, if the system does not tell. */
bool os_is_readable(uintptr_t address);

/* Makes each access to these whole pages a fault. Returns false, and changes nothing, if the system
 * refuses. */
bool os_forbid(void *address, size_t nbytes);

/* Allows access to such pages, or only reads of them. Return false, and change nothing, if the
 * system refuses. */
bool os_allow(void *address, size_t nbytes);
bool os_allow_reads(void *address, size_t nbytes);

/* Bytes of memory in this machine; 0 if the system does not tell. */
size_t os_ram_bytes(void);

/* Bytes of address space that this process may have (ulimit -v); SIZE_MAX if there is no limit. */
size_t os_address_limit(void);

/* Sets a limit of a process, unless `limit` is NULL, and stores what it was, unless `was` is NULL:
 * both are a struct rlimit with 64 bits. Returns 0, or the errno with which the system refuses. */
int os_limit(int pid, int resource, const void *limit, void *was);

/* Bytes of address space that this process has already; SIZE_MAX if the system does not tell. */
size_t os_address_bytes(void);

/* What os_milliseconds keeps from one call to the next; all 0 at first. */
struct os_clock {
    uint64_t looked; /* what the processor's counter was at the last call */
    uint64_t ticks;  /* how far it has counted in all */
};

/* Returns the time on a clock that never goes back, but may run about twice as fast or as slow as
 * it should. Makes no system call. The caller excludes other calls with that os_clock. */
uint64_t os_milliseconds(struct os_clock *clock);

/* What os_time keeps from one call to the next; all 0 at first. */
struct os_time {
    uint64_t asked;        /* what the processor's counter was when the system was asked last */
    uint64_t milliseconds; /* what it said */
};

/* Returns the time of CLOCK_MONOTONIC in milliseconds, up to about two of them late: the system is
 * asked only when that much has passed. 0 if it does not tell. The caller excludes other calls with
 * that os_time. */
uint64_t os_time(struct os_time *time);

/* Returns whether the program has rights beyond those of the user that started it (setuid). */
bool os_is_privileged(void);

/* Fills memory with bytes that no other process can guess. Returns false if the system has none. */
bool os_random(void *memory, size_t nbytes);

/* Writes all of text to a file descriptor, or as much as that takes. */
void os_write(int fd, const char *text, size_t nbytes);

/* Opens a pipe to write to it, if the path names the pipe with that inode number; also for reading,
 * so that a pipe whose reader ends meanwhile takes what is written, and sends no signal. Returns
 * a descriptor, or -1. Both functions keep errno. */
int os_open_pipe(const char *path, uint64_t inode);
void os_close(int fd);

/* Asks the system for os_barrier. Returns false if it has none, or refuses. */
bool os_barrier_open(void);

/* Makes a memory barrier on all processors that run this process, so that the threads there
 * need none in their code. Returns false if the system refuses. */
bool os_barrier(void);

/* Returns an address that stands for the calling thread: no other thread has it at the same time.
 * It needs no system call, and stays what it is in a child of fork. */
static inline const void *os_thread_pointer(void)
{
#if defined(__x86_64__)
    const void *self;
    __asm__("mov %%fs:0, %0" : "=r"(self)); /* the ABI has its own address there */
    return self;
#elif defined(__aarch64__)
    const void *self;
    __asm__("mrs %0, tpidr_el0" : "=r"(self));
    return self;
#else
    return __builtin_thread_pointer();
#endif
}

/* Return the number of the calling thread, of the process, and of its parent. */
int os_thread_id(void);
int os_process_id(void);
int os_parent_id(void);

/* Returns whether this process has no thread of that number any longer. */
bool os_thread_is_gone(int id);

/* Lets other threads run. The caller waits for one of them, and calls this for the n-th time in a
 * row: from the hundredth on, the calling thread sleeps. */
void os_pause(unsigned n);

/* Sleeps while the word is `value`, until os_wake is called for it. May return earlier. */
void os_wait(const uint32_t *word, uint32_t value);

/* Wakes one of the threads of this process that sleep in os_wait for the word, if there are any. */
void os_wake(const uint32_t *word);

/* From now on has the three functions called around each fork: before it, and after it in
 * the parent and in the child. Returns false if there is no memory for that. */
bool os_at_fork(void (*before)(void), void (*in_parent)(void), void (*in_child)(void));

#endif
