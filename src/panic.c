/* SPDX-License-Identifier: MIT */
#include "panic.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void say(const char *text)
{
    if (write(STDERR_FILENO, text, strlen(text)) < 0)
        return; /* nobody listens; abort says it too */
}

noreturn void panic(const char *what)
{
    say("libmem: internal error: ");
    say(what);
    say("\n");
    abort();
}
