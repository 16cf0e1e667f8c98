/* SPDX-License-Identifier: MIT
 *
 * every.c - runs all commands on one file: see every.h.
 */
#include "every.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>

#include "command.h"

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

void look_with_every_command(const char *path, uint64_t address, unsigned style)
{
    char text[24], next[24];
    bool is_json = style & 1, other = style >> 1 & 1;
    const char *json = is_json ? "--json" : "--";
    snprintf(text, sizeof text, "0x%" PRIx64, address);
    snprintf(next, sizeof next, "0x%" PRIx64, address + 64);
    run(command_map, "map", (const char *const[]){other ? "--svg=/dev/null" : json, path, NULL});
    run(command_find, "find", (const char *const[]){json, path, text, next, NULL});
    run(command_sizes, "sizes", (const char *const[]){json, path, NULL});
    run(command_check, "check", (const char *const[]){json, path, NULL});
    run(command_leaks, "leaks",
        (const char *const[]){is_json ? "--json"
                              : other ? "--list"
                                      : "--top=3",
                              path, NULL});
    run(command_refs, "refs", (const char *const[]){json, path, text, NULL});
    run(command_refs, "refs", (const char *const[]){"--down", json, path, text, NULL});
    run(command_owners, "owners", (const char *const[]){json, path, NULL});
    run(command_history, "history", (const char *const[]){json, path, text, NULL});
    run(command_diff, "diff", (const char *const[]){json, path, path, NULL});
}
