/* SPDX-License-Identifier: MIT
 *
 * images.c - reads the ELF headers and the notes of what is mapped into a target. See images.h.
 *
 *     mapping of a file from its offset 0   ELF header -> program headers -> PT_NOTE -> notes
 *     address of a note                     bias + its p_vaddr
 *     bias                                  mapping - p_vaddr of the PT_LOAD at offset 0
 */
#include "images.h"

#include <elf.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/describe.h"
#include "notes.h"
#include "source.h"

/* An image that is being read: `fd` is its file, opened when the target does not have the pages. */
struct image {
    struct target *t;
    const struct mapping *mapping;
    int fd;
};

/* Reads bytes of the image from an offset of the file. */
static bool image_read(struct image *i, void *to, size_t nbytes, uint64_t offset)
{
    struct stat s;
    uint64_t length = i->mapping->end - i->mapping->start;
    if (offset < length && nbytes <= length - offset &&
        target_read(i->t, i->mapping->start + offset, to, nbytes))
        return true;
    if (target_is_process(i->t) || i->mapping->file == NULL || i->mapping->file[0] != '/')
        return false;
    if (i->fd < 0)
        i->fd = open(i->mapping->file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    return i->fd >= 0 && fstat(i->fd, &s) == 0 && S_ISREG(s.st_mode) &&
           pread(i->fd, to, nbytes, (off_t)offset) == (ssize_t)nbytes;
}

/* Reads the program headers. Returns how many there are; 0 if that is no image of a 64-bit program
 * or library. The caller frees *headers. */
static size_t read_headers(struct image *i, Elf64_Phdr **headers)
{
    enum { MOST = 256 };
    Elf64_Ehdr h;
    *headers = NULL;
    if (!image_read(i, &h, sizeof h, 0) || memcmp(h.e_ident, ELFMAG, SELFMAG) != 0 ||
        h.e_ident[EI_CLASS] != ELFCLASS64 || h.e_ident[EI_DATA] != ELFDATA2LSB ||
        (h.e_type != ET_DYN && h.e_type != ET_EXEC) || h.e_phentsize != sizeof **headers ||
        h.e_phnum > MOST)
        return 0;
    *headers = calloc((size_t)h.e_phnum + 1, sizeof **headers);
    bool ok = *headers != NULL && image_read(i, *headers, h.e_phnum * sizeof **headers, h.e_phoff);
    return ok ? h.e_phnum : 0;
}

static void add_note(const struct image *i, const struct note *note, uint64_t address,
                     struct described **found, size_t *n)
{
    struct description d;
    if (strcmp(note->owner, DESCRIBED_OWNER) != 0 || note->nbytes != sizeof d)
        return;
    memcpy(&d, note->bytes, sizeof d);
    uint64_t field = address + note->at + offsetof(struct description, offset);
    *found = grown(*found, *n, sizeof **found);
    (*found)[(*n)++] = (struct described){.type = note->type,
                                          .layout = d.layout,
                                          .address = field + (uint64_t)d.offset,
                                          .file = i->mapping->file};
}

static void read_notes(struct image *i, const Elf64_Phdr *p, uint64_t bias,
                       struct described **found, size_t *n)
{
    unsigned char notes[16384];
    struct note note;
    size_t at = 0, nbytes = p->p_filesz < sizeof notes ? (size_t)p->p_filesz : sizeof notes;
    if (!image_read(i, notes, nbytes, p->p_offset))
        return;
    while (next_note(notes, nbytes, &at, &note))
        add_note(i, &note, bias + p->p_vaddr, found, n);
}

static void read_image(struct target *t, const struct mapping *m, struct described **found,
                       size_t *n)
{
    struct image image = {.t = t, .mapping = m, .fd = -1};
    Elf64_Phdr *headers;
    size_t nheaders = read_headers(&image, &headers), first = 0;
    while (first < nheaders && (headers[first].p_type != PT_LOAD || headers[first].p_offset != 0))
        first++;
    for (size_t i = 0; first < nheaders && i < nheaders; i++)
        if (headers[i].p_type == PT_NOTE)
            read_notes(&image, &headers[i], m->start - headers[first].p_vaddr, found, n);
    free(headers);
    if (image.fd >= 0)
        close(image.fd);
}

size_t images_described(struct target *t, struct described **found)
{
    size_t n = 0;
    *found = NULL;
    for (size_t i = 0; i < target_nmappings(t); i++) {
        const struct mapping *m = &target_mappings(t)[i];
        bool may_be_image = m->file != NULL && m->file[0] == '/' && m->offset == 0 && !m->is_shared;
        if (may_be_image && (m->access & MAY_READ) != 0)
            read_image(t, m, found, &n);
    }
    return n;
}

const char *images_malloc(const struct target *t)
{
    static const struct {
        const char *part, *name;
    } known[] = {{"/libjemalloc", "jemalloc"},
                 {"/libtcmalloc", "tcmalloc"},
                 {"/libmimalloc", "mimalloc"},
                 {"/libsnmalloc", "snmalloc"},
                 {"/libhardened_malloc", "hardened_malloc"},
                 {"/libasan", "AddressSanitizer's"},
                 {"/ld-musl", "musl's"},
                 {"/libc.so.6", "glibc's"},
                 {"/libc-2.", "glibc's"}};
    for (size_t k = 0; k < sizeof known / sizeof *known; k++)
        for (size_t i = 0; i < target_nmappings(t); i++) {
            const char *file = target_mappings(t)[i].file;
            if (file != NULL && strstr(file, known[k].part) != NULL)
                return known[k].name;
        }
    return NULL;
}
