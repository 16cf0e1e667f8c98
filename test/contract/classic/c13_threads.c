/* SPDX-License-Identifier: MIT
 *
 * C13: checks that all calls may be made from any thread at the same time. Of two ordered frees
 * of one object one is refused; two that race leave the heap intact.
 */
#include "contract.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>

enum { NTHREADS = 4, NSTEPS = 30000, NSLOTS = 32, NROUNDS = 2000, NFORKS = 40 };

/* A failed assertion would jump to a stack frame of the main thread. Therefore the other threads
 * only count faults, and the main thread asserts that there are none. */
static atomic_int nfaults;
static int nsteps = NSTEPS;
static atomic_bool stop;

static void count_unless(bool condition)
{
    if (!condition) {
        atomic_fetch_add(&nfaults, 1);
    }
}

struct slot {
    unsigned char *start;
    int size;
};

static void take(struct slot *slot, unsigned *seed, unsigned char fill)
{
    int style = random_below(seed, 4);
    slot->size = 1 + random_below(seed, 700);
    slot->start = style < 3 ? Mem_Alloc(slot->size, style) : Mem_Alloc(slot->size);
    if (slot->start != NULL) {
        memset(slot->start, fill, (size_t)slot->size);
    }
}

/* Checks that the object holds what was written and that each answer is about this object. */
static void check_and_free(struct slot *slot, unsigned *seed, unsigned char fill)
{
    unsigned char *inside = slot->start + random_below(seed, slot->size);
    count_unless(slot->start[0] == fill && slot->start[slot->size - 1] == fill && *inside == fill);
    count_unless(Mem_IsValid(inside) == 1);
    count_unless(Mem_GetSize(inside) == slot->size);
    count_unless(Mem_Free(inside) == 0);
    slot->start = NULL;
}

static void *hammers(void *arg)
{
    struct slot slots[NSLOTS] = {{NULL, 0}};
    unsigned char fill = (unsigned char)(1 + (uintptr_t)arg);
    unsigned seed = fill;
    for (int i = 0; i < nsteps && !atomic_load(&stop); i++) {
        struct slot *slot = &slots[random_below(&seed, NSLOTS)];
        if (slot->start == NULL) {
            take(slot, &seed, fill);
        } else {
            check_and_free(slot, &seed, fill);
        }
        if (i % 500 == 0) {
            count_unless(Mem_Check() == 0);
        }
        if (i % 2000 == 0) {
            Mem_Dump();
        }
    }
    for (int i = 0; i < NSLOTS; i++) {
        if (slots[i].start != NULL) {
            check_and_free(&slots[i], &seed, fill);
        }
    }
    return NULL;
}

/* The dumps of several threads go to /dev/null: no test reads them. */
static void silence_stdout(void)
{
    fflush(stdout);
    assert_non_null(freopen("/dev/null", "w", stdout));
}

static void start_all(pthread_t *threads)
{
    for (uintptr_t i = 0; i < NTHREADS; i++) {
        /* NOLINTNEXTLINE: a small number for the thread */
        assert_int_equal(pthread_create(&threads[i], NULL, hammers, (void *)i), 0);
    }
}

static void join_all(pthread_t *threads)
{
    for (int i = 0; i < NTHREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
}

static void all_calls_at_once(void)
{
    pthread_t threads[NTHREADS];
    open_heap((int)the_number);
    silence_stdout();
    start_all(threads);
    join_all(threads);
    assert_int_equal(nfaults, 0);
    assert_int_equal(Mem_Check(), 0);
    assert_true(is_whole_again());
}

static pthread_barrier_t together;
static atomic_int ninits;
static volatile int nmaps; /* Guarded by the library's lock, which is what this test checks. */
static volatile bool is_slow;

/* Replaces the library's mmap. Its delay gives the other threads time to enter Mem_Init. */
CALLED_EARLY void *mmap(void *at, size_t nbytes, int prot, int flags, int fd, off_t offset)
{
    if (is_slow) {
        nmaps++;
        usleep(10000);
    }
    return (void *)(uintptr_t)syscall(SYS_mmap, at, nbytes, prot, flags, fd, offset);
}

static void *inits(void *arg)
{
    (void)arg;
    pthread_barrier_wait(&together);
    if (Mem_Init(65536) == 0) {
        atomic_fetch_add(&ninits, 1);
    } else {
        count_unless(errno == EEXIST);
    }
    count_unless(Mem_Alloc(16) != NULL);
    return NULL;
}

static void one_init_wins(void)
{
    pthread_t threads[NTHREADS];
    pthread_barrier_init(&together, NULL, NTHREADS);
    is_slow = true;
    for (int i = 0; i < NTHREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, inits, NULL), 0);
    }
    join_all(threads);
    assert_int_equal(ninits, 1);
    assert_int_equal(nmaps, 1);
    assert_int_equal(nfaults, 0);
}

static void *frees_once(void *arg)
{
    return Mem_Free(arg) == 0 ? arg : NULL;
}

static void ordered_frees(void)
{
    open_heap(65536);
    for (int i = 0; i < 200; i++) {
        pthread_t other;
        void *freed = NULL;
        bool mine_first = i % 2 == 0;
        unsigned char *p = Mem_Alloc(1 + i);
        int mine = mine_first ? Mem_Free(p) : 1;
        assert_int_equal(pthread_create(&other, NULL, frees_once, p + i), 0);
        pthread_join(other, &freed);
        mine = mine_first ? mine : Mem_Free(p);
        assert_int_equal(mine, mine_first ? 0 : -1);
        assert_int_equal(freed == NULL, mine_first);
    }
    assert_true(is_whole_again());
}

static _Atomic(unsigned char *) shared;
static int result_of_other;

static void *races(void *arg)
{
    for (int i = 0; i < NROUNDS; i++) {
        pthread_barrier_wait(&together);
        result_of_other = Mem_Free(atomic_load(&shared) + 10);
        pthread_barrier_wait(&together);
    }
    return arg;
}

static void racing_frees(void)
{
    pthread_t other;
    open_heap(65536);
    pthread_barrier_init(&together, NULL, 2);
    assert_int_equal(pthread_create(&other, NULL, races, NULL), 0);
    for (int i = 0; i < NROUNDS; i++) {
        void *wall[2] = {Mem_Alloc(32), NULL};
        atomic_store(&shared, Mem_Alloc(100));
        wall[1] = Mem_Alloc(32);
        pthread_barrier_wait(&together);
        int mine = Mem_Free(atomic_load(&shared));
        pthread_barrier_wait(&together);
        count_unless(mine == 0 || result_of_other == 0);
        count_unless(mine == 0 || mine == -1);
        count_unless(Mem_Check() == 0);
        count_unless(Mem_Free(atomic_load(&shared)) == -1);
        count_unless(Mem_Free(wall[0]) == 0 && Mem_Free(wall[1]) == 0);
    }
    pthread_join(other, NULL);
    assert_int_equal(nfaults, 0);
    assert_true(is_whole_again());
}

/* Whatever the other threads were doing at the moment of the fork, the child process can use the
 * heap. It calls _exit, since the other threads do not exist in it. */
static void be_a_forked_child(void)
{
    alarm(PATIENCE);
    unsigned char *p = Mem_Alloc(500);
    bool good = p != NULL && Mem_GetSize(p + 499) == 500 && Mem_Free(p) == 0;
    _exit(good && Mem_Free(p) == -1 && Mem_Check() == 0 ? 0 : 1);
}

static void fork_among_threads(void)
{
    pthread_t threads[NTHREADS];
    open_heap(1 << 20);
    silence_stdout();
    nsteps = INT_MAX;
    start_all(threads);
    for (int i = 0; i < NFORKS; i++) {
        int status = 0;
        pid_t child = fork();
        if (child == 0) {
            be_a_forked_child();
        }
        count_unless(child > 0 && waitpid(child, &status, 0) == child && status == 0);
    }
    atomic_store(&stop, true);
    join_all(threads);
    assert_int_equal(nfaults, 0);
    assert_true(is_whole_again());
}

static void *dumps(void *arg)
{
    Mem_Dump();
    return arg;
}

/* A thread that is cancelled while it prints must not keep the lock. */
static void cancelled_while_printing(void)
{
    enum { NOBJECTS = 4000 }; /* Their lines are longer than a pipe holds. */
    static char text[1 << 16];
    void *small[NOBJECTS];
    int ends[2];
    pthread_t thread;
    open_heap(1 << 20);
    for (int i = 0; i < NOBJECTS; i++) {
        small[i] = Mem_Alloc(16);
    }
    for (int i = 0; i < NOBJECTS; i += 2) {
        Mem_Free(small[i]);
    }
    int kept = dup(STDOUT_FILENO);
    assert_int_equal(pipe(ends), 0);
    dup2(ends[1], STDOUT_FILENO);
    assert_int_equal(pthread_create(&thread, NULL, dumps, NULL), 0);
    usleep(50000); /* By now the thread waits for a reader of the pipe. */
    pthread_cancel(thread);
    dup2(kept, STDOUT_FILENO);
    close(ends[1]);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    while (pthread_tryjoin_np(thread, NULL) != 0) {
        while (read(ends[0], text, sizeof(text)) > 0) {
        }
        usleep(5000);
    }
    assert_non_null(Mem_Alloc(16));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ALONE_WITH("C13 four threads with all calls at once", all_calls_at_once, 1 << 20),
        ALONE_WITH("C13 four threads in a large region", all_calls_at_once, 65536000),
        ALONE_WITH("C13 four threads in a region that is too small", all_calls_at_once, 1 << 14),
        ALONE("C13 of four inits at once one wins", one_init_wins),
        ALONE("C13 of two ordered frees one is refused", ordered_frees),
        ALONE("C13 racing frees leave the heap intact", racing_frees),
        ALONE("C13 a thread cancelled while it prints keeps no lock", cancelled_while_printing),
        ALONE("C13 the child of a threaded program can allocate", fork_among_threads),
    };
    return cmocka_run_group_tests_name("C13", tests, NULL, NULL);
}
