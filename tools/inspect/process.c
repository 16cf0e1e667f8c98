/* SPDX-License-Identifier: MIT
 *
 * process.c - a running process as a target: its mappings from /proc, its threads stopped by
 * ptrace, its memory copied. Invariants: target.h.
 *
 *     PTRACE_SEIZE, PTRACE_INTERRUPT   each thread, until a look at /proc/PID/task finds no new one
 *     waitpid                          each is stopped: for us, or before a signal is delivered
 *     process_vm_readv                 copies
 *     PTRACE_DETACH                    each goes on, with the signal that it was stopped before
 *
 * A thread of the tool does this, one for each stop. A thread of the process that waits in the
 * kernel stops only when that wait ends, and cannot be detached before: the kernel does it when its
 * tracer, which is that thread of the tool, ends. Without PTRACE_O_EXITKILL the kernel lets all
 * threads go on if the tool dies [TG1].
 */
#include <ctype.h>
#include <dirent.h>
#include <elf.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "command.h"
#include "source.h"

/* A thread that was seized. */
struct seized {
    int id;
    enum { RUNS, STOPPED, HELD, GONE } state; /* HELD: a debugger, or ending.c, has stopped it */
    int signal;                               /* to deliver when it goes on; 0: none */
};

struct process {
    int memory;  /* /proc/PID/mem: of this program, even if the process executes another one */
    int pagemap; /* /proc/PID/pagemap, or -1 */
    struct seized *seized;
    size_t nseized;
    pthread_t tracer;           /* the thread of the tool that traces the process, */
    pid_t tracer_id;            /* as the kernel knows it, */
    pthread_barrier_t meetings; /* which it and the first thread pass together: stopped, go on */
    int why;                    /* a number of errno: why it could not stop all; 0: it has */
    bool is_stopped;
    sigset_t mask; /* of the tool, before the process was stopped */
};

/* --- /proc ------------------------------------------------------------------------ */

static void path_of(char *path, size_t nbytes, int pid, const char *what)
{
    snprintf(path, nbytes, "/proc/%d/%s", pid, what);
}

/* Says why the process cannot be looked at. */
static void explain(const struct target *t, int why)
{
    if (why == ENOENT || why == ESRCH) {
        warnx("%d: no such process", t->pid);
        return;
    }
    if (why != EPERM && why != EACCES) {
        errno = why;
        warn("%d: cannot look into the process", t->pid);
        return;
    }
    char scope = '\0';
    int fd = open("/proc/sys/kernel/yama/ptrace_scope", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        if (read(fd, &scope, 1) != 1)
            scope = '\0';
        close(fd);
    }
    if (scope != '\0' && scope != '0')
        warnx("%d: the system does not let you look into this process: kernel.yama.ptrace_scope is "
              "%c. Run mem as root, or set it to 0 (sysctl kernel.yama.ptrace_scope=0)",
              t->pid, scope);
    else
        warnx(
            "%d: the system does not let you look into this process: it is another user's, has "
            "more rights than you (setuid, capabilities), is being debugged, or has forbidden it. "
            "Run mem as root, with CAP_SYS_PTRACE (ptrace_scope is %s)",
            t->pid, scope == '0' ? "0" : "not in this kernel");
}

static unsigned access_of(const char *letters)
{
    return (letters[0] == 'r' ? MAY_READ : 0u) | (letters[1] == 'w' ? MAY_WRITE : 0u) |
           (letters[2] == 'x' ? MAY_EXECUTE : 0u);
}

static void forget_mappings(struct target *t)
{
    for (size_t i = 0; i < t->nmappings; i++)
        free((char *)(uintptr_t)t->mappings[i].file);
    t->nmappings = 0;
}

/* Reads /proc/PID/maps. Returns 0, or errno. */
static int read_mappings(struct target *t)
{
    char path[64], *line = NULL;
    size_t room = 0;
    path_of(path, sizeof path, t->task, "maps");
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return errno;
    forget_mappings(t);
    errno = 0;
    while (getline(&line, &room, f) > 0) {
        struct mapping m = {0};
        char letters[5] = "";
        int name = 0;
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %*s %*s %n", &m.start, &m.end,
                   letters, &m.offset, &name) < 4)
            continue;
        m.access = access_of(letters);
        m.is_shared = letters[3] == 's';
        line[strcspn(line, "\n")] = '\0';
        if (name > 0 && line[name] != '\0' && (m.file = strdup(line + name)) == NULL)
            err(UNKNOWN, "no memory");
        t->mappings = grown(t->mappings, t->nmappings, sizeof *t->mappings);
        t->mappings[t->nmappings++] = m;
    }
    int why = ferror(f) ? errno : 0;
    free(line);
    fclose(f);
    return why;
}

/* Returns the letter of a thread's state in /proc: 'Z' or 'X' if it has ended; 0 if it is not
 * there. */
static char state_of(int pid, int id)
{
    char path[64], text[512] = "", *end;
    snprintf(path, sizeof path, "/proc/%d/task/%d/stat", pid, id);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    end = n > 0 ? strrchr(text, ')') : NULL; /* the name before it may hold anything */
    return end != NULL && end[1] == ' ' ? end[2] : '\0';
}

/* Returns whether a thread of that state has ended: then its status is all that is left of it. */
static bool is_gone(char state)
{
    return state == '\0' || state == 'Z' || state == 'X';
}

/* Returns the id of the process, or of another of its threads if the first one has ended; 0 if all
 * have. */
static int living_thread(int pid)
{
    char path[64];
    struct dirent *entry;
    int id = is_gone(state_of(pid, pid)) ? 0 : pid;
    path_of(path, sizeof path, pid, "task");
    DIR *tasks = id == 0 ? opendir(path) : NULL;
    while (tasks != NULL && id == 0 && (entry = readdir(tasks)) != NULL)
        if (isdigit((unsigned char)entry->d_name[0]) &&
            !is_gone(state_of(pid, atoi(entry->d_name))))
            id = atoi(entry->d_name);
    if (tasks != NULL)
        closedir(tasks);
    return id;
}

/* Opens a file of a thread; -1 if it cannot be. */
static int open_proc(int id, const char *what)
{
    char path[64];
    path_of(path, sizeof path, id, what);
    return open(path, O_RDONLY | O_CLOEXEC);
}

static void close_files(struct process *p)
{
    if (p->memory >= 0)
        close(p->memory);
    if (p->pagemap >= 0)
        close(p->pagemap);
    p->memory = p->pagemap = -1;
}

/* Opens the memory of the program that the process executes now, and reads its mappings. A thread
 * that has ended has none. Returns 0, or errno. */
static int open_files(struct target *t)
{
    struct process *p = t->process;
    int living = living_thread(t->pid);
    close_files(p);
    t->task = living != 0 ? living : t->pid;
    p->memory = open_proc(t->task, "mem");
    if (p->memory < 0)
        return errno;
    p->pagemap = open_proc(t->task, "pagemap"); /* without it, it is not known what is in memory */
    return read_mappings(t);
}

bool process_open(struct target *t, int pid)
{
    t->pid = pid;
    t->process = grown(NULL, 0, sizeof *t->process);
    t->process->memory = t->process->pagemap = -1;
    int why = open_files(t);
    if (why != 0)
        explain(t, why);
    else if (pid == getpid())
        warnx("%d: that is mem itself", pid);
    else if (t->nmappings == 0)
        warnx("%d: this process has no memory of its own: it is a thread of the kernel, or it has "
              "ended and its parent has not asked for its status",
              pid);
    return why == 0 && t->nmappings > 0 && pid != getpid();
}

bool process_has_ended(const struct target *t)
{
    return living_thread(t->pid) == 0;
}

/* The memory of a program that is over can be opened no longer, and what has it open reads nothing
 * from it; an address that is not mapped is an error. */
bool process_is_over(const struct target *t)
{
    char byte;
    return pread(t->process->memory, &byte, 1, (off_t)t->mappings[0].start) == 0;
}

void process_close(struct target *t)
{
    process_go_on(t);
    close_files(t->process);
    free(t->process->seized);
    free(t->process);
}

uint64_t process_bytes(const struct target *t)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < t->nmappings; i++)
        sum += t->mappings[i].end - t->mappings[i].start;
    return sum;
}

/* --- stopping ----------------------------------------------------------------------- */

static bool is_seized(const struct process *p, int id)
{
    for (size_t i = 0; i < p->nseized; i++)
        if (p->seized[i].id == id && p->seized[i].state != GONE)
            return true;
    return false;
}

/* Seizes one thread and asks for its stop, unless it is stopped by another tracer. Returns 0, also
 * if it has ended meanwhile; or errno. */
static int seize(struct target *t, int id)
{
    struct process *p = t->process;
    int why = ptrace(PTRACE_SEIZE, id, NULL, NULL) == 0 ? 0 : errno;
    char state = why == 0 ? 'R' : state_of(t->pid, id);
    if (is_gone(state))
        return 0;
    if (why != 0 && state != 't')
        return why;
    p->seized = grown(p->seized, p->nseized, sizeof *p->seized);
    p->seized[p->nseized++] = (struct seized){.id = id, .state = why == 0 ? RUNS : HELD};
    if (why == 0)
        ptrace(PTRACE_INTERRUPT, id, NULL, NULL); /* fails only if it is about to end */
    return 0;
}

/* Seizes all threads that are not yet. Returns 0 or errno, and how many it has seized. */
static int seize_new(struct target *t, size_t *nnew)
{
    char path[64];
    struct dirent *entry;
    size_t before = t->process->nseized;
    int why = 0;
    path_of(path, sizeof path, t->pid, "task");
    DIR *tasks = opendir(path);
    if (tasks == NULL)
        return errno;
    while (why == 0 && (entry = readdir(tasks)) != NULL)
        if (isdigit((unsigned char)entry->d_name[0]) && !is_seized(t->process, atoi(entry->d_name)))
            why = seize(t, atoi(entry->d_name));
    closedir(tasks);
    *nnew = t->process->nseized - before;
    return why;
}

/* Takes note of what waitpid says. A thread that stops for a signal gets it when it goes on; a stop
 * that PTRACE_INTERRUPT or a group-stop made has no signal to deliver. */
static void note_status(struct seized *s, int status)
{
    if (!WIFSTOPPED(status)) {
        s->state = GONE;
        return;
    }
    s->state = STOPPED;
    s->signal = status >> 16 == 0 ? WSTOPSIG(status) : 0;
}

/* Asks once for each thread that runs whether it has stopped. Returns how many still run. */
static size_t poll_all(struct process *p)
{
    size_t nrunning = 0;
    for (size_t i = 0; i < p->nseized; i++) {
        struct seized *s = &p->seized[i];
        int status;
        if (s->state != RUNS)
            continue;
        pid_t id = waitpid(s->id, &status, __WALL | WNOHANG);
        if (id > 0)
            note_status(s, status);
        else if (id < 0)
            s->state = GONE;
        nrunning += s->state == RUNS;
    }
    return nrunning;
}

/* Returns whether each thread that has not stopped waits in the kernel, as the parent in vfork
 * does: it stops only when that wait ends. */
static bool all_wait_in_kernel(const struct target *t)
{
    for (size_t i = 0; i < t->process->nseized; i++)
        if (t->process->seized[i].state == RUNS &&
            state_of(t->pid, t->process->seized[i].id) != 'D')
            return false;
    return true;
}

/* Waits until all are stopped or gone, but not for long: the others are stopped meanwhile. All are
 * asked in turn, since of a process that was killed the first thread is gone last. */
static void wait_for_all(const struct target *t)
{
    static const double soon = 0.02, patience = 1; /* seconds */
    enum { TURNS = 1000 };
    double began = clock_seconds();
    for (unsigned nturns = 0; poll_all(t->process) > 0; nturns++) {
        double passed = clock_seconds() - began;
        if (passed > patience || (passed > soon && all_wait_in_kernel(t)))
            return;
        if (nturns < TURNS)
            sched_yield();
        else
            nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    }
}

static void read_registers(struct target *t, int id)
{
    struct user_regs_struct registers;
    struct iovec place = {&registers, sizeof registers};
    t->threads = grown(t->threads, t->nthreads, sizeof *t->threads);
    static uint64_t vectors[2048]; /* as much as any processor has */
    struct target_thread *thread = &t->threads[t->nthreads++];
    bool ok = ptrace(PTRACE_GETREGSET, id, NT_PRSTATUS, &place) == 0;
    thread_fill(thread, id, &registers, ok ? place.iov_len : 0);
    place = (struct iovec){vectors, sizeof vectors};
    if (ptrace(PTRACE_GETREGSET, id, NT_VECTORS, &place) == 0)
        thread_add_vectors(thread, vectors, place.iov_len);
}

/* Lets a thread go on. One that has not stopped goes on when the tracer ends. */
static void let_go(struct seized *s)
{
    int status;
    if (s->state == RUNS && waitpid(s->id, &status, __WALL | WNOHANG) > 0)
        note_status(s, status);
    if (s->state == STOPPED)
        ptrace(PTRACE_DETACH, s->id, NULL, (void *)(uintptr_t)s->signal);
}

/* The thread of the tool that stops the process, and lets it go on when it is told to. */
static void *trace(void *context)
{
    struct target *t = context;
    struct process *p = t->process;
    size_t nnew = 0;
    p->tracer_id = gettid();
    double began = clock_seconds();
    while ((p->why = seize_new(t, &nnew)) == 0 && nnew > 0)
        wait_for_all(t);
    for (size_t i = 0; i < p->nseized; i++)
        if (p->seized[i].state == STOPPED)
            read_registers(t, p->seized[i].id);
    pthread_barrier_wait(&p->meetings);
    pthread_barrier_wait(&p->meetings);
    for (size_t i = 0; i < p->nseized; i++)
        let_go(&p->seized[i]);
    t->seconds_stopped += clock_seconds() - began;
    return NULL;
}

/* Starts the tracer, which takes no signals: they are the first thread's. A stop of the tool, by ^Z
 * for example, would be one of the process, too: it waits until the process goes on [TG1]. Returns
 * 0, or errno. */
static int start_tracer(struct target *t)
{
    struct process *p = t->process;
    sigset_t all, with_stops;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &p->mask);
    with_stops = p->mask;
    sigaddset(&with_stops, SIGTSTP);
    sigaddset(&with_stops, SIGTTIN);
    sigaddset(&with_stops, SIGTTOU);
    pthread_barrier_init(&p->meetings, NULL, 2);
    int why = pthread_create(&p->tracer, NULL, trace, t);
    pthread_sigmask(SIG_SETMASK, &with_stops, NULL); /* at once: the tracer may be at work */
    return why;
}

/* Waits until the tracer has ended. pthread_join returns a moment before the kernel detaches what
 * the tracer still traces. */
static void await_tracer(struct process *p)
{
    pthread_join(p->tracer, NULL);
    while (tgkill(getpid(), p->tracer_id, 0) == 0)
        sched_yield();
    pthread_barrier_destroy(&p->meetings);
}

bool process_stop(struct target *t)
{
    struct process *p = t->process;
    size_t nstopped = 0;
    p->nseized = t->nthreads = t->nunstopped = 0;
    int why = start_tracer(t);
    if (why != 0) {
        errno = why;
        err(UNKNOWN, "a thread that stops the process");
    }
    pthread_barrier_wait(&p->meetings);
    p->is_stopped = true;
    why = p->why != 0 ? p->why : open_files(t);
    for (size_t i = 0; i < p->nseized; i++) {
        nstopped += p->seized[i].state == STOPPED || p->seized[i].state == HELD;
        t->nunstopped += p->seized[i].state == RUNS;
        if (p->seized[i].state == HELD)
            read_registers(t,
                           p->seized[i].id); /* known only if ending.c, in this thread, holds it */
    }
    if (why == 0 && nstopped + t->nunstopped > 0)
        return true;
    process_go_on(t);
    if (why != 0)
        explain(t, why);
    else
        warnx("%d: the process has ended", t->pid);
    return false;
}

void process_go_on(struct target *t)
{
    struct process *p = t->process;
    if (!p->is_stopped)
        return;
    pthread_barrier_wait(&p->meetings);
    await_tracer(p);
    p->nseized = 0;
    p->is_stopped = false;
    sigprocmask(SIG_SETMASK, &p->mask, NULL);
}

/* --- memory --------------------------------------------------------------------------- */

/* While it is stopped, process_vm_readv copies fastest. At other times the process may execute
 * another program: /proc/PID/mem is still the memory of this one, or of none. */
static size_t read_memory(struct target *t, uint64_t address, void *to, size_t nbytes)
{
    size_t done = 0;
    if (t->process->nseized > 0) {
        struct iovec local = {to, nbytes}, remote = {(void *)(uintptr_t)address, nbytes};
        ssize_t n = process_vm_readv(t->task, &local, 1, &remote, 1, 0);
        done = n > 0 ? (size_t)n : 0;
    }
    while (done < nbytes) {
        ssize_t n =
            pread(t->process->memory, (char *)to + done, nbytes - done, (off_t)(address + done));
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    return done;
}

bool process_is_private(const struct mapping *m)
{
    static const char *const names[] = {"/anon_hugepage (deleted)", "/dev/zero"};
    if (m == NULL || m->is_shared)
        return false;
    bool is_private = m->file == NULL || m->file[0] == '['; /* such as [heap] and [stack] */
    for (size_t i = 0; i < sizeof names / sizeof *names && !is_private; i++)
        is_private = strcmp(m->file, names[i]) == 0;
    return is_private;
}

/* /proc/PID/pagemap has 64 bits for each page, of which the highest two say: in memory, in swap. */
bool process_resident(struct target *t, uint64_t start, uint64_t end, struct extent **list,
                      size_t *n)
{
    static const uint64_t is_there = UINT64_C(3) << 62;
    uint64_t entries[4096], page = t->page_bytes;
    if (t->process->pagemap < 0)
        return false;
    for (uint64_t at = start; at < end;) {
        uint64_t npages = (end - at) / page;
        size_t wanted = npages < sizeof entries / 8 ? (size_t)npages : sizeof entries / 8;
        ssize_t got = pread(t->process->pagemap, entries, wanted * 8, (off_t)(at / page * 8));
        if (got < 8)
            return false;
        for (size_t i = 0; i < (size_t)got / 8; i++, at += page)
            if ((entries[i] & is_there) != 0)
                extent_add(list, n, at, at + page);
    }
    return true;
}

/* Makes bytes 0, without a write where they are: then the tool needs no memory for them, either. */
static void clear(unsigned char *bytes, size_t nbytes)
{
    enum { PIECE = 4096 };
    for (size_t at = 0; at < nbytes; at += PIECE) {
        size_t n = nbytes - at < PIECE ? nbytes - at : PIECE;
        if (!is_zero(bytes + at, n))
            memset(bytes + at, 0, n);
    }
}

/* Reads anonymous memory of which not all pages are in memory. Those that are not read as 0, and
 * are not touched: a read would make the process have them [TG1].
 *
 *     extents    |  in memory  |            |  in memory  |
 *     to         |    read     |  cleared   |    read     |                                    */
static size_t read_extents(struct target *t, uint64_t address, unsigned char *to, size_t nbytes,
                           const struct extent *extents, size_t n)
{
    uint64_t at = address, end = address + nbytes;
    for (size_t i = 0; i < n && at < end; i++) {
        uint64_t from = extents[i].start > at ? extents[i].start : at;
        uint64_t until = extents[i].end < end ? extents[i].end : end;
        clear(to + (at - address), (size_t)(from - at));
        size_t wanted = (size_t)(until - from);
        size_t got = read_memory(t, from, to + (from - address), wanted);
        if (got < wanted)
            return (size_t)(from - address) + got;
        at = until;
    }
    clear(to + (at - address), (size_t)(end - at));
    return nbytes;
}

/* To ask first what is in memory pays for large pieces only. */
size_t process_read(struct target *t, uint64_t address, void *to, size_t nbytes)
{
    const size_t large = (size_t)256 << 10;
    const struct mapping *m = nbytes < large ? NULL : target_mapping(t, address);
    uint64_t page = t->page_bytes, end = (address + nbytes + page - 1) / page * page;
    struct extent *extents = NULL;
    size_t n = 0;
    bool is_known = process_is_private(m) && (m->access & MAY_READ) != 0 && end <= m->end &&
                    process_resident(t, address / page * page, end, &extents, &n);
    size_t done = is_known ? read_extents(t, address, to, nbytes, extents, n)
                           : read_memory(t, address, to, nbytes);
    free(extents);
    return done;
}

/* --- many pieces at once ------------------------------------------------------------------ */

/* What the copying threads share. Each takes the next piece until none is left. */
struct copying {
    struct target *t;
    struct transfer *list;
    size_t n;
    _Atomic size_t next;
};

static void *copy_pieces(void *context)
{
    struct copying *c = context;
    for (size_t i; (i = atomic_fetch_add(&c->next, 1)) < c->n;)
        c->list[i].done = read_memory(c->t, c->list[i].address, c->list[i].to, c->list[i].nbytes);
    return NULL;
}

/* Returns how many threads copy fastest: more than a few wait for memory only, and a thread for
 * less than 4 MiB is not worth its start. */
static size_t nthreads_for(uint64_t nbytes)
{
    enum { MOST = 8, EACH = 4 << 20 };
    long nprocessors = sysconf(_SC_NPROCESSORS_ONLN);
    size_t most = nprocessors < 1 ? 1 : nprocessors < MOST ? (size_t)nprocessors : MOST;
    return nbytes / EACH < most ? (size_t)(nbytes / EACH) : most;
}

/* This thread copies as well, and alone if it gets no others. */
void process_read_at_once(struct target *t, struct transfer *list, size_t n)
{
    struct copying c = {.t = t, .list = list, .n = n};
    pthread_t threads[8];
    uint64_t nbytes = 0;
    size_t nstarted = 0;
    for (size_t i = 0; i < n; i++)
        nbytes += list[i].nbytes;
    for (size_t wanted = nthreads_for(nbytes); nstarted + 1 < wanted; nstarted++)
        if (pthread_create(&threads[nstarted], NULL, copy_pieces, &c) != 0)
            break;
    copy_pieces(&c);
    while (nstarted > 0)
        pthread_join(threads[--nstarted], NULL);
}
