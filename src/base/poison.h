/* SPDX-License-Identifier: MIT
 *
 * poison.h - tells AddressSanitizer which memory of a heap of one's own no code may touch. It does
 * something only where the library is compiled with -fsanitize=address.
 *
 *   PO1  poisoned is what was an object, from when it is freed until its memory is taken again; and
 *        what lies behind an object, up to the next multiple of 16. Nothing stays poisoned when the
 *        heap is destroyed or detached;
 *   PO2  what records grow into is not poisoned any longer (ledger/btree.c);
 *   PO3  a chunk that is taken is not poisoned, whatever it is for. So the library itself never
 *        touches poisoned memory, but where it looks up an address without the lock: what were
 *        records may have become an object and been freed while it reads them (RACING in base.h).
 */
#ifndef POISON_H
#define POISON_H

#include "base/base.h"

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN
#endif
#endif

#ifdef WITH_ASAN
#include <sanitizer/asan_interface.h>
enum { UNDER_ASAN = 1 };
#define poison(from, nbytes)   __asan_poison_memory_region((from), (nbytes))
#define unpoison(from, nbytes) __asan_unpoison_memory_region((from), (nbytes))
#else
enum { UNDER_ASAN = 0 };
#define poison(from, nbytes)   ((void)(from), (void)(nbytes))
#define unpoison(from, nbytes) ((void)(from), (void)(nbytes))
#endif

#endif
