/* SPDX-License-Identifier: MIT
 *
 * dump.c - checks the text of the dump (src/classic/dump.h): the free chunks by address, the
 * totals, and each cell of the map, against the model; and heaps with more lines than the buffer
 * holds, or with nothing free.
 *
 * Links test/support/model.c.
 */
#include "unit.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "classic/dump.h"
#include "base/os.h"
#include "model.h"

enum { REGION_MAX = 1 << 20, NCELLS = 256 };

static _Alignas(16) unsigned char region[REGION_MAX], copy[REGION_MAX];
static struct heap heap;
static struct model model;
static uint64_t dice;
static char text[1 << 20];

static void open_heap(size_t nbytes)
{
    dice = 88172645463325252u + nbytes;
    model_open(&model, nbytes);
    heap_open_locked(&heap, (struct region){.base = region, .nbytes = nbytes}, NULL);
}

static bool take(size_t size)
{
    void *object;
    ptrdiff_t expected = model_alloc(&model, size, MODEL_FIRST);
    enum heap_result result = heap_take(&heap, size, FIT_FIRST, &object);
    assert_int_equal(result, expected < 0 ? HEAP_NO_SPACE : HEAP_OK);
    return expected >= 0;
}

static void give_back(size_t position)
{
    assert_true(model_free(&model, position));
    assert_int_equal(heap_free(&heap, region + position), HEAP_OK);
}

/* Writes the dump into text[]. Printing must not change the heap. */
static void dump(void)
{
    FILE *f = tmpfile();
    struct ledger before = heap.chunks.ledger;
    assert_non_null(f);
    memcpy(copy, region, sizeof region);
    dump_heap(&heap, fileno(f));
    assert_memory_equal(copy, region, sizeof region);
    assert_memory_equal(&before.b, &heap.chunks.ledger.b, sizeof before.b);
    rewind(f);
    text[fread(text, 1, sizeof text - 1, f)] = '\0';
    fclose(f);
}

/* --- reading the text ------------------------------------------------------------- */

static const char *next_line(const char *line)
{
    const char *end = strchr(line, '\n');
    assert_non_null(end);
    return end + 1;
}

struct sums {
    size_t nfree, free_bytes, largest, nobjects, object_bytes;
};

static const char *expect_free_chunk(const char *line, const struct model_chunk *c, struct sums *s)
{
    uintptr_t first, last;
    size_t nbytes;
    assert_int_equal(sscanf(line, "%" SCNxPTR " %" SCNxPTR " %zu", &first, &last, &nbytes), 3);
    assert_int_equal(first, (uintptr_t)region + c->start);
    assert_int_equal(nbytes, c->nbytes);
    assert_int_equal(last, first + nbytes - 1);
    s->nfree++;
    s->free_bytes += nbytes;
    s->largest = nbytes > s->largest ? nbytes : s->largest;
    return next_line(line);
}

static const char *expect_free_chunks(const char *line, struct sums *s)
{
    struct model_chunk tail = model_tail(&model);
    for (size_t i = 0; i < model.n; i++) {
        if (model.chunk[i].size == 0)
            line = expect_free_chunk(line, &model.chunk[i], s);
        s->nobjects += model.chunk[i].size > 0;
        s->object_bytes += model.chunk[i].size;
    }
    return tail.nbytes > 0 ? expect_free_chunk(line, &tail, s) : line;
}

static const char *expect_totals(const char *line, const struct sums *s)
{
    char expected[200];
    snprintf(expected, sizeof expected,
             "%zu free chunk%s, %zu bytes, the largest %zu\n%zu object%s, %zu byte%s; ledger %zu "
             "bytes\n",
             s->nfree, s->nfree == 1 ? "" : "s", s->free_bytes, s->largest, s->nobjects,
             s->nobjects == 1 ? "" : "s", s->object_bytes, s->object_bytes == 1 ? "" : "s",
             ledger_nbytes(&heap.chunks.ledger));
    assert_int_equal(strncmp(line, expected, strlen(expected)), 0);
    return next_line(next_line(line));
}

/* Computes, granule by granule, what each cell should show. */
static void naive_map(char *cell, size_t cell_bytes)
{
    static bool live[NCELLS], free[NCELLS];
    memset(live, 0, sizeof live);
    memset(free, 0, sizeof free);
    for (size_t i = 0; i <= model.n; i++) {
        struct model_chunk c = i < model.n ? model.chunk[i] : model_tail(&model);
        for (size_t at = c.start; at < c.start + c.nbytes; at += 16)
            (c.size > 0 ? live : free)[at / cell_bytes] = true;
    }
    for (size_t i = 0; i < NCELLS; i++)
        cell[i] = i * cell_bytes >= model.region_bytes ? ' '
                  : live[i] && free[i]                 ? '+'
                  : live[i]                            ? '#'
                  : free[i]                            ? '.'
                                                       : '=';
}

static void expect_map(const char *line)
{
    char cell[NCELLS];
    size_t cell_bytes;
    assert_int_equal(sscanf(line, "\nmap, %zu bytes a cell", &cell_bytes), 1);
    assert_int_equal(cell_bytes, (model.region_bytes + 4095) / 4096 * 16);
    naive_map(cell, cell_bytes);
    line = next_line(next_line(line));
    for (size_t row = 0; row < 4 && row * 64 * cell_bytes < model.region_bytes; row++) {
        assert_int_equal(strncmp(line, "  ", 2), 0);
        assert_memory_equal(line + 2, cell + row * 64, 64);
        line = next_line(line);
    }
    assert_string_equal(line, ""); /* Nothing else is printed, and nothing is missing. */
}

static void expect_dump(void)
{
    char first[100];
    struct sums sums = {0};
    dump();
    snprintf(first, sizeof first, "free memory in the heap at %p, %zu bytes\n", (void *)region,
             model.region_bytes);
    assert_int_equal(strncmp(text, first, strlen(first)), 0);
    const char *line = expect_free_chunks(next_line(next_line(text)), &sums);
    expect_map(expect_totals(line, &sums));
}

/* --- heaps to dump ---------------------------------------------------------------- */

static void test_dump_of_all_free_and_of_nothing_free(void **state)
{
    (void)state;
    for (size_t nbytes = 16; nbytes <= 16384; nbytes += 16 + nbytes / 32 * 16) {
        open_heap(nbytes);
        expect_dump();
        while (take(nbytes / 3 + 1) || take(1))
            ;
        assert_int_equal(model_tail(&model).nbytes, 0);
        expect_dump();
    }
}

static void test_dump_at_each_step(void **state)
{
    (void)state;
    for (size_t nbytes = 512; nbytes <= 70000; nbytes = nbytes * 2 + 48) {
        open_heap(nbytes);
        for (int i = 0; i < 60; i++) {
            size_t at = rnd(&dice, (uint32_t)nbytes);
            if (rnd(&dice, 2) == 0 && model_find(&model, at) != NULL)
                give_back(at);
            else
                take(1 + rnd(&dice, (uint32_t)nbytes / 8));
            expect_dump();
        }
    }
}

/* Prints thousands of lines through a buffer of some dozens of lines. */
static void test_dump_longer_than_its_buffer(void **state)
{
    (void)state;
    for (size_t nholes = 50; nholes < 6000; nholes = nholes * 9 / 4 + 1) {
        open_heap(REGION_MAX);
        for (size_t i = 0; i <= 2 * nholes; i++)
            assert_true(take(17 + i % 16));
        for (size_t i = 0; i < nholes; i++)
            give_back((2 * i + 1) * 32);
        expect_dump();
    }
}

static void test_dump_of_one_byte(void **state)
{
    (void)state;
    open_heap(4096);
    assert_true(take(1));
    expect_dump();
    assert_non_null(strstr(text, "\n1 object, 1 byte; "));
}

static void test_dump_to_nowhere(void **state)
{
    (void)state;
    open_heap(4096);
    dump_heap(&heap, -1); /* Writing fails, and dump_heap returns all the same. */
    expect_dump();
}

/* A pipe takes less at a time than there is to write. */
static void test_os_write_writes_all(void **state)
{
    (void)state;
    int ends[2], status;
    size_t sum = 0;
    ssize_t n;
    char buffer[1000];
    assert_int_equal(pipe(ends), 0);
    memset(copy, 'x', sizeof copy);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        os_write(ends[1], (const char *)copy, sizeof copy);
        _exit(0);
    }
    close(ends[1]);
    while ((n = read(ends[0], buffer, sizeof buffer)) > 0)
        sum += (size_t)n;
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(sum, sizeof copy);
}

/* One free slot is called so. */
static void test_one_free_slot(void **state)
{
    (void)state;
    struct pieces_tally t;
    heap = (struct heap){0};
    heap_open_locked(&heap, (struct region){.base = region, .nbytes = REGION_MAX}, NULL);
    do {
        void *object;
        assert_int_equal(heap_take(&heap, 500, FIT_ANY, &object), HEAP_OK);
        t = (struct pieces_tally){0};
        assert_true(tally_heap_locked(&t, &heap));
    } while (t.nfree_slots != 2);
    dump();
    assert_non_null(strstr(text, "\n2 free slots, "));
    void *object;
    assert_int_equal(heap_take(&heap, 500, FIT_ANY, &object), HEAP_OK);
    dump();
    assert_non_null(strstr(text, "\n1 free slot, "));
    assert_int_equal(heap_take(&heap, 500, FIT_ANY, &object), HEAP_OK);
    dump();
    assert_null(strstr(text, "free slot"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dump_of_all_free_and_of_nothing_free),
        cmocka_unit_test(test_dump_at_each_step),
        cmocka_unit_test(test_dump_longer_than_its_buffer),
        cmocka_unit_test(test_dump_of_one_byte),
        cmocka_unit_test(test_dump_to_nowhere),
        cmocka_unit_test(test_os_write_writes_all),
        cmocka_unit_test(test_one_free_slot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
