/* SPDX-License-Identifier: MIT
 *
 * Checks what the calls do in a heap without room, which LIBMEM=region=8M has made small.
 */
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "tap.h"

enum { N = 200000, SIZE = 100, REGION = 8 << 20 };

static unsigned char *object[N];

static size_t fill(void)
{
    size_t n = 0;
    while (n < N && (object[n] = opaque(malloc(SIZE))) != NULL) {
        memset(object[n], 6, SIZE);
        n++;
    }
    return n;
}

void *operator_new(size_t nbytes) __asm__("_Znwm") __attribute__((weak));
void *operator_new_nothrow(size_t nbytes, const void *nothrow) __asm__("_ZnwmRKSt9nothrow_t")
    __attribute__((weak));

/* A program in C that calls operator new has no std::bad_alloc. */
static bool ends_without_cxx(void)
{
    static const char line[] = "libmem: operator new: no memory for 8388608 bytes, and no C++ "
                               "library to throw std::bad_alloc\n";
    char text[200] = "";
    int ends[2], status = -1;
    if (pipe(ends) != 0)
        return false;
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        opaque(operator_new(hide(REGION)));
        _exit(0);
    }
    close(ends[1]);
    ssize_t n = read(ends[0], text, sizeof text - 1);
    bool ended = waitpid(child, &status, 0) == child;
    close(ends[0]);
    return n > 0 && ended && WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT &&
           strncmp(text, line, strlen(line)) == 0; /* an emulator may add a line of its own */
}

/* The rest of the region is in slots that were all freed, and which the thread keeps for its next
 * objects. The object has room only where it lies, and only if these slots are given up. A hardened
 * process keeps them in quarantine. */
static bool grows_over_what_is_kept(void)
{
    unsigned char *p = opaque(malloc(REGION / 8));
    memset(p, 7, REGION / 8);
    size_t n = fill();
    for (size_t i = 0; i < n; i++)
        free(object[i]);
    unsigned char *grown = opaque(realloc(p, REGION - (REGION >> 3)));
    bool is_hardened = strcmp(getenv("LIBMEM"), "region=8M") != 0;
    bool good = grown == (is_hardened ? NULL : p) && all_are(p, 7, REGION / 8);
    free(grown != NULL ? grown : p);
    return good;
}

int main(void)
{
    check(malloc(hide(REGION)) == NULL, "an object as large as the region does not fit");
    errno = 0;
    size_t n = fill();
    int number = errno;
    check(n > REGION / 160 && n < N && number == ENOMEM, "malloc fills the region, then ENOMEM");
    errno = 0;
    check(calloc(1, SIZE) == NULL && errno == ENOMEM, "calloc: ENOMEM");
    errno = 0;
    check(realloc(object[n / 2], REGION / 8) == NULL && errno == ENOMEM, "realloc: ENOMEM");
    check(all_are(object[n / 2], 6, SIZE) && malloc_usable_size(object[n / 2]) == SIZE,
          "and the object is untouched");
    void *p;
    check(posix_memalign(&p, 4096, REGION / 8) == ENOMEM, "posix_memalign: ENOMEM");
    errno = 0;
    check(aligned_alloc(4096, REGION / 8) == NULL && errno == ENOMEM, "aligned_alloc: ENOMEM");
    bool shrunk = true;
    for (size_t i = 0; i < n; i++) {
        /* It shrinks in place, or moves to where the objects before it made room. */
        p = opaque(realloc(object[i], 20));
        shrunk = shrunk && p != NULL && all_are(p, 6, 20);
        object[i] = p;
    }
    check(shrunk, "objects shrink although there is no room");
    for (size_t i = 0; i < n; i++) {
        free(object[i]);
    }
    void *large = opaque(malloc(REGION / 2));
    n = fill();
    while (n < N && (p = opaque(malloc(1))) != NULL) {
        object[n++] = p;
    }
    large = opaque(realloc(large, 20));
    check(large != NULL && malloc_usable_size(large) == 20, "and so does one that pins much");
    free(large);
    for (size_t i = 0; i < n; i++) {
        free(object[i]);
    }
    p = opaque(malloc(REGION - (REGION >> 3)));
    check(p != NULL, "all freed: one object takes nearly the whole region");
    free(p);
    check(grows_over_what_is_kept(),
          "realloc grows an object where it lies if only that is possible");
    check(opaque(operator_new_nothrow(hide(REGION), "")) == NULL,
          "operator new(nothrow) without room and without a C++ library is NULL");
    check(ends_without_cxx(), "operator new without room and without a C++ library: a line, abort");
    return done();
}
