/* SPDX-License-Identifier: MIT
 *
 * Checks how much is resident while buffers of 1 to 8 MiB are replaced at random and small objects
 * are kept between them [M6].
 *
 * The pause between two buffers pays for the faults of 6.25 MiB (core/trim.h, TR3: 256 KiB in a
 * millisecond), where an average one has 4.5. So when memory would grow beyond its peak, what is
 * dirty can mostly go. Beside the live bytes there is what is too little to go (a thirty-second),
 * what is not paid for yet (at first a buffer or two, of 17), and the program itself: a fifth of
 * them is enough for all three.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tap.h"

enum { NBUFFERS = 17, NSTEPS = 160, NSMALL = 4, MIB = 1 << 20, PAUSE_US = 25000 };

static char *buffer[NBUFFERS];
static size_t size_of[NBUFFERS];
static char *kept[NSTEPS * NSMALL];

/* Returns the most bytes that were resident; stores the most that were live. */
static size_t replace(bool cleared, size_t *live_most)
{
    uint64_t seed = 1;
    size_t live = 0, most = 0, nkept = 0;
    *live_most = 0;
    for (int i = 0; i < NSTEPS; i++) {
        size_t k = i < NBUFFERS ? (size_t)i : rnd(&seed, NBUFFERS);
        free(buffer[k]);
        live -= size_of[k];
        size_of[k] = MIB + rnd(&seed, 7 * MIB);
        buffer[k] = cleared ? calloc(1, size_of[k]) : malloc(size_of[k]);
        live += size_of[k];
        memset(buffer[k], 1, size_of[k]);
        for (int j = 0; j < NSMALL; j++, nkept++) {
            kept[nkept] = malloc(100);
            memset(kept[nkept], 1, 100);
        }
        size_t now = resident();
        most = now > most ? now : most;
        *live_most = live > *live_most ? live : *live_most;
        usleep(PAUSE_US);
    }
    for (int k = 0; k < NBUFFERS; k++) {
        free(buffer[k]);
        buffer[k] = NULL;
        size_of[k] = 0;
    }
    for (size_t i = 0; i < nkept; i++) {
        free(kept[i]);
    }
    return most;
}

int main(void)
{
    for (int cleared = 0; cleared < 2; cleared++) {
        size_t live, most = replace(cleared, &live);
        printf("# %s: %zu MiB live, %zu MiB resident at most\n", cleared ? "calloc" : "malloc",
               live / MIB, most / MIB);
        check(most >= live && most < live + live / 5, "M6 buffers that are replaced: a fifth more");
    }
    return done();
}
