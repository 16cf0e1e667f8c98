/* SPDX-License-Identifier: MIT
 *
 * sizes.c - size classes: the class of a size is the smallest that holds it.
 *
 * Proves: highest_bit, sizeclass_of, sizeclass_bytes. */
#include "model.h"
#define NEAR_ONLY /* the others would lead the provers astray */
#include "conversions.h"
#include "shifts.h"

#include "slots/sizeclass.h"

/*@ requires n > 0;
    assigns \nothing;
    ensures 0 <= \result <= 31;
    ensures 0x1 <= n <= 0x1 ==> \result == 0;
    ensures 0x2 <= n <= 0x3 ==> \result == 1;
    ensures 0x4 <= n <= 0x7 ==> \result == 2;
    ensures 0x8 <= n <= 0xf ==> \result == 3;
    ensures 0x10 <= n <= 0x1f ==> \result == 4;
    ensures 0x20 <= n <= 0x3f ==> \result == 5;
    ensures 0x40 <= n <= 0x7f ==> \result == 6;
    ensures 0x80 <= n <= 0xff ==> \result == 7;
    ensures 0x100 <= n <= 0x1ff ==> \result == 8;
    ensures 0x200 <= n <= 0x3ff ==> \result == 9;
    ensures 0x400 <= n <= 0x7ff ==> \result == 10;
    ensures 0x800 <= n <= 0xfff ==> \result == 11;
    ensures 0x1000 <= n <= 0x1fff ==> \result == 12;
    ensures 0x2000 <= n <= 0x3fff ==> \result == 13;
    ensures 0x4000 <= n <= 0x7fff ==> \result == 14;
    ensures 0x8000 <= n <= 0xffff ==> \result == 15;
    ensures 0x10000 <= n <= 0x1ffff ==> \result == 16;
    ensures 0x20000 <= n <= 0x3ffff ==> \result == 17;
    ensures 0x40000 <= n <= 0x7ffff ==> \result == 18;
    ensures 0x80000 <= n <= 0xfffff ==> \result == 19;
    ensures 0x100000 <= n <= 0x1fffff ==> \result == 20;
    ensures 0x200000 <= n <= 0x3fffff ==> \result == 21;
    ensures 0x400000 <= n <= 0x7fffff ==> \result == 22;
    ensures 0x800000 <= n <= 0xffffff ==> \result == 23;
    ensures 0x1000000 <= n <= 0x1ffffff ==> \result == 24;
    ensures 0x2000000 <= n <= 0x3ffffff ==> \result == 25;
    ensures 0x4000000 <= n <= 0x7ffffff ==> \result == 26;
    ensures 0x8000000 <= n <= 0xfffffff ==> \result == 27;
    ensures 0x10000000 <= n <= 0x1fffffff ==> \result == 28;
    ensures 0x20000000 <= n <= 0x3fffffff ==> \result == 29;
    ensures 0x40000000 <= n <= 0x7fffffff ==> \result == 30;
    ensures 0x80000000 <= n <= 0xffffffff ==> \result == 31; */
static inline unsigned highest_bit(uint32_t n);

/*@ logic integer class_bytes(integer c) =
      c < 16 ? 16 * (c + 1) :
      c < 24 ? 32 * (c - 7) :
      c < 32 ? 64 * (c - 15) :
      c < 40 ? 128 * (c - 23) :
      c < 48 ? 256 * (c - 31) :
      c < 56 ? 512 * (c - 39) :
      c < 64 ? 1024 * (c - 47) :
      c < 72 ? 2048 * (c - 55) :
      4096 * (c - 63);
*/

/*@ requires nbytes <= SLOT_BYTES_MAX;
    assigns \nothing;
    behavior to_16:
      assumes nbytes <= 16;
      ensures \result == 0;
    behavior to_128:
      assumes 16 < nbytes <= 128;
      ensures 0 < \result < 8;
      ensures 16 * \result < nbytes <= class_bytes(\result);
    behavior to_256:
      assumes 128 < nbytes <= 256;
      ensures 8 <= \result < 16;
      ensures class_bytes(\result - 1) < nbytes <= class_bytes(\result);
    behavior to_512:
      assumes 256 < nbytes <= 512;
      ensures 16 <= \result < 24;
      ensures class_bytes(\result - 1) < nbytes <= class_bytes(\result);
    behavior to_1024:
      assumes 512 < nbytes <= 1024;
      ensures 24 <= \result < 32;
      ensures class_bytes(\result - 1) < nbytes <= class_bytes(\result);
    behavior to_2048:
      assumes 1024 < nbytes <= 2048;
      ensures 32 <= \result < 40;
      ensures class_bytes(\result - 1) < nbytes <= class_bytes(\result);
    behavior to_4096:
      assumes 2048 < nbytes <= 4096;
      ensures 40 <= \result < 48;
      ensures class_bytes(\result - 1) < nbytes <= class_bytes(\result);
    behavior to_8192:
      assumes 4096 < nbytes <= 8192;
      ensures 48 <= \result < 56;
      ensures class_bytes(\result - 1) < nbytes <= class_bytes(\result);
    behavior to_16384:
      assumes 8192 < nbytes <= 16384;
      ensures 56 <= \result < 64;
      ensures class_bytes(\result - 4) < nbytes <= class_bytes(\result);
    behavior to_32768:
      assumes 16384 < nbytes <= 32768;
      ensures 64 <= \result < 72;
      ensures class_bytes(\result - 4) < nbytes <= class_bytes(\result);
    behavior to_65536:
      assumes 32768 < nbytes <= 65536;
      ensures 72 <= \result < 80;
      ensures class_bytes(\result - 4) < nbytes <= class_bytes(\result);
    complete behaviors;
    disjoint behaviors; */
static inline unsigned sizeclass_of(size_t nbytes);

/*@ requires sizeclass < NCLASSES;
    assigns \nothing;
    behavior below_8:
      assumes sizeclass < 8;
      ensures \result == class_bytes(sizeclass);
    behavior below_16:
      assumes 8 <= sizeclass < 16;
      ensures \result == class_bytes(sizeclass);
    behavior below_24:
      assumes 16 <= sizeclass < 24;
      ensures \result == class_bytes(sizeclass);
    behavior below_32:
      assumes 24 <= sizeclass < 32;
      ensures \result == class_bytes(sizeclass);
    behavior below_40:
      assumes 32 <= sizeclass < 40;
      ensures \result == class_bytes(sizeclass);
    behavior below_48:
      assumes 40 <= sizeclass < 48;
      ensures \result == class_bytes(sizeclass);
    behavior below_56:
      assumes 48 <= sizeclass < 56;
      ensures \result == class_bytes(sizeclass);
    behavior below_64:
      assumes 56 <= sizeclass < 64;
      ensures \result == class_bytes(sizeclass);
    behavior below_72:
      assumes 64 <= sizeclass < 72;
      ensures \result == class_bytes(sizeclass);
    behavior below_80:
      assumes 72 <= sizeclass < 80;
      ensures \result == class_bytes(sizeclass);
    complete behaviors;
    disjoint behaviors; */
static inline unsigned sizeclass_bytes(unsigned sizeclass);
