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
    bool has_address, is_down, is_json;
    size_t top;
} options;

static const struct argp_option argp_options[] = {
    {"down", 'd', NULL, 0, "Print what the object keeps alive, instead of what leads to it", 0},
    {"json", 'j', NULL, 0, "Print JSON instead of text", 0},
    {"top", 'n', "N", 0, "Print at most N pointers (20; 0 means all)", 0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    if (key == 'd')
        options.is_down = true;
    else if (key == 'j')
        options.is_json = true;
    else if (key == 'n')
        options.top = (size_t)argument_number(arg, state);
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
    .doc = "Prints which pointers lead to the object that ADDRESS lies in, "
           "and a shortest way to it from a root: a register, a stack, or other memory that the "
           "program may write to. " TARGET_HELP " Here it is stopped until its memory is copied."
           "\vA number that happens to be an address counts as a pointer. The exit status is 0 if "
           "the object can be reached, 1 if it cannot, so that it has leaked, 2 if that cannot be "
           "told, or if no object is at the address.\n"};

/* --- places --------------------------------------------------------------------------- */

/* Where a pointer is: in a root or, if that is NULL, in an object. */
struct place {
    const struct root *root;
    uint32_t in;
    uint64_t at;
};

struct printer {
    const struct graph *g;
    struct symbols *names;
    const struct object_set *reached;
    uint32_t object; /* which one is asked for */
    size_t n;        /* how many pointers to it were found */
};

static void print_json_object(const struct graph *g, uint32_t object)
{
    struct graph_object o = graph_object(g, object);
    printf("\"object\": \"0x%" PRIx64 "\", \"size\": %zu, \"heap\": ", o.start, o.size);
    print_json(stdout, view_name(o.view));
}

static void print_json_place(const struct printer *p, struct place place)
{
    char text[PLACE_TEXT];
    printf("{");
    if (place.root != NULL) {
        printf("\"root\": ");
        print_json(stdout, place_text(p->names, place.root, place.at, text));
    } else {
        print_json_object(p->g, place.in);
        printf(", \"offset\": %" PRIu64, place.at - graph_object(p->g, place.in).start);
    }
    printf("}");
}

static void print_place(const struct printer *p, struct place place)
{
    char text[PLACE_TEXT];
    if (place.root != NULL)
        printf("%s", place_text(p->names, place.root, place.at, text));
    else
        printf("%s, at +%" PRIu64, object_text(p->g, place.in, text),
               place.at - graph_object(p->g, place.in).start);
}

/* --- to the object ------------------------------------------------------------------ */

static void print_pointer(struct printer *p, struct place place)
{
    if (p->n++ >= options.top && options.top != 0)
        return;
    if (options.is_json) {
        printf("%s\n  ", p->n == 1 ? "" : ",");
        print_json_place(p, place);
        return;
    }
    printf("  ");
    print_place(p, place);
    printf("%s\n", place.root != NULL              ? ""
                   : place.in == p->object         ? ": itself"
                   : set_has(p->reached, place.in) ? ""
                                                   : ": nothing leads there");
}

/* Looks at one object's pointers. */
struct search {
    struct printer *printer;
    uint32_t in;
};

static void note_pointer(void *context, uint64_t place, uint32_t object)
{
    struct search *s = context;
    if (object == s->printer->object)
        print_pointer(s->printer, (struct place){.in = s->in, .at = place});
}

static void print_pointers(struct printer *p)
{
    const struct graph *g = p->g;
    for (size_t i = 0; i < graph_nroots(g); i++) {
        const struct root *root = graph_root(g, i);
        const struct pointer *pointers = graph_root_pointers(g, root);
        for (size_t k = 0; k < root->npointers; k++)
            if (pointers[k].object == p->object)
                print_pointer(p, (struct place){.root = root, .at = pointers[k].place});
    }
    struct search s = {.printer = p};
    for (; s.in < graph_nobjects(g); s.in++)
        graph_each_pointer(g, s.in, note_pointer, &s);
}

/* The way was found from its end: so it is turned round while it is printed. */
static void print_way(const struct printer *p, struct way *ways)
{
    uint32_t at = p->object, next = NO_OBJECT;
    while (!ways[at].is_root) { /* turns it round: `from` is where the way goes on to */
        uint32_t from = ways[at].from;
        ways[at].from = next;
        next = at;
        at = from;
    }
    struct place place = {.root = graph_root(p->g, ways[at].from), .at = ways[at].place};
    for (const char *before = "";; before = options.is_json ? "," : "-> ") {
        printf(options.is_json ? "%s\n  " : "  %s", before);
        if (options.is_json)
            print_json_place(p, place);
        else
            print_place(p, place);
        if (!options.is_json)
            printf("\n");
        if (next == NO_OBJECT)
            break;
        place = (struct place){.in = at, .at = ways[next].place};
        at = next;
        next = ways[at].from;
    }
}

static int print_up(struct printer *p)
{
    char text[PLACE_TEXT];
    struct way *ways = calloc((size_t)graph_nobjects(p->g) + 1, sizeof *ways);
    if (ways == NULL)
        err(UNKNOWN, "the objects of the target");
    struct object_set reached = graph_reach(p->g, NO_OBJECT, ways);
    bool is_reached = set_has(&reached, p->object);
    p->reached = &reached;
    printf(options.is_json ? ",\n \"pointers\": [" : "pointers to it:\n");
    print_pointers(p);
    if (options.is_json)
        printf("], \"npointers\": %zu, \"reached\": %s, \"way\": [", p->n,
               is_reached ? "true" : "false");
    else if (p->n == 0)
        printf("  none\n");
    else if (options.top != 0 && p->n > options.top)
        printf("  and %zu more (--top=0 shows all)\n", p->n - options.top);
    if (!options.is_json)
        printf(is_reached             ? "a shortest way to it:\n"
               : graph_is_whole(p->g) ? "no way leads to it: it has leaked\n"
                                      : "no way to it was found: it may have leaked\n");
    if (is_reached)
        print_way(p, ways);
    if (options.is_json)
        printf("]");
    else if (is_reached)
        printf("  -> %s\n", object_text(p->g, p->object, text));
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
    uint32_t n = all.n - rest.n - 1;
    uint64_t nbytes = all.nbytes - rest.nbytes - graph_object(g, object).size;
    if (options.is_json)
        printf(",\n \"reached\": %s, \"kept\": %" PRIu32 ", \"kept_bytes\": %" PRIu64,
               is_reached ? "true" : "false", n, nbytes);
    else
        printf("it keeps alive %" PRIu32 " more, %s%s\n", n, bytes_text(bytes, nbytes),
               is_reached          ? ""
               : graph_is_whole(g) ? "; but nothing leads to it: it has leaked"
                                   : "; but no way to it was found: it may have leaked");
    set_close(&all);
    set_close(&rest);
    return is_reached ? FINE : FOUND;
}

static int print_refs(const struct look *look, struct printer *p)
{
    char text[PLACE_TEXT];
    struct graph_object o = graph_object(p->g, p->object);
    if (options.is_json) {
        printf("{");
        look_print_json_head(look);
        graph_print_json_gaps(p->g);
        printf(" \"address\": \"0x%" PRIx64 "\", ", options.address);
        print_json_object(p->g, p->object);
    } else {
        look_print_head(look);
        graph_print_gaps(stdout, p->g);
        printf("0x%" PRIx64 " is in %s, at +%" PRIu64 "\n", options.address,
               object_text(p->g, p->object, text), options.address - o.start);
    }
    int status = options.is_down ? print_down(p->g, p->object) : print_up(p);
    if (options.is_json)
        printf("}\n");
    return status;
}

int command_refs(int argc, char **argv)
{
    struct look look;
    options = (struct options){.top = 20};
    argp_parse(&argp, argc, argv, 0, NULL, NULL);
    struct graph *g = graph_open(&look, options.target, NULL);
    if (g == NULL)
        return UNKNOWN;
    graph_build(g);
    struct printer p = {.g = g, .names = symbols_open(look.t)};
    int status = UNKNOWN;
    p.object = graph_find(g, options.address);
    progress_end();
    if (p.object == NO_OBJECT)
        warnx("no live object is at 0x%" PRIx64, options.address);
    else
        status = print_refs(&look, &p);
    bool is_known = look_is_certain(&look) && graph_is_whole(g);
    if ((status == FOUND || options.is_down) && !is_known)
        status = UNKNOWN;
    symbols_close(p.names);
    graph_close(g);
    look_close(&look);
    return status;
}
