/* SPDX-License-Identifier: MIT
 *
 * map.c - mem map: a picture of each heap of a target, and its totals.
 */
#include <argp.h>
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cells.h"
#include "source.h"

#include "command.h"

static struct options {
    const char *target, *svg;
    bool is_json;
} options;

static const struct argp_option argp_options[] = {{"svg", 'o', "FILE", 0,
                                                   "Write the picture to FILE as SVG, too", 0},
                                                  {"json", 'j', NULL, 0,
                                                   "Print the totals as JSON instead of text", 0},
                                                  {0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    if (key == 'j')
        options.is_json = true;
    else if (key == 'o')
        options.svg = arg;
    else if (!argument_target(key, arg, state, &options.target))
        return ARGP_ERR_UNKNOWN;
    return 0;
}

static const struct argp argp = {
    .options = argp_options,
    .parser = parse,
    .args_doc = "TARGET",
    .doc =
        "Draws each heap of a program, from its first byte to its top, the end of its last chunk. "
        "A cell stands for a number of KiB: its colour, or its letter, says what most of it is, "
        "and its shade how much of it is in use. " TARGET_HELP "\vThe totals:\n"
        "  small objects  bytes that the program asked for, of objects in slots\n"
        "  large objects  bytes that the program asked for, of all other objects\n"
        "  slack          what objects have at their ends beyond what was asked for\n"
        "  free slots     room for one small object each, among others of its size\n"
        "  free chunks    free memory below the top. What is not in memory was given back to the "
        "system, or never used. A core file does not say which part of a heap was in memory\n"
        "  tail           free memory above the top; most of it was never used\n"
        "  metadata       records, the page map, states of slots, and what is left over behind "
        "slots. Most of the page map of a large heap is never in memory\n"
        "  fragmentation  slack, free slots and free chunks below the top, as a part of these and "
        "of the objects' bytes: what the program's objects cannot use at the moment\n\n"
        "The exit status is 0; or 2 if something cannot be told: the target has no heap of libmem, "
        "or one of its heaps cannot be read, is damaged or was being changed.\n"};

enum { ROWS = 24 };

/* --- text --------------------------------------------------------------------------------- */

/* The colours above 7 are the bright ones. */
static void print_colour(enum contents k)
{
    int colour = kinds[k].colour;
    printf("\033[%dm", colour < 8 ? 30 + colour : 90 + colour - 8);
}

static void print_cell(const struct cell *c, bool in_colour)
{
    if (!in_colour) {
        putchar(cell_letter(c));
        return;
    }
    print_colour(cell_kind(c));
    printf("%s", cell_shade(c));
}

/* Returns how many rows from that of the cell `from` on have nothing that is in memory. */
static size_t count_blank_rows(const struct map *m, size_t from)
{
    size_t i = from;
    while (i < m->ncells &&
           (cell_kind(&m->cells[i]) == RETURNED || cell_kind(&m->cells[i]) == UNTOUCHED) &&
           cell_share(&m->cells[i]) == 0)
        i++;
    return (i - from) / COLUMNS;
}

/* Several blank rows become one line. */
static void print_picture(const struct map *m)
{
    bool in_colour = has_colours() && strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    char text[BYTES_TEXT];
    for (size_t i = 0; i < m->ncells;) {
        size_t nblank = count_blank_rows(m, i), end = i + COLUMNS;
        printf("  0x%-14" PRIx64 " ", m->view->base + i * m->cell_bytes);
        if (nblank > 1) {
            i += nblank * COLUMNS;
            printf("... %s not in memory\n", bytes_text(text, nblank * COLUMNS * m->cell_bytes));
            continue;
        }
        for (; i < end && i < m->ncells; i++)
            print_cell(&m->cells[i], in_colour);
        printf("%s\n", in_colour ? "\033[0m" : "");
    }
    if (in_colour) {
        static const enum contents shown[] = {METADATA, SMALL, LARGE, FREE_SLOT};
        static const char *const names[] = {"metadata", "small objects", "large objects",
                                            "free; the fuller, the darker"};
        printf("\n");
        for (size_t k = 0; k < sizeof shown / sizeof *shown; k++) {
            printf("  ");
            print_colour(shown[k]);
            printf("%s\033[0m %s", shown[k] == FREE_SLOT ? "\u00b7" : "\u2588", names[k]);
        }
        printf("\n");
    } else
        printf("\n  s small objects, l large objects, m metadata; a capital letter: half or more "
               "is in use\n  . free slots, - free, a space: free and not in memory\n");
}

static void print_text(const struct map *m)
{
    char a[BYTES_TEXT], b[BYTES_TEXT], c[BYTES_TEXT];
    printf("\n%s: %s from 0x%" PRIx64 " on, %s of them below the top; a cell is %s\n\n",
           view_name(m->view), bytes_text(a, m->view->nbytes), m->view->base,
           bytes_text(b, m->top_bytes), bytes_text(c, m->cell_bytes));
    print_picture(m);
    printf("\n");
    for (enum contents k = SMALL; k < NKINDS; k++)
        if ((k != RETURNED && k != UNTOUCHED) || m->resident != NULL)
            printf("  %-28s %12s\n",
                   k == FREE_CHUNK && m->resident == NULL ? "free chunks" : kinds[k].name,
                   bytes_text(a, m->bytes[k] + (k == METADATA ? m->records_bytes : 0)));
    printf("  %-28s %12s\n", "tail", bytes_text(a, m->tail_bytes));
    printf("  %-28s %12" PRIu64 "\n", "objects", m->nobjects);
    printf("  %-28s %12s\n", "largest free chunk", bytes_text(a, m->largest_free));
    printf("  %-28s %10.1f %%\n", "fragmentation", 100 * map_fragmentation(m));
}

static void print_json_map(const struct map *m, bool is_whole, bool is_first)
{
    printf("%s  {\"heap\": ", is_first ? "" : ",\n");
    print_json(stdout, view_name(m->view));
    printf(", \"base\": \"0x%" PRIx64 "\", \"region_bytes\": %zu, \"top_bytes\": %" PRIu64
           ", \"whole\": %s,\n   \"objects\": %" PRIu64 ", \"free_chunks\": %" PRIu64,
           m->view->base, m->view->nbytes, m->top_bytes, is_whole ? "true" : "false", m->nobjects,
           m->nfree);
    for (enum contents k = SMALL; k < NKINDS; k++)
        if ((k != RETURNED && k != UNTOUCHED) || m->resident != NULL)
            printf(", \"%s\": %" PRIu64, kinds[k].json,
                   m->bytes[k] + (k == METADATA ? m->records_bytes : 0));
    printf(", \"tail_bytes\": %" PRIu64 ", \"largest_free_bytes\": %" PRIu64
           ", \"fragmentation\": %.4f}",
           m->tail_bytes, m->largest_free, map_fragmentation(m));
}

/* --- SVG ---------------------------------------------------------------------------------- */

enum { SIDE = 12, GAP = 40 }; /* of a cell; between two heaps */

/* Draws a cell; the shapes of the kinds are defined once (draw_shapes). */
static void draw_cell(FILE *f, const struct cell *c, size_t column, int y)
{
    enum contents k = cell_kind(c);
    double share = cell_share(c);
    fprintf(f, "<use href=\"#k%d\" x=\"%d\" y=\"%d\"", (int)k, (int)column * SIDE, y);
    if (is_in_use(k) && share < 1)
        fprintf(f, " opacity=\"%.1f\"", 0.3 + 0.7 * share);
    fprintf(f, "/>\n");
}

/* Draws a map at `y`, and returns how far down it reaches. Several blank rows become a line of
 * text, as on the terminal. */
static int draw(FILE *f, const struct map *m, int y)
{
    char a[BYTES_TEXT], b[BYTES_TEXT];
    fprintf(f,
            "<text x=\"0\" y=\"%d\">%s: %s below the top; a cell is %s; fragmentation %.1f %%"
            "</text>\n",
            y - 6, view_name(m->view), bytes_text(a, m->top_bytes), bytes_text(b, m->cell_bytes),
            100 * map_fragmentation(m));
    for (size_t i = 0; i < m->ncells; y += SIDE) {
        size_t nblank = count_blank_rows(m, i);
        if (nblank > 1) {
            i += nblank * COLUMNS;
            fprintf(f, "<text x=\"0\" y=\"%d\" font-size=\"10\">%s not in memory</text>\n",
                    y + SIDE - 3, bytes_text(a, nblank * COLUMNS * m->cell_bytes));
            continue;
        }
        for (size_t column = 0; column < COLUMNS && i < m->ncells; column++, i++)
            draw_cell(f, &m->cells[i], column, y);
    }
    return y + GAP;
}

static void draw_shapes(FILE *f)
{
    fprintf(f, "<defs>\n");
    for (enum contents k = SMALL; k < NKINDS; k++)
        fprintf(f, "<rect id=\"k%d\" width=\"%d\" height=\"%d\" fill=\"%s\"/>\n", (int)k, SIDE - 1,
                SIDE - 1, kinds[k].rgb);
    fprintf(f, "</defs>\n");
}

static void draw_legend(FILE *f, int y)
{
    enum { EACH_ROW = 4, WIDTH = COLUMNS * SIDE / EACH_ROW, HEIGHT = 18 };
    for (enum contents k = SMALL; k < NKINDS; k++) {
        int x = (int)k % EACH_ROW * WIDTH, down = y + (int)k / EACH_ROW * HEIGHT;
        fprintf(f, "<use href=\"#k%d\" x=\"%d\" y=\"%d\"/><text x=\"%d\" y=\"%d\">%s</text>\n",
                (int)k, x, down, x + SIDE + 4, down + SIDE - 2, kinds[k].name);
    }
}

/* Returns how many rows of a map are drawn. */
static int count_rows(const struct map *m)
{
    int n = 0;
    for (size_t i = 0; i < m->ncells; n++) {
        size_t nblank = count_blank_rows(m, i);
        i += COLUMNS * (nblank > 1 ? nblank : 1);
    }
    return n;
}

/* Writes all maps to a file. Returns false after a message. */
static bool write_svg(const char *path, const struct map *maps, size_t n)
{
    int y = GAP, height = 2 * GAP, width = COLUMNS * SIDE + 20;
    FILE *f = fopen(path, "we");
    for (size_t i = 0; i < n; i++)
        height += count_rows(&maps[i]) * SIDE + GAP;
    if (f == NULL) {
        warn("%s", path);
        return false;
    }
    fprintf(f,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"-10 0 %d %d\" "
            "font-family=\"sans-serif\" font-size=\"12\">\n"
            "<rect x=\"-10\" width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
            width, height);
    draw_shapes(f);
    for (size_t i = 0; i < n; i++)
        y = draw(f, &maps[i], y);
    draw_legend(f, y - GAP / 2);
    fprintf(f, "</svg>\n");
    bool ok = !ferror(f);
    ok = fclose(f) == 0 && ok;
    if (!ok)
        warn("%s", path);
    return ok;
}

/* --- the command ------------------------------------------------------------------------- */

int command_map(int argc, char **argv)
{
    struct look l;
    struct extent *resident;
    size_t nresident;
    setlocale(LC_CTYPE, "");
    options = (struct options){0};
    argp_parse(&argp, argc, argv, 0, NULL, NULL);
    if (!look_open(&l, options.target))
        return UNKNOWN;
    look_go_on(&l);
    bool is_known = heaps_resident(&l.heaps, l.t, &resident, &nresident);
    if (is_known && resident == NULL) /* known, and nothing is */
        resident = grown(NULL, 0, sizeof *resident);
    struct map *maps = calloc(l.heaps.n, sizeof *maps);
    bool is_whole = true;
    if (maps == NULL)
        err(UNKNOWN, "no memory");
    if (options.is_json) {
        printf("{");
        look_print_json_head(&l);
        printf(" \"heaps\": [\n");
    } else
        look_print_head(&l);
    for (size_t i = 0; i < l.heaps.n; i++) {
        const struct view *v = &l.heaps.views[i];
        bool ok = map_make(&maps[i], v, COLUMNS * ROWS, is_known ? resident : NULL, nresident);
        is_whole &= ok;
        if (options.is_json)
            print_json_map(&maps[i], ok, i == 0);
        else if (v->fault == NULL)
            print_text(&maps[i]);
        if (!options.is_json && v->fault == NULL && !ok)
            printf("  the heap is damaged: this is what could be read\n");
        if (options.svg == NULL) { /* only that picture is drawn when all heaps are known */
            free(maps[i].cells);
            maps[i].cells = NULL;
        }
    }
    if (options.is_json)
        printf("\n]}\n");
    bool is_written = options.svg == NULL || write_svg(options.svg, maps, l.heaps.n);
    for (size_t i = 0; i < l.heaps.n; i++)
        free(maps[i].cells);
    free(maps);
    free(resident);
    int status = is_whole && is_written && look_is_certain(&l) ? FINE : UNKNOWN;
    look_close(&l);
    return status;
}
