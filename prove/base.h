/* SPDX-License-Identifier: MIT
 *
 * base.h - contracts of the small functions of src/base, for every proof file; base.c proves them.
 */

/*@ logic integer ceil(integer n, integer unit) = n / unit + (n % unit == 0 ? 0 : 1); */

/*@ requires unit > 0;
    assigns \nothing;
    ensures \result == ceil(n, unit); */
static inline size_t ceil_div(size_t n, size_t unit);

/*@ assigns \nothing;
    ensures \result == (a < b ? a : b); */
static inline unsigned least(unsigned a, unsigned b);
