/* SPDX-License-Identifier: MIT
 *
 * options.c - checks how LIBMEM is read (malloc/options.h): each option, the ends of each range,
 * and what is said on standard error of an option that is wrong.
 */
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "malloc/options.h"

static struct options o;
static char said[4096];

/* Reads the variable as a program's environment has it, and what is written to standard error. */
static void read_environment(char *const *environment)
{
    int log = memfd_create("log", 0), was = dup(STDERR_FILENO);
    assert_true(log >= 0 && was >= 0);
    dup2(log, STDERR_FILENO);
    o = (struct options){0};
    options_read(&o, environment);
    dup2(was, STDERR_FILENO);
    close(was);
    ssize_t n = pread(log, said, sizeof said - 1, 0);
    close(log);
    assert_true(n >= 0);
    said[n] = '\0';
}

static void read_text(const char *text)
{
    char variable[512];
    snprintf(variable, sizeof variable, "LIBMEM=%s", text);
    read_environment((char *[]){(char *)"PATH=/bin", variable, (char *)"LIBMEM=region=1G", NULL});
}

/* Expects no word on standard error. */
static void read_good(const char *text)
{
    read_text(text);
    assert_string_equal(said, "");
}

/* Expects that the option is named in quotes, and changes nothing. */
static void read_bad(const char *text, const char *expected)
{
    static const struct options none;
    char start[256];
    read_text(text);
    snprintf(start, sizeof start, "libmem: LIBMEM: \"%s\" ignored: %s", text, expected);
    assert_memory_equal(said, start, strlen(start));
    assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1);
    assert_memory_equal(&o, &none, sizeof o);
}

static void test_no_variable(void **state)
{
    (void)state;
    static const struct options none;
    read_environment(NULL);
    assert_memory_equal(&o, &none, sizeof o);
    read_environment((char *[]){(char *)"LIBMEMO=region=1M", (char *)"XLIBMEM=region=1M", NULL});
    assert_memory_equal(&o, &none, sizeof o);
    read_good("");
    assert_memory_equal(&o, &none, sizeof o);
    read_good(",,");
    assert_memory_equal(&o, &none, sizeof o);
}

static void test_reactions(void **state)
{
    (void)state;
    read_good("onerror=report");
    assert_int_equal(o.onerror, ONERROR_REPORT);
    assert_false(o.sizes_is_set);
    read_good("onerror=ignore,sizes=report");
    assert_int_equal(o.onerror, ONERROR_IGNORE);
    assert_int_equal(o.sizes, ONERROR_REPORT);
    assert_true(o.sizes_is_set);
    read_good("onerror=ignore,onerror=abort,sizes=abort"); /* the last one counts */
    assert_int_equal(o.onerror, ONERROR_ABORT);
    assert_true(o.sizes_is_set);
    read_bad("onerror=", "give onerror=abort");
    read_bad("onerror", "give onerror=abort");
    read_bad("onerror=aborts", "give onerror=abort");
    read_bad("sizes=repor", "give sizes=abort");
}

static void test_regions(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t nbytes;
    } good[] = {{"region=65536", 65536},
                {"region=64K", 65536},
                {"region=64k", 65536},
                {"region=1M", 1 << 20},
                {"region=3m", 3 << 20},
                {"region=64G", (size_t)64 << 30},
                {"region=64g", (size_t)64 << 30},
                {"region=68719476736", (size_t)64 << 30},
                {"region=65537", 65537}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        read_good(good[i].text);
        assert_int_equal(o.region_bytes, good[i].nbytes);
    }
    static const char *const bad[] = {"region=65535",
                                      "region=63K",
                                      "region=65G",
                                      "region=68719476737",
                                      "region=",
                                      "region",
                                      "region=K",
                                      "region=1KK",
                                      "region=1T",
                                      "region=-1",
                                      "region=1 M",
                                      "region=0x10000",
                                      "region=1M1",
                                      "region=0",
                                      "region=99999999999",
                                      "region=18446744073709617152", /* 2^64 + 64 KiB */
                                      "region=18014398509481985K" /* 2^64 + 1 KiB */};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        read_bad(bad[i], "give a size from 64K to 64G");
    read_good("onerror=report,region=1M,");
    assert_int_equal(o.region_bytes, 1 << 20);
    assert_int_equal(o.onerror, ONERROR_REPORT);
}

static void test_histories(void **state)
{
    (void)state;
    read_good("history");
    assert_int_equal(o.nevents, 1 << 20);
    assert_false(o.by_frame_pointers);
    read_good("history=1K");
    assert_int_equal(o.nevents, 1024);
    read_good("history=1025");
    assert_int_equal(o.nevents, 2048);
    read_good("history=64M,stack=fp");
    assert_int_equal(o.nevents, 64 << 20);
    assert_true(o.by_frame_pointers);
    read_bad("history=", "give a number of events from 1K to 64M");
    read_bad("history=1023", "give a number of events from 1K to 64M");
    read_bad("history=65M", "give a number of events from 1K to 64M");
    read_bad("stack=sp", "give stack=fp");
    read_bad("stack", "give stack=fp");
}

static void test_measures(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned measures;
        size_t nbytes;
    } good[] = {{"zero", MEASURE_ZERO, 0},
                {"canary", MEASURE_CANARY, 0},
                {"mismatch", MEASURE_MISMATCH | MEASURE_CANARY, 0},
                {"guard,random", MEASURE_GUARD | MEASURE_RANDOM, 0},
                {"quarantine", MEASURE_QUARANTINE, 1 << 20},
                {"quarantine=4K", MEASURE_QUARANTINE, 4096},
                {"quarantine=16g,quarantine", MEASURE_QUARANTINE, (size_t)16 << 30},
                {"hard", MEASURES_ALL, 1 << 20},
                {"hard,quarantine=64K", MEASURES_ALL, 64 << 10},
                {"quarantine=64K,hard", MEASURES_ALL, 64 << 10}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        read_good(good[i].text);
        assert_int_equal(o.measures, good[i].measures);
        assert_int_equal(o.quarantine_bytes, good[i].nbytes);
    }
    read_bad("quarantine=", "give a size from 4K to 16G");
    read_bad("quarantine=4095", "give a size from 4K to 16G");
    read_bad("quarantine=17G", "give a size from 4K to 16G");
    read_bad("hard=1", "no such option");
    read_bad("zeros", "no such option");
    read_bad("guard=", "no such option");
}

static void test_failures(void **state)
{
    (void)state;
    read_good("fail=7");
    assert_int_equal(o.fail_at, 7);
    assert_false(o.fail_lasts);
    read_good("fail=1+");
    assert_int_equal(o.fail_at, 1);
    assert_true(o.fail_lasts);
    static const char *const bad[] = {"fail=0", "fail=", "fail=+", "fail=x", "fail=1++", "fail=-1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        read_bad(bad[i], "give the number of an allocation");
}

static void test_count_files(void **state)
{
    (void)state;
    char text[128] = "count=";
    read_good("count=/tmp/a");
    assert_string_equal(o.count, "/tmp/a");
    memset(text + 6, 'a', 63);
    read_good(text);
    assert_int_equal(strlen(o.count), 63);
    strcat(text, "a");
    read_bad(text, "give the name of a file, of fewer than 64 characters");
    read_bad("count=", "give the name of a file");
}

/* An option that does not exist is named, up to 80 characters; those behind it are read. */
static void test_no_such_option(void **state)
{
    (void)state;
    char text[256];
    read_bad("onerr=report", "no such option; LIBMEM=help lists the options");
    read_bad("histor", "no such option");
    read_bad("helper", "no such option");
    read_text("nonsense,region=1M");
    assert_non_null(strstr(said, "\"nonsense\" ignored"));
    assert_int_equal(o.region_bytes, 1 << 20);
    memset(text, 'x', 90);
    text[90] = '\0';
    read_text(text);
    text[80] = '\0';
    strcat(text, "\" ignored");
    assert_non_null(strstr(said, text));
}

/* The help has a line for each option. */
static void test_help(void **state)
{
    (void)state;
    static const char *const options[] = {"onerror=abort",   "onerror=report",  "onerror=ignore",
                                          "sizes=abort",     "region=SIZE",     "history=N",
                                          "stack=fp",        "count=FILE",      "help",
                                          "  hard ",         "    zero ",       "    canary ",
                                          "    mismatch ",   "    guard ",      "    random ",
                                          "    quarantine ", "quarantine=BYTES"};
    read_text("help");
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        assert_non_null(strstr(said, options[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_variable), cmocka_unit_test(test_reactions),
        cmocka_unit_test(test_regions),     cmocka_unit_test(test_histories),
        cmocka_unit_test(test_measures),    cmocka_unit_test(test_count_files),
        cmocka_unit_test(test_failures),    cmocka_unit_test(test_no_such_option),
        cmocka_unit_test(test_help),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
