/* SPDX-License-Identifier: MIT
 *
 * owners.c - mem owners: which variables, stacks and other roots keep the most memory alive.
 *
 * Each object that can be reached gets a label: its owner, if only one leads to it, or SHARED.
 * Variables and other memory come first: what a stack or a register leads to as well is theirs.
 * Owners are followed one after the other. An object that another owner has reached before becomes
 * SHARED, and so does all that it leads to; so an object is followed twice at most, and the whole
 * is linear.
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
    size_t top;
    bool is_json;
} options = {.top = 20};

static const struct argp_option argp_options[] = {{"json", 'j', NULL, 0,
                                                   "Print JSON instead of text", 0},
                                                  {"top", 'n', "N", 0,
                                                   "Print at most N owners (20; 0 means all)", 0},
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
    .doc =
        "Lists the variables, stacks and other roots of a program by what each keeps alive: the "
        "objects that can be reached from it, and from no other. What a variable leads to is not a "
        "stack's, even if that leads to it as well. " TARGET_HELP " Here it is "
        "stopped until its memory is copied."
        "\vThe exit status is 0, or 2 if that cannot be told.\n"};

enum { NOT_REACHED = 0, SHARED = 0xffffffff };

/* A variable; or else a stack, the registers of a thread, or a mapping. */
struct owner {
    const struct root *root;
    uint64_t start, end; /* of the variable, or of the root */
    size_t first, n;     /* its pointers, among those of the root */
    uint32_t nobjects;   /* what only it keeps alive */
    uint64_t nbytes;
};

struct owners {
    const struct graph *g;
    struct owner *all; /* the label of owner i is i + 1 */
    size_t n, room;
    uint32_t *label; /* of each object */
    uint32_t *stack; /* objects whose pointers are to be followed: each is there twice at most */
    size_t nstacked;
    uint32_t with;   /* the label that is given now */
    uint32_t nfirst; /* labels up to this one are final: of variables, while stacks are followed */
    uint32_t nshared;
    uint64_t nshared_bytes;
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
static void add_variables(struct owners *o, const struct root *root, struct symbols *names)
{
    const struct pointer *p = graph_root_pointers(o->g, root);
    for (size_t k = 0; k < root->npointers;) {
        struct symbol symbol = {0};
        struct owner owner = {.root = root, .start = root->start, .end = root->end, .first = k};
        if (symbols_find(names, p[k].place, &symbol) && symbol.name != NULL && symbol.nbytes > 0) {
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

/* Returns how many owners are variables and other memory: they come first. */
static size_t find_owners(struct owners *o, struct symbols *names)
{
    for (size_t i = 0; i < graph_nroots(o->g); i++)
        if (graph_root(o->g, i)->kind == ROOT_MAPPING)
            add_variables(o, graph_root(o->g, i), names);
    size_t n = o->n;
    for (size_t i = 0; i < graph_nroots(o->g); i++) {
        const struct root *root = graph_root(o->g, i);
        if (root->kind != ROOT_MAPPING)
            add_owner(o, (struct owner){.root = root,
                                        .start = root->start,
                                        .end = root->end,
                                        .n = root->npointers});
    }
    return n;
}

/* --- labels --------------------------------------------------------------------------- */

static void give_label(void *context, uint64_t place, uint32_t object)
{
    struct owners *o = context;
    uint32_t *label = &o->label[object];
    (void)place;
    if (*label == o->with || *label == SHARED || (*label != NOT_REACHED && *label <= o->nfirst))
        return;
    *label = *label == NOT_REACHED ? o->with : SHARED;
    o->stack[o->nstacked++] = object;
}

static void follow(struct owners *o, size_t i)
{
    const struct owner *owner = &o->all[i];
    const struct pointer *p = graph_root_pointers(o->g, owner->root) + owner->first;
    o->with = (uint32_t)i + 1;
    for (size_t k = 0; k < owner->n; k++)
        give_label(o, p[k].place, p[k].object);
    while (o->nstacked > 0) {
        uint32_t object = o->stack[--o->nstacked];
        o->with = o->label[object];
        graph_each_pointer(o->g, object, give_label, o);
    }
}

static void count(struct owners *o)
{
    for (uint32_t i = 0; i < graph_nobjects(o->g); i++) {
        size_t size = graph_object(o->g, i).size;
        if (o->label[i] == SHARED) {
            o->nshared++;
            o->nshared_bytes += size;
        } else if (o->label[i] != NOT_REACHED) {
            o->all[o->label[i] - 1].nobjects++;
            o->all[o->label[i] - 1].nbytes += size;
        }
    }
}

static int by_bytes(const void *a, const void *b)
{
    const struct owner *p = a, *q = b;
    if (p->nbytes != q->nbytes)
        return p->nbytes < q->nbytes ? 1 : -1;
    return p->start < q->start ? -1 : p->start > q->start;
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
    return text;
}

static void print_json_owners(const struct owners *o, struct symbols *names)
{
    char name[PLACE_TEXT];
    printf(" \"shared_objects\": %" PRIu32 ", \"shared_bytes\": %" PRIu64 ",\n \"owners\": [",
           o->nshared, o->nshared_bytes);
    for (size_t i = 0; i < o->n && o->all[i].nobjects > 0; i++) {
        if (options.top != 0 && i >= options.top)
            break;
        printf("%s\n  {\"objects\": %" PRIu32 ", \"bytes\": %" PRIu64 ", \"owner\": ",
               i == 0 ? "" : ",", o->all[i].nobjects, o->all[i].nbytes);
        print_json(stdout, owner_text(&o->all[i], names, name));
        printf("}");
    }
    printf("]}\n");
}

static void print_owners(const struct owners *o, struct symbols *names)
{
    char bytes[BYTES_TEXT], name[PLACE_TEXT];
    printf("\n%10s %10s  %s\n", "keeps", "objects", "owner");
    size_t nshown = 0;
    for (; nshown < o->n && o->all[nshown].nobjects > 0; nshown++)
        if (options.top == 0 || nshown < options.top)
            printf("%10s %10" PRIu32 "  %s\n", bytes_text(bytes, o->all[nshown].nbytes),
                   o->all[nshown].nobjects, owner_text(&o->all[nshown], names, name));
    if (o->nshared > 0)
        printf("%10s %10" PRIu32 "  several of them\n", bytes_text(bytes, o->nshared_bytes),
               o->nshared);
    if (options.top != 0 && nshown > options.top)
        printf("and %zu owners more (--top=0 shows all)\n", nshown - options.top);
}

int command_owners(int argc, char **argv)
{
    struct look look;
    argp_parse(&argp, argc, argv, 0, NULL, NULL);
    struct graph *g = graph_open(&look, options.target);
    if (g == NULL)
        return UNKNOWN;
    graph_build(g);
    struct symbols *names = symbols_open(look.t);
    struct owners o = {.g = g};
    size_t n = (size_t)graph_nobjects(g) + 1;
    o.label = calloc(n, sizeof *o.label);
    o.stack = calloc(2 * n, sizeof *o.stack);
    if (o.label == NULL || o.stack == NULL)
        err(UNKNOWN, "the objects of the target");
    size_t nfirst = find_owners(&o, names);
    for (size_t i = 0; i < o.n; i++) {
        o.nfirst = i < nfirst ? 0 : (uint32_t)nfirst;
        follow(&o, i);
    }
    count(&o);
    qsort(o.all, o.n, sizeof *o.all, by_bytes);
    progress_end();
    if (options.is_json) {
        printf("{");
        look_print_json_head(&look);
        print_json_owners(&o, names);
    } else {
        look_print_head(&look);
        print_owners(&o, names);
    }
    int status = look_is_certain(&look) ? FINE : UNKNOWN;
    free(o.all);
    free(o.label);
    free(o.stack);
    symbols_close(names);
    graph_close(g);
    look_close(&look);
    return status;
}
