/* SPDX-License-Identifier: MIT
 *
 * module.h - the program or library that the code at an address belongs to.
 *
 * libc is asked for it, which takes a lock of the dynamic linker. After a fork, the child would
 * find that lock taken for ever if another thread had held it; so a fork waits until no thread of
 * the library asks, and threads that want to ask meanwhile get no answer.
 */
#ifndef MODULE_H
#define MODULE_H

#include "base/base.h"

struct module {
    const char *path;     /* "" for the program itself; valid until the module is unloaded */
    uintptr_t moved_by;   /* an address in memory, less that address in the file */
    const void *eh_frame; /* its table of call frame information (.eh_frame_hdr), or NULL */
};

enum module_answer { MODULE_FOUND, MODULE_NONE, MODULE_NOT_NOW /* a fork is under way */ };

/* Stores the module that `address` lies in. Allocates nothing. The caller does not hold the heap's
 * lock. */
enum module_answer module_find(uintptr_t address, struct module *m);

/* Before a fork, waits until no thread is in module_find; and after it, in parent and child, lets
 * threads in again. */
void module_stop(void);
void module_go_on(void);

#endif
