/* SPDX-License-Identifier: MIT
 *
 * screen.h - the terminal as a screen, by ncurses. A tool that was built without ncurses has none.
 *
 * While the screen is there, signals that would end or stop the tool wait until screen_wait, which
 * first gives the terminal back as it was: so none of them comes while a process is stopped for a
 * look. What is written to standard error appears when the screen is gone.
 */
#ifndef SCREEN_H
#define SCREEN_H

#include "cells.h"

/* Returns whether this tool was built with ncurses. */
bool has_screen(void);

/* Makes the terminal a screen. Returns false, after a message, if that cannot be. */
bool screen_begin(void);

/* Gives the terminal back. It is also called when the tool exits. */
void screen_end(void);

/* Begins a new picture. What follows is put below each other, as far as there is room. */
void screen_clear(void);

/* Returns how many rows there is room for. */
size_t screen_rows_left(void);

/* Puts lines of text, the first of them in bold. */
void screen_text(const char *text);

/* Puts the cells of a map, in colours if the terminal has any. */
void screen_cells(const struct map *m);

/* Shows the picture, and waits for a key, which it returns; or for one of these events. If seconds
 * is less than 0, time does not pass. */
enum { SCREEN_TIME = -1, SCREEN_RESIZED = -2, SCREEN_GONE = -3 };
int screen_wait(double seconds);

#endif
