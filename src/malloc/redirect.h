/* SPDX-License-Identifier: MIT
 *
 * redirect.h - lets the program, and the libraries that it was started with, call other functions.
 *
 * A module calls a function of another one by way of its global offset table, where the dynamic
 * linker has put the function's address, or will put it at the first call (System V ABI, "Dynamic
 * Linking"). Another address in its place is another function. What a module calls within itself,
 * and pointers to functions that it keeps elsewhere, stay as they are.
 */
#ifndef REDIRECT_H
#define REDIRECT_H

#include "base/base.h"

struct redirect {
    const char *name; /* what the modules call; NULL ends a table */
    void (*to)(void); /* what they shall call from now on; its type is that of the function */
};

/* Redirects each call in the table, in all modules but this library. The dynamic linker has done
 * its work, and no other thread runs yet. A module whose table cannot be written to stays as it
 * is. Allocates nothing. */
void redirect_calls(const struct redirect *table);

#endif
