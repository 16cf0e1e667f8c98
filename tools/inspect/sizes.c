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

static struct options {
    const char *target;
    size_t top;
    bool is_json;
} options = {.top = 20};

static const struct argp_option argp_options[] = {
    {"top", 'n', "N", 0, "Print the N sizes with the most bytes, and the N largest objects (20)",
     0},
    {"json", 'j', NULL, 0, "Print JSON instead of text", 0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    if (key == 'j')
        options.is_json = true;
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
           "libmem, or one of its heaps cannot be read, is damaged or was being changed.\n"};

/* --- printing --------------------------------------------------------------------------- */

static void print_text(const struct census *c)
{
    char a[BYTES_TEXT], b[BYTES_TEXT];
    size_t n = c->nsizes < options.top ? c->nsizes : options.top;
    uint64_t count_left = c->count, bytes_left = c->bytes;
    printf("%" PRIu64 " live objects of %zu sizes: %s, and %s of slack\n\n", c->count, c->nsizes,
           bytes_text(a, c->bytes), bytes_text(b, c->slack));
    printf("%12s %12s %12s\n", "size", "objects", "bytes in all");
    for (size_t i = 0; i < n; i++) {
        const struct size *s = &c->sizes[i];
        printf("%12zu %12" PRIu64 " %12s\n", s->size, s->count, bytes_text(a, s->size * s->count));
        count_left -= s->count;
        bytes_left -= s->size * s->count;
    }
    if (count_left > 0)
        printf("%12s %12" PRIu64 " %12s\n", "others", count_left, bytes_text(a, bytes_left));
    if (c->nlargest > 0)
        printf("\nthe largest objects\n");
    for (size_t i = 0; i < c->nlargest; i++)
        printf("  0x%-16" PRIx64 " %12zu\n", c->largest[i].address, c->largest[i].size);
}

static void print_json_census(const struct look *l, const struct census *c, bool is_whole)
{
    size_t n = c->nsizes < options.top ? c->nsizes : options.top;
    printf("{");
    look_print_json_head(l);
    printf(" \"whole\": %s, \"objects\": %" PRIu64 ", \"bytes\": %" PRIu64
           ", \"slack_bytes\": %" PRIu64 ", \"nsizes\": %zu,\n \"sizes\": [",
           is_whole ? "true" : "false", c->count, c->bytes, c->slack, c->nsizes);
    for (size_t i = 0; i < n; i++)
        printf("%s\n  {\"size\": %zu, \"objects\": %" PRIu64 "}", i == 0 ? "" : ",",
               c->sizes[i].size, c->sizes[i].count);
    printf("],\n \"largest\": [");
    for (size_t i = 0; i < c->nlargest; i++)
        printf("%s\n  {\"address\": \"0x%" PRIx64 "\", \"size\": %zu}", i == 0 ? "" : ",",
               c->largest[i].address, c->largest[i].size);
    printf("]}\n");
}

int command_sizes(int argc, char **argv)
{
    struct look l;
    struct census c = {0};
    argp_parse(&argp, argc, argv, 0, NULL, NULL);
    c.top = options.top;
    if (!look_open(&l, options.target))
        return UNKNOWN;
    look_go_on(&l);
    bool is_whole = census_take(&c, &l);
    if (options.is_json)
        print_json_census(&l, &c, is_whole);
    else {
        look_print_head(&l);
        if (!is_whole)
            printf("a heap is damaged or cannot be read: this is what could be counted\n");
        print_text(&c);
    }
    census_free(&c);
    int status = is_whole && look_is_certain(&l) ? FINE : UNKNOWN;
    look_close(&l);
    return status;
}
