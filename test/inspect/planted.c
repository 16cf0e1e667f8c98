/* SPDX-License-Identifier: MIT
 *
 * planted.c [THREADS] - makes objects that it can reach in each way that there is, and others that
 * it cannot, and prints which are which, so that test/leaks.sh can compare that with `mem leaks`.
 *
 *     kept ADDRESS WHERE     can be reached: WHERE says by what
 *     leak ADDRESS SIZE WHAT cannot be reached, and no other such object points to it
 *     more ADDRESS SIZE      can be reached from a leak only
 *     ready
 *
 * Each object has a size of its own. Then the program waits until standard input ends, while
 * THREADS threads take and free objects, which they keep reachable.
 *
 * What was planted must not stay in the stack or in a register by chance. So objects are made by
 * functions that have returned, the stack below them is cleared, and addresses are kept only with
 * all bits inverted.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "mem.h"
#include "mem_heap.h"

enum { MOST = 64, STACK_BYTES = 64 << 10 };

static struct note {
    uintptr_t inverted;
    size_t size;
    const char *word, *what;
} notes[MOST];
static size_t nnotes;
static size_t next_size = 1001;

static void note(const char *word, const void *object, size_t size, const char *what)
{
    notes[nnotes++] = (struct note){~(uintptr_t)object, size, word, what};
}

static void *noted(void *object, size_t size, const char *word, const char *what)
{
    if (object == NULL)
        abort();
    memset(object, 0, size);
    note(word, object, size, what);
    return object;
}

static void *make(const char *word, const char *what)
{
    size_t size = next_size += 8;
    return noted(malloc(size), size, word, what);
}

/* Overwrites what earlier calls have left in the stack, and in registers of vectors. */
static __attribute__((noinline)) void clear_traces(void)
{
    char zeros[STACK_BYTES], others[STACK_BYTES];
    for (size_t n = 1; n <= sizeof zeros; n *= 2) {
        memset(zeros, 0, n);
        __asm__ volatile("" : : "r"(zeros) : "memory");
        memmove(others, zeros, n);
        __asm__ volatile("" : : "r"(others) : "memory");
    }
}

/* --- what can be reached ----------------------------------------------------------------- */

/* They are not static, so that the compiler does not leave out what nothing reads. */
void *in_bss;
void *in_data = &in_bss;
void *volatile protected __attribute__((section(".data.rel.ro"))) = &in_bss;
_Thread_local void *in_tls;
void **in_mapping, **in_protected_mapping, **in_shared_mapping;
char *inside, *last_byte, *zero;
void **first_of_list;
pthread_key_t key;
void **in_classic;
mem_heap *own;
void **in_own, **in_inner;
ucontext_t *coroutine;

static size_t page_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static void **new_mapping(int flags)
{
    void *p = mmap(NULL, page_bytes(), PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        abort();
    return p;
}

/* As the dynamic linker does, before it protects the page again. */
static void plant_in_protected_data(void)
{
    void *page = (void *)((uintptr_t) & protected / page_bytes() * page_bytes());
    if (mprotect(page, page_bytes(), PROT_READ | PROT_WRITE) != 0)
        abort();
    protected = make("kept", "data that is protected");
    mprotect(page, page_bytes(), PROT_READ);
}

static void plant_in_mappings(void)
{
    in_mapping = new_mapping(MAP_PRIVATE);
    in_mapping[7] = make("kept", "an anonymous mapping");
    in_shared_mapping = new_mapping(MAP_SHARED);
    in_shared_mapping[8] = make("kept", "a shared mapping");
    in_protected_mapping = new_mapping(MAP_PRIVATE);
    in_protected_mapping[9] = make("kept", "a mapping that was protected afterwards");
    mprotect(in_protected_mapping, page_bytes(), PROT_READ);
}

static void plant_in_heaps(void)
{
    static char buffer[32768];
    if (Mem_Init(1 << 20) != 0)
        abort();
    in_classic = noted(Mem_Alloc(4001), 4001, "kept", "a variable, in Mem_Init's heap");
    in_classic[3] = make("kept", "an object in Mem_Init's heap");
    noted(Mem_Alloc(4009), 4009, "leak", "in Mem_Init's heap");

    own = mem_heap_create(1 << 20, NULL);
    in_own = noted(mem_alloc(own, 5001), 5001, "kept", "a variable, in a heap of its own");
    in_own[4] = make("kept", "an object in a heap of its own");
    noted(mem_alloc(own, 5009), 5009, "leak", "in a heap of its own");

    mem_heap *in_data_segment = mem_heap_in(buffer, sizeof buffer, NULL);
    void **p = mem_alloc(in_data_segment, 5501);
    noted(p, 5501, "leak", "in a heap in a variable");
    p[0] = make("more", "");

    /* The heap's own address is forgotten: its objects keep the object that it lies in. */
    size_t size = 65536;
    mem_heap *inner =
        mem_heap_in(noted(malloc(size), size, "kept", "an object of the heap that lies in it"),
                    size, NULL);
    in_inner = noted(mem_alloc(inner, 6001), 6001, "kept", "a variable, in a heap in an object");
    in_inner[5] = make("kept", "an object in a heap in an object");
    noted(mem_alloc(inner, 6009), 6009, "leak", "in a heap in an object");
}

static __attribute__((noinline)) void plant_kept(void)
{
    in_bss = make("kept", "a variable that begins as 0");
    in_data = make("kept", "a variable");
    in_tls = make("kept", "thread-local storage of the first thread");
    pthread_key_create(&key, NULL);
    pthread_setspecific(key, make("kept", "a thread's key"));
    inside = (char *)make("kept", "an address inside it") + 500;
    last_byte = (char *)noted(malloc(2000), 2000, "kept", "its last byte") + 1999;
    zero = malloc(0);
    note("kept", zero, 0, "an object of 0 bytes");
    void **at = first_of_list = make("kept", "the first of a list");
    for (int i = 0; i < 3; i++)
        at = at[1] = make("kept", "another one of the list");
    plant_in_protected_data();
    plant_in_mappings();
    plant_in_heaps();
}

/* Where a library that the program opens keeps a pointer for each thread. */
static void **(*plugin_place)(void);

static __attribute__((noinline)) void open_plugin(const char *program)
{
    char path[4096];
    int n = (int)(strrchr(program, '/') - program);
    snprintf(path, sizeof path, "%.*s/plugin.so", n, program);
    void *plugin = dlopen(path, RTLD_NOW);
    void *symbol = plugin == NULL ? NULL : dlsym(plugin, "plugin_place");
    if (symbol == NULL)
        abort();
    memcpy(&plugin_place, &symbol, sizeof symbol);
}

static __attribute__((noinline)) void plant_in_plugin(const char *what)
{
    *plugin_place() = make("kept", what);
}

/* --- what cannot -------------------------------------------------------------------------- */

char *behind;

static __attribute__((noinline)) void plant_leaks(void)
{
    make("leak", "alone");
    void **tree = make("leak", "the first of a tree");
    tree[0] = make("more", "");
    tree[1] = make("more", "");
    ((void **)tree[1])[20] = make("more", "");
    void **circle = make("leak", "in a circle");
    void **other = make("more", "");
    circle[2] = other;
    other[3] = circle;
    void **own_self = make("leak", "points to itself");
    own_self[1] = &own_self[5];
    void **left = make("leak", "points into what is in use");
    left[0] = in_bss;
    left[1] = in_mapping;
    char *shifted = make("leak", "points to another one, at no multiple of 8");
    void *hidden = make("leak", "whose address lies at no multiple of 8");
    memcpy(shifted + 4, &hidden, sizeof hidden);
    behind = (char *)noted(malloc(2040), 2040, "leak", "a pointer behind its end") + 2040;
}

/* --- threads -------------------------------------------------------------------------------- */

static pthread_barrier_t barrier;
static volatile int is_over;

/* Spins, with the only pointer in a register that a called function keeps. */
static void *spin(void *unused)
{
    (void)unused;
    uintptr_t object = ~(uintptr_t)make("kept", "a register");
    clear_traces();
    pthread_barrier_wait(&barrier);
#if defined(__x86_64__)
    __asm__ volatile("mov %0, %%r12\n not %%r12\n"
                     "1: pause\n cmpl $0, %1\n je 1b\n xor %%r12, %%r12"
                     :
                     : "r"(object), "m"(is_over)
                     : "r12", "cc");
#else
    __asm__ volatile("mvn x21, %0\n"
                     "1: yield\n ldr w22, %1\n cbz w22, 1b\n mov x21, #0"
                     :
                     : "r"(object), "m"(is_over)
                     : "x21", "x22", "cc");
#endif
    return NULL;
}

/* Spins, with the only pointer in a vector register. */
static void *spin_vector(void *unused)
{
    (void)unused;
    uintptr_t object = ~(uintptr_t)make("kept", "a vector register");
    clear_traces();
    pthread_barrier_wait(&barrier);
#if defined(__x86_64__)
    __asm__ volatile("movq %0, %%xmm9\n pcmpeqd %%xmm8, %%xmm8\n pxor %%xmm8, %%xmm9\n"
                     "1: pause\n cmpl $0, %1\n je 1b\n pxor %%xmm9, %%xmm9"
                     :
                     : "r"(object), "m"(is_over)
                     : "xmm8", "xmm9", "cc");
#else
    __asm__ volatile("fmov d9, %0\n mvn v9.8b, v9.8b\n"
                     "1: yield\n ldr w22, %1\n cbz w22, 1b\n fmov d9, xzr"
                     :
                     : "r"(object), "m"(is_over)
                     : "v9", "x22", "cc");
#endif
    return NULL;
}

static void *wait_with_locals(void *unused)
{
    (void)unused;
    void *volatile on_stack[3] = {0};
    on_stack[1] = make("kept", "the stack of a thread");
    in_tls = make("kept", "thread-local storage of a thread");
    plant_in_plugin("thread-local storage of a library, in a thread");
    clear_traces();
    pthread_barrier_wait(&barrier);
    while (!is_over)
        usleep(10000);
    return on_stack[1];
}

/* Takes and frees objects of all sizes, all of which it can reach, as fast as it can. */
static void *churn(void *seed)
{
    enum { N = 300, LARGEST = 40000 };
    static _Thread_local void *objects[N];
    uint32_t random = (uint32_t)(uintptr_t)seed;
    while (!is_over) {
        random = random * 1664525 + 1013904223;
        size_t i = (random >> 8 & 0xFFFF) % N;
        size_t size = (random >> 16) % (i % 16 == 0 ? LARGEST : 400) + 1;
        if (i % 3 == 0)
            objects[i] = realloc(objects[i], size);
        else {
            free(objects[i]);
            objects[i] = malloc(size);
        }
    }
    return NULL;
}

static void wait_in_coroutine(void)
{
    void *volatile local = make("kept", "the stack of a coroutine that waits");
    swapcontext(coroutine, coroutine + 1);
    free(local);
}

/* A coroutine that waits: its stack is an object. */
static __attribute__((noinline)) void plant_coroutine(void)
{
    size_t size = STACK_BYTES;
    coroutine = malloc(2 * sizeof *coroutine);
    note("kept", coroutine, 2 * sizeof *coroutine, "the contexts");
    getcontext(coroutine);
    coroutine->uc_stack.ss_sp = noted(malloc(size), size, "kept", "a stack");
    coroutine->uc_stack.ss_size = size;
    coroutine->uc_link = NULL;
    makecontext(coroutine, wait_in_coroutine, 0);
    swapcontext(coroutine + 1, coroutine);
}

static __attribute__((noinline)) void start(void *(*run)(void *), void *argument)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, run, argument) != 0)
        abort();
}

static __attribute__((noinline)) void print_notes(void)
{
    for (size_t i = 0; i < nnotes; i++)
        printf("%s 0x%lx %zu %s\n", notes[i].word, (unsigned long)~notes[i].inverted, notes[i].size,
               notes[i].what);
}

int main(int argc, char **argv)
{
    size_t nchurning = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
    void *volatile on_stack = make("kept", "the stack of the first thread");
    static char output[BUFSIZ];
    setvbuf(stdout, output, _IOFBF, sizeof output);
    open_plugin(argv[0]);
    plant_kept();
    plant_in_plugin("thread-local storage of a library, in the first thread");
    plant_leaks();
    plant_coroutine();
    pthread_barrier_init(&barrier, NULL, 2);
    void *(*const waiting[])(void *) = {spin, spin_vector, wait_with_locals};
    for (size_t i = 0; i < sizeof waiting / sizeof *waiting; i++) {
        start(waiting[i], NULL);
        pthread_barrier_wait(&barrier);
    }
    for (size_t i = 0; i < nchurning; i++)
        start(churn, (void *)(i + 1));
    clear_traces();
    print_notes();
    printf("ready\n");
    fflush(stdout);
    clear_traces();
    char byte;
    while (read(STDIN_FILENO, &byte, 1) != 0)
        ;
    is_over = 1;
    printf("alive\n");
    return on_stack == NULL || last_byte == behind || zero == inside;
}
