/* SPDX-License-Identifier: MIT
 *
 * sqlite-bounded.c - shows how to give a library a fixed amount of memory: SQLite allocates
 * all its memory from a static array of 2 MiB. It needs libsqlite3-dev.
 *
 *     make build/examples/sqlite-bounded
 *     LD_LIBRARY_PATH=build build/examples/sqlite-bounded
 *
 * The program inserts rows until the array is full. The insertion that finds no memory fails
 * with SQLITE_NOMEM, and the database still answers: all rows inserted before are there.
 *
 * SQLite lets a program replace its allocator (SQLITE_CONFIG_MALLOC). The seven functions
 * below are that allocator; each is a call or two of mem_heap.h.
 */
#include <sqlite3.h>
#include <stdio.h>

#include "../include/mem_heap.h"

enum { BYTES = 2 << 20 };
static _Alignas(16) char memory[BYTES];
static mem_heap *heap;

static void *take(int size)
{
    return mem_alloc(heap, (size_t)size);
}

static void give(void *object)
{
    mem_free(heap, object);
}

static void *resize(void *object, int size)
{
    return mem_resize(heap, object, (size_t)size);
}

/* SQLite asks for the size of an object: mem_find_in knows it. */
static int size_of(void *object)
{
    struct mem_piece found;
    return mem_find_in(heap, object, &found) == MEM_OK && found.live ? (int)found.size : 0;
}

/* SQLite asks how large an object of this size will really be, to make use of all of it. */
static int round_up(int size)
{
    return (size + 7) & ~7;
}

/* sqlite3_initialize calls this once, before the first allocation. */
static int start(void *unused)
{
    (void)unused;
    heap = mem_heap_in(memory, sizeof memory, NULL);
    return heap != NULL ? SQLITE_OK : SQLITE_NOMEM;
}

/* sqlite3_shutdown calls this at the end. Prints how many objects are left: none. */
static void stop(void *unused)
{
    struct mem_statistics s;
    (void)unused;
    if (mem_check(heap, NULL) == MEM_OK && mem_stats(heap, &s) == MEM_OK)
        printf("at the end: %zu object%s live, %zu bytes at the peak\n", s.live_objects,
               s.live_objects == 1 ? "" : "s", s.peak_bytes);
    mem_heap_destroy(heap);
}

/* Stores the first column of a row, which is a number, in *to. */
static int number(void *to, int ncolumns, char **value, char **name)
{
    (void)ncolumns, (void)name;
    return sscanf(value[0], "%ld", (long *)to) != 1;
}

/* Fills the database. Returns 0 if it was full, and if it then still had all its rows. */
static int use(sqlite3 *db)
{
    static const char row[] = "INSERT INTO t VALUES(NULL, hex(randomblob(200)))";
    long n = 0, count = -1;
    int status = sqlite3_exec(db, "CREATE TABLE t(id INTEGER PRIMARY KEY, s TEXT)", 0, 0, 0);
    while (status == SQLITE_OK && n < 1000000) {
        status = sqlite3_exec(db, row, NULL, NULL, NULL);
        n += status == SQLITE_OK;
    }
    printf("%ld rows, then: %s\n", n, sqlite3_errstr(status));
    sqlite3_exec(db, "SELECT count(*) FROM t", number, &count, NULL);
    printf("%ld rows are there\n", count);
    return status == SQLITE_NOMEM && n > 1000 && count == n ? 0 : 1;
}

int main(void)
{
    static sqlite3_mem_methods methods = {take, give, resize, size_of, round_up, start, stop, NULL};
    sqlite3 *db;
    if (sqlite3_config(SQLITE_CONFIG_MALLOC, &methods) != SQLITE_OK ||
        sqlite3_open(":memory:", &db) != SQLITE_OK)
        return 1;
    int status = use(db);
    if (sqlite3_close(db) != SQLITE_OK || sqlite3_shutdown() != SQLITE_OK)
        return 1;
    return status;
}
