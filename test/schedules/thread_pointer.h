/* SPDX-License-Identifier: MIT
 *
 * thread_pointer.h - is included before each file of src that the explorer runs: the address that
 * stands for a thread is that of the explored thread (explore.h), since all of them run in one
 * thread of the system.
 */
#define os_thread_pointer os_thread_pointer_of_system
#include "base/os.h"
#undef os_thread_pointer
const void *os_thread_pointer(void);
