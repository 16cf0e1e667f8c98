/* SPDX-License-Identifier: MIT
 *
 * refs.c - mem refs: which pointers lead to an object, and a shortest way to it from a root; or,
 * with --down, what it keeps alive.
 */
#include <argp.h>
#include <err.h>
#include <inttypes.h>
#include <stdlib.h>

#include "graph.h"
#include "places.h"

#include "command.h"

static struct options {
    const char *target;
    uint64_t address;
    bool has_address, is_down;
    size_t top;
} options = {.top = 20};

static const struct argp_option argp_options[] = {
    {"down", 'd', NULL, 0, "Print what the object keeps alive, instead of what leads to it", 0},
    {"top", 'n', "N", 0, "Print at most N pointers (20; 0 means all)", 0},
    {0}};

static uint64_t number(struct argp_state *state, const char *what, const char *arg, int base)
{
    char *end;
    unsigned long long n = strtoull(arg, &end, base);
    if (end == arg || *end != '\0')
        argp_error(state, "%s: that is no %s", arg, what);
    return n;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    switch (key) {
    case 'd':
        options.is_down = true;
        return 0;
    case 'n':
        options.top = (size_t)number(state, "number", arg, 10);
        return 0;
    case ARGP_KEY_ARG:
        if (options.target == NULL) {
            options.target = arg;
        } else if (!options.has_address) {
            options.address = number(state, "address", arg, 16);
            options.has_address = true;
        } else {
            argp_error(state, "%s: one address is enough", arg);
        }
        return 0;
    case ARGP_KEY_END:
        if (!options.has_address)
            argp_error(state, "name a target, and an address in hexadecimal");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .options = argp_options,
    .parser = parse,
    .args_doc = "TARGET ADDRESS",
    .doc = "Prints which pointers lead to the object that ADDRESS, a hexadecimal number, lies in, "
           "and a shortest way to it from a root: a register, a stack, or other memory that the "
           "program may write to. " TARGET_HELP " Here it is stopped until its memory is copied."
           "\vA number that happens to be an address counts as a pointer. The exit status is 0 if "
           "the object can be reached, 1 if it cannot, so that it has leaked, 2 if that cannot be "
           "told, or if no object is at the address.\n"};

/* --- to the object ------------------------------------------------------------------ */

/* The pointers to an object, as they are found and printed. */
struct search {
    const struct graph *g;
    uint32_t wanted, in; /* the object whose pointers are looked at */
    const struct object_set *reached;
    size_t n;
};

static void print_pointer(void *context, uint64_t place, uint32_t object)
{
    struct search *s = context;
    char text[PLACE_TEXT];
    if (object != s->wanted || (s->n++ >= options.top && options.top != 0))
        return;
    printf("  %s, at +%" PRIu64 "%s\n", object_text(s->g, s->in, text),
           place - graph_object(s->g, s->in).start,
           s->in == object              ? ": itself"
           : set_has(s->reached, s->in) ? ""
                                        : ": nothing leads there");
}

static void print_pointers(const struct graph *g, struct symbols *names, uint32_t object,
                           const struct object_set *reached)
{
    char text[PLACE_TEXT];
    struct search s = {.g = g, .wanted = object, .reached = reached};
    printf("pointers to it:\n");
    for (size_t i = 0; i < graph_nroots(g); i++) {
        const struct root *root = graph_root(g, i);
        const struct pointer *p = graph_root_pointers(g, root);
        for (size_t k = 0; k < root->npointers; k++)
            if (p[k].object == object && (s.n++ < options.top || options.top == 0))
                printf("  %s\n", place_text(names, root, p[k].place, text));
    }
    for (s.in = 0; s.in < graph_nobjects(g); s.in++)
        graph_each_pointer(g, s.in, print_pointer, &s);
    if (s.n == 0)
        printf("  none\n");
    else if (options.top != 0 && s.n > options.top)
        printf("  and %zu more (--top=0 shows all)\n", s.n - options.top);
}

/* The way was found from its end: so it is turned round while it is printed. */
static void print_way(const struct graph *g, struct symbols *names, uint32_t object,
                      struct way *ways)
{
    char text[PLACE_TEXT];
    uint32_t at = object, next = NO_OBJECT;
    while (!ways[at].is_root) { /* turns it round: `from` is where the way goes on to */
        uint32_t from = ways[at].from;
        ways[at].from = next;
        next = at;
        at = from;
    }
    printf("a shortest way to it:\n  %s\n",
           place_text(names, graph_root(g, ways[at].from), ways[at].place, text));
    for (; next != NO_OBJECT; at = next, next = ways[at].from)
        printf("  -> %s, at +%" PRIu64 "\n", object_text(g, at, text),
               ways[next].place - graph_object(g, at).start);
    printf("  -> %s\n", object_text(g, at, text));
}

static int print_up(const struct graph *g, struct symbols *names, uint32_t object)
{
    struct way *ways = calloc((size_t)graph_nobjects(g) + 1, sizeof *ways);
    if (ways == NULL)
        err(UNKNOWN, "the objects of the target");
    struct object_set reached = graph_reach(g, NO_OBJECT, ways);
    bool is_reached = set_has(&reached, object);
    print_pointers(g, names, object, &reached);
    if (is_reached)
        print_way(g, names, object, ways);
    else
        printf("no way leads to it: it has leaked\n");
    set_close(&reached);
    free(ways);
    return is_reached ? FINE : FOUND;
}

/* --- from the object ------------------------------------------------------------------ */

/* What cannot be reached without the object, beside itself, would be free with it: its retained
 * size. */
static int print_down(const struct graph *g, uint32_t object)
{
    char bytes[BYTES_TEXT];
    struct object_set all = graph_reach(g, NO_OBJECT, NULL), rest = graph_reach(g, object, NULL);
    bool is_reached = set_has(&all, object);
    if (!is_reached) { /* what it leads to and nothing else does */
        rest.nbytes = all.nbytes;
        rest.n = all.n;
        graph_add_reachable(g, object, &all);
    }
    printf("it keeps alive %" PRIu32 " more, %s%s\n", all.n - rest.n - 1,
           bytes_text(bytes, all.nbytes - rest.nbytes - graph_object(g, object).size),
           is_reached ? "" : "; but nothing leads to it: it has leaked");
    set_close(&all);
    set_close(&rest);
    return is_reached ? FINE : FOUND;
}

int command_refs(int argc, char **argv)
{
    struct look look;
    char text[PLACE_TEXT];
    argp_parse(&argp, argc, argv, 0, NULL, NULL);
    if (!look_open(&look, options.target))
        return UNKNOWN;
    struct graph *g = graph_read(look.t, &look.heaps);
    look_go_on(&look);
    graph_build(g);
    struct symbols *names = symbols_open(look.t);
    uint32_t object = graph_find(g, options.address);
    int status = UNKNOWN;
    progress_end();
    look_print_head(&look);
    if (object == NO_OBJECT) {
        warnx("no live object is at 0x%" PRIx64, options.address);
    } else {
        printf("0x%" PRIx64 " is in %s, at +%" PRIu64 "\n", options.address,
               object_text(g, object, text), options.address - graph_object(g, object).start);
        status = options.is_down ? print_down(g, object) : print_up(g, names, object);
        if (status == FOUND && (!look_is_certain(&look) || graph_nunread(g) > 0))
            status = UNKNOWN;
    }
    symbols_close(names);
    graph_close(g);
    look_close(&look);
    return status;
}
