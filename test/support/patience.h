/* SPDX-License-Identifier: MIT
 *
 * patience.h - how long a test may take, and how much of its work it does.
 */
#ifndef PATIENCE_H
#define PATIENCE_H

#include <stdlib.h>

/* In seconds, for alarm(): it ends only what hangs. A busy machine may need many times what an idle
 * one does, and an emulator more. test/run.sh ends a program eleven minutes later. */
enum { PATIENCE = 240 };

/* The environment's SHARE, by which tests divide the number of their random steps. It is 1, except
 * in builds where the same steps take long, or that repeat what another build has done
 * (test/builds.tsv). */
static inline int share(void)
{
    static int n;
    if (n == 0) {
        const char *text = getenv("SHARE");
        n = text == NULL || atoi(text) < 1 ? 1 : atoi(text);
    }
    return n;
}

static inline int share_of(int nsteps)
{
    return (nsteps + share() - 1) / share();
}

#endif
