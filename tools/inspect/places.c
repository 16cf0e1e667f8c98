/* SPDX-License-Identifier: MIT
 *
 * places.c - names for the places that pointers are in. See places.h.
 */
#include "places.h"

#include <inttypes.h>
#include <stdio.h>

#include "command.h"

/* In the order of struct user_regs_struct, which is that of core files, too. */
#if defined(__x86_64__)
static const char *const register_names[] = {"r15", "r14", "r13", "r12",     "rbp",     "rbx",
                                             "r11", "r10", "r9",  "r8",      "rax",     "rcx",
                                             "rdx", "rsi", "rdi", "?",       "rip",     "cs",
                                             "?",   "rsp", "ss",  "fs_base", "gs_base", "ds",
                                             "es",  "fs",  "gs"};
#else
static const char *const register_names[] = {"x0",  "x1",  "x2",  "x3",  "x4",  "x5",    "x6",
                                             "x7",  "x8",  "x9",  "x10", "x11", "x12",   "x13",
                                             "x14", "x15", "x16", "x17", "x18", "x19",   "x20",
                                             "x21", "x22", "x23", "x24", "x25", "x26",   "x27",
                                             "x28", "x29", "x30", "sp",  "pc",  "pstate"};
#endif
enum { NNAMES = sizeof register_names / sizeof *register_names };

char *place_text(struct symbols *s, const struct root *root, uint64_t place, char text[PLACE_TEXT])
{
    char name[PLACE_TEXT];
    switch (root->kind) {
    case ROOT_REGISTERS:
        snprintf(text, PLACE_TEXT, "register %s of thread %d",
                 place >= REGISTERS_MAX ? "of vectors"
                 : place < NNAMES       ? register_names[place]
                                        : "?",
                 root->thread);
        break;
    case ROOT_STACK:
        snprintf(text, PLACE_TEXT, "the stack of thread %d, at 0x%" PRIx64, root->thread, place);
        break;
    case ROOT_MAPPING:
        snprintf(text, PLACE_TEXT, "%s, at 0x%" PRIx64, symbols_text(s, place, name, sizeof name),
                 place);
        break;
    }
    return text;
}

char *object_text(const struct graph *g, uint32_t object, char text[PLACE_TEXT])
{
    char size[BYTES_TEXT];
    struct graph_object o = graph_object(g, object);
    int n = snprintf(text, PLACE_TEXT, "the object of %s at 0x%" PRIx64, bytes_text(size, o.size),
                     o.start);
    if (o.view->kind != VIEW_MALLOC && n > 0 && n < PLACE_TEXT)
        snprintf(text + n, (size_t)(PLACE_TEXT - n), " in %s", view_name(o.view));
    return text;
}
