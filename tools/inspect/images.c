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

/* An image that is being read, from the target or from a file. */
struct image {
    struct target *t;              /* NULL: from the file only */
    const struct mapping *mapping; /* where the target has it */
    int fd;                        /* of the file, opened when the target does not have the pages */
    uint64_t *budget;              /* how many bytes may still be read */
    struct identity identity;
};

static bool file_read(int fd, void *to, size_t nbytes, uint64_t offset)
{
    struct stat s;
    return fd >= 0 && fstat(fd, &s) == 0 && S_ISREG(s.st_mode) &&
           pread(fd, to, nbytes, (off_t)offset) == (ssize_t)nbytes;
}

/* Reads bytes of the image from an offset of the file. */
static bool image_read(struct image *i, void *to, size_t nbytes, uint64_t offset)
{
    if (nbytes > *i->budget)
        return false;
    *i->budget -= nbytes;
    if (i->t == NULL)
        return file_read(i->fd, to, nbytes, offset);
    uint64_t length = i->mapping->end - i->mapping->start;
    if (offset < length && nbytes <= length - offset &&
        target_read(i->t, i->mapping->start + offset, to, nbytes))
        return true;
    if (target_is_process(i->t) || i->mapping->file == NULL || i->mapping->file[0] != '/')
        return false;
    i->identity.is_of_file = true;
    if (i->fd < 0)
        i->fd = open(i->mapping->file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    return file_read(i->fd, to, nbytes, offset);
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
    i->identity.header = h;
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

static void note_build_id(struct image *i, const struct note *note)
{
    struct identity *id = &i->identity;
    if (strcmp(note->owner, "GNU") != 0 || note->type != NT_GNU_BUILD_ID)
        return;
    id->nbytes = note->nbytes;
    memcpy(id->bytes, note->bytes,
           note->nbytes < sizeof id->bytes ? note->nbytes : sizeof id->bytes);
}

static void read_notes(struct image *i, const Elf64_Phdr *p, uint64_t bias,
                       struct described **found, size_t *n)
{
    unsigned char notes[16384];
    struct note note;
    size_t at = 0, nbytes = p->p_filesz < sizeof notes ? (size_t)p->p_filesz : sizeof notes;
    if (!image_read(i, notes, nbytes, p->p_offset))
        return;
    while (next_note(notes, nbytes, &at, &note)) {
        note_build_id(i, &note);
        if (found != NULL)
            add_note(i, &note, bias + p->p_vaddr, found, n);
    }
}

/* Reads an image: its identity, and what it describes unless `found` is NULL. Returns false if
 * there is none. The caller closes its file. */
static bool read_image(struct image *i, struct described **found, size_t *n)
{
    Elf64_Phdr *headers;
    size_t nheaders = read_headers(i, &headers), first = 0;
    uint64_t start = i->mapping == NULL ? 0 : i->mapping->start;
    while (first < nheaders && (headers[first].p_type != PT_LOAD || headers[first].p_offset != 0))
        first++;
    for (size_t k = 0; first < nheaders && k < nheaders; k++)
        if (headers[k].p_type == PT_NOTE)
            read_notes(i, &headers[k], start - headers[first].p_vaddr, found, n);
    free(headers);
    return first < nheaders;
}

/* Of a core file that is damaged or made up, many images may name the same bytes: so at most
 * as many bytes are read, of all together, as the file has. */
size_t images_described(struct target *t, struct described **found)
{
    uint64_t budget = target_bytes(t);
    size_t n = 0;
    *found = NULL;
    t->nidentities = 0;
    for (size_t i = 0; i < target_nmappings(t); i++) {
        const struct mapping *m = &target_mappings(t)[i];
        struct image image = {.t = t, .mapping = m, .fd = -1, .budget = &budget};
        bool may_be_image = m->file != NULL && m->file[0] == '/' && m->offset == 0 && !m->is_shared;
        if (may_be_image && (m->access & MAY_READ) != 0 && read_image(&image, found, &n)) {
            t->identities = grown(t->identities, t->nidentities, sizeof *t->identities);
            image.identity.start = m->start;
            t->identities[t->nidentities++] = image.identity;
        }
        if (image.fd >= 0)
            close(image.fd);
    }
    return n;
}

/* Returns the identity of the image that is mapped at an address, or NULL. */
static const struct identity *identity_at(const struct target *t, uint64_t start)
{
    for (size_t i = 0; i < t->nidentities; i++)
        if (t->identities[i].start == start)
            return &t->identities[i];
    return NULL;
}

bool image_is_file(const struct target *t, uint64_t start, int fd)
{
    const struct identity *wanted = identity_at(t, start);
    uint64_t budget = UINT64_MAX;
    struct image image = {.fd = fd, .budget = &budget};
    if (!read_image(&image, NULL, NULL))
        return false;
    if (wanted == NULL || wanted->is_of_file)
        return !target_is_process(t);
    const struct identity *found = &image.identity;
    return memcmp(&wanted->header, &found->header, sizeof found->header) == 0 &&
           wanted->nbytes == found->nbytes &&
           memcmp(wanted->bytes, found->bytes, sizeof found->bytes) == 0;
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
