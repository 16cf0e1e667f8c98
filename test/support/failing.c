/* SPDX-License-Identifier: MIT
 *
 * Makes system calls of libmem-malloc.so fail, as failing.h says which.
 *
 * This library, failing.so, is preloaded before libmem-malloc.so. The system calls that libmem
 * makes itself [M8] are told from those of libc by the address of the code: the kernel is asked to
 * turn them into a signal, whose handler makes the call, or lets it fail. The functions of libc by
 * which the malloc layer asks for something are interposed; libc's internal calls do not come this
 * way.
 */
#include <dlfcn.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "failing.h"

#define API __attribute__((visibility("default")))

int __register_atfork(void (*)(void), void (*)(void), void (*)(void), void *);

/* dlsym allocates only when it fails. */
#define REAL(name) ((__typeof__(name) *)real(#name))
static void *real(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

static void watch_system_calls(void);

struct failing *failing_page(void);
API struct failing *failing_page(void)
{
    static struct failing nowhere;
    static _Atomic(struct failing *) page;
    if (page == NULL) {
        void *p =
            REAL(mmap)(NULL, sizeof nowhere, PROT_READ | PROT_WRITE, MAP_SHARED, FAILING_FD, 0);
        page = p == MAP_FAILED ? &nowhere : p;
        watch_system_calls();
    }
    return page;
}

static bool fails(enum failing_call call, int number)
{
    struct failing *f = failing_page();
    uint32_t n = ++f->n, of_kind = ++f->ncalls[call];
    bool all = f->only != 0 && f->at == 0, right_kind = f->only == 0 || f->only == call + 1u;
    n = f->only != 0 ? of_kind : n;
    bool chosen = right_kind && (all || (f->at != 0 && (n == f->at || (n > f->at && f->onwards))));
    if (!chosen) {
        return false;
    }
    f->nfailed[call]++;
    errno = number;
    return true;
}

/* --- system calls that libmem makes itself ------------------------------------------ */

static const struct watched {
    int number;
    enum failing_call call;
    int error;
} watched[] = {{SYS_mmap, FAILING_mmap, ENOMEM},
               {SYS_munmap, FAILING_munmap, ENOMEM},
               {SYS_madvise, FAILING_madvise, ENOMEM},
               {SYS_mprotect, FAILING_mprotect, ENOMEM},
               {SYS_sysinfo, FAILING_sysinfo, EPERM},
               {SYS_prlimit64, FAILING_prlimit64, EPERM},
               {SYS_membarrier, FAILING_membarrier, ENOSYS},
               {SYS_write, FAILING_write, EIO}};
enum { NWATCHED = sizeof watched / sizeof *watched };

/* The handler of SIGSYS: stands for the system call. */
static void call_or_fail(int signal_number, siginfo_t *info, void *context)
{
    int before = errno;
    long result = -ENOSYS;
    mcontext_t *m = &((ucontext_t *)context)->uc_mcontext;
#if defined(__x86_64__)
    greg_t *r = m->gregs, *to = &r[REG_RAX];
    long a[] = {r[REG_RDI], r[REG_RSI], r[REG_RDX], r[REG_R10], r[REG_R8], r[REG_R9]};
#else
    unsigned long long *to = &m->regs[0];
    long a[6];
    memcpy(a, to, sizeof a);
#endif
    (void)signal_number;
    for (int i = 0; i < NWATCHED; i++) {
        if (watched[i].number == info->si_syscall) {
            bool failed = fails(watched[i].call, watched[i].error);
            result = failed ? -1 : syscall(info->si_syscall, a[0], a[1], a[2], a[3], a[4], a[5]);
            result = result == -1 ? -errno : result;
        }
    }
    *to = (__typeof__(*to))result;
    errno = before;
}

/* For dl_iterate_phdr: finds where libmem's code lies. */
static int find_code(struct dl_phdr_info *info, size_t n, void *range)
{
    uintptr_t *code = range;
    (void)n;
    for (int i = 0; i < info->dlpi_phnum && strstr(info->dlpi_name, "libmem-malloc.so"); i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type == PT_LOAD && (p->p_flags & PF_X) != 0) {
            code[0] = info->dlpi_addr + p->p_vaddr;
            code[1] = code[0] + p->p_memsz;
        }
    }
    return code[1] != 0;
}

/* Asks the kernel for a signal when code of libmem makes one of these calls. If it does not grant
 * that, m08_fault misses the failures. Libc's own calls are left alone. */
static void watch_system_calls(void)
{
    struct sigaction action = {.sa_sigaction = call_or_fail, .sa_flags = SA_SIGINFO | SA_NODEFER};
    uintptr_t code[2] = {0, 0};
    dl_iterate_phdr(find_code, code);
    uint32_t high = (uint32_t)(code[0] >> 32), low = (uint32_t)code[0], end = (uint32_t)code[1];
    enum { AT_IP = offsetof(struct seccomp_data, instruction_pointer), N = 8 + NWATCHED };
    struct sock_filter filter[N] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, AT_IP + 4),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, high, 0, N - 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, AT_IP),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, low, 0, N - 6),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, end, N - 7, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    };
    for (int i = 0; i < NWATCHED; i++) {
        filter[6 + i] =
            (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)watched[i].number,
                                         (uint8_t)(NWATCHED - i), 0);
    }
    filter[N - 2] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    filter[N - 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP);
    struct sock_fprog program = {N, filter};
    sigaction(SIGSYS, &action, NULL);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

/* --- functions that libmem calls ------------------------------------------------------ */

/* The pthread functions return the error number and leave errno alone. */
static int number_if_fails(enum failing_call call, int number)
{
    int before = errno;
    bool so = fails(call, number);
    errno = before;
    return so ? number : 0;
}

/* Libmem asks for the page size before anything else, so this is when the watch begins. */
API unsigned long(getauxval)(unsigned long name)
{
    failing_page();
    return REAL(getauxval)(name);
}

API int __register_atfork(void (*before)(void), void (*in_parent)(void), void (*in_child)(void),
                          void *library)
{
    int number = number_if_fails(FAILING___register_atfork, ENOMEM);
    return number != 0 ? number : REAL(__register_atfork)(before, in_parent, in_child, library);
}

API int pthread_key_create(pthread_key_t *key, void (*destroy)(void *))
{
    int number = number_if_fails(FAILING_pthread_key_create, EAGAIN);
    return number != 0 ? number : REAL(pthread_key_create)(key, destroy);
}

API int pthread_setspecific(pthread_key_t key, const void *value)
{
    int number = number_if_fails(FAILING_pthread_setspecific, ENOMEM);
    return number != 0 ? number : REAL(pthread_setspecific)(key, value);
}
