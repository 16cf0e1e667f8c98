/* SPDX-License-Identifier: MIT
 *
 * program.c - starts a program on libmem's malloc. See program.h.
 */
#include "program.h"

#include <argp.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char library_name[] = "libmem-malloc.so";
/* The folders in which the library is looked for, relative to the folder of this program:
 * where make builds it, where make install puts it, and build/ beside the program's folder. */
static const char *const library_places[] = {".", ("../" MEM_LIB), "../build"};

/* --- the program's environment ------------------------------------------- */

/* Sets NAME to FIRST<separator>SECOND; without the separator if FIRST or SECOND is NULL or
 * empty. */
static void set_list(const char *name, const char *first, char separator, const char *second)
{
    bool has_both = first != NULL && *first != '\0' && second != NULL && *second != '\0';
    char *list;

    if (asprintf(&list, "%s%.*s%s", first != NULL ? first : "", has_both, &separator,
                 second != NULL ? second : "") < 0 ||
        setenv(name, list, true) != 0)
        err(argp_err_exit_status, "%s", name);
    free(list);
}

void set_option(const char *name, const char *value)
{
    char *setting;

    if (asprintf(&setting, "%s%s%s", name, value != NULL ? "=" : "", value != NULL ? value : "") <
        0)
        err(argp_err_exit_status, "%s", name);
    set_list("LIBMEM", getenv("LIBMEM"), ',', setting);
    free(setting);
}

/* Returns the absolute path of the library, which the caller frees; or NULL if there is no
 * library in any of the folders. */
static char *find_library(void)
{
    char self[PATH_MAX], path[PATH_MAX + 64];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

    if (n < 0)
        err(argp_err_exit_status, "/proc/self/exe, which says where libmem-malloc.so is");
    self[n] = '\0';
    *strrchr(self, '/') = '\0';
    for (size_t i = 0; i < sizeof(library_places) / sizeof(*library_places); i++) {
        snprintf(path, sizeof(path), "%s/%s/%s", self, library_places[i], library_name);
        if (access(path, R_OK) == 0)
            return realpath(path, NULL);
    }
    return NULL;
}

/* Returns another name of the library, without its folder's name; the caller frees it. The name is
 * that of mem's descriptor of the folder, so it lasts until mem ends, and a program that closes all
 * of its own descriptors loses nothing. */
static char *name_by_descriptor(char *library)
{
    char *name, *base = strrchr(library, '/');

    *base++ = '\0';
    int fd = open(*library != '\0' ? library : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        err(argp_err_exit_status, "%s", library);
    if (asprintf(&name, "/proc/%d/fd/%d/%s", getpid(), fd, base) < 0)
        err(argp_err_exit_status, "%s", base);
    return name;
}

/* The dynamic linker takes the first malloc that it finds. It splits the variable at spaces and
 * colons, and replaces $ORIGIN and the like, with no way to quote them; so a path with one of these
 * goes by another name. */
void preload_library(void)
{
    char *library = find_library();

    if (library == NULL)
        errx(argp_err_exit_status,
             "%s is not in the folder of mem, nor in ../" MEM_LIB " or ../build beside it; "
             "run make, or make install",
             library_name);
    if (strpbrk(library, " :$") != NULL) {
        char *path = library;
        library = name_by_descriptor(path);
        free(path);
        if (access(library, R_OK) != 0)
            err(argp_err_exit_status,
                "LD_PRELOAD cannot name a path with a space, a colon or a dollar sign, and %s, "
                "which stands for it, cannot be read; move the library to another folder",
                library);
    }
    set_list("LD_PRELOAD", library, ':', getenv("LD_PRELOAD"));
    free(library);
}

/* --- signals -------------------------------------------------------------- */

static volatile sig_atomic_t child;    /* the process id of the program */
static volatile sig_atomic_t received; /* see program_signal */
static volatile sig_atomic_t unsent;   /* a signal that came when there was no program; 0: none */

/* The signal handler: sends the signal on to the program. A signal from the keyboard
 * (si_code SI_KERNEL) is not sent on, since the terminal has sent it to the program, too. */
static void pass_on(int signal_number, siginfo_t *info, void *context)
{
    int as_it_was = errno;
    (void)context;
    if (signal_number != SIGUSR1 && signal_number != SIGUSR2)
        received = signal_number;
    if (kill(child, info->si_code <= 0 ? signal_number : 0) != 0 && errno == ESRCH)
        unsent = signal_number;
    errno = as_it_was;
}

static const int passed_on[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
enum { NPASSED_ON = sizeof(passed_on) / sizeof(*passed_on) };

static struct sigaction inherited[NPASSED_ON]; /* what mem does on these without a program */
static bool is_passing;                        /* pass_on is their handler */

/* Blocks the signals that are passed on. */
static void hold_signals(sigset_t *before)
{
    sigset_t held;

    sigemptyset(&held);
    for (size_t i = 0; i < NPASSED_ON; i++)
        sigaddset(&held, passed_on[i]);
    sigprocmask(SIG_BLOCK, &held, before);
}

/* From now on the signals are passed on to the program, and do not end mem: mem reports after
 * the program has ended. The caller holds the signals; one that came after the program before
 * this one had ended goes to this one. */
static void outlive_the_program(pid_t pid, const sigset_t *before)
{
    struct sigaction action = {.sa_sigaction = pass_on, .sa_flags = SA_SIGINFO | SA_RESTART};

    child = pid;
    for (size_t i = 0; i < NPASSED_ON; i++)
        sigaction(passed_on[i], &action, is_passing ? NULL : &inherited[i]);
    is_passing = true;
    if (unsent != 0)
        kill(pid, unsent);
    unsent = 0;
    sigprocmask(SIG_SETMASK, before, NULL);
}

void program_release_signals(void)
{
    sigset_t before;

    hold_signals(&before);
    for (size_t i = 0; i < NPASSED_ON && is_passing; i++)
        sigaction(passed_on[i], &inherited[i], NULL);
    is_passing = false;
    if (unsent != 0)
        raise(unsent);
    unsent = 0;
    sigprocmask(SIG_SETMASK, &before, NULL);
}

static void (*file_limit)(int) = SIG_DFL; /* what mem was started with for SIGXFSZ */

void program_survive_file_limit(void)
{
    file_limit = signal(SIGXFSZ, SIG_IGN);
}

int program_signal(void)
{
    return received;
}

/* --- the program ---------------------------------------------------------- */

/* Called in the child process: waits for program_go, and executes the program. As env and shells
 * do, execvp runs a file without #! with sh. If that fails, the child writes errno to `failed`. */
_Noreturn static void become(char **argv, int go, int failed)
{
    char byte;
    if (read(go, &byte, 1) != 1)
        _exit(EXIT_FAILURE); /* mem has ended */
    execvp(argv[0], argv);
    int reason = errno;
    _exit(write(failed, &reason, sizeof(reason)) > 0 ? 127 : EXIT_FAILURE);
}

struct program program_start(char **argv)
{
    sigset_t mask;
    int go[2], failed[2];

    /* If SIGCHLD were ignored, the kernel would discard the child's status. */
    void (*as_it_was)(int) = signal(SIGCHLD, SIG_DFL);
    hold_signals(&mask);
    bool has_pipes = pipe2(go, O_CLOEXEC) == 0 && pipe2(failed, O_CLOEXEC | O_NONBLOCK) == 0;
    pid_t pid = has_pipes ? fork() : -1;
    if (pid < 0)
        err(argp_err_exit_status, "%s", argv[0]);
    if (pid == 0) {
        close(go[1]);
        signal(SIGCHLD, as_it_was);
        signal(SIGXFSZ, file_limit);
        sigprocmask(SIG_SETMASK, &mask, NULL);
        become(argv, go[0], failed[1]);
    }
    outlive_the_program(pid, &mask);
    close(failed[1]);
    return (struct program){.pid = pid, .go = {go[0], go[1]}, .failed = failed[0]};
}

/* mem has both ends of the pipe open: so a child process that was killed is no SIGPIPE. */
void program_go(struct program *p)
{
    if (write(p->go[1], "", 1) != 1)
        err(argp_err_exit_status, "the program");
    close(p->go[0]);
    close(p->go[1]);
}

/* exec closes the pipe. */
bool program_was_executed(struct program *p)
{
    int reason;
    ssize_t n = read(p->failed, &reason, sizeof(reason));
    close(p->failed);
    if (n == 0)
        return true;
    errno = n == sizeof(reason) ? reason : EINTR; /* it was killed before */
    return false;
}
