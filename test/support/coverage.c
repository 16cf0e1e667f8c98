/* SPDX-License-Identifier: MIT
 *
 * coverage.c - writes what clang's instrumentation has counted, for make coverage.
 *
 * clang's own runtime writes when a process calls exit, and allocates memory for it. Here the
 * counts are also written when a process calls _exit or abort, as child processes of the tests do;
 * and without allocating, since the malloc that the process uses may be the one that is measured.
 *
 * Each instrumented program and each instrumented library has one copy of this file, and a file of
 * its own in the folder COVERAGE_FOLDER, to which all processes add their counts.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The interface of libclang_rt.profile (compiler-rt/lib/profile/InstrProfiling.h). The name of
 * the variable says that no constructor of the runtime is wanted. */
int __llvm_profile_runtime = 0;
uint64_t __llvm_profile_get_size_for_buffer(void);
int __llvm_profile_write_buffer(char *buffer);
int __llvm_profile_merge_from_buffer(const char *profile, uint64_t nbytes);
void __llvm_profile_reset_counters(void);
const char *__llvm_profile_begin_names(void);
const char *__llvm_profile_end_names(void);

/* The next function of that name: that of another instrumented library, or that of libc. */
static void (*next_exit)(int);
static void (*next_abort)(void);

__attribute__((constructor)) static void look_up(void)
{
    *(void **)&next_exit = dlsym(RTLD_NEXT, "_exit");
    *(void **)&next_abort = dlsym(RTLD_NEXT, "abort");
}

/* Makes the path of this program's or library's file: FNV-1a of the names of its functions. */
static void make_path(char path[])
{
    uint64_t hash = 0xcbf29ce484222325;
    const char *end = __llvm_profile_end_names();
    for (const char *p = __llvm_profile_begin_names(); p < end; p++)
        hash = (hash ^ (unsigned char)*p) * 0x100000001b3;
    strcpy(path, COVERAGE_FOLDER "/................profraw");
    for (char *digit = strchr(path, '\0') - 8; digit[-1] != '/'; hash >>= 4)
        *--digit = "0123456789abcdef"[hash & 15];
    path[strlen(path) - 8] = '.';
}

/* The system calls are made directly: a test may have put functions of its own before libc's. */
static void add_counts(void)
{
    char path[sizeof COVERAGE_FOLDER + 32];
    struct stat status;
    uint64_t nbytes = __llvm_profile_get_size_for_buffer();
    make_path(path);
    int file = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (file < 0)
        return;
    syscall(SYS_flock, file, LOCK_EX);
    char *shared = MAP_FAILED;
    if (syscall(SYS_fstat, file, &status) == 0 && syscall(SYS_ftruncate, file, nbytes) == 0)
        shared =
            (char *)syscall(SYS_mmap, NULL, nbytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0L);
    if (shared != MAP_FAILED) {
        if ((uint64_t)status.st_size == nbytes)
            __llvm_profile_merge_from_buffer(shared, nbytes);
        __llvm_profile_write_buffer(shared);
        __llvm_profile_reset_counters(); /* They are in the file now. */
        syscall(SYS_munmap, shared, nbytes);
    }
    syscall(SYS_close, file);
}

__attribute__((destructor)) static void at_the_end(void)
{
    add_counts();
}

__attribute__((visibility("default"))) void _exit(int status)
{
    add_counts();
    if (next_exit != NULL)
        next_exit(status);
    for (;;)
        syscall(SYS_exit_group, status);
}

__attribute__((visibility("default"))) void abort(void)
{
    add_counts();
    if (next_abort != NULL)
        next_abort();
    for (;;)
        syscall(SYS_tkill, syscall(SYS_gettid), SIGKILL);
}
