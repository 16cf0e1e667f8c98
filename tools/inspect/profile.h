/* SPDX-License-Identifier: MIT
 *
 * profile.h - writes objects, counted by their origin, as a heap profile: the text that gperftools
 * writes, which google-pprof and pprof read.
 *
 *     heap profile: 22: 39014 [22: 39014] @ heapprofile
 *     5: 10000 [5: 10000] @ 0x55da8ea72449 0x55da8ea721d8 ...
 *     ...
 *     MAPPED_LIBRARIES:
 *     55da8ea72000-55da8ea73000 r-xp 00001000 00:00 0 /home/you/program
 *
 * Before the @ are the objects and bytes that are live, and in brackets those that were allocated
 * in all; since a census does not know these, they are equal, which the readers take for "not
 * known". Format: gperftools, docs/heapprofile.html, and pprof, profile/legacy_profile.go.
 */
#ifndef PROFILE_H
#define PROFILE_H

#include "census.h"

/* Writes a file. Objects without a stack have an address that no code has. Returns false after a
 * message. */
bool profile_write(const char *path, const struct origins *history, const struct kinds *origins);

#endif
