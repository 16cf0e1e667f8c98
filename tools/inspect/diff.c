/* SPDX-License-Identifier: MIT
 *
 * diff.c - mem diff: which sizes of live objects came, went and grew between two targets.
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
} options = {.top = 20};

static const struct argp_option argp_options[] = {{"json", 'j', NULL, 0,
                                                   "Print JSON instead of text", 0},
                                                  {"top", 'n', "N", 0,
                                                   "Print at most N sizes (20; 0 means all)", 0},
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
           "went and grew; those that changed most come first. Each target is the id of a running "
           "process, a core file, or a snapshot."
           "\vThe exit status is 0; or 2 if something cannot be told.\n"};

/* --- comparing ------------------------------------------------------------------------ */

struct change {
    size_t size;
    uint64_t old, new; /* how many objects */
};

static int64_t growth(const struct change *c)
{
    return (int64_t)((c->new - c->old) * c->size);
}

static int by_size(const void *a, const void *b)
{
    const struct size *x = a, *y = b;
    return x->size < y->size ? -1 : x->size > y->size;
}

/* Those that grew or shrank most come first. */
static int by_growth(const void *a, const void *b)
{
    const struct change *p = a, *q = b;
    int64_t x = llabs(growth(p)), y = llabs(growth(q));
    if (x != y)
        return x > y ? -1 : 1;
    return p->size < q->size ? -1 : p->size > q->size;
}

/* Merges the two lists, and leaves out what is equal. */
static size_t compare(struct census *old, struct census *new, struct change *changes)
{
    size_t n = 0;
    if (old->nsizes > 0)
        qsort(old->sizes, old->nsizes, sizeof *old->sizes, by_size);
    if (new->nsizes > 0)
        qsort(new->sizes, new->nsizes, sizeof *new->sizes, by_size);
    for (size_t i = 0, k = 0; i < old->nsizes || k < new->nsizes;) {
        const struct size *p = i < old->nsizes ? &old->sizes[i] : NULL;
        const struct size *q = k < new->nsizes ? &new->sizes[k] : NULL;
        bool has_old = p != NULL && (q == NULL || p->size <= q->size);
        bool has_new = q != NULL && (p == NULL || q->size <= p->size);
        struct change c = {.size = has_old ? p->size : q->size};
        c.old = has_old ? p->count : 0;
        c.new = has_new ? q->count : 0;
        i += has_old;
        k += has_new;
        if (c.old != c.new)
            changes[n++] = c;
    }
    if (n > 0)
        qsort(changes, n, sizeof *changes, by_growth);
    return n;
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

static void print_text(const struct census *old, const struct census *new,
                       const struct change *changes, size_t n)
{
    char a[BYTES_TEXT], b[BYTES_TEXT], factor[BYTES_TEXT];
    printf("%s: %s to %s\n", factor_text(factor, old->bytes, new->bytes), bytes_text(a, old->bytes),
           bytes_text(b, new->bytes));
    printf("%s: %" PRIu64 " to %" PRIu64 " live objects\n",
           factor_text(factor, old->count, new->count), old->count, new->count);
    if (n == 0) {
        printf("there are as many objects of each size\n");
        return;
    }
    printf("\n%12s %12s %12s %9s %13s\n", "size", "objects, old", "new", "", "bytes in all");
    for (size_t i = 0; i < n && (options.top == 0 || i < options.top); i++) {
        int64_t bytes = growth(&changes[i]);
        printf("%12zu %12" PRIu64 " %12" PRIu64 " %9s %c%12s\n", changes[i].size, changes[i].old,
               changes[i].new, factor_text(factor, changes[i].old, changes[i].new),
               bytes < 0 ? '-' : '+', bytes_text(a, (uint64_t)(bytes < 0 ? -bytes : bytes)));
    }
    if (options.top != 0 && n > options.top)
        printf("and %zu sizes more (--top=0 shows all)\n", n - options.top);
}

static void print_json_target(const char *name, const struct look *l, const struct census *c)
{
    printf(" \"%s\": {", name);
    look_print_json_head(l);
    printf("  \"objects\": %" PRIu64 ", \"bytes\": %" PRIu64 "},\n", c->count, c->bytes);
}

static void print_json_changes(const struct change *changes, size_t n)
{
    printf(" \"sizes\": [");
    for (size_t i = 0; i < n && (options.top == 0 || i < options.top); i++)
        printf("%s\n  {\"size\": %zu, \"old\": %" PRIu64 ", \"new\": %" PRIu64 "}",
               i == 0 ? "" : ",", changes[i].size, changes[i].old, changes[i].new);
    printf("]}\n");
}

/* Opens a target and counts its objects. Returns false after a message. */
static bool take(const char *name, struct look *l, struct census *c, bool *is_certain)
{
    if (!look_open(l, name))
        return false;
    look_go_on(l);
    bool is_whole = census_take(c, l);
    *is_certain &= is_whole && look_is_certain(l);
    return true;
}

int command_diff(int argc, char **argv)
{
    struct look looks[2];
    struct census old = {0}, new = {0};
    bool is_certain = true;
    argp_parse(&argp, argc, argv, 0, NULL, NULL);
    if (!take(options.old, &looks[0], &old, &is_certain) ||
        !take(options.new, &looks[1], &new, &is_certain))
        return UNKNOWN;
    struct change *changes = calloc(old.nsizes + new.nsizes + 1, sizeof *changes);
    if (changes == NULL)
        err(UNKNOWN, "the sizes");
    size_t n = compare(&old, &new, changes);
    if (options.is_json) {
        printf("{");
        print_json_target("old", &looks[0], &old);
        print_json_target("new", &looks[1], &new);
        print_json_changes(changes, n);
    } else {
        look_print_head(&looks[0]);
        look_print_head(&looks[1]);
        print_text(&old, &new, changes, n);
    }
    free(changes);
    census_free(&old);
    census_free(&new);
    look_close(&looks[0]);
    look_close(&looks[1]);
    return is_certain ? FINE : UNKNOWN;
}
