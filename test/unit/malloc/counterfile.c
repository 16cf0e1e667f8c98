/* SPDX-License-Identifier: MIT
 *
 * counterfile.c - checks which files are taken for counter files, and what is written into a row
 * (malloc/counterfile.h).
 */
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "malloc/counterfile.h"

enum { NROWS = 3 };

static char path[] = "/tmp/counterfile-XXXXXX";
static int file;

/* Makes the file as `mem run --report` does. */
static int make_file(void **state)
{
    struct counterfile head = {.title = COUNTERFILE_TITLE, .row_bytes = sizeof(struct row)};
    (void)state;
    head.nrows = NROWS;
    strcpy(path + sizeof path - 7, "XXXXXX");
    file = mkstemp(path);
    return file < 0 || pwrite(file, &head, sizeof head, 0) != sizeof head ||
           ftruncate(file, (off_t)counterfile_bytes(NROWS)) != 0;
}

static int remove_file(void **state)
{
    (void)state;
    close(file);
    return unlink(path);
}

static void put(size_t at, const void *bytes, size_t n)
{
    assert_int_equal(pwrite(file, bytes, n, (off_t)at), n);
}

static void assert_refused(void)
{
    errno = 0;
    assert_null(counterfile_open(path));
    assert_int_equal(errno, EINVAL);
}

static void test_what_is_a_counter_file(void **state)
{
    (void)state;
    const uint32_t wrong = sizeof(struct row) + 64, more = NROWS + 1, all = NROWS;
    const uint32_t row_bytes = sizeof(struct row);
    assert_non_null(counterfile_open(path));
    put(0, "libmem counts!", 15);
    assert_refused();
    put(0, COUNTERFILE_TITLE, sizeof COUNTERFILE_TITLE);
    put(offsetof(struct counterfile, row_bytes), &wrong, sizeof wrong);
    assert_refused();
    put(offsetof(struct counterfile, row_bytes), &row_bytes, sizeof row_bytes);
    put(offsetof(struct counterfile, nrows), &more, sizeof more);
    assert_refused(); /* it is too short for them */
    put(offsetof(struct counterfile, nrows), &all, sizeof all);
    assert_non_null(counterfile_open(path));
    assert_int_equal(unlink(path), 0);
    errno = 0;
    assert_null(counterfile_open(path));
    assert_int_equal(errno, ENOENT);
    assert_int_equal(make_file(NULL), 0);
}

/* There are as many rows as the file says, and each is handed out once. */
static void test_rows(void **state)
{
    (void)state;
    struct counterfile *s = counterfile_open(path);
    assert_non_null(s);
    for (uint32_t i = 0; i < NROWS; i++)
        assert_ptr_equal(counterfile_row(s), &s->row[i]);
    assert_null(counterfile_row(s));
    assert_null(counterfile_row(s));
    assert_int_equal(s->nwanted, NROWS + 2);
    row_begin(&s->row[0]);
    assert_int_equal(s->row[0].pid, getpid());
    assert_int_equal(s->row[0].parent, getppid());
    s->row[0].counters.nlive = 5;
    strcpy(s->row[0].command, "program");
    row_fork(&s->row[1], &s->row[0]);
    assert_true(s->row[1].is_forked);
    assert_string_equal(s->row[1].command, "program");
    assert_int_equal(s->row[1].counters.nlive, 5);
}

static void assert_name(const char *expected, int argc, char *const *argv)
{
    static struct row r;
    memset(&r, 'x', sizeof r);
    row_name(&r, argc, argv);
    assert_string_equal(r.command, expected);
    assert_int_equal((unsigned char)((char *)&r)[offsetof(struct row, command) + ROW_COMMAND_MAX],
                     'x'); /* what comes next is as it was */
}

/* The name is without its folder, and all is cut to the room that there is. */
static void test_names(void **state)
{
    static char name[] = "/usr/bin/program", word[] = "a/b", empty[] = "";
    static char longer[2 * ROW_COMMAND_MAX], cut[ROW_COMMAND_MAX];
    char *argv[] = {name, word, longer, word, NULL};
    (void)state;
    assert_name("", 0, argv);
    assert_name("program", 1, argv);
    assert_name("program a/b", 2, argv);
    for (size_t n = ROW_COMMAND_MAX - 20; n < ROW_COMMAND_MAX + 20; n++) {
        memset(longer, 'l', n);
        longer[n] = '\0';
        char whole[4 * ROW_COMMAND_MAX] = "program a/b ";
        strcat(strcat(whole, longer), " a/b");
        memcpy(cut, whole, ROW_COMMAND_MAX - 1);
        assert_name(strlen(whole) < ROW_COMMAND_MAX ? whole : cut, 4, argv);
    }
    argv[0] = empty;
    assert_name(" a/b", 2, argv);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_file, remove_file)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_is_a_counter_file),
        TEST(test_rows),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
