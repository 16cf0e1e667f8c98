/* SPDX-License-Identifier: MIT
 *
 * Checks that each name of the contract comes from libmem-malloc.so [M1] and none from glibc or
 * libstdc++; and that objects may be made by glibc's own names and freed by the others, and the
 * other way round.
 */
#include <dlfcn.h>
#include <malloc.h>
#include <stdlib.h>

#include "tap.h"

static const char *const names[] = {"malloc",
                                    "calloc",
                                    "realloc",
                                    "free",
                                    "cfree",
                                    "reallocarray",
                                    "memalign",
                                    "aligned_alloc",
                                    "posix_memalign",
                                    "valloc",
                                    "pvalloc",
                                    "malloc_usable_size",
                                    "free_sized",
                                    "free_aligned_sized",
                                    "mallinfo",
                                    "mallinfo2",
                                    "setrlimit",
                                    "setrlimit64",
                                    "prlimit",
                                    "prlimit64",
                                    "malloc_stats",
                                    "malloc_info",
                                    "malloc_trim",
                                    "mallopt",
                                    "__libc_malloc",
                                    "__libc_calloc",
                                    "__libc_realloc",
                                    "__libc_free",
                                    "__libc_memalign",
                                    "__libc_valloc",
                                    "__libc_pvalloc",
                                    "_Znwm",
                                    "_Znam",
                                    "_ZnwmRKSt9nothrow_t",
                                    "_ZnamRKSt9nothrow_t",
                                    "_ZnwmSt11align_val_t",
                                    "_ZnamSt11align_val_t",
                                    "_ZnwmSt11align_val_tRKSt9nothrow_t",
                                    "_ZnamSt11align_val_tRKSt9nothrow_t",
                                    "_ZdlPv",
                                    "_ZdaPv",
                                    "_ZdlPvm",
                                    "_ZdaPvm",
                                    "_ZdlPvRKSt9nothrow_t",
                                    "_ZdaPvRKSt9nothrow_t",
                                    "_ZdlPvSt11align_val_t",
                                    "_ZdaPvSt11align_val_t",
                                    "_ZdlPvSt11align_val_tRKSt9nothrow_t",
                                    "_ZdaPvSt11align_val_tRKSt9nothrow_t",
                                    "_ZdlPvmSt11align_val_t",
                                    "_ZdaPvmSt11align_val_t"};

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t), *__libc_memalign(size_t, size_t);
extern void *__libc_valloc(size_t), *__libc_pvalloc(size_t);
extern void __libc_free(void *);

/* A free that is refused aborts the program. */
static void own_names_and_others(void)
{
    size_t before = mallinfo2().uordblks, page = (size_t)sysconf(_SC_PAGESIZE);
    void *p[] = {opaque(__libc_malloc(100)),        opaque(__libc_calloc(10, 10)),
                 opaque(__libc_memalign(64, 100)),  opaque(__libc_valloc(100)),
                 opaque(__libc_pvalloc(1)),         opaque(malloc(100)),
                 opaque(__libc_realloc(NULL, 100)), opaque(realloc(__libc_malloc(9), 1 << 20))};
    enum { N = sizeof p / sizeof *p };
    check(all_are(p[1], 0, 100) && is_multiple(p[2], 64) && is_multiple(p[3], page) &&
              is_multiple(p[4], page) && malloc_usable_size(p[4]) == page &&
              malloc_usable_size(p[0]) == 100,
          "glibc's own names do what the others do");
    for (size_t i = 0; i < N; i++)
        i < 5 ? free(p[i]) : __libc_free(p[i]);
    free(opaque(__libc_realloc(opaque(malloc(100)), 5000)));
    check(mallinfo2().uordblks == before, "and either frees what the other has made");
}

int main(void)
{
    /* libstdc++, if it is installed, defines some of the names, too. */
    dlopen("libstdc++.so.6", RTLD_NOW | RTLD_GLOBAL);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        Dl_info from = {0};
        void *address = dlsym(RTLD_DEFAULT, names[i]);
        bool ours = address != NULL && dladdr(address, &from) != 0 &&
                    strstr(from.dli_fname, "libmem-malloc.so") != NULL;
        check(ours, names[i]);
    }
    own_names_and_others();
    return done();
}
