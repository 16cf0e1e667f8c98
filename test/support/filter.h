/* SPDX-License-Identifier: MIT
 *
 * filter.h - filters of the kernel (seccomp), which kill the process at each system call that they
 * do not allow, or let a call fail.
 */
#ifndef FILTER_H
#define FILTER_H

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

enum { MOST_CALLS = 16 };

/* From now on these system calls end as `these` says, and all others as `others` says. Returns
 * false if the system has no filters. */
static inline bool filter(const long *calls, size_t n, unsigned these, unsigned others)
{
    struct sock_filter code[MOST_CALLS + 3] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))};
    for (size_t i = 0; i < n; i++)
        code[1 + i] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)calls[i],
                                                   (uint8_t)(n - i), 0);
    code[1 + n] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, others);
    code[2 + n] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, these);
    struct sock_fprog program = {(unsigned short)(n + 3), code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

#define ONLY(...)                                                                                  \
    filter((long[]){SYS_exit_group, __VA_ARGS__},                                                  \
           sizeof((long[]){SYS_exit_group, __VA_ARGS__}) / sizeof(long), SECCOMP_RET_ALLOW,        \
           SECCOMP_RET_KILL_PROCESS)

/* The call ends with the error number, or kills the process if that is 0. */
static inline bool refuse(long call, int number)
{
    unsigned what = number == 0 ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_ERRNO | (unsigned)number;
    return filter(&call, 1, what, SECCOMP_RET_ALLOW);
}

#endif
