/* SPDX-License-Identifier: MIT
 *
 * observe.h - everything that a caller can see of the heap, as one text, so that a test can
 * compare two texts to show that nothing in the heap has changed.
 *
 *     open_heap(4096);             calls Mem_Init; remembers where the region lies
 *     unsigned char *p = get(40);  calls Mem_Alloc; fills the object, enters it in the table
 *     char *before = picture();
 *     Mem_Free(p + 40);
 *     same_picture(before);        returns true, and releases `before`
 *
 *   O1  objects[0..nobjects) are the live objects that get() made.
 *   O2  Each object is filled with its own pattern, so that a write to it is noticed.
 *   O3  No function here leaves m_error or errno changed, unless it aborts.
 *
 * A process has one heap, so there is one table. A failure that is not the subject of the test
 * ends the process with a line on standard error.
 */
#ifndef OBSERVE_H
#define OBSERVE_H

#include "mem.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define GRANULE_BYTES 16
#define ROW_BYTES     24
#define MAX_OBJECTS   8192

/* picture() leaves out the bytes of larger regions, since hashing them would be slow. */
#define MAX_HASHED_BYTES (1u << 20)

struct object {
    unsigned char *start;
    int size;
    unsigned char fill;
};
static struct object objects[MAX_OBJECTS];
static int nobjects;
static unsigned char *region_base;
static size_t region_bytes;

#define DEMAND(condition)                                                                          \
    ((condition)                                                                                   \
         ? (void)0                                                                                 \
         : (fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition), abort()))

static inline int round_up_16(int size)
{
    return (size + GRANULE_BYTES - 1) / GRANULE_BYTES * GRANULE_BYTES;
}

/* Calls Mem_Init. An empty heap is one free chunk, which begins where the region begins. */
static inline void open_heap(int size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    DEMAND(Mem_Init(size) == 0);
    DEMAND(m_free_list != NULL);
    region_base = (unsigned char *)m_free_list;
    region_bytes = ((size_t)size + page - 1) / page * page;
}

static inline unsigned char *enter_object(void *start, int size)
{
    static unsigned char fill;
    DEMAND(nobjects < MAX_OBJECTS);
    fill = (unsigned char)(fill % 251 + 1);
    memset(start, fill, (size_t)size);
    objects[nobjects++] = (struct object){start, size, fill};
    return start;
}

static inline unsigned char *get(int size)
{
    void *start = Mem_Alloc(size);
    DEMAND(start != NULL);
    return enter_object(start, size);
}

/* Removes objects[i] from the table; the last object moves into its place. */
static inline void forget(int i)
{
    DEMAND(i >= 0 && i < nobjects);
    objects[i] = objects[--nobjects];
}

static inline int object_at(const void *start)
{
    for (int i = 0; i < nobjects; i++) {
        if (objects[i].start == start) {
            return i;
        }
    }
    return -1;
}

static inline void give(unsigned char *start)
{
    int i = object_at(start);
    DEMAND(Mem_Free(start) == 0);
    forget(i);
}

static inline bool is_intact(const struct object *o)
{
    for (int i = 0; i < o->size; i++) {
        if (o->start[i] != o->fill) {
            return false;
        }
    }
    return true;
}

static inline bool all_intact(void)
{
    for (int i = 0; i < nobjects; i++) {
        if (!is_intact(&objects[i])) {
            return false;
        }
    }
    return true;
}

static inline unsigned long hash_of(const unsigned char *bytes, size_t nbytes)
{
    unsigned long hash = 5381;
    for (size_t i = 0; i < nbytes; i++) {
        hash = hash * 33 + bytes[i];
    }
    return hash;
}

/* Returns what Mem_Dump prints. The caller frees the text. */
static inline char *dump_text(void)
{
    fflush(stdout);
    int old_stdout = dup(STDOUT_FILENO);
    int file = memfd_create("dump", 0);
    DEMAND(old_stdout >= 0 && file >= 0 && dup2(file, STDOUT_FILENO) >= 0);
    Mem_Dump();
    fflush(stdout);
    DEMAND(dup2(old_stdout, STDOUT_FILENO) >= 0);
    off_t nbytes = lseek(file, 0, SEEK_END);
    char *text = calloc(1, (size_t)nbytes + 1);
    DEMAND(text != NULL && pread(file, text, (size_t)nbytes, 0) == nbytes);
    close(file);
    close(old_stdout);
    return text;
}

static inline void draw_list(FILE *out)
{
    for (MemNodePtr node = m_free_list; node != NULL; node = node->next) {
        fprintf(out, "free %p size %d type %d\n", (void *)node, node->size, node->type);
    }
}

static inline void draw_objects(FILE *out)
{
    for (int i = 0; i < nobjects; i++) {
        unsigned char *p = objects[i].start;
        int n = objects[i].size;
        fprintf(out, "object %p size %d valid %d%d%d sizes %d %d hash %lx\n", (void *)p, n,
                Mem_IsValid(p), Mem_IsValid(p + n - 1), Mem_IsValid(p + n), Mem_GetSize(p),
                Mem_GetSize(p + n - 1), hash_of(p, (size_t)n));
    }
}

/* Returns one text: the list, the dump, the answers for each known object, and a hash of the
 * bytes of the region, which include the library's records. The caller frees the text, or passes
 * it to same_picture. */
static inline char *picture(void)
{
    int old_m_error = m_error;
    int old_errno = errno;
    char *text = NULL;
    size_t ntext = 0;
    FILE *out = open_memstream(&text, &ntext);
    DEMAND(out != NULL);
    if (region_bytes <= MAX_HASHED_BYTES) {
        fprintf(out, "region hash %lx\n", hash_of(region_base, region_bytes));
    }
    draw_list(out);
    draw_objects(out);
    char *dump = dump_text();
    fprintf(out, "dump:\n%s", dump);
    free(dump);
    fclose(out);
    m_error = old_m_error;
    errno = old_errno;
    return text;
}

/* Compares the picture `before` with the present one and releases it. If they differ, prints both
 * on standard error. */
static inline bool same_picture(char *before)
{
    char *now = picture();
    bool same = strcmp(before, now) == 0;
    if (!same) {
        fprintf(stderr, "--- before\n%s--- now\n%s---\n", before, now);
    }
    free(before);
    free(now);
    return same;
}

/* Returns true if there is one free chunk and an object of the region less 48 bytes fits [C5]. */
static inline bool is_whole_again(void)
{
    int nbytes = (int)(region_bytes - 2 * ROW_BYTES);
    if (m_free_list == NULL || m_free_list->next != NULL) {
        return false;
    }
    void *all = Mem_Alloc(nbytes);
    return all != NULL && Mem_Free(all) == 0;
}

/* Gives the same numbers on every machine, so that a failure can be repeated. */
static inline unsigned next_random(unsigned *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static inline int random_below(unsigned *seed, int limit)
{
    return (int)(next_random(seed) % (unsigned)limit);
}

#endif
