/* SPDX-License-Identifier: MIT
 *
 * ending.c - runs a program, and holds it when it ends. See ending.h.
 *
 * A thread that ends by itself has called exit. All others end since the process does: one thread
 * has called exit_group, or a signal has killed it; or since another thread executes a program,
 * which waits until they have ended.
 */
#include "ending.h"

#include <ctype.h>
#include <dirent.h>
#include <elf.h>
#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../program.h"
#include "command.h"
#include "source.h"

/* --- threads --------------------------------------------------------------------------- */

static bool is_held(const struct ending *e, pid_t id)
{
    for (size_t i = 0; i < e->n; i++)
        if (e->held[i] == id)
            return true;
    return false;
}

static void hold(struct ending *e, pid_t id)
{
    if (is_held(e, id))
        return;
    e->held = grown(e->held, e->n, sizeof *e->held);
    e->held[e->n++] = id;
}

/* Lets all that are held go on to their end. */
static void release(struct ending *e)
{
    for (size_t i = 0; i < e->n; i++)
        ptrace(PTRACE_CONT, e->held[i], NULL, NULL);
    e->n = 0;
}

/* Reads the first bytes of a file of /proc about a thread. Returns false if it is not there. */
static bool read_about(const struct ending *e, pid_t id, const char *what, char *text,
                       size_t nbytes)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task/%d/%s", e->pid, id, what);
    FILE *f = fopen(path, "re");
    size_t n = f == NULL ? 0 : fread(text, 1, nbytes - 1, f);
    text[n] = '\0';
    if (f != NULL)
        fclose(f);
    return n > 0;
}

/* Returns whether a thread has ended, so that its status is all that the kernel keeps of it. */
static bool is_gone(const struct ending *e, pid_t id)
{
    char text[512];
    const char *end = read_about(e, id, "stat", text, sizeof text) ? strrchr(text, ')') : NULL;
    return end == NULL || end[1] == '\0' || end[2] == 'Z' || end[2] == 'X';
}

/* Returns whether a thread waits in execve, until all other threads have ended. */
static bool is_executing(const struct ending *e, pid_t id)
{
    char text[64];
    if (!read_about(e, id, "syscall", text, sizeof text) || !isdigit((unsigned char)*text))
        return false;
    long number = strtol(text, NULL, 10);
    return number == SYS_execve || number == SYS_execveat;
}

/* Calls for each thread that is neither gone nor held, until one says true. Returns whether one
 * did. */
static bool any_other(const struct ending *e, bool says(const struct ending *e, pid_t id))
{
    char path[64];
    struct dirent *entry;
    bool found = false;
    snprintf(path, sizeof path, "/proc/%d/task", e->pid);
    DIR *tasks = opendir(path);
    while (tasks != NULL && !found && (entry = readdir(tasks)) != NULL) {
        pid_t id = atoi(entry->d_name);
        found = id > 0 && !is_held(e, id) && !is_gone(e, id) && (says == NULL || says(e, id));
    }
    if (tasks != NULL)
        closedir(tasks);
    return found;
}

/* Returns whether a thread that is about to end has called exit, which ends no other thread. */
static bool ends_alone(pid_t id)
{
#if defined(__x86_64__)
    struct user_regs_struct registers = {0};
    struct iovec place = {&registers, sizeof registers};
    return ptrace(PTRACE_GETREGSET, id, NT_PRSTATUS, &place) == 0 && registers.orig_rax == SYS_exit;
#else
    int number = -1;
    struct iovec place = {&number, sizeof number};
    return ptrace(PTRACE_GETREGSET, id, NT_ARM_SYSTEM_CALL, &place) == 0 && number == SYS_exit;
#endif
}

/* --- stops ------------------------------------------------------------------------------ */

/* A thread is about to end: it is held if the process ends with it. */
static void note_end(struct ending *e, pid_t id)
{
    hold(e, id);
    if (!ends_alone(id) || !any_other(e, NULL))
        return;
    e->n--;
    ptrace(PTRACE_CONT, id, NULL, NULL);
}

/* A thread has stopped: lets it go on, unless it ends. A process of its own that clone has made is
 * left alone. */
static void note_stop(struct ending *e, pid_t id, int status)
{
    int event = status >> 16, number = WSTOPSIG(status);
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task/%d", e->pid, id);
    if (access(path, F_OK) != 0)
        ptrace(PTRACE_DETACH, id, NULL, NULL);
    else if (event == PTRACE_EVENT_EXIT)
        note_end(e, id);
    else if (event == PTRACE_EVENT_STOP && number != SIGTRAP) /* stopped, until SIGCONT */
        ptrace(PTRACE_LISTEN, id, NULL, NULL);
    else
        ptrace(PTRACE_CONT, id, NULL, (void *)(uintptr_t)(event == 0 ? number : 0));
}

/* Waits until all threads are held, or the process has ended. */
static void await_end(struct ending *e)
{
    enum { TURNS = 2000 }; /* of a millisecond: then a thread waits in the kernel */
    for (int nturns = 0; nturns < TURNS;) {
        int status;
        pid_t id = wait4(-1, &status, __WALL | (e->n > 0 ? WNOHANG : 0), &e->usage);
        if (id < 0 && errno != EINTR)
            return;
        if (id > 0 && WIFSTOPPED(status))
            note_stop(e, id, status);
        else if (id == e->pid) {
            e->has_ended = true;
            e->wait_status = status;
            e->n = 0;
            return;
        }
        if (id > 0 || e->n == 0)
            continue;
        if (!any_other(e, NULL))
            return;
        if (any_other(e, is_executing))
            release(e);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        nturns++;
    }
}

bool ending_await(struct ending *e, char **argv)
{
    double began = clock_seconds();
    struct program program = program_start(argv);
    *e = (struct ending){.pid = program.pid};
    long options = PTRACE_O_TRACEEXIT | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC;
    if (ptrace(PTRACE_SEIZE, program.pid, NULL, (void *)options) != 0) {
        warn("the system does not let mem trace a program: run it by `mem run', and look at it by "
             "its process id; ptrace");
        return false; /* the child process ends with mem */
    }
    program_go(&program);
    await_end(e);
    e->wall_seconds = clock_seconds() - began;
    program_release_signals();
    bool was_executed = program_was_executed(&program);
    e->reason = was_executed ? 0 : errno;
    if (!was_executed)
        warn("%s", argv[0]);
    else if (e->n == 0)
        warnx("%s has ended before it could be looked at", argv[0]);
    if (was_executed && e->n > 0)
        return true;
    ending_let_go(e);
    return false;
}

void ending_let_go(struct ending *e)
{
    for (size_t i = 0; i < e->n; i++)
        ptrace(PTRACE_DETACH, e->held[i], NULL, NULL);
    while (!e->has_ended) {
        int status;
        pid_t id = wait4(e->pid, &status, __WALL, &e->usage);
        if (id == e->pid && WIFSTOPPED(status)) { /* one that was held too late */
            ptrace(PTRACE_DETACH, id, NULL, NULL);
        } else if (id == e->pid) {
            e->wait_status = status;
            e->has_ended = true;
        } else if (id < 0 && errno != EINTR) {
            e->has_ended = true;
        }
    }
    free(e->held);
    e->held = NULL;
    e->n = 0;
}
