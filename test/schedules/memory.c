/* SPDX-License-Identifier: MIT
 *
 * memory.c - what a thread may read, and what is a race: memory.h.
 *
 * Each event of a thread (a store, or a load of what it did not know) has a number, from 1 on. What
 * a thread knows are three numbers: the last event of each thread that it knows of.
 */
#include "memory.h"

#include <string.h>
#include <sys/mman.h>

#include "explore.h"

enum { WORD = 8, NWORDS = 1 << 15, NSTORES = 1 << 17 };

struct knowledge {
    uint32_t last[NTHREADS_MAX];
};

/* A store to some bytes of a word. */
struct store {
    uint64_t bytes;                 /* a mask */
    uint64_t was;                   /* all of the word, before it */
    uint32_t before;                /* the store to the word before it; 0: there is none */
    uint32_t event;                 /* of its thread */
    uint32_t read_at[NTHREADS_MAX]; /* the event in which that thread has read it first, or 0 */
    uint32_t norders;               /* m->norders then */
    struct knowledge passed;        /* to a thread that acquires it */
    uint8_t thread;
    bool is_ordered; /* it is sequentially consistent */
};

/* What a thread has read of a word. */
struct reading {
    uint64_t bytes; /* a mask */
    uint32_t event; /* the thread's next event when it last did */
};

/* A word that was stored to or read in this schedule. */
struct word {
    uintptr_t number;
    uint32_t schedule;
    uint32_t newest; /* the last store; 0: there is none */
    struct reading plain[NTHREADS_MAX], atomic[NTHREADS_MAX];
};

struct side {
    struct knowledge knows;
    struct knowledge acquirable; /* what an acquire fence would let it know */
    struct knowledge released;   /* what it knew at its last release fence */
    uint32_t norders;            /* m->norders at its last sequentially consistent fence */
    struct knowledge late;       /* stores of a thread from this one on come late; 0: none does */
};

/* It is not among the variables of the program, which are restored. */
static struct memory {
    struct word word[NWORDS];
    struct store store[NSTORES];
    struct side side[NTHREADS_MAX];
    struct knowledge ordered; /* what the sequentially consistent fences knew */
    uint32_t nstores, nwords, schedule;
    uint32_t norders; /* sequentially consistent operations so far */
} * m;

void memory_open(void)
{
    m = mmap(NULL, sizeof *m, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

void memory_begin(void)
{
    memset(m->side, 0, sizeof m->side);
    m->ordered = (struct knowledge){0};
    m->nstores = m->nwords = m->norders = 0;
    m->schedule++;
}

/* --- knowledge ---------------------------------------------------------------------- */

static void learn(struct knowledge *k, const struct knowledge *more)
{
    for (int i = 0; i < NTHREADS_MAX; i++)
        if (k->last[i] < more->last[i])
            k->last[i] = more->last[i];
}

static bool acquires(int order)
{
    return order == __ATOMIC_ACQUIRE || order == __ATOMIC_ACQ_REL || order == __ATOMIC_SEQ_CST;
}

static bool releases(int order)
{
    return order == __ATOMIC_RELEASE || order == __ATOMIC_ACQ_REL || order == __ATOMIC_SEQ_CST;
}

/* Whether a thread that knows this knows of the store, or of a load of it. */
static bool knows(const struct knowledge *k, const struct store *s)
{
    bool known = s->event <= k->last[s->thread];
    for (int i = 0; i < NTHREADS_MAX; i++)
        known |= s->read_at[i] != 0 && s->read_at[i] <= k->last[i];
    return known;
}

/* Whether a load of the thread must not return what was there before the store [ME1, ME2]. */
static bool must_see(int thread, const struct store *s, int order)
{
    const struct side *t = &m->side[thread];
    return knows(&t->knows, s) || (s->is_ordered && s->norders < t->norders) ||
           (order == __ATOMIC_SEQ_CST && (s->is_ordered || knows(&m->ordered, s)));
}

/* --- words -------------------------------------------------------------------------- */

static struct word *word_at(uintptr_t number)
{
    uint32_t i = (uint32_t)(number * 0x9E3779B97F4A7C15 >> 40) % NWORDS;
    while (m->word[i].schedule == m->schedule && m->word[i].number != number)
        i = (i + 1) % NWORDS;
    struct word *w = &m->word[i];
    if (w->schedule != m->schedule) {
        explore_expect(++m->nwords < NWORDS / 2, "the explorer: too many words");
        *w = (struct word){.number = number, .schedule = m->schedule};
    }
    return w;
}

/* The first bytes of [place, place + nbytes) that lie in one word: which word, and a mask. */
static struct word *first_word(uintptr_t place, size_t nbytes, uint64_t *bytes, size_t *n)
{
    size_t from = place % WORD;
    *n = nbytes < WORD - from ? nbytes : WORD - from;
    *bytes = (*n == WORD ? UINT64_MAX : ((uint64_t)1 << *n * 8) - 1) << from * 8;
    return word_at(place / WORD);
}

static struct store *newest_of(const struct word *w, uint64_t bytes)
{
    uint32_t i = w->newest;
    while (i != 0 && (m->store[i].bytes & bytes) == 0)
        i = m->store[i].before;
    return i == 0 ? NULL : &m->store[i];
}

static struct store *one_before(const struct store *s, uint64_t bytes)
{
    struct word w = {.newest = s->before};
    return newest_of(&w, bytes);
}

/* The newest store that has come to the thread by now, or NULL; and what the word was then. */
static struct store *newest_seen(int thread, const struct word *w, uint64_t bytes, int order,
                                 uint64_t *was)
{
    const struct knowledge *late = &m->side[thread].late;
    struct store *s = newest_of(w, bytes);
    memcpy(was, (const void *)(w->number * WORD), WORD);
    for (; s != NULL && late->last[s->thread] != 0 && s->event >= late->last[s->thread] &&
           !must_see(thread, s, order);
         s = one_before(s, bytes))
        *was = s->was;
    return s;
}

/* --- atomic operations ---------------------------------------------------------------- */

unsigned memory_values(int thread, const volatile void *place, unsigned nbytes, int order,
                       uint64_t *value)
{
    uint64_t bytes, was;
    size_t n;
    const struct word *w = first_word((uintptr_t)place, nbytes, &bytes, &n);
    unsigned nvalues = 1, shift = (uintptr_t)place % WORD * 8;
    const struct store *s = newest_seen(thread, w, bytes, order, &was);
    value[0] = (was & bytes) >> shift;
    for (; s != NULL && !must_see(thread, s, order) && nvalues < NVALUES_MAX;
         s = one_before(s, bytes))
        value[nvalues++] = (s->was & bytes) >> shift;
    return nvalues;
}

void memory_delay(int thread, const volatile void *place, unsigned nbytes, int order,
                  unsigned number)
{
    uint64_t bytes, was;
    size_t n;
    const struct word *w = first_word((uintptr_t)place, nbytes, &bytes, &n);
    struct knowledge *late = &m->side[thread].late;
    const struct store *s = newest_seen(thread, w, bytes, order, &was);
    for (; number > 0; number--, s = one_before(s, bytes))
        if (late->last[s->thread] == 0 || s->event < late->last[s->thread])
            late->last[s->thread] = s->event;
}

void memory_end_delay(int thread)
{
    m->side[thread].late = (struct knowledge){0};
}

/* The thread reads the bytes as they are behind the store `s`, each of which may be of another
 * store. */
static void read_behind(int thread, struct store *s, uint64_t bytes, int order)
{
    struct side *t = &m->side[thread];
    for (; s != NULL && bytes != 0; bytes &= ~s->bytes, s = one_before(s, bytes)) {
        if ((s->bytes & bytes) == 0)
            continue;
        if (!knows(&t->knows, s))
            s->read_at[thread] = ++t->knows.last[thread];
        learn(&t->acquirable, &s->passed);
        if (acquires(order))
            learn(&t->knows, &s->passed);
    }
}

static void note_load(int thread, struct word *w, struct store *s, uint64_t bytes, int order)
{
    read_behind(thread, s, bytes, order);
    w->atomic[thread].bytes |= bytes;
    w->atomic[thread].event = m->side[thread].knows.last[thread] + 1;
    m->norders += order == __ATOMIC_SEQ_CST;
}

void memory_read(int thread, const volatile void *place, unsigned nbytes, int order,
                 unsigned number)
{
    uint64_t bytes, was;
    size_t n;
    struct word *w = first_word((uintptr_t)place, nbytes, &bytes, &n);
    struct store *s = newest_seen(thread, w, bytes, order, &was);
    for (; number > 0; number--)
        s = one_before(s, bytes);
    note_load(thread, w, s, bytes, order);
}

/* Notes a store to bytes of one word. */
static struct store *note_store(int thread, struct word *w, uint64_t bytes, int order)
{
    struct side *t = &m->side[thread];
    explore_expect(m->nstores + 1 < NSTORES, "the explorer: too many stores");
    struct store *s = &m->store[++m->nstores];
    *s = (struct store){.bytes = bytes,
                        .before = w->newest,
                        .event = ++t->knows.last[thread],
                        .norders = m->norders,
                        .passed = releases(order) ? t->knows : t->released,
                        .thread = (uint8_t)thread,
                        .is_ordered = order == __ATOMIC_SEQ_CST};
    memcpy(&s->was, (const void *)(w->number * WORD), WORD);
    w->newest = m->nstores;
    m->norders += s->is_ordered;
    return s;
}

void memory_store(int thread, const volatile void *place, size_t nbytes, int order)
{
    uint64_t bytes;
    size_t n;
    struct word *w = first_word((uintptr_t)place, nbytes, &bytes, &n);
    note_store(thread, w, bytes, order);
}

void memory_exchange(int thread, const volatile void *place, unsigned nbytes, int order,
                     bool stores)
{
    uint64_t bytes;
    size_t n;
    struct word *w = first_word((uintptr_t)place, nbytes, &bytes, &n);
    struct store *was = newest_of(w, bytes);
    note_load(thread, w, was, bytes, order);
    if (!stores)
        return;
    struct store *s = note_store(thread, w, bytes, order);
    if (was != NULL)
        learn(&s->passed, &was->passed);
}

void memory_fence(int thread, int order)
{
    struct side *t = &m->side[thread];
    if (acquires(order))
        learn(&t->knows, &t->acquirable);
    if (order == __ATOMIC_SEQ_CST) {
        t->knows.last[thread]++; /* what it has read so far is known to those that know this */
        learn(&t->knows, &m->ordered);
        m->ordered = t->knows;
        t->norders = ++m->norders;
    }
    if (releases(order))
        t->released = t->knows;
}

/* The others need not learn of one another by it. */
void memory_barrier(int thread, int nthreads)
{
    struct side *mine = &m->side[thread];
    memory_fence(thread, __ATOMIC_SEQ_CST);
    struct knowledge before = mine->knows;
    for (int i = 0; i < nthreads; i++) {
        struct side *t = &m->side[i];
        t->knows.last[i]++;
        learn(&t->knows, &t->acquirable);
        learn(&mine->knows, &t->knows);
        learn(&t->knows, &before);
        t->released = t->knows;
    }
    memory_fence(thread, __ATOMIC_SEQ_CST);
}

void memory_join(int thread, int ended)
{
    m->side[ended].knows.last[ended]++;
    learn(&m->side[thread].knows, &m->side[ended].knows);
}

/* --- plain accesses --------------------------------------------------------------------- */

/* A load that may race reads the newest value, like a relaxed one. */
bool memory_plain_load(int thread, const volatile void *place, size_t nbytes, bool may_race)
{
    uint64_t bytes;
    uintptr_t at = (uintptr_t)place;
    const struct knowledge *k = &m->side[thread].knows;
    for (size_t n; nbytes > 0; nbytes -= n, at += n) {
        struct word *w = first_word(at, nbytes, &bytes, &n);
        struct store *s = newest_of(w, bytes);
        if (may_race)
            read_behind(thread, s, bytes, __ATOMIC_RELAXED);
        else if (s != NULL && !knows(k, s))
            return false;
        w->plain[thread].bytes |= bytes;
        w->plain[thread].event = k->last[thread] + 1;
    }
    return true;
}

/* Whether another thread has read some of the bytes, in a way that is not known. */
static bool is_read(int thread, const struct reading *by, uint64_t bytes)
{
    const struct knowledge *k = &m->side[thread].knows;
    for (int i = 0; i < NTHREADS_MAX; i++)
        if (i != thread && (by[i].bytes & bytes) != 0 && by[i].event > k->last[i])
            return true;
    return false;
}

bool memory_plain_store(int thread, const volatile void *place, size_t nbytes, bool may_race)
{
    uint64_t bytes;
    uintptr_t at = (uintptr_t)place;
    for (size_t n; nbytes > 0; nbytes -= n, at += n) {
        struct word *w = first_word(at, nbytes, &bytes, &n);
        const struct store *s = newest_of(w, bytes);
        if (!may_race && ((s != NULL && !knows(&m->side[thread].knows, s)) ||
                          is_read(thread, w->plain, bytes) || is_read(thread, w->atomic, bytes)))
            return false;
        note_store(thread, w, bytes, __ATOMIC_RELAXED);
    }
    return true;
}
