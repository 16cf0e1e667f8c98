/* SPDX-License-Identifier: MIT
 *
 * redirect.c - finds the places in a module's global offset table by its relocations: redirect.h.
 *
 *     dynamic section -> relocations -> { place, symbol -> name }
 */
#include "malloc/redirect.h"

#include <link.h>

#include "base/os.h"

#if defined(__x86_64__)
enum { FOR_CALL = R_X86_64_JUMP_SLOT, FOR_POINTER = R_X86_64_GLOB_DAT };
#elif defined(__aarch64__)
enum { FOR_CALL = R_AARCH64_JUMP_SLOT, FOR_POINTER = R_AARCH64_GLOB_DAT };
#endif

/* What the dynamic section of a module says. */
struct tables {
    uintptr_t moved_by; /* an address in memory, less that address in the file */
    const ElfW(Sym) * symbols;
    const char *names;
    const ElfW(Rela) * relocations[2]; /* those of calls, and all others */
    size_t nbytes[2];
    uintptr_t closed_from, closed_to; /* pages that became read-only after relocation */
};

/* The dynamic linker may have replaced an address of the file by that in memory, or not. */
static uintptr_t in_memory(const struct tables *t, ElfW(Addr) address)
{
    return address < t->moved_by ? t->moved_by + address : address;
}

static void read_dynamic(struct tables *t, const ElfW(Dyn) * d)
{
    for (; d->d_tag != DT_NULL; d++) {
        if (d->d_tag == DT_SYMTAB)
            t->symbols = (const void *)in_memory(t, d->d_un.d_ptr);
        else if (d->d_tag == DT_STRTAB)
            t->names = (const void *)in_memory(t, d->d_un.d_ptr);
        else if (d->d_tag == DT_JMPREL)
            t->relocations[0] = (const void *)in_memory(t, d->d_un.d_ptr);
        else if (d->d_tag == DT_PLTRELSZ)
            t->nbytes[0] = d->d_un.d_val;
        else if (d->d_tag == DT_RELA)
            t->relocations[1] = (const void *)in_memory(t, d->d_un.d_ptr);
        else if (d->d_tag == DT_RELASZ)
            t->nbytes[1] = d->d_un.d_val;
    }
}

static const struct redirect *find_redirect(const struct redirect *table, const char *name)
{
    while (table->name != NULL && strcmp(table->name, name) != 0)
        table++;
    return table->name != NULL ? table : NULL;
}

/* Writes another address to each place that the table is for. */
static void redirect_module(const struct tables *t, const struct redirect *table)
{
    for (int i = 0; i < 2; i++) {
        for (size_t at = 0; at < t->nbytes[i] / sizeof(ElfW(Rela)); at++) {
            const ElfW(Rela) *r = &t->relocations[i][at];
            unsigned long kind = ELF64_R_TYPE(r->r_info);
            if (kind != FOR_CALL && kind != FOR_POINTER)
                continue;
            const ElfW(Sym) *symbol = &t->symbols[ELF64_R_SYM(r->r_info)];
            const struct redirect *to = find_redirect(table, t->names + symbol->st_name);
            if (to != NULL)
                *(void (**)(void))(t->moved_by + r->r_offset) = to->to;
        }
    }
}

/* Called for each module. Those without a dynamic section, or without names, call nothing. */
static int visit(struct dl_phdr_info *info, size_t nbytes, void *table)
{
    struct tables t = {.moved_by = info->dlpi_addr};
    bool is_this = false;
    uintptr_t page = os_page_bytes();
    (void)nbytes;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *h = &info->dlpi_phdr[i];
        uintptr_t at = info->dlpi_addr + h->p_vaddr;
        if (h->p_type == PT_LOAD)
            is_this |= (uintptr_t)visit - at < h->p_memsz;
        else if (h->p_type == PT_DYNAMIC)
            read_dynamic(&t, (const void *)at);
        else if (h->p_type == PT_GNU_RELRO) {
            t.closed_from = at / page * page;
            t.closed_to = (at + h->p_memsz) / page * page;
        }
    }
    size_t nclosed = t.closed_to - t.closed_from;
    if (is_this || t.symbols == NULL || t.names == NULL ||
        (nclosed > 0 && !os_allow((void *)t.closed_from, nclosed)))
        return 0;
    redirect_module(&t, table);
    if (nclosed > 0)
        (void)os_allow_reads((void *)t.closed_from, nclosed);
    return 0;
}

void redirect_calls(const struct redirect *table)
{
    (void)dl_iterate_phdr(visit, (void *)(uintptr_t)table);
}
