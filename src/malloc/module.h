/* SPDX-License-Identifier: MIT
 *
 * module.h - the program or library that the code at an address belongs to.
 *
 * libc is asked for it, which takes a lock of the dynamic linker. So one thread asks at a time, and
 * a fork waits for it: the child must not find that lock taken by a thread that it has not. A
 * thread that may have that lock itself, since it calls malloc while libc tells it of the modules,
 * does not wait for long, and then gets no answer. */
#ifndef MODULE_H
#define MODULE_H

#include "base/base.h"

struct module {
    const char *path;     /* "" for the program itself; valid until the module is unloaded */
    uintptr_t moved_by;   /* an address in memory, less that address in the file */
    const void *eh_frame; /* its table of call frame information (.eh_frame_hdr), or NULL */
    const void *headers;  /* its program headers, */
    unsigned nheaders;    /* and how many there are */
};

enum module_answer { MODULE_FOUND, MODULE_NONE, MODULE_NOT_NOW };

/* Stores the module that `address` lies in. Allocates nothing. The caller does not hold the heap's
 * lock. */
enum module_answer module_find(uintptr_t address, struct module *m);

/* Finds the build id of a module, by which its file is recognised. Returns how many bytes it has; 0
 * if there is none. */
size_t module_id(const struct module *m, const unsigned char **id);

/* Before a fork, keeps threads from asking; and after it, in parent and child, lets them ask. */
void module_stop(void);
void module_go_on(void);

#endif
