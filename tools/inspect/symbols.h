/* SPDX-License-Identifier: MIT
 *
 * symbols.h - names for addresses of a target: functions and variables, by libdwfl, from the files
 * of its programs and libraries (and their debug information, if it is installed).
 *
 * A tool that is built without libdw knows only which file an address is in. A name is taken only
 * from a file that is the one the target has mapped (image_is_file): a process in a container, or
 * one whose program has been deleted or built anew, has other files of these names here. Where the
 * right file cannot be opened there are no names.
 */
#ifndef SYMBOLS_H
#define SYMBOLS_H

#include "target.h"

struct symbols;

/* Opens the names of a target, which stays open at least as long. Nothing is read yet. */
struct symbols *symbols_open(struct target *t);
void symbols_close(struct symbols *s);

/* What an address lies in. */
struct symbol {
    const char *name; /* NULL: not known */
    uint64_t offset;  /* from where the symbol begins */
    uint64_t nbytes;  /* of the symbol; 0: not known */
    const char *file; /* the mapping's, or NULL */
    bool is_variable; /* else it is a function, or not known */
};

/* Finds the symbol at an address. Returns false if the address is in no mapping. What it points to
 * lasts until symbols_close. */
bool symbols_find(struct symbols *s, uint64_t address, struct symbol *found);

/* Writes "main+0x1c in server" for a symbol, or "main in server" for its first byte. Returns false
 * if it has no name. */
bool symbol_text(const struct symbol *s, char *text, size_t nbytes);

/* Finds the line of source that an address is of, if the file has debug information. What it points
 * to lasts until symbols_close. */
bool symbols_line(struct symbols *s, uint64_t address, const char **file, int *line);

/* Writes a name for an address as a person reads it: "main+0x1c in ./server", "[stack]",
 * "libfoo.so+0x1234". Returns `text`. */
char *symbols_text(struct symbols *s, uint64_t address, char *text, size_t nbytes);

/* Prints a stack of n return addresses: on lines of their own, or as an array of JSON. A return
 * address is that of the next instruction, so what is named is the byte before it: the call. */
void symbols_print_stack(struct symbols *s, const uint64_t *frames, size_t n);
void symbols_print_json_stack(struct symbols *s, const uint64_t *frames, size_t n);

/* --- without a target -------------------------------------------------------------------- */

/* Names for places in files, of processes that may have ended. */
struct symbol_files;

struct symbol_files *symbol_files_open(void);
void symbol_files_close(struct symbol_files *s);

/* Finds the symbol at an address of a file, as the file itself counts, and the line of source:
 * *source is NULL if that is not known. `id` is the build id that the file must have, in
 * hexadecimal digits; "" if none is known. Returns false if nothing is found, or if the file is
 * another one by now. What it points to lasts until symbol_files_close. */
bool symbol_files_find(struct symbol_files *s, const char *path, const char *id, uint64_t address,
                       struct symbol *found, const char **source, int *line);

#endif
