/* SPDX-License-Identifier: MIT
 *
 * module.c - asks libc which module an address belongs to: see module.h.
 */
#include "malloc/module.h"

#include <link.h>

#include "base/os.h"

static unsigned nasking; /* threads in module_find */
static bool is_stopped;  /* a fork is under way */

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
        *q->module = (struct module){info->dlpi_name, info->dlpi_addr, eh_frame};
    return is_here;
}

/* The two counters are written in this order here, and in the other one by module_stop: at least
 * one of the two sees the other's. */
enum module_answer module_find(uintptr_t address, struct module *m)
{
    enum module_answer answer = MODULE_NOT_NOW;
    struct question q = {address, m};
    __atomic_add_fetch(&nasking, 1, __ATOMIC_SEQ_CST);
    if (!__atomic_load_n(&is_stopped, __ATOMIC_SEQ_CST))
        answer = dl_iterate_phdr(ask, &q) != 0 ? MODULE_FOUND : MODULE_NONE;
    __atomic_sub_fetch(&nasking, 1, __ATOMIC_SEQ_CST);
    return answer;
}

void module_stop(void)
{
    __atomic_store_n(&is_stopped, true, __ATOMIC_SEQ_CST);
    for (unsigned n = 1; __atomic_load_n(&nasking, __ATOMIC_SEQ_CST) > 0; n++)
        os_pause(n);
}

void module_go_on(void)
{
    __atomic_store_n(&nasking, 0, __ATOMIC_SEQ_CST); /* in the child, other threads are gone */
    __atomic_store_n(&is_stopped, false, __ATOMIC_SEQ_CST);
}
