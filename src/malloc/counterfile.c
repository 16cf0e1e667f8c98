/* SPDX-License-Identifier: MIT
 *
 * counterfile.c - maps the counter file and hands out its rows: see counterfile.h.
 */
#include "malloc/counterfile.h"

#include <errno.h>

#include "base/os.h"

struct counterfile *counterfile_open(const char *path)
{
    size_t nbytes;
    struct counterfile *s = os_map_file(path, &nbytes);
    if (s == NULL)
        return NULL;
    if (memcmp(s->title, COUNTERFILE_TITLE, sizeof COUNTERFILE_TITLE) != 0 ||
        s->row_bytes != sizeof(struct row) || nbytes < counterfile_bytes(s->nrows)) {
        os_unmap(s, nbytes);
        errno = EINVAL;
        return NULL;
    }
    return s;
}

struct row *counterfile_row(struct counterfile *s)
{
    uint32_t n = __atomic_fetch_add(&s->nwanted, 1, __ATOMIC_RELAXED);
    return n < s->nrows ? &s->row[n] : NULL;
}

void row_begin(struct row *r)
{
    assert(r->pid == 0); /* no other process has this row */
    r->pid = os_process_id();
    r->parent = os_parent_id();
}

void row_fork(struct row *child, const struct row *parent)
{
    assert(child != parent && child->pid == 0);
    child->is_forked = true;
    memcpy(child->command, parent->command, sizeof child->command);
    counters_inherit(&child->counters, &parent->counters);
}

void row_name(struct row *r, int argc, char *const *argv)
{
    size_t n = 0;
    for (int i = 0; i < argc && n < sizeof r->command - 1; i++) {
        const char *slash = i == 0 ? strrchr(argv[0], '/') : NULL;
        const char *word = slash == NULL ? argv[i] : slash + 1;
        if (i > 0)
            r->command[n++] = ' ';
        size_t length = smaller_of(strlen(word), sizeof r->command - 1 - n);
        memcpy(r->command + n, word, length);
        n += length;
    }
    assert(n < sizeof r->command);
    r->command[n] = '\0';
}
