/* SPDX-License-Identifier: MIT
 *
 * every.c - runs all commands on one file: see every.h.
 */
#include "every.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "heaps.h"

#include "command.h"

/* --- with functions ------------------------------------------------------------------ */

struct pieces {
    struct damage *random;
    size_t n;
    uint64_t one; /* the address of one of them, each as likely */
};

static bool note_piece(const struct target_piece *p, void *context)
{
    struct pieces *all = context;
    if (p->nbytes == 0 || p->size > p->nbytes)
        abort();
    if (damage_below(all->random, ++all->n) == 0)
        all->one = p->start;
    return true;
}

static void look_at_view(const struct view *v, struct pieces *all)
{
    struct target_piece p;
    (void)view_walk(v, note_piece, all);
    if (v->fault == NULL)
        (void)check_fault_locked(&v->heap, &(struct recount){0});
    for (int i = 0; i < 50 && v->nbytes > 0; i++)
        (void)view_find(v, v->base + damage_below(all->random, v->nbytes), &p);
    (void)view_find(v, damage_number(all->random), &p);
}

/* --- with commands ------------------------------------------------------------------- */

/* Runs a command with the arguments up to the first NULL. */
static void run(int (*command)(int argc, char **argv), const char *name, const char *const words[])
{
    enum { MOST = 8 };
    char *argv[MOST] = {(char *)(uintptr_t)name};
    int argc = 1;
    for (; words[argc - 1] != NULL; argc++)
        argv[argc] = (char *)(uintptr_t)words[argc - 1];
    (void)command(argc, argv);
}

enum { NCOMMANDS = 10 };

/* Runs one of the commands. */
static void run_command(size_t which, const char *path, uint64_t address, struct damage *random)
{
    char text[24], next[24];
    const char *json = damage_below(random, 2) ? "--json" : "--";
    bool other = damage_below(random, 2);
    snprintf(text, sizeof text, "0x%" PRIx64, address);
    snprintf(next, sizeof next, "0x%" PRIx64, address + 64);
    switch (which) {
    case 0:
        run(command_map, "map",
            (const char *const[]){other ? "--svg=/dev/null" : json, path, NULL});
        break;
    case 1:
        run(command_find, "find", (const char *const[]){json, path, text, next, NULL});
        break;
    case 2:
        run(command_sizes, "sizes",
            (const char *const[]){other ? "--by-stack" : "--pprof=/dev/null", json, path, NULL});
        break;
    case 3:
        run(command_check, "check", (const char *const[]){json, path, NULL});
        break;
    case 4: /* Here "--" would begin a command to run. */
        run(command_leaks, "leaks",
            (const char *const[]){json[2] != '\0' ? "--json"
                                  : other         ? "--list"
                                                  : "--pprof=/dev/null",
                                  path, NULL});
        break;
    case 5:
        run(command_refs, "refs", (const char *const[]){json, path, text, NULL});
        break;
    case 6:
        run(command_refs, "refs", (const char *const[]){"--down", json, path, text, NULL});
        break;
    case 7:
        run(command_owners, "owners", (const char *const[]){"--depth=2", json, path, NULL});
        break;
    case 8:
        run(command_history, "history", (const char *const[]){json, path, text, NULL});
        break;
    default:
        run(command_diff, "diff", (const char *const[]){json, path, path, NULL});
    }
}

/* --- both ---------------------------------------------------------------------------- */

/* Looks into the file with functions. Sets *address to the start of one of its pieces. */
static bool look_with_functions(const char *path, struct damage *random, size_t *nread,
                                uint64_t *address)
{
    struct look l;
    struct pieces all = {.random = random};
    struct extent *extents = NULL;
    size_t nextents;
    if (!look_open(&l, path))
        return false;
    for (size_t i = 0; i < l.heaps.n; i++) {
        look_at_view(&l.heaps.views[i], &all);
        *nread += l.heaps.views[i].fault == NULL;
    }
    (void)heaps_view_of(&l.heaps, damage_number(random));
    (void)heaps_resident(&l.heaps, l.t, &extents, &nextents);
    free(extents);
    look_close(&l);
    *address = all.one;
    return true;
}

bool look_in_every_way(const char *path, struct damage *random, size_t *nread)
{
    uint64_t address;
    if (!look_with_functions(path, random, nread, &address))
        return false;
    for (size_t i = 0; i < NCOMMANDS; i++)
        run_command(i, path, address, random);
    return true;
}

void look_in_one_way(const char *path, struct damage *random)
{
    uint64_t address = damage_number(random);
    size_t which = damage_below(random, NCOMMANDS + 1), nread = 0;
    if (which == NCOMMANDS)
        (void)look_with_functions(path, random, &nread, &address);
    else
        run_command(which, path, address, random);
}
