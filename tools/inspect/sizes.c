/* SPDX-License-Identifier: MIT
 *
 * sizes.c - mem sizes: the census of a target's live objects, by exact size.
 */
#include <argp.h>
#include <err.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "census.h"
#include "profile.h"

static struct options {
    const char *target, *profile;
    size_t top;
    bool is_json, is_by_stack;
} options;

static const struct argp_option argp_options[] = {
    {"top", 'n', "N", 0, "Print the N sizes with the most bytes, and the N largest objects (20)",
     0},
    {"json", 'j', NULL, 0, "Print JSON instead of text", 0},
    {"by-stack", 's', NULL, 0,
     "List the N stacks that allocated the most bytes, instead of sizes. The program must run with "
     "LIBMEM=history",
     0},
    {"pprof", 'p', "FILE", 0,
     "Write the live objects to FILE, too, by stack, as google-pprof and pprof read it. The "
     "program must run with LIBMEM=history",
     0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    if (key == 'j')
        options.is_json = true;
    else if (key == 's')
        options.is_by_stack = true;
    else if (key == 'p')
        options.profile = arg;
    else if (key == 'n')
        options.top = (size_t)argument_number(arg, state);
    else if (!argument_target(key, arg, state, &options.target))
        return ARGP_ERR_UNKNOWN;
    return 0;
}

static const struct argp argp = {
    .options = argp_options,
    .parser = parse,
    .args_doc = "TARGET",
    .doc = "Counts the live objects of all heaps of a program by their exact size, as it was asked "
           "for. " TARGET_HELP
           "\vThe exit status is 0; or 2 if something cannot be told: the target has no heap of "
           "libmem, or one of its heaps cannot be read, is damaged or was being changed; or it "
           "keeps no history, and stacks were asked for.\n"};

/* --- printing --------------------------------------------------------------------------- */

static void print_totals(const struct census *c)
{
    char a[BYTES_TEXT], b[BYTES_TEXT];
    printf("%" PRIu64 " live object%s of %zu size%s: %s, and %s of slack\n\n", c->count,
           plural(c->count), c->sizes.n, plural(c->sizes.n), bytes_text(a, c->bytes),
           bytes_text(b, c->slack));
}

static void print_sizes(const struct census *c)
{
    char a[BYTES_TEXT];
    size_t n = c->sizes.n < options.top ? c->sizes.n : options.top;
    uint64_t count_left = c->count, bytes_left = c->bytes;
    printf("%12s %12s %12s\n", "size", "objects", "bytes in all");
    for (size_t i = 0; i < n; i++) {
        const struct kind *k = &c->sizes.list[i];
        printf("%12" PRIu64 " %12" PRIu64 " %12s\n", k->key, k->count, bytes_text(a, k->bytes));
        count_left -= k->count;
        bytes_left -= k->bytes;
    }
    if (count_left > 0)
        printf("%12s %12" PRIu64 " %12s\n", "others", count_left, bytes_text(a, bytes_left));
    if (c->nlargest > 0)
        printf("\nthe largest objects\n");
    for (size_t i = 0; i < c->nlargest; i++)
        printf("  0x%-16" PRIx64 " %12zu\n", c->largest[i].address, c->largest[i].size);
}

static void print_stacks(const struct census *c, struct symbols *names)
{
    char a[BYTES_TEXT];
    size_t n = c->origins.n < options.top ? c->origins.n : options.top;
    printf("%12s %12s\n", "objects", "bytes in all");
    for (size_t i = 0; i < n; i++) {
        const struct kind *k = &c->origins.list[i];
        printf("%12" PRIu64 " %12s\n", k->count, bytes_text(a, k->bytes));
        origin_print(c->history, names, k->origin);
    }
    if (n < c->origins.n)
        printf("and %zu stacks more\n", c->origins.n - n);
}

static void print_json_sizes(const struct census *c)
{
    size_t n = c->sizes.n < options.top ? c->sizes.n : options.top;
    printf(" \"sizes\": [");
    for (size_t i = 0; i < n; i++)
        printf("%s\n  {\"size\": %" PRIu64 ", \"objects\": %" PRIu64 "}", i == 0 ? "" : ",",
               c->sizes.list[i].key, c->sizes.list[i].count);
    printf("],\n \"largest\": [");
    for (size_t i = 0; i < c->nlargest; i++)
        printf("%s\n  {\"address\": \"0x%" PRIx64 "\", \"size\": %zu}", i == 0 ? "" : ",",
               c->largest[i].address, c->largest[i].size);
}

static void print_json_stacks(const struct census *c, struct symbols *names)
{
    size_t n = c->origins.n < options.top ? c->origins.n : options.top;
    printf(" \"nstacks\": %zu,\n \"stacks\": [", c->origins.n);
    for (size_t i = 0; i < n; i++) {
        const struct kind *k = &c->origins.list[i];
        printf("%s\n  {\"objects\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"stack\": ",
               i == 0 ? "" : ",", k->count, k->bytes);
        origin_print_json(c->history, names, k->origin);
        printf("}");
    }
}

static void print_json_census(const struct look *l, const struct census *c, struct symbols *names,
                              bool is_whole)
{
    printf("{");
    look_print_json_head(l);
    printf(" \"whole\": %s, \"objects\": %" PRIu64 ", \"bytes\": %" PRIu64
           ", \"slack_bytes\": %" PRIu64 ", \"nsizes\": %zu,\n",
           is_whole ? "true" : "false", c->count, c->bytes, c->slack, c->sizes.n);
    if (options.is_by_stack)
        print_json_stacks(c, names);
    else
        print_json_sizes(c);
    printf("]}\n");
}

static void print_census(const struct look *l, const struct census *c, bool is_whole)
{
    struct symbols *names = symbols_open(l->t);
    if (options.is_json) {
        print_json_census(l, c, names, is_whole);
    } else {
        look_print_head(l);
        if (!is_whole)
            printf("a heap is damaged or cannot be read: this is what could be counted\n");
        print_totals(c);
        if (options.is_by_stack)
            print_stacks(c, names);
        else
            print_sizes(c);
    }
    symbols_close(names);
}

int command_sizes(int argc, char **argv)
{
    struct look l;
    struct census c = {0};
    struct origins history = {.answer = EVENTS_NONE};
    options = (struct options){.top = 20};
    argp_parse(&argp, argc, argv, 0, NULL, NULL);
    c.top = options.top;
    if (!look_open(&l, options.target))
        return UNKNOWN;
    bool wants_stacks = options.is_by_stack || options.profile != NULL;
    if (wants_stacks && origins_open(&history, l.t))
        c.history = &history;
    look_go_on(&l);
    if (wants_stacks && c.history == NULL) {
        events_explain(l.t, history.answer);
        look_close(&l);
        return UNKNOWN;
    }
    bool is_whole = census_take(&c, &l);
    print_census(&l, &c, is_whole);
    bool is_written =
        options.profile == NULL || profile_write(options.profile, &history, &c.origins);
    int status = is_whole && is_written && look_is_certain(&l) ? FINE : UNKNOWN;
    census_free(&c);
    origins_close(&history);
    look_close(&l);
    return status;
}
