/* SPDX-License-Identifier: MIT
 *
 * stale.c [FIELD] - makes free chunks in Mem_Init's heap and writes into one of them, so that
 * test/inspect.sh can see whether `mem check` finds that. FIELD is size, type, next, or head; with
 * none nothing is written; with "none" a thread changes the list all the time. It prints "free
 * ADDRESS", the chunk, and "ready", and waits until standard input ends.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mem.h"

/* Where the list begins: the lowest object is in its way. */
static MemNodePtr make_free_chunks(void)
{
    enum { N = 9, BYTES = 1000 };
    void *objects[N];
    if (Mem_Init(1 << 16) != 0)
        abort();
    for (int i = 0; i < N; i++)
        objects[i] = Mem_Alloc(BYTES, FIRSTFIT);
    for (int i = 1; i < N; i += 2)
        Mem_Free(objects[i]);
    return objects[3];
}

static void *churn(void *context)
{
    enum { N = 16 };
    void *objects[N] = {0};
    for (unsigned random = 1;; random = random * 1664525 + 1013904223) {
        Mem_Free(objects[random >> 8 & (N - 1)]);
        objects[random >> 8 & (N - 1)] = Mem_Alloc((int)(1 + (random >> 16) % 2000), FIRSTFIT);
    }
    return context;
}

int main(int argc, char **argv)
{
    const char *field = argc > 1 ? argv[1] : "";
    MemNodePtr node = make_free_chunks();
    if (strcmp(field, "size") == 0)
        node->size += 16;
    else if (strcmp(field, "type") == 0)
        node->type = false;
    else if (strcmp(field, "next") == 0)
        node->next = node;
    else if (strcmp(field, "head") == 0)
        m_free_list = node;
    pthread_t thread;
    if (strcmp(field, "none") == 0 && pthread_create(&thread, NULL, churn, NULL) != 0)
        abort();
    printf("free %p\nready\n", (void *)node);
    fflush(stdout);
    for (char c; read(STDIN_FILENO, &c, 1) > 0;)
        ;
    printf("alive\n");
    return 0;
}
