/* SPDX-License-Identifier: MIT
 *
 * sequences.c - compares every sequence of up to six calls on a heap of one page with the model
 * (model.h).
 *
 * A call allocates an object of one of three sizes in one of three styles, or frees a live
 * object. The search goes depth first: each node is a heap that some sequence produces, and each
 * further call is tried on a copy of it.
 *
 * At each node
 *   - the free list and the result of the heap's own check are compared with the model;
 *   - each object is freed by its first byte, by one in the middle and by its last; where these
 *     frees produce the same heap to the byte, only one of them is followed;
 *   - wrong addresses of every kind are refused, with the reason that heap.h gives, and leave
 *     every byte of the heap unchanged.
 * No call changes a byte of another live object.
 *
 * With sizes of 8, 880 and 2000 bytes the page is filled by three objects or by many. Six calls
 * are enough to make the heap hand out a hole whole because there is no room for another record.
 *
 *     build/test/model/sequences [CALLS]
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "snapshot.h"

enum { GRANULE = 16, DEPTH_MAX = 8, NSTYLES = 3, NSIZES = 3 };

static const size_t sizes[NSIZES] = {8, 880, 2000};

static struct snapshot snapshots[DEPTH_MAX + 1], freed;

static int depth, deepest = 6;
/* The calls that led to the present node, for the failure message. */
static char path[DEPTH_MAX][32];
static uint64_t nsequences, nrefused, nfull, nwhole, ncut, nsame;

/* --- failures ---------------------------------------------------------------- */

static void die(const char *what, long expected, long got)
{
    printf("not ok 1 - %s: expected %ld, got %ld, after", what, expected, got);
    for (int i = 0; i < depth; i++)
        printf(" %s", path[i]);
    printf("\n1..1\n");
    exit(1);
}

#define EXPECT(what, expected, got)                                                                \
    do {                                                                                           \
        if ((long)(expected) != (long)(got))                                                       \
            die(what, (long)(expected), (long)(got));                                              \
    } while (0)

/* --- what must hold at a node -------------------------------------------------- */

static MemNodePtr expect_node(MemNodePtr node, const struct model_chunk *c)
{
    EXPECT("place of node", c->start, (unsigned char *)node - page);
    EXPECT("size in node", c->nbytes, node->size);
    EXPECT("type in node", true, node->type);
    return node->next;
}

static void expect_list(void)
{
    MemNodePtr node = head;
    for (size_t i = 0; i < model.n; i++)
        if (model.chunk[i].size == 0)
            node = expect_node(node, &model.chunk[i]);
    struct model_chunk tail = model_tail(&model);
    if (tail.nbytes > 0)
        node = expect_node(node, &tail);
    EXPECT("end of list", 0, (intptr_t)node);
}

/* A position is in bytes from the region's start and may be outside the region. */
static void expect_refused(ptrdiff_t position, enum heap_result why)
{
    EXPECT("free of a wrong address", why, heap_free(&heap, page + position));
    nrefused++;
}

static void expect_found(const struct model_chunk *c, size_t position)
{
    struct object found = {0};
    EXPECT("find in an object", HEAP_OK, heap_find(&heap, page + position, &found));
    EXPECT("start of what is found", c->start, (unsigned char *)found.start - page);
    EXPECT("size of what is found", c->size, found.size);
}

static void try_chunk(const struct model_chunk *c)
{
    size_t end = c->start + c->nbytes;
    if (c->size == 0) {
        expect_refused((ptrdiff_t)c->start, HEAP_FREE);
        expect_refused((ptrdiff_t)(c->start + 8), HEAP_FREE); /* An address inside its node. */
        expect_refused((ptrdiff_t)(c->start + c->nbytes / 2), HEAP_FREE);
        expect_refused((ptrdiff_t)(end - 1), HEAP_FREE);
        return;
    }
    expect_found(c, c->start);
    expect_found(c, c->start + c->size - 1);
    if (c->size < c->nbytes) {
        expect_refused((ptrdiff_t)(c->start + c->size), HEAP_NO_OBJECT); /* One past the end. */
        expect_refused((ptrdiff_t)(c->start + (c->size + c->nbytes) / 2), HEAP_NO_OBJECT);
        expect_refused((ptrdiff_t)(end - 1), HEAP_NO_OBJECT);
    }
}

/* Tries wrong addresses of every kind. One past the end of an object without slack is the first
 * byte of the next chunk and is tried with that chunk. */
static void try_wrong_addresses(void)
{
    struct model_chunk tail = model_tail(&model);
    size_t end = tail.start + tail.nbytes;
    for (size_t i = 0; i < model.n; i++)
        try_chunk(&model.chunk[i]);
    if (tail.nbytes > 0)
        try_chunk(&tail);
    /* It lies between the tail and the ledger, or in the ledger. */
    expect_refused((ptrdiff_t)end, HEAP_NO_OBJECT);
    expect_refused((ptrdiff_t)(end + PAGE) / 2, HEAP_NO_OBJECT);
    expect_refused(PAGE - 1, HEAP_NO_OBJECT);
    expect_refused(-1, HEAP_NOT_OURS);
    expect_refused(-PAGE, HEAP_NOT_OURS);
    expect_refused(PAGE, HEAP_NOT_OURS);
    EXPECT("free of NULL", HEAP_NOT_OURS, heap_free(&heap, NULL));
    EXPECT("free on the stack", HEAP_NOT_OURS, heap_free(&heap, &tail));
}

static void judge_node(const struct snapshot *here)
{
    expect_list();
    EXPECT("check", HEAP_OK, check_heap(&heap));
    try_wrong_addresses();
    EXPECT("the heap is the same to the byte", true, is_same(here));
}

/* Objects that live both before and after the call must not have changed. */
static void expect_objects_kept(const struct snapshot *before)
{
    for (size_t i = 0; i < before->n; i++) {
        const struct model_chunk *c = &before->chunk[i];
        if (c->size > 0 && model_find(&model, c->start) != NULL)
            EXPECT("bytes of a live object", 0,
                   memcmp(page + c->start, before->page + c->start, c->size));
    }
}

/* --- the calls ----------------------------------------------------------------- */

static void descend(void);

static void follow(const char *what, size_t argument, const char *style)
{
    snprintf(path[depth], sizeof path[depth], "%s(%zu%s)", what, argument, style);
    depth++;
    nsequences++;
    descend();
    depth--;
}

static void note_kind(const struct snapshot *before, const struct model_chunk *c, size_t size)
{
    nwhole += c->nbytes > (size + GRANULE - 1) / GRANULE * GRANULE;
    bool below_last = before->n > 0 && c->start < before->chunk[before->n - 1].start;
    ncut += below_last && model.n > before->n;
}

static void try_alloc(const struct snapshot *here, size_t size, int style)
{
    static const char *const names[NSTYLES] = {", BF", ", WF", ", FF"};
    void *object = NULL;
    restore(here);
    ptrdiff_t expected = model_alloc(&model, size, (enum model_fit)style);
    enum heap_result result = heap_take(&heap, size, (enum fit)style, &object);
    EXPECT("result of alloc", expected < 0 ? HEAP_NO_SPACE : HEAP_OK, result);
    if (expected < 0) {
        nfull++;
        EXPECT("the heap is the same after no space", true, is_same(here));
    } else {
        EXPECT("address of alloc", expected, (unsigned char *)object - page);
        expect_objects_kept(here);
        memset(object, 'a' + depth, size);
        note_kind(here, model_find(&model, (size_t)expected), size);
    }
    follow("alloc", size, names[style]);
}

static void free_at(const struct snapshot *here, size_t position)
{
    restore(here);
    EXPECT("model frees", true, model_free(&model, position));
    EXPECT("free", HEAP_OK, heap_free(&heap, page + position));
    expect_objects_kept(here);
}

static void try_free(const struct snapshot *here, const struct model_chunk *c)
{
    size_t others[] = {c->start + c->size / 2, c->start + c->size - 1}, start = c->start;
    bool differs[2];
    free_at(here, start);
    save(&freed);
    for (int i = 0; i < 2; i++) {
        free_at(here, others[i]);
        differs[i] = !is_same(&freed);
        nsame += !differs[i];
    }
    for (int i = 0; i < 2; i++)
        if (differs[i]) {
            free_at(here, others[i]);
            follow("free", others[i], "");
        }
    free_at(here, start);
    follow("free", start, "");
}

static void descend(void)
{
    struct snapshot *here = &snapshots[depth];
    save(here);
    judge_node(here);
    if (depth == deepest)
        return;
    for (int size = 0; size < NSIZES; size++)
        for (int style = 0; style < NSTYLES; style++)
            try_alloc(here, sizes[size], style);
    for (size_t i = 0; i < here->n; i++)
        if (here->chunk[i].size > 0)
            try_free(here, &here->chunk[i]);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        deepest = atoi(argv[1]);
    if (deepest < 1 || deepest > DEPTH_MAX)
        return 2;
    model_open(&model, PAGE);
    heap_open_locked(&heap, (struct region){.base = page, .nbytes = PAGE}, &head);
    descend();
    printf("# %" PRIu64 " sequences of up to %d calls: %" PRIu64 " refused, %" PRIu64
           " without space, %" PRIu64 " holes cut, %" PRIu64 " taken whole, %" PRIu64
           " frees by another address\n",
           nsequences, deepest, nrefused, nfull, ncut, nwhole, nsame);
    EXPECT("each kind of call was seen", true,
           deepest < 6 || (nrefused > 0 && nfull > 0 && ncut > 0 && nwhole > 0 && nsame > 0));
    printf("ok 1 - every sequence of up to %d calls is as the model says\n1..1\n", deepest);
    return 0;
}
