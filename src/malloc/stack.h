/* SPDX-License-Identifier: MIT
 *
 * stack.h - the calling thread's stack: the return addresses of the functions that are at work.
 *
 * _Unwind_Backtrace of gcc's library gives them, too, and takes about 120 ns for each frame, since
 * it follows all registers and reads the call frame information anew each time. Here each place in
 * the code is looked up once (cfi.h), and then a frame takes a few nanoseconds.
 *
 *   SK1  nothing is allocated, and no lock is held. A thread asks the dynamic linker about code
 *        that no thread came through before, so the caller does not hold the heap's lock;
 *   SK2  no read is above the end of a stack that libc made, however damaged the stack is. Where
 *        the stack of a coroutine ends is not known: so call frame information has to be right;
 *   SK3  a frame that is only guessed, and what is found by it, is read after the system has said
 *        that it can be. The first thread's stack is known, and needs no question.
 *
 * If a library is unloaded and another is loaded in its place, the walk may go wrong there.
 */
#ifndef STACK_H
#define STACK_H

#include "base/base.h"

enum { STACK_MAX = 32 };

/* The innermost STACK_MAX return addresses, innermost first; none is of this library. */
struct stack {
    uint32_t nframes;
    uint64_t hash; /* of all of them */
    uintptr_t frame[STACK_MAX];
};

/* Stores the calling thread's stack. */
void stack_take(struct stack *s);

/* From now on follows frame pointers alone, which all code of the program has to keep. */
void stack_use_frame_pointers(void);

/* Says where the stack of the process's first thread ends: no frame lies above `end`. */
void stack_ends_at(const void *end);

#endif
