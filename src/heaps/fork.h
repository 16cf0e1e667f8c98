/* SPDX-License-Identifier: MIT
 *
 * forks.h - a fork waits for the calls that are under way in heaps of the caller's own.
 *
 *   FK1  before it, all of their locks are taken, so that the child has each heap as it was
 *       between two calls; after it the parent lets them go, and the child forgets them;
 *   FK2  nobody waits for long with locks in hand.
 */
#ifndef FORKS_H
#define FORKS_H

/* Around each fork from now on. */
void fork_register_handlers(void);

#endif
