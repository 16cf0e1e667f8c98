/* SPDX-License-Identifier: MIT
 *
 * explore.c - tries all schedules of small scenarios with few surprises: explore.h.
 *
 *     schedules [--surprises N] [--most N] [NAME...]
 *
 * explores the scenarios whose names contain one of the words, or all; with at most N surprises,
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
#include "memory.h"

enum { STACK_BYTES = 256 << 10, MOST_STEPS = 20000, MOST_CHOICES = 20000, PAGE = 4096 };
enum { NPAGES = EXPLORE_BYTES / PAGE, TLS_MOST = 4096 };

enum state { READY, AT_LOCK, ASLEEP, PAUSED, ENDED };

struct explored {
    ucontext_t context;
    unsigned char *stack;
    enum state state;
    uint32_t *word;     /* of the lock or the futex */
    unsigned paused_at; /* the number of steps when it paused */
    unsigned char tls[TLS_MOST];
};

/* At this step there was a choice: which of these threads is next, or which value a load returns, 0
 * being the newest. From NVALUES_MAX on the value comes with a delay (memory_delay). */
struct choice {
    unsigned step;
    unsigned char n, taken, option[2 * NVALUES_MAX];
    bool is_value;
    const void *place; /* in the code of the thread that was at work */
};
static_assert((int)NTHREADS_MAX <= (int)NVALUES_MAX, "a choice has room for both");

/* All that the explorer knows. It is not among the variables of the program, which are restored. */
struct explorer {
    const struct scenario *scenario;
    int nthreads, current; /* -1: none is at work */
    int acting;            /* in whose name `open` and `check` act */
    bool refuses_barrier;
    unsigned nsurprises, most_surprises, nsteps;
    unsigned nchoices, ngiven; /* choices made in this schedule; those that are given */
    struct choice choice[MOST_CHOICES];
    struct explored thread[NTHREADS_MAX];
    ucontext_t main;
    jmp_buf failed;
    const char *failure;
    unsigned char *stacks, *data, *pages, *tls, tls_first[TLS_MOST];
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

/* Chooses among n options, of which the first costs nothing: as the given choices say, and then
 * always the first. */
static int choose(const unsigned char *option, unsigned n, bool is_value, const void *place)
{
    if (n == 1)
        return option[0];
    struct choice *c = &x->choice[x->nchoices];
    if (x->nchoices++ >= x->ngiven) {
        if (x->nchoices > MOST_CHOICES)
            explore_fail("no end");
        *c = (struct choice){.n = (unsigned char)n, .is_value = is_value};
        memcpy(c->option, option, n);
    }
    c->step = x->nsteps;
    c->place = place;
    if (c->n != n || c->is_value != is_value || memcmp(c->option, option, n) != 0)
        explore_fail("the explorer: a schedule cannot be repeated");
    return option[c->taken];
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
 * others wait, too, or at the price of a surprise: or two that pause could go on for ever. */
static int next_thread(bool leaves, const void *place)
{
    unsigned char can[NTHREADS_MAX];
    unsigned n = 0;
    bool stays = !leaves && can_go_on(x->current);
    if (stays)
        can[n++] = (unsigned char)x->current;
    if (!stays || x->nsurprises < x->most_surprises) {
        n = add_others(can, n, false);
        if (stays || n == 0)
            n = add_others(can, n, true);
    }
    if (n == 0)
        return -1;
    int next = choose(can, n, false, place);
    x->nsurprises += stays && next != x->current;
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
    if (++x->nsteps > MOST_STEPS)
        explore_fail("no end");
    switch_to(next_thread(false, place));
}

/* The thread cannot go on, and its state says until when. */
static void leave(enum state state, const void *place)
{
    struct explored *t = self();
    x->nsteps += state != PAUSED; /* it has looked at something just now, after its last step */
    t->state = state;
    int next = next_thread(true, place);
    if (next < 0 && state == PAUSED)
        next = x->current; /* what it waits for may have come just before */
    if (next < 0)
        explore_fail("a thread waits for ever");
    switch_to(next);
    t->state = READY;
    memory_end_delay(x->current);
}

void explore_point(void)
{
    point_at(__builtin_return_address(0));
}

void explore_end_thread(int thread)
{
    x->thread[thread].state = ENDED;
    memory_join(x->current, thread);
}

static void thread_begins(int i)
{
    x->scenario->thread[i]();
    self()->state = ENDED;
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
    if (x->thread[id - 1000].state != ENDED)
        return false;
    if (x->current >= 0)
        memory_join(x->current, id - 1000);
    return true;
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
    if (self() != NULL && !x->refuses_barrier)
        memory_barrier(x->current, x->nthreads);
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
    t->word = &l->state;
    while (__atomic_load_n(&l->state, __ATOMIC_SEQ_CST) != LOCK_FREE)
        leave(AT_LOCK, __builtin_return_address(0));
    memory_exchange(x->current, &l->state, sizeof l->state, __ATOMIC_ACQUIRE, true);
    l->state = LOCK_TAKEN;
}

/* A lookup tries a hundred times at once before it waits. Here it waits after the first. */
bool __real_lookup_pause(unsigned n);
bool __wrap_lookup_pause(unsigned n);
bool __wrap_lookup_pause(unsigned n)
{
    return n == 0 || __real_lookup_pause(n + 99);
}

/* --- the instrumentation for ThreadSanitizer ---------------------------------------- */

#define HERE __builtin_return_address(0)

/* Whether a thread is at work, and the place is not its own, on its stack or thread-local. */
static bool is_shared(const volatile void *p)
{
    return self() != NULL && (uintptr_t)p - (uintptr_t)x->tls >= x->tls_bytes &&
           (uintptr_t)p - (uintptr_t)x->stacks >= (uintptr_t)NTHREADS_MAX * STACK_BYTES;
}

static uint64_t load(const volatile void *p, unsigned nbytes, int order, uint64_t newest,
                     const void *place)
{
    uint64_t value[NVALUES_MAX];
    unsigned char option[2 * NVALUES_MAX] = {0};
    unsigned n = 1, taken = 0;
    if (!is_shared(p))
        return newest;
    unsigned nvalues = memory_values(x->current, p, nbytes, order, value);
    for (unsigned char i = 1; i < nvalues; i++) {
        option[n++] = i;
        option[n++] = NVALUES_MAX + i;
    }
    if (x->nsurprises < x->most_surprises)
        taken = (unsigned)choose(option, n, true, place);
    x->nsurprises += taken > 0;
    if (taken >= NVALUES_MAX)
        memory_delay(x->current, p, nbytes, order, taken - NVALUES_MAX);
    memory_read(x->current, p, nbytes, order, taken >= NVALUES_MAX ? 0 : taken);
    return value[taken % NVALUES_MAX];
}

static void store(volatile void *p, unsigned nbytes, int order)
{
    if (is_shared(p))
        memory_store(x->current, p, nbytes, order);
}

static void exchange(volatile void *p, unsigned nbytes, int order)
{
    if (is_shared(p))
        memory_exchange(x->current, p, nbytes, order, true);
}

static void plain(const volatile void *p, size_t nbytes, bool writes, const void *place)
{
    static char text[100];
    if (!is_shared(p))
        return;
    bool may_race = x->scenario->lookups_race;
    bool ok = writes ? memory_plain_store(x->current, p, nbytes, may_race)
                     : memory_plain_load(x->current, p, nbytes, may_race);
    if (ok)
        return;
    snprintf(text, sizeof text, "a race: thread %d %s at %p", x->current,
             writes ? "writes" : "reads", (void *)((uintptr_t)place));
    explore_fail(text);
}

void explore_use(const void *place, size_t nbytes, bool writes)
{
    if (self() != NULL)
        explore_expect(writes ? memory_plain_store(x->current, place, nbytes, false)
                              : memory_plain_load(x->current, place, nbytes, false),
                       "a race");
}

#define DEFINE(bits, type)                                                                         \
    type __tsan_atomic##bits##_load(const volatile type *p, int order);                            \
    type __tsan_atomic##bits##_load(const volatile type *p, int order)                             \
    {                                                                                              \
        point_at(HERE);                                                                            \
        return (type)load(p, sizeof *p, order, *p, HERE);                                          \
    }                                                                                              \
    void __tsan_atomic##bits##_store(volatile type *p, type value, int order);                     \
    void __tsan_atomic##bits##_store(volatile type *p, type value, int order)                      \
    {                                                                                              \
        point_at(HERE);                                                                            \
        store(p, sizeof *p, order);                                                                \
        *p = value;                                                                                \
    }                                                                                              \
    int __tsan_atomic##bits##_compare_exchange_strong(volatile type *p, type *was, type value,     \
                                                      int order, int order_failed);                \
    int __tsan_atomic##bits##_compare_exchange_strong(volatile type *p, type *was, type value,     \
                                                      int order, int order_failed)                 \
    {                                                                                              \
        point_at(HERE);                                                                            \
        if (*p != *was) {                                                                          \
            *was = *p;                                                                             \
            if (is_shared(p))                                                                      \
                memory_exchange(x->current, p, sizeof *p, order_failed, false);                    \
            return 0;                                                                              \
        }                                                                                          \
        exchange(p, sizeof *p, order);                                                             \
        *p = value;                                                                                \
        return 1;                                                                                  \
    }                                                                                              \
    type __tsan_atomic##bits##_exchange(volatile type *p, type value, int order);                  \
    type __tsan_atomic##bits##_exchange(volatile type *p, type value, int order)                   \
    {                                                                                              \
        point_at(HERE);                                                                            \
        type was = *p;                                                                             \
        exchange(p, sizeof *p, order);                                                             \
        *p = value;                                                                                \
        return was;                                                                                \
    }                                                                                              \
    type __tsan_atomic##bits##_fetch_add(volatile type *p, type n, int order);                     \
    type __tsan_atomic##bits##_fetch_add(volatile type *p, type n, int order)                      \
    {                                                                                              \
        point_at(HERE);                                                                            \
        type was = *p;                                                                             \
        exchange(p, sizeof *p, order);                                                             \
        *p = (type)(was + n);                                                                      \
        return was;                                                                                \
    }                                                                                              \
    type __tsan_atomic##bits##_fetch_sub(volatile type *p, type n, int order);                     \
    type __tsan_atomic##bits##_fetch_sub(volatile type *p, type n, int order)                      \
    {                                                                                              \
        return __tsan_atomic##bits##_fetch_add(p, (type)-n, order);                                \
    }
DEFINE(8, uint8_t)
DEFINE(16, uint16_t)
DEFINE(32, uint32_t)
DEFINE(64, uint64_t)

void __tsan_atomic_thread_fence(int order);
void __tsan_atomic_thread_fence(int order)
{
    point_at(HERE);
    if (self() != NULL)
        memory_fence(x->current, order);
}

/* It keeps only the compiler from changing an order. */
void __tsan_atomic_signal_fence(int order);
void __tsan_atomic_signal_fence(int order)
{
    (void)order;
}

#define PLAIN(name, nbytes, writes)                                                                \
    void __tsan_##name(void *p);                                                                   \
    void __tsan_##name(void *p)                                                                    \
    {                                                                                              \
        if ((writes) && self() != NULL && x->scenario->each_write_counts)                          \
            point_at(HERE);                                                                        \
        plain(p, nbytes, writes, HERE);                                                            \
    }
PLAIN(read1, 1, false)
PLAIN(read2, 2, false)
PLAIN(read4, 4, false)
PLAIN(read8, 8, false)
PLAIN(read16, 16, false)
PLAIN(write1, 1, true)
PLAIN(write2, 2, true)
PLAIN(write4, 4, true)
PLAIN(write8, 8, true)
PLAIN(write16, 16, true)
PLAIN(unaligned_read2, 2, false)
PLAIN(unaligned_read4, 4, false)
PLAIN(unaligned_read8, 8, false)
PLAIN(unaligned_read16, 16, false)
PLAIN(unaligned_write2, 2, true)
PLAIN(unaligned_write4, 4, true)
PLAIN(unaligned_write8, 8, true)
PLAIN(unaligned_write16, 16, true)

void __tsan_read_range(void *p, size_t n);
void __tsan_read_range(void *p, size_t n)
{
    plain(p, n, false, HERE);
}
void __tsan_write_range(void *p, size_t n);
void __tsan_write_range(void *p, size_t n)
{
    plain(p, n, true, HERE);
}
void __tsan_func_entry(void *p);
void __tsan_func_entry(void *p)
{
    (void)p;
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
    if (half == 0) {
        plain(from, n, false, HERE);
        plain(to, n, true, HERE);
        return memmove(to, from, n);
    }
    point_at(HERE);
    plain(from, n, false, HERE);
    plain(down ? t + half : t, down ? n - half : half, true, HERE);
    memmove(down ? t + half : t, down ? f + half : f, down ? n - half : half);
    point_at(HERE);
    plain(down ? t : t + half, down ? half : n - half, true, HERE);
    memmove(down ? t : t + half, down ? f : f + half, down ? half : n - half);
    return to;
}

void *explore_memset(void *to, int value, size_t n);
void *explore_memset(void *to, int value, size_t n)
{
    size_t half = self() == NULL ? 0 : n / 2 / sizeof(long) * sizeof(long);
    if (half > 0) {
        point_at(HERE);
        plain(to, half, true, HERE);
        memset(to, value, half);
        point_at(HERE);
    }
    plain((unsigned char *)to + half, n - half, true, HERE);
    memset((unsigned char *)to + half, value, n - half);
    return to;
}

/* --- all schedules ------------------------------------------------------------------- */

static void begin_thread(int i)
{
    struct explored *t = &x->thread[i];
    t->state = READY;
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
    x->nsurprises = x->nsteps = x->nchoices = 0;
    memory_begin();
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
        x->current = choose(all, (unsigned)x->nthreads, false, NULL);
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
            printf(" step %u -> %s %d (%p);", c->step, c->is_value ? "older value" : "thread",
                   c->option[c->taken], (void *)((uintptr_t)c->place));
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
    x->failure = NULL;
    if (setjmp(x->failed) != 0) {
        printf("not ok %d - %s: before the schedules: %s\n", number, s->name, x->failure);
        return false;
    }
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
    printf("%s %d - %s: %zu schedules with at most %u surprises, %.2f s\n", ok ? "ok" : "not ok",
           number, s->name, n, x->most_surprises, seconds() - begin);
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
    x->stacks = map((size_t)NTHREADS_MAX * STACK_BYTES);
    for (int i = 0; i < NTHREADS_MAX; i++)
        x->thread[i].stack = x->stacks + (size_t)i * STACK_BYTES;
    memory_open();
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
    x->most_surprises = 2;
    for (argv++; *argv != NULL && **argv == '-'; argv += 2) {
        if (argv[1] == NULL ||
            (strcmp(*argv, "--surprises") != 0 && strcmp(*argv, "--most") != 0)) {
            fprintf(stderr, "usage: schedules [--surprises N] [--most N] [NAME...]\n");
            return 2;
        }
        if (strcmp(*argv, "--surprises") == 0)
            x->most_surprises = (unsigned)strtoul(argv[1], NULL, 10);
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
