/* SPDX-License-Identifier: MIT
 *
 * notes.h - takes ELF notes one by one from memory that may hold anything.
 *
 *     | bytes of name | bytes | type | name, padded to 4 | bytes, padded to 4 |  next note ...
 */
#ifndef NOTES_H
#define NOTES_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct note {
    const char *owner;
    uint32_t type;
    const unsigned char *bytes;
    size_t nbytes, at; /* `at`: where the bytes lie among the notes */
};

/* Takes the note at *at, and moves *at behind it. Returns false if there is none that lies within
 * the n bytes. */
static inline bool next_note(const unsigned char *notes, size_t n, size_t *at, struct note *note)
{
    Elf64_Nhdr h;
    if (*at > n || n - *at < sizeof h)
        return false;
    memcpy(&h, notes + *at, sizeof h);
    size_t name = *at + sizeof h, name_bytes = ((size_t)h.n_namesz + 3) / 4 * 4;
    size_t nbytes = h.n_descsz;
    if (h.n_namesz == 0 || name_bytes > n - name || nbytes > n - name - name_bytes ||
        notes[name + h.n_namesz - 1] != '\0')
        return false;
    size_t start = name + name_bytes;
    *note = (struct note){(const char *)notes + name, h.n_type, notes + start, nbytes, start};
    *at = start + (nbytes + 3) / 4 * 4;
    return true;
}

#endif
