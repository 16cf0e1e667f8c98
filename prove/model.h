/* SPDX-License-Identifier: MIT
 *
 * model.h - what the proofs assume of the compiler's builtins, which have no source.
 *
 * An atomic access is a plain one: the proofs are about one thread. What threads do to each
 * other is checked elsewhere (test/spin, ThreadSanitizer).
 */
#ifndef MODEL_H
#define MODEL_H

#include <stdint.h>

#define __atomic_load_n(place, order)         (*(place))
#define __atomic_store_n(place, value, order) ((void)(*(place) = (value)))
#define __atomic_sub_fetch(place, n, order)   (*(place) -= (n))
#define __atomic_compare_exchange_n(place, old, value, weak, success, failure)                     \
    (*(place) == *(old) ? (*(place) = (value), 1) : (*(old) = *(place), 0))
#define __atomic_thread_fence(order) ((void)0)
#define __atomic_signal_fence(order) ((void)0)

/* Frama-C does not know it; a member is where its type puts it. */
#define _Alignas(n)

#define TWO_32 0x100000000
#define TWO_64 0x10000000000000000

/* Count leading zeros: 31 minus the number of the highest bit that is set. */
/*@ requires x != 0;
    assigns \nothing;
    ensures 0 <= \result <= 31;
    ensures 0x1 <= x <= 0x1 ==> \result == 31;
    ensures 0x2 <= x <= 0x3 ==> \result == 30;
    ensures 0x4 <= x <= 0x7 ==> \result == 29;
    ensures 0x8 <= x <= 0xf ==> \result == 28;
    ensures 0x10 <= x <= 0x1f ==> \result == 27;
    ensures 0x20 <= x <= 0x3f ==> \result == 26;
    ensures 0x40 <= x <= 0x7f ==> \result == 25;
    ensures 0x80 <= x <= 0xff ==> \result == 24;
    ensures 0x100 <= x <= 0x1ff ==> \result == 23;
    ensures 0x200 <= x <= 0x3ff ==> \result == 22;
    ensures 0x400 <= x <= 0x7ff ==> \result == 21;
    ensures 0x800 <= x <= 0xfff ==> \result == 20;
    ensures 0x1000 <= x <= 0x1fff ==> \result == 19;
    ensures 0x2000 <= x <= 0x3fff ==> \result == 18;
    ensures 0x4000 <= x <= 0x7fff ==> \result == 17;
    ensures 0x8000 <= x <= 0xffff ==> \result == 16;
    ensures 0x10000 <= x <= 0x1ffff ==> \result == 15;
    ensures 0x20000 <= x <= 0x3ffff ==> \result == 14;
    ensures 0x40000 <= x <= 0x7ffff ==> \result == 13;
    ensures 0x80000 <= x <= 0xfffff ==> \result == 12;
    ensures 0x100000 <= x <= 0x1fffff ==> \result == 11;
    ensures 0x200000 <= x <= 0x3fffff ==> \result == 10;
    ensures 0x400000 <= x <= 0x7fffff ==> \result == 9;
    ensures 0x800000 <= x <= 0xffffff ==> \result == 8;
    ensures 0x1000000 <= x <= 0x1ffffff ==> \result == 7;
    ensures 0x2000000 <= x <= 0x3ffffff ==> \result == 6;
    ensures 0x4000000 <= x <= 0x7ffffff ==> \result == 5;
    ensures 0x8000000 <= x <= 0xfffffff ==> \result == 4;
    ensures 0x10000000 <= x <= 0x1fffffff ==> \result == 3;
    ensures 0x20000000 <= x <= 0x3fffffff ==> \result == 2;
    ensures 0x40000000 <= x <= 0x7fffffff ==> \result == 1;
    ensures 0x80000000 <= x <= 0xffffffff ==> \result == 0; */
int __builtin_clz(unsigned int x);

#endif
