/* SPDX-License-Identifier: MIT
 *
 * symbols.c - names for addresses, by libdwfl. See symbols.h.
 *
 * A file is reported to libdwfl when an address in it is asked for first. libdwfl sees only files
 * on this machine's disk, never the bytes of a core file, which may be damaged.
 */
#include "symbols.h"

#include <err.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "images.h"
#include "source.h"

#ifdef HAVE_LIBDW
#include <elfutils/libdwfl.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

/* A file that was reported, or that cannot be. */
struct module {
    uint64_t start;        /* where its first mapping begins */
    Dwfl_Module *reported; /* NULL: it has no names */
};

struct symbols {
    struct target *t;
    Dwfl *dwfl;
    struct module *modules;
    size_t nmodules;
};

static char *debug_path; /* NULL: where the system has it */
static const Dwfl_Callbacks callbacks = {.find_elf = dwfl_build_id_find_elf,
                                         .find_debuginfo = dwfl_standard_find_debuginfo,
                                         .debuginfo_path = &debug_path};

struct symbols *symbols_open(struct target *t)
{
    struct symbols *s = grown(NULL, 0, sizeof *s);
    s->t = t;
    s->dwfl = dwfl_begin(&callbacks);
    return s;
}

void symbols_close(struct symbols *s)
{
    if (s->dwfl != NULL)
        dwfl_end(s->dwfl);
    free(s->modules);
    free(s);
}

/* Returns the first mapping of the file that a mapping is of: the nearest one below with offset
 * 0. */
static const struct mapping *first_of(const struct symbols *s, const struct mapping *m)
{
    const struct mapping *all = target_mappings(s->t);
    for (size_t i = (size_t)(m - all) + 1; i > 0; i--) {
        const char *file = all[i - 1].file;
        if (file != NULL && strcmp(file, m->file) == 0 && all[i - 1].offset == 0)
            return &all[i - 1];
    }
    return NULL;
}

static int open_file(const char *path)
{
    return open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
}

/* Reports a file, which is closed with it, to libdwfl, at the address where it is mapped. libdwfl
 * takes the difference between addresses in the file and in memory, which is 0 for a program that
 * is not relocated. */
static Dwfl_Module *report(Dwfl *dwfl, const char *path, int fd, uint64_t start)
{
    struct stat st;
    Elf64_Ehdr h;
    if (fd < 0)
        return NULL;
    bool is_image = dwfl != NULL && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
                    pread(fd, &h, sizeof h, 0) == (ssize_t)sizeof h &&
                    memcmp(h.e_ident, ELFMAG, SELFMAG) == 0;
    Dwfl_Module *module = NULL;
    if (is_image) {
        dwfl_report_begin_add(dwfl);
        module = dwfl_report_elf(dwfl, path, path, fd, h.e_type == ET_EXEC ? 0 : start, false);
        dwfl_report_end(dwfl, NULL, NULL);
    }
    if (module == NULL) /* else the descriptor is libdwfl's now */
        close(fd);
    return module;
}

/* Opens the file that is mapped at `first`; returns -1 if it is not there any longer. A process may
 * have a root of its own, and its program may have been deleted or replaced: so the file is looked
 * for where the kernel knows it, and each file is compared with what is mapped. map_files is for
 * root only. */
static int open_mapped(const struct target *t, const struct mapping *first)
{
    char path[PATH_MAX + 64];
    for (int way = target_is_process(t) ? 0 : 3; way < 4; way++) {
        if (way == 0)
            snprintf(path, sizeof path, "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, target_task(t),
                     first->start, first->end);
        else if (way == 1)
            snprintf(path, sizeof path, "/proc/%d/root%s", target_task(t), first->file);
        else if (way == 2)
            snprintf(path, sizeof path, "/proc/%d/exe", target_task(t));
        int fd = open_file(way == 3 ? first->file : path);
        if (fd >= 0 && image_is_file(t, first->start, fd))
            return fd;
        if (fd >= 0)
            close(fd);
    }
    return -1;
}

static Dwfl_Module *module_of(struct symbols *s, const struct mapping *m)
{
    const struct mapping *first = s->dwfl == NULL ? NULL : first_of(s, m);
    if (first == NULL)
        return NULL;
    for (size_t i = 0; i < s->nmodules; i++)
        if (s->modules[i].start == first->start)
            return s->modules[i].reported;
    s->modules = grown(s->modules, s->nmodules, sizeof *s->modules);
    s->modules[s->nmodules] =
        (struct module){first->start,
                        report(s->dwfl, first->file, open_mapped(s->t, first), first->start)};
    return s->modules[s->nmodules++].reported;
}

static void find_in(Dwfl_Module *module, uint64_t address, struct symbol *found)
{
    GElf_Sym symbol;
    GElf_Off offset;
    if (module == NULL)
        return;
    const char *name = dwfl_module_addrinfo(module, address, &offset, &symbol, NULL, NULL, NULL);
    if (name == NULL || (symbol.st_size > 0 && offset >= symbol.st_size))
        return;
    found->name = name;
    found->offset = offset;
    found->nbytes = symbol.st_size;
    found->is_variable = GELF_ST_TYPE(symbol.st_info) == STT_OBJECT;
}

static void find_name(struct symbols *s, const struct mapping *m, uint64_t address,
                      struct symbol *found)
{
    find_in(module_of(s, m), address, found);
}

/* Asks each compilation unit: clang writes no table (.debug_aranges) of which addresses are whose,
 * by which dwfl_module_getsrc finds the unit. */
static Dwarf_Line *line_by_units(Dwfl_Module *module, uint64_t address)
{
    Dwarf_Addr bias;
    Dwarf_Die *unit = NULL;
    while ((unit = dwfl_module_nextcu(module, unit, &bias)) != NULL)
        if (dwarf_haspc(unit, address - bias) > 0)
            return dwarf_getsrc_die(unit, address - bias);
    return NULL;
}

static bool line_in(Dwfl_Module *module, uint64_t address, const char **file, int *line)
{
    Dwfl_Line *found = module == NULL ? NULL : dwfl_module_getsrc(module, address);
    *file = found == NULL ? NULL : dwfl_lineinfo(found, NULL, line, NULL, NULL, NULL);
    Dwarf_Line *other = module == NULL || found != NULL ? NULL : line_by_units(module, address);
    if (other != NULL && dwarf_lineno(other, line) == 0)
        *file = dwarf_linesrc(other, NULL, NULL);
    return *file != NULL;
}

bool symbols_line(struct symbols *s, uint64_t address, const char **file, int *line)
{
    const struct mapping *m = target_mapping(s->t, address);
    bool is_file = m != NULL && m->file != NULL && m->file[0] == '/';
    return line_in(is_file ? module_of(s, m) : NULL, address, file, line);
}

/* --- without a target ------------------------------------------------------------------------ */

/* Each has a Dwfl of its own, since all lie at address 0. */
struct symbol_file {
    char *path, *id;
    Dwfl *dwfl;
    Dwfl_Module *module; /* NULL: the file is not there, or is another one */
};

struct symbol_files {
    struct symbol_file *list;
    size_t n;
};

struct symbol_files *symbol_files_open(void)
{
    return grown(NULL, 0, sizeof(struct symbol_files));
}

void symbol_files_close(struct symbol_files *s)
{
    for (size_t i = 0; i < s->n; i++) {
        free(s->list[i].path);
        free(s->list[i].id);
        if (s->list[i].dwfl != NULL)
            dwfl_end(s->list[i].dwfl);
    }
    free(s->list);
    free(s);
}

/* Compares the build id of a module with digits. */
static bool has_id(Dwfl_Module *module, const char *digits)
{
    const unsigned char *id;
    char text[3];
    GElf_Addr bias;
    (void)dwfl_module_getelf(module, &bias); /* the id is known from then on */
    int n = dwfl_module_build_id(module, &id, &bias);
    if (n < 0 || strlen(digits) != 2 * (size_t)n)
        return false;
    for (int i = 0; i < n; i++) {
        snprintf(text, sizeof text, "%02x", id[i]);
        if (strncmp(text, digits + 2 * i, 2) != 0)
            return false;
    }
    return true;
}

static Dwfl_Module *module_of_file(struct symbol_files *s, const char *path, const char *id)
{
    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->list[i].path, path) == 0 && strcmp(s->list[i].id, id) == 0)
            return s->list[i].module;
    s->list = grown(s->list, s->n, sizeof *s->list);
    struct symbol_file *f = &s->list[s->n++];
    *f = (struct symbol_file){strdup(path), strdup(id), dwfl_begin(&callbacks), NULL};
    if (f->path == NULL || f->id == NULL)
        err(UNKNOWN, "no memory");
    f->module = report(f->dwfl, path, open_file(path), 0);
    if (f->module != NULL && *id != '\0' && !has_id(f->module, id))
        f->module = NULL;
    return f->module;
}

bool symbol_files_find(struct symbol_files *s, const char *path, const char *id, uint64_t address,
                       struct symbol *found, const char **source, int *line)
{
    Dwfl_Module *module = module_of_file(s, path, id);
    *found = (struct symbol){.file = path};
    find_in(module, address, found);
    (void)line_in(module, address, source, line);
    return found->name != NULL;
}
#else
struct symbol_files *symbol_files_open(void)
{
    return NULL;
}

void symbol_files_close(struct symbol_files *s)
{
    (void)s;
}

bool symbol_files_find(struct symbol_files *s, const char *path, const char *id, uint64_t address,
                       struct symbol *found, const char **source, int *line)
{
    (void)s;
    (void)path;
    (void)id;
    (void)address;
    (void)found;
    (void)source;
    (void)line;
    return false;
}

struct symbols {
    struct target *t;
};

struct symbols *symbols_open(struct target *t)
{
    struct symbols *s = grown(NULL, 0, sizeof *s);
    s->t = t;
    return s;
}

void symbols_close(struct symbols *s)
{
    free(s);
}

static void find_name(struct symbols *s, const struct mapping *m, uint64_t address,
                      struct symbol *found)
{
    (void)s;
    (void)m;
    (void)address;
    (void)found;
}

bool symbols_line(struct symbols *s, uint64_t address, const char **file, int *line)
{
    (void)s;
    (void)address;
    (void)file;
    (void)line;
    return false;
}
#endif

/* The memory behind a file's last page, where variables are that begin as 0, belongs to the file
 * that ends there. */
static const struct mapping *mapping_with_file(struct target *t, uint64_t address)
{
    const struct mapping *m = target_mapping(t, address);
    bool follows = m != NULL && m->file == NULL && m > target_mappings(t) &&
                   m[-1].end == m->start && m[-1].file != NULL && m[-1].file[0] == '/' &&
                   (m->access & MAY_WRITE) != 0;
    return follows ? m - 1 : m;
}

bool symbols_find(struct symbols *s, uint64_t address, struct symbol *found)
{
    const struct mapping *m = mapping_with_file(s->t, address);
    *found = (struct symbol){0};
    if (m == NULL)
        return false;
    found->file = m->file;
    if (m->file != NULL && m->file[0] == '/')
        find_name(s, m, address, found);
    return true;
}

/* Returns the name of a file without those of its folders. */
static const char *base_of(const char *path)
{
    const char *slash = path == NULL ? NULL : strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

bool symbol_text(const struct symbol *s, char *text, size_t nbytes)
{
    if (s->name == NULL)
        return false;
    if (s->offset > 0)
        snprintf(text, nbytes, "%s+0x%" PRIx64 " in %s", s->name, s->offset, base_of(s->file));
    else
        snprintf(text, nbytes, "%s in %s", s->name, base_of(s->file));
    clean_text(text);
    return true;
}

char *symbols_text(struct symbols *s, uint64_t address, char *text, size_t nbytes)
{
    struct symbol found;
    const struct mapping *m = mapping_with_file(s->t, address);
    if (!symbols_find(s, address, &found)) {
        snprintf(text, nbytes, "no memory");
        return text;
    }
    const char *base = base_of(found.file);
    if (symbol_text(&found, text, nbytes))
        return text;
    if (base != found.file)
        snprintf(text, nbytes, "%s+0x%" PRIx64, base, address - m->start + m->offset);
    else
        snprintf(text, nbytes, "%s", base == NULL ? "memory without a name" : base);
    return clean_text(text);
}

enum { FRAME_TEXT = 400 };

void symbols_print_stack(struct symbols *s, const uint64_t *frames, size_t n)
{
    char text[FRAME_TEXT];
    const char *file;
    int line;
    for (size_t i = 0; i < n; i++) {
        uint64_t call = frames[i] - 1;
        printf("    #%zu 0x%" PRIx64 " %s", i, call, symbols_text(s, call, text, sizeof text));
        if (symbols_line(s, call, &file, &line)) {
            snprintf(text, sizeof text, "%s", file);
            printf(" at %s:%d", clean_text(text), line);
        }
        printf("\n");
    }
    if (n == 0)
        printf("    stack unknown\n");
}

void symbols_print_json_stack(struct symbols *s, const uint64_t *frames, size_t n)
{
    char text[FRAME_TEXT];
    const char *file;
    int line;
    printf("[");
    for (size_t i = 0; i < n; i++) {
        uint64_t call = frames[i] - 1;
        printf("%s{\"address\": \"0x%" PRIx64 "\", \"is\": ", i == 0 ? "" : ", ", call);
        print_json(stdout, symbols_text(s, call, text, sizeof text));
        if (symbols_line(s, call, &file, &line)) {
            printf(", \"file\": ");
            print_json(stdout, file);
            printf(", \"line\": %d", line);
        }
        printf("}");
    }
    printf("]");
}
