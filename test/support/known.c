/* SPDX-License-Identifier: MIT
 *
 * known.c WHAT - allocates a known set of objects, which tool.sh must find in the report of
 * `mem run --report`.
 *
 * No function here calls another library function that allocates. Creating threads does allocate,
 * so `threads` uses a size of objects that no other code requests.
 */
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char *program;

static void *some(size_t n, size_t nbytes, void **objects)
{
    void *last = NULL;
    for (size_t i = 0; i < n; i++) {
        last = malloc(nbytes);
        if (objects != NULL)
            objects[i] = last;
    }
    return last;
}

static void free_all(size_t n, void **objects)
{
    for (size_t i = 0; i < n; i++)
        free(objects[i]);
}

/* Allocates 10 objects of 100 bytes, of which it frees 4; 3 of 5,000; 2 of 0; and 5 of 16. Before
 * them it allocates and frees 1 MiB, which is more than all of them together. */
static void objects(void)
{
    void *hundred[10];
    free(malloc(1 << 20));
    some(10, 100, hundred);
    some(3, 5000, NULL);
    some(2, 0, NULL);
    some(5, 16, NULL);
    free_all(4, hundred);
}

/* Resizes 100 bytes to 104 in its slot, to 5,000 elsewhere, and to 0; and 1 MiB to 400,000 bytes
 * elsewhere, since what it would leave behind it is longer [M6]. */
static void resize(void)
{
    char *p = realloc(NULL, 100);
    p = realloc(p, 104);
    p = realloc(p, 5000);
    if (realloc(p, 0) != NULL || realloc(malloc(1 << 20), 400000) == NULL)
        abort();
}

/* Makes 10 bad frees, with LIBMEM=onerror=report or ignore: 4 of a free object, 2 inside an
 * object, 3 outside the heap, and 1 in slack. */
static void refused(void)
{
    char here[16], *p = malloc(100), *q = malloc(100);
    free(q);
    for (int i = 0; i < 4; i++)
        free(q);
    for (int i = 0; i < 2; i++)
        free(p + 8);
    for (int i = 0; i < 3; i++)
        free(here);
    free(p + 100);
}

static void twice(void)
{
    char *p = malloc(100);
    some(2, 1000, NULL);
    free(p);
    free(p);
}

static void leave(void)
{
    some(3, 1000, NULL);
    _exit(3);
}

static void be_killed(void)
{
    some(3, 1000, NULL);
    raise(SIGKILL);
}

/* Each of 4 threads allocates and frees 1,000 objects one after the other, then holds 100 at once
 * and frees 90 of them. */
enum { NTHREADS = 4, RARE = 30000 };
static pthread_barrier_t barrier;

static void *thread(void *unused)
{
    void *all[100];
    for (int i = 0; i < 1000; i++)
        free(some(1, RARE, NULL));
    pthread_barrier_wait(&barrier);
    some(100, RARE, all);
    pthread_barrier_wait(&barrier);
    free_all(90, all);
    return unused;
}

static void threads(void)
{
    pthread_t t[NTHREADS];
    pthread_barrier_init(&barrier, NULL, NTHREADS);
    for (int i = 0; i < NTHREADS; i++)
        pthread_create(&t[i], NULL, thread, NULL);
    for (int i = 0; i < NTHREADS; i++)
        pthread_join(t[i], NULL);
}

/* Each of two child processes allocates one more object and frees one of its parent's. */
static void fork_twice(void)
{
    void *p = some(2, 1000, NULL);
    for (int i = 0; i < 2; i++) {
        pid_t child = fork();
        if (child == 0) {
            some(1, 2000, NULL);
            free(p);
            _exit(0);
        }
        waitpid(child, NULL, 0);
    }
    some(1, 3000, NULL);
}

static void execute(void)
{
    some(2, 1000, NULL);
    execl(program, program, "objects", "a\nb", NULL);
}

static void give_back(void)
{
    enum { MUCH = 64 << 20 };
    free(memset(malloc(MUCH), 1, MUCH));
}

/* Makes 5 requests that cannot be served. */
static void ask_for_too_much(void)
{
    volatile size_t huge = (size_t)PTRDIFF_MAX + 1, large = (size_t)1 << 45;
    void *p = malloc(100), *q = NULL;
    if (malloc(huge) != NULL || malloc(large) != NULL || calloc(huge, 3) != NULL ||
        realloc(p, huge) != NULL || posix_memalign(&q, 64, large) == 0)
        abort();
}

static const struct {
    const char *name;
    void (*run)(void);
} known[] = {{"objects", objects}, {"resize", resize},        {"refused", refused},
             {"twice", twice},     {"leave", leave},          {"killed", be_killed},
             {"threads", threads}, {"fork", fork_twice},      {"exec", execute},
             {"back", give_back},  {"most", ask_for_too_much}};

int main(int argc, char **argv)
{
    program = argv[0];
    for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
        if (argc > 1 && strcmp(argv[1], known[i].name) == 0) {
            known[i].run();
            return 0;
        }
    return 2;
}
