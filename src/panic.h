/* SPDX-License-Identifier: MIT
 *
 * panic.h - the end, when the library finds that it has made a mistake itself.
 *
 * Never for what a caller can do wrong: that has an answer of its own.
 */
#ifndef PANIC_H
#define PANIC_H

#include <stdnoreturn.h>

/* Writes one line to standard error and aborts. Allocates nothing. */
noreturn void panic(const char *what);

#endif
