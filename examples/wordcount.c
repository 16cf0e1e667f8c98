/* SPDX-License-Identifier: MIT
 *
 * wordcount.c - counts the words of text files, with all its memory from libmem.
 *
 *     ./wordcount [--region=BYTES] [--style=STYLE] [--top=N] [--dump] FILE...
 *
 * One sees the most frequent words and phrases (pairs of words), then what each
 * placement style made of the region meanwhile, and a map of its free memory.
 *
 *   file -> read buffer -> lines, held until their paragraph ends
 *                            -> words    one object a distinct word, kept
 *                            -> phrases  one a distinct pair; what was seen only
 *                                        once is forgotten at the end of a file
 *
 * Both are counted in hash tables that grow and shrink. A process has one heap,
 * so each style counts in a child of its own, which sends its figures through a
 * pipe. Words are sequences of letters, digits and apostrophes; bytes from 0x80
 * (UTF-8) count as letters; A to Z count as a to z. Ends with status 1 if memory
 * runs out or a file cannot be read, 64 if an option is wrong.
 *
 * Worth a try: the same files with less and less --region. One style runs out
 * of memory long before the others.
 */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "mem.h"

enum {
    READ_BYTES = 16384,
    PARAGRAPH_LINES = 64, /* a text without blank lines is cut here */
    FEWEST_BUCKETS = 64,
    RARE = 2, /* phrases seen less often are forgotten at the end of a file */
    MAP_COLUMNS = 64,
    MAP_ROWS = 4,
    MAP_CELLS = MAP_COLUMNS * MAP_ROWS,
    NSTYLES = 4,
    MOST_TOP = 1000,
    GRANULE_BYTES = 16 /* every object of libmem begins at a multiple of this */
};

static const struct style {
    const char *name;
    int code;
} styles[NSTYLES] = {{"best", BESTFIT},
                     {"worst", WORSTFIT},
                     {"first", FIRSTFIT},
                     {"none", MEM_NO_STYLE}};

/* What a child tells its parent, in one write: it fits in a pipe. */
struct figures {
    bool has_finished; /* else memory ran out, and the rest tells how things stood then */
    bool is_whole_again;
    uint32_t nfree;        /* free chunks */
    uint64_t largest_free; /* in bytes, as are the next four */
    uint64_t total_free;
    uint64_t peak_live;
    uint64_t highest; /* the end of the highest object there ever was, from the region's start */
    uint64_t region_bytes;
    double ns_per_call;
    uint64_t nwords, ndistinct;
    uint64_t digest; /* of all words and their counts: equal for all styles */
    char map[MAP_CELLS];
};

static struct options {
    int region_bytes;
    int ntop;
    const struct style *only; /* NULL: all */
    bool wants_dump;
    char **files;
    int nfiles;
} options = {.region_bytes = 2 << 20, .ntop = 10};

/* Thousands apart: 1,234,567. Returned by value, so that a printf may have many. */
struct digits {
    char text[32];
};

static struct digits grouped(uint64_t n)
{
    struct digits d;
    char *p = d.text + sizeof d.text;

    *--p = '\0';
    for (int i = 0; i == 0 || n > 0; i++, n /= 10) {
        if (i > 0 && i % 3 == 0)
            *--p = ',';
        *--p = (char)('0' + n % 10);
    }
    memmove(d.text, p, (size_t)(d.text + sizeof d.text - p));
    return d;
}

/* ------------------------------------------------------------------ the heap
 * All memory is taken and given back through the two calls of this part, which
 * measure it. There is one heap in a process, and so one meter. */

static struct meter {
    const struct style *style;
    const char *file; /* the one being counted, for messages */
    int pipe_fd;
    char *base;
    size_t region_bytes, bytes_at_start;
    size_t live, peak, highest;
    uint64_t ncalls, ns;
} meter;

static _Noreturn void out_of_memory(size_t nbytes);

static _Noreturn void die(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fputs("wordcount: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    _exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Never returns NULL: a counter that is out of memory can only say so and end. */
static void *take(size_t nbytes)
{
    if (nbytes > INT_MAX)
        out_of_memory(nbytes);
    int size = (int)nbytes, style = meter.style->code;
    uint64_t start = now_ns();
    char *p = style == MEM_NO_STYLE ? Mem_Alloc(size) : Mem_Alloc(size, style);
    meter.ns += now_ns() - start;
    meter.ncalls++;

    if (p == NULL && m_error == E_NO_SPACE)
        out_of_memory(nbytes);
    if (p == NULL)
        die("Mem_Alloc(%d) failed, and m_error is %d", size, m_error);
    meter.live += nbytes;
    if (meter.live > meter.peak)
        meter.peak = meter.live;
    size_t end = (size_t)(p - meter.base) + nbytes;
    if (end > meter.highest)
        meter.highest = end;
    return p;
}

static void give_back(void *p)
{
    if (p == NULL)
        return;
    int size = Mem_GetSize(p);
    uint64_t start = now_ns();
    int result = Mem_Free(p);
    meter.ns += now_ns() - start;
    meter.ncalls++;

    if (size < 0 || result != 0)
        die("Mem_Free refused an object, and m_error is %d", m_error);
    meter.live -= (size_t)size;
}

/* The clock is read twice a call; what that costs is no cost of the heap. */
static double ns_per_call(void)
{
    enum { NPAIRS = 10000 };
    uint64_t clock_ns = 0;

    for (int i = 0; i < NPAIRS; i++) {
        uint64_t start = now_ns();
        clock_ns += now_ns() - start;
    }
    return (double)meter.ns / (double)meter.ncalls - (double)clock_ns / NPAIRS;
}

static void start_heap(const struct style *style, int pipe_fd)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    if (Mem_Init(options.region_bytes) != 0 || m_free_list == NULL)
        die("the system refuses a region of %d bytes (m_error is %d)", options.region_bytes,
            m_error);
    meter = (struct meter){.style = style, .pipe_fd = pipe_fd};
    /* The region is whole pages, and its first free chunk lies in its first page. */
    meter.base = (char *)((uintptr_t)m_free_list & ~(uintptr_t)(page - 1));
    meter.region_bytes = ((size_t)options.region_bytes + page - 1) / page * page;
    meter.bytes_at_start = (size_t)m_free_list->size;
}

static bool heap_is_whole(void)
{
    return m_free_list != NULL && m_free_list->next == NULL &&
           (size_t)m_free_list->size == meter.bytes_at_start && meter.live == 0;
}

/* ------------------------------------------------------------------- the map
 * The region in MAP_CELLS cells, drawn from the free list. */

/* Adds to each cell the bytes of it that lie in the chunk at offset `from`. */
static void add_chunk(size_t *free_in_cell, size_t cell_bytes, size_t from, size_t nbytes)
{
    size_t end = from + nbytes;

    while (from < end && from < MAP_CELLS * cell_bytes) {
        size_t cell = from / cell_bytes, cell_end = (cell + 1) * cell_bytes;
        size_t stop = cell_end < end ? cell_end : end;
        free_in_cell[cell] += stop - from;
        from = stop;
    }
}

static bool has_object(size_t from, size_t end)
{
    for (size_t at = from; at < end; at += GRANULE_BYTES) {
        if (Mem_IsValid(meter.base + at))
            return true;
    }
    return false;
}

static void draw_map(char *map)
{
    size_t cell_bytes = meter.region_bytes / MAP_CELLS; /* exact: a page is 4,096 bytes or more */
    size_t free_in_cell[MAP_CELLS] = {0};

    for (MemNodePtr chunk = m_free_list; chunk != NULL; chunk = chunk->next) {
        size_t offset = (size_t)((char *)chunk - meter.base);
        add_chunk(free_in_cell, cell_bytes, offset, (size_t)chunk->size);
    }
    for (size_t cell = 0; cell < MAP_CELLS; cell++) {
        size_t nfree = free_in_cell[cell];
        if (nfree == cell_bytes)
            map[cell] = '.';
        else if (nfree > 0)
            map[cell] = 2 * nfree > cell_bytes ? '-' : '+';
        else
            map[cell] = has_object(cell * cell_bytes, (cell + 1) * cell_bytes) ? '#' : '=';
    }
}

static struct figures measure(void)
{
    struct figures f = {.peak_live = meter.peak,
                        .highest = meter.highest,
                        .region_bytes = meter.region_bytes};

    for (MemNodePtr chunk = m_free_list; chunk != NULL; chunk = chunk->next) {
        uint64_t size = (uint64_t)chunk->size;
        f.nfree++;
        f.total_free += size;
        if (size > f.largest_free)
            f.largest_free = size;
    }
    f.ns_per_call = meter.ncalls == 0 ? 0 : ns_per_call();
    draw_map(f.map);
    return f;
}

static void send_figures(const struct figures *f)
{
    if (write(meter.pipe_fd, f, sizeof *f) != (ssize_t)sizeof *f)
        die("cannot send the figures: %s", strerror(errno));
}

static _Noreturn void out_of_memory(size_t nbytes)
{
    struct figures f = measure();

    send_figures(&f);
    die("style %s: out of memory%s%s\n"
        "    %s bytes wanted; the largest of %s free chunks has %s, %s bytes are free in all\n"
        "    a larger region may help: --region=BYTES",
        meter.style->name, meter.file ? " in " : "", meter.file ? meter.file : "",
        grouped(nbytes).text, grouped(f.nfree).text, grouped(f.largest_free).text,
        grouped(f.total_free).text);
}

/* --------------------------------------------------------------- terms, tables
 * A term is a word or a phrase: one object, with its text at the end. */

struct term {
    struct term *next; /* in its bucket */
    uint32_t count;
    uint32_t nbytes;
    char text[];
};

struct table {
    struct term **bucket;
    size_t nbuckets; /* a power of 2 */
    size_t nterms;
};

/* FNV-1a: short, and good enough for words. */
static uint64_t hash(const char *text, size_t nbytes)
{
    uint64_t h = 0xcbf29ce484222325u;

    for (size_t i = 0; i < nbytes; i++)
        h = (h ^ (unsigned char)text[i]) * 0x100000001b3u;
    return h;
}

static struct term **bucket_of(const struct table *t, const char *text, size_t nbytes)
{
    return &t->bucket[hash(text, nbytes) & (t->nbuckets - 1)];
}

static struct table new_table(size_t nbuckets)
{
    struct table t = {.bucket = take(nbuckets * sizeof(struct term *)), .nbuckets = nbuckets};

    for (size_t i = 0; i < nbuckets; i++)
        t.bucket[i] = NULL;
    return t;
}

static void link_term(struct table *t, struct term *term)
{
    struct term **bucket = bucket_of(t, term->text, term->nbytes);

    term->next = *bucket;
    *bucket = term;
    t->nterms++;
}

/* Old and new buckets live side by side while the terms move. */
static void resize(struct table *t, size_t nbuckets)
{
    struct table moved = new_table(nbuckets);

    for (size_t i = 0; i < t->nbuckets; i++) {
        for (struct term *term = t->bucket[i], *next; term != NULL; term = next) {
            next = term->next;
            link_term(&moved, term);
        }
    }
    give_back(t->bucket);
    *t = moved;
}

/* Counts the text once more; returns its term. */
static struct term *count(struct table *t, const char *text, size_t nbytes)
{
    for (struct term *term = *bucket_of(t, text, nbytes); term != NULL; term = term->next) {
        if (term->nbytes == nbytes && memcmp(term->text, text, nbytes) == 0) {
            term->count++;
            return term;
        }
    }
    if (t->nterms == t->nbuckets)
        resize(t, 2 * t->nbuckets);
    struct term *term = take(sizeof *term + nbytes);
    term->count = 1;
    term->nbytes = (uint32_t)nbytes;
    memcpy(term->text, text, nbytes);
    link_term(t, term);
    return term;
}

/* Frees the terms that were counted less than `fewest` times. */
static void forget_rare(struct table *t, uint32_t fewest)
{
    for (size_t i = 0; i < t->nbuckets; i++) {
        for (struct term **at = &t->bucket[i]; *at != NULL;) {
            struct term *term = *at;
            if (term->count >= fewest) {
                at = &term->next;
                continue;
            }
            *at = term->next;
            give_back(term);
            t->nterms--;
        }
    }
}

/* Gives back buckets too, but leaves room: the next file will fill them. */
static void shrink(struct table *t)
{
    size_t nbuckets = t->nbuckets;

    while (nbuckets > FEWEST_BUCKETS && t->nterms < nbuckets / 4)
        nbuckets /= 2;
    if (nbuckets < t->nbuckets)
        resize(t, nbuckets);
}

static void free_table(struct table *t)
{
    forget_rare(t, UINT32_MAX);
    give_back(t->bucket);
}

/* ------------------------------------------------------------------ the words */

struct line {
    struct line *next;
    size_t nbytes;
    char text[];
};

struct counter {
    struct table words, phrases;
    uint64_t nwords;
    char *phrase; /* where phrases are put together */
    size_t phrase_room;
    struct line *first, **end; /* the paragraph so far */
    int nlines;
    struct line *partial; /* a line whose end has not been read yet, or NULL */
};

static bool is_word_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '\'' || (unsigned char)c >= 0x80;
}

/* The next word at or after *cursor, lower-cased where it stands, its length in
 * *nbytes and *cursor behind it; or NULL if there is none before `end`. */
static char *next_word(char **cursor, char *end, size_t *nbytes)
{
    char *p = *cursor;

    while (p < end && !is_word_byte(*p))
        p++;
    char *word = p;
    for (; p < end && is_word_byte(*p); p++) {
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p - 'A' + 'a');
    }
    *cursor = p;
    *nbytes = (size_t)(p - word);
    return p > word ? word : NULL;
}

static void count_phrase(struct counter *c, const struct term *a, const struct term *b)
{
    size_t nbytes = (size_t)a->nbytes + 1 + b->nbytes;

    if (nbytes > c->phrase_room) {
        give_back(c->phrase);
        c->phrase_room = 2 * nbytes;
        c->phrase = take(c->phrase_room);
    }
    memcpy(c->phrase, a->text, a->nbytes);
    c->phrase[a->nbytes] = ' ';
    memcpy(c->phrase + a->nbytes + 1, b->text, b->nbytes);
    count(&c->phrases, c->phrase, nbytes);
}

/* Cuts the lines that are held into words and frees them. A phrase may go on
 * from line to line, but not from paragraph to paragraph. */
static void end_paragraph(struct counter *c)
{
    const struct term *previous = NULL;

    for (struct line *line = c->first, *next; line != NULL; line = next) {
        char *cursor = line->text, *word;
        size_t nbytes;
        while ((word = next_word(&cursor, line->text + line->nbytes, &nbytes)) != NULL) {
            const struct term *term = count(&c->words, word, nbytes);
            c->nwords++;
            if (previous != NULL)
                count_phrase(c, previous, term);
            previous = term;
        }
        next = line->next;
        give_back(line);
    }
    c->first = NULL;
    c->end = &c->first;
    c->nlines = 0;
}

/* Lengthens the partial line: a new object, as an object cannot grow. */
static void append(struct counter *c, const char *text, size_t nbytes)
{
    struct line *old = c->partial;
    size_t nold = old == NULL ? 0 : old->nbytes;
    struct line *line = take(sizeof *line + nold + nbytes);

    line->next = NULL;
    line->nbytes = nold + nbytes;
    if (old != NULL)
        memcpy(line->text, old->text, nold);
    memcpy(line->text + nold, text, nbytes);
    give_back(old);
    c->partial = line;
}

static bool is_blank(const struct line *line)
{
    for (size_t i = 0; i < line->nbytes; i++) {
        if (strchr(" \t\r\f\v", line->text[i]) == NULL || line->text[i] == '\0')
            return false;
    }
    return true;
}

static void end_line(struct counter *c)
{
    struct line *line = c->partial;

    c->partial = NULL;
    *c->end = line;
    c->end = &line->next;
    if (++c->nlines == PARAGRAPH_LINES || is_blank(line))
        end_paragraph(c);
}

static void cut_lines(struct counter *c, const char *text, size_t nbytes)
{
    while (nbytes > 0) {
        const char *newline = memchr(text, '\n', nbytes);
        size_t n = newline == NULL ? nbytes : (size_t)(newline - text);
        append(c, text, n);
        if (newline == NULL)
            return;
        end_line(c);
        text += n + 1;
        nbytes -= n + 1;
    }
}

static void count_file(struct counter *c, const char *name)
{
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    ssize_t n;

    if (fd < 0)
        die("%s: %s", name, strerror(errno));
    meter.file = name;
    char *buffer = take(READ_BYTES);
    while ((n = read(fd, buffer, READ_BYTES)) > 0)
        cut_lines(c, buffer, (size_t)n);
    if (n < 0)
        die("%s: %s", name, strerror(errno));
    if (c->partial != NULL)
        end_line(c);
    end_paragraph(c);
    give_back(buffer);
    forget_rare(&c->phrases, RARE);
    shrink(&c->phrases);
    meter.file = NULL;
    close(fd);
}

/* -------------------------------------------------------- the most frequent ones */

/* By count; among equals by text, so that the order is the same everywhere. */
static bool comes_before(const struct term *a, const struct term *b)
{
    size_t n = a->nbytes < b->nbytes ? a->nbytes : b->nbytes;
    int order = memcmp(a->text, b->text, n);

    if (a->count != b->count)
        return a->count > b->count;
    return order != 0 ? order < 0 : a->nbytes < b->nbytes;
}

/* An array, the caller's to give back, of the ntop first terms; NULL behind the
 * last if there are fewer. */
static const struct term **find_top(const struct table *t, size_t ntop)
{
    const struct term **top = take((ntop + 1) * sizeof *top);

    for (size_t i = 0; i <= ntop; i++)
        top[i] = NULL;
    for (size_t i = 0; i < t->nbuckets; i++) {
        for (const struct term *term = t->bucket[i]; term != NULL; term = term->next) {
            size_t at = ntop; /* top[ntop] is where the last one falls off */
            for (; at > 0 && (top[at - 1] == NULL || comes_before(term, top[at - 1])); at--)
                top[at] = top[at - 1];
            if (at < ntop)
                top[at] = term;
        }
    }
    top[ntop] = NULL;
    return top;
}

/* In at most 11 + width columns: a longer text is cut. */
static void print_term(const struct term *term, int width)
{
    bool is_long = term->nbytes > (uint32_t)width;
    int nshown = is_long ? width - 2 : (int)term->nbytes;

    printf("%9s  %.*s%s", grouped(term->count).text, nshown, term->text, is_long ? ".." : "");
}

static void print_word_and_bar(const struct term *word, uint32_t most)
{
    enum { WORD_COLUMNS = 16, BAR_COLUMNS = 24 };
    int nstars = (int)((uint64_t)word->count * BAR_COLUMNS / most);
    int ngap = word->nbytes < WORD_COLUMNS ? WORD_COLUMNS - (int)word->nbytes : 0;

    print_term(word, WORD_COLUMNS);
    printf("%*s", ngap, "");
    for (int i = 0; i < BAR_COLUMNS; i++)
        putchar(i < nstars ? '*' : ' ');
}

static void print_top(const struct counter *c)
{
    size_t ntop = (size_t)options.ntop;
    const struct term **words = find_top(&c->words, ntop), **phrases = find_top(&c->phrases, ntop);

    printf("%s words in %d file%s, %s of them distinct.\n\n", grouped(c->nwords).text,
           options.nfiles, options.nfiles == 1 ? "" : "s", grouped(c->words.nterms).text);
    if (words[0] != NULL)
        printf("    count  %-44scount  phrase\n", "word");
    for (size_t i = 0; words[i] != NULL; i++) {
        print_word_and_bar(words[i], words[0]->count);
        if (phrases[i] != NULL)
            print_term(phrases[i], 32);
        putchar('\n');
    }
    give_back(words);
    give_back(phrases);
}

static uint64_t digest(const struct table *t)
{
    uint64_t sum = 0; /* a sum, because the order of a table is nobody's business */

    for (size_t i = 0; i < t->nbuckets; i++) {
        for (const struct term *term = t->bucket[i]; term != NULL; term = term->next)
            sum += hash(term->text, term->nbytes) * term->count;
    }
    return sum;
}

/* ------------------------------------------------------------------- the child */

enum task { COUNT, COUNT_AND_PRINT_TOP, COUNT_AND_DUMP };

static _Noreturn void child(const struct style *style, enum task task, int pipe_fd)
{
    struct counter c = {.end = &c.first};

    start_heap(style, pipe_fd);
    c.words = new_table(FEWEST_BUCKETS);
    c.phrases = new_table(FEWEST_BUCKETS);
    for (int i = 0; i < options.nfiles; i++)
        count_file(&c, options.files[i]);

    struct figures f = measure();
    f.nwords = c.nwords;
    f.ndistinct = c.words.nterms;
    f.digest = digest(&c.words);
    if (task == COUNT_AND_PRINT_TOP)
        print_top(&c);
    if (task == COUNT_AND_DUMP)
        Mem_Dump();
    free_table(&c.words);
    free_table(&c.phrases);
    give_back(c.phrase);
    f.is_whole_again = heap_is_whole();
    f.has_finished = true;
    send_figures(&f);
    _exit(fflush(stdout) == 0 ? 0 : 1);
}

/* ------------------------------------------------------------------ the parent */

/* Runs a style in a child, one at a time so that none disturbs another's clock.
 * False if there are no figures: the child has said why. */
static bool run(const struct style *style, enum task task, struct figures *f)
{
    int ends[2], status;

    if (pipe(ends) != 0)
        die("pipe: %s", strerror(errno));
    fflush(stdout); /* or the child would print what waits there once more */
    pid_t pid = fork();
    if (pid < 0)
        die("fork: %s", strerror(errno));
    if (pid == 0) {
        close(ends[0]);
        child(style, task, ends[1]);
    }
    close(ends[1]);
    bool has_figures = read(ends[0], f, sizeof *f) == (ssize_t)sizeof *f;
    close(ends[0]);
    waitpid(pid, &status, 0);
    if (WIFSIGNALED(status))
        die("style %s: the child was killed by signal %d", style->name, WTERMSIG(status));
    return has_figures && (WEXITSTATUS(status) == 0 || !f->has_finished);
}

static void print_row(const struct style *style, const struct figures *f)
{
    double total = f->total_free == 0 ? 1 : (double)f->total_free;

    printf("%-5s  %6s  %10s  %10s  %8.1f%%  %10s  %6.1f%%  %7.0f  %s\n", style->name,
           grouped(f->nfree).text, grouped(f->largest_free).text, grouped(f->total_free).text,
           100 - 100 * (double)f->largest_free / total, grouped(f->peak_live).text,
           100 * (double)f->highest / (double)f->region_bytes, f->ns_per_call,
           !f->has_finished    ? "OUT OF MEMORY"
           : f->is_whole_again ? "one chunk again"
                               : "NOT WHOLE AGAIN");
}

static void print_table(const struct figures *f, const bool *has_run)
{
    printf("\nEach style's heap when all was counted (or memory ran out), in %s bytes:\n\n",
           grouped((uint64_t)options.region_bytes).text);
    printf("         free     largest  free bytes                 peak of  highest           all "
           "freed\n"
           "style  chunks  free chunk    in total  scattered  live bytes  address  ns/call  in the "
           "end\n"
           "-----  ------  ----------  ----------  ---------  ----------  -------  -------  "
           "---------------\n");
    for (int i = 0; i < NSTYLES; i++) {
        if (has_run[i])
            print_row(&styles[i], &f[i]);
    }
    printf("\nscattered  the part of the free bytes that lies outside the largest free chunk\n"
           "highest    where the highest object ever ended, in percent of the region\n"
           "ns/call    Mem_Alloc and Mem_Free together, the cost of reading the clock taken off\n");
}

static void print_map(const struct style *style, const struct figures *f)
{
    for (int row = 0; row < MAP_ROWS; row++) {
        uint64_t offset = f->region_bytes * (uint64_t)row / MAP_ROWS;
        printf("%-5s %12s  |%.*s|\n", row == 0 ? style->name : "", grouped(offset).text,
               MAP_COLUMNS, f->map + row * MAP_COLUMNS);
    }
}

static void print_maps(const struct figures *f, const bool *has_run)
{
    printf("\nThe region at that moment, from end to end:\n"
           ". free   - more than half free   + less   # nothing free   = the heap's own records\n");
    for (int i = 0; i < NSTYLES; i++) {
        if (!has_run[i])
            continue;
        putchar('\n');
        print_map(&styles[i], &f[i]);
    }
}

/* The verdict, in words and as an exit status. */
static int conclude(const struct figures *f, const bool *has_run)
{
    const struct figures *first = NULL;
    int nfailed = 0, ndiffer = 0, nleft = 0;

    for (int i = 0; i < NSTYLES; i++) {
        if (!has_run[i])
            continue;
        nfailed += !f[i].has_finished;
        if (!f[i].has_finished)
            continue;
        if (first == NULL)
            first = &f[i];
        ndiffer += f[i].digest != first->digest || f[i].nwords != first->nwords;
        nleft += !f[i].is_whole_again;
    }
    if (nleft > 0)
        printf(
            "\nAll was freed then, but a free list is NOT one chunk as large as at the start.\n");
    else if (first != NULL)
        printf(
            "\nAll was freed then: the free list is one chunk again, as large as at the start.\n");
    if (ndiffer > 0)
        printf("The styles do NOT agree on the counts.\n");
    return nfailed == 0 && ndiffer == 0 && nleft == 0 ? 0 : 1;
}

/* Each style reads the files anew, so nothing that can be read only once. */
static void check_files(void)
{
    for (int i = 0; i < options.nfiles; i++) {
        struct stat st;
        const char *name = options.files[i];
        if (stat(name, &st) != 0 || access(name, R_OK) != 0)
            die("%s: %s", name, strerror(errno));
        if (!S_ISREG(st.st_mode))
            die("%s: %s", name, S_ISDIR(st.st_mode) ? "is a directory" : "is not a regular file");
    }
}

/* ----------------------------------------------------------------- the options */

static int parse_number(struct argp_state *state, const char *name, const char *text,
                        long long most)
{
    char *end;
    long long unit = 1;

    errno = 0;
    long long n = strtoll(text, &end, 10);
    if (end != text && (*end == 'K' || *end == 'M'))
        unit = *end++ == 'K' ? 1 << 10 : 1 << 20;
    if (end == text || *end != '\0' || errno != 0 || n < 1 || n > most / unit)
        argp_error(state, "--%s=%s: not a number from 1 to %lld", name, text, most);
    return (int)(n * unit);
}

static const struct style *parse_style(struct argp_state *state, const char *text)
{
    for (int i = 0; i < NSTYLES; i++) {
        if (strcmp(text, styles[i].name) == 0)
            return &styles[i];
    }
    if (strcmp(text, "all") != 0)
        argp_error(state, "--style=%s: not one of best, worst, first, none and all", text);
    return NULL;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    switch (key) {
    case 'r':
        options.region_bytes = parse_number(state, "region", arg, INT_MAX);
        return 0;
    case 's':
        options.only = parse_style(state, arg);
        return 0;
    case 't':
        options.ntop = parse_number(state, "top", arg, MOST_TOP);
        return 0;
    case 'd':
        options.wants_dump = true;
        return 0;
    case ARGP_KEY_ARGS:
        options.files = state->argv + state->next;
        options.nfiles = state->argc - state->next;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "no file to count");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option argp_options[] = {
    {"region", 'r', "BYTES", 0, "The heap's region; K and M are understood (2M)", 0},
    {"style", 's', "STYLE", 0, "best, worst, first, none or all (all)", 0},
    {"top", 't', "N", 0, "How many words and phrases to print (10)", 0},
    {"dump", 'd', NULL, 0, "Print every free chunk too, with Mem_Dump", 0},
    {0}};

static const struct argp argp = {
    .options = argp_options,
    .parser = parse_option,
    .args_doc = "FILE...",
    .doc = "Counts the words of text files in a libmem heap, once with each placement style, "
           "and shows what became of the heap."};

int main(int argc, char **argv)
{
    struct figures f[NSTYLES];
    bool has_run[NSTYLES] = {false}, has_printed_top = false;
    const struct style *last = NULL;

    argp_parse(&argp, argc, argv, 0, NULL, NULL);
    check_files();
    for (int i = 0; i < NSTYLES; i++) {
        if (options.only != NULL && options.only != &styles[i])
            continue;
        if (!run(&styles[i], has_printed_top ? COUNT : COUNT_AND_PRINT_TOP, &f[i]))
            return 1;
        has_run[i] = true;
        has_printed_top = has_printed_top || f[i].has_finished;
        if (f[i].has_finished)
            last = &styles[i];
    }
    print_table(f, has_run);
    print_maps(f, has_run);
    int status = conclude(f, has_run);
    if (options.wants_dump && last != NULL) {
        printf("\nThe same with style %s once more, for Mem_Dump:\n\n", last->name);
        if (!run(last, COUNT_AND_DUMP, &f[last - styles]))
            return 1;
    }
    return fflush(stdout) == 0 ? status : 1;
}
