/* SPDX-License-Identifier: MIT
 *
 * fork.h - a fork waits for the calls at work in the registry and in heaps of the caller's own.
 *
 *   FK1  before a fork the forking thread takes the registry's lock and those of all heaps, so
 *        that the child has each heap as it was between two calls. Afterwards the parent releases
 *        them, and the child forgets them. A heap on which the process has made no call since it
 *        was forked itself is left alone, as no thread can be in it, and not even read: it may be
 *        another process's now, or not be there;
 *   FK2  the forking thread never waits for long with locks in hand;
 *   FK3  while it waits, no thread begins another call in a heap that has a lock, unless it is at
 *        work in another heap. So the wait is as long as the longest call that is at work.
 */
#ifndef FORK_H
#define FORK_H

/* From now on FK1 is so. Each heap that is added to the registry calls it before: any number of
 * times, any thread. The caller holds no lock, since another thread may be forking just now. */
void fork_register_handlers(void);

#endif
