/* SPDX-License-Identifier: MIT
 *
 * target.c - one face for processes and core files, and the pages that a snapshot keeps.
 * Invariants: target.h.
 */
#include "target.h"

#include <err.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/user.h>
#include <unistd.h>

#include "command.h"
#include "source.h"

/* --- opening ---------------------------------------------------------------------- */

/* A name of digits is a process id; a file of that name goes by ./123. */
struct target *target_open(const char *name)
{
    struct target *t = grown(NULL, 0, sizeof *t);
    t->name = strdup(name);
    t->machine = OWN_MACHINE;
    t->page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    if (t->name == NULL)
        err(UNKNOWN, "%s", name);
    bool is_pid = *name != '\0' && strspn(name, "0123456789") == strlen(name);
    long pid = is_pid ? strtol(name, NULL, 10) : 0;
    if (is_pid && (pid <= 0 || pid > INT_MAX))
        warnx("%s: no process has that number", name);
    else if (is_pid ? process_open(t, (int)pid) : core_open(t, name))
        return t;
    target_close(t);
    return NULL;
}

void target_close(struct target *t)
{
    if (t->process != NULL)
        process_close(t);
    if (t->core != NULL)
        core_close(t);
    target_keep_reads(t); /* frees what was kept */
    for (size_t i = 0; i < t->nmappings; i++)
        free((char *)(uintptr_t)t->mappings[i].file);
    free(t->mappings);
    free(t->threads);
    free(t->identities);
    free(t->kept);
    free(t->name);
    free(t);
}

const char *target_name(const struct target *t)
{
    return t->name;
}

int target_pid(const struct target *t)
{
    return t->pid;
}

int target_task(const struct target *t)
{
    return t->task;
}

bool target_is_process(const struct target *t)
{
    return t->process != NULL;
}

bool target_is_truncated(const struct target *t)
{
    return t->core != NULL && core_is_truncated(t);
}

bool target_stop(struct target *t)
{
    return t->process == NULL || process_stop(t);
}

void target_go_on(struct target *t)
{
    if (t->process != NULL)
        process_go_on(t);
}

bool target_has_ended(const struct target *t)
{
    return t->process != NULL && process_has_ended(t);
}

bool target_is_over(const struct target *t)
{
    return t->process != NULL && process_is_over(t);
}

double target_seconds_stopped(const struct target *t)
{
    return t->seconds_stopped;
}

size_t target_nunstopped(const struct target *t)
{
    return t->nunstopped;
}

/* --- mappings and threads ------------------------------------------------------------ */

size_t target_nmappings(const struct target *t)
{
    return t->nmappings;
}

const struct mapping *target_mappings(const struct target *t)
{
    return t->mappings;
}

/* A binary search for the last mapping that begins at or below the address. */
const struct mapping *target_mapping(const struct target *t, uint64_t address)
{
    size_t low = 0, n = t->nmappings;
    while (n > 0) {
        size_t half = n / 2;
        bool is_below = t->mappings[low + half].start <= address;
        low = is_below ? low + half + 1 : low;
        n = is_below ? n - half - 1 : half;
    }
    return low > 0 && address < t->mappings[low - 1].end ? &t->mappings[low - 1] : NULL;
}

size_t target_nthreads(const struct target *t)
{
    return t->nthreads;
}

const struct target_thread *target_threads(const struct target *t)
{
    return t->threads;
}

void thread_fill(struct target_thread *thread, int id, const void *registers, size_t nbytes)
{
    struct user_regs_struct r = {0};
    *thread = (struct target_thread){.id = id};
    if (nbytes < sizeof r)
        return;
    memcpy(&r, registers, sizeof r);
    _Static_assert(sizeof r <= sizeof thread->registers, "all registers have a place");
    memcpy(thread->registers, &r, sizeof r);
    thread->nregisters = sizeof r / sizeof thread->registers[0];
#if defined(__x86_64__)
    thread->stack_pointer = r.rsp;
    thread->program_counter = r.rip;
    thread->thread_pointer = r.fs_base;
#else
    thread->stack_pointer = r.sp;
    thread->program_counter = r.pc;
#endif
}

/* In a system call no vector register of x86-64 holds anything that is still needed, since each
 * function may overwrite all of them. What is longer than VECTORS_MAX words are no vectors. */
void thread_add_vectors(struct target_thread *thread, const void *vectors, size_t nbytes)
{
#if defined(__x86_64__)
    struct user_regs_struct r;
    memcpy(&r, thread->registers, sizeof r);
    if (thread->nregisters > 0 && (int64_t)r.orig_rax >= 0)
        return;
#endif
    thread->nvectors = nbytes / sizeof thread->vectors[0];
    if (thread->nvectors > VECTORS_MAX)
        thread->nvectors = VECTORS_MAX;
    memcpy(thread->vectors, vectors, thread->nvectors * sizeof thread->vectors[0]);
}

/* --- memory --------------------------------------------------------------------------- */

void *grown(void *array, size_t n, size_t element_bytes)
{
    bool is_full = (n & (n - 1)) == 0; /* 0, 1, 2, 4 ...: room doubles there */
    if (is_full)
        array = reallocarray(array, n == 0 ? 1 : 2 * n, element_bytes);
    if (array == NULL)
        err(UNKNOWN, "no memory");
    memset((char *)array + n * element_bytes, 0, element_bytes);
    return array;
}

bool is_zero(const void *bytes, size_t nbytes)
{
    const char *b = bytes;
    return nbytes == 0 || (b[0] == 0 && memcmp(b, b + 1, nbytes - 1) == 0);
}

static size_t read_source(struct target *t, uint64_t address, void *to, size_t nbytes)
{
    return t->process != NULL ? process_read(t, address, to, nbytes)
                              : core_read(t, address, to, nbytes);
}

/* Reads the whole pages around what is asked for, keeps those, and copies from them. */
static size_t read_and_keep(struct target *t, uint64_t address, void *to, size_t nbytes)
{
    uint64_t page = t->page_bytes, start = address / page * page;
    size_t before = (size_t)(address - start);
    size_t whole = (before + nbytes + page - 1) / page * page;
    unsigned char *bytes = malloc(whole);
    if (bytes == NULL)
        err(UNKNOWN, "no memory for %zu bytes of %s", whole, t->name);
    size_t n = read_source(t, start, bytes, whole);
    size_t got = n > before ? n - before : 0;
    got = got < nbytes ? got : nbytes;
    memcpy(to, bytes + before, got);
    if (n / page == 0) {
        free(bytes);
        return got;
    }
    t->kept = grown(t->kept, t->nkept, sizeof *t->kept);
    t->kept[t->nkept++] = (struct kept){start, n / page * page, bytes};
    return got;
}

size_t target_read_some(struct target *t, uint64_t address, void *to, size_t nbytes)
{
    if (nbytes == 0 || address > UINT64_MAX - nbytes)
        return 0;
    return t->keeps_reads ? read_and_keep(t, address, to, nbytes)
                          : read_source(t, address, to, nbytes);
}

bool target_read(struct target *t, uint64_t address, void *to, size_t nbytes)
{
    return nbytes == 0 || target_read_some(t, address, to, nbytes) == nbytes;
}

void target_read_at_once(struct target *t, struct transfer *list, size_t n)
{
    if (t->process != NULL && !t->keeps_reads) {
        process_read_at_once(t, list, n);
        return;
    }
    for (size_t i = 0; i < n; i++)
        list[i].done = target_read_some(t, list[i].address, list[i].to, list[i].nbytes);
}

bool target_truth(const bool *copied)
{
    unsigned char byte;
    memcpy(&byte, copied, sizeof byte);
    return byte != 0;
}

uint64_t target_next(const struct target *t, uint64_t address, uint64_t end)
{
    const uint64_t word = sizeof(uint64_t), page = t->page_bytes;
    uint64_t next = t->process != NULL ? (address / page + 1) * page : core_next(t, address, end);
    next = (next + word - 1) / word * word;
    return next > address && next < end ? next : end;
}

uint64_t target_bytes(const struct target *t)
{
    return t->process != NULL ? process_bytes(t) : core_bytes(t);
}

bool target_resident(struct target *t, uint64_t start, uint64_t end, struct extent **list,
                     size_t *n)
{
    return t->process != NULL ? process_resident(t, start, end, list, n)
                              : core_resident(t, start, end, list, n);
}

bool target_filled(struct target *t, uint64_t start, uint64_t end, struct extent **list, size_t *n)
{
    bool is_private = t->process == NULL || process_is_private(target_mapping(t, start));
    if (is_private && target_resident(t, start, end, list, n))
        return true;
    extent_add(list, n, start, end);
    return !is_private;
}

void extent_add(struct extent **list, size_t *n, uint64_t start, uint64_t end)
{
    if (*n > 0 && (*list)[*n - 1].end == start) {
        (*list)[*n - 1].end = end;
        return;
    }
    *list = grown(*list, *n, sizeof **list);
    (*list)[(*n)++] = (struct extent){start, end};
}

/* --- what was kept ------------------------------------------------------------------------ */

void target_keep_reads(struct target *t)
{
    for (size_t i = 0; i < t->nkept; i++)
        free(t->kept[i].bytes);
    t->nkept = 0;
    t->keeps_reads = true;
}

bool target_keeps_reads(const struct target *t)
{
    return t->keeps_reads;
}

static int compare_kept(const void *a, const void *b)
{
    const struct kept *x = a, *y = b;
    if (x->address != y->address)
        return x->address < y->address ? -1 : 1;
    return x->nbytes > y->nbytes ? -1 : x->nbytes < y->nbytes;
}

/* Cuts from each what the ones before it have already. All were read in one stop, so that two
 * copies of a page are equal. */
size_t target_kept(struct target *t, const struct kept **kept)
{
    size_t n = 0;
    uint64_t end = 0;
    sort_array(t->kept, t->nkept, sizeof *t->kept, compare_kept);
    for (size_t i = 0; i < t->nkept; i++) {
        struct kept k = t->kept[i];
        uint64_t cut = end > k.address ? end - k.address : 0;
        if (cut >= k.nbytes) {
            free(k.bytes);
            continue;
        }
        memmove(k.bytes, k.bytes + cut, k.nbytes - cut);
        end = k.address + k.nbytes;
        t->kept[n++] = (struct kept){k.address + cut, k.nbytes - (size_t)cut, k.bytes};
    }
    t->nkept = n;
    *kept = t->kept;
    return n;
}
