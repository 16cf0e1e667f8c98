/* SPDX-License-Identifier: MIT
 *
 * Checks allocation before all constructors, in a constructor, in an exit handler, and in a
 * destructor [M5].
 *
 * The destructor that runs last prints the TAP plan, so the plan is missing if it does not run.
 */
#include <malloc.h>
#include <stdlib.h>

#include "reserved.h"
#include "tap.h"

static char *before_constructors, *in_constructor, *from_main;
static bool environment_was_there;

extern char **environ;

static void first_of_all(int argc, char **argv, char **environment)
{
    (void)argc;
    (void)argv;
    environment_was_there = environ != NULL && environment != NULL;
    before_constructors = calloc(1, 100);
}
__attribute__((section(".preinit_array"), used)) static void (*preinit)(int, char **,
                                                                        char **) = first_of_all;

__attribute__((constructor(101))) static void construct(void)
{
    in_constructor = malloc(1000);
    memset(in_constructor, 1, 1000);
}

/* Runs after the exit handlers. */
__attribute__((destructor(101))) static void destruct(void)
{
    char *p = opaque(malloc(100));
    free(p);
    free(from_main);
    check(p != NULL, "malloc and free in a destructor");
    done();
}

static void at_exit(void)
{
    from_main = realloc(from_main, 5000);
    check(from_main != NULL && all_are(from_main, 3, 50), "realloc in an exit handler");
}

int main(void)
{
    (void)preinit;
    check(before_constructors != NULL, "calloc before all constructors");
    printf("# libc knew its environment then: %s\n", environment_was_there ? "yes" : "no");
    printf("# reserved %zu\n", reserved());
    before_constructors = opaque(realloc(before_constructors, 10000));
    check(all_are(before_constructors, 0, 100), "and its content later");
    check(all_are(in_constructor, 1, 1000), "malloc in a constructor");
    free(before_constructors);
    free(in_constructor);
    from_main = malloc(50);
    memset(from_main, 3, 50);
    atexit(at_exit);
    return 0;
}
