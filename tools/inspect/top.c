/* SPDX-License-Identifier: MIT
 *
 * top.c - mem top: looks at a process again and again, and shows its heaps and what has changed.
 *
 *     look 1 ............ look n-1 --- look n
 *        |                    +-- rates --+
 *        +---------- growth --------------+
 */
#include <argp.h>
#include <err.h>
#include <inttypes.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "cells.h"
#include "census.h"
#include "screen.h"
#include "series.h"
#include "source.h"

enum { NCELLS = 4 * COLUMNS, BATCH_SIZES = 10 };
static const double shortest = 0.1, longest = 86400; /* seconds */

static struct options {
    const char *target;
    double delay;
    uint64_t most; /* looks; 0: without end */
    bool is_batch;
} options = {.delay = 2};

static const struct argp_option argp_options[] = {
    {"batch", 'b', NULL, 0, "Print each look as text, without a screen and without keys", 0},
    {"delay", 'd', "SECONDS", 0, "Look once each SECONDS, 0.1 to 86400 (2)", 0},
    {"iterations", 'n', "N", 0, "Leave after N looks", 0},
    {0}};

static double seconds(const char *text, struct argp_state *state)
{
    char *end;
    double n = strtod(text, &end);
    if (text[strspn(text, "0123456789.")] != '\0' || *end != '\0' ||
        !(n >= shortest && n <= longest))
        argp_error(state, "%s: give seconds, from 0.1 to 86400", text);
    return n;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    if (key == 'b')
        options.is_batch = true;
    else if (key == 'd')
        options.delay = seconds(arg, state);
    else if (key == 'n' && (options.most = argument_number(arg, state)) == 0)
        argp_error(state, "%s: give how many looks, from 1 on", arg);
    else if (key != 'n' && !argument_target(key, arg, state, &options.target))
        return ARGP_ERR_UNKNOWN;
    return 0;
}

#define KEYS_HELP                                                                                  \
    "  q        leave\n"                                                                           \
    "  space    pause, and go on\n"                                                                \
    "  +, -     double and halve the time between two looks\n"                                     \
    "  s        sort the sizes by bytes, by objects, by size\n"                                    \
    "  h, ?     this help, until the next key\n"

#define FIGURES_HELP                                                                               \
    "  size      bytes of address space that the heap has\n"                                       \
    "  in use    bytes that the program asked for\n"                                               \
    "  resident  bytes of the region that are in memory, or in swap\n"                             \
    "  came, went by size: the number of objects of each size is compared with\n"                  \
    "            that of the last look. Those of the sizes that have more objects\n"               \
    "            came, those of the others went. An object that was freed and\n"                   \
    "            replaced by one of its size is in neither\n"                                      \
    "  allocated, freed: all of them, as the heap counts them. Only a program\n"                   \
    "            that was started by `mem run --report' counts\n"                                  \
    "  stopped   how long the program stood still for this look, and which part\n"                 \
    "            of its time that was since the last one\n"

static const struct argp argp = {
    .options = argp_options,
    .parser = parse,
    .args_doc = "PID",
    .doc = "Looks at a running process again and again, and shows on the terminal: its heaps, a "
           "picture of the one that has most in use (as `mem map' draws it), what came and went "
           "since the last look, the largest sizes, and those that grew most since the first "
           "look. The process is stopped for as long as its heap's metadata are copied, once or a "
           "few times for each look, and never changed.\vKeys:\n" KEYS_HELP
           "The figures:\n" FIGURES_HELP
           "The exit status is 0; 1 if the program has ended or executes another one; or 2 if it "
           "cannot be looked at, or if something could not be told at the last look.\n"};

/* --- looks -------------------------------------------------------------------------------- */

/* What one look has found. */
struct finding {
    struct look look; /* open until the next one */
    struct census census;
    struct map *maps; /* of its heaps, */
    size_t nheaps;    /* and how many they are */
    struct extent *resident;
    size_t nresident;
    bool is_resident_known, is_whole;
    struct counters counters; /* of the heap that counts, if there is one */
    bool has_counters;
    double at, stopped, tool; /* the time; how long the process and a processor were kept busy */
};

/* What the sizes are sorted by. */
enum sorting { BY_BYTES, BY_OBJECTS, BY_LENGTH, NSORTINGS };
static const char *const sorting_names[NSORTINGS] = {"bytes", "objects", "size"};

static struct top {
    struct series series;
    struct finding *first, *before, *now; /* NULL: there is none yet; two may be one */
    uint64_t nlooks;
    struct changes growth, change; /* from first to now, as far as it grew; from before to now */
    enum sorting sorting;
    bool is_paused, has_help;
} top;

static double processor_seconds(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* Frees all that a finding has, except what a later one is compared with, if it was opened. */
static void finding_close(struct finding *m)
{
    for (size_t i = 0; i < m->nheaps; i++)
        free(m->maps[i].cells);
    free(m->maps);
    free(m->resident);
    if (m->look.t != NULL)
        look_close(&m->look);
    m->maps = NULL;
    m->resident = NULL;
    m->nheaps = 0;
    m->look.t = NULL;
}

static void finding_free(struct finding *m)
{
    if (m == NULL)
        return;
    finding_close(m);
    census_free(&m->census);
    free(m);
}

/* For qsort: the larger number comes first. */
static int more_first(uint64_t x, uint64_t y)
{
    return x > y ? -1 : x < y;
}

static uint64_t in_use(const struct map *map)
{
    return map->bytes[SMALL] + map->bytes[LARGE];
}

static int compare_maps(const void *a, const void *b)
{
    const struct map *p = a, *q = b;
    int more = more_first(in_use(p), in_use(q));
    return more != 0 ? more : more_first(q->view->base, p->view->base);
}

/* The heap that has most in use comes first. */
static void make_maps(struct finding *m)
{
    const struct heaps *hs = &m->look.heaps;
    m->maps = calloc(hs->n, sizeof *m->maps);
    if (m->maps == NULL)
        err(UNKNOWN, "no memory");
    m->nheaps = hs->n;
    if (m->is_resident_known && m->resident == NULL) /* known, and nothing is */
        m->resident = grown(NULL, 0, sizeof *m->resident);
    for (size_t i = 0; i < hs->n; i++)
        m->is_whole &= map_make(&m->maps[i], &hs->views[i], NCELLS,
                                m->is_resident_known ? m->resident : NULL, m->nresident);
    sort_array(m->maps, hs->n, sizeof *m->maps, compare_maps);
}

/* Looks at the process. Returns NULL after a message. */
static struct finding *finding_take(void)
{
    struct finding *m = grown(NULL, 0, sizeof *m);
    if (!look_open(&m->look, options.target)) {
        m->look.t = NULL;
        finding_free(m);
        return NULL;
    }
    look_go_on(&m->look);
    m->at = clock_seconds();
    m->stopped = target_seconds_stopped(m->look.t);
    m->is_whole = true;
    m->is_resident_known = heaps_resident(&m->look.heaps, m->look.t, &m->resident, &m->nresident);
    make_maps(m);
    m->is_whole &= census_take(&m->census, &m->look);
    for (size_t i = 0; i < m->nheaps && !m->has_counters; i++)
        if (m->look.heaps.views[i].has_counters) {
            m->has_counters = true;
            m->counters = m->look.heaps.views[i].counters;
        }
    m->tool = processor_seconds();
    return m;
}

/* The most comes first, of what is sorted by; and of two with equally many the larger size. */
static int compare_kinds(const void *a, const void *b)
{
    const struct kind *p = a, *q = b;
    int more = 0;
    if (top.sorting == BY_BYTES)
        more = more_first(p->bytes, q->bytes);
    else if (top.sorting == BY_OBJECTS)
        more = more_first(p->count, q->count);
    return more != 0 ? more : more_first(p->key, q->key);
}

static int compare_growth(const void *a, const void *b)
{
    const struct change *p = a, *q = b;
    int more = 0;
    if (top.sorting == BY_BYTES)
        more = more_first((uint64_t)change_bytes(p), (uint64_t)change_bytes(q));
    else if (top.sorting == BY_OBJECTS)
        more = more_first((uint64_t)change_objects(p), (uint64_t)change_objects(q));
    return more != 0 ? more : more_first(p->new.key, q->new.key);
}

static void sort(void)
{
    struct kinds *sizes = &top.now->census.sizes;
    if (sizes->n > 0)
        sort_array(sizes->list, sizes->n, sizeof *sizes->list, compare_kinds);
    if (top.growth.n > 0)
        sort_array(top.growth.list, top.growth.n, sizeof *top.growth.list, compare_growth);
}

/* Keeps, of the sizes that have changed since the first look, those that grew. */
static void compare_with_first(void)
{
    struct changes c = kinds_compare(&top.first->census.sizes, &top.now->census.sizes);
    size_t n = 0;
    for (size_t i = 0; i < c.n; i++)
        if (change_objects(&c.list[i]) > 0)
            c.list[n++] = c.list[i];
    free(top.growth.list);
    top.growth = (struct changes){c.list, n};
}

/* Takes the next look, and compares it. Returns false, after a message, if there is none: then
 * *status is the exit status. */
static bool look(int *status)
{
    *status = FOUND;
    if (!series_goes_on(&top.series))
        return false;
    series_look(&top.series);
    struct finding *m = finding_take();
    bool goes_on = series_goes_on(&top.series);
    if (m == NULL || !goes_on) {
        *status = goes_on ? UNKNOWN : FOUND;
        finding_free(m);
        return false;
    }
    if (top.before != top.first)
        finding_free(top.before);
    top.before = top.now;
    top.now = m;
    top.nlooks++;
    if (top.first == NULL)
        top.first = m;
    if (top.before != NULL) {
        finding_close(top.before);
        compare_with_first();
        free(top.change.list);
        top.change = kinds_compare(&top.before->census.sizes, &m->census.sizes);
    }
    sort();
    *status = m->is_whole && look_is_certain(&m->look) ? FINE : UNKNOWN;
    return true;
}

/* --- what is shown ------------------------------------------------------------------------ */

/* Writes a difference of bytes with its sign. Returns `text`. */
static char *signed_text(char text[BYTES_TEXT], int64_t nbytes)
{
    char number[BYTES_TEXT];
    bytes_text(number, (uint64_t)(nbytes < 0 ? -nbytes : nbytes));
    snprintf(text, BYTES_TEXT, "%s%.20s", nbytes < 0 ? "-" : nbytes > 0 ? "+" : "", number);
    return text;
}

/* Prints the name that the process has, without what a terminal would not print as it is. */
static void print_name(FILE *f, int pid)
{
    char path[64], name[64] = "";
    snprintf(path, sizeof path, "/proc/%d/comm", pid);
    FILE *comm = fopen(path, "re");
    if (comm != NULL) {
        if (fgets(name, sizeof name, comm) == NULL)
            name[0] = '\0';
        fclose(comm);
    }
    name[strcspn(name, "\n")] = '\0';
    for (char *c = name; *c != '\0'; c++)
        *c = *c >= ' ' && *c <= '~' ? *c : '?';
    fprintf(f, "%s", name);
}

static void print_head(FILE *f)
{
    const struct finding *m = top.now, *before = top.before;
    int pid = target_pid(m->look.t);
    fprintf(f, "process %d, ", pid);
    print_name(f, pid);
    fprintf(f, ": look %" PRIu64 ", one each %g s, sorted by %s%s\n", top.nlooks, top.series.every,
            sorting_names[top.sorting], top.is_paused ? " -- paused" : "");
    fprintf(f, "stopped for %.1f ms", m->stopped * 1000);
    if (m->look.heaps.ntries > 1)
        fprintf(f, " in %zu stops", m->look.heaps.ntries);
    if (before != NULL)
        fprintf(f, ", %.2f %% of its time; mem takes %.1f %% of a processor",
                100 * m->stopped / (m->at - before->at),
                100 * (m->tool - before->tool) / (m->at - before->at));
    fprintf(f, "\n");
    look_print_doubts(f, &m->look);
    if (!m->is_whole)
        fprintf(f, "a heap is damaged or cannot be read: this is what could be counted\n");
}

/* Returns how many bytes of a heap's region are in memory. */
static uint64_t resident_bytes(const struct finding *m, const struct view *v)
{
    uint64_t sum = 0, end = v->base + v->nbytes;
    for (size_t i = 0; i < m->nresident && m->resident[i].start < end; i++) {
        uint64_t from = m->resident[i].start > v->base ? m->resident[i].start : v->base;
        uint64_t until = m->resident[i].end < end ? m->resident[i].end : end;
        sum += until > from ? until - from : 0;
    }
    return sum;
}

/* Prints a line for each heap, `most` at most. */
static void print_heaps(FILE *f, size_t most)
{
    const struct finding *m = top.now;
    char size[BYTES_TEXT], used[BYTES_TEXT], resident[BYTES_TEXT];
    fprintf(f, "%-27s %12s %12s %12s %12s\n", "heap", "size", "in use", "objects", "resident");
    for (size_t i = 0; i < m->nheaps && i < most; i++) {
        const struct view *v = m->maps[i].view;
        fprintf(f, "%-27s %12s %12s %12" PRIu64 " %12s\n", view_name(v),
                bytes_text(size, v->nbytes), bytes_text(used, in_use(&m->maps[i])),
                m->maps[i].nobjects,
                m->is_resident_known ? bytes_text(resident, resident_bytes(m, v)) : "?");
    }
    if (m->nheaps > most)
        fprintf(f, "and %zu heaps more\n", m->nheaps - most);
}

static void print_map_title(FILE *f, const struct map *m)
{
    char a[BYTES_TEXT], b[BYTES_TEXT];
    fprintf(f, "%s: %s below the top; a cell is %s; fragmentation %.1f %%\n", view_name(m->view),
            bytes_text(a, m->top_bytes), bytes_text(b, m->cell_bytes), 100 * map_fragmentation(m));
}

/* Prints a number, and what that is in a second; bytes are less than 0 if they are not known. */
static void print_rate(FILE *f, const char *what, uint64_t nobjects, int64_t nbytes, double passed)
{
    char a[BYTES_TEXT] = "", b[BYTES_TEXT] = "";
    if (nbytes >= 0) {
        bytes_text(a, (uint64_t)nbytes);
        bytes_text(b, (uint64_t)((double)nbytes / passed));
    }
    fprintf(f, "%-27s %12" PRIu64 " %12s %12.1f %12s\n", what, nobjects, a,
            (double)nobjects / passed, b);
}

static void print_rates(FILE *f)
{
    const struct finding *m = top.now, *before = top.before;
    struct kind came = {0}, went = {0};
    if (before == NULL) {
        fprintf(f, "the first look: what comes and goes is seen from the next one on\n");
        return;
    }
    char title[32];
    double passed = m->at - before->at;
    for (size_t i = 0; i < top.change.n; i++) {
        int64_t n = change_objects(&top.change.list[i]);
        struct kind *sum = n > 0 ? &came : &went;
        sum->count += (uint64_t)llabs(n);
        sum->bytes += (uint64_t)llabs(change_bytes(&top.change.list[i]));
    }
    snprintf(title, sizeof title, "in %.2f s", passed);
    fprintf(f, "%-27s %12s %12s %12s %12s\n", title, "objects", "bytes", "objects/s", "bytes/s");
    print_rate(f, "came, by size", came.count, (int64_t)came.bytes, passed);
    print_rate(f, "went, by size", went.count, (int64_t)went.bytes, passed);
    if (!m->has_counters || !before->has_counters)
        return;
    const struct counters *c = &m->counters, *old = &before->counters;
    print_rate(f, "allocated, as counted", c->nallocated - old->nallocated,
               (int64_t)(c->allocated_bytes - old->allocated_bytes), passed);
    print_rate(f, "freed, as counted", c->nfreed - old->nfreed, -1, passed);
}

/* Prints a size that is among the largest. */
static void print_size(FILE *f, size_t i)
{
    const struct kinds *sizes = &top.now->census.sizes;
    char text[BYTES_TEXT];
    if (i < sizes->n)
        fprintf(f, "%11" PRIu64 " %10" PRIu64 " %10s  |", sizes->list[i].key, sizes->list[i].count,
                bytes_text(text, sizes->list[i].bytes));
    else
        fprintf(f, "%33s  |", "");
}

/* Prints a size that is among those that grew. */
static void print_growth(FILE *f, size_t i)
{
    char bytes[BYTES_TEXT], last[BYTES_TEXT];
    if (i >= top.growth.n)
        return;
    struct change g = top.growth.list[i], since = g;
    const struct kind *before = kinds_find(&top.before->census.sizes, g.new.key);
    since.old = before == NULL ? (struct kind){0} : *before;
    fprintf(f, "%11" PRIu64 " %+10" PRId64 " %10s %10s", g.new.key, change_objects(&g),
            signed_text(bytes, change_bytes(&g)), signed_text(last, change_bytes(&since)));
}

/* Prints the largest sizes, and beside them those that grew, `most` of each at most. */
static void print_sizes(FILE *f, size_t most)
{
    size_t nsizes = top.now->census.sizes.n;
    size_t n = nsizes > top.growth.n ? nsizes : top.growth.n;
    fprintf(f, "sizes by %-24s  |", sorting_names[top.sorting]);
    if (top.before != NULL)
        fprintf(f, " what grew since the first look, in %.1f s", top.now->at - top.first->at);
    fprintf(f, "\n%11s %10s %10s  |%11s %10s %10s %10s\n", "size", "objects", "bytes", "size",
            "objects", "bytes", "last look");
    for (size_t i = 0; i < n && i < most; i++) {
        print_size(f, i);
        print_growth(f, i);
        fprintf(f, "\n");
    }
}

/* --- without a screen ----------------------------------------------------------------------- */

static void print_cells(const struct map *m)
{
    for (size_t i = 0; i < m->ncells; i++)
        printf("%s%c%s", i % COLUMNS == 0 ? "  " : "", cell_letter(&m->cells[i]),
               (i + 1) % COLUMNS == 0 || i + 1 == m->ncells ? "\n" : "");
}

static void print_page(void)
{
    print_head(stdout);
    printf("\n");
    print_heaps(stdout, SIZE_MAX);
    printf("\n");
    print_map_title(stdout, top.now->maps);
    print_cells(top.now->maps);
    printf("\n");
    print_rates(stdout);
    printf("\n");
    print_sizes(stdout, BATCH_SIZES);
    printf("\n");
    fflush(stdout);
}

static bool was_last_look(void)
{
    return options.most > 0 && top.nlooks == options.most;
}

static int run_batch(void)
{
    int status;
    do {
        series_await(&top.series);
        if (!look(&status))
            break;
        print_page();
    } while (!was_last_look() && !ferror(stdout)); /* mem reports that when it ends */
    return status;
}

/* --- on a screen ---------------------------------------------------------------------------- */

/* Puts on the screen what a function prints. */
static void put(void print(FILE *f))
{
    char *text = NULL;
    size_t nbytes;
    FILE *f = open_memstream(&text, &nbytes);
    if (f == NULL)
        err(UNKNOWN, "no memory");
    print(f);
    fclose(f);
    screen_text(text);
    free(text);
}

static void print_some_heaps(FILE *f)
{
    enum { SOME = 5 };
    fprintf(f, "\n");
    print_heaps(f, SOME);
}

static void print_title_of_drawn(FILE *f)
{
    fprintf(f, "\n");
    print_map_title(f, top.now->maps);
}

static void print_rates_below(FILE *f)
{
    fprintf(f, "\n");
    print_rates(f);
}

static void print_sizes_below(FILE *f)
{
    size_t nrows = screen_rows_left();
    fprintf(f, "\n");
    print_sizes(f, nrows > 3 ? nrows - 3 : 0);
}

/* A low window has no picture, so that there is room for figures. */
static void draw(void)
{
    enum { PICTURE_ROWS = 16 };
    screen_clear();
    if (top.has_help) {
        screen_text("mem top\n\n" KEYS_HELP "\n" FIGURES_HELP);
        return;
    }
    put(print_head);
    put(print_some_heaps);
    if (screen_rows_left() >= PICTURE_ROWS) {
        put(print_title_of_drawn);
        screen_cells(top.now->maps);
    }
    put(print_rates_below);
    put(print_sizes_below);
}

static void change_pace(double factor)
{
    double every = top.series.every * factor;
    series_set_pace(&top.series, every < shortest ? shortest : every > longest ? longest : every);
}

/* Does what a key says. Returns false if the user leaves. */
static bool take_key(int key)
{
    bool had_help = top.has_help;
    top.has_help = false;
    if (key == ' ')
        top.is_paused = !top.is_paused;
    else if (key == '+')
        change_pace(2);
    else if (key == '-')
        change_pace(0.5);
    else if (key == 's') {
        top.sorting = (top.sorting + 1) % NSORTINGS;
        sort();
    } else if (key == 'h' || key == '?')
        top.has_help = !had_help;
    return key != 'q' && key != 'Q';
}

static int run_screen(void)
{
    int status, event = SCREEN_TIME;
    if (!look(&status)) /* its messages appear on the terminal as it is */
        return status;
    if (!screen_begin())
        return UNKNOWN;
    while (!was_last_look()) {
        draw();
        event = screen_wait(top.is_paused ? -1 : series_seconds_left(&top.series));
        if (event == SCREEN_TIME && !look(&status))
            break;
        if (event == SCREEN_GONE || (event >= 0 && !take_key(event)))
            break;
    }
    screen_end();
    return event == SCREEN_GONE ? UNKNOWN : status;
}

int command_top(int argc, char **argv)
{
    setlocale(LC_CTYPE, "");
    argp_parse(&argp, argc, argv, 0, NULL, NULL);
    if (!options.is_batch && !has_screen()) {
        warnx("this mem was built without ncurses, so that it has no screen: use --batch");
        return UNKNOWN;
    }
    if (!series_begin(&top.series, options.target, options.delay))
        return UNKNOWN;
    int status = options.is_batch ? run_batch() : run_screen();
    if (top.before != top.first)
        finding_free(top.before);
    if (top.first != top.now)
        finding_free(top.first);
    finding_free(top.now);
    free(top.growth.list);
    free(top.change.list);
    series_end(&top.series);
    return status;
}
