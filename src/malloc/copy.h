/* SPDX-License-Identifier: MIT
 *
 * copy.h - LIBMEM=copy: memcpy, memset, strcpy and their like see which object they read and write.
 *
 *     before the copy    address -> lookup, without a lock -> object, free, or not ours
 *     in an object       | object          |
 *                             ^ address + length: behind the end, and so refused
 *
 * The functions of libc stay as they are. The calls of the program, and of the libraries that it
 * was started with, go to functions of this library, which look, and then call those of libc.
 *
 *   CP1  a look takes no lock and writes nothing, since a signal handler may copy, too, whatever it
 *        has interrupted [LK1]. What is being changed meanwhile is not judged.
 */
#ifndef COPY_H
#define COPY_H

/* From now on all copies are looked at. The dynamic linker has done its work, and no other thread
 * runs yet. */
void copy_open(void);

#endif
