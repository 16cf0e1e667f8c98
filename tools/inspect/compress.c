/* SPDX-License-Identifier: MIT
 *
 * compress.c - compresses and decompresses whole files by libzstd, through a temporary file on
 * disk, so that no file makes the tool take memory. See compress.h.
 */
#include "compress.h"

#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"

#ifdef HAVE_ZSTD
#include <zstd.h>

enum { PIECE = 1 << 17, MOST_TIMES = 4096 };

/* Writes all of it. */
static bool write_all(int fd, const char *bytes, size_t nbytes)
{
    for (size_t done = 0; done < nbytes;) {
        ssize_t n = write(fd, bytes + done, nbytes - done);
        if (n < 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

/* Decompresses one piece of input. Returns what is wrong, or NULL; *left is 0 at the end of a
 * frame. */
static const char *decompress_piece(ZSTD_DStream *stream, ZSTD_inBuffer *in, int to, uint64_t *room,
                                    size_t *left)
{
    static char bytes[PIECE];
    bool more = true;
    while (more) {
        ZSTD_outBuffer out = {bytes, sizeof bytes, 0};
        *left = ZSTD_decompressStream(stream, &out, in);
        if (ZSTD_isError(*left))
            return ZSTD_getErrorName(*left);
        if (out.pos > *room)
            return "it would be thousands of times larger than the file";
        if (!write_all(to, bytes, out.pos))
            return strerror(errno);
        *room -= out.pos;
        more = in->pos < in->size || out.pos == out.size;
    }
    return NULL;
}

/* A frame may ask for a window, which takes memory: libzstd allows 128 MiB, and this less. */
static const char *decompress(int from, int to, uint64_t nbytes)
{
    enum { WINDOW_LOG_MAX = 24 };
    static char bytes[PIECE];
    uint64_t room = nbytes * MOST_TIMES;
    size_t left = 1;
    const char *fault = NULL;
    ssize_t n = 0;
    ZSTD_DStream *stream = ZSTD_createDStream();
    if (stream == NULL)
        return "no memory";
    ZSTD_DCtx_setParameter(stream, ZSTD_d_windowLogMax, WINDOW_LOG_MAX);
    while (fault == NULL && (n = read(from, bytes, sizeof bytes)) > 0) {
        ZSTD_inBuffer in = {bytes, (size_t)n, 0};
        fault = decompress_piece(stream, &in, to, &room, &left);
    }
    ZSTD_freeDStream(stream);
    if (fault == NULL && n < 0)
        fault = strerror(errno);
    return fault != NULL ? fault : left != 0 ? "it was cut off" : NULL;
}

bool can_compress(void)
{
    return true;
}

bool compress_file(int from, int to)
{
    static char in_bytes[PIECE], out_bytes[PIECE];
    ZSTD_CStream *stream = ZSTD_createCStream();
    bool ok = stream != NULL;
    ssize_t n = 1;
    while (ok && n > 0) {
        n = read(from, in_bytes, sizeof in_bytes);
        ZSTD_inBuffer in = {in_bytes, n > 0 ? (size_t)n : 0, 0};
        ZSTD_EndDirective what = n > 0 ? ZSTD_e_continue : ZSTD_e_end;
        size_t left = 1;
        ok = n >= 0;
        while (ok && left != 0) {
            ZSTD_outBuffer out = {out_bytes, sizeof out_bytes, 0};
            size_t result = ZSTD_compressStream2(stream, &out, &in, what);
            ok = !ZSTD_isError(result) && write_all(to, out_bytes, out.pos);
            left = what == ZSTD_e_end ? result : in.size - in.pos;
        }
    }
    ZSTD_freeCStream(stream);
    return ok;
}
#else
static const char *decompress(int from, int to, uint64_t nbytes)
{
    (void)from;
    (void)to;
    (void)nbytes;
    return "this mem was built without libzstd; decompress the file with unzstd";
}

bool can_compress(void)
{
    return false;
}

bool compress_file(int from, int to)
{
    (void)from;
    (void)to;
    errno = ENOSYS;
    return false;
}
#endif

bool decompress_if_needed(int *fd, uint64_t *nbytes, const char *name)
{
    static const unsigned char magic[] = {0x28, 0xB5, 0x2F, 0xFD};
    unsigned char first[sizeof magic];
    struct stat s;
    if (pread(*fd, first, sizeof first, 0) != (ssize_t)sizeof first ||
        memcmp(first, magic, sizeof magic) != 0)
        return true;
    FILE *f = tmpfile();
    int to = f == NULL ? -1 : dup(fileno(f));
    const char *fault = to < 0 ? strerror(errno) : decompress(*fd, to, *nbytes);
    if (f != NULL)
        fclose(f);
    if (fault == NULL && fstat(to, &s) == 0) {
        close(*fd);
        *fd = to;
        *nbytes = (uint64_t)s.st_size;
        return true;
    }
    warnx("%s: cannot decompress: %s", name, fault != NULL ? fault : strerror(errno));
    if (to >= 0)
        close(to);
    return false;
}
