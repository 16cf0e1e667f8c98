/* SPDX-License-Identifier: MIT
 *
 * diff.c - mem diff: which sizes of live objects came, went and grew between two targets; and the
 * objects of which stacks, if both keep a history.
 */
#include <argp.h>
#include <err.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "census.h"

static struct options {
    const char *old, *new;
    size_t top;
    bool is_json;
} options;

static const struct argp_option argp_options[] = {
    {"json", 'j', NULL, 0, "Print JSON instead of text", 0},
    {"top", 'n', "N", 0, "Print at most N sizes, and N stacks (20; 0 means all)", 0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    switch (key) {
    case 'j':
        options.is_json = true;
        return 0;
    case 'n':
        options.top = (size_t)argument_number(arg, state);
        return 0;
    case ARGP_KEY_ARG:
        if (options.new != NULL)
            argp_error(state, "%s: two targets are enough", arg);
        *(options.old == NULL ? &options.old : &options.new) = arg;
        return 0;
    case ARGP_KEY_END:
        if (options.new == NULL)
            argp_error(state, "name two targets, the older one first: snapshots, core files or "
                              "process ids");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .options = argp_options,
    .parser = parse,
    .args_doc = "OLD NEW",
    .doc = "Compares the live objects of two targets, mostly two snapshots of one process (`mem "
           "snap --every 60s' writes a series): by which factor they grew, and which sizes came, "
           "went and grew; those that changed most come first. If both keep a history "
           "(LIBMEM=history), that is also said of the stacks that allocated the objects. Each "
           "target is the id of a running "
           "process, a core file, or a snapshot."
           "\vThe exit status is 0; or 2 if something cannot be told.\n"};

/* --- one of the two targets ---------------------------------------------------------------- */

struct side {
    struct look look;
    struct census census;
    struct origins history;
    struct symbols *names;
};

/* Opens a target and counts its objects. Returns false after a message. */
static bool side_open(struct side *s, const char *name)
{
    *s = (struct side){0};
    if (!look_open(&s->look, name))
        return false;
    if (origins_open(&s->history, s->look.t))
        s->census.history = &s->history;
    look_go_on(&s->look);
    s->names = symbols_open(s->look.t);
    return true;
}

static void side_close(struct side *s)
{
    symbols_close(s->names);
    census_free(&s->census);
    origins_close(&s->history);
    look_close(&s->look);
}

/* --- printing ------------------------------------------------------------------------- */

/* Writes by which factor something grew: "x 1.25". Returns `text`. */
static char *factor_text(char text[BYTES_TEXT], uint64_t old, uint64_t new)
{
    if (old == 0)
        snprintf(text, BYTES_TEXT, "%s", new == 0 ? "x 1.00" : "came");
    else if (new == 0)
        snprintf(text, BYTES_TEXT, "went");
    else
        snprintf(text, BYTES_TEXT, "x %.2f", (double)new / (double)old);
    return text;
}

/* Prints the columns that sizes and stacks have in common. */
static void print_change(const struct change *c)
{
    char bytes[BYTES_TEXT], factor[BYTES_TEXT];
    int64_t more = change_bytes(c);
    printf("%12" PRIu64 " %12" PRIu64 " %9s %c%12s\n", c->old.count, c->new.count,
           factor_text(factor, c->old.count, c->new.count), more < 0 ? '-' : '+',
           bytes_text(bytes, (uint64_t)(more < 0 ? -more : more)));
}

static size_t nshown(const struct changes *c)
{
    return options.top == 0 || options.top > c->n ? c->n : options.top;
}

static void print_left(const struct changes *c, const char *what)
{
    if (nshown(c) < c->n)
        printf("and %zu %s more (--top=0 shows all)\n", c->n - nshown(c), what);
}

static void print_sizes(const struct changes *sizes)
{
    if (sizes->n == 0) {
        printf("there are as many objects of each size\n");
        return;
    }
    printf("\n%12s %12s %12s %9s %13s\n", "size", "objects, old", "new", "", "bytes in all");
    for (size_t i = 0; i < nshown(sizes); i++) {
        printf("%12" PRIu64 " ", sizes->list[i].old.key);
        print_change(&sizes->list[i]);
    }
    print_left(sizes, "sizes");
}

/* The stack of a kind is known to the newer target, unless all its objects went. */
static const struct side *side_of(const struct change *c, const struct side sides[2],
                                  uint32_t *origin)
{
    bool went = c->new.count == 0;
    *origin = went ? c->old.origin : c->new.origin;
    return &sides[!went];
}

static void print_stacks(const struct changes *stacks, const struct side sides[2])
{
    uint32_t origin;
    printf("\n%12s %12s %9s %13s\n", "objects, old", "new", "", "bytes in all");
    for (size_t i = 0; i < nshown(stacks); i++) {
        const struct side *s = side_of(&stacks->list[i], sides, &origin);
        print_change(&stacks->list[i]);
        origin_print(&s->history, s->names, origin);
    }
    print_left(stacks, "stacks");
}

static void print_text(const struct side sides[2], const struct changes *sizes,
                       const struct changes *stacks)
{
    char a[BYTES_TEXT], b[BYTES_TEXT], factor[BYTES_TEXT];
    const struct census *old = &sides[0].census, *new = &sides[1].census;
    look_print_head(&sides[0].look);
    look_print_head(&sides[1].look);
    printf("%s: %s to %s\n", factor_text(factor, old->bytes, new->bytes), bytes_text(a, old->bytes),
           bytes_text(b, new->bytes));
    printf("%s: %" PRIu64 " to %" PRIu64 " live object%s\n",
           factor_text(factor, old->count, new->count), old->count, new->count, plural(new->count));
    print_sizes(sizes);
    if (stacks->n > 0)
        print_stacks(stacks, sides);
    else if ((old->history == NULL) != (new->history == NULL))
        printf("stacks cannot be compared: only one of the two keeps a history\n");
}

static void print_json_side(const char *name, const struct side *s)
{
    printf(" \"%s\": {", name);
    look_print_json_head(&s->look);
    printf("  \"objects\": %" PRIu64 ", \"bytes\": %" PRIu64 "},\n", s->census.count,
           s->census.bytes);
}

static void print_json_text(const struct side sides[2], const struct changes *sizes,
                            const struct changes *stacks)
{
    uint32_t origin;
    printf("{");
    print_json_side("old", &sides[0]);
    print_json_side("new", &sides[1]);
    printf(" \"sizes\": [");
    for (size_t i = 0; i < nshown(sizes); i++) {
        const struct change *c = &sizes->list[i];
        printf("%s\n  {\"size\": %" PRIu64 ", \"old\": %" PRIu64 ", \"new\": %" PRIu64 "}",
               i == 0 ? "" : ",", c->old.key, c->old.count, c->new.count);
    }
    printf("],\n \"stacks\": [");
    for (size_t i = 0; i < nshown(stacks); i++) {
        const struct change *c = &stacks->list[i];
        const struct side *s = side_of(c, sides, &origin);
        printf("%s\n  {\"old\": %" PRIu64 ", \"new\": %" PRIu64 ", \"old_bytes\": %" PRIu64
               ", \"new_bytes\": %" PRIu64 ", \"stack\": ",
               i == 0 ? "" : ",", c->old.count, c->new.count, c->old.bytes, c->new.bytes);
        origin_print_json(&s->history, s->names, origin);
        printf("}");
    }
    printf("]}\n");
}

int command_diff(int argc, char **argv)
{
    struct side sides[2];
    bool is_certain = true;
    options = (struct options){.top = 20};
    argp_parse(&argp, argc, argv, 0, NULL, NULL);
    if (!side_open(&sides[0], options.old) || !side_open(&sides[1], options.new))
        return UNKNOWN;
    bool has_stacks = sides[0].census.history != NULL && sides[1].census.history != NULL;
    for (size_t i = 0; i < 2; i++)
        is_certain &=
            census_take(&sides[i].census, &sides[i].look) && look_is_certain(&sides[i].look);
    struct changes sizes = kinds_compare(&sides[0].census.sizes, &sides[1].census.sizes),
                   stacks = {0};
    if (has_stacks)
        stacks = kinds_compare(&sides[0].census.origins, &sides[1].census.origins);
    if (options.is_json)
        print_json_text(sides, &sizes, &stacks);
    else
        print_text(sides, &sizes, &stacks);
    free(sizes.list);
    free(stacks.list);
    side_close(&sides[0]);
    side_close(&sides[1]);
    return is_certain ? FINE : UNKNOWN;
}
