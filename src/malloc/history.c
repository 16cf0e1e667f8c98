/* SPDX-License-Identifier: MIT
 *
 * history.c - notes events in the ring and their stacks once each, and prints those of a bad
 * pointer: see history.h.
 */
#include "malloc/history.h"

#include <limits.h>
#include <pthread.h>
#include <unistd.h>

#include "base/os.h"
#include "malloc/module.h"
#include "malloc/report.h"

/* --- the mapping --------------------------------------------------------------------- */

/* Words for stacks, for each event of the ring: many events have one stack. */
enum { WORDS_FOR_EVENT = 8 };

static void *part(const struct history *h, uint64_t at)
{
    return (unsigned char *)(uintptr_t)h + at;
}

static uint64_t *stacks(const struct history *h)
{
    return part(h, h->stacks_at);
}

/* A hash table of nevents places; each holds where a stack begins, or 0. */
static uint32_t *index_of(const struct history *h)
{
    return part(h, h->index_at);
}

struct history *history_open(size_t nevents)
{
    assert(is_power_of_two(nevents) && nevents >= HISTORY_MIN && nevents <= HISTORY_MAX);
    size_t nwords = nevents * WORDS_FOR_EVENT;
    size_t events_at =
        ceil_div(sizeof(struct history), sizeof(struct event)) * sizeof(struct event);
    size_t stacks_at = events_at + nevents * sizeof(struct event);
    size_t index_at = stacks_at + nwords * sizeof(uint64_t);
    size_t nbytes = os_whole_pages(index_at + nevents * sizeof(uint32_t));
    struct history *h = os_reserve_closed(nbytes); /* without libc: the heap's lock is held [M8] */
    if (h == NULL)
        return NULL;
    if (!os_allow(h, nbytes)) {
        os_unmap(h, nbytes);
        return NULL;
    }
    *h = (struct history){.nevents = nevents,
                          .nwords = nwords,
                          .nwords_used = 1,
                          .events_at = events_at,
                          .stacks_at = stacks_at,
                          .index_at = index_at};
    history_forked();
    return h;
}

/* --- a moment ---------------------------------------------------------------------------- */

/* The thread that opened the history, or that forked: in most processes, the only one. Of the
 * others the system is asked for their numbers at each event: thread-local memory has no room. */
static pthread_t first_thread;
static uint32_t first_number;

void history_forked(void)
{
    first_thread = pthread_self();
    first_number = (uint32_t)os_thread_id();
}

void moment_take(struct moment *m)
{
    stack_take(&m->stack);
    m->thread = pthread_self() == first_thread ? first_number : (uint32_t)os_thread_id();
}

/* Returns the time for an event. The caller holds the heap's lock. */
static uint64_t now_locked(void)
{
    static struct os_time time;
    return os_time(&time);
}

/* --- noting -------------------------------------------------------------------------------- */

static bool is_stored_at(const uint64_t *words, uint64_t head, const struct stack *s)
{
    if (words[0] != head)
        return false;
    for (uint32_t i = 0; i < s->nframes; i++)
        if (words[1 + i] != s->frame[i])
            return false;
    return true;
}

/* Returns where the stack is stored, which it is afterwards if there is room; else 0. The index is
 * at most half full, so a search is short. */
static uint32_t store(struct history *h, const struct stack *s)
{
    uint64_t *words = stacks(h), mask = h->nevents - 1;
    uint64_t head = (s->hash & ~UINT64_C(63)) | s->nframes;
    uint32_t *index = index_of(h);
    uint64_t i = s->hash & mask;
    if (s->nframes == 0)
        return 0;
    for (; index[i] != 0; i = (i + 1) & mask)
        if (is_stored_at(&words[index[i]], head, s))
            return index[i];
    if (h->nstacks >= h->nevents / 2 || h->nwords - h->nwords_used < 1 + s->nframes) {
        h->nlost++;
        return 0;
    }
    uint32_t at = (uint32_t)h->nwords_used;
    words[at] = head;
    for (uint32_t k = 0; k < s->nframes; k++)
        words[at + 1 + k] = s->frame[k];
    h->nwords_used += 1 + s->nframes;
    h->nstacks++;
    index[i] = at;
    return at;
}

/* A reader outside of the process may look at any moment, so an event counts only once it is
 * complete. */
void history_note_locked(struct history *h, const struct moment *m, enum event_kind kind,
                         enum call call, const void *address, size_t nbytes)
{
    struct event *events = part(h, h->events_at);
    uint32_t stack = store(h, &m->stack);
    events[h->nnoted & (h->nevents - 1)] = (struct event){.address = (uintptr_t)address,
                                                          .nbytes = nbytes & 0xffffffffff,
                                                          .kind = kind & 15,
                                                          .call = call & 0xfffff,
                                                          .time = now_locked(),
                                                          .thread = m->thread,
                                                          .stack = stack};
    __atomic_store_n(&h->nnoted, h->nnoted + 1, __ATOMIC_RELEASE);
}

/* --- looking back ---------------------------------------------------------------------------- */

/* Returns whether the address was in the object of the event, or is the start of one that has no
 * byte. */
static bool is_around(const struct event *e, uint64_t address)
{
    return address - e->address < e->nbytes || address == e->address;
}

/* From the newest event to the oldest. If the first that is found is a free, what it freed is
 * looked for; an object of the same start that is older than that was another. */
struct past history_find_locked(const struct history *h, const void *address)
{
    const struct event *events = part(h, h->events_at);
    struct past past = {.time = now_locked()};
    uint64_t oldest = h->nnoted > h->nevents ? h->nnoted - h->nevents : 0;
    for (uint64_t n = h->nnoted; n > oldest && past.taken.kind == 0; n--) {
        const struct event *e = &events[(n - 1) & (h->nevents - 1)];
        bool is_it = past.freed.kind != 0 ? e->address == past.freed.address
                                          : is_around(e, (uintptr_t)address);
        if (is_it && e->kind == EVENT_TAKEN)
            past.taken = *e;
        else if (is_it && e->kind == EVENT_FREED && past.freed.kind != 0)
            break;
        else if (is_it && e->kind == EVENT_FREED)
            past.freed = *e;
    }
    return past;
}

/* --- printing ------------------------------------------------------------------------------- */

/* Appends a path. Of one that is too long for a line, the end says more than the beginning. */
static void line_path(struct line *l, const char *path, size_t n)
{
    enum { LONG = 150 };
    if (n > LONG) {
        line_text(l, "...");
        path += n - LONG;
        n = LONG;
    }
    line_bytes(l, path, n);
}

/* Appends a byte in hexadecimal. */
static void line_byte(struct line *l, unsigned char byte)
{
    static const char digits[] = "0123456789abcdef";
    line_bytes(l, &digits[byte / 16], 1);
    line_bytes(l, &digits[byte % 16], 1);
}

/* Appends the module of an address and where in its file the address is, as the sanitizers do:
 * "(/usr/bin/program+0x1189) (BuildId: 4b1f...)". The tools that read their lines read these, and
 * the number tells them whether the file is still that of the process. */
static void line_module(struct line *l, uintptr_t address)
{
    struct module m;
    const unsigned char *id;
    char path[PATH_MAX];
    if (module_find(address, &m) != MODULE_FOUND)
        return;
    line_text(l, " (");
    if (m.path[0] != '\0') {
        line_path(l, m.path, strlen(m.path));
    } else {
        ssize_t n = readlink("/proc/self/exe", path, sizeof path);
        line_path(l, path, n > 0 ? (size_t)n : 0);
    }
    line_text(l, "+");
    line_address(l, (const void *)(address - m.moved_by));
    line_text(l, ")");
    size_t n = module_id(&m, &id);
    if (n > 0)
        line_text(l, " (BuildId: ");
    for (size_t i = 0; i < n; i++)
        line_byte(l, id[i]);
    if (n > 0)
        line_text(l, ")");
}

/* A return address is that of the next instruction, which may be of another line, or of another
 * function. So what is printed is within the call. */
static void print_frames(const uint64_t *frame, size_t nframes, int fd)
{
    for (size_t i = 0; i < nframes; i++) {
        struct line l = {0};
        line_text(&l, "    #");
        line_decimal(&l, i);
        line_text(&l, " ");
        line_address(&l, (const void *)(uintptr_t)(frame[i] - 1));
        line_module(&l, frame[i] - 1);
        line_write_to(&l, fd);
    }
    if (nframes == 0) {
        struct line l = {0};
        line_text(&l, "    stack unknown");
        line_write_to(&l, fd);
    }
}

static void line_thread(struct line *l, uint32_t thread)
{
    line_text(l, " in thread ");
    line_decimal(l, thread);
}

/* "libmem:   freed by free in thread 4711, 0.012 s ago:" and the stack. */
static void print_event(const struct history *h, const struct event *e, const char *what,
                        uint64_t now, int fd)
{
    struct line l = {0};
    if (e->kind == 0)
        return;
    uint64_t milliseconds = now > e->time ? now - e->time : 0;
    line_text(&l, "libmem:   ");
    line_text(&l, what);
    line_text(&l, call_name(e->call));
    line_thread(&l, e->thread);
    line_text(&l, ", ");
    line_decimal(&l, milliseconds / 1000);
    const unsigned rest = (unsigned)(milliseconds % 1000);
    char digits[4] = {'.', (char)('0' + rest / 100), (char)('0' + rest / 10 % 10),
                      (char)('0' + rest % 10)};
    line_bytes(&l, digits, sizeof digits);
    line_text(&l, " s ago:");
    line_write_to(&l, fd);
    const uint64_t *stack = stacks(h) + e->stack;
    print_frames(stack + 1, e->stack == 0 ? 0 : STACK_NFRAMES(*stack), fd);
}

void history_print(const struct history *h, const struct moment *now, const struct past *past,
                   int fd)
{
    struct line l = {0};
    line_text(&l, "libmem:   called");
    line_thread(&l, now->thread);
    line_text(&l, ":");
    line_write_to(&l, fd);
    print_frames(now->stack.frame, now->stack.nframes, fd);
    if (past == NULL)
        return;
    const struct event *last = past->freed.kind != 0 ? &past->freed : &past->taken;
    l = (struct line){0};
    line_text(&l, "libmem:   ");
    if (last->kind == 0) {
        line_text(&l, "nothing is known of an object there: none of the last ");
        line_decimal(&l, smaller_of(h->nnoted, h->nevents));
        line_text(&l, " events is of one");
    } else {
        line_text(&l, "the object of ");
        line_decimal(&l, last->nbytes);
        line_text(&l, " bytes at ");
        line_address(&l, (const void *)(uintptr_t)last->address);
        line_text(&l, " was");
    }
    line_write_to(&l, fd);
    print_event(h, &past->freed, "freed by ", past->time, fd);
    print_event(h, &past->taken, "allocated by ", past->time, fd);
}
