/* SPDX-License-Identifier: MIT
 *
 * target.h - what a command looks at: a process, a core file, or a snapshot.
 *
 *     TARGET = PID | core file | snapshot          one reader for all three
 *
 *     process     its threads are stopped while the tool copies what has to be of one moment
 *     core file   of the kernel, of gcore, or a snapshot, which is a core file that holds only what
 *                 the tools need (snapshot.h)
 *
 *   TG1  a process is never written to. It goes on if the tool is killed at any moment, and signals
 *        that arrive while it is stopped are delivered when it goes on. What would stop the tool
 *        meanwhile, such as ^Z, waits until then;
 *   TG2  a core file may hold anything: each number in it is compared with the file before it is
 *        used, and the memory that the tool takes is bounded by the size of the file;
 *   TG3  what the target does not have, or what a file does not hold, cannot be read: a read fails,
 *        and never makes up zeros.
 *
 * One thread of the tool uses a target at a time; target_read_at_once has threads of its own.
 */
#ifndef TARGET_H
#define TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct target;

/* --- opening ---------------------------------------------------------------------- */

/* Opens a target by its name: digits are a process id, and anything else is a path. Returns NULL,
 * after a message on standard error that says why and what to do, if there is none, if it may not
 * be looked at, or if it is a program of another processor. */
struct target *target_open(const char *name);
void target_close(struct target *t);

const char *target_name(const struct target *t); /* as it was given */
int target_pid(const struct target *t);          /* 0: a core file does not say it */
int target_task(const struct target *t); /* a thread of a process, by which /proc has its files */
bool target_is_process(const struct target *t);

/* Returns whether a core file ends before the memory that it says to hold. */
bool target_is_truncated(const struct target *t);

/* --- one moment of a process -------------------------------------------------------- */

/* Stops all threads of a process, and reads its mappings and the registers of its threads. Returns
 * false, after a message, if it may not be stopped, or has ended. For a core file it does nothing
 * and returns true. */
bool target_stop(struct target *t);

/* Lets the process go on, with each signal that arrived meanwhile. */
void target_go_on(struct target *t);

/* Returns whether the process has ended: then what was read since it was stopped is worth nothing.
 * A core file has not. */
bool target_has_ended(const struct target *t);

/* Returns whether the program is over that the process executed when it was opened, or stopped
 * last: the process has ended, or executes another one. A core file's is not. */
bool target_is_over(const struct target *t);

/* Returns how long the process was stopped in all, in seconds; 0 for a core file. */
double target_seconds_stopped(const struct target *t);

/* Returns how many threads could not be stopped, since they wait in the kernel: they may change the
 * heap when that wait ends. */
size_t target_nunstopped(const struct target *t);

/* --- memory ------------------------------------------------------------------------- */

/* Copies nbytes from an address of the target. Returns false if not all of them can be read; then
 * what is in `to` is undefined. */
bool target_read(struct target *t, uint64_t address, void *to, size_t nbytes);

/* Copies as many bytes as can be read from the address on, nbytes at most. Returns how many. */
size_t target_read_some(struct target *t, uint64_t address, void *to, size_t nbytes);

/* Bytes to copy from an address of the target. */
struct transfer {
    uint64_t address;
    void *to;
    size_t nbytes, done; /* of nbytes, how many were copied */
};

/* Makes n copies, of a process that is stopped with several threads of the tool at once, and stores
 * how many bytes of each could be read. Unlike the functions above, it does not ask whether pages
 * are in memory (target_resident): it copies what it is told to. */
void target_read_at_once(struct target *t, struct transfer *list, size_t n);

/* Returns what a bool says that was copied from the target: there it may have been overwritten with
 * a byte that is neither 0 nor 1, which must not be read as a bool. */
bool target_truth(const bool *copied);

/* Where to go on when a read has stopped at `address`: returns the next address that may be
 * readable and is a multiple of 8, or `end`. A mapping may be as large as all addresses, of which a
 * file holds a few pages. */
uint64_t target_next(const struct target *t, uint64_t address, uint64_t end);

/* Returns how many bytes of memory the target can have at most: of a core file, the bytes of the
 * file. No command needs to take more memory for what it reads. */
uint64_t target_bytes(const struct target *t);

enum { MAY_READ = 1, MAY_WRITE = 2, MAY_EXECUTE = 4 };

struct mapping {
    uint64_t start, end; /* addresses */
    unsigned access;     /* MAY_... */
    uint64_t offset;     /* in the file */
    const char *file;    /* a path, or a name as "[stack]"; NULL: anonymous */
    bool is_shared;      /* with other processes, or with a file; a core file does not say it */
};

/* The mappings, in address order; of a process, as they were when it was stopped last, or opened.
 * They last until the target is stopped again, or closed. */
size_t target_nmappings(const struct target *t);
const struct mapping *target_mappings(const struct target *t);

/* Returns the mapping that an address is in, or NULL. */
const struct mapping *target_mapping(const struct target *t, uint64_t address);

/* --- threads ------------------------------------------------------------------------ */

enum { REGISTERS_MAX = 40, VECTORS_MAX = 344 };

struct target_thread {
    int id;
    uint64_t stack_pointer, program_counter;
    uint64_t thread_pointer; /* where its thread-local storage is; 0: not known, as on arm64 */
    size_t nregisters; /* 0: they are not known */
    uint64_t registers[REGISTERS_MAX];
    size_t nvectors; /* of the vector registers, all words that may be in use; 0: not known */
    uint64_t vectors[VECTORS_MAX];
};

/* The threads, as of the last stop; of a core file, those that it has. */
size_t target_nthreads(const struct target *t);
const struct target_thread *target_threads(const struct target *t);

/* --- for snapshots -------------------------------------------------------------------- */

/* From now on all that is read is kept, in whole pages, until the target is closed; what was kept
 * before is forgotten. Whatever a command reads now is what it needs from a snapshot. */
void target_keep_reads(struct target *t);
bool target_keeps_reads(const struct target *t);

/* The pages that were kept, in address order and without overlap. */
struct kept {
    uint64_t address;
    size_t nbytes;
    unsigned char *bytes;
};
size_t target_kept(struct target *t, const struct kept **kept);

/* --- what is in memory ------------------------------------------------------------------- */

/* Pages, from the address `start` to `end`. */
struct extent {
    uint64_t start, end;
};

/* Finds which pages between two addresses, multiples of the page, are in memory (or in swap), and
 * appends them to a list of *n extents, which the caller frees; *list may be NULL at first. Only a
 * process, and a snapshot of one, can say it: returns false otherwise. */
bool target_resident(struct target *t, uint64_t start, uint64_t end, struct extent **list,
                     size_t *n);

/* Finds which pages between two addresses of one mapping may hold something other than zeros, and
 * appends them as target_resident does. Of private memory that begins as zeros these are the pages
 * in memory. Of a file, or of shared memory, the system says only which pages this process has
 * touched, which after fork are none: there it is all pages. Returns false, after it has appended
 * all pages, if that is not known of private memory. */
bool target_filled(struct target *t, uint64_t start, uint64_t end, struct extent **list, size_t *n);

#endif
