/* SPDX-License-Identifier: MIT
 *
 * module.c - checks which module an address is said to be in, that libc is not asked while another
 * thread asks it, and which notes are taken for a build id (malloc/module.h).
 */
#include "unit.h"

#include <link.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "malloc/module.h"

static int here;

static void test_addresses(void **state)
{
    struct module m = {0};
    (void)state;
    assert_int_equal(module_find((uintptr_t)&here, &m), MODULE_FOUND);
    assert_true((uintptr_t)&here > m.moved_by && m.nheaders > 0);
    assert_int_equal(module_find((uintptr_t)&getppid, &m), MODULE_FOUND);
    assert_non_null(strstr(m.path, "libc"));
    assert_int_equal(module_find((uintptr_t)&state, &m), MODULE_NONE); /* the stack */
    assert_int_equal(module_find(1, &m), MODULE_NONE);
}

static void *ask(void *nothing)
{
    struct module m;
    (void)nothing;
    return (void *)(uintptr_t)module_find((uintptr_t)&here, &m);
}

/* Neither the thread that asks already, nor another one that waits for it in vain. */
static void test_not_now(void **state)
{
    struct module m;
    pthread_t thread;
    void *answer;
    (void)state;
    module_stop();
    assert_int_equal(module_find((uintptr_t)&here, &m), MODULE_NOT_NOW);
    assert_int_equal(pthread_create(&thread, NULL, ask, NULL), 0);
    pthread_join(thread, &answer);
    assert_int_equal((uintptr_t)answer, MODULE_NOT_NOW);
    module_go_on();
    assert_int_equal(module_find((uintptr_t)&here, &m), MODULE_FOUND);
}

/* A thread asks after another one that does so for a short time: it waits for some milliseconds. */
enum { ROUNDS = 50 };
static pthread_barrier_t stopped, asked;

static void *stop_for_a_while(void *nothing)
{
    for (int i = 0; i < ROUNDS; i++) {
        module_stop();
        pthread_barrier_wait(&stopped);
        usleep(200);
        module_go_on();
        pthread_barrier_wait(&asked);
    }
    return nothing;
}

static void test_soon(void **state)
{
    struct module m;
    pthread_t thread;
    int nfound = 0;
    (void)state;
    pthread_barrier_init(&stopped, NULL, 2);
    pthread_barrier_init(&asked, NULL, 2);
    assert_int_equal(pthread_create(&thread, NULL, stop_for_a_while, NULL), 0);
    for (int i = 0; i < ROUNDS; i++) {
        pthread_barrier_wait(&stopped);
        nfound += module_find((uintptr_t)&here, &m) == MODULE_FOUND;
        pthread_barrier_wait(&asked);
    }
    pthread_join(thread, NULL);
    assert_in_range(nfound, ROUNDS / 2, ROUNDS); /* either may be kept from running */
}

/* --- build ids --------------------------------------------------------------------- */

struct note {
    ElfW(Nhdr) head;
    char owner[4];
    unsigned char id[32];
};

static struct note notes[2];
static ElfW(Phdr) headers[2];
static struct module made;

/* A module of one loaded segment, with notes of which the second is the id. */
static void make_module(void)
{
    notes[0] = (struct note){{4, sizeof notes[0].id, 1}, "GNU", "a version"};
    notes[1] = (struct note){{4, 20, NT_GNU_BUILD_ID}, "GNU", "twenty bytes of an id"};
    uintptr_t at = 4096;
    headers[0] = (ElfW(Phdr)){.p_type = PT_LOAD, .p_flags = PF_R, .p_vaddr = at, .p_align = 4096};
    headers[0].p_filesz = headers[0].p_memsz = sizeof notes;
    headers[1] = headers[0];
    headers[1].p_type = PT_NOTE;
    headers[1].p_align = 4;
    made = (struct module){.moved_by = (uintptr_t)notes - at, .headers = headers, .nheaders = 2};
}

static size_t id_length(void)
{
    const unsigned char *id = NULL;
    size_t n = module_id(&made, &id);
    assert_true(n == 0 || id == notes[1].id);
    return n;
}

/* Changes a field, expects that there is no id then, and restores it. */
#define NO_ID_WITH(field, value)                                                                   \
    do {                                                                                           \
        __typeof__(field) was = (field);                                                           \
        (field) = (value);                                                                         \
        assert_int_equal(id_length(), 0);                                                          \
        (field) = was;                                                                             \
        assert_int_equal(id_length(), 20);                                                         \
    } while (0)

static void test_notes(void **state)
{
    (void)state;
    make_module();
    assert_int_equal(id_length(), 20);
    NO_ID_WITH(notes[1].head.n_type, NT_GNU_BUILD_ID + 1);
    NO_ID_WITH(notes[1].head.n_namesz, 3);
    NO_ID_WITH(notes[1].owner[2], 'V');
    NO_ID_WITH(notes[1].head.n_descsz, 33); /* too long */
    NO_ID_WITH(notes[0].head.n_descsz, sizeof notes);
    NO_ID_WITH(notes[0].head.n_descsz, UINT32_MAX);
    NO_ID_WITH(notes[0].head.n_namesz, sizeof notes);
    NO_ID_WITH(notes[0].head.n_namesz, UINT32_MAX);
    notes[1].head.n_descsz = 32;
    assert_int_equal(id_length(), 32);
    notes[1].head.n_descsz = 20;
    headers[1].p_align = 8; /* then the second note does not begin where it is */
    notes[1].head.n_type = 0;
    assert_int_equal(id_length(), 0);
}

/* The notes are read only if a segment that is loaded and can be read has all of them. */
static void test_segments(void **state)
{
    (void)state;
    make_module();
    NO_ID_WITH(headers[0].p_type, PT_NULL);
    NO_ID_WITH(headers[0].p_flags, PF_W);
    NO_ID_WITH(headers[0].p_vaddr, headers[1].p_vaddr + 1);
    NO_ID_WITH(headers[0].p_vaddr, headers[1].p_vaddr - sizeof notes - 1);
    NO_ID_WITH(headers[0].p_filesz, sizeof notes - 1);
    NO_ID_WITH(headers[1].p_memsz, sizeof notes + 1);
    NO_ID_WITH(headers[1].p_type, PT_NULL);
    NO_ID_WITH(made.nheaders, 1);
    NO_ID_WITH(made.nheaders, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses), cmocka_unit_test(test_not_now),
        cmocka_unit_test(test_soon),      cmocka_unit_test(test_notes),
        cmocka_unit_test(test_segments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
