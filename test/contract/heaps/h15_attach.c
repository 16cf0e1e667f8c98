/* SPDX-License-Identifier: MIT
 *
 * h15_attach.c - H15: checks heaps that are copied or mapped elsewhere and attached there: intact;
 * as they were in the middle of a call; with each bit of the header flipped; and in another
 * process.
 */
#include "unit.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "heaps/header.h"

enum { MIB = 1 << 20, LARGEST = 6 * MIB, NOBJECTS = 2000, SLICE = 64 << 10 };

static uint64_t dice = 31;
static _Alignas(SLICE) unsigned char memory[LARGEST], room[LARGEST + 2 * SLICE];

static unsigned char *object[NOBJECTS];
static size_t size_of[NOBJECTS];
static int nobjects;

#define assert_ok(call) assert_int_equal((call), MEM_OK)

#define assert_null_for(why, call)                                                                 \
    do {                                                                                           \
        assert_null(call);                                                                         \
        assert_int_equal(mem_last_error(), why);                                                   \
    } while (0)

static unsigned char mark_of(int i)
{
    return (unsigned char)(i % 251 + 1);
}

static void fill(mem_heap *heap, size_t nbytes)
{
    uint32_t size_max = (uint32_t)(nbytes / 40 < 40000 ? nbytes / 40 + 1 : 40000);
    nobjects = 0;
    for (int k = 0; k < 2 * NOBJECTS; k++) {
        if (nobjects == NOBJECTS || (nobjects > 0 && rnd(&dice, 3) == 0)) {
            int i = (int)rnd(&dice, (uint32_t)nobjects);
            assert_ok(mem_free(heap, object[i]));
            object[i] = object[--nobjects];
            size_of[i] = size_of[nobjects];
            if (i < nobjects)
                memset(object[i], mark_of(i), size_of[i]);
        }
        size_t size = 1 + rnd(&dice, rnd(&dice, 8) ? size_max / 8 + 1 : size_max);
        unsigned char *p = mem_alloc(heap, size);
        if (p == NULL)
            continue;
        memset(p, mark_of(nobjects), size);
        object[nobjects] = p;
        size_of[nobjects++] = size;
    }
    assert_true(nobjects > 0);
}

/* Checks that all objects are at their offsets with their contents; then uses and frees
 * everything. */
static void assert_whole(mem_heap *heap, ptrdiff_t moved)
{
    struct mem_statistics s;
    const char *wrong;
    for (int i = 0; i < nobjects; i++) {
        struct mem_piece found = {0};
        unsigned char *p = object[i] + moved;
        assert_ok(mem_find(p + size_of[i] - 1, &found));
        assert_true(found.heap == heap && found.start == p && found.size == size_of[i]);
        for (size_t k = 0; k < size_of[i]; k++)
            assert_int_equal(p[k], mark_of(i));
    }
    for (int i = 0; i < nobjects; i++) {
        assert_ok(mem_free_any(heap, object[i] + moved + size_of[i] / 2));
        assert_ok(mem_free(heap, i % 2 ? mem_alloc(heap, size_of[i]) : NULL));
    }
    assert_int_equal(mem_check(heap, &wrong), MEM_OK);
    assert_null(wrong);
    assert_ok(mem_stats(heap, &s));
    assert_int_equal(s.live_objects, 0);
    assert_int_equal(s.free_chunks, 1);
}

static void copied(size_t nbytes, unsigned flags, size_t offset)
{
    struct mem_options options = {.flags = flags};
    mem_heap *heap = mem_heap_in(memory, nbytes, &options);
    fill(heap, nbytes);
    memset(room, 0xEE, sizeof room);
    memcpy(room + offset, memory, nbytes);
    mem_heap *copy = mem_heap_attach(room + offset, nbytes + 100, NULL);
    assert_ptr_equal(copy, room + offset);
    assert_whole(copy, room + offset - memory);
    assert_whole(heap, 0);
    assert_ok(mem_heap_destroy(heap));
    assert_ok(mem_heap_destroy(copy));
}

static void test_copied(void **state)
{
    (void)state;
    for (unsigned flags = 0; flags <= MEM_SINGLE_THREADED; flags++) {
        for (size_t nbytes = 256; nbytes < MIB; nbytes = nbytes * 3 / 16 * 16)
            copied(nbytes, flags, 16 * rnd(&dice, 100));
        copied(2 * MIB, flags, SLICE);
        copied(LARGEST, flags, SLICE);
    }
}

/* A refused attach changes nothing, even if the fault is found only after everything was counted.
 */
static void test_refused(void **state)
{
    (void)state;
    mem_heap *heap = mem_heap_in(memory, 2 * MIB, NULL);
    fill(heap, 2 * MIB);
    assert_ok(mem_heap_detach(heap));
    memcpy(room, memory, 2 * MIB);
    ((mem_heap *)(void *)room)->nlive++;
    memcpy(memory, room, 2 * MIB);
    assert_null_for(MEM_DAMAGED, mem_heap_attach(room, 2 * MIB, NULL));
    assert_memory_equal(room, memory, 2 * MIB);
    ((mem_heap *)(void *)room)->nlive--;
    heap = mem_heap_attach(room, 2 * MIB, NULL);
    assert_non_null(heap);
    assert_whole(heap, room - memory);
    assert_ok(mem_heap_destroy(heap));
}

/* Fields that only malloc's heap and heaps with guard pages use, and that are in no checksum of a
 * heap with slots that was never detached: whatever they say, attach sets them, and the heap
 * works. */
static void test_fields_of_other_heaps(void **state)
{
    (void)state;
    mem_heap *heap = mem_heap_in(memory, 2 * MIB, NULL);
    fill(heap, 2 * MIB);
    memcpy(room, memory, 2 * MIB);
    mem_heap *copy = (mem_heap *)(void *)room;
    struct chunks *c = &((struct heap *)header_at(copy, copy->state))->chunks;
    memset(&c->clean, 0x5A, sizeof c->clean);
    memset(&c->unwritten, 0x5A, sizeof c->unwritten);
    memset(&c->ledger.guard, 0x5A, sizeof c->ledger.guard);
    copy = mem_heap_attach(room, 2 * MIB, NULL);
    assert_non_null(copy);
    assert_whole(copy, room - memory);
    for (size_t size = 1; size < 300000; size = size * 2 + 1)
        assert_ok(mem_free(copy, mem_alloc(copy, size)));
    assert_ok(mem_check(copy, NULL));
    assert_ok(mem_heap_destroy(copy));
    assert_ok(mem_heap_destroy(heap));
}

/* A heap that was copied while a call changed its spans or its records is refused. */
static void test_copied_in_a_change(void **state)
{
    (void)state;
    mem_heap *heap = mem_heap_in(memory, 2 * MIB, NULL);
    fill(heap, 2 * MIB);
    mem_heap *copy = (mem_heap *)(void *)(room + SLICE - (uintptr_t)room % SLICE);
    memcpy(copy, memory, 2 * MIB);
    assert_true(copy->has_spans);
    struct heap *h = header_at(copy, copy->state);
    h->spans.changes++;
    assert_null_for(MEM_DAMAGED, mem_heap_attach(copy, 2 * MIB, NULL));
    h->spans.changes--;
    h->chunks.ledger.changes++;
    assert_null_for(MEM_DAMAGED, mem_heap_attach(copy, 2 * MIB, NULL));
    h->chunks.ledger.changes--;
    h->chunks.ledger.b.top++;
    assert_null_for(MEM_DAMAGED, mem_heap_attach(copy, 2 * MIB, NULL));
    h->chunks.ledger.b.top--;
    assert_ptr_equal(mem_heap_attach(copy, 2 * MIB, NULL), copy);
    assert_whole(copy, (unsigned char *)copy - memory);
    assert_ok(mem_heap_destroy(copy));
    assert_ok(mem_heap_destroy(heap));
}

static void test_detached(void **state)
{
    (void)state;
    struct mem_piece found;
    for (size_t nbytes = 4096; nbytes <= LARGEST; nbytes += nbytes * 3 / 16 * 16) {
        mem_heap *heap = mem_heap_in(memory, nbytes, NULL);
        fill(heap, nbytes);
        assert_null_for(MEM_BUSY, mem_heap_attach(memory, nbytes, NULL));
        assert_ok(mem_heap_detach(heap));
        assert_int_equal(mem_free(heap, object[0]), MEM_NO_HEAP);
        assert_int_equal(mem_find(object[0], &found), MEM_NOT_OURS);
        assert_ptr_equal(mem_heap_attach(memory, nbytes, NULL), heap);
        assert_whole(heap, 0);
        assert_ok(mem_heap_destroy(heap));
        assert_null_for(MEM_NO_HEAP, mem_heap_attach(memory, nbytes, NULL));
    }
    mem_heap *mapped = mem_heap_create(4096, NULL);
    assert_int_equal(mem_heap_detach(mapped), MEM_BAD_BUFFER);
    assert_ok(mem_heap_destroy(mapped));
}

/* A copy of a mapped heap lies in the caller's memory: destroying it does not unmap the mapping. Of
 * the larger heap the middle was never needed, and can be read nevertheless. The copy has no such
 * middle: it can be filled. */
static void test_a_mapping(void **state)
{
    static const size_t sizes[] = {2 * MIB, 20 * MIB};
    (void)state;
    for (int i = 0; i < 2; i++) {
        mem_heap *heap = mem_heap_create(sizes[i], NULL);
        unsigned char *buffer = mmap(NULL, sizes[i] + SLICE, PROT_READ | PROT_WRITE,
                                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        assert_true(heap != NULL && buffer != MAP_FAILED);
        size_t offset = ((uintptr_t)heap - (uintptr_t)buffer) % SLICE; /* H15: whole slices */
        fill(heap, 2 * MIB);
        memcpy(buffer + offset, heap, sizes[i]);
        mem_heap *copy = mem_heap_attach(buffer + offset, sizes[i], NULL);
        assert_non_null(copy);
        assert_whole(copy, (unsigned char *)copy - (unsigned char *)heap);
        char *p;
        while ((p = mem_alloc(copy, 100000)) != NULL)
            memset(p, 1, 100000);
        assert_ok(mem_check(copy, NULL));
        assert_ok(mem_heap_destroy(copy));
        buffer[offset] = buffer[offset + sizes[i] - 1] = 1; /* it is there still */
        munmap(buffer, sizes[i] + SLICE);
        assert_whole(heap, 0);
        assert_ok(mem_heap_destroy(heap));
    }
}

static bool refuse_more(mem_heap *heap, size_t size, void *context)
{
    (void)heap, (void)size;
    ++*(int *)context;
    return false;
}

static void never_called(mem_heap *heap, const void *address, enum mem_result why, void *context)
{
    (void)heap, (void)address, (void)why, (void)context;
    fail();
}

static void test_mistakes(void **state)
{
    (void)state;
    int ncalls = 0;
    struct mem_options options = {.limit = 3000, .on_exhausted = refuse_more, .context = &ncalls};
    struct mem_options plain = {0};
    mem_heap *heap = mem_heap_in(memory, 4096, &options);
    assert_null(mem_alloc(heap, 3001));
    assert_int_equal(ncalls, 1);
    memcpy(room, memory, 4096);
    assert_null_for(MEM_BAD_BUFFER, mem_heap_attach(NULL, 4096, NULL));
    assert_null_for(MEM_BAD_BUFFER, mem_heap_attach(room + 8, 4096, NULL));
    assert_null_for(MEM_BAD_SIZE, mem_heap_attach(room, 255, NULL));
    assert_null_for(MEM_BAD_SIZE, mem_heap_attach(room, 4080, NULL));
    assert_null_for(MEM_NO_HEAP, mem_heap_attach(room + 1024, 4096, NULL));
    mem_heap *copy = mem_heap_attach(room, 4096, NULL);
    /* The limit was copied with the heap, the callback was not. */
    assert_null_for(MEM_OVER_LIMIT, mem_alloc(copy, 3001));
    assert_int_equal(ncalls, 1);
    assert_ok(mem_heap_detach(copy));
    copy = mem_heap_attach(room, 4096, &options);
    assert_null(mem_alloc(copy, 3001));
    assert_int_equal(ncalls, 2);
    assert_ok(mem_heap_destroy(copy));
    assert_ok(mem_heap_destroy(heap));
    heap = mem_heap_in(memory, 4096, &plain);
    assert_int_equal(mem_heap_detach((mem_heap *)(void *)(memory + 16)), MEM_NO_HEAP);
    assert_ok(mem_heap_detach(heap));
    assert_int_equal(mem_heap_detach(heap), MEM_NO_HEAP); /* it has gone already */
    assert_null_for(MEM_BAD_OPTIONS, mem_heap_attach(memory, 4096, &options));
    struct mem_options other = {.on_refused = never_called};
    assert_null_for(MEM_BAD_OPTIONS, mem_heap_attach(memory, 4096, &other));
    assert_ptr_equal(mem_heap_attach(memory, 4096, NULL), heap);
    assert_ok(mem_heap_destroy(heap));
    heap = mem_heap_in(memory, 2 * MIB, NULL);
    fill(heap, 2 * MIB);
    memcpy(room + 16, memory, 2 * MIB);
    assert_null_for(MEM_BAD_BUFFER, mem_heap_attach(room + 16, 2 * MIB, NULL));
    assert_memory_equal(room + 16, memory, 2 * MIB);
    assert_ok(mem_heap_destroy(heap));
}

static bool copy_all(const struct mem_piece *piece, void *nbytes)
{
    (void)piece;
    memcpy(room, memory, *(size_t *)nbytes);
    return false;
}

/* A copy that is made while no call is changing the heap is good. Each bit of the header that
 * differs is noticed. */
static void test_at_a_bad_moment(void **state)
{
    (void)state;
    size_t nbytes = 8192;
    mem_heap *heap = mem_heap_in(memory, nbytes, NULL);
    fill(heap, nbytes);
    assert_ok(mem_walk(heap, copy_all, &nbytes));
    mem_heap *copy = mem_heap_attach(room, nbytes, NULL);
    assert_non_null(copy);
    assert_ok(mem_heap_destroy(copy));
    for (size_t bit = 0; bit < 64 * 8; bit++) {
        memcpy(room, memory, nbytes);
        room[bit / 8] ^= (unsigned char)(1u << bit % 8);
        copy = mem_heap_attach(room, nbytes, NULL);
        if (copy == NULL)
            assert_true(mem_last_error() == MEM_DAMAGED || mem_last_error() == MEM_NO_HEAP ||
                        mem_last_error() == MEM_BAD_VERSION);
        else
            assert_ok(mem_check(copy, NULL));
        assert_true(copy == NULL ||
                    bit >= 56 * 8); /* Behind these bytes there is only the count of changes. */
        if (copy != NULL)
            assert_ok(mem_heap_destroy(copy));
    }
    assert_ok(mem_heap_destroy(heap));
}

/* Two processes use the memory in succession, at different addresses. */
static void in_child(int file, size_t nbytes, const unsigned char *was)
{
    unsigned char *at = mmap(NULL, nbytes + SLICE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    at += (SLICE - (uintptr_t)at % SLICE) % SLICE;
    at = mmap(at, nbytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0);
    munmap((void *)(uintptr_t)was, nbytes);
    mem_heap *heap = mem_heap_attach(at, nbytes, NULL);
    if (heap == NULL || at == was)
        _exit(1);
    for (int i = 0; i < nobjects; i++)
        if (mem_free(heap, object[i] - was + at) != MEM_OK)
            _exit(2);
    strcpy(mem_alloc(heap, 6), "hello");
    _exit(mem_check(heap, NULL) == MEM_OK && mem_heap_detach(heap) == MEM_OK ? 0 : 3);
}

static bool is_hello(const struct mem_piece *piece, void *found)
{
    *(bool *)found |= piece->live && piece->size == 6 && strcmp(piece->start, "hello") == 0;
    return true;
}

static void test_in_two_processes(void **state)
{
    (void)state;
    static const size_t sizes[] = {4096, 64 << 10, 4 * MIB};
    for (int i = 0; i < 3; i++) {
        int status, file = memfd_create("heap", 0);
        bool found = false;
        size_t nbytes = sizes[i];
        assert_int_equal(ftruncate(file, (off_t)nbytes), 0);
        unsigned char *at =
            mmap(memory, nbytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0);
        mem_heap *heap = mem_heap_in(at, nbytes, NULL);
        fill(heap, nbytes);
        assert_ok(mem_heap_detach(heap));
        pid_t child = fork();
        if (child == 0)
            in_child(file, nbytes, at);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
        assert_ptr_equal(mem_heap_attach(at, nbytes, NULL), heap);
        assert_ok(mem_walk(heap, is_hello, &found));
        assert_true(found);
        assert_ok(mem_heap_destroy(heap));
        close(file);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copied),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_fields_of_other_heaps),
        cmocka_unit_test(test_copied_in_a_change),
        cmocka_unit_test(test_detached),
        cmocka_unit_test(test_a_mapping),
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_at_a_bad_moment),
        cmocka_unit_test(test_in_two_processes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
