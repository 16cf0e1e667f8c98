/* SPDX-License-Identifier: MIT
 *
 * origins.c [ANYTHING] - allocates from functions of known names, says how much of each is live
 * and how much has leaked, and does that again when standard input has a line: the test program for
 * what `mem` says by stack. It runs with LIBMEM=history=1K. With an argument, the history gives its
 * stacks other numbers.
 *
 *     live COUNT BYTES FUNCTION          of the objects that can be reached
 *     leak COUNT SIZE FUNCTION           cannot be reached
 *     leak COUNT SIZE -                  the history no longer knows where they were allocated
 *     ready
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NKEPT = 100, FLOOD = 3000 };

/* A function that shows in a stack: its body is its own, and its call is not its last instruction,
 * so that the compiler neither joins it with another one nor leaves its frame out. */
#define APART        __attribute__((noinline))
#define CALLED(name) __asm__ volatile("/* " name " */" : : : "memory")

void *kept[NKEPT]; /* not static, so that the compiler does not leave it out */
static int nkept;

APART void *order(size_t n)
{
    void *p = malloc(n);
    CALLED("order");
    return p;
}

APART void *order_more(size_t n)
{
    void *p = calloc(1, n);
    CALLED("order_more");
    return p;
}

APART void *trim(void *p, size_t n)
{
    p = realloc(p, n);
    CALLED("trim");
    return p;
}

APART void leak_here(int count, size_t n)
{
    for (int i = 0; i < count; i++)
        memset(malloc(n), 0, n);
    CALLED("leak_here");
}

APART void leak_there(int count, size_t n)
{
    for (int i = 0; i < count; i++)
        memset(malloc(n), 0, n);
    CALLED("leak_there");
}

APART void leak_early(int count, size_t n)
{
    for (int i = 0; i < count; i++)
        memset(malloc(n), 0, n);
    CALLED("leak_early");
}

static void keep(void *p)
{
    kept[nkept++] = p;
}

/* Overwrites what earlier calls have left in the stack. */
static __attribute__((noinline)) void clear_stack(void)
{
    char zeros[16 << 10];
    memset(zeros, 0, sizeof zeros);
    __asm__ volatile("" : : "r"(zeros) : "memory");
}

static void wait_for_line(void)
{
    char line[16];
    clear_stack();
    puts("ready");
    if (fgets(line, sizeof line, stdin) == NULL)
        exit(0);
}

int main(int argc, char **argv)
{
    (void)argv;
    setvbuf(stdout, NULL, _IONBF, 0);
    setvbuf(stdin, NULL, _IONBF, 0);
    if (argc > 1)
        free(order_more(16));
    leak_early(2, 1500);
    for (int i = 0; i < FLOOD; i++)
        free(order(8));
    for (int i = 0; i < 7; i++)
        keep(order(1000));
    keep(trim(order(5000), 4990)); /* where it lay: it is trim's now */
    leak_here(5, 2000);
    leak_there(3, 2000);
    leak_here(2, 3000);
    puts("live 7 7000 order\nlive 1 4990 trim\nleak 5 2000 leak_here\nleak 3 2000 leak_there\n"
         "leak 2 3000 leak_here\nleak 2 1500 -");
    wait_for_line();
    for (int i = 0; i < 4; i++) {
        free(kept[i]);
        kept[i] = NULL;
    }
    for (int i = 0; i < 6; i++)
        keep(order_more(1000));
    kept[7] = trim(kept[7], 4980);
    puts("live 3 3000 order\nlive 6 6000 order_more\nlive 1 4980 trim");
    wait_for_line();
    return 0;
}
