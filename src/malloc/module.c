/* SPDX-License-Identifier: MIT
 *
 * module.c - asks libc which module an address belongs to: see module.h.
 */
#include "malloc/module.h"

#include <limits.h>
#include <link.h>

#include "base/os.h"

static int asking; /* the number of the thread that asks or forks; 0: none */

struct question {
    uintptr_t address;
    struct module *module;
};

/* Called for each module. Returns 1 if the address lies in it, which ends the search. */
static int ask(struct dl_phdr_info *info, size_t nbytes, void *data)
{
    struct question *q = data;
    const void *eh_frame = NULL;
    bool is_here = false;
    (void)nbytes;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *h = &info->dlpi_phdr[i];
        if (h->p_type == PT_LOAD)
            is_here |= q->address - (info->dlpi_addr + h->p_vaddr) < h->p_memsz;
        else if (h->p_type == PT_GNU_EH_FRAME)
            eh_frame = (const void *)(info->dlpi_addr + h->p_vaddr);
    }
    if (is_here)
        *q->module = (struct module){info->dlpi_name, info->dlpi_addr, eh_frame, info->dlpi_phdr,
                                     info->dlpi_phnum};
    return is_here;
}

/* Returns whether the calling thread may ask now: not if it asks already. */
static bool begin(unsigned nwaits_max)
{
    int me = os_thread_id();
    for (unsigned n = 1; n <= nwaits_max; n++) {
        int other = 0;
        if (__atomic_compare_exchange_n(&asking, &other, me, false, __ATOMIC_ACQUIRE,
                                        __ATOMIC_RELAXED))
            return true;
        if (other == me)
            return false;
        os_pause(n);
    }
    return false;
}

static void end(void)
{
    __atomic_store_n(&asking, 0, __ATOMIC_RELEASE);
}

enum module_answer module_find(uintptr_t address, struct module *m)
{
    enum { NWAITS = 200 }; /* some milliseconds (os_pause) */
    struct question q = {address, m};
    if (!begin(NWAITS))
        return MODULE_NOT_NOW;
    bool found = dl_iterate_phdr(ask, &q) != 0;
    end();
    return found ? MODULE_FOUND : MODULE_NONE;
}

/* Returns whether the memory that a header describes is part of a segment that is loaded. */
static bool is_loaded(const struct module *m, const ElfW(Phdr) * part)
{
    const ElfW(Phdr) *h = m->headers;
    for (unsigned i = 0; i < m->nheaders; i++)
        if (h[i].p_type == PT_LOAD && (h[i].p_flags & PF_R) != 0 && part->p_vaddr >= h[i].p_vaddr &&
            part->p_vaddr - h[i].p_vaddr <= h[i].p_filesz &&
            part->p_memsz <= h[i].p_filesz - (part->p_vaddr - h[i].p_vaddr))
            return true;
    return false;
}

/* Looks for the id among the notes of one header. */
static size_t id_among(const unsigned char *notes, size_t nbytes, size_t align,
                       const unsigned char **id)
{
    enum { LONGEST = 32 };
    for (size_t at = 0; at + sizeof(ElfW(Nhdr)) <= nbytes;) {
        const ElfW(Nhdr) *note = (const void *)(notes + at);
        size_t owner = at + sizeof *note;
        size_t bytes = ceil_div(owner + note->n_namesz, align) * align;
        if (bytes > nbytes || note->n_descsz > nbytes - bytes)
            return 0;
        *id = notes + bytes;
        if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 &&
            memcmp(notes + owner, "GNU", 4) == 0)
            return note->n_descsz <= LONGEST ? note->n_descsz : 0;
        at = ceil_div(bytes + note->n_descsz, align) * align;
    }
    return 0;
}

size_t module_id(const struct module *m, const unsigned char **id)
{
    const ElfW(Phdr) *h = m->headers;
    size_t n = 0;
    for (unsigned i = 0; i < m->nheaders && n == 0; i++)
        if (h[i].p_type == PT_NOTE && is_loaded(m, &h[i]))
            n = id_among((const unsigned char *)(m->moved_by + h[i].p_vaddr), h[i].p_memsz,
                         h[i].p_align == 8 ? 8 : 4, id);
    return n;
}

void module_stop(void)
{
    (void)begin(UINT_MAX);
}

void module_go_on(void)
{
    end();
}
