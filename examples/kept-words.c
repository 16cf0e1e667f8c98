/* SPDX-License-Identifier: MIT
 *
 * kept-words.c - shows a heap that outlives the program: a list of words in a file. The file is
 * mapped, and the heap lies in the mapping, so nothing is read in or written out.
 *
 *     make build/examples/kept-words
 *     LD_LIBRARY_PATH=build build/examples/kept-words FILE [WORD | -WORD]...
 *
 * Each WORD is added, each -WORD is removed, and then all words are printed, the newest first.
 *
 * The mapping is at another address each time, so the list has no pointers, but offsets from the
 * beginning of the file. mem_heap_attach checks the heap before it opens it: a file that was cut
 * off or overwritten is refused, with the reason.
 */
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mem_heap.h"

enum { FILE_BYTES = 64 << 10 };

/* The file: where the list begins, and the heap. An offset of 0 is the end of the list. */
struct file {
    uint64_t first;
    _Alignas(16) char heap[];
};

struct word {
    uint64_t next;
    char text[];
};

static struct file *file;

/* Returns the word at an offset, or NULL at the end of the list. The offset comes from a file, so
 * it may be anything: the heap knows whether a live object begins there, and how large it is. */
static struct word *at(mem_heap *heap, uint64_t offset)
{
    struct mem_piece piece;
    char *address = (char *)file + offset;

    if (offset == 0)
        return NULL;
    if (mem_find_in(heap, address, &piece) != MEM_OK || !piece.live || piece.start != address ||
        piece.size <= sizeof(struct word) || address[piece.size - 1] != '\0')
        errx(1, "there is no word at %ju", (uintmax_t)offset);
    return (struct word *)address;
}

static void add(mem_heap *heap, const char *text)
{
    struct word *w = mem_alloc(heap, sizeof *w + strlen(text) + 1);

    if (w == NULL) {
        warnx("%s: %s", text, mem_strerror(mem_last_error()));
        return;
    }
    strcpy(w->text, text);
    w->next = file->first;
    file->first = (uint64_t)((char *)w - (char *)file);
}

static void take_away(mem_heap *heap, const char *text)
{
    uint64_t *link = &file->first;

    for (struct word *w; (w = at(heap, *link)) != NULL; link = &w->next)
        if (strcmp(w->text, text) == 0) {
            *link = w->next;
            mem_free(heap, w);
            return;
        }
    warnx("%s: no such word", text);
}

int main(int argc, char **argv)
{
    const size_t heap_bytes = FILE_BYTES - sizeof *file;
    struct stat st;

    if (argc < 2)
        errx(64, "usage: kept-words FILE [WORD | -WORD]...");
    int fd = open(argv[1], O_RDWR | O_CREAT, 0666);
    if (fd < 0 || fstat(fd, &st) != 0)
        err(1, "%s", argv[1]);
    bool is_new = st.st_size == 0;
    if (is_new ? ftruncate(fd, FILE_BYTES) != 0 : st.st_size != FILE_BYTES)
        errx(1, "%s: not %d bytes", argv[1], FILE_BYTES);
    file = mmap(NULL, FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (file == MAP_FAILED)
        err(1, "%s", argv[1]);

    mem_heap *heap = is_new ? mem_heap_in(file->heap, heap_bytes, NULL)
                            : mem_heap_attach(file->heap, heap_bytes, NULL);
    if (heap == NULL)
        errx(1, "%s: %s", argv[1], mem_strerror(mem_last_error()));
    for (int i = 2; i < argc; i++)
        if (argv[i][0] == '-')
            take_away(heap, argv[i] + 1);
        else
            add(heap, argv[i]);
    for (struct word *w = at(heap, file->first); w != NULL; w = at(heap, w->next))
        puts(w->text);

    /* From here on the heap is bytes in a file. */
    return mem_heap_detach(heap) == MEM_OK && munmap(file, FILE_BYTES) == 0 ? 0 : 1;
}
