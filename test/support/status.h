/* SPDX-License-Identifier: MIT
 *
 * status.h - what the system knows of the memory of this process, in KiB: statm counts pages.
 */
#ifndef STATUS_H
#define STATUS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Returns a number of /proc/self/status, for example "VmRSS", or 0 if it is not there. */
static inline size_t status_kib(const char *name)
{
    char line[256];
    size_t kib = 0, length = strlen(name);
    FILE *file = fopen("/proc/self/status", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, name, length) == 0 && line[length] == ':') {
            kib = strtoul(line + length + 1, NULL, 10);
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return kib;
}

#endif
