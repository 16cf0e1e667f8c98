/* SPDX-License-Identifier: MIT
 *
 * probe.h - places at which a debugger or a tracer can stop or count: static probes (USDT), which
 * gdb, perf, bpftrace and SystemTap know by name.
 *
 *     libmem:refused   address           a call was given an address that it refuses
 *     libmem:trim      address, nbytes   free pages went back to the system
 *
 *   PR1  a probe is one nop and an ELF note, where sys/sdt.h is there when the library is built;
 *        elsewhere it is nothing;
 *   PR2  no probe lies where an object is taken or freed: these paths have no instruction for it.
 */
#ifndef PROBE_H
#define PROBE_H

#if defined(__has_include)
#if __has_include(<sys/sdt.h>)
#include <sys/sdt.h>
#endif
#endif

#ifdef STAP_PROBE1
#define PROBE_REFUSED(address)      STAP_PROBE1(libmem, refused, address)
#define PROBE_TRIM(address, nbytes) STAP_PROBE2(libmem, trim, address, nbytes)
#else
#define PROBE_REFUSED(address)      ((void)0)
#define PROBE_TRIM(address, nbytes) ((void)0)
#endif

#endif
