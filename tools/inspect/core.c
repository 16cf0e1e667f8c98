/* SPDX-License-Identifier: MIT
 *
 * core.c - a core file as a target: of the kernel, of gcore, or a snapshot. Invariants: target.h.
 *
 *     ELF header | program headers | notes | memory ...
 *                  PT_LOAD: a mapping, and as much of its memory as the file holds
 *                  PT_NOTE: NT_PRSTATUS (a thread), NT_FILE (names), NT_PRPSINFO (the process), and
 *                           in a snapshot SNAPSHOT_RESIDENT (pages in memory)
 *
 * These few structures are read here and not by libelf, so that a damaged file is met by code that
 * compares each number with the size of the file [TG2].
 */
#include <elf.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/procfs.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "compress.h"
#include "notes.h"
#include "snapshot.h"
#include "source.h"

/* A piece of memory that the file holds. */
struct segment {
    uint64_t address, nbytes, offset;
};

struct core {
    int fd;
    uint64_t file_bytes;
    struct segment *segments; /* by address, without overlap */
    size_t nsegments;
    bool is_truncated, knows_resident, knows_files, knows_names; /* by the note that says it */
    struct extent *resident;
    size_t nresident;
};

/* Reads all nbytes at an offset. */
static bool read_at(const struct core *c, void *to, size_t nbytes, uint64_t offset)
{
    if (offset > c->file_bytes || nbytes > c->file_bytes - offset)
        return false;
    for (size_t done = 0; done < nbytes;) {
        ssize_t n = pread(c->fd, (char *)to + done, nbytes - done, (off_t)(offset + done));
        if (n <= 0)
            return false; /* the file has become shorter meanwhile */
        done += (size_t)n;
    }
    return true;
}

/* --- notes ------------------------------------------------------------------------ */

/* What comes before the registers is alike on all 64-bit machines. The registers of another one are
 * not known here. There are at most as many threads as the file has room for their registers. */
static void note_thread(struct target *t, const struct note *note)
{
    struct elf_prstatus status = {0};
    bool is_own = t->machine == OWN_MACHINE;
    size_t wanted = is_own ? sizeof status : offsetof(struct elf_prstatus, pr_reg);
    if (note->nbytes < wanted || t->nthreads >= t->core->file_bytes / sizeof status)
        return;
    memcpy(&status, note->bytes, wanted);
    t->threads = grown(t->threads, t->nthreads, sizeof *t->threads);
    thread_fill(&t->threads[t->nthreads++], status.pr_pid, &status.pr_reg,
                is_own ? sizeof status.pr_reg : 0);
}

static uint64_t number_at(const unsigned char *bytes, size_t i)
{
    uint64_t n;
    memcpy(&n, bytes + i * sizeof n, sizeof n);
    return n;
}

/* The vector registers of a thread come behind its other registers. */
static void note_vectors(struct target *t, const struct note *note)
{
    if (t->nthreads > 0)
        thread_add_vectors(&t->threads[t->nthreads - 1], note->bytes, note->nbytes);
}

/* The kernel puts random bytes onto the stack of the first thread, and says where: so that mapping
 * is the stack, which no core file names. */
static void note_stack(struct target *t, const struct note *note)
{
    enum { WORD = 8 };
    for (size_t i = 0; i + 1 < note->nbytes / WORD; i += 2) {
        uint64_t at = number_at(note->bytes, i + 1);
        const struct mapping *m =
            number_at(note->bytes, i) == AT_RANDOM ? target_mapping(t, at) : NULL;
        if (m != NULL && m->file == NULL)
            t->mappings[m - t->mappings].file = strdup("[stack]");
    }
}

static void note_process(struct target *t, const struct note *note)
{
    struct elf_prpsinfo info;
    if (note->nbytes < sizeof info)
        return;
    memcpy(&info, note->bytes, sizeof info);
    t->pid = info.pr_pid > 0 ? info.pr_pid : 0;
}

/* Appends a mapping of a file that no segment is of: gcore leaves out what the program cannot write
 * to. Its bytes cannot be read, but it has a name. */
static void add_unheld(struct target *t, uint64_t start, uint64_t end, uint64_t offset,
                       const char *file)
{
    t->mappings = grown(t->mappings, t->nmappings, sizeof *t->mappings);
    t->mappings[t->nmappings++] = (struct mapping){.start = start,
                                                   .end = end,
                                                   .access = MAY_READ | MAY_EXECUTE,
                                                   .offset = offset,
                                                   .file = strdup(file)};
}

static int compare_mappings(const void *a, const void *b)
{
    const struct mapping *x = a, *y = b;
    return x->start < y->start ? -1 : x->start > y->start;
}

/* Names the mappings: n, the unit of offsets, n times (start, end, offset), n names. The table and
 * the mappings are both in address order in every core file; one that is not names fewer. */
static void note_files(struct target *t, const struct note *note)
{
    enum { WORD = 8, HEAD = 2, EACH = 3 };
    size_t nwords = note->nbytes / WORD, m = 0, nheld = t->nmappings;
    uint64_t last = 0; /* where the mapping before ends */
    uint64_t n = nwords < HEAD ? 0 : number_at(note->bytes, 0);
    uint64_t unit = nwords < HEAD ? 0 : number_at(note->bytes, 1);
    if (nwords < HEAD || n > (nwords - HEAD) / EACH)
        return;
    const char *name = (const char *)note->bytes + (HEAD + n * EACH) * WORD;
    const char *end = (const char *)note->bytes + note->nbytes;
    for (size_t i = 0; i < n; i++) {
        uint64_t start = number_at(note->bytes, HEAD + i * EACH);
        uint64_t to = number_at(note->bytes, HEAD + i * EACH + 1);
        uint64_t offset = number_at(note->bytes, HEAD + i * EACH + 2) * unit;
        size_t length = strnlen(name, (size_t)(end - name));
        if (name + length == end)
            break;
        while (m < nheld && t->mappings[m].start < start)
            last = t->mappings[m++].end;
        if (m < nheld && t->mappings[m].start == start && t->mappings[m].file == NULL) {
            t->mappings[m].file = strdup(name);
            t->mappings[m].offset = offset;
        } else if (start >= last && to > start && (m == nheld || to <= t->mappings[m].start)) {
            add_unheld(t, start, to, offset, name);
            last = to;
        }
        name += length + 1;
    }
    sort_array(t->mappings, t->nmappings, sizeof *t->mappings, compare_mappings);
}

/* The extents of a snapshot are in address order; what is not is left out. */
static void note_resident(struct core *c, const struct note *note)
{
    size_t nwords = note->nbytes / 8;
    uint64_t end = 0;
    for (size_t i = 0; i + 1 < nwords; i += 2) {
        uint64_t from = number_at(note->bytes, i), to = number_at(note->bytes, i + 1);
        if (from < end || to <= from)
            continue;
        extent_add(&c->resident, &c->nresident, from, to);
        end = to;
    }
}

/* Returns whether a note is the first of its kind, of which each file has one. */
static bool is_first(bool *known)
{
    bool was_known = *known;
    *known = true;
    return !was_known;
}

static void take_core_note(struct target *t, const struct note *note)
{
    if (note->type == NT_PRSTATUS)
        note_thread(t, note);
    else if (note->type == NT_AUXV)
        note_stack(t, note);
    else if (note->type == NT_PRPSINFO)
        note_process(t, note);
    else if (note->type == NT_FILE && is_first(&t->core->knows_files))
        note_files(t, note);
}

static void take_own_note(struct target *t, const struct note *note)
{
    if (note->type == SNAPSHOT_NAMES && is_first(&t->core->knows_names))
        note_files(t, note);
    else if (note->type == SNAPSHOT_RESIDENT && is_first(&t->core->knows_resident))
        note_resident(t->core, note);
}

static void take_note(struct target *t, const struct note *note)
{
    if (strcmp(note->owner, SNAPSHOT_OWNER) == 0)
        take_own_note(t, note);
    else if (note->type == NT_VECTORS && t->machine == OWN_MACHINE)
        note_vectors(t, note); /* its owner is "LINUX" or "CORE" */
    else if (strcmp(note->owner, "CORE") == 0)
        take_core_note(t, note);
}

/* Reads notes, as far as they are in the file and there is room. Returns false without room. */
static bool read_notes(struct target *t, const Elf64_Phdr *p, uint64_t *room)
{
    struct core *c = t->core;
    struct note note;
    size_t at = 0, nbytes = p->p_filesz;
    if (p->p_offset > c->file_bytes || nbytes > c->file_bytes - p->p_offset) {
        c->is_truncated |= nbytes > 0;
        return true;
    }
    if (nbytes > *room)
        return false;
    *room -= nbytes;
    unsigned char *notes = malloc(nbytes + 1);
    if (notes != NULL && read_at(c, notes, nbytes, p->p_offset))
        while (next_note(notes, nbytes, &at, &note))
            take_note(t, &note);
    free(notes);
    return true;
}

/* --- segments ---------------------------------------------------------------------- */

static unsigned access_of(uint32_t flags)
{
    return ((flags & PF_R) != 0 ? MAY_READ : 0u) | ((flags & PF_W) != 0 ? MAY_WRITE : 0u) |
           ((flags & PF_X) != 0 ? MAY_EXECUTE : 0u);
}

/* Adds a segment to the mappings. A snapshot cuts a mapping into pieces that it holds and pieces
 * that it does not, which are one mapping again here. */
static void add_mapping(struct target *t, const Elf64_Phdr *p)
{
    struct mapping *last = t->nmappings > 0 ? &t->mappings[t->nmappings - 1] : NULL;
    bool goes_on = (p->p_flags & SNAPSHOT_GOES_ON) != 0 && last != NULL && last->end == p->p_vaddr;
    if (goes_on) {
        last->end = p->p_vaddr + p->p_memsz;
        return;
    }
    t->mappings = grown(t->mappings, t->nmappings, sizeof *t->mappings);
    t->mappings[t->nmappings++] = (struct mapping){.start = p->p_vaddr,
                                                   .end = p->p_vaddr + p->p_memsz,
                                                   .access = access_of(p->p_flags)};
}

/* Adds what the file really has of a segment. */
static void add_segment(struct core *c, const Elf64_Phdr *p)
{
    uint64_t nbytes = p->p_filesz < p->p_memsz ? p->p_filesz : p->p_memsz;
    uint64_t there = p->p_offset < c->file_bytes ? c->file_bytes - p->p_offset : 0;
    c->is_truncated |= there < nbytes;
    nbytes = nbytes < there ? nbytes : there;
    if (nbytes == 0)
        return;
    c->segments = grown(c->segments, c->nsegments, sizeof *c->segments);
    c->segments[c->nsegments++] = (struct segment){p->p_vaddr, nbytes, p->p_offset};
}

static int compare_headers(const void *a, const void *b)
{
    const Elf64_Phdr *x = a, *y = b;
    return x->p_vaddr < y->p_vaddr ? -1 : x->p_vaddr > y->p_vaddr;
}

/* Takes all segments in address order, and then the notes, which name the mappings. A segment that
 * overlaps another one, or that wraps, is damage; so are more notes than fit into the file. */
static bool take_headers(struct target *t, Elf64_Phdr *p, size_t n)
{
    uint64_t end = 0, room = t->core->file_bytes;
    sort_array(p, n, sizeof *p, compare_headers);
    for (size_t i = 0; i < n; i++) {
        if (p[i].p_type != PT_LOAD || p[i].p_memsz == 0)
            continue;
        if (p[i].p_vaddr < end || p[i].p_memsz > UINT64_MAX - p[i].p_vaddr)
            return false;
        end = p[i].p_vaddr + p[i].p_memsz;
        add_mapping(t, &p[i]);
        add_segment(t->core, &p[i]);
    }
    for (size_t i = 0; i < n; i++)
        if (p[i].p_type == PT_NOTE && !read_notes(t, &p[i], &room))
            return false;
    return true;
}

/* --- the file ------------------------------------------------------------------------- */

/* Says what is wrong with the ELF header, or returns NULL. */
static const char *fault_of(const Elf64_Ehdr *h)
{
    if (memcmp(h->e_ident, ELFMAG, SELFMAG) != 0)
        return "that is neither a core file nor a snapshot (it is no ELF file)";
    if (h->e_ident[EI_CLASS] == ELFCLASS32)
        return "that is a core file of a 32-bit program; libmem's heaps are in 64-bit programs "
               "only";
    if (h->e_ident[EI_CLASS] != ELFCLASS64 || h->e_ident[EI_DATA] != ELFDATA2LSB)
        return "that is a core file of another kind of processor";
    if (h->e_type != ET_CORE)
        return "that is an ELF file, and no core file: give a process id, a core file or a "
               "snapshot";
    if (h->e_machine != EM_X86_64 && h->e_machine != EM_AARCH64)
        return "that is a core file of another processor: mem knows x86-64 and arm64";
    if (h->e_phentsize != sizeof(Elf64_Phdr))
        return "the core file is damaged: its program headers have a strange size";
    return NULL;
}

/* Files with 65535 program headers or more have the number in the first section header. */
static uint64_t count_headers(const struct core *c, const Elf64_Ehdr *h)
{
    Elf64_Shdr first;
    if (h->e_phnum != PN_XNUM)
        return h->e_phnum;
    return read_at(c, &first, sizeof first, h->e_shoff) ? first.sh_info : 0;
}

static bool read_headers(struct target *t)
{
    struct core *c = t->core;
    Elf64_Ehdr h;
    if (!read_at(c, &h, sizeof h, 0)) {
        warnx("%s: that is neither a core file nor a snapshot (it has %" PRIu64 " bytes)", t->name,
              c->file_bytes);
        return false;
    }
    const char *fault = fault_of(&h);
    if (fault != NULL) {
        warnx("%s: %s", t->name, fault);
        return false;
    }
    t->machine = h.e_machine;
    uint64_t n = count_headers(c, &h);
    Elf64_Phdr *p = n <= c->file_bytes / sizeof *p ? malloc(n * sizeof *p + 1) : NULL;
    bool is_there = p != NULL && n > 0 && read_at(c, p, n * sizeof *p, h.e_phoff);
    bool ok = is_there && take_headers(t, p, n);
    if (!is_there)
        warnx("%s: the core file was cut off: it ends before its list of mappings", t->name);
    else if (!ok)
        warnx("%s: the core file is damaged: two mappings, or two lists of notes, overlap",
              t->name);
    free(p);
    return ok;
}

/* Opens without waiting for the other end, should it be a pipe. */
bool core_open(struct target *t, const char *path)
{
    struct stat s;
    t->core = grown(NULL, 0, sizeof *t->core);
    struct core *c = t->core;
    c->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (c->fd < 0 || fstat(c->fd, &s) != 0) {
        warn("%s", path);
        return false;
    }
    if (!S_ISREG(s.st_mode)) {
        warnx("%s: that is no file: give a process id, a core file or a snapshot", path);
        return false;
    }
    c->file_bytes = (uint64_t)s.st_size;
    if (decompress_if_needed(&c->fd, &c->file_bytes, path))
        return read_headers(t);
    return false;
}

void core_close(struct target *t)
{
    if (t->core->fd >= 0)
        close(t->core->fd);
    free(t->core->segments);
    free(t->core->resident);
    free(t->core);
}

uint64_t core_bytes(const struct target *t)
{
    return t->core->file_bytes;
}

bool core_is_truncated(const struct target *t)
{
    return t->core->is_truncated;
}

/* --- memory ---------------------------------------------------------------------------- */

/* Returns the last segment that begins at or below the address; n if there is none. */
static size_t segment_below(const struct core *c, uint64_t address)
{
    size_t low = 0, n = c->nsegments;
    while (n > 0) {
        size_t half = n / 2;
        bool is_below = c->segments[low + half].address <= address;
        low = is_below ? low + half + 1 : low;
        n = is_below ? n - half - 1 : half;
    }
    return low == 0 ? c->nsegments : low - 1;
}

/* From one segment to the next, as long as they touch. */
size_t core_read(struct target *t, uint64_t address, void *to, size_t nbytes)
{
    const struct core *c = t->core;
    size_t done = 0;
    for (size_t i = segment_below(c, address); i < c->nsegments && done < nbytes; i++) {
        const struct segment *s = &c->segments[i];
        uint64_t into = address + done - s->address;
        if (address + done < s->address || into >= s->nbytes)
            break;
        size_t n = nbytes - done < s->nbytes - into ? nbytes - done : (size_t)(s->nbytes - into);
        if (!read_at(c, (char *)to + done, n, s->offset + into))
            break;
        done += n;
    }
    return done;
}

/* Returns the start of the first segment behind the address, or `end`. */
uint64_t core_next(const struct target *t, uint64_t address, uint64_t end)
{
    const struct core *c = t->core;
    size_t below = segment_below(c, address), i = below == c->nsegments ? 0 : below + 1;
    return i < c->nsegments ? c->segments[i].address : end;
}

bool core_resident(struct target *t, uint64_t start, uint64_t end, struct extent **list, size_t *n)
{
    const struct core *c = t->core;
    for (size_t i = 0; i < c->nresident; i++) {
        struct extent e = c->resident[i];
        e.start = e.start > start ? e.start : start;
        e.end = e.end < end ? e.end : end;
        if (e.start < e.end)
            extent_add(list, n, e.start, e.end);
    }
    return c->knows_resident;
}
