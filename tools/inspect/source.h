/* SPDX-License-Identifier: MIT
 *
 * source.h - what is behind a target: a process (process.c) or a core file (core.c). Only target.c
 * and these two include it.
 */
#ifndef SOURCE_H
#define SOURCE_H

#include <elf.h>
#include <sys/types.h>

#include "target.h"

/* The processor that this tool is built for. Heaps lie alike in the memory of x86-64 and arm64. */
#if defined(__x86_64__)
enum { OWN_MACHINE = EM_X86_64 };
#else
enum { OWN_MACHINE = EM_AARCH64 };
#endif

/* What tells an image from others of its name: its ELF header, and its build id. */
struct identity {
    uint64_t start; /* where the target has it */
    Elf64_Ehdr header;
    bool is_of_file; /* the target does not have it: it was read from the file */
    size_t nbytes;   /* of the build id, of which the first bytes are kept; 0: it has none */
    unsigned char bytes[32];
};

/* Memory that grows: append() makes room for one more. */
struct target {
    char *name;
    int pid, task; /* of a process: task is a thread of it that has not ended; else 0 */
    uint16_t machine; /* EM_... */
    size_t page_bytes;
    struct mapping *mappings;
    size_t nmappings;
    struct target_thread *threads;
    size_t nthreads;
    double seconds_stopped;
    size_t nunstopped;

    struct identity *identities; /* of the images, by images.c */
    size_t nidentities;

    bool keeps_reads;
    struct kept *kept;
    size_t nkept;

    struct process *process; /* one of the two is NULL */
    struct core *core;
};

/* Each opens what `name` says and fills in the rest. Returns false after a message. */
bool process_open(struct target *t, int pid);
bool core_open(struct target *t, const char *path);

void process_close(struct target *t);
bool process_stop(struct target *t);
bool process_has_ended(const struct target *t);
bool process_is_over(const struct target *t);
void process_go_on(struct target *t);
size_t process_read(struct target *t, uint64_t address, void *to, size_t nbytes);
void process_read_at_once(struct target *t, struct transfer *list, size_t n);
bool process_resident(struct target *t, uint64_t start, uint64_t end, struct extent **list,
                      size_t *n);
uint64_t process_bytes(const struct target *t);

/* Returns whether a mapping of a process is private memory that begins as zeros: then a page that
 * is not in memory holds zeros. `m` may be NULL. */
bool process_is_private(const struct mapping *m);

void core_close(struct target *t);
size_t core_read(struct target *t, uint64_t address, void *to, size_t nbytes);
uint64_t core_next(const struct target *t, uint64_t address, uint64_t end);
bool core_resident(struct target *t, uint64_t start, uint64_t end, struct extent **list, size_t *n);
uint64_t core_bytes(const struct target *t);
bool core_is_truncated(const struct target *t);

/* Makes room for one more element in an array of n, which grows by doubling, and clears it.
 * Returns the array; ends the tool if there is no memory. */
void *grown(void *array, size_t n, size_t element_bytes);

/* Returns whether all bytes are 0. */
bool is_zero(const void *bytes, size_t nbytes);

/* Makes a thread of the registers that the system gives for it (struct user_regs_struct). */
void thread_fill(struct target_thread *thread, int id, const void *registers, size_t nbytes);

/* The note, and the register set of ptrace, that has the vector registers of a thread. */
#if defined(__x86_64__)
enum { NT_VECTORS = NT_X86_XSTATE };
#else
enum { NT_VECTORS = NT_PRFPREG };
#endif

/* Adds the vector registers, as NT_VECTORS has them, to a thread that thread_fill has made. */
void thread_add_vectors(struct target_thread *thread, const void *vectors, size_t nbytes);

/* Appends pages to a list of extents, and joins them with the last one if they touch. */
void extent_add(struct extent **list, size_t *n, uint64_t start, uint64_t end);

#endif
