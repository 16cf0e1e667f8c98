/* SPDX-License-Identifier: MIT
 *
 * create.h - what create.c (a new heap) and attach.c (a heap that was one before) share.
 */
#ifndef CREATE_H
#define CREATE_H

#include "heaps/header.h"
#include "heaps/session.h"

/* Returns the options of a call: its caller's, or the default ones for NULL. */
const struct mem_options *create_options(const struct mem_options *options);

/* Under memcheck: a heap is about to begin in that memory, which may be touched from now on. What
 * was there is no block any longer: objects of heaps that were never destroyed, or the object that
 * the memory lies in [MC3]. */
void create_make_room(void *memory, size_t nbytes);

/* Adds a heap to the registry, and has forks wait for it from now on (fork.h). Returns false if
 * there is no memory for it in the registry. */
bool create_register(mem_heap *m);

/* Ends a heap whose memory may be used for something else once no lookup reads it: takes it out of
 * the registry, and destroys its lock. The caller makes its first word another. Returns what
 * registry_remove returns. No other thread uses the heap any longer. */
bool create_unregister(mem_heap *m);

/* Lets AddressSanitizer and memcheck know that all of the heap's memory may be touched again, and
 * that nothing in it is an object (base/poison.h, base/memcheck.h). */
void create_show_all(struct session *v);

#endif
