/* EXPECT: 134 "behind its end, would be written" */
/* SPDX-License-Identifier: MIT
 * Copies in a signal handler, which interrupts malloc and free again and again.
 */
#include <signal.h>
#include <sys/time.h>

#include "hard.h"

static char *object, from[32];
static volatile size_t length = 32;
static volatile sig_atomic_t nsignals;

static void on_signal(int number)
{
    (void)number;
    if (++nsignals == 20)
        length++;
    memcpy(object, from, length);
}

int main(void)
{
    struct itimerval every = {{0, 1000}, {0, 1000}};
    object = get(malloc(32));
    signal(SIGALRM, on_signal);
    setitimer(ITIMER_REAL, &every, NULL);
    for (;;)
        free(get(malloc(100)));
}
