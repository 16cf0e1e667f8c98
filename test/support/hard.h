/* SPDX-License-Identifier: MIT
 *
 * hard.h - what the programs of test/misuse/hard share. They run with LIBMEM=hard, and each makes
 * one mistake; line 1 says how it ends: 134 is abort, 139 is a fault, and 0 is a mistake that does
 * no harm.
 */
#ifndef HARD_MISUSE_H
#define HARD_MISUSE_H

#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __cplusplus
#include <new>
#include <string>
#endif

#define UNUSED __attribute__((unused))

/* Returns the address, of which the compiler then knows nothing. */
UNUSED static char *get(void *p)
{
    __asm__ volatile("" : "+r"(p) : : "memory");
    return (char *)p;
}

UNUSED static size_t get_size(size_t n)
{
    __asm__ volatile("" : "+r"(n));
    return n;
}

UNUSED static int harmless(void)
{
    puts("harmless");
    return 0;
}

/* Frees so much that each object in quarantine is looked at. */
UNUSED static void use_up_quarantine(void)
{
    for (int i = 0; i < 5000; i++)
        free(get(malloc(1000)));
}

UNUSED static void spoil(void *p)
{
    *(char *)p = 1;
}

/* Writes nbytes one by one: by no function that sees whose they are. */
UNUSED static void spoil_bytes(void *p, size_t nbytes)
{
    for (size_t i = 0; i < nbytes; i++)
        ((volatile char *)p)[i] = 1;
}

/* A function that a thread calls, and its argument. */
static struct {
    void (*function)(void *);
    void *argument;
} job;

UNUSED static void *do_job(void *unused)
{
    job.function(job.argument);
    return unused;
}

UNUSED static void in_thread(void (*function)(void *), void *argument)
{
    pthread_t thread;
    job.function = function;
    job.argument = argument;
    if (pthread_create(&thread, NULL, do_job, NULL) == 0)
        pthread_join(thread, NULL);
}

/* Waits for the child, and returns the status that a shell would give it. */
UNUSED static int status_of_child(void)
{
    int status;
    if (wait(&status) < 0)
        return 1;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

#endif
