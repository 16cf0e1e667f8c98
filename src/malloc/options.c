/* SPDX-License-Identifier: MIT
 *
 * options.c - reads the environment variable LIBMEM (options.h) without allocating, since it
 * runs before the heap exists.
 */
#include "malloc/options.h"

#include "base/region.h"
#include "malloc/history.h"
#include "malloc/number.h"
#include "malloc/report.h"

#define REGION_BYTES_MIN     ((size_t)64 << 10)
#define QUARANTINE_BYTES     ((size_t)1 << 20)
#define QUARANTINE_BYTES_MIN ((size_t)4 << 10)
#define QUARANTINE_BYTES_MAX ((size_t)16 << 30)

/* A piece of the variable. The text belongs to the environment and is not modified, so a piece is
 * a pointer and a length. */
struct word {
    const char *text;
    size_t n;
};

static bool word_is(struct word w, const char *text)
{
    return w.n == strlen(text) && memcmp(w.text, text, w.n) == 0;
}

/* Returns the part of w before the first `end`, or all of w; *rest becomes what follows it. */
static struct word word_until(struct word w, char end, struct word *rest)
{
    const char *found = w.n == 0 ? NULL : memchr(w.text, end, w.n);
    size_t n = found == NULL ? w.n : (size_t)(found - w.text);
    size_t skipped = n + (found != NULL);
    assert(skipped <= w.n);
    *rest = (struct word){w.text + skipped, w.n - skipped};
    return (struct word){w.text, n};
}

/* Says on standard error that an option is ignored, and why. */
static void complain(struct word option, const char *what)
{
    struct line l = {0};
    line_text(&l, "libmem: LIBMEM: \"");
    line_bytes(&l, option.text, option.n < 80 ? option.n : 80);
    line_text(&l, "\" ignored: ");
    line_text(&l, what);
    line_write(&l);
}

static void help(void)
{
    static const char *const lines[] = {
        "libmem: LIBMEM=option,option...",
        "  onerror=abort   report a bad pointer in one line, then abort (the default)",
        "  onerror=report  report it and go on; the call does nothing",
        "  onerror=ignore  go on without a report; the call does nothing",
        "  sizes=abort     likewise where free_sized or delete is given a wrong size: abort,",
        "                  report or ignore; then the object is freed (default: like onerror)",
        "  region=SIZE     reserve SIZE bytes of address space: 64K to 64G; k, m, g too",
        "  history         keep the last million events with their stacks, and print those of a",
        "                  bad pointer; history=N keeps N events, from 1K to 64M",
        "  stack=fp        take the stacks of the history by frame pointers alone",
        "  stacks=PIPE:N   write these stacks to PIPE; `mem run --history' makes and names it",
        "  hard            all of these measures against mistakes of the program, or one by name:",
        "    zero          clear freed memory",
        "    canary        look at secret bytes behind each object when it is freed or resized",
        "    mismatch      free only what the same family has allocated: malloc, new, new[]",
        "    quarantine    hold freed objects back, and see whether they are written to; 1 MiB of",
        "                  them; quarantine=BYTES holds 4K to 16G",
        "    guard         close pages behind large objects and spans, and under malloc(0)",
        "    random        choose slots at random",
        "    copy          see whether memcpy, memset, strcpy and their like stay in an object",
        "  fail=N          let the Nth allocation of each process fail; fail=N+ all from there on;",
        "                  `mem fail' tries one N after another",
        "  count=FILE      count calls in FILE; `mem run --report' makes and names it",
        "  help            print this list"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct line l = {0};
        line_text(&l, lines[i]);
        line_write(&l);
    }
}

static size_t read_number(struct word w, size_t least, size_t most)
{
    return number_read(w.text, w.n, least, most);
}

/* Returns whether `value` says what to do, and stores that. */
static bool read_reaction(enum onerror *reaction, struct word value)
{
    static const char *const names[] = {
        [ONERROR_ABORT] = "abort", [ONERROR_REPORT] = "report", [ONERROR_IGNORE] = "ignore"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!word_is(value, names[i]))
            continue;
        *reaction = (enum onerror)i;
        return true;
    }
    return false;
}

static void read_onerror(struct options *o, struct word option, struct word value)
{
    if (!read_reaction(&o->onerror, value))
        complain(option, "give onerror=abort, onerror=report or onerror=ignore");
}

static void read_sizes(struct options *o, struct word option, struct word value)
{
    if (read_reaction(&o->sizes, value))
        o->sizes_is_set = true;
    else
        complain(option, "give sizes=abort, sizes=report or sizes=ignore");
}

static void read_region(struct options *o, struct word option, struct word value)
{
    size_t nbytes = read_number(value, REGION_BYTES_MIN, REGION_BYTES_MAX);
    if (nbytes != 0)
        o->region_bytes = nbytes;
    else
        complain(option, "give a size from 64K to 64G, such as region=512M");
}

/* The ring holds a power of two: the next that is not below what is asked for. */
static void read_history(struct options *o, struct word option, struct word value)
{
    bool has_number = !word_is(option, "history");
    size_t wanted = has_number ? read_number(value, HISTORY_MIN, HISTORY_MAX) : HISTORY_DEFAULT;
    size_t nevents = HISTORY_MIN;
    while (nevents < wanted)
        nevents *= 2;
    if (wanted != 0)
        o->nevents = nevents;
    else
        complain(option, "give a number of events from 1K to 64M, such as history=4M");
}

static void read_stack(struct options *o, struct word option, struct word value)
{
    if (word_is(value, "fp"))
        o->by_frame_pointers = true;
    else
        complain(option, "give stack=fp, or leave it out");
}

static void read_quarantine(struct options *o, struct word option, struct word value)
{
    size_t nbytes = o->quarantine_bytes;
    if (!word_is(option, "quarantine"))
        nbytes = read_number(value, QUARANTINE_BYTES_MIN, QUARANTINE_BYTES_MAX);
    else if (nbytes == 0)
        nbytes = QUARANTINE_BYTES;
    if (nbytes == 0) {
        complain(option, "give a size from 4K to 16G, such as quarantine=16M");
        return;
    }
    o->quarantine_bytes = nbytes;
    o->measures |= MEASURE_QUARANTINE;
}

/* Returns whether the option is the name of a measure, and stores that. `hard` is all of them, with
 * a quarantine of the usual size unless another was said. */
static bool read_measure(struct options *o, struct word option)
{
    static const struct {
        const char *name;
        unsigned measures;
    } names[] = {{"hard", MEASURES_ALL},     {"zero", MEASURE_ZERO},
                 {"canary", MEASURE_CANARY}, {"mismatch", MEASURE_MISMATCH | MEASURE_CANARY},
                 {"guard", MEASURE_GUARD},   {"random", MEASURE_RANDOM},
                 {"copy", MEASURE_COPY}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!word_is(option, names[i].name))
            continue;
        o->measures |= names[i].measures;
        if (names[i].measures == MEASURES_ALL && o->quarantine_bytes == 0)
            o->quarantine_bytes = QUARANTINE_BYTES;
        return true;
    }
    return false;
}

/* A number, with a + behind it if all later allocations fail, too. */
static void read_fail(struct options *o, struct word option, struct word value)
{
    bool lasts = value.n > 0 && value.text[value.n - 1] == '+';
    value.n -= lasts;
    size_t number = read_number(value, 1, SIZE_MAX / 16);
    if (number == 0) {
        complain(option, "give the number of an allocation, such as fail=100, or fail=100+");
        return;
    }
    o->fail_at = number;
    o->fail_lasts = lasts;
}

static void read_path(char path[PATH_BYTES], struct word option, struct word value)
{
    if (value.n == 0 || value.n >= PATH_BYTES) {
        complain(option, "give the name of a file, of fewer than 64 characters");
        return;
    }
    memcpy(path, value.text, value.n);
    path[value.n] = '\0';
}

/* PATH:INODE */
static void read_stacks(struct options *o, struct word option, struct word value)
{
    struct word inode, path = word_until(value, ':', &inode);
    o->stacks_inode = read_number(inode, 1, SIZE_MAX / 16);
    if (o->stacks_inode != 0)
        read_path(o->stacks, option, path);
    else
        complain(option, "`mem run --history' makes this option");
}

static void read_option(struct options *o, struct word option)
{
    struct word value, key = word_until(option, '=', &value);
    if (option.n == 0 || read_measure(o, option))
        return;
    if (word_is(key, "onerror"))
        read_onerror(o, option, value);
    else if (word_is(key, "sizes"))
        read_sizes(o, option, value);
    else if (word_is(key, "region"))
        read_region(o, option, value);
    else if (word_is(key, "history"))
        read_history(o, option, value);
    else if (word_is(key, "stack"))
        read_stack(o, option, value);
    else if (word_is(key, "quarantine"))
        read_quarantine(o, option, value);
    else if (word_is(key, "fail"))
        read_fail(o, option, value);
    else if (word_is(key, "count"))
        read_path(o->count, option, value);
    else if (word_is(key, "stacks"))
        read_stacks(o, option, value);
    else if (word_is(option, "help"))
        help();
    else
        complain(option, "no such option; LIBMEM=help lists the options");
}

void options_read(struct options *o, char *const *environment)
{
    /* It is on the stack, not among the library's constants: no page of theirs is touched where the
     * environment has no LIBMEM. */
    const char name[] = "LIBMEM=";
    if (environment == NULL)
        return;
    for (; *environment != NULL; environment++) {
        if (strncmp(*environment, name, sizeof name - 1) != 0)
            continue;
        const char *text = *environment + sizeof name - 1;
        struct word all = {text, strlen(text)};
        while (all.n > 0)
            read_option(o, word_until(all, ',', &all));
        return;
    }
}
