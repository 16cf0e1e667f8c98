/* SPDX-License-Identifier: MIT
 *
 * snapshot.c - writes a core file of the pages that were kept. See snapshot.h.
 *
 *     mapping       [ not kept ][ kept ][ not kept ]      three segments, the last two go on
 *     p_filesz           0        pages       0
 */
#include "snapshot.h"

#include <elf.h>
#include <err.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/procfs.h>
#include <unistd.h>

#include "command.h"
#include "source.h"

/* Bytes that grow. */
struct buffer {
    unsigned char *bytes;
    size_t n, room;
};

static void put(struct buffer *b, const void *bytes, size_t nbytes)
{
    if (b->n + nbytes > b->room) {
        b->room = 2 * (b->n + nbytes);
        b->bytes = realloc(b->bytes, b->room);
        if (b->bytes == NULL)
            err(UNKNOWN, "no memory");
    }
    if (nbytes > 0)
        memcpy(b->bytes + b->n, bytes, nbytes);
    b->n += nbytes;
}

static void put_number(struct buffer *b, uint64_t n)
{
    put(b, &n, sizeof n);
}

static void pad(struct buffer *b)
{
    while (b->n % 4 != 0)
        put(b, "", 1);
}

static void put_note(struct buffer *b, const char *owner, uint32_t type, const void *bytes,
                     size_t nbytes)
{
    size_t length = strlen(owner) + 1;
    Elf64_Nhdr h = {(uint32_t)length, (uint32_t)nbytes, type};
    put(b, &h, sizeof h);
    put(b, owner, length);
    pad(b);
    put(b, bytes, nbytes);
    pad(b);
}

/* --- notes -------------------------------------------------------------------------- */

static void put_process(struct buffer *b, const struct target *t)
{
    struct elf_prpsinfo info = {.pr_sname = 'R', .pr_pid = t->pid};
    for (size_t i = 0; i < t->nmappings; i++) {
        const char *file = t->mappings[i].file;
        if (file == NULL || file[0] != '/')
            continue;
        strncpy(info.pr_fname, strrchr(file, '/') + 1, sizeof info.pr_fname - 1);
        strncpy(info.pr_psargs, file, sizeof info.pr_psargs - 1);
        break;
    }
    put_note(b, "CORE", NT_PRPSINFO, &info, sizeof info);
}

static void put_thread(struct buffer *b, const struct target_thread *thread)
{
    struct elf_prstatus status = {.pr_pid = thread->id};
    memcpy(&status.pr_reg, thread->registers, sizeof status.pr_reg);
    put_note(b, "CORE", NT_PRSTATUS, &status, sizeof status);
    if (thread->nvectors > 0)
        put_note(b, NT_VECTORS == NT_PRFPREG ? "CORE" : "LINUX", NT_VECTORS, thread->vectors,
                 thread->nvectors * sizeof thread->vectors[0]);
}

/* The table of names: of files, or of all else that has one. */
static void put_names(struct buffer *b, const struct target *t, bool of_files)
{
    struct buffer table = {0}, names = {0};
    uint64_t n = 0;
    put_number(&table, 0);
    put_number(&table, 1); /* the unit of offsets */
    for (size_t i = 0; i < t->nmappings; i++) {
        const struct mapping *m = &t->mappings[i];
        if (m->file == NULL || (m->file[0] == '/') != of_files)
            continue;
        n++;
        put_number(&table, m->start);
        put_number(&table, m->end);
        put_number(&table, m->offset);
        put(&names, m->file, strlen(m->file) + 1);
    }
    memcpy(table.bytes, &n, sizeof n);
    put(&table, names.bytes, names.n);
    put_note(b, of_files ? "CORE" : SNAPSHOT_OWNER, of_files ? NT_FILE : SNAPSHOT_NAMES,
             table.bytes, table.n);
    free(table.bytes);
    free(names.bytes);
}

static void put_notes(struct buffer *b, const struct target *t, const struct extent *resident,
                      size_t nresident)
{
    for (size_t i = 0; i < t->nthreads; i++)
        put_thread(b, &t->threads[i]);
    put_process(b, t);
    put_names(b, t, true);
    put_names(b, t, false);
    if (resident != NULL)
        put_note(b, SNAPSHOT_OWNER, SNAPSHOT_RESIDENT, resident, nresident * sizeof *resident);
}

/* --- segments ------------------------------------------------------------------------ */

static uint32_t flags_of(const struct mapping *m, bool goes_on)
{
    return ((m->access & MAY_READ) != 0 ? PF_R : 0u) | ((m->access & MAY_WRITE) != 0 ? PF_W : 0u) |
           ((m->access & MAY_EXECUTE) != 0 ? PF_X : 0u) | (goes_on ? SNAPSHOT_GOES_ON : 0u);
}

static void put_segment(struct buffer *b, const struct mapping *m, uint64_t from, uint64_t to,
                        bool is_kept)
{
    Elf64_Phdr p = {.p_type = PT_LOAD,
                    .p_flags = flags_of(m, from > m->start),
                    .p_vaddr = from,
                    .p_filesz = is_kept ? to - from : 0,
                    .p_memsz = to - from,
                    .p_align = 1};
    if (from < to)
        put(b, &p, sizeof p);
}

/* Cuts all mappings into what was kept and what was not. Both lists are in address order. */
static void put_segments(struct buffer *b, const struct target *t, const struct kept *kept,
                         size_t nkept)
{
    size_t k = 0;
    for (size_t i = 0; i < t->nmappings; i++) {
        const struct mapping *m = &t->mappings[i];
        uint64_t at = m->start;
        while (k < nkept && kept[k].address + kept[k].nbytes <= at)
            k++;
        for (; k < nkept && kept[k].address < m->end; k++) {
            uint64_t from = kept[k].address > at ? kept[k].address : at;
            uint64_t end = kept[k].address + kept[k].nbytes, to = end < m->end ? end : m->end;
            put_segment(b, m, at, from, false);
            put_segment(b, m, from, to, true);
            at = to;
            if (end > m->end) /* the rest of it is in the next mapping */
                break;
        }
        put_segment(b, m, at, m->end, false);
    }
}

/* --- the file --------------------------------------------------------------------------- */

static bool write_at(int fd, const void *bytes, size_t nbytes, uint64_t offset)
{
    for (size_t done = 0; done < nbytes;) {
        ssize_t n = pwrite(fd, (const char *)bytes + done, nbytes - done, (off_t)(offset + done));
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

/* Writes the memory of one segment. Pages of zeros are left out: the file has holes there. */
static bool write_pages(int fd, const struct kept *k, const Elf64_Phdr *p)
{
    enum { PIECE = 4096 };
    const unsigned char *bytes = k->bytes + (p->p_vaddr - k->address);
    for (uint64_t at = 0; at < p->p_filesz; at += PIECE) {
        size_t n = p->p_filesz - at < PIECE ? (size_t)(p->p_filesz - at) : PIECE;
        if (!is_zero(bytes + at, n) && !write_at(fd, bytes + at, n, p->p_offset + at))
            return false;
    }
    return true;
}

/* More segments than fit into 16 bits are counted in a section header. */
static void put_head(struct buffer *b, const struct target *t, size_t nsegments)
{
    bool is_many = nsegments >= PN_XNUM;
    Elf64_Ehdr h = {.e_ident = ELFMAG,
                    .e_type = ET_CORE,
                    .e_machine = t->machine,
                    .e_version = EV_CURRENT,
                    .e_ehsize = sizeof h,
                    .e_phentsize = sizeof(Elf64_Phdr),
                    .e_phnum = is_many ? PN_XNUM : (uint16_t)nsegments,
                    .e_phoff = sizeof h + sizeof(Elf64_Shdr),
                    .e_shoff = is_many ? sizeof h : 0,
                    .e_shentsize = sizeof(Elf64_Shdr),
                    .e_shnum = is_many};
    Elf64_Shdr first = {.sh_info = (uint32_t)nsegments};
    h.e_ident[EI_CLASS] = ELFCLASS64;
    h.e_ident[EI_DATA] = ELFDATA2LSB;
    h.e_ident[EI_VERSION] = EV_CURRENT;
    put(b, &h, sizeof h);
    put(b, &first, sizeof first);
}

bool snapshot_write(struct target *t, const struct extent *resident, size_t nresident, int fd)
{
    enum { ALIGN = 4096 };
    const struct kept *kept;
    size_t nkept = target_kept(t, &kept), k = 0;
    struct buffer notes = {0}, segments = {0}, head = {0};
    Elf64_Phdr note = {.p_type = PT_NOTE, .p_align = 4};
    put_notes(&notes, t, resident, nresident);
    put_segments(&segments, t, kept, nkept);
    size_t n = segments.n / sizeof(Elf64_Phdr);
    put_head(&head, t, n + 1);
    note.p_offset = head.n + sizeof note + segments.n;
    note.p_filesz = notes.n;
    put(&head, &note, sizeof note);
    uint64_t at = (note.p_offset + notes.n + ALIGN - 1) / ALIGN * ALIGN;
    bool ok = write_at(fd, notes.bytes, notes.n, note.p_offset);
    for (size_t i = 0; i < n && ok; i++) {
        Elf64_Phdr *p = (Elf64_Phdr *)(void *)segments.bytes + i;
        p->p_offset = at;
        at += p->p_filesz;
        if (p->p_filesz == 0)
            continue;
        while (kept[k].address + kept[k].nbytes <= p->p_vaddr)
            k++;
        ok = write_pages(fd, &kept[k], p);
    }
    ok = ok && write_at(fd, head.bytes, head.n, 0) &&
         write_at(fd, segments.bytes, segments.n, head.n) && ftruncate(fd, (off_t)at) == 0;
    free(notes.bytes);
    free(segments.bytes);
    free(head.bytes);
    return ok;
}
