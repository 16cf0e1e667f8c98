/* SPDX-License-Identifier: MIT
 *
 * reserved.h - how much address space malloc's heap has reserved, for programs that run with
 * libmem-malloc.so as their malloc.
 */
#ifndef RESERVED_H
#define RESERVED_H

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Returns 0 if malloc_info does not say it. */
static inline size_t reserved(void)
{
    static const char before[] = "<aspace type=\"total\" size=\"";
    char *text = NULL;
    size_t nbytes = 0;
    FILE *stream = open_memstream(&text, &nbytes);
    malloc_info(0, stream);
    fclose(stream);
    const char *at = strstr(text, before);
    size_t n = at == NULL ? 0 : strtoul(at + strlen(before), NULL, 10);
    free(text);
    return n;
}

#endif
