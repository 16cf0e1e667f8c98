/* SPDX-License-Identifier: MIT
 *
 * command.c - what the commands share. See command.h.
 */
#include <argp.h>
#include <ctype.h>
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "heaps.h"
/* It declares struct look if it comes behind heaps.h. */
#include "command.h"

/* --- arguments ----------------------------------------------------------------------- */

bool argument_target(int key, char *arg, struct argp_state *state, const char **target)
{
    if (key == ARGP_KEY_NO_ARGS)
        argp_error(state, "no target: give a process id, a core file or a snapshot");
    else if (key == ARGP_KEY_ARG && *target != NULL)
        argp_error(state, "%s: one target is enough", arg);
    else if (key == ARGP_KEY_ARG)
        *target = arg;
    else
        return false;
    return true;
}

/* Reads a number that fills the whole text. Returns false if it is none. */
static bool read_number(const char *text, int base, uint64_t *number)
{
    char *end;
    errno = 0;
    *number = strtoull(text, &end, base);
    return *end == '\0' && errno == 0 && isdigit((unsigned char)*text);
}

uint64_t argument_number(const char *arg, struct argp_state *state)
{
    uint64_t n;
    if (!read_number(arg, 10, &n) || n > 1000000000)
        argp_error(state, "%s: give a number, such as 20", arg);
    return n;
}

uint64_t argument_address(const char *arg, struct argp_state *state)
{
    uint64_t address;
    bool is_hexadecimal = strncasecmp(arg, "0x", 2) == 0;
    if (!read_number(arg, is_hexadecimal ? 16 : 10, &address))
        argp_error(state, "%s: give an address, such as 0x7f0012345678", arg);
    return address;
}

/* --- time ---------------------------------------------------------------------------- */

double clock_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* --- output ------------------------------------------------------------------------ */

bool has_colours(void)
{
    const char *none = getenv("NO_COLOR"), *terminal = getenv("TERM");
    return isatty(STDOUT_FILENO) && (none == NULL || *none == '\0') && terminal != NULL &&
           strcmp(terminal, "dumb") != 0;
}

char *bytes_text(char text[BYTES_TEXT], uint64_t nbytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double n = (double)nbytes / 1024;
    size_t i = 0;
    for (; n >= 1023.95 && i < sizeof units / sizeof *units - 1; i++)
        n /= 1024;
    if (nbytes < 1024)
        snprintf(text, BYTES_TEXT, "%" PRIu64 " B", nbytes);
    else
        snprintf(text, BYTES_TEXT, "%.1f %s", n, units[i]);
    return text;
}

const char *plural(uint64_t n)
{
    return n == 1 ? "" : "s";
}

/* Decodes one character of UTF-8, and stores its length. Returns NO_CHARACTER, of length 1, if a
 * byte begins none: then the bytes are cut off, longer than needed, or stand for no character. */
enum { NO_CHARACTER = 0xffffffff };
static uint32_t decode(const unsigned char *text, size_t *nbytes)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned char c = text[0];
    size_t n = c < 0x80 ? 1 : c < 0xc0 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf8 ? 4 : 0;
    uint32_t code = n < 2 ? c : c & (0x7fu >> n);
    *nbytes = 1;
    for (size_t i = 1; i < n; i++) {
        if ((text[i] & 0xc0) != 0x80) /* the 0 at the end of the text, too */
            return NO_CHARACTER;
        code = code << 6 | (text[i] & 0x3f);
    }
    if (n == 0 || code < least[n] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
        return NO_CHARACTER;
    *nbytes = n;
    return code;
}

static bool is_control(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0);
}

char *clean_text(char *text)
{
    size_t n, to = 0;
    for (size_t i = 0; text[i] != '\0'; i += n) {
        uint32_t code = decode((unsigned char *)text + i, &n);
        bool is_text = code != NO_CHARACTER && !is_control(code);
        memmove(text + to, is_text ? text + i : "?", is_text ? n : 1);
        to += is_text ? n : 1;
    }
    text[to] = '\0';
    return text;
}

void print_json(FILE *f, const char *text)
{
    size_t n;
    fputc('"', f);
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c += n) {
        uint32_t code = decode(c, &n);
        if (code == '"' || code == '\\')
            fprintf(f, "\\%c", *c);
        else if (code == NO_CHARACTER)
            fputs("\\ufffd", f);
        else if (is_control(code))
            fprintf(f, "\\u%04x", (unsigned)code);
        else
            fwrite(c, 1, n, f);
    }
    fputc('"', f);
}

static bool has_progress;

void progress(const char *what, uint64_t done, uint64_t all)
{
    static struct timespec began, last;
    static unsigned ncalls;
    struct timespec now;
    if (ncalls++ % 4096 != 0)
        return;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (began.tv_sec == 0)
        began = last = now;
    if (now.tv_sec - began.tv_sec < 1 || now.tv_sec == last.tv_sec || !isatty(STDERR_FILENO))
        return;
    last = now;
    has_progress = true;
    fprintf(stderr, "\r%s: %.0f %%\033[K", what, all == 0 ? 0 : 100.0 * (double)done / (double)all);
}

void progress_end(void)
{
    if (has_progress)
        fputs("\r\033[K", stderr);
    has_progress = false;
}

/* --- arrays ------------------------------------------------------------------------- */

void sort_array(void *array, size_t n, size_t element_bytes,
                int (*compare)(const void *a, const void *b))
{
    if (n > 1)
        qsort(array, n, element_bytes, compare);
}

/* --- looking ----------------------------------------------------------------------- */

bool look_open(struct look *l, const char *name)
{
    *l = (struct look){.t = target_open(name)};
    if (l->t == NULL)
        return false;
    if (heaps_open(&l->heaps, l->t))
        return true;
    look_close(l);
    return false;
}

void look_go_on(struct look *l)
{
    target_go_on(l->t);
}

void look_close(struct look *l)
{
    heaps_close(&l->heaps);
    target_close(l->t);
}

/* Says of one heap what is uncertain about it. */
static void print_uncertain(FILE *f, const struct look *l, const struct view *v)
{
    if (v->fault != NULL)
        fprintf(f, "%s: %s\n", view_name(v), v->fault);
    else if (v->is_changing)
        fprintf(f,
                "%s: a thread was in the middle of a change %s, so what is said of the heap may be "
                "wrong\n",
                view_name(v),
                target_is_process(l->t) ? "each time that the process was stopped"
                                        : "when the file was written");
}

void look_print_doubts(FILE *f, const struct look *l)
{
    if (target_is_truncated(l->t))
        fprintf(f, "the core file was cut off: what it does not hold is unknown\n");
    if (target_nunstopped(l->t) > 0)
        fprintf(f, "%zu of its threads wait%s in the kernel and could not be stopped\n",
                target_nunstopped(l->t), target_nunstopped(l->t) == 1 ? "s" : "");
    if (l->heaps.is_list_changing)
        fprintf(f, "a thread was making or destroying a heap, so that one may be missing\n");
    for (size_t i = 0; i < l->heaps.n; i++)
        print_uncertain(f, l, &l->heaps.views[i]);
}

void look_print_head(const struct look *l)
{
    const struct target *t = l->t;
    if (target_is_process(t))
        printf("process %d, stopped for %.1f ms", target_pid(t), target_seconds_stopped(t) * 1000);
    else if (target_pid(t) != 0)
        printf("%s, of process %d", target_name(t), target_pid(t));
    else
        printf("%s", target_name(t));
    if (l->heaps.ntries > 1)
        printf(" in %zu stops, as a thread was at work in a heap", l->heaps.ntries);
    printf("\n");
    look_print_doubts(stdout, l);
}

void look_print_json_head(const struct look *l)
{
    printf("\"target\": ");
    print_json(stdout, target_name(l->t));
    printf(", \"pid\": %d, \"stopped_ms\": %.3f, \"certain\": %s,\n", target_pid(l->t),
           target_seconds_stopped(l->t) * 1000, look_is_certain(l) ? "true" : "false");
}

bool look_is_certain(const struct look *l)
{
    for (size_t i = 0; i < l->heaps.n; i++)
        if (l->heaps.views[i].fault != NULL || l->heaps.views[i].is_changing)
            return false;
    return !l->heaps.is_list_changing;
}
