/* SPDX-License-Identifier: MIT
 *
 * Checks the stacks that a history has (LIBMEM=history,onerror=report) against those of libc's
 * backtrace, which asks gcc's library: in deep and in large frames, in aligned ones, below signal
 * handlers, and in many threads at once. On stacks of coroutines, frame pointers that lead nowhere
 * do no harm.
 *
 * A bad free prints the stack of its call on standard error; here that is a pipe.
 */
#include <alloca.h>
#include <errno.h>
#include <execinfo.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>

#include "filter.h"
#include "tap.h"

enum { TEXT_BYTES = 1 << 14, MOST = 32 };

static int pipe_in;       /* what is written to standard error can be read here */
static int nfurther;      /* how many frames two stacks have in common, behind the first */
static bool are_the_same; /* what the last `look` found */

/* Reads the stack of the call from the lines of one bad free. Returns how many frames it has. */
static int read_stack(uintptr_t frame[MOST])
{
    static char text[TEXT_BYTES];
    ssize_t n = read(pipe_in, text, sizeof text - 1);
    int nframes = 0;
    if (n <= 0)
        return 0;
    text[n] = '\0';
    char *end = strstr(text, "nothing is known"), *at = strstr(text, "called in thread");
    if (end != NULL)
        *end = '\0';
    while (at != NULL && nframes < MOST && (at = strstr(at, "    #")) != NULL) {
        at = strchr(at + 5, ' ');
        frame[nframes++] = (uintptr_t)strtoull(at, &at, 16) + 1;
    }
    return nframes;
}

/* Frees a bad pointer, and compares the stack that the library reports with backtrace's, up to
 * `at_most` frames. Frame 0 is this function, in two different lines. */
__attribute__((noinline)) static void look(int at_most)
{
    void *theirs[MOST + 1];
    uintptr_t ours[MOST];
    free(opaque(&pipe_in));
    int n = read_stack(ours), m = backtrace(theirs, MOST + 1);
    m = m > MOST ? MOST : m;
    m = m > at_most ? at_most : m;
    nfurther = 0;
    while (nfurther + 1 < n && nfurther + 1 < m &&
           ours[nfurther + 1] == (uintptr_t)theirs[nfurther + 1])
        nfurther++;
    are_the_same = (at_most < MOST ? n >= m : n == m) && nfurther + 1 == m && m > 1;
    if (!are_the_same)
        printf("# %d frames, not %d; %d are the same\n", n, m, nfurther + 1);
}

#define APART        __attribute__((noinline))
#define NO_TAIL_CALL __asm__ volatile("" : : : "memory")

APART static void deep(int n)
{
    if (n == 0)
        look(MOST);
    else
        deep(n - 1);
    NO_TAIL_CALL;
}

/* The size of the frame is known at run time only, so it has a frame pointer. */
APART static void of_variable_size(size_t n)
{
    char *bytes = alloca(hide(n));
    memset(bytes, 1, n);
    deep(2);
    opaque(bytes);
}

APART static void large(void)
{
    char bytes[200000];
    memset(bytes, 1, sizeof bytes);
    deep(2);
    opaque(bytes);
}

/* The compiler aligns the stack anew, and finds the frame through a register that it saves. */
APART static void aligned(size_t n)
{
    _Alignas(128) char bytes[256];
    char *more = alloca(hide(n));
    memset(bytes, 1, sizeof bytes);
    memset(more, 1, n);
    deep(2);
    opaque(bytes);
    opaque(more);
}

APART static void many_arguments(int a, int b, int c, int d, int e, int f, int g, int h)
{
    deep(2);
    hide((size_t)(a + b + c + d + e + f + g + h));
}

static int compare(const void *a, const void *b)
{
    static bool once;
    if (!once)
        deep(1);
    once = true;
    return *(const int *)a - *(const int *)b;
}

static bool in_handler;

static void handle(int number)
{
    (void)number;
    look(3); /* this function, the handler, and what libc has the handler return to */
    in_handler = are_the_same;
}

/* --- code about whose frames nothing is said ------------------------------------------------- */

/* with_fp(f, fp) calls f with that value in the frame pointer. with_frame(f) keeps a frame pointer,
 * to a large frame, and calls f with it as the argument. */
void with_fp(void (*f)(uintptr_t *frame), uintptr_t fp);
void with_frame(void (*f)(uintptr_t *frame));
#if defined(__x86_64__)
__asm__(".text\n"
        "with_fp:\n\tpush %rbp\n\tmov %rsi, %rbp\n\tmov %rdi, %rax\n\txor %edi, %edi\n"
        "\tsub $16, %rsp\n\tcall *%rax\n"
        ".globl behind_the_call\nbehind_the_call:\n"
        "\tadd $16, %rsp\n\tpop %rbp\n\tret\n"
        "with_frame:\n\tpush %rbp\n\tmov %rsp, %rbp\n\tsub $9008, %rsp\n\tmov %rdi, %rax\n"
        "\tmov %rbp, %rdi\n\tcall *%rax\n\tleave\n\tret\n");
#else
__asm__(".text\n"
        "with_fp:\n\tstp x29, x30, [sp, #-32]!\n\tmov x29, x1\n\tmov x2, x0\n\tmov x0, #0\n"
        "\tblr x2\n"
        ".globl behind_the_call\nbehind_the_call:\n"
        "\tldp x29, x30, [sp], #32\n\tret\n"
        "with_frame:\n\tstp x29, x30, [sp, #-16]!\n\tmov x29, sp\n\tsub sp, sp, #2, lsl #12\n"
        "\tmov x2, x0\n\tmov x0, x29\n\tblr x2\n\tadd sp, sp, #2, lsl #12\n"
        "\tldp x29, x30, [sp], #16\n\tret\n");
#endif
extern const char behind_the_call[];

APART static void allocate_once(uintptr_t *unused)
{
    (void)unused;
    free(opaque(malloc(hide(100))));
    NO_TAIL_CALL;
}

/* Notes whether the stack goes on to the caller of with_frame. */
static bool goes_on;

APART static void look_behind(uintptr_t *frame)
{
    uintptr_t ours[MOST];
    free(opaque(&pipe_in));
    int n = read_stack(ours);
    goes_on = false;
    for (int i = 0; i < n; i++)
        goes_on |= ours[i] == frame[1];
}

enum { FIBER_BYTES = 1 << 16 };
static unsigned char *fiber; /* a stack, between two pages that cannot be read */
static ucontext_t main_context, fiber_context;
static bool fiber_goes_on;

/* The words at the stack's end are as a frame there would be. Its caller has another frame, which
 * is said to begin in the page behind. */
static void run_fiber(void)
{
    uintptr_t end = (uintptr_t)fiber + FIBER_BYTES, *last = (uintptr_t *)end - 2;
    const uintptr_t nowhere[] = {
        end + 64,         end - 8,        end, (uintptr_t)fiber - 64, end + (1u << 30),
        UINTPTR_MAX - 15, (uintptr_t)last};
    const uintptr_t callers[] = {(uintptr_t)behind_the_call, (uintptr_t)look + 1};
    for (size_t k = 0; k < sizeof callers / sizeof *callers; k++)
        for (size_t i = 0; i < sizeof nowhere / sizeof *nowhere; i++) {
            last[0] = end + 128;
            last[1] = callers[k];
            with_fp(allocate_once, nowhere[i]);
        }
    with_frame(look_behind);
    fiber_goes_on = goes_on;
}

static bool is_on_a_fiber(void)
{
    enum { GUARD = 1 << 16 };
    unsigned char *all =
        mmap(NULL, FIBER_BYTES + 2 * GUARD, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED || getcontext(&fiber_context) != 0)
        return false;
    fiber = all + GUARD;
    if (mprotect(fiber, FIBER_BYTES, PROT_READ | PROT_WRITE) != 0)
        return false;
    fiber_context.uc_stack.ss_sp = fiber;
    fiber_context.uc_stack.ss_size = FIBER_BYTES / 2; /* the end stays for false frames */
    fiber_context.uc_link = &main_context;
    makecontext(&fiber_context, run_fiber, 0);
    swapcontext(&main_context, &fiber_context);
    munmap(all, FIBER_BYTES + 2 * GUARD);
    return true;
}

static void *run_in_thread(void *unused)
{
    with_frame(look_behind);
    (void)unused;
    return is_on_a_fiber() ? &goes_on : NULL;
}

static void look_where_nothing_is_said(void)
{
    pthread_t t;
    void *result = NULL;
    with_frame(look_behind);
    check(goes_on, "code that keeps a frame pointer, and has no call frame information");
    check(is_on_a_fiber() && fiber_goes_on, "such code on a coroutine's stack, and false frames");
    goes_on = fiber_goes_on = false;
    pthread_create(&t, NULL, run_in_thread, NULL);
    pthread_join(t, &result);
    check(result != NULL && fiber_goes_on, "both in another thread");
}

/* --- threads ---------------------------------------------------------------------------- */

enum { NTHREADS = 8, NROUNDS = 2000 };

/* Each thread allocates and frees through stacks of its own, so that many places in the code are
 * looked up at once. */
APART static void allocate(uint64_t *dice, int depth)
{
    void *p = opaque(malloc(1 + rnd(dice, 2000)));
    if (depth > 0)
        allocate(dice, depth - 1);
    free(p);
    NO_TAIL_CALL;
}

static void *work(void *seed)
{
    uint64_t dice = (uintptr_t)seed;
    for (int i = 0; i < NROUNDS; i++)
        allocate(&dice, (int)rnd(&dice, 30));
    return NULL;
}

static void *look_deep(void *unused)
{
    (void)unused;
    deep(5);
    return NULL;
}

static void run_threads(void)
{
    pthread_t t[NTHREADS];
    for (uintptr_t i = 0; i < NTHREADS; i++)
        pthread_create(&t[i], NULL, work, (void *)(i + 1));
    bool all_end = true;
    for (int i = 0; i < 20; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            uint64_t dice = 5;
            allocate(&dice, 20);
            _exit(0);
        }
        int status = -1;
        all_end &= waitpid(pid, &status, 0) == pid && status == 0;
    }
    for (int i = 0; i < NTHREADS; i++)
        pthread_join(t[i], NULL);
    check(all_end, "children of a process with many threads go on");
}

void sized(void *p, size_t nbytes) __asm__("free_sized") __attribute__((weak));

/* Returns the address of a frame, in the first stack behind `title`; 0 if there is none. */
static uintptr_t frame_of(const char *text, const char *title, int n)
{
    char number[16];
    snprintf(number, sizeof number, "    #%d 0x", n);
    const char *at = strstr(text, title);
    at = at == NULL ? NULL : strstr(at, number);
    return at == NULL ? 0 : (uintptr_t)strtoull(at + strlen(number), NULL, 16);
}

/* A wrong size is reported with the stack of the allocation, which was before a realloc. Both were
 * called here: so the frames differ in the first one only. */
__attribute__((noinline)) static bool a_wrong_size_has_a_stack(void)
{
    static char text[TEXT_BYTES];
    void *p = opaque(realloc(opaque(malloc(hide(5000))), hide(4990)));
    sized(p, 5);
    ssize_t n = read(pipe_in, text, sizeof text - 1);
    return n > 0 && strstr(text, "called for 5 bytes, but the object has 4990") != NULL &&
           frame_of(text, "called in", 0) != frame_of(text, "allocated by malloc in", 0) &&
           frame_of(text, "called in", 1) == frame_of(text, "allocated by malloc in", 1) &&
           frame_of(text, "called in", 1) != 0 && strstr(text, "history_stacks+0x") != NULL &&
           strstr(text, "libc.so.6+0x") != NULL;
}

/* In a child, which cannot read where a link leads, as if there were no /proc. Returns true as well
 * if the system has no filters. */
static bool free_keeps_errno(void)
{
    enum { NUMBER = 77 };
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
#ifdef SYS_readlink
        bool has_filters = refuse(SYS_readlink, ENOENT);
#else
        bool has_filters = refuse(SYS_readlinkat, ENOENT);
#endif
        errno = NUMBER;
        free(opaque(&pipe_in));
        _exit(!has_filters || errno == NUMBER ? 0 : 1);
    }
    waitpid(pid, &status, 0);
    return status == 0;
}

int main(void)
{
    int ends[2];
    void *warm[2];
    if (pipe(ends) != 0 || dup2(ends[1], STDERR_FILENO) < 0)
        return 1;
    pipe_in = ends[0];
    backtrace(warm, 2); /* it opens gcc's library at the first call */
    bool good = true;
    for (int i = 0; i < 40; i++) {
        deep(i);
        good &= are_the_same;
    }
    check(good, "frames one in another, more than are kept");
    of_variable_size(1000);
    check(are_the_same, "a frame whose size the compiler does not know");
    large();
    check(are_the_same, "a large frame");
    aligned(500);
    check(are_the_same, "a frame that is aligned anew");
    many_arguments(1, 2, 3, 4, 5, 6, 7, 8);
    check(are_the_same, "arguments on the stack");
    int numbers[] = {3, 1, 2};
    qsort(numbers, 3, sizeof *numbers, compare);
    check(are_the_same, "functions of libc in between");
    pthread_t t;
    pthread_create(&t, NULL, look_deep, NULL);
    pthread_join(t, NULL);
    check(are_the_same, "another thread");
    signal(SIGUSR1, handle);
    raise(SIGUSR1);
    check(in_handler, "a signal handler");
    look_where_nothing_is_said();
    run_threads();
    deep(7);
    check(are_the_same, "after all that");
    check(a_wrong_size_has_a_stack(), "a wrong size");
    check(free_keeps_errno(), "M2 free keeps errno, whatever the system says to the library");
    return done();
}
