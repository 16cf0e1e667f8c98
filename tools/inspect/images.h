/* SPDX-License-Identifier: MIT
 *
 * images.h - the programs and libraries that are mapped into a target, and the descriptions of
 * heaps in them (base/describe.h).
 */
#ifndef IMAGES_H
#define IMAGES_H

#include "target.h"

/* What one note describes. */
struct described {
    uint32_t type, layout; /* DESCRIBED_... */
    uint64_t address;      /* of the variable, in the target */
    const char *file;      /* the image, as in the target's mappings */
};

/* Finds all descriptions in all images of a target, and returns how many there are; the caller
 * frees *found. If a core file does not hold the first pages of an image, its file is read. */
size_t images_described(struct target *t, struct described **found);

/* Returns whether an open file is the image that was mapped at `start` when images_described was
 * called last: it has the ELF header and the build id that the target has in memory there. What a
 * core file does not hold cannot be compared: then each image is taken for the right one. */
bool image_is_file(const struct target *t, uint64_t start, int fd);

/* Says which malloc the program has, in words, as far as the names of its libraries tell. */
const char *images_malloc(const struct target *t);

#endif
