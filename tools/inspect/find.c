/* SPDX-License-Identifier: MIT
 *
 * find.c - mem find: what lies at an address of a target.
 */
#include <argp.h>
#include <err.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "heaps.h"
#include "source.h"
#include "symbols.h"

#include "command.h"

enum { SHOWN_MAX = 64 }; /* bytes of an object */

static struct options {
    const char *target;
    uint64_t *addresses;
    size_t n;
    bool is_json;
} options;

/* What was read at one address while the target was stopped. */
struct shown {
    const struct view *view; /* NULL: outside all heaps */
    enum heap_result what;
    struct target_piece piece;
    size_t nbytes; /* that could be read */
    unsigned char bytes[SHOWN_MAX];
};

static const struct argp_option argp_options[] = {{"json", 'j', NULL, 0,
                                                   "Print JSON instead of text", 0},
                                                  {0}};

static void add_address(const char *text, struct argp_state *state)
{
    uint64_t address = argument_address(text, state);
    options.addresses = grown(options.addresses, options.n, sizeof *options.addresses);
    options.addresses[options.n++] = address;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    if (key == 'j')
        options.is_json = true;
    else if (key == ARGP_KEY_ARG && options.target != NULL)
        add_address(arg, state);
    else if (key == ARGP_KEY_END && options.n == 0)
        argp_error(state, "no address");
    else if (!argument_target(key, arg, state, &options.target))
        return ARGP_ERR_UNKNOWN;
    return 0;
}

static const struct argp argp = {
    .options = argp_options,
    .parser = parse,
    .args_doc = "TARGET ADDRESS...",
    .doc = "Says what lies at each ADDRESS: the heap, the object with its exact size, how far into "
           "it the address is, its first bytes, and what the pointers among these point to. "
           "Outside the heaps it names the function, the variable or the mapping. " TARGET_HELP
           "\vThe exit status is 0 if each address is in a live object, 1 if one is not, 2 if that "
           "cannot be told: the target has no heap of libmem, or the heap there cannot be read or "
           "was being changed.\n"};

/* --- what is there -------------------------------------------------------------------- */

/* Looks at an address while the target is stopped. */
static struct shown look_at(struct look *l, uint64_t address)
{
    struct shown s = {.view = heaps_view_of(&l->heaps, address), .what = HEAP_NOT_OURS};
    uint64_t from = address, nbytes = SHOWN_MAX;
    if (s.view != NULL)
        s.what = view_find(s.view, address, &s.piece);
    if (s.what == HEAP_OK) {
        from = s.piece.start;
        nbytes = s.piece.size < SHOWN_MAX ? s.piece.size : SHOWN_MAX;
    }
    if (s.view == NULL || s.what == HEAP_OK)
        s.nbytes = target_read_some(l->t, from, s.bytes, nbytes);
    return s;
}

/* What the word of an object points to, in words; false if it is no pointer to anything. */
static bool pointee(const struct look *l, struct symbols *names, uint64_t word, char *text,
                    size_t nbytes)
{
    struct target_piece p;
    const struct view *v = heaps_view_of(&l->heaps, word);
    enum heap_result what = v == NULL ? HEAP_NOT_OURS : view_find(v, word, &p);
    const struct mapping *m = target_mapping(l->t, word);
    if (what == HEAP_OK && word == p.start)
        snprintf(text, nbytes, "object of %zu bytes", p.size);
    else if (what == HEAP_OK)
        snprintf(text, nbytes, "object of %zu bytes, +%" PRIu64, p.size, word - p.start);
    else if (what == HEAP_FREE)
        snprintf(text, nbytes, "free memory of %s", view_name(v));
    else if (v != NULL || m == NULL || m->access == 0)
        return false;
    else
        symbols_text(names, word, text, nbytes);
    return true;
}

/* --- text ----------------------------------------------------------------------------- */

static void print_bytes(const struct look *l, struct symbols *names, const struct shown *s)
{
    enum { WORD = 8, LINE = 16 };
    char text[200];
    for (size_t at = 0; at < s->nbytes; at += LINE) {
        size_t n = s->nbytes - at < LINE ? s->nbytes - at : LINE;
        printf("  +%-4zu", at);
        for (size_t i = 0; i < LINE; i++)
            i < n ? printf(" %02x", s->bytes[at + i]) : printf("   ");
        printf("  ");
        for (size_t i = 0; i < n; i++)
            putchar(s->bytes[at + i] >= ' ' && s->bytes[at + i] < 0x7F ? s->bytes[at + i] : '.');
        putchar('\n');
    }
    for (size_t at = 0; at + WORD <= s->nbytes; at += WORD) {
        uint64_t word;
        memcpy(&word, s->bytes + at, WORD);
        if (pointee(l, names, word, text, sizeof text))
            printf("  +%-4zu 0x%" PRIx64 ": %s\n", at, word, text);
    }
}

static void print_text(const struct look *l, struct symbols *names, uint64_t address,
                       const struct shown *s)
{
    char text[200];
    const struct target_piece *p = &s->piece;
    printf("0x%" PRIx64 ": ", address);
    if (s->view == NULL)
        printf("outside the heaps: %s\n", symbols_text(names, address, text, sizeof text));
    else if (s->what == HEAP_OK && address == p->start)
        printf("object of %zu bytes in %s\n", p->size, view_name(s->view));
    else if (s->what == HEAP_OK)
        printf("object of %zu bytes at 0x%" PRIx64 ", +%" PRIu64 ", in %s\n", p->size, p->start,
               address - p->start, view_name(s->view));
    else if (s->what == HEAP_FREE)
        printf("free: %zu bytes from 0x%" PRIx64 " on, in %s\n", p->nbytes, p->start,
               view_name(s->view));
    else if (s->what == HEAP_NO_OBJECT && p->nbytes > 0 && address >= p->start)
        printf("in no object: behind the end of the object of %zu bytes at 0x%" PRIx64 ", in %s\n",
               p->nbytes, p->start, view_name(s->view));
    else if (s->what == HEAP_NO_OBJECT)
        printf("in no object: metadata of %s\n", view_name(s->view));
    else
        printf("unknown: %s is damaged there, or cannot be read\n", view_name(s->view));
    if (s->view == NULL || s->what == HEAP_OK)
        print_bytes(l, names, s);
    if (s->nbytes == 0 && s->what == HEAP_OK && p->size > 0)
        printf("  (the file does not hold its bytes)\n");
}

/* --- JSON ----------------------------------------------------------------------------- */

static void print_json_pointers(const struct look *l, struct symbols *names, const struct shown *s)
{
    enum { WORD = 8 };
    char text[200];
    const char *comma = "";
    printf(", \"pointers\": [");
    for (size_t at = 0; at + WORD <= s->nbytes; at += WORD) {
        uint64_t word;
        memcpy(&word, s->bytes + at, WORD);
        if (!pointee(l, names, word, text, sizeof text))
            continue;
        printf("%s{\"offset\": %zu, \"address\": \"0x%" PRIx64 "\", \"is\": ", comma, at, word);
        print_json(stdout, text);
        printf("}");
        comma = ", ";
    }
    printf("]");
}

static void print_json_address(const struct look *l, struct symbols *names, uint64_t address,
                               const struct shown *s, bool is_first)
{
    char text[200];
    const char *is = s->view == NULL             ? "outside"
                     : s->what == HEAP_OK        ? "live"
                     : s->what == HEAP_FREE      ? "free"
                     : s->what == HEAP_NO_OBJECT ? "no object"
                                                 : "unknown";
    printf("%s  {\"address\": \"0x%" PRIx64 "\", \"is\": \"%s\"", is_first ? "" : ",\n", address,
           is);
    if (s->view != NULL) {
        printf(", \"heap\": ");
        print_json(stdout, view_name(s->view));
    } else {
        printf(", \"name\": ");
        print_json(stdout, symbols_text(names, address, text, sizeof text));
    }
    if (s->what == HEAP_OK || s->what == HEAP_FREE)
        printf(", \"start\": \"0x%" PRIx64 "\", \"size\": %zu, \"offset\": %" PRIu64,
               s->piece.start, s->what == HEAP_OK ? s->piece.size : s->piece.nbytes,
               address - s->piece.start);
    printf(", \"bytes\": \"");
    for (size_t i = 0; i < s->nbytes; i++)
        printf("%02x", s->bytes[i]);
    printf("\"");
    print_json_pointers(l, names, s);
    printf("}");
}

/* --- the command ------------------------------------------------------------------------ */

static int status_of(const struct shown *s)
{
    bool is_known = s->what == HEAP_OK || s->what == HEAP_FREE || s->what == HEAP_NO_OBJECT;
    if (s->view == NULL)
        return FOUND;
    if (!is_known || s->view->is_changing)
        return UNKNOWN;
    return s->what == HEAP_OK ? FINE : FOUND;
}

int command_find(int argc, char **argv)
{
    struct look l;
    int status = FINE;
    options = (struct options){0};
    argp_parse(&argp, argc, argv, 0, NULL, NULL);
    if (!look_open(&l, options.target))
        return UNKNOWN;
    struct shown *shown = calloc(options.n, sizeof *shown);
    if (shown == NULL)
        err(UNKNOWN, "no memory");
    for (size_t i = 0; i < options.n; i++)
        shown[i] = look_at(&l, options.addresses[i]);
    look_go_on(&l);
    struct symbols *names = symbols_open(l.t);
    if (options.is_json) {
        printf("{");
        look_print_json_head(&l);
        printf(" \"addresses\": [\n");
    } else
        look_print_head(&l);
    for (size_t i = 0; i < options.n; i++) {
        int s = status_of(&shown[i]);
        status = s > status ? s : status;
        if (options.is_json)
            print_json_address(&l, names, options.addresses[i], &shown[i], i == 0);
        else
            print_text(&l, names, options.addresses[i], &shown[i]);
    }
    if (options.is_json)
        printf("\n]}\n");
    free(shown);
    free(options.addresses);
    symbols_close(names);
    look_close(&l);
    return status;
}
