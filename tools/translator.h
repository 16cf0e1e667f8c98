/* SPDX-License-Identifier: MIT
 *
 * translator.h - prints the stacks that the library writes of a bad pointer, with the names of
 * functions and lines of source, while the program runs.
 *
 *     process --(LIBMEM=stacks=/proc/PID/fd/N:INODE)--> pipe --> thread of mem --> standard error
 *     "#0 0x55fe66b1f164 (/home/you/program+0x1164) (BuildId: f179...)"
 *                                    becomes "#0 0x55fe66b1f164 give+0xc in program at program.c:3"
 *
 *   TL1  a line says itself in which file the address is and where, so lines of any process are
 *        translated, also of one that has ended. Where the file is not there, has no names, or is
 *        another one by now, the line is printed as it came;
 *   TL2  the program's own standard error, and the library's line about the pointer, do not pass
 *        through here;
 *   TL3  a process that outlives mem cannot open the pipe any longer, and the library writes to the
 *        standard error of the process.
 */
#ifndef TRANSLATOR_H
#define TRANSLATOR_H

struct translator;

/* Makes the pipe, names it to the library, and begins to translate. It ends mem if that fails. */
struct translator *translator_begin(void);

/* Returns when all that was written until now has been printed. */
void translator_end(struct translator *t);

#endif
