/* SPDX-License-Identifier: MIT
 *
 * history.c - mem history: which calls allocated, resized and freed what lay at an address.
 */
#include <argp.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "heaps.h"
#include "events.h"
#include "symbols.h"

#include "command.h"

static struct options {
    const char *target;
    uint64_t address;
    bool has_address, is_json;
    size_t most; /* events that are printed */
} options;

static const struct argp_option argp_options[] = {{"json", 'j', NULL, 0,
                                                   "Print JSON instead of text", 0},
                                                  {"last", 'n', "N", 0,
                                                   "Print only the N newest events", 0},
                                                  {0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    if (key == 'j')
        options.is_json = true;
    else if (key == 'n' && (options.most = (size_t)argument_number(arg, state)) == 0)
        argp_error(state, "--last=%s: give a number of events", arg);
    else if (key == 'n')
        return 0;
    else if (key == ARGP_KEY_ARG && options.target != NULL) {
        if (options.has_address)
            argp_error(state, "%s: one address is enough", arg);
        options.address = argument_address(arg, state);
        options.has_address = true;
    } else if (key == ARGP_KEY_END && !options.has_address)
        argp_error(state, "no address");
    else if (!argument_target(key, arg, state, &options.target))
        return ARGP_ERR_UNKNOWN;
    return 0;
}

static const struct argp argp = {
    .options = argp_options,
    .parser = parse,
    .args_doc = "TARGET ADDRESS",
    .doc = "Says which calls allocated, resized and freed what lay at ADDRESS, newest first, with "
           "their stacks. The program must run with LIBMEM=history. " TARGET_HELP
           "\vThe exit status is 0 if there is such an event, 1 if none of those that are kept is, "
           "2 if that cannot be told: the target keeps no history, or it cannot be read.\n"};

/* --- text ------------------------------------------------------------------------------- */

/* Returns the time that events count from: now for a process, else the last event. Milliseconds. */
static uint64_t time_of_look(const struct events *e)
{
    struct timespec t;
    uint64_t last = e->n > 0 ? e->event[e->n - 1].time : 0;
    if (!target_is_process(e->t) || clock_gettime(CLOCK_MONOTONIC, &t) != 0)
        return last;
    uint64_t now = (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
    return now > last ? now : last;
}

static const char *verb(const struct event *e)
{
    return e->kind == EVENT_TAKEN     ? "allocated"
           : e->kind == EVENT_FREED   ? "freed"
           : e->kind == EVENT_RESIZED ? "resized"
                                      : "?";
}

static void print_event(const struct events *all, struct symbols *names, const struct event *e,
                        uint64_t now)
{
    const uint64_t *frames;
    uint64_t ago = now > e->time ? now - e->time : 0;
    printf("%s by %s: %" PRIu64 " bytes at 0x%" PRIx64 ", in thread %" PRIu32 ", %" PRIu64
           ".%03u s %s\n",
           verb(e), call_name((unsigned)e->call), (uint64_t)e->nbytes, e->address, e->thread,
           ago / 1000, (unsigned)(ago % 1000),
           target_is_process(all->t) ? "ago" : "before the last event");
    size_t n = events_stack(all, e->stack, &frames);
    symbols_print_stack(names, frames, n);
}

static void print_none(const struct events *e)
{
    if (e->head.nnoted <= e->n)
        printf("nothing was allocated there\n");
    else
        printf("none of the last %zu events is of an object there\n", e->n);
}

/* --- JSON ------------------------------------------------------------------------------- */

static void print_json_event(const struct events *all, struct symbols *names, const struct event *e)
{
    const uint64_t *frames;
    printf("  {\"event\": \"%s\", \"call\": \"%s\", \"address\": \"0x%" PRIx64
           "\", \"size\": %" PRIu64 ", \"thread\": %" PRIu32 ", \"ms\": %" PRIu64 ", \"stack\": ",
           verb(e), call_name((unsigned)e->call), e->address, (uint64_t)e->nbytes, e->thread,
           e->time);
    size_t n = events_stack(all, e->stack, &frames);
    symbols_print_json_stack(names, frames, n);
    printf("}");
}

/* --- the command ------------------------------------------------------------------------ */

static void print_all(const struct look *l, const struct events *e, const struct event **found,
                      size_t n)
{
    struct symbols *names = symbols_open(l->t);
    size_t nprinted = n < options.most ? n : options.most;
    uint64_t now = time_of_look(e);
    if (options.is_json) {
        printf("{");
        look_print_json_head(l);
        printf(" \"kept\": %zu, \"noted\": %" PRIu64 ", \"events\": [\n", e->n, e->head.nnoted);
        for (size_t i = 0; i < nprinted; i++) {
            printf("%s", i == 0 ? "" : ",\n");
            print_json_event(e, names, found[i]);
        }
        printf("\n]}\n");
    } else {
        look_print_head(l);
        for (size_t i = 0; i < nprinted; i++)
            print_event(e, names, found[i], now);
        if (n == 0)
            print_none(e);
        else if (n > nprinted)
            printf("%zu older events are not shown\n", n - nprinted);
    }
    symbols_close(names);
}

int command_history(int argc, char **argv)
{
    struct look l;
    struct events e;
    const struct event **found;
    options = (struct options){.most = SIZE_MAX};
    argp_parse(&argp, argc, argv, 0, NULL, NULL);
    if (!look_open(&l, options.target))
        return UNKNOWN;
    enum events_answer answer = events_open(&e, l.t);
    look_go_on(&l);
    if (answer != EVENTS_OPEN) {
        events_explain(l.t, answer);
        look_close(&l);
        return UNKNOWN;
    }
    size_t n = events_about(&e, options.address, &found);
    print_all(&l, &e, found, n);
    free(found);
    events_close(&e);
    look_close(&l);
    return n > 0 ? FINE : FOUND;
}
