/* SPDX-License-Identifier: MIT
 *
 * memcheck.h - tells memcheck, valgrind's default tool, which memory is an object, and which no
 * code may touch: so it reports a touch behind an object or after it was freed, with the calls that
 * took and freed it, and objects that nothing points to any longer. It does something only in a
 * process that runs under memcheck, of a library that was built where valgrind/memcheck.h is there.
 *
 *   MC1  memcheck_is_there is false in every other process, and never changes once the library's
 *        constructors have run;
 *   MC2  where it is true, no heap has a fast path: no heap of the caller's own has the first word
 *        of one (heaps/header.c), and no thread of malloc's has a cache (malloc/start.c). So each
 *        object passes the places that call these functions, and the fast paths know nothing of
 *        them;
 *   MC3  a block of memcheck's is an object. No two blocks overlap, or memcheck ends: an object in
 *        which a heap lies is none (heaps/create.c);
 *   MC4  memory that was an object may be touched again once it is the library's own: chunks that
 *        are taken for spans (slots/pagemap.c), and what records grow into (core/watch.c);
 *   MC5  what a lookup touches is not reported: it holds no lock, so what were records may have
 *        become an object and been freed while it reads them (heaps/readers.c).
 *
 * Every caller asks first whether memcheck_is_there.
 */
#ifndef MEMCHECK_H
#define MEMCHECK_H

#include "base/base.h"

#if defined(__has_include)
#if __has_include(<valgrind/memcheck.h>)
#define WITH_MEMCHECK
#endif
#endif
#ifdef WITH_MEMCHECK

extern bool memcheck_is_there;

/* Asks whether memcheck is there. The library's constructor does so; this is for what may run
 * before. */
void memcheck_ask(void);

/* An object was taken that has `room` bytes, of which the caller may touch the first `size`. What
 * they hold counts as not initialised. */
void memcheck_take(void *object, size_t size, size_t room);

/* An object of `old` bytes has `size` now, where it lies. */
void memcheck_resize(void *object, size_t old, size_t size, size_t room);

/* An object was freed: no code may touch it. */
void memcheck_free(void *object, size_t size);

/* There is no object any longer, but its memory may be touched. */
void memcheck_forget(void *object, size_t size);

/* The memory may be touched, and what it holds counts as initialised. */
void memcheck_show(void *from, size_t nbytes);

/* What the calling thread does is not reported, until it is to be reported again. */
void memcheck_quiet(bool quiet);

#else
enum { memcheck_is_there = 0 };
#define memcheck_ask()                           ((void)0)
#define memcheck_take(object, size, room)        ((void)(object), (void)(size), (void)(room))
#define memcheck_resize(object, old, size, room) ((void)(old), memcheck_take(object, size, room))
#define memcheck_free(object, size)              ((void)(object), (void)(size))
#define memcheck_forget(object, size)            ((void)(object), (void)(size))
#define memcheck_show(from, nbytes)              ((void)(from), (void)(nbytes))
#define memcheck_quiet(quiet)                    ((void)(quiet))
#endif

#endif
