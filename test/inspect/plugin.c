/* SPDX-License-Identifier: MIT
 *
 * plugin.c - a library that planted.c opens. Its thread-local storage is too large for the room
 * that the dynamic linker keeps beside that of the program, so that each thread gets it from
 * malloc when it asks for it first: only the linker's own table (the DTV) leads there.
 */
enum { LARGE = 1024 };

_Thread_local void *in_plugin[LARGE];

void **plugin_place(void);

void **plugin_place(void)
{
    return &in_plugin[LARGE / 2];
}
