/* SPDX-License-Identifier: MIT
 *
 * classic.c - fuzz target: bytes choose calls of mem.h. The model (test/support/model.h) says which
 * address each of them returns, and what it says of any address. When all objects were freed, the
 * next input begins.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "draw.h"
#include "mem.h"
#include "model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The region is one of those without slots, where the model predicts every address. */
enum { REGION = 64 << 10, EDGE = 64 };

static unsigned char *region;
static struct model model;

#define EXPECT(expected, got)                                                                      \
    do {                                                                                           \
        long was = (long)(got);                                                                    \
        if (was != (long)(expected)) {                                                             \
            fprintf(stderr, "%s:%d: %s: expected %ld, got %ld\n", __FILE__, __LINE__, #got,        \
                    (long)(expected), was);                                                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* Makes the heap of mem.h, once. Its first object lies where the region begins. */
static void open_classic(void)
{
    if (region != NULL)
        return;
    EXPECT(0, Mem_Init(REGION));
    region = Mem_Alloc(1);
    EXPECT(0, Mem_Free(region));
}

/* Writes to both ends of an object what follows from its place, or says whether that is there. */
static void write_mark(size_t start, size_t size)
{
    size_t edge = size < EDGE ? size : EDGE;
    memset(region + start, (int)(start / 16 % 251 + 1), edge);
    memset(region + start + size - edge, (int)(start / 16 % 251 + 1), edge);
}

static bool has_mark(size_t start, size_t size)
{
    return region[start] == start / 16 % 251 + 1 && region[start + size - 1] == region[start];
}

static void one_alloc(void)
{
    static const enum model_fit fits[] = {
        [BESTFIT] = MODEL_BEST, [WORSTFIT] = MODEL_WORST, [FIRSTFIT] = MODEL_FIRST};
    int style = (int)draw(4);
    size_t size = 1 + draw(draw(4) == 0 ? REGION / 4 : 300);
    ptrdiff_t expected = model_alloc(&model, size, style == 3 ? MODEL_BEST : fits[style]);
    unsigned char *p = style == 3 ? Mem_Alloc((int)size) : Mem_Alloc((int)size, style);
    EXPECT(expected < 0, p == NULL);
    if (p == NULL) {
        EXPECT(E_NO_SPACE, m_error);
        return;
    }
    EXPECT(expected, p - region);
    write_mark((size_t)expected, size);
}

/* A position in the region, or right behind it; mostly near an end of a chunk. */
static size_t some_position(void)
{
    if (model.n == 0 || draw(4) == 0)
        return draw(REGION + 1);
    const struct model_chunk *c = &model.chunk[draw((uint32_t)model.n)];
    size_t at = c->start + (draw(2) ? c->size : 0) + draw(3);
    return at > 0 ? at - 1 : 0;
}

static void ask(void)
{
    size_t at = some_position();
    const struct model_chunk *c = model_find(&model, at);
    EXPECT(c != NULL, Mem_IsValid(region + at));
    EXPECT(c == NULL ? -1 : (long)c->size, Mem_GetSize(region + at));
}

static void free_at(size_t at)
{
    const struct model_chunk *c = model_find(&model, at);
    if (c != NULL)
        EXPECT(true, has_mark(c->start, c->size));
    bool is_freed = model_free(&model, at);
    EXPECT(is_freed ? 0 : -1, Mem_Free(region + at));
    if (!is_freed)
        EXPECT(E_BAD_POINTER, m_error);
}

/* An argument that no call takes. */
static void one_mistake(void)
{
    unsigned char outside;
    switch (draw(4)) {
    case 0:
        EXPECT(true, Mem_Alloc(-(int)draw(1000)) == NULL);
        EXPECT(E_BAD_ARGS, m_error);
        break;
    case 1:
        EXPECT(true, Mem_Alloc(8, 3 + (int)draw(1000)) == NULL);
        EXPECT(E_BAD_ARGS, m_error);
        break;
    case 2:
        EXPECT(-1, Mem_Free(&outside));
        EXPECT(-1, Mem_Init(4096));
        break;
    default:
        EXPECT(-1, Mem_Free(region - 1 - draw(1000)));
    }
}

static void free_all(void)
{
    while (model.n > 0)
        free_at(model.chunk[model.n - 1].start); /* the last chunk is live */
    EXPECT(0, Mem_Check());
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    draw_from_bytes(data, size);
    open_classic();
    model_open(&model, REGION);
    while (!draw_has_ended())
        switch (draw(8)) {
        case 0:
        case 1:
        case 2:
            one_alloc();
            break;
        case 3:
        case 4:
            free_at(some_position());
            break;
        case 5:
            ask();
            break;
        case 6:
            EXPECT(0, Mem_Check());
            break;
        default:
            one_mistake();
        }
    free_all();
    return 0;
}
