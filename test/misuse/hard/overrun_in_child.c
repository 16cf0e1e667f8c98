/* EXPECT: 0 "harmless" */
/* SPDX-License-Identifier: MIT
 * A child of fork writes behind an object of its parent, and ends.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(50));
    pid_t child = fork();
    if (child == 0) {
        p[50] = 1;
        free(p);
        _exit(0);
    }
    int status;
    if (waitpid(child, &status, 0) != child || !WIFSIGNALED(status))
        return 1;
    free(p);
    return harmless();
}
