/* SPDX-License-Identifier: MIT
 *
 * translator.c - translates the stacks that come through a pipe. See translator.h.
 */
#include "translator.h"

#include <argp.h>
#include <err.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inspect/symbols.h"
#include "program.h"

struct translator {
    int in, out; /* the ends of the pipe */
    pthread_t thread;
};

/* A frame, as the library writes it. */
struct frame {
    unsigned number;
    uint64_t address, place; /* in memory, and in the file */
    const char *path, *id;
};

static const char id_begins[] = " (BuildId: ";

/* Cuts off what follows the last `mark`, and the mark. Returns what follows it, or NULL. */
static char *cut(char *text, const char *mark)
{
    char *last = NULL;
    for (char *p = strstr(text, mark); p != NULL; p = strstr(p + 1, mark))
        last = p;
    if (last == NULL)
        return NULL;
    *last = '\0';
    return last + strlen(mark);
}

/* Cuts a line into the parts of a frame. Returns false if it is none. */
static bool read_frame(char *line, struct frame *f)
{
    int n = 0;
    if (sscanf(line, " #%u 0x%" SCNx64 " (%n", &f->number, &f->address, &n) != 2 || n == 0 ||
        line[n] != '/')
        return false;
    char *path = line + n, *id = cut(path, id_begins), *place;
    f->id = id == NULL || cut(id, ")") == NULL ? "" : id;
    f->path = path;
    if (cut(path, ")") == NULL || (place = cut(path, "+0x")) == NULL)
        return false;
    f->place = strtoull(place, NULL, 16);
    return true;
}

static void print_line(struct symbol_files *files, const char *line)
{
    struct frame f;
    struct symbol symbol;
    const char *source = NULL;
    char name[400], *copy = strdup(line);
    int number;
    bool has_name = copy != NULL && read_frame(copy, &f) &&
                    symbol_files_find(files, f.path, f.id, f.place, &symbol, &source, &number) &&
                    symbol_text(&symbol, name, sizeof name);
    if (!has_name)
        fputs(line, stderr);
    else if (source == NULL)
        fprintf(stderr, "    #%u 0x%" PRIx64 " %s\n", f.number, f.address, name);
    else
        fprintf(stderr, "    #%u 0x%" PRIx64 " %s at %s:%d\n", f.number, f.address, name, source,
                number);
    free(copy);
}

/* An empty string ends it (translator_end). */
static void *translate(void *context)
{
    struct translator *t = context;
    struct symbol_files *files = symbol_files_open();
    FILE *f = fdopen(t->in, "r");
    char *line = NULL;
    size_t room = 0;
    while (f != NULL && getline(&line, &room, f) > 0 && line[0] != '\0')
        print_line(files, line);
    free(line);
    symbol_files_close(files);
    return f;
}

/* The thread takes no signals: they are the first one's to pass on. */
struct translator *translator_begin(void)
{
    char pipe[64];
    int ends[2];
    struct stat s;
    sigset_t all, before;
    struct translator *t = calloc(1, sizeof *t);
    if (t == NULL || pipe2(ends, O_CLOEXEC) != 0 || fstat(ends[1], &s) != 0)
        err(argp_err_exit_status, "a pipe for the stacks");
    *t = (struct translator){.in = ends[0], .out = ends[1]};
    snprintf(pipe, sizeof pipe, "/proc/%d/fd/%d:%ju", getpid(), t->out, (uintmax_t)s.st_ino);
    set_option("stacks", pipe);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&t->thread, NULL, translate, t);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed != 0)
        errx(argp_err_exit_status, "a thread for the stacks: %s", strerror(failed));
    return t;
}

void translator_end(struct translator *t)
{
    void *f = NULL;
    bool is_told = write(t->out, "\0\n", 2) == 2;
    if (is_told && pthread_join(t->thread, &f) == 0 && f != NULL)
        fclose(f);
    close(t->out);
    free(t);
}
