/* SPDX-License-Identifier: MIT
 *
 * explore.c - tries all schedules of small scenarios with few preemptions: explore.h.
 *
 *     schedules [--preemptions N] [--most N] [NAME...]
 *
 * explores the scenarios whose names contain one of the words, or all; with at most N preemptions,
 * and at most N schedules of each (0: all). Prints TAP.
 */
#include "explore.h"

#include <link.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/single_threaded.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/lock.h"

enum { STACK_BYTES = 256 << 10, MOST_STEPS = 20000, MOST_CHOICES = 20000, PAGE = 4096 };
enum { NPAGES = EXPLORE_BYTES / PAGE, TLS_MOST = 4096 };

enum state { READY, AT_LOCK, ASLEEP, PAUSED, ENDED };

struct explored {
    ucontext_t context;
    unsigned char *stack;
    enum state state;
    uint32_t *word;      /* of the lock or the futex */
    unsigned paused_at;  /* the number of steps when it paused */
    uint32_t *held_back; /* the store in its store buffer [EX1], or NULL */
    uint32_t held_value;
    uint32_t *last_store; /* if the last step was a relaxed store: where, and what was there */
    uint32_t last_was;
    unsigned char tls[TLS_MOST];
};

/* At this step there was a choice among these threads. */
struct choice {
    unsigned step;
    unsigned char n, taken, thread[NTHREADS_MAX];
    const void *place; /* in the code of the thread that was at work */
};

/* All that the explorer knows. It is not among the variables of the program, which are restored. */
struct explorer {
    const struct scenario *scenario;
    int nthreads, current; /* -1: none is at work */
    int acting;            /* in whose name `open` and `check` act */
    bool refuses_barrier;
    unsigned npreemptions, most_preemptions, nsteps;
    unsigned nchoices, ngiven; /* choices made in this schedule; those that are given */
    struct choice choice[MOST_CHOICES];
    struct explored thread[NTHREADS_MAX];
    ucontext_t main;
    jmp_buf failed;
    const char *failure;
    unsigned char *data, *pages, *tls, tls_first[TLS_MOST];
    unsigned char *data_at_start, tls_at_start[TLS_MOST];
    size_t data_bytes, tls_bytes;
    uint32_t page[NPAGES], npages;
    size_t nschedules;
};

static struct explorer *x;
unsigned char *explore_memory;
extern unsigned char __data_start[], _end[];

/* --- failures ------------------------------------------------------------------- */

/* Within a thread its stack is left as it is. */
_Noreturn void explore_fail(const char *what)
{
    if (x->failure == NULL)
        x->failure = what;
    x->current = -1;
    longjmp(x->failed, 1);
}

_Noreturn void __assert_fail(const char *what, const char *file, unsigned line,
                             const char *function)
{
    static char text[400];
    snprintf(text, sizeof text, "assertion in %s (%s:%u): %s", function, file, line, what);
    explore_fail(text);
}

static void crashed(int signal_number)
{
    (void)signal_number;
    explore_fail("crash");
}

/* --- restoring ------------------------------------------------------------------- */

/* Finds the thread-local variables of the program. */
static int find_tls(struct dl_phdr_info *info, size_t size, void *unused)
{
    (void)size, (void)unused;
    if (info->dlpi_name[0] != '\0')
        return 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        if (info->dlpi_phdr[i].p_type == PT_TLS) {
            x->tls = info->dlpi_tls_data;
            x->tls_bytes = info->dlpi_phdr[i].p_memsz;
        }
    }
    return 1;
}

/* Each scenario begins with the variables as the program began with them. */
static void begin_anew(void)
{
    x->data_bytes = (size_t)(_end - __data_start);
    if (x->data_at_start == NULL) {
        x->data_at_start = malloc(x->data_bytes);
        memcpy(x->data_at_start, __data_start, x->data_bytes);
        memcpy(x->tls_at_start, x->tls, x->tls_bytes);
    }
    memcpy(__data_start, x->data_at_start, x->data_bytes);
    memcpy(x->tls, x->tls_at_start, x->tls_bytes);
    memset(explore_memory, 0, EXPLORE_BYTES);
}

static void snapshot(void)
{
    static const unsigned char zero[PAGE];
    x->data = realloc(x->data, x->data_bytes);
    memcpy(x->data, __data_start, x->data_bytes);
    memcpy(x->tls_first, x->tls, x->tls_bytes);
    x->npages = 0;
    for (uint32_t i = 0; i < NPAGES; i++)
        if (memcmp(explore_memory + (size_t)i * PAGE, zero, PAGE) != 0)
            x->page[x->npages++] = i;
    x->pages = realloc(x->pages, (size_t)x->npages * PAGE + 1);
    for (uint32_t i = 0; i < x->npages; i++)
        memcpy(x->pages + (size_t)i * PAGE, explore_memory + (size_t)x->page[i] * PAGE, PAGE);
}

static void restore(void)
{
    memcpy(__data_start, x->data, x->data_bytes);
    memcpy(x->tls, x->tls_first, x->tls_bytes);
    for (uint32_t i = 0; i < x->npages; i++)
        memcpy(explore_memory + (size_t)x->page[i] * PAGE, x->pages + (size_t)i * PAGE, PAGE);
}

/* --- store buffers [EX1] ---------------------------------------------------------- */

/* What the thread has stored becomes visible. */
static void flush(struct explored *t)
{
    if (t->held_back != NULL)
        __atomic_store_n(t->held_back, t->held_value, __ATOMIC_SEQ_CST);
    t->held_back = NULL;
}

static struct explored *self(void)
{
    return x != NULL && x->current >= 0 ? &x->thread[x->current] : NULL;
}

/* --- which thread is next --------------------------------------------------------- */

static bool can_go_on(int i)
{
    const struct explored *t = &x->thread[i];
    switch (t->state) {
    case READY:
        return true;
    case AT_LOCK:
        return __atomic_load_n(t->word, __ATOMIC_SEQ_CST) == 0;
    case PAUSED:
        return x->nsteps > t->paused_at;
    default:
        return false;
    }
}

/* Chooses among n threads, of which the first costs no preemption if there is a choice: as the
 * given choices say, and then always the first. */
static int choose(const unsigned char *thread, unsigned n, const void *place)
{
    if (n == 1)
        return thread[0];
    struct choice *c = &x->choice[x->nchoices];
    if (x->nchoices++ >= x->ngiven) {
        if (x->nchoices > MOST_CHOICES)
            explore_fail("no end");
        *c = (struct choice){.n = (unsigned char)n};
        memcpy(c->thread, thread, n);
    }
    c->step = x->nsteps;
    c->place = place;
    if (c->n != n || memcmp(c->thread, thread, n) != 0)
        explore_fail("the explorer: a schedule cannot be repeated");
    return thread[c->taken];
}

/* Adds to `can` the other threads that can go on. */
static unsigned add_others(unsigned char *can, unsigned n, bool paused)
{
    for (int i = 0; i < x->nthreads; i++)
        if (i != x->current && (x->thread[i].state == PAUSED) == paused && can_go_on(i))
            can[n++] = (unsigned char)i;
    return n;
}

/* Returns the next thread, or -1 if none can go on. A thread that has paused is next only if all
 * others wait, too, or at the price of a preemption: or two that pause could go on for ever. */
static int next_thread(bool leaves, const void *place)
{
    unsigned char can[NTHREADS_MAX];
    unsigned n = 0;
    bool stays = !leaves && can_go_on(x->current);
    if (stays)
        can[n++] = (unsigned char)x->current;
    if (!stays || x->npreemptions < x->most_preemptions) {
        n = add_others(can, n, false);
        if (stays || n == 0)
            n = add_others(can, n, true);
    }
    if (n == 0)
        return -1;
    int next = choose(can, n, place);
    x->npreemptions += stays && next != x->current;
    return next;
}

static void switch_to(int next)
{
    struct explored *from = &x->thread[x->current], *to = &x->thread[next];
    if (from == to)
        return;
    memcpy(from->tls, x->tls, x->tls_bytes);
    memcpy(x->tls, to->tls, x->tls_bytes);
    x->current = next;
    to->state = READY;
    swapcontext(&from->context, &to->context);
}

static void point_at(const void *place)
{
    if (self() == NULL)
        return;
    self()->last_store = NULL;
    if (++x->nsteps > MOST_STEPS)
        explore_fail("no end");
    switch_to(next_thread(false, place));
}

/* The thread cannot go on, and its state says until when. */
static void leave(enum state state, const void *place)
{
    struct explored *t = self();
    t->state = state;
    int next = next_thread(true, place);
    if (next < 0 && state == PAUSED)
        next = x->current; /* what it waits for may have come just before */
    if (next < 0)
        explore_fail("a thread waits for ever");
    switch_to(next);
    t->state = READY;
}

void explore_point(void)
{
    point_at(__builtin_return_address(0));
}

void explore_end_thread(int thread)
{
    x->thread[thread].state = ENDED;
}

static void thread_begins(int i)
{
    x->scenario->thread[i]();
    struct explored *t = self();
    flush(t);
    t->state = ENDED;
    x->nsteps++;
    int next = next_thread(true, NULL);
    for (int k = 0; next < 0 && k < x->nthreads; k++)
        if (x->thread[k].state != ENDED)
            explore_fail("a thread waits for ever");
    if (next < 0)
        setcontext(&x->main);
    switch_to(next);
}

/* --- what src calls ---------------------------------------------------------------- */

void explore_as(int thread)
{
    x->acting = thread;
}

static int acting(void)
{
    return x->current >= 0 ? x->current : x->acting;
}

const void *os_thread_pointer(void);
const void *os_thread_pointer(void)
{
    return &x->thread[acting()];
}

int __wrap_os_thread_id(void);
int __wrap_os_thread_id(void)
{
    return 1000 + acting();
}

bool __wrap_os_thread_is_gone(int id);
bool __wrap_os_thread_is_gone(int id)
{
    return x->thread[id - 1000].state == ENDED;
}

bool __wrap_os_barrier_open(void);
bool __wrap_os_barrier_open(void)
{
    return !x->refuses_barrier;
}

void explore_refuse_barrier(void)
{
    x->refuses_barrier = true;
}

bool __wrap_os_barrier(void);
bool __wrap_os_barrier(void)
{
    explore_point();
    for (int i = 0; i < x->nthreads && !x->refuses_barrier; i++)
        flush(&x->thread[i]);
    return !x->refuses_barrier;
}

void __wrap_os_pause(unsigned n);
void __wrap_os_pause(unsigned n)
{
    (void)n;
    struct explored *t = self();
    explore_expect(t != NULL, "a wait outside of the threads");
    t->paused_at = ++x->nsteps; /* a step: the thread has looked at something before */
    leave(PAUSED, __builtin_return_address(0));
}

/* The system compares and falls asleep at once. */
void __wrap_os_wait(const uint32_t *word, uint32_t value);
void __wrap_os_wait(const uint32_t *word, uint32_t value)
{
    explore_point();
    if (__atomic_load_n(word, __ATOMIC_SEQ_CST) != value)
        return;
    self()->word = (uint32_t *)(uintptr_t)word;
    leave(ASLEEP, __builtin_return_address(0));
}

void __wrap_os_wake(const uint32_t *word);
void __wrap_os_wake(const uint32_t *word)
{
    explore_point();
    for (int i = 0; i < x->nthreads; i++) {
        if (x->thread[i].state == ASLEEP && x->thread[i].word == word) {
            x->thread[i].state = READY;
            return;
        }
    }
}

void __real_lock_wait(struct lock *l);
void __wrap_lock_wait(struct lock *l);
void __wrap_lock_wait(struct lock *l)
{
    struct explored *t = self();
    explore_expect(t != NULL, "a lock that is taken outside of the threads");
    if (x->scenario->waits_in_lock) {
        __real_lock_wait(l);
        return;
    }
    flush(t);
    t->word = &l->state;
    while (__atomic_load_n(&l->state, __ATOMIC_SEQ_CST) != LOCK_FREE)
        leave(AT_LOCK, __builtin_return_address(0));
    __atomic_store_n(&l->state, LOCK_TAKEN, __ATOMIC_SEQ_CST);
}

/* A lookup tries a hundred times at once before it waits. Here it waits after the first. */
bool __real_lookup_pause(unsigned n);
bool __wrap_lookup_pause(unsigned n);
bool __wrap_lookup_pause(unsigned n)
{
    return n == 0 || __real_lookup_pause(n + 99);
}

/* --- the instrumentation for ThreadSanitizer ---------------------------------------- */

static bool is_tls(const volatile void *p)
{
    return (uintptr_t)p - (uintptr_t)x->tls < x->tls_bytes;
}

/* Before an operation that is a fence for the processor, too. */
static void fence_at(const void *place)
{
    point_at(place);
    if (self() != NULL)
        flush(self());
}

#define HERE __builtin_return_address(0)

#define DEFINE(bits, type)                                                                         \
    type __tsan_atomic##bits##_load(const volatile type *p, int order);                            \
    type __tsan_atomic##bits##_load(const volatile type *p, int order)                             \
    {                                                                                              \
        (void)order;                                                                               \
        point_at(HERE);                                                                            \
        const struct explored *t = self();                                                         \
        if (t != NULL && t->held_back != NULL && (const volatile void *)t->held_back == p)         \
            return (type)t->held_value;                                                            \
        return *p;                                                                                 \
    }                                                                                              \
    void __tsan_atomic##bits##_store(volatile type *p, type value, int order);                     \
    void __tsan_atomic##bits##_store(volatile type *p, type value, int order)                      \
    {                                                                                              \
        point_at(HERE);                                                                            \
        struct explored *t = self();                                                               \
        if (t != NULL && (order == __ATOMIC_SEQ_CST || (volatile void *)t->held_back == p))        \
            t->held_back = (order == __ATOMIC_SEQ_CST) ? (flush(t), NULL) : NULL;                  \
        if (t != NULL && bits == 32 && order == __ATOMIC_RELAXED) {                                \
            t->last_store = (uint32_t *)(uintptr_t)p;                                              \
            t->last_was = (uint32_t)*p;                                                            \
        }                                                                                          \
        *p = value;                                                                                \
    }                                                                                              \
    int __tsan_atomic##bits##_compare_exchange_strong(volatile type *p, type *was, type value,     \
                                                      int order, int order_failed);                \
    int __tsan_atomic##bits##_compare_exchange_strong(volatile type *p, type *was, type value,     \
                                                      int order, int order_failed)                 \
    {                                                                                              \
        (void)order, (void)order_failed;                                                           \
        fence_at(HERE);                                                                            \
        if (*p != *was)                                                                            \
            return *was = *p, 0;                                                                   \
        *p = value;                                                                                \
        return 1;                                                                                  \
    }                                                                                              \
    type __tsan_atomic##bits##_exchange(volatile type *p, type value, int order);                  \
    type __tsan_atomic##bits##_exchange(volatile type *p, type value, int order)                   \
    {                                                                                              \
        (void)order;                                                                               \
        fence_at(HERE);                                                                            \
        type was = *p;                                                                             \
        *p = value;                                                                                \
        return was;                                                                                \
    }                                                                                              \
    type __tsan_atomic##bits##_fetch_add(volatile type *p, type n, int order);                     \
    type __tsan_atomic##bits##_fetch_add(volatile type *p, type n, int order)                      \
    {                                                                                              \
        (void)order;                                                                               \
        fence_at(HERE);                                                                            \
        type was = *p;                                                                             \
        *p = (type)(was + n);                                                                      \
        return was;                                                                                \
    }                                                                                              \
    type __tsan_atomic##bits##_fetch_sub(volatile type *p, type n, int order);                     \
    type __tsan_atomic##bits##_fetch_sub(volatile type *p, type n, int order)                      \
    {                                                                                              \
        (void)order;                                                                               \
        fence_at(HERE);                                                                            \
        type was = *p;                                                                             \
        *p = (type)(was - n);                                                                      \
        return was;                                                                                \
    }
DEFINE(8, uint8_t)
DEFINE(16, uint16_t)
DEFINE(32, uint32_t)
DEFINE(64, uint64_t)

/* Only a fence of sequential consistency empties the store buffer of a processor. */
void __tsan_atomic_thread_fence(int order);
void __tsan_atomic_thread_fence(int order)
{
    if (order == __ATOMIC_SEQ_CST)
        fence_at(HERE);
    else
        point_at(HERE);
}

/* The store before it goes back into the store buffer. */
void __tsan_atomic_signal_fence(int order);
void __tsan_atomic_signal_fence(int order)
{
    (void)order;
    struct explored *t = self();
    if (t == NULL || t->last_store == NULL || is_tls(t->last_store))
        return;
    flush(t);
    t->held_back = t->last_store;
    t->held_value = *t->last_store;
    *t->last_store = t->last_was;
    t->last_store = NULL;
}

#define PLAIN(name, steps)                                                                         \
    void name(void *p);                                                                            \
    void name(void *p)                                                                             \
    {                                                                                              \
        (void)p;                                                                                   \
        if ((steps) && self() != NULL && x->scenario->each_write_counts)                           \
            point_at(HERE);                                                                        \
    }
PLAIN(__tsan_read1, false)
PLAIN(__tsan_read2, false)
PLAIN(__tsan_read4, false)
PLAIN(__tsan_read8, false)
PLAIN(__tsan_write1, true)
PLAIN(__tsan_write2, true)
PLAIN(__tsan_write4, true)
PLAIN(__tsan_write8, true)
PLAIN(__tsan_write16, true)
PLAIN(__tsan_unaligned_read2, false)
PLAIN(__tsan_unaligned_read4, false)
PLAIN(__tsan_unaligned_read8, false)
PLAIN(__tsan_unaligned_write2, true)
PLAIN(__tsan_unaligned_write4, true)
PLAIN(__tsan_unaligned_write8, true)
PLAIN(__tsan_unaligned_write16, true)
PLAIN(__tsan_func_entry, false)

/* What reads 16 bytes is a look at states, and counts as atomic. */
void __tsan_read16(void *p);
void __tsan_read16(void *p)
{
    (void)p;
    point_at(HERE);
}
void __tsan_unaligned_read16(void *p);
void __tsan_unaligned_read16(void *p)
{
    (void)p;
    point_at(HERE);
}
void __tsan_read_range(void *p, size_t n);
void __tsan_read_range(void *p, size_t n)
{
    (void)p;
    if (n == 16)
        point_at(HERE);
}
void __tsan_write_range(void *p, size_t n);
void __tsan_write_range(void *p, size_t n)
{
    (void)p, (void)n;
}
void __tsan_func_exit(void);
void __tsan_func_exit(void)
{
}
void __tsan_init(void);
void __tsan_init(void)
{
}

/* --- memory functions: in two steps ------------------------------------------------- */

void *explore_memmove(void *to, const void *from, size_t n);
void *explore_memmove(void *to, const void *from, size_t n)
{
    size_t half = self() == NULL ? 0 : n / 2 / sizeof(long) * sizeof(long);
    unsigned char *t = to;
    const unsigned char *f = from;
    bool down = t > f;
    if (half == 0)
        return memmove(to, from, n);
    point_at(HERE);
    memmove(down ? t + half : t, down ? f + half : f, down ? n - half : half);
    point_at(HERE);
    memmove(down ? t : t + half, down ? f : f + half, down ? half : n - half);
    return to;
}

void *explore_memset(void *to, int value, size_t n);
void *explore_memset(void *to, int value, size_t n)
{
    size_t half = self() == NULL ? 0 : n / 2 / sizeof(long) * sizeof(long);
    if (half > 0) {
        point_at(HERE);
        memset(to, value, half);
        point_at(HERE);
    }
    memset((unsigned char *)to + half, value, n - half);
    return to;
}

/* --- all schedules ------------------------------------------------------------------- */

static void begin_thread(int i)
{
    struct explored *t = &x->thread[i];
    t->state = READY;
    t->held_back = t->last_store = NULL;
    memcpy(t->tls, x->tls_first, x->tls_bytes);
    getcontext(&t->context);
    t->context.uc_stack = (stack_t){.ss_sp = t->stack, .ss_size = STACK_BYTES};
    t->context.uc_link = &x->main;
    makecontext(&t->context, (void (*)(void))thread_begins, 1, i);
}

/* Runs one schedule. Returns false if it failed. */
static bool run_once(void)
{
    restore();
    x->npreemptions = x->nsteps = x->nchoices = 0;
    for (int i = 0; i < x->nthreads; i++)
        begin_thread(i);
    x->failure = NULL;
    if (setjmp(x->failed) != 0)
        return false;
    static const unsigned char all[] = {0, 1, 2};
    volatile bool begun = false;
    getcontext(&x->main);
    if (!begun) {
        begun = true;
        x->current = choose(all, (unsigned)x->nthreads, NULL);
        memcpy(x->tls, x->thread[x->current].tls, x->tls_bytes);
        setcontext(&x->thread[x->current].context);
    }
    x->current = -1;
    memcpy(x->tls, x->tls_first, x->tls_bytes);
    x->scenario->check();
    return true;
}

/* The next schedule in the order of a search in depth. Returns false after the last one. */
static bool next_schedule(void)
{
    while (x->nchoices > 0) {
        struct choice *c = &x->choice[x->nchoices - 1];
        if (c->taken + 1 < c->n) {
            c->taken++;
            x->ngiven = x->nchoices;
            return true;
        }
        x->nchoices--;
    }
    return false;
}

static void print_schedule(void)
{
    printf("# %s\n# schedule:", x->failure);
    for (unsigned i = 0; i < x->nchoices; i++) {
        const struct choice *c = &x->choice[i];
        if (i == 0 || c->taken > 0)
            printf(" step %u -> thread %d (%p);", c->step, c->thread[c->taken],
                   (void *)((uintptr_t)c->place));
    }
    printf("\n");
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool explore(const struct scenario *s, int number, size_t most)
{
    double begin = seconds();
    x->scenario = s;
    x->current = -1;
    x->acting = 0;
    x->ngiven = 0;
    x->refuses_barrier = false;
    for (x->nthreads = 0; x->nthreads < NTHREADS_MAX && s->thread[x->nthreads] != NULL;)
        x->nthreads++;
    begin_anew();
    s->open();
    x->acting = 0;
    snapshot();
    size_t n = 0;
    bool ok, more = true;
    do {
        n++;
        ok = run_once();
        more = ok && (most == 0 || n < most) && next_schedule();
    } while (more);
    printf("%s %d - %s: %zu schedules with at most %u preemptions, %.2f s\n", ok ? "ok" : "not ok",
           number, s->name, n, x->most_preemptions, seconds() - begin);
    if (!ok)
        print_schedule();
    fflush(stdout);
    return ok;
}

static bool is_wanted(const char *name, char **words)
{
    if (*words == NULL)
        return true;
    for (; *words != NULL; words++)
        if (strstr(name, *words) != NULL)
            return true;
    return false;
}

static void *map(size_t nbytes)
{
    return mmap(NULL, nbytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void open_explorer(void)
{
    enum { ALIGN = 1 << 16 };
    x = map(sizeof *x);
    uintptr_t memory = (uintptr_t)map(EXPLORE_BYTES + ALIGN);
    explore_memory = (unsigned char *)((memory + ALIGN - 1) / ALIGN * ALIGN);
    for (int i = 0; i < NTHREADS_MAX; i++)
        x->thread[i].stack = map(STACK_BYTES);
    dl_iterate_phdr(find_tls, NULL);
    __libc_single_threaded = 0; /* or src leaves out what only threads need */
    sigaltstack(&(stack_t){.ss_sp = map(STACK_BYTES), .ss_size = STACK_BYTES}, NULL);
    struct sigaction action = {.sa_handler = crashed, .sa_flags = SA_ONSTACK | SA_NODEFER};
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
}

int main(int argc, char **argv)
{
    const struct scenario *all[] = {slots_scenarios, readers_scenarios, lock_scenarios};
    size_t most = 0;
    int ntests = 0, nfailed = 0;
    (void)argc;
    open_explorer();
    x->most_preemptions = 2;
    for (argv++; *argv != NULL && **argv == '-'; argv += 2) {
        if (argv[1] == NULL ||
            (strcmp(*argv, "--preemptions") != 0 && strcmp(*argv, "--most") != 0)) {
            fprintf(stderr, "usage: schedules [--preemptions N] [--most N] [NAME...]\n");
            return 2;
        }
        if (strcmp(*argv, "--preemptions") == 0)
            x->most_preemptions = (unsigned)strtoul(argv[1], NULL, 10);
        else
            most = strtoul(argv[1], NULL, 10);
    }
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        for (const struct scenario *s = all[i]; s->name != NULL; s++)
            if (is_wanted(s->name, argv))
                nfailed += !explore(s, ++ntests, most);
    printf("1..%d\n", ntests);
    return nfailed > 0;
}
