/* SPDX-License-Identifier: MIT
 *
 * wordcount.c - shows what the placement styles do to the heap of a real program: it counts
 * the words and the pairs of words of text files, with all its memory from libmem.
 *
 *     make build/examples/wordcount
 *     LD_LIBRARY_PATH=build build/examples/wordcount /usr/share/common-licenses/GPL*
 *     LD_LIBRARY_PATH=build build/examples/wordcount --help
 *
 * The program has three kinds of objects:
 *
 *     the text    one object for a file, freed when the file is counted
 *     words       one object for each distinct word, kept until the end
 *     phrases     one object for each distinct pair of words. Those that were seen only once
 *                 are freed at the end of each file, and leave holes between the words.
 *
 * It counts with each placement style, and prints the state of each heap at the end: the
 * free chunks, the largest of them, and a map. A process has one classic heap, so a child
 * process counts for each style, and sends its figures to the parent through a pipe.
 *
 * Try smaller and smaller regions, such as --region=512K: one style runs out of memory long
 * before the others.
 *
 * A word is a sequence of letters, digits and apostrophes. Bytes from 0x80 on (UTF-8) count as
 * letters, and A to Z as a to z. The exit status is 1 if memory ran out or if a file cannot be
 * read, and 64 if an option is wrong.
 */
#include <argp.h>
#include <ctype.h>
#include <err.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "mem.h"

enum { NO_STYLE = FIRSTFIT + 1, NSTYLES };
enum { FEWEST_SLOTS = 64, MAP_COLUMNS = 64, GRANULE_BYTES = 16, MOST_TOP = 1000 };

static const char *const style_name[NSTYLES] = {
    [BESTFIT] = "best", [WORSTFIT] = "worst", [FIRSTFIT] = "first", [NO_STYLE] = "none"};

static struct options {
    int region_bytes, ntop;
    bool wants_dump;
    const char *style;
    char **files; /* their names, then NULL */
} options = {.region_bytes = 2 << 20, .ntop = 10, .style = "all"};

/* The state of a heap when everything was counted, or when memory ran out. */
struct figures {
    int style;
    bool has_finished, is_whole_again;
    size_t nfree, free_bytes, largest_free;
    size_t heap_bytes, live_bytes, peak_live;
    size_t highest; /* the highest end of an object so far, from the heap's start */
    uint64_t ncalls, ns;
    char map[MAP_COLUMNS];
};

/* ---- the heap: the only functions that allocate and free, and that measure it */

static char *heap_start;
static struct figures meter;
static int parent_fd; /* the end of the pipe to the parent */

static void start_heap(int style)
{
    if (Mem_Init(options.region_bytes) != 0 || m_free_list == NULL)
        err(1, "no region of %d bytes", options.region_bytes);
    heap_start = (char *)m_free_list; /* an empty heap is one free chunk */
    meter = (struct figures){.style = style, .heap_bytes = (size_t)m_free_list->size};
}

/* Returns the figures so far. Those of free memory come from the heap's free list, which
 * every free chunk is in. */
static struct figures measure(void)
{
    struct figures f = meter;
    size_t nfree_in[MAP_COLUMNS] = {0}; /* granules */
    size_t column = f.heap_bytes / GRANULE_BYTES / MAP_COLUMNS + 1;
    for (MemNodePtr chunk = m_free_list; chunk != NULL; chunk = chunk->next) {
        size_t size = (size_t)chunk->size, start = (size_t)((char *)chunk - heap_start);
        f.nfree++;
        f.free_bytes += size;
        f.largest_free = MAX(f.largest_free, size);
        for (size_t at = start; at < start + size; at += GRANULE_BYTES)
            nfree_in[at / GRANULE_BYTES / column]++;
    }
    for (int i = 0; i < MAP_COLUMNS; i++) /* with the characters that Mem_Dump uses */
        f.map[i] = nfree_in[i] == column ? '.' : nfree_in[i] > 0 ? '+' : '#';
    return f;
}

static void send_to_parent(struct figures f)
{
    if (write(parent_fd, &f, sizeof f) != (ssize_t)sizeof f) /* a pipe holds that much */
        err(1, "cannot send the figures");
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Allocates an object. Never returns NULL: without memory the child process sends its figures
 * and ends with a message. */
static void *take(size_t nbytes)
{
    int size = nbytes < INT_MAX ? (int)nbytes : INT_MAX; /* no region has room for INT_MAX */
    uint64_t start = now_ns();
    char *p = meter.style == NO_STYLE ? Mem_Alloc(size) : Mem_Alloc(size, meter.style);
    meter.ns += now_ns() - start;
    meter.ncalls++;
    if (p == NULL) {
        struct figures f = measure();
        send_to_parent(f);
        err(1, "style %s: %zu byte%s wanted, %zu free, but at most %zu in one chunk",
            style_name[f.style], nbytes, nbytes == 1 ? "" : "s", f.free_bytes, f.largest_free);
    }
    meter.live_bytes += nbytes;
    meter.peak_live = MAX(meter.peak_live, meter.live_bytes);
    meter.highest = MAX(meter.highest, (size_t)(p - heap_start) + nbytes);
    return p;
}

static void give_back(void *p)
{
    meter.live_bytes -= (size_t)Mem_GetSize(p);
    uint64_t start = now_ns();
    if (Mem_Free(p) != 0)
        err(1, "Mem_Free refuses an object, m_error is %d", m_error);
    meter.ns += now_ns() - start;
    meter.ncalls++;
}

/* ---- tables of terms: words or phrases */

struct term {
    uint32_t count, nbytes;
    char text[]; /* nbytes, then a 0 byte for printf */
};

struct table {
    struct term **slot; /* an empty slot is NULL */
    size_t nslots, nterms;
};

/* Returns the slot that has the term, or the empty slot where it belongs. */
static struct term **find(const struct table *t, const char *text, size_t nbytes)
{
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a: short, and good enough for words */
    for (size_t i = 0; i < nbytes; i++)
        h = (h ^ (unsigned char)text[i]) * 0x100000001b3u;
    for (;; h++) {
        struct term **slot = &t->slot[h % t->nslots], *term = *slot;
        if (term == NULL || (term->nbytes == nbytes && memcmp(term->text, text, nbytes) == 0))
            return slot;
    }
}

/* Frees the terms that were counted fewer than `fewest` times, and moves the others to a new
 * array of slots, which is at most half full. Both arrays are live meanwhile. */
static void rebuild(struct table *t, uint32_t fewest)
{
    struct table old = *t;
    t->nterms = 0;
    for (size_t i = 0; i < old.nslots; i++)
        t->nterms += old.slot[i] != NULL && old.slot[i]->count >= fewest;
    for (t->nslots = FEWEST_SLOTS; t->nslots < 2 * t->nterms;)
        t->nslots *= 2;
    t->slot = take(t->nslots * sizeof *t->slot);
    memset(t->slot, 0, t->nslots * sizeof *t->slot);
    for (size_t i = 0; i < old.nslots; i++) {
        struct term *term = old.slot[i];
        if (term != NULL && term->count >= fewest)
            *find(t, term->text, term->nbytes) = term;
        else if (term != NULL)
            give_back(term);
    }
    if (old.slot != NULL)
        give_back(old.slot);
}

static void free_table(struct table *t)
{
    rebuild(t, UINT32_MAX);
    give_back(t->slot);
}

static void count(struct table *t, const char *text, size_t nbytes)
{
    if (4 * t->nterms >= 3 * t->nslots)
        rebuild(t, 0);
    struct term **slot = find(t, text, nbytes);
    if (*slot == NULL) {
        struct term *term = take(sizeof *term + nbytes + 1);
        *term = (struct term){.nbytes = (uint32_t)nbytes};
        memcpy(term->text, text, nbytes);
        term->text[nbytes] = '\0';
        *slot = term;
        t->nterms++;
    }
    (*slot)->count++;
}

/* ---- counting */

struct counter {
    struct table words, phrases;
    size_t nwords;
};

/* Reads a file into one object, which has room for one byte more. */
static char *read_file(const char *name, size_t *nbytes)
{
    struct stat st;
    ssize_t n;
    int fd = open(name, O_RDONLY | O_NONBLOCK); /* opening a FIFO would wait for a writer */
    if (fd < 0 || fstat(fd, &st) != 0)
        err(1, "%s", name);
    if (!S_ISREG(st.st_mode)) /* the next style could not read it again */
        errx(1, "%s: not a regular file: each style reads it anew", name);
    size_t size = (size_t)st.st_size;
    char *text = take(size + 1);
    for (*nbytes = 0; (n = read(fd, text + *nbytes, size - *nbytes)) > 0;)
        *nbytes += (size_t)n;
    if (n < 0)
        err(1, "%s", name);
    close(fd);
    return text;
}

/* Turns "The GNU--FDL." into "the gnu fdl ", in place: words in lower case, each followed by
 * one space. Uses the byte behind the text, and returns the new end. */
static char *squeeze(char *text, size_t nbytes)
{
    char *out = text;
    text[nbytes] = ' ';
    for (size_t i = 0; i <= nbytes; i++) {
        int c = (unsigned char)text[i];
        if (isalnum(c) || c == '\'' || c >= 0x80)
            *out++ = (char)tolower(c);
        else if (out > text && out[-1] != ' ')
            *out++ = ' ';
    }
    return out;
}

static void count_file(struct counter *c, const char *name)
{
    size_t nbytes;
    char *text = read_file(name, &nbytes), *end = squeeze(text, nbytes), *space;
    const char *previous = NULL;
    for (const char *word = text; word < end; word = space + 1) {
        space = memchr(word, ' ', (size_t)(end - word));
        count(&c->words, word, (size_t)(space - word));
        if (previous != NULL) /* two words and the space between them are a phrase */
            count(&c->phrases, previous, (size_t)(space - previous));
        previous = word;
        c->nwords++;
    }
    give_back(text);
    rebuild(&c->phrases, 2);
}

/* Orders terms by their count, and terms of equal count by their text. */
static bool comes_before(const struct term *a, const struct term *b)
{
    return a->count != b->count ? a->count > b->count : strcmp(a->text, b->text) < 0;
}

/* Returns the term that comes next after `last` in that order, or the first term of all if
 * `last` is NULL. Returns NULL if there is none. */
static const struct term *next_top(const struct table *t, const struct term *last)
{
    const struct term *first = NULL;
    for (size_t i = 0; i < t->nslots; i++) {
        const struct term *term = t->slot[i];
        if (term != NULL && (last == NULL || comes_before(last, term)) &&
            (first == NULL || comes_before(term, first)))
            first = term;
    }
    return first;
}

static void print_top(const char *what, const struct table *t)
{
    const struct term *term = NULL;
    printf("\n   count  %s\n", what);
    for (int i = 0; i < options.ntop && (term = next_top(t, term)) != NULL; i++)
        printf("%8u  %s\n", term->count, term->text);
}

/* Counts all files with one style, in a child process. */
static _Noreturn void count_all(int style, bool wants_top)
{
    struct counter c = {0};
    start_heap(style);
    for (char **file = options.files; *file != NULL; file++)
        count_file(&c, *file);
    struct figures f = measure();
    if (wants_top) {
        printf("%zu words, %zu of them distinct\n", c.nwords, c.words.nterms);
        print_top("word", &c.words);
        print_top("phrase", &c.phrases);
    }
    if (options.wants_dump) {
        printf("\nstyle %s: ", style_name[style]);
        Mem_Dump();
    }
    free_table(&c.words);
    free_table(&c.phrases);
    f.is_whole_again = Mem_Check() == 0 && m_free_list != NULL && m_free_list->next == NULL &&
                       (size_t)m_free_list->size == f.heap_bytes;
    f.has_finished = true;
    send_to_parent(f);
    exit(0);
}

/* ---- the parent */

static struct figures run(int style, bool wants_top)
{
    struct figures f;
    int ends[2];
    fflush(stdout); /* otherwise the child would print what is buffered again */
    pid_t pid = pipe(ends) == 0 ? fork() : -1;
    if (pid < 0)
        err(1, "style %s: cannot start a child process", style_name[style]);
    if (pid == 0) {
        parent_fd = ends[1];
        count_all(style, wants_top);
    }
    close(ends[1]); /* so that the read ends when the child does */
    if (read(ends[0], &f, sizeof f) != (ssize_t)sizeof f)
        errx(1, "style %s: its child process has ended early", style_name[style]);
    close(ends[0]);
    waitpid(pid, NULL, 0); /* one child at a time, so that none slows another down */
    return f;
}

static void print_figures(const struct figures *f, int nstyles)
{
    printf("\nWhen everything was counted (or memory ran out), regions of %d bytes:\n\n"
           "         free     largest                  peak of  highest     ns per  when all\n"
           "style  chunks  free chunk  free bytes   live bytes  address  heap call  was freed\n",
           options.region_bytes);
    for (int i = 0; i < nstyles; i++)
        printf("%-5s  %6zu  %10zu  %10zu  %11zu  %6.1f%%  %9.0f  %s\n", style_name[f[i].style],
               f[i].nfree, f[i].largest_free, f[i].free_bytes, f[i].peak_live,
               100 * (double)f[i].highest / (double)f[i].heap_bytes,
               (double)f[i].ns / (double)f[i].ncalls, /* includes reading the clock */
               !f[i].has_finished    ? "OUT OF MEMORY"
               : f[i].is_whole_again ? "one free chunk again"
                                     : "NOT WHOLE AGAIN");
    printf("\nEach heap from its start to its end:  # nothing free  . free  + both\n");
    for (int i = 0; i < nstyles; i++)
        printf("%-5s  |%.*s|\n", style_name[f[i].style], MAP_COLUMNS, f[i].map);
}

static int parse_number(struct argp_state *state, const char *text, long long most)
{
    char *end;
    long long unit = 1, n = strtoll(text, &end, 10);
    if (end != text && (*end == 'K' || *end == 'M'))
        unit = *end++ == 'K' ? 1 << 10 : 1 << 20;
    if (end == text || *end != '\0' || n < 1 || n > most / unit)
        argp_error(state, "%s: give a number from 1 to %lld", text, most);
    return (int)(n * unit);
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    if (key == 'r')
        options.region_bytes = parse_number(state, arg, INT_MAX);
    else if (key == 's')
        options.style = arg;
    else if (key == 't')
        options.ntop = parse_number(state, arg, MOST_TOP);
    else if (key == 'd')
        options.wants_dump = true;
    else if (key == ARGP_KEY_NO_ARGS)
        argp_error(state, "no file to count: name at least one");
    else
        return ARGP_ERR_UNKNOWN;
    return 0;
}

static const struct argp_option argp_options[] = {
    {"region", 'r', "BYTES", 0, "The size of the heap's region, such as 512K (default: 2M)", 0},
    {"style", 's', "STYLE", 0, "Count with best, worst, first, none or all (default: all)", 0},
    {"top", 't', "N", 0, "Print the N most frequent words and phrases (default: 10)", 0},
    {"dump", 'd', NULL, 0, "Also print every free chunk, with Mem_Dump", 0},
    {0}};

static const struct argp argp = {
    .options = argp_options,
    .parser = parse_option,
    .args_doc = "FILE...",
    .doc = "Counts the words of FILEs in a libmem heap, and shows what each placement style does "
           "to the heap."};

int main(int argc, char **argv)
{
    struct figures f[NSTYLES];
    int first_file, nstyles = 0;
    bool has_top = false, is_good = true;
    argp_parse(&argp, argc, argv, 0, &first_file, NULL);
    options.files = argv + first_file;
    for (int style = 0; style < NSTYLES; style++) {
        if (strcmp(options.style, "all") != 0 && strcmp(options.style, style_name[style]) != 0)
            continue;
        f[nstyles] = run(style, !has_top);
        has_top = has_top || f[nstyles].has_finished;
        is_good = is_good && f[nstyles].is_whole_again;
        nstyles++;
    }
    if (nstyles == 0)
        errx(argp_err_exit_status, "--style=%s: give best, worst, first, none or all",
             options.style);
    print_figures(f, nstyles);
    return fflush(stdout) == 0 && is_good ? 0 : 1;
}
