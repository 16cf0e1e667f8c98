/* SPDX-License-Identifier: MIT
 *
 * owners.c - mem owners: which variables, stacks and other roots keep the most memory alive, and
 * which objects below them do.
 *
 *     root -> owners -> objects -> ...      a graph with one root, whose dominators are found
 *
 * What an owner or an object dominates (dominators.h) is what it keeps: it would be garbage without
 * it. Variables and other memory come first: the edges to stacks and registers are weak, so that
 * what these lead to as well is a variable's.
 */
#include <argp.h>
#include <err.h>
#include <inttypes.h>
#include <stdlib.h>

#include "dominators.h"
#include "graph.h"
#include "places.h"

#include "command.h"

static struct options {
    const char *target;
    size_t top, depth;
    bool is_json;
} options;

static const struct argp_option argp_options[] = {
    {"depth", 'd', "N", 0,
     "Print also the objects by which owners keep that, N levels of them (0). An object keeps what "
     "can be reached only through it. Those that keep less than a hundredth of all are left out",
     0},
    {"json", 'j', NULL, 0, "Print JSON instead of text", 0},
    {"top", 'n', "N", 0, "Print at most N owners (20; 0 means all)", 0},
    {0}};

enum {
    DEPTH_MAX = 100,
    OFTEN = 1 << 16 /* objects, from one sign of progress to the next */
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    if (key == 'd') {
        options.depth = (size_t)argument_number(arg, state);
        if (options.depth > DEPTH_MAX)
            argp_error(state, "%s: give at most %d levels", arg, DEPTH_MAX);
    } else if (key == 'j')
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
    .doc =
        "Lists the variables, stacks and other roots of a program by what each keeps alive: the "
        "objects that can be reached from it, and from no other. What a variable leads to is not a "
        "stack's, even if that leads to it as well. " TARGET_HELP " Here it is "
        "stopped until its memory is copied."
        "\vThe exit status is 0, or 2 if that cannot be told: then the output says what "
        "could not be read.\n"};

/* A variable; or else a stack, the registers of a thread, or a mapping. */
struct owner {
    const struct root *root;
    uint64_t start, end; /* of the variable, or of the root */
    size_t first, n;     /* its pointers, among those of the root */
    uint32_t position;
};

/* What a position of the dominators keeps, with itself if that is an object. */
struct retained {
    uint64_t nbytes;
    uint32_t nobjects;
};

struct owners {
    const struct graph *g;
    struct symbols *names;
    struct owner *all;
    size_t n, room;
    size_t nvariables; /* of all, the first ones: variables and other memory */
    struct edges e;    /* node 0 is the root; then come the owners, and then the objects */
    size_t edges_room, nedges;
    struct dominators d;
    struct retained *kept; /* of each position */
    uint32_t *large;       /* positions of objects that keep much, by what dominates them */
    size_t nlarge;
    struct retained shared; /* what no single owner keeps */
};

/* --- owners --------------------------------------------------------------------------- */

static void add_owner(struct owners *o, struct owner owner)
{
    if (o->n == o->room) {
        o->room = o->room == 0 ? 64 : o->room * 2;
        o->all = reallocarray(o->all, o->room, sizeof *o->all);
        if (o->all == NULL)
            err(UNKNOWN, "the owners");
    }
    o->all[o->n++] = owner;
}

/* Splits the pointers of a mapping by variable. What is in no variable has one owner for the whole
 * mapping, which comes last. */
static void add_variables(struct owners *o, const struct root *root)
{
    const struct pointer *p = graph_root_pointers(o->g, root);
    for (size_t k = 0; k < root->npointers;) {
        struct symbol symbol = {0};
        struct owner owner = {.root = root, .start = root->start, .end = root->end, .first = k};
        if (symbols_find(o->names, p[k].place, &symbol) && symbol.name != NULL &&
            symbol.nbytes > 0) {
            owner.start = p[k].place - symbol.offset;
            owner.end = owner.start + symbol.nbytes;
        }
        bool has_name = owner.end > p[k].place && symbol.name != NULL;
        for (; k < root->npointers && (owner.n == 0 || (has_name && p[k].place < owner.end)); k++)
            owner.n++;
        struct owner *last = o->n == 0 ? NULL : &o->all[o->n - 1];
        if (last != NULL && last->root == root && last->start == owner.start &&
            last->first + last->n == owner.first)
            last->n += owner.n;
        else
            add_owner(o, owner);
    }
}

static void find_owners(struct owners *o)
{
    for (size_t i = 0; i < graph_nroots(o->g); i++)
        if (graph_root(o->g, i)->kind == ROOT_MAPPING)
            add_variables(o, graph_root(o->g, i));
    o->nvariables = o->n;
    for (size_t i = 0; i < graph_nroots(o->g); i++) {
        const struct root *root = graph_root(o->g, i);
        if (root->kind != ROOT_MAPPING)
            add_owner(o, (struct owner){.root = root,
                                        .start = root->start,
                                        .end = root->end,
                                        .n = root->npointers});
    }
}

/* --- what they keep --------------------------------------------------------------------- */

static void add_edge(struct owners *o, size_t to)
{
    if (o->nedges == o->edges_room) {
        o->edges_room = o->edges_room == 0 ? 1024 : o->edges_room * 2;
        o->e.to = reallocarray(o->e.to, o->edges_room, sizeof *o->e.to);
        if (o->e.to == NULL)
            err(UNKNOWN, "the pointers of the target");
    }
    o->e.to[o->nedges++] = (uint32_t)to;
}

static void add_pointer(void *context, uint64_t place, uint32_t object)
{
    struct owners *o = context;
    (void)place;
    add_edge(o, 1 + o->n + object);
}

static void make_edges(struct owners *o)
{
    uint32_t nobjects = graph_nobjects(o->g);
    if (o->n >= UINT32_MAX - 1 - nobjects)
        errx(UNKNOWN, "%" PRIu32 " objects are too many to say what keeps them", nobjects);
    o->e.nnodes = (uint32_t)(1 + o->n + nobjects);
    o->e.first = calloc((size_t)o->e.nnodes + 1, sizeof *o->e.first);
    if (o->e.first == NULL)
        err(UNKNOWN, "the objects of the target");
    for (size_t i = 0; i < o->n; i++)
        add_edge(o, 1 + i);
    for (size_t i = 0; i < o->n; i++) {
        const struct pointer *p = graph_root_pointers(o->g, o->all[i].root) + o->all[i].first;
        o->e.first[1 + i] = o->nedges;
        for (size_t k = 0; k < o->all[i].n; k++)
            add_pointer(o, p[k].place, p[k].object);
    }
    for (uint32_t i = 0; i < nobjects; i++) {
        if (i % OFTEN == 0)
            progress("following pointers", i, nobjects);
        o->e.first[1 + o->n + i] = o->nedges;
        graph_each_pointer(o->g, i, add_pointer, o);
    }
    o->e.first[o->e.nnodes] = o->nedges;
}

/* Returns whether a position is that of an object, and stores which. */
static bool is_object(const struct owners *o, uint32_t position, uint32_t *object)
{
    uint32_t node = o->d.node[position];
    *object = (uint32_t)(node - 1 - o->n);
    return node > o->n;
}

static void add_kept(struct retained *to, struct retained kept)
{
    to->nbytes += kept.nbytes;
    to->nobjects += kept.nobjects;
}

/* What is dominated comes behind what dominates it, so that the last positions are done first. */
static void count(struct owners *o)
{
    uint32_t object;
    o->kept = calloc(o->d.n, sizeof *o->kept);
    if (o->kept == NULL)
        err(UNKNOWN, "the objects of the target");
    for (uint32_t p = o->d.n; --p > 0;) {
        bool is_one = is_object(o, p, &object);
        if (is_one)
            add_kept(&o->kept[p], (struct retained){graph_object(o->g, object).size, 1});
        else
            o->all[o->d.node[p] - 1].position = p;
        if (is_one && o->d.idom[p] == 0)
            add_kept(&o->shared, o->kept[p]);
        add_kept(&o->kept[o->d.idom[p]], o->kept[p]);
    }
}

/* For qsort, which has no context. */
static const struct owners *sorted;

static int by_dominator(const void *a, const void *b)
{
    uint32_t p = *(const uint32_t *)a, q = *(const uint32_t *)b;
    uint32_t above_p = sorted->d.idom[p], above_q = sorted->d.idom[q];
    uint64_t m = sorted->kept[p].nbytes, n = sorted->kept[q].nbytes;
    if (above_p != above_q)
        return above_p < above_q ? -1 : 1;
    return m != n ? (m < n ? 1 : -1) : p < q ? -1 : p > q;
}

/* Lists the objects that keep at least a hundredth of all that can be reached. */
static void find_large(struct owners *o)
{
    uint64_t least = o->kept[0].nbytes / 100;
    uint32_t object;
    for (int is_filling = 0; is_filling < 2; is_filling++) {
        o->nlarge = 0;
        for (uint32_t p = 1; p < o->d.n; p++)
            if (o->kept[p].nbytes >= least && is_object(o, p, &object)) {
                if (is_filling)
                    o->large[o->nlarge] = p;
                o->nlarge++;
            }
        if (!is_filling && (o->large = calloc(o->nlarge + 1, sizeof *o->large)) == NULL)
            err(UNKNOWN, "the objects of the target");
    }
    sorted = o;
    sort_array(o->large, o->nlarge, sizeof *o->large, by_dominator);
}

/* Returns the first of the large objects that a position dominates at once, in o->large. */
static size_t first_below(const struct owners *o, uint32_t position)
{
    size_t low = 0, n = o->nlarge;
    while (n > 0) {
        size_t half = n / 2;
        bool is_before = o->d.idom[o->large[low + half]] < position;
        low = is_before ? low + half + 1 : low;
        n = is_before ? n - half - 1 : half;
    }
    return low;
}

static int by_bytes(const void *a, const void *b)
{
    const struct owner *p = a, *q = b;
    uint64_t m = sorted->kept[p->position].nbytes, n = sorted->kept[q->position].nbytes;
    if (m != n)
        return m < n ? 1 : -1;
    return p->start < q->start ? -1 : p->start > q->start;
}

static void find_kept(struct owners *o)
{
    make_edges(o);
    o->d = dominators_find(&o->e, o->nvariables);
    free(o->e.first);
    free(o->e.to);
    count(o);
    if (options.depth > 0)
        find_large(o);
    sorted = o;
    sort_array(o->all, o->n, sizeof *o->all, by_bytes);
}

/* --- output --------------------------------------------------------------------------- */

/* Writes what an owner is. Returns `text`. */
static char *owner_text(const struct owner *owner, struct symbols *names, char text[PLACE_TEXT])
{
    const struct root *root = owner->root;
    if (root->kind == ROOT_REGISTERS)
        snprintf(text, PLACE_TEXT, "the registers of thread %d", root->thread);
    else if (root->kind == ROOT_STACK)
        snprintf(text, PLACE_TEXT, "the stack of thread %d", root->thread);
    else if (owner->start == root->start && owner->end == root->end)
        snprintf(text, PLACE_TEXT, "memory at 0x%" PRIx64 " to 0x%" PRIx64 "%s%s", owner->start,
                 owner->end, root->mapping->file == NULL ? "" : " of ",
                 root->mapping->file == NULL ? "" : root->mapping->file);
    else
        symbols_text(names, owner->start, text, PLACE_TEXT);
    return clean_text(text);
}

static bool is_shown(size_t nshown)
{
    return options.top == 0 || nshown < options.top;
}

static void print_json_below(const struct owners *o, const char *key, uint32_t position,
                             size_t depth)
{
    uint32_t object;
    if (depth == options.depth)
        return;
    printf(", \"%s\": [", key);
    size_t first = first_below(o, position);
    for (size_t i = first; i < o->nlarge && o->d.idom[o->large[i]] == position; i++) {
        struct retained kept = o->kept[o->large[i]];
        if (!is_shown(i - first) || !is_object(o, o->large[i], &object))
            break;
        struct graph_object what = graph_object(o->g, object);
        printf("%s{\"objects\": %" PRIu32 ", \"bytes\": %" PRIu64 ", \"object\": \"0x%" PRIx64
               "\", \"size\": %zu",
               i == first ? "" : ",\n    ", kept.nobjects, kept.nbytes, what.start, what.size);
        print_json_below(o, "keeps", o->large[i], depth + 1);
        printf("}");
    }
    printf("]");
}

static void print_json_owners(const struct owners *o)
{
    char name[PLACE_TEXT];
    printf(" \"shared_objects\": %" PRIu32 ", \"shared_bytes\": %" PRIu64, o->shared.nobjects,
           o->shared.nbytes);
    print_json_below(o, "shared_keeps", 0, 0);
    printf(",\n \"owners\": [");
    for (size_t i = 0; i < o->n && is_shown(i); i++) {
        struct retained kept = o->kept[o->all[i].position];
        if (kept.nobjects == 0)
            break;
        printf("%s\n  {\"objects\": %" PRIu32 ", \"bytes\": %" PRIu64 ", \"owner\": ",
               i == 0 ? "" : ",", kept.nobjects, kept.nbytes);
        print_json(stdout, owner_text(&o->all[i], o->names, name));
        print_json_below(o, "keeps", o->all[i].position, 0);
        printf("}");
    }
    printf("]}\n");
}

static void print_kept(struct retained kept, size_t depth, const char *what)
{
    char bytes[BYTES_TEXT];
    printf("%10s %10" PRIu32 "  %*s%s\n", bytes_text(bytes, kept.nbytes), kept.nobjects,
           (int)(2 * depth), "", what);
}

/* By which objects a position keeps what it keeps. */
static void print_below(const struct owners *o, uint32_t position, size_t depth)
{
    char name[PLACE_TEXT];
    uint32_t object;
    if (depth == options.depth)
        return;
    size_t first = first_below(o, position);
    for (size_t i = first; i < o->nlarge && o->d.idom[o->large[i]] == position; i++) {
        if (!is_shown(i - first) || !is_object(o, o->large[i], &object))
            break;
        print_kept(o->kept[o->large[i]], depth + 1, object_text(o->g, object, name));
        print_below(o, o->large[i], depth + 1);
    }
}

static void print_owners(const struct owners *o)
{
    char name[PLACE_TEXT];
    size_t i = 0;
    printf("\n%10s %10s  %s\n", "keeps", "objects", "owner");
    for (; i < o->n && o->kept[o->all[i].position].nobjects > 0; i++)
        if (is_shown(i)) {
            print_kept(o->kept[o->all[i].position], 0, owner_text(&o->all[i], o->names, name));
            print_below(o, o->all[i].position, 0);
        }
    if (o->shared.nobjects > 0) {
        print_kept(o->shared, 0, "several of them");
        print_below(o, 0, 0);
    }
    if (options.top != 0 && i > options.top)
        printf("and %zu owners more (--top=0 shows all)\n", i - options.top);
}

int command_owners(int argc, char **argv)
{
    struct look look;
    options = (struct options){.top = 20};
    argp_parse(&argp, argc, argv, 0, NULL, NULL);
    struct graph *g = graph_open(&look, options.target, NULL);
    if (g == NULL)
        return UNKNOWN;
    graph_build(g);
    struct owners o = {.g = g, .names = symbols_open(look.t)};
    find_owners(&o);
    find_kept(&o);
    progress_end();
    if (options.is_json) {
        printf("{");
        look_print_json_head(&look);
        graph_print_json_gaps(g);
        print_json_owners(&o);
    } else {
        look_print_head(&look);
        graph_print_gaps(stdout, g);
        print_owners(&o);
    }
    int status = look_is_certain(&look) && graph_is_whole(g) ? FINE : UNKNOWN;
    free(o.all);
    free(o.kept);
    free(o.large);
    dominators_close(&o.d);
    symbols_close(o.names);
    graph_close(g);
    look_close(&look);
    return status;
}
