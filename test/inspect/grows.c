/* SPDX-License-Identifier: MIT
 *
 * grows.c - a program whose objects are known to the byte, for test/top.sh: it does what standard
 * input says, and then prints "done".
 *
 *     take N SIZE     allocates N objects of SIZE bytes, and fills them
 *     free N SIZE     frees N of these
 *     exec PROGRAM    executes another program
 *
 * It asks malloc for nothing else. It prints "ready" and its process id at first, and "alive" when
 * standard input ends.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST = 100000 };

static struct object {
    void *start;
    size_t size;
} objects[MOST];
static size_t nobjects;

static void take(size_t size)
{
    if (nobjects == MOST)
        exit(3);
    objects[nobjects] = (struct object){malloc(size), size};
    memset(objects[nobjects++].start, 1, size);
}

static void free_one(size_t size)
{
    for (size_t i = nobjects; i-- > 0;)
        if (objects[i].size == size) {
            free(objects[i].start);
            objects[i] = objects[--nobjects];
            return;
        }
    exit(4);
}

int main(void)
{
    static char in[4096], out[4096], line[256], word[256];
    size_t n, size;
    setvbuf(stdin, in, _IOFBF, sizeof in);
    setvbuf(stdout, out, _IOLBF, sizeof out);
    printf("ready %d\n", getpid());
    while (fgets(line, sizeof line, stdin) != NULL) {
        if (sscanf(line, "take %zu %zu", &n, &size) == 2)
            while (n-- > 0)
                take(size);
        else if (sscanf(line, "free %zu %zu", &n, &size) == 2)
            while (n-- > 0)
                free_one(size);
        else if (sscanf(line, "exec %255s", word) == 1)
            execl(word, word, (char *)NULL);
        else
            return 5;
        printf("done\n");
    }
    printf("alive\n");
    return 0;
}
