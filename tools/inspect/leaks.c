/* SPDX-License-Identifier: MIT
 *
 * leaks.c - mem leaks: live objects that nothing in the program leads to any longer.
 *
 * Of the objects that no root reaches, those that no other such object points to are the leaks;
 * what these lead to, they keep. Where such objects point to each other in a circle, the one at
 * the lowest address is the leak. Leaks of one size that begin with one word, and that one stack
 * has allocated if a history says that, are one entry of the output.
 */
#include <argp.h>
#include <err.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../program.h"
#include "ending.h"
#include "graph.h"
#include "leaks.h"
#include "origins.h"
#include "places.h"
#include "profile.h"

#include "command.h"

static struct options {
    const char *target;
    char **command;   /* NULL: look at the target */
    const char *file; /* what is printed goes there */
    const char *profile;
    size_t top;
    bool is_json, is_list;
} options;

static const struct argp_option argp_options[] = {
    {"json", 'j', NULL, 0, "Print JSON instead of text", 0},
    {"list", 'l', NULL, 0,
     "Print each object that cannot be reached on a line of its own, by address: `leak' or, if it "
     "can be reached from a leak, `more'; then its address and its size",
     0},
    {"output", 'o', "FILE", 0,
     "Print to FILE, instead of standard output; or standard error, if there is a COMMAND", 0},
    {"pprof", 'p', "FILE", 0,
     "Write all that cannot be reached to FILE, too, by stack, as google-pprof and pprof read it. "
     "The program must run with LIBMEM=history",
     0},
    {"top", 'n', "N", 0, "Print at most N kinds of leaks (20; 0 means all)", 0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    switch (key) {
    case 'j':
        options.is_json = true;
        return 0;
    case 'l':
        options.is_list = true;
        return 0;
    case 'n':
        options.top = (size_t)argument_number(arg, state);
        return 0;
    case 'o':
        options.file = arg;
        return 0;
    case 'p':
        options.profile = arg;
        return 0;
    case ARGP_KEY_ARG:
        if (state->quoted > 0 && state->next > state->quoted) { /* it comes behind -- */
            options.command = state->argv + state->next - 1;
            state->next = state->argc;
            return 0;
        }
        argument_target(key, arg, state, &options.target);
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "no target: give a process id, a core file or a snapshot; or -- and a "
                          "command");
        return 0;
    case ARGP_KEY_END:
        if (options.command != NULL && options.target != NULL)
            argp_error(state, "a target and a command: give one of them");
        if (options.is_json && options.is_list)
            argp_error(state, "--list is text: leave out --json");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .options = argp_options,
    .parser = parse,
    .args_doc = "TARGET\n-- COMMAND [ARGUMENT]...",
    .doc =
        "Lists the live objects that the program can no longer reach: no register, stack or other "
        "memory that it may write to holds the address of any of their bytes, nor does an object "
        "that can be reached. " TARGET_HELP " Here it is stopped until its memory is copied; and a "
        "second time if there are leaks, since an object that a thread is about to get from malloc "
        "seems to be lost at the first look.\n\n"
        "If the program keeps a history (LIBMEM=history), leaks are listed by the stack that "
        "allocated them.\n\n"
        "With COMMAND, runs that on libmem's malloc, and looks when it ends: after all that it "
        "does "
        "on exit, and before its memory is gone. COMMAND need not be built for it. If it executes "
        "another program, that one is looked at; processes that it starts are not."
        "\vA pointer that is kept in another form (in a file, in the kernel, with bits of its own) "
        "is not seen, and a number that happens to be an address hides a leak. The exit status is "
        "0 if there is no leak, 1 if there are leaks, 2 if that cannot be told: the target has no "
        "heap of libmem, was being changed, or could not be read as a whole. The exit status of "
        "COMMAND "
        "does not matter; it is printed if it is not 0.\n"};

/* --- finding leaks ------------------------------------------------------------------- */

/* Leaks that have a size, a first word and an origin in common. */
struct group {
    size_t size;
    uint64_t word; /* the first, if it is an address in the program or a library; else 0 */
    uint32_t origin;
    uint32_t n;
    uint32_t first; /* the leak at the lowest address */
    uint32_t nkept; /* what only these leaks lead to, and how many bytes that has */
    uint64_t nkept_bytes;
    bool is_circle; /* something that the first one leads to leads back to it */
};

/* An object that was lost when the target was looked at before. */
struct lost {
    uint64_t start;
    size_t size;
};

struct leaks {
    struct graph *g;
    struct target *t;
    struct origins origins;
    struct symbols *names;
    const struct lost *before; /* by address; NULL: the target was not looked at before */
    size_t nbefore;
    struct object_set reached; /* from the roots; then also from the leaks before */
    uint64_t *lost;            /* a bit for each object that no root reaches */
    uint64_t *pointed;         /* and for each one that another one that is lost points to */
    uint64_t *is_leak;         /* and for each leak */
    uint32_t from;             /* whose pointers are looked at */
    struct group *groups;
    size_t ngroups, room;
    uint32_t n;
    uint64_t nbytes, nkept_bytes;
    uint32_t nkept;
};

/* An object in a heap that has leaked as a whole is part of that leak. */
static bool has_leaked(const struct leaks *l, uint32_t object)
{
    uint32_t outer = graph_outer(l->g, object);
    return !set_has(&l->reached, object) && (outer == NO_OBJECT || set_has(&l->reached, outer));
}

static bool has_bit(const uint64_t *bits, uint32_t i)
{
    return bits[i / 64] >> i % 64 & 1;
}

static void set_bit(uint64_t *bits, uint32_t i)
{
    bits[i / 64] |= (uint64_t)1 << i % 64;
}

static uint64_t *new_bits(uint32_t n)
{
    uint64_t *bits = calloc(n / 64 + 1, sizeof *bits);
    if (bits == NULL)
        err(UNKNOWN, "the leaks");
    return bits;
}

static void note_pointed(void *context, uint64_t place, uint32_t object)
{
    struct leaks *l = context;
    (void)place;
    if (object != l->from)
        set_bit(l->pointed, object);
}

/* Returns the first word of an object if it is an address in a file that is mapped, as that of a
 * virtual function table is; else 0. */
static uint64_t word_of_type(const struct leaks *l, uint32_t object)
{
    uint64_t word = graph_word(l->g, object, 0);
    const struct mapping *m = word == 0 ? NULL : target_mapping(l->t, word);
    return m != NULL && m->file != NULL && m->file[0] == '/' ? word : 0;
}

/* Notes a leak, and all that it keeps: what it leads to and no root or leak before it did. */
static void note_leak(struct leaks *l, uint32_t object, bool is_circle)
{
    struct object_set before = l->reached;
    graph_add_reachable(l->g, object, &l->reached);
    if (l->ngroups == l->room) {
        l->room = l->room == 0 ? 64 : l->room * 2;
        l->groups = reallocarray(l->groups, l->room, sizeof *l->groups);
        if (l->groups == NULL)
            err(UNKNOWN, "the leaks");
    }
    struct group leak = {.n = 1, .first = object, .is_circle = is_circle};
    leak.size = graph_object(l->g, object).size;
    leak.word = word_of_type(l, object);
    leak.origin = origin_of(&l->origins, graph_object(l->g, object).start, leak.size);
    leak.nkept = l->reached.n - before.n - 1;
    leak.nkept_bytes = l->reached.nbytes - before.nbytes - leak.size;
    l->groups[l->ngroups++] = leak;
    set_bit(l->is_leak, object);
    l->n++;
    l->nbytes += leak.size;
    l->nkept += leak.nkept;
    l->nkept_bytes += leak.nkept_bytes;
}

static bool is_of_kind(const struct group *p, const struct group *q)
{
    return p->size == q->size && p->word == q->word && p->origin == q->origin;
}

static int by_kind(const void *a, const void *b)
{
    const struct group *p = a, *q = b;
    if (p->size != q->size)
        return p->size < q->size ? -1 : 1;
    if (p->word != q->word)
        return p->word < q->word ? -1 : 1;
    if (p->origin != q->origin)
        return p->origin < q->origin ? -1 : 1;
    return p->first < q->first ? -1 : p->first > q->first;
}

static int by_bytes(const void *a, const void *b)
{
    const struct group *p = a, *q = b;
    uint64_t m = p->n * p->size + p->nkept_bytes, n = q->n * q->size + q->nkept_bytes;
    return m != n ? (m < n ? 1 : -1) : by_kind(a, b);
}

/* Each leak is a group at first: makes one of those of a kind, and puts the largest first. */
static void join_groups(struct leaks *l)
{
    size_t n = 0;
    sort_array(l->groups, l->ngroups, sizeof *l->groups, by_kind);
    for (size_t i = 0; i < l->ngroups; i++) {
        struct group *last = n == 0 ? NULL : &l->groups[n - 1], *leak = &l->groups[i];
        if (last == NULL || !is_of_kind(last, leak)) {
            l->groups[n++] = *leak;
            continue;
        }
        last->n++;
        last->nkept += leak->nkept;
        last->nkept_bytes += leak->nkept_bytes;
    }
    l->ngroups = n;
    sort_array(l->groups, l->ngroups, sizeof *l->groups, by_bytes);
}

static int compare_lost(const void *a, const void *b)
{
    const struct lost *p = a, *q = b;
    return p->start < q->start ? -1 : p->start > q->start;
}

static bool was_lost(const struct leaks *l, uint32_t object)
{
    struct graph_object o = graph_object(l->g, object);
    struct lost key = {.start = o.start};
    const struct lost *found =
        l->nbefore == 0 ? NULL
                        : bsearch(&key, l->before, l->nbefore, sizeof *l->before, compare_lost);
    return found != NULL && found->size == o.size;
}

/* What was not lost before is not lost now: a thread is about to get it from malloc. */
static void spare_new(struct leaks *l)
{
    for (uint32_t i = 0; i < graph_nobjects(l->g); i++)
        if (!set_has(&l->reached, i) && !was_lost(l, i))
            graph_add_reachable(l->g, i, &l->reached);
}

static void find_leaks(struct leaks *l)
{
    uint32_t n = graph_nobjects(l->g);
    l->reached = graph_reach(l->g, NO_OBJECT, NULL);
    if (l->before != NULL)
        spare_new(l);
    l->lost = new_bits(n);
    l->pointed = new_bits(n);
    l->is_leak = new_bits(n);
    for (l->from = 0; l->from < n; l->from++)
        if (has_leaked(l, l->from)) {
            set_bit(l->lost, l->from);
            graph_each_pointer(l->g, l->from, note_pointed, l);
        }
    /* What is left after the first round is in circles. */
    for (int round = 0; round < 2; round++)
        for (uint32_t i = 0; i < n; i++)
            if (has_bit(l->lost, i) && !set_has(&l->reached, i) &&
                (round == 1 || !has_bit(l->pointed, i)))
                note_leak(l, i, round == 1);
    join_groups(l);
}

/* --- output --------------------------------------------------------------------------- */

static void print_group(const struct leaks *l, const struct group *group)
{
    char bytes[BYTES_TEXT], size[BYTES_TEXT], kept[BYTES_TEXT], name[PLACE_TEXT];
    struct graph_object o = graph_object(l->g, group->first);
    printf("%8" PRIu32 " %10s  of %s", group->n, bytes_text(bytes, group->n * group->size),
           bytes_text(size, group->size));
    if (group->word != 0)
        printf(", %s with the address of %s", group->n == 1 ? "begins" : "begin",
               symbols_text(l->names, group->word, name, sizeof name));
    printf(group->n == 1 ? ", at 0x%" PRIx64 : ", first at 0x%" PRIx64, o.start);
    if (o.view->kind != VIEW_MALLOC)
        printf(", in %s", view_name(o.view));
    if (group->is_circle)
        printf(", in a circle");
    if (group->nkept > 0)
        printf("; %s %" PRIu32 " object%s more, %s", group->n == 1 ? "keeps" : "keep", group->nkept,
               plural(group->nkept), bytes_text(kept, group->nkept_bytes));
    printf("\n");
    if (l->origins.answer == EVENTS_OPEN)
        origin_print(&l->origins, l->names, group->origin);
}

static void print_text(const struct leaks *l, const struct look *look)
{
    char read[BYTES_TEXT], bytes[BYTES_TEXT], kept[BYTES_TEXT];
    look_print_head(look);
    printf("looked for pointers in %s, %" PRIu32 " object%s\n",
           bytes_text(read, graph_nbytes(l->g)), graph_nobjects(l->g),
           plural(graph_nobjects(l->g)));
    graph_print_gaps(stdout, l->g);
    if (l->n == 0) {
        printf("no leak\n");
        return;
    }
    printf("%" PRIu32 " object%s %s, %s", l->n, plural(l->n),
           graph_is_whole(l->g) ? "leaked" : "may have leaked", bytes_text(bytes, l->nbytes));
    if (l->nkept > 0)
        printf("; %" PRIu32 " more, %s, can be reached from there only", l->nkept,
               bytes_text(kept, l->nkept_bytes));
    printf("\n\n");
    size_t nshown = options.top == 0 || options.top > l->ngroups ? l->ngroups : options.top;
    for (size_t i = 0; i < nshown; i++)
        print_group(l, &l->groups[i]);
    if (nshown < l->ngroups)
        printf("and %zu kinds more (--top=0 shows all)\n", l->ngroups - nshown);
}

/* Standard output is the list only. */
static void print_list(const struct leaks *l)
{
    graph_print_gaps(stderr, l->g);
    for (uint32_t i = 0; i < graph_nobjects(l->g); i++) {
        struct graph_object o = graph_object(l->g, i);
        if (has_bit(l->lost, i))
            printf("%s 0x%" PRIx64 " %zu\n", has_bit(l->is_leak, i) ? "leak" : "more", o.start,
                   o.size);
    }
}

static void print_json_text(const struct leaks *l, const struct look *look)
{
    char name[PLACE_TEXT];
    printf("{");
    look_print_json_head(look);
    graph_print_json_gaps(l->g);
    printf(" \"leaked\": %" PRIu32 ", \"leaked_bytes\": %" PRIu64 ", \"kept\": %" PRIu32
           ", \"kept_bytes\": %" PRIu64 ",\n \"leaks\": [",
           l->n, l->nbytes, l->nkept, l->nkept_bytes);
    for (size_t i = 0; i < l->ngroups && (options.top == 0 || i < options.top); i++) {
        const struct group *group = &l->groups[i];
        struct graph_object o = graph_object(l->g, group->first);
        printf("%s\n  {\"objects\": %" PRIu32 ", \"size\": %zu, \"first\": \"0x%" PRIx64 "\"",
               i == 0 ? "" : ",", group->n, group->size, o.start);
        if (group->word != 0) {
            printf(", \"word\": \"0x%" PRIx64 "\", \"symbol\": ", group->word);
            print_json(stdout, symbols_text(l->names, group->word, name, sizeof name));
        }
        printf(", \"circle\": %s, \"kept\": %" PRIu32 ", \"kept_bytes\": %" PRIu64 ", \"heap\": ",
               group->is_circle ? "true" : "false", group->nkept, group->nkept_bytes);
        print_json(stdout, view_name(o.view));
        if (l->origins.answer == EVENTS_OPEN) {
            printf(", \"stack\": ");
            origin_print_json(&l->origins, l->names, group->origin);
        }
        printf("}");
    }
    printf("\n]}\n");
}

/* Writes the leaks and what they keep as a profile. Returns false after a message. */
static bool write_profile(struct leaks *l)
{
    struct kinds lost = {0};
    if (l->origins.answer != EVENTS_OPEN) {
        events_explain(l->t, l->origins.answer);
        return false;
    }
    for (uint32_t i = 0; i < graph_nobjects(l->g); i++) {
        struct graph_object o = graph_object(l->g, i);
        if (!has_bit(l->lost, i))
            continue;
        uint32_t origin = origin_of(&l->origins, o.start, o.size);
        kinds_add(&lost, (struct kind){origin, origin, 1, o.size});
    }
    kinds_sort(&lost);
    bool ok = profile_write(options.profile, &l->origins, &lost);
    free(lost.list);
    return ok;
}

/* --- looking -------------------------------------------------------------------------- */

/* Returns a list of what is lost, in address order, which the caller frees. */
static struct lost *list_lost(const struct leaks *l, size_t *n)
{
    struct lost *list = calloc((size_t)l->n + l->nkept + 1, sizeof *list);
    if (list == NULL)
        err(UNKNOWN, "the leaks");
    *n = 0;
    for (uint32_t i = 0; i < graph_nobjects(l->g); i++) {
        struct graph_object o = graph_object(l->g, i);
        if (has_bit(l->lost, i))
            list[(*n)++] = (struct lost){o.start, o.size};
    }
    sort_array(list, *n, sizeof *list, compare_lost);
    return list;
}

static bool look_for_leaks(struct leaks *l, struct look *look, const char *target)
{
    l->g = graph_open(look, target, &l->origins);
    if (l->g == NULL)
        return false;
    l->t = look->t;
    return true;
}

static void analyse(struct leaks *l)
{
    graph_build(l->g);
    find_leaks(l);
}

static void forget(struct leaks *l, struct look *look)
{
    set_close(&l->reached);
    free(l->lost);
    free(l->pointed);
    free(l->is_leak);
    free(l->groups);
    origins_close(&l->origins);
    graph_close(l->g);
    look_close(look);
}

/* An object is live from the middle of malloc on, and only then does a thread get its address; so
 * what seems to be lost in a process is looked at again, when such a call has returned. What was
 * lost stays lost. */
static bool look_again(struct leaks *l, struct look *look)
{
    static const struct timespec a_while = {.tv_nsec = 100000000};
    size_t n;
    struct lost *before = list_lost(l, &n);
    forget(l, look);
    nanosleep(&a_while, NULL);
    *l = (struct leaks){.before = before, .nbefore = n};
    bool ok = look_for_leaks(l, look, options.target);
    if (ok)
        analyse(l);
    free(before);
    l->before = NULL;
    return ok;
}

static bool look_at_target(struct leaks *l, struct look *look)
{
    if (!look_for_leaks(l, look, options.target))
        return false;
    analyse(l);
    return l->n == 0 || !target_is_process(l->t) || look_again(l, look);
}

/* --- at the end of a command ------------------------------------------------------------ */

static void print_end(int wait_status)
{
    if (WIFSIGNALED(wait_status))
        warnx("%s was ended by signal %d (%s)", options.command[0], WTERMSIG(wait_status),
              strsignal(WTERMSIG(wait_status)));
    else if (WEXITSTATUS(wait_status) != 0)
        warnx("%s ended with exit status %d", options.command[0], WEXITSTATUS(wait_status));
}

/* The first thread may have ended long ago: then its process goes by the number of another one. */
static bool look_at_end(struct leaks *l, struct look *look, struct ending *e)
{
    char target[16];
    if (!ending_await(e, options.command))
        return false;
    pid_t id = e->held[0];
    for (size_t i = 0; i < e->n; i++)
        id = e->held[i] == e->pid ? e->pid : id;
    snprintf(target, sizeof target, "%d", id);
    bool ok = look_for_leaks(l, look, target);
    ending_let_go(e);
    if (ok)
        analyse(l);
    return ok;
}

/* Standard output is the command's own. */
static void redirect_output(void)
{
    int fd = options.file != NULL
                 ? open(options.file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)
             : options.command != NULL ? STDERR_FILENO
                                       : STDOUT_FILENO;
    if (fd < 0 || (fd != STDOUT_FILENO && dup2(fd, STDOUT_FILENO) < 0))
        err(UNKNOWN, "%s", options.file != NULL ? options.file : "standard error");
}

/* Prints what was found, and returns the exit status. */
static int report(struct leaks *l, struct look *look)
{
    progress_end();
    if (l->origins.answer > EVENTS_NONE && options.profile == NULL)
        events_explain(l->t, l->origins.answer);
    redirect_output();
    l->names = symbols_open(l->t);
    if (options.is_json)
        print_json_text(l, look);
    else if (options.is_list)
        print_list(l);
    else
        print_text(l, look);
    int status = look_is_certain(look) ? FINE : UNKNOWN;
    if (l->n > 0 && status == FINE)
        status = graph_is_whole(l->g) ? FOUND : UNKNOWN;
    if (options.profile != NULL && !write_profile(l))
        status = UNKNOWN;
    symbols_close(l->names);
    forget(l, look);
    return status;
}

/* --- the command ------------------------------------------------------------------------ */

int command_leaks(int argc, char **argv)
{
    struct look look;
    struct leaks l = {0};
    struct ending e = {0};
    options = (struct options){.top = 20};
    argp_parse(&argp, argc, argv, 0, NULL, NULL);
    if (options.command != NULL)
        preload_library();
    bool ok = options.command != NULL ? look_at_end(&l, &look, &e) : look_at_target(&l, &look);
    progress_end();
    if (e.has_ended && e.reason == 0)
        print_end(e.wait_status);
    return ok ? report(&l, &look) : UNKNOWN;
}

/* --- for mem run ---------------------------------------------------------------------------- */

struct command_leaks {
    struct leaks l;
    struct look look;
};

struct command_leaks *command_leaks_find(char **command, struct ending *e)
{
    struct command_leaks *c = calloc(1, sizeof *c);
    if (c == NULL)
        err(argp_err_exit_status, "the leaks");
    options = (struct options){.top = 20, .command = command};
    if (look_at_end(&c->l, &c->look, e))
        return c;
    free(c);
    return NULL;
}

int command_leaks_print(struct command_leaks *c)
{
    int status = report(&c->l, &c->look);
    fflush(stdout);
    free(c);
    return status;
}
