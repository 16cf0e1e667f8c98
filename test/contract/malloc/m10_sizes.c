/* SPDX-License-Identifier: MIT
 *
 * m10_sizes.c - frees that are given a size or an alignment compare it with the object's [M10].
 *
 * The program runs itself again for each call and each setting of LIBMEM, since the setting is read
 * when a process begins, and looks at how that process ends and what it says.
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "tap.h"

/* C23 and the C++ operators, these by their names in object files. They are weak, so that the
 * program links without a library that has them: the one under test is preloaded. */
#define NAMED(symbol) __asm__(symbol) __attribute__((weak))
void free_sized(void *p, size_t nbytes) NAMED("free_sized");
void free_aligned_sized(void *p, size_t align, size_t nbytes) NAMED("free_aligned_sized");
void *new_aligned(size_t nbytes, size_t align) NAMED("_ZnwmSt11align_val_t");
void delete_sized(void *p, size_t nbytes) NAMED("_ZdlPvm");
void delete_array_sized(void *p, size_t nbytes) NAMED("_ZdaPvm");
void delete_aligned(void *p, size_t align) NAMED("_ZdlPvSt11align_val_t");
void delete_sized_aligned(void *p, size_t nbytes, size_t align) NAMED("_ZdlPvmSt11align_val_t");
void delete_array_sized_aligned(void *p, size_t nbytes, size_t align)
    NAMED("_ZdaPvmSt11align_val_t");

/* Frees one object by one of the calls, with that size and alignment. The object has `nbytes`,
 * and lies at a multiple of 64, but not of a larger `align`: only the bits below tell, not that of
 * `align` itself. It is larger than a slot, since all slots of 1024 bytes may lie at multiples of
 * that. */
static void free_by(int call, size_t nbytes, size_t said, size_t align)
{
    char *p = NULL;
    do {
        p = opaque(new_aligned(hide(nbytes), 64));
    } while (align > 64 && ((uintptr_t)p % align == 0 || ((uintptr_t)p & align) != 0));
    switch (call) {
    case 0:
        free_sized(p, said);
        break;
    case 1:
        free_aligned_sized(p, align, said);
        break;
    case 2:
        delete_sized(p, said);
        break;
    case 3:
        delete_array_sized(p, said);
        break;
    case 4:
        delete_sized_aligned(p, said, align);
        break;
    case 5:
        delete_array_sized_aligned(p, said, align);
        break;
    default:
        delete_aligned(p, align);
    }
    if (opaque(new_aligned(hide(nbytes), 64)) == NULL) { /* the heap goes on */
        abort();
    }
}

enum { NCALLS = 7 };
static const char *const name[NCALLS] = {
    "free_sized",       "free_aligned_sized",    "delete", "delete[]", "aligned delete",
    "aligned delete[]", "unsized aligned delete"};

/* Runs this program once more. Returns its status, and stores what it wrote to standard error. */
static int run(const char *setting, int call, size_t nbytes, size_t said, size_t align, char *text)
{
    char numbers[4][24];
    size_t number[4] = {(size_t)call, nbytes, said, align};
    int fds[2], status = -1;
    for (int i = 0; i < 4; i++) {
        snprintf(numbers[i], sizeof numbers[i], "%zu", number[i]);
    }
    if (pipe(fds) != 0) {
        return -1;
    }
    pid_t child = fork();
    if (child == 0) {
        dup2(fds[1], 2);
        setenv("LIBMEM", setting, 1);
        execl("/proc/self/exe", "m10_sizes", numbers[0], numbers[1], numbers[2], numbers[3], NULL);
        _exit(127);
    }
    close(fds[1]);
    ssize_t n = 0, more;
    while (n < 999 && (more = read(fds[0], text + n, 999 - (size_t)n)) > 0) {
        n += more;
    }
    text[n] = '\0';
    close(fds[0]);
    waitpid(child, &status, 0);
    return status;
}

static bool aborts(const char *setting, int call, size_t nbytes, size_t said, size_t align,
                   const char *what)
{
    char text[1000];
    int status = run(setting, call, nbytes, said, align, text);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && strstr(text, what) != NULL;
}

static bool goes_on(const char *setting, int call, size_t nbytes, size_t said, size_t align,
                    const char *what)
{
    char text[1000];
    int status = run(setting, call, nbytes, said, align, text);
    return status == 0 && (what == NULL ? text[0] == '\0' : strstr(text, what) != NULL);
}

int main(int argc, char **argv)
{
    static const size_t sizes[] = {1, 24, 255, 256, 1000, 5000, 60000, 300000};
    enum { NSIZES = sizeof sizes / sizeof *sizes };
    if (argc == 5) {
        free_by(atoi(argv[1]), strtoul(argv[2], NULL, 10), strtoul(argv[3], NULL, 10),
                strtoul(argv[4], NULL, 10));
        return 0;
    }
    for (int call = 0; call < NCALLS; call++) {
        bool right = true, wrong = true, sized = call != NCALLS - 1;
        bool aligned = call == 1 || call >= 4;
        char what[100];
        for (int i = 0; i < NSIZES; i++) {
            size_t n = sizes[i];
            right = right && goes_on("", call, n, n, 64, NULL);
            wrong = wrong && (!sized || (aborts("", call, n, n + 1, 64, "bytes, but the object") &&
                                         aborts("", call, n, n - 1, 64, "bytes, but the object")));
        }
        snprintf(what, sizeof what, "M10 %s: the right size and alignment are accepted",
                 name[call]);
        check(right, what);
        if (sized) {
            snprintf(what, sizeof what, "M10 %s: one byte more or less is refused", name[call]);
            check(wrong, what);
            snprintf(what, sizeof what, "M10 %s: the largest number is a size like another",
                     name[call]);
            check(aborts("", call, 100, SIZE_MAX, 64, "but the object has 100"), what);
        }
        if (aligned) {
            snprintf(what, sizeof what, "M10 %s: a wrong alignment is refused", name[call]);
            bool refused = aborts("", call, 1000, 1000, 4096, "at a multiple of 4096") &&
                           aborts("", call, 200, 200, 4096, "at a multiple of 4096");
            if (sized) /* and one that is no power of two */
                refused = refused && aborts("", call, 300000, 300000, 48, "at a multiple of 48");
            check(refused, what);
        }
    }
    check(goes_on("sizes=report", 2, 100, 50, 64, "called for 50 bytes, but the object has 100"),
          "M10 sizes=report: one line, and the object is freed");
    check(goes_on("sizes=ignore", 2, 100, 50, 64, NULL), "M10 sizes=ignore: nothing is said");
    check(goes_on("onerror=report", 0, 100, 50, 64, "the object has 100"),
          "M10 without sizes, onerror says what to do");
    check(aborts("onerror=ignore,sizes=abort", 0, 100, 50, 64, "the object has 100"),
          "M10 sizes comes before onerror");
    check(goes_on("sizes=often", 0, 100, 100, 64, "sizes=abort, sizes=report or sizes=ignore"),
          "M10 another setting is complained of");
    return done();
}
