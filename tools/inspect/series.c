/* SPDX-License-Identifier: MIT
 *
 * series.c - when a process is looked at again, and whether it is still the same program. See
 * series.h.
 */
#include "series.h"

#include <err.h>
#include <time.h>

#include "command.h"

bool series_begin(struct series *s, const char *name, double every)
{
    *s = (struct series){.program = target_open(name), .every = every, .due = clock_seconds()};
    if (s->program == NULL)
        return false;
    if (target_is_process(s->program))
        return true;
    warnx("%s: a file does not change: give the id of a process that runs", name);
    series_end(s);
    return false;
}

void series_end(struct series *s)
{
    target_close(s->program);
}

bool series_goes_on(const struct series *s)
{
    if (!target_is_over(s->program))
        return true;
    warnx("%s: the process %s", target_name(s->program),
          target_has_ended(s->program) ? "has ended" : "executes another program now");
    return false;
}

void series_look(struct series *s)
{
    double now = clock_seconds();
    s->due += s->every;
    if (s->due <= now)
        s->due = now + s->every;
}

void series_set_pace(struct series *s, double every)
{
    s->due += every - s->every;
    s->every = every;
}

double series_seconds_left(const struct series *s)
{
    double left = s->due - clock_seconds();
    return left > 0 ? left : 0;
}

void series_await(const struct series *s)
{
    for (double left; (left = series_seconds_left(s)) > 0;) {
        struct timespec t = {.tv_sec = (time_t)left};
        t.tv_nsec = (long)((left - (double)t.tv_sec) * 1e9);
        nanosleep(&t, NULL);
    }
}
