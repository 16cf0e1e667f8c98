/* SPDX-License-Identifier: MIT
 *
 * check.c - mem check: counts every invariant of a target's heaps again, with the library's own
 * check (core/pieces.h).
 */
#include <argp.h>
#include <err.h>
#include <inttypes.h>
#include <stdlib.h>

#include "heaps.h"

#include "command.h"

static struct options {
    const char *target;
    bool is_json;
} options;

static const struct argp_option argp_options[] = {{"json", 'j', NULL, 0,
                                                   "Print JSON instead of text", 0},
                                                  {0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    if (key == 'j')
        options.is_json = true;
    else if (!argument_target(key, arg, state, &options.target))
        return ARGP_ERR_UNKNOWN;
    return 0;
}

static const struct argp argp = {
    .options = argp_options,
    .parser = parse,
    .args_doc = "TARGET",
    .doc =
        "Checks the heaps of a program: all records, spans, queues and states are counted again "
        "and compared. " TARGET_HELP
        "\vThe exit status is 0 if all heaps are sound, 1 if one is damaged, 2 if that cannot be "
        "told: the target has no heap of libmem, cannot be read, or was being changed.\n"};

/* What is known of one heap. */
static int check_view(const struct view *v, const char **fault)
{
    bool is_quiet = !v->is_changing && !v->is_busy;
    *fault = v->fault;
    if (v->fault != NULL)
        return UNKNOWN;
    struct recount n = {0};
    *fault = check_fault_locked(&v->heap, &n);
    if (*fault == NULL)
        return FINE;
    return is_quiet ? FOUND : UNKNOWN;
}

static void print_text(const struct view *v, int status, const char *fault)
{
    char text[BYTES_TEXT];
    struct pieces_tally t = {0};
    if (status == FOUND)
        printf("%s is damaged: %s\n", view_name(v), fault);
    else if (v->fault != NULL)
        return; /* the head has said it */
    else if (status == UNKNOWN)
        printf("%s: a thread was in the middle of a call; if it was not, the heap is damaged: %s\n",
               view_name(v), fault);
    else if (view_tally(v, &t))
        printf("%s is sound: %zu objects, %s\n", view_name(v), t.nobjects,
               bytes_text(text, t.object_bytes));
}

static void print_json_view(const struct view *v, int status, const char *fault, bool is_first)
{
    static const char *const words[] = {
        [FINE] = "sound", [FOUND] = "damaged", [UNKNOWN] = "unknown"};
    printf("%s  {\"heap\": ", is_first ? "" : ",\n");
    print_json(stdout, view_name(v));
    printf(", \"base\": \"0x%" PRIx64 "\", \"is\": \"%s\"", v->base, words[status]);
    if (fault != NULL) {
        printf(", \"fault\": ");
        print_json(stdout, fault);
    }
    printf("}");
}

int command_check(int argc, char **argv)
{
    struct look l;
    int worst = FINE;
    argp_parse(&argp, argc, argv, 0, NULL, NULL);
    if (!look_open(&l, options.target))
        return UNKNOWN;
    look_go_on(&l);
    if (options.is_json) {
        printf("{");
        look_print_json_head(&l);
        printf(" \"heaps\": [\n");
    } else
        look_print_head(&l);
    for (size_t i = 0; i < l.heaps.n; i++) {
        const char *fault;
        int status = check_view(&l.heaps.views[i], &fault);
        worst = worst == FOUND || status == FOUND ? FOUND : status > worst ? status : worst;
        if (options.is_json)
            print_json_view(&l.heaps.views[i], status, fault, i == 0);
        else
            print_text(&l.heaps.views[i], status, fault);
    }
    if (options.is_json)
        printf("\n]}\n");
    look_close(&l);
    return worst;
}
