/* SPDX-License-Identifier: MIT
 *
 * check.c - mem check: counts every invariant of a target's heaps again, with the library's own
 * check (core/pieces.h), and compares the nodes of a free list, which lie in free chunks, with what
 * the ledger says (ledger/freelist.h).
 */
#include <argp.h>
#include <err.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "heaps.h"

#include "command.h"
#include "source.h"

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
        "and compared, and so are the nodes of the free list in Mem_Init's heap. " TARGET_HELP
        "\vThe exit status is 0 if all heaps are sound, 1 if one is damaged, 2 if that cannot be "
        "told: the target has no heap of libmem, cannot be read, or was being changed.\n"};

/* What is known of one heap. */
struct result {
    int status;
    const char *fault;
    bool lacks_list; /* it has a free list, which could not be read */
    char text[200];  /* of a fault of the list */
};

/* --- the free list -------------------------------------------------------------------- */

/* A node, as it was read. */
struct node {
    uint64_t address;
    struct __list_t node;
};

/* The free list of a heap, or a part of it, in address order. */
struct list {
    struct node *nodes;
    size_t n;
    uint64_t head; /* the address of the first node, as the list has it */
};

static struct chunk next_free(const struct view *v, uint32_t granule)
{
    struct around a;
    ledger_around(&v->heap.chunks.ledger, granule, &a);
    return a.here;
}

static uint64_t address_of(const struct view *v, const struct chunk *c)
{
    return c->length == 0 ? 0 : v->base + (uint64_t)c->start * GRANULE_BYTES;
}

/* Lists where nodes have to be. */
static struct list list_free(const struct view *v)
{
    struct list list = {0};
    for (struct chunk c = next_free(v, 0); c.length > 0; c = next_free(v, c.start + c.length)) {
        list.nodes = grown(list.nodes, list.n, sizeof *list.nodes);
        list.nodes[list.n++].address = address_of(v, &c);
    }
    return list;
}

/* Reads the nodes of a list. Returns false if not all can be read. */
static bool read_list(struct target *t, const struct view *v, struct list *list)
{
    bool ok = target_read(t, v->list, &list->head, sizeof list->head);
    for (size_t i = 0; i < list->n && ok; i++)
        ok = target_read(t, list->nodes[i].address, &list->nodes[i].node,
                         sizeof list->nodes[i].node);
    return ok;
}

static bool node_is_right(const struct node *n, const struct chunk *c, uint64_t next)
{
    return n->node.size == (int)(c->length * GRANULE_BYTES) && target_truth(&n->node.type) &&
           (uintptr_t)n->node.next == next;
}

/* Keeps in a list the nodes of free chunks that are not what the ledger says [FL1]. Where no free
 * chunk begins there is no node. A node with a mark [FL2] is wrong, too: no caller has been told of
 * that damage. Returns whether the list is right, its head too. */
static bool keep_wrong(const struct view *v, struct list *list)
{
    struct chunk c = next_free(v, 0);
    bool is_right = list->head == address_of(v, &c);
    size_t n = 0;
    for (size_t i = 0; i < list->n && c.length > 0;) {
        uint64_t here = address_of(v, &c);
        struct chunk after = next_free(v, c.start + c.length);
        for (; i < list->n && list->nodes[i].address < here; i++)
            ;
        if (i < list->n && list->nodes[i].address == here &&
            !node_is_right(&list->nodes[i], &c, address_of(v, &after)))
            list->nodes[n++] = list->nodes[i];
        c = after;
    }
    list->n = n;
    return is_right && n == 0;
}

/* Stops the process once more, and keeps of a list what is still wrong then: since the first look
 * it has run, and the list may have changed before it was read. What was written to free memory
 * stays there. Returns whether the list is right; or true, with UNKNOWN, if that cannot be told. */
static bool is_right_after_all(struct target *t, const struct view *v, struct list *list,
                               struct result *r)
{
    struct heaps again;
    struct recount n;
    bool is_right = true;
    r->status = UNKNOWN;
    if (!heaps_open(&again, t))
        return true;
    for (size_t i = 0; i < again.n; i++) {
        const struct view *now = &again.views[i];
        if (now->kind != v->kind || now->address != v->address || now->fault != NULL)
            continue;
        bool ok = read_list(t, now, list);
        target_go_on(t);
        if (!ok || now->is_changing || now->is_busy ||
            ledger_fault(&now->heap.chunks.ledger, &n) != NULL)
            break;
        r->status = FINE;
        is_right = keep_wrong(now, list);
        break;
    }
    target_go_on(t);
    heaps_close(&again);
    return is_right;
}

/* Compares the list of a heap whose ledger is right. It is read while the process runs, since it
 * may be long. */
static void check_list(struct target *t, const struct view *v, struct result *r)
{
    struct list list = list_free(v);
    r->lacks_list = !read_list(t, v, &list);
    bool is_right = r->lacks_list || keep_wrong(v, &list) ||
                    (target_is_process(t) && is_right_after_all(t, v, &list, r));
    if (!is_right) {
        r->status = v->is_changing ? UNKNOWN : FOUND;
        r->fault = r->text;
        if (list.n > 0)
            snprintf(r->text, sizeof r->text,
                     "free memory was written to, through a stale pointer or beyond the end of an "
                     "object: %zu %s of the free list, the first at 0x%" PRIx64,
                     list.n, list.n == 1 ? "node" : "nodes", list.nodes[0].address);
        else
            snprintf(r->text, sizeof r->text,
                     "the head of the free list was overwritten: 0x%" PRIx64, list.head);
    }
    free(list.nodes);
}

/* --- the heap --------------------------------------------------------------------------- */

static void check_view(struct target *t, const struct view *v, struct result *r)
{
    bool is_quiet = !v->is_changing && !v->is_busy;
    struct recount n = {0};
    r->status = UNKNOWN;
    r->fault = v->fault;
    if (v->fault != NULL)
        return;
    r->fault = check_fault_locked(&v->heap, &n);
    if (r->fault != NULL)
        r->status = is_quiet ? FOUND : UNKNOWN;
    else
        r->status = FINE;
    if (r->status == FINE && v->list != 0)
        check_list(t, v, r);
}

/* --- output --------------------------------------------------------------------------- */

static void print_text(const struct view *v, const struct result *r)
{
    char text[BYTES_TEXT];
    struct pieces_tally t = {0};
    if (r->status == FOUND)
        printf("%s is damaged: %s\n", view_name(v), r->fault);
    else if (v->fault != NULL)
        return; /* the head has said it */
    else if (r->status == UNKNOWN && r->fault == NULL)
        printf("%s: its free list changes too often to be checked\n", view_name(v));
    else if (r->status == UNKNOWN)
        printf("%s: a thread was in the middle of a call; if it was not, the heap is damaged: %s\n",
               view_name(v), r->fault);
    else if (view_tally(v, &t))
        printf("%s is sound: %zu object%s, %s%s\n", view_name(v), t.nobjects, plural(t.nobjects),
               bytes_text(text, t.object_bytes),
               r->lacks_list ? "; its free list could not be read" : "");
}

static void print_json_view(const struct view *v, const struct result *r, bool is_first)
{
    static const char *const words[] = {
        [FINE] = "sound", [FOUND] = "damaged", [UNKNOWN] = "unknown"};
    printf("%s  {\"heap\": ", is_first ? "" : ",\n");
    print_json(stdout, view_name(v));
    printf(", \"base\": \"0x%" PRIx64 "\", \"is\": \"%s\"", v->base, words[r->status]);
    if (r->fault != NULL) {
        printf(", \"fault\": ");
        print_json(stdout, r->fault);
    }
    printf("}");
}

int command_check(int argc, char **argv)
{
    struct look l;
    int worst = FINE;
    options = (struct options){0};
    argp_parse(&argp, argc, argv, 0, NULL, NULL);
    if (!look_open(&l, options.target))
        return UNKNOWN;
    look_go_on(&l);
    struct result *results = calloc(l.heaps.n, sizeof *results);
    if (results == NULL)
        err(UNKNOWN, "the heaps");
    for (size_t i = 0; i < l.heaps.n; i++)
        check_view(l.t, &l.heaps.views[i], &results[i]);
    if (options.is_json) {
        printf("{");
        look_print_json_head(&l);
        printf(" \"heaps\": [\n");
    } else
        look_print_head(&l);
    for (size_t i = 0; i < l.heaps.n; i++) {
        int status = results[i].status;
        worst = worst == FOUND || status == FOUND ? FOUND : status > worst ? status : worst;
        if (options.is_json)
            print_json_view(&l.heaps.views[i], &results[i], i == 0);
        else
            print_text(&l.heaps.views[i], &results[i]);
    }
    if (options.is_json)
        printf("\n]}\n");
    free(results);
    look_close(&l);
    return worst;
}
