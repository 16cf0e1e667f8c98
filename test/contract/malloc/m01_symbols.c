/* SPDX-License-Identifier: MIT
 *
 * Checks that each name of the contract comes from libmem-malloc.so [M1] and none from glibc or
 * libstdc++.
 */
#include <dlfcn.h>

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
                                    "malloc_stats",
                                    "malloc_info",
                                    "malloc_trim",
                                    "mallopt",
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
    return done();
}
