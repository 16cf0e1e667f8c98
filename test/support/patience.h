/* SPDX-License-Identifier: MIT
 *
 * patience.h - how long a test may take.
 */
#ifndef PATIENCE_H
#define PATIENCE_H

/* In seconds, for alarm(): it ends only what hangs. A busy machine may need many times what an idle
 * one does, and an emulator more. test/run.sh ends a program eleven minutes later. */
enum { PATIENCE = 240 };

#endif
