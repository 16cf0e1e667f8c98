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
#include "source.h"

#ifdef HAVE_LIBDW
#include <elfutils/libdwfl.h>
#include <fcntl.h>
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

/* The first mapping of the file that a mapping is of: the nearest one below with offset 0. */
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

/* Reports a file to libdwfl, at the address where the target has it. libdwfl takes the difference
 * between addresses in the file and in memory, which is 0 for a program that is not relocated. */
static Dwfl_Module *report(struct symbols *s, const struct mapping *m)
{
    struct stat st;
    Elf64_Ehdr h;
    int fd = open(m->file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return NULL;
    bool is_image = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
                    pread(fd, &h, sizeof h, 0) == (ssize_t)sizeof h &&
                    memcmp(h.e_ident, ELFMAG, SELFMAG) == 0;
    Dwfl_Module *module = NULL;
    dwfl_report_begin_add(s->dwfl);
    if (is_image)
        module = dwfl_report_elf(s->dwfl, m->file, m->file, fd, h.e_type == ET_EXEC ? 0 : m->start,
                                 false);
    dwfl_report_end(s->dwfl, NULL, NULL);
    if (module == NULL) /* else the descriptor is libdwfl's now */
        close(fd);
    return module;
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
    s->modules[s->nmodules] = (struct module){first->start, report(s, first)};
    return s->modules[s->nmodules++].reported;
}

static void find_name(struct symbols *s, const struct mapping *m, uint64_t address,
                      struct symbol *found)
{
    GElf_Sym symbol;
    GElf_Off offset;
    Dwfl_Module *module = module_of(s, m);
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

bool symbols_line(struct symbols *s, uint64_t address, const char **file, int *line)
{
    const struct mapping *m = target_mapping(s->t, address);
    bool is_file = m != NULL && m->file != NULL && m->file[0] == '/';
    Dwfl_Module *module = is_file ? module_of(s, m) : NULL;
    Dwfl_Line *found = module == NULL ? NULL : dwfl_module_getsrc(module, address);
    *file = found == NULL ? NULL : dwfl_lineinfo(found, NULL, line, NULL, NULL, NULL);
    return *file != NULL;
}
#else
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

char *symbols_text(struct symbols *s, uint64_t address, char *text, size_t nbytes)
{
    struct symbol found;
    const struct mapping *m = mapping_with_file(s->t, address);
    if (!symbols_find(s, address, &found)) {
        snprintf(text, nbytes, "no memory");
        return text;
    }
    const char *slash = found.file == NULL ? NULL : strrchr(found.file, '/');
    const char *base = slash == NULL ? found.file : slash + 1;
    if (found.name != NULL && found.offset > 0)
        snprintf(text, nbytes, "%s+0x%" PRIx64 " in %s", found.name, found.offset, base);
    else if (found.name != NULL)
        snprintf(text, nbytes, "%s in %s", found.name, base);
    else if (slash != NULL)
        snprintf(text, nbytes, "%s+0x%" PRIx64, base, address - m->start + m->offset);
    else
        snprintf(text, nbytes, "%s", base == NULL ? "memory without a name" : base);
    return text;
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
        if (symbols_line(s, call, &file, &line))
            printf(" at %s:%d", file, line);
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
