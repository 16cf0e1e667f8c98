/* SPDX-License-Identifier: MIT
 *
 * unistd.h - the system's header, with pages of PAGE_BYTES. See base/system_call.h beside it.
 */
#include_next <unistd.h>

#ifndef PAGES_UNISTD_H
#define PAGES_UNISTD_H

/* A test may define a function sysconf and say a larger number than that. */
static inline long pages_sysconf(int name)
{
    long n = (sysconf)(name);
    return name == _SC_PAGESIZE && n < PAGE_BYTES ? PAGE_BYTES : n;
}

#define sysconf(name) pages_sysconf(name)

#endif
