/* SPDX-License-Identifier: MIT
 *
 * C1: checks that Mem_Init maps memory exactly once and that no later call maps, unmaps or grows
 * anything.
 *
 * The program defines mmap and its relatives itself. The library calls them through the dynamic
 * linker and so reaches these definitions. A system call that bypassed them would still change
 * the number of mapped bytes, which the last test compares.
 */
#include "contract.h"
#include "mem_heap.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/auxv.h>
#include <sys/syscall.h>

static struct {
    int nmaps;
    int nothers; /* Calls to munmap, mremap, brk and sbrk. */
    unsigned char *start;
    size_t nbytes;
    int prot;
    int flags;
    int refuses_from; /* The number of the first mapping that is refused; 0 if none is. */
} seen;

static long fake_page_bytes; /* If 0, a page is as large as the system says. */

CALLED_EARLY static void *map(void *at, size_t nbytes, int prot, int flags, int fd, off_t offset)
{
    seen.nmaps++;
    if (seen.refuses_from != 0 && seen.nmaps >= seen.refuses_from) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    long start = syscall(SYS_mmap, at, nbytes, prot, flags, fd, offset);
    seen.start = (unsigned char *)(uintptr_t)start;
    seen.nbytes = nbytes;
    seen.prot = prot;
    seen.flags = flags;
    return seen.start;
}

CALLED_EARLY void *mmap(void *at, size_t nbytes, int prot, int flags, int fd, off_t offset)
{
    return map(at, nbytes, prot, flags, fd, offset);
}

CALLED_EARLY void *mmap64(void *at, size_t nbytes, int prot, int flags, int fd, off64_t offset)
{
    return map(at, nbytes, prot, flags, fd, offset);
}

CALLED_EARLY int munmap(void *at, size_t nbytes)
{
    seen.nothers++;
    return (int)syscall(SYS_munmap, at, nbytes);
}

CALLED_EARLY void *mremap(void *at, size_t old_bytes, size_t new_bytes, int flags, ...)
{
    seen.nothers++;
    return (void *)(uintptr_t)syscall(SYS_mremap, at, old_bytes, new_bytes, flags & MREMAP_MAYMOVE);
}

CALLED_EARLY int brk(void *end)
{
    seen.nothers++;
    return syscall(SYS_brk, end) == (long)(uintptr_t)end ? 0 : -1;
}

CALLED_EARLY void *sbrk(intptr_t increment)
{
    (void)increment;
    seen.nothers++;
    errno = ENOMEM;
    return (void *)-1;
}

CALLED_EARLY static long real_sysconf(int name)
{
    static long (*real)(int);
    if (real == NULL) {
        void *symbol = dlsym(RTLD_NEXT, "sysconf");
        memcpy(&real, &symbol, sizeof(real));
    }
    return real(name);
}

CALLED_EARLY long(sysconf)(int name)
{
    bool asks_page = name == _SC_PAGESIZE;
    return asks_page && fake_page_bytes != 0 ? fake_page_bytes : real_sysconf(name);
}

CALLED_EARLY int getpagesize(void)
{
    return (int)sysconf(_SC_PAGESIZE);
}

CALLED_EARLY static unsigned long real_getauxval(unsigned long type)
{
    static unsigned long (*real)(unsigned long);
    if (real == NULL) {
        void *symbol = dlsym(RTLD_NEXT, "getauxval");
        memcpy(&real, &symbol, sizeof(real));
    }
    return real(type);
}

CALLED_EARLY unsigned long(getauxval)(unsigned long type)
{
    bool asks_page = type == AT_PAGESZ && fake_page_bytes != 0;
    return asks_page ? (unsigned long)fake_page_bytes : real_getauxval(type);
}

static size_t mapped_bytes(void)
{
    static char text[1 << 18]; /* Static, since reading the maps must not map anything. */
    size_t ntext = 0, sum = 0;
    int file = open("/proc/self/maps", O_RDONLY);
    ssize_t nread;
    while ((nread = read(file, text + ntext, sizeof(text) - 1 - ntext)) > 0) {
        ntext += (size_t)nread;
    }
    close(file);
    text[ntext] = '\0';
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        unsigned long start = 0, end = 0;
        bool is_the_programs = strstr(line, "[heap]") || strstr(line, "[stack]");
        if (!is_the_programs && sscanf(line, "%lx-%lx", &start, &end) == 2) {
            sum += end - start;
        }
    }
    return sum;
}

static void one_mmap(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t size = (size_t)the_number;
    clear_errors();
    assert_int_equal(Mem_Init((int)the_number), 0);
    assert_errors(0, 0);
    assert_int_equal(seen.nmaps, 1);
    assert_int_equal(seen.nothers, 0);
    assert_int_equal(seen.nbytes, (size + page - 1) / page * page);
    assert_int_equal(seen.prot, PROT_READ | PROT_WRITE);
    assert_int_equal(seen.flags & (MAP_PRIVATE | MAP_SHARED), MAP_PRIVATE);
}

static void objects_in_the_mapping(void)
{
    open_heap(100000);
    unsigned char *p = get(1000);
    assert_true(p >= seen.start && p + 1000 <= seen.start + seen.nbytes);
}

static void page_of_run_time(void)
{
    fake_page_bytes = 16 * real_sysconf(_SC_PAGESIZE);
    assert_int_equal(Mem_Init(1), 0);
    assert_int_equal(seen.nbytes, fake_page_bytes);
    assert_non_null(Mem_Alloc((int)fake_page_bytes - 2 * ROW_BYTES));
}

static void zero_filled(void)
{
    open_heap(1 << 20);
    size_t first = sizeof(*m_free_list);
    size_t end = (size_t)m_free_list->size;
    assert_true(end > (1 << 19));
    for (size_t i = first; i < end; i++) {
        assert_int_equal(region_base[i], 0);
    }
}

static void bad_size(void)
{
    clear_errors();
    assert_int_equal(Mem_Init((int)the_number), -1);
    assert_errors(E_BAD_ARGS, EINVAL);
    assert_int_equal(seen.nmaps + seen.nothers, 0);
    clear_errors();
    assert_int_equal(Mem_Init(4096), 0);
    assert_errors(0, 0);
    assert_non_null(Mem_Alloc(1));
}

static void second_init(void)
{
    open_heap(100000);
    get(100);
    char *before = picture();
    clear_errors();
    assert_int_equal(Mem_Init(4096), -1);
    assert_errors(E_BAD_ARGS, EEXIST);
    assert_int_equal(seen.nmaps, 1);
    assert_int_equal(Mem_Init(0), -1);
    assert_int_equal(m_error, E_BAD_ARGS);
    assert_int_equal(seen.nmaps, 1);
    assert_int_equal(seen.nothers, 0);
    assert_true(same_picture(before));
}

static void system_refuses(void)
{
    seen.refuses_from = 1;
    clear_errors();
    assert_int_equal(Mem_Init(4096), -1);
    assert_errors(E_NO_SPACE, ENOMEM);
    assert_null(m_free_list);
    assert_null(Mem_Alloc(1));
    assert_int_equal(m_error, E_BAD_ARGS);
    seen.refuses_from = 0;
    open_heap(4096);
    get(100);
    give(objects[0].start);
    assert_true(is_whole_again());
}

/* The table of all heaps has no room for a 25th, and the system refuses a longer one after it has
 * mapped the region. */
static void table_is_refused(void)
{
    enum { NHEAPS = 24 };
    static _Alignas(16) char buffer[NHEAPS][MEM_HEAP_MIN];
    for (int i = 0; i < NHEAPS; i++) {
        assert_non_null(mem_heap_in(buffer[i], sizeof buffer[i], NULL));
    }
    seen.nmaps = 0;
    seen.refuses_from = 2;
    clear_errors();
    assert_int_equal(Mem_Init(4096), 0);
    assert_errors(0, 0);
    assert_int_equal(seen.nmaps, 2);
    assert_non_null(Mem_Alloc(1));
}

static void any_call(unsigned *seed)
{
    int i = nobjects > 0 ? random_below(seed, nobjects) : -1;
    void *p = i < 0 ? NULL : objects[i].start;
    Mem_IsValid(p);
    Mem_GetSize(p);
    if (i >= 0 && random_below(seed, 100) < 48) {
        give(p);
        return;
    }
    int size = 1 + random_below(seed, 3000);
    int style = random_below(seed, 4);
    void *start = style < 3 ? Mem_Alloc(size, style) : Mem_Alloc(size);
    if (start != NULL) {
        enter_object(start, size);
    }
}

static void no_later_call(void)
{
    unsigned seed = 1;
    open_heap(1 << 20);
    free(dump_text());
    size_t nmapped = mapped_bytes();
    for (int i = 0; i < 20000; i++) {
        any_call(&seed);
        if (i % 1000 == 0) {
            assert_int_equal(Mem_Check(), 0);
        }
    }
    assert_true(nobjects > 100); /* The region was filled and some calls were refused. */
    give_all(&seed);
    assert_int_equal(mapped_bytes(), nmapped);
    free(dump_text());
    assert_int_equal(seen.nmaps, 1);
    assert_int_equal(seen.nothers, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ALONE_WITH("C1 one mmap, private, read/write: 1 byte is a page", one_mmap, 1),
        ALONE_WITH("C1 one mmap, private, read/write: 4095 bytes", one_mmap, 4095),
        ALONE_WITH("C1 one mmap, private, read/write: 4096 bytes", one_mmap, 4096),
        ALONE_WITH("C1 one mmap, private, read/write: 4097 bytes", one_mmap, 4097),
        ALONE_WITH("C1 one mmap, private, read/write: 65,536,000 bytes", one_mmap, 65536000),
        ALONE("C1 objects lie in that mapping", objects_in_the_mapping),
        ALONE("C1 the page size is read at run time", page_of_run_time),
        ALONE("C1 the region is zero-filled", zero_filled),
        ALONE_WITH("C1 a size of 0 is refused, a later call is good", bad_size, 0),
        ALONE_WITH("C1 a size of -1 is refused, a later call is good", bad_size, -1),
        ALONE_WITH("C1 a size of INT_MIN is refused, a later call is good", bad_size, INT_MIN),
        ALONE("C1 a second init is refused, maps nothing and changes nothing", second_init),
        ALONE("C1 an mmap that fails is E_NO_SPACE, a later call is good", system_refuses),
        ALONE("C9 a table that is refused is no error of Mem_Init", table_is_refused),
        ALONE("C1 no later call maps, unmaps or grows anything", no_later_call),
    };
    memset(&seen, 0, sizeof(seen)); /* Mappings of the sanitizer's runtime do not count. */
    return cmocka_run_group_tests_name("C1", tests, NULL, NULL);
}
