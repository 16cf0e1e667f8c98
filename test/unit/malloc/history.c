/* SPDX-License-Identifier: MIT
 *
 * history.c - checks the ring of events and the stacks of a history (malloc/history.h), with stacks
 * and addresses that are made up here.
 */
#include "unit.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/os.h"
#include "malloc/history.h"
#include "malloc/module.h"

enum { NEVENTS = HISTORY_MIN };

static struct history *h;

static int open_history(void **state)
{
    (void)state;
    h = history_open(NEVENTS);
    assert_non_null(h);
    return 0;
}

static const struct event *event(uint64_t n)
{
    return (const struct event *)((const char *)h + h->events_at) + n % NEVENTS;
}

static const uint64_t *stack_of(const struct event *e)
{
    return (const uint64_t *)((const char *)h + h->stacks_at) + e->stack;
}

/* A moment whose stack has nframes frames, all made of `number`. */
static struct moment moment(uint32_t number, uint32_t nframes)
{
    struct moment m = {.thread = number};
    m.stack.nframes = nframes;
    m.stack.hash = number * UINT64_C(0x9e3779b97f4a7c15);
    for (uint32_t i = 0; i < nframes; i++)
        m.stack.frame[i] = 0x400000 + number * 100 + i;
    return m;
}

static void note(enum event_kind kind, uintptr_t address, size_t nbytes, uint32_t number,
                 uint32_t nframes)
{
    struct moment m = moment(number, nframes);
    enum call call = kind == EVENT_FREED ? CALL_FREE : CALL_CALLOC;
    history_note_locked(h, &m, kind, call, (const void *)address, nbytes);
}

static void test_an_event_says_what_happened(void **state)
{
    (void)state;
    note(EVENT_TAKEN, 0x7000, (size_t)60 << 30, 7, 5);
    const struct event *e = event(0);
    assert_int_equal(h->nnoted, 1);
    assert_int_equal(e->address, 0x7000);
    assert_int_equal(e->nbytes, (size_t)60 << 30);
    assert_int_equal(e->kind, EVENT_TAKEN);
    assert_string_equal(call_name((unsigned)e->call), "calloc");
    assert_int_equal(e->thread, 7);
    assert_int_equal(STACK_NFRAMES(*stack_of(e)), 5);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(stack_of(e)[1 + i], 0x400000 + 700 + i);
}

static void test_the_ring_keeps_the_newest_in_order(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 3 * NEVENTS + 5; i++)
        note(EVENT_TAKEN, 0x10000 + 16 * i, i, 1, 1);
    assert_int_equal(h->nnoted, 3 * NEVENTS + 5);
    for (uint64_t n = h->nnoted - NEVENTS; n < h->nnoted; n++) {
        assert_int_equal(event(n)->address, 0x10000 + 16 * n);
        assert_int_equal(event(n)->nbytes, n);
    }
}

static void test_a_stack_is_stored_once(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 500; i++)
        note(EVENT_TAKEN, 0x10000, 1, i % 50, 1 + i % 50 % STACK_MAX);
    assert_int_equal(h->nstacks, 50);
    for (uint32_t i = 0; i < 450; i++)
        assert_int_equal(event(i)->stack, event(i + 50)->stack);
}

/* Two stacks of one hash are two, whether they differ in length or in the last frame. */
static void test_equal_hashes_are_told_apart(void **state)
{
    (void)state;
    struct moment a = moment(3, 10), b = moment(3, 9), c = moment(3, 10);
    c.stack.frame[9]++;
    const struct moment *all[] = {&a, &b, &c, &a, &b, &c};
    for (size_t i = 0; i < 6; i++)
        history_note_locked(h, all[i], EVENT_TAKEN, CALL_NEW, (const void *)0x10000, 1);
    assert_int_equal(h->nstacks, 3);
    for (uint64_t i = 0; i < 3; i++) {
        assert_int_equal(event(i)->stack, event(i + 3)->stack);
        assert_int_equal(STACK_NFRAMES(*stack_of(event(i))), all[i]->stack.nframes);
        assert_int_equal(stack_of(event(i))[9], all[i]->stack.frame[8]);
    }
    assert_int_not_equal(event(0)->stack, event(2)->stack);
}

/* Short stacks run out of places in the index, and long ones out of words. What is stored stays. */
static void fill(uint32_t nframes, uint64_t nstacks)
{
    for (uint32_t i = 0; i < NEVENTS; i++)
        note(EVENT_TAKEN, 0x10000, 1, i, nframes);
    assert_int_equal(h->nstacks, nstacks);
    assert_int_equal(h->nlost, NEVENTS - nstacks);
    assert_true(h->nwords_used <= h->nwords);
    for (uint32_t i = 0; i < NEVENTS; i++) {
        bool has = i < nstacks;
        assert_int_equal(event(i)->stack != 0, has);
        assert_true(!has || stack_of(event(i))[nframes] == 0x400000 + i * 100 + nframes - 1);
    }
    note(EVENT_TAKEN, 0x10000, 1, 0, nframes);
    assert_int_equal(event(NEVENTS)->stack, 1);
}

static void test_no_room_for_a_stack_loses_only_the_stack(void **state)
{
    (void)state;
    fill(1, NEVENTS / 2);
}

static void test_no_words_for_a_stack_loses_only_the_stack(void **state)
{
    (void)state;
    fill(STACK_MAX, (8 * NEVENTS - 1) / (1 + STACK_MAX));
}

/* A stack of three frames takes four words. */
static void test_the_last_words_are_used(void **state)
{
    (void)state;
    h->nwords_used = h->nwords - 3;
    note(EVENT_TAKEN, 0x10000, 1, 1, 3);
    assert_int_equal(event(0)->stack, 0);
    assert_int_equal(h->nlost, 1);
    h->nwords_used = h->nwords - 4;
    note(EVENT_TAKEN, 0x10000, 1, 1, 3);
    assert_int_equal(event(1)->stack, h->nwords - 4);
    assert_int_equal(h->nlost, 1);
    assert_int_equal(h->nwords_used, h->nwords);
}

static void test_no_stack_at_all(void **state)
{
    (void)state;
    note(EVENT_TAKEN, 0x10000, 1, 1, 0);
    assert_int_equal(event(0)->stack, 0);
    assert_int_equal(h->nlost, 0);
}

/* --- looking back ----------------------------------------------------------------------- */

static struct past find(uintptr_t address)
{
    return history_find_locked(h, (const void *)address);
}

static void test_a_freed_object_is_found_from_any_byte(void **state)
{
    (void)state;
    note(EVENT_TAKEN, 0x7000, 100, 1, 3);
    note(EVENT_TAKEN, 0x7070, 100, 2, 3);
    note(EVENT_FREED, 0x7000, 100, 3, 3);
    for (uintptr_t at = 0x7000; at < 0x7000 + 100; at += 33) {
        assert_int_equal(find(at).freed.thread, 3);
        assert_int_equal(find(at).taken.thread, 1);
    }
    assert_int_equal(find(0x7000 + 100).freed.kind, 0);
    assert_int_equal(find(0x7000 + 100).taken.kind, 0);
    assert_int_equal(find(0x7070).taken.thread, 2);
    assert_int_equal(find(0x7070).freed.kind, 0);
}

/* Of the objects that lay at one address, the last is found, with its own allocation. */
static void test_the_last_object_at_an_address_is_found(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 20; i += 2) {
        note(EVENT_TAKEN, 0x7000, 100 + i, i, 3);
        note(EVENT_FREED, 0x7000, 100 + i, i + 1, 3);
    }
    assert_int_equal(find(0x7000).taken.thread, 18);
    assert_int_equal(find(0x7000).freed.thread, 19);
    assert_int_equal(find(0x7000 + 117).freed.thread, 19);
    assert_int_equal(find(0x7000 + 118).freed.kind, 0);
}

static void test_an_allocation_that_was_overwritten_is_not_made_up(void **state)
{
    (void)state;
    note(EVENT_TAKEN, 0x7000, 100, 1, 3); /* of an earlier object: its free comes first */
    note(EVENT_FREED, 0x7000, 100, 2, 3);
    note(EVENT_FREED, 0x7000, 100, 4, 3); /* the allocation between the two was not noted */
    assert_int_equal(find(0x7000).freed.thread, 4);
    assert_int_equal(find(0x7000).taken.kind, 0);
    note(EVENT_TAKEN, 0x8000, 100, 5, 3); /* around the next one, and earlier */
    note(EVENT_FREED, 0x8020, 16, 6, 3);
    assert_int_equal(find(0x8020).freed.thread, 6);
    assert_int_equal(find(0x8020).taken.kind, 0);
}

static void test_an_object_without_bytes_is_found_at_its_start(void **state)
{
    (void)state;
    note(EVENT_TAKEN, 0x7000, 0, 1, 3);
    assert_int_equal(find(0x7000).taken.thread, 1);
    assert_int_equal(find(0x7001).taken.kind, 0);
}

static void test_what_left_the_ring_is_not_found(void **state)
{
    (void)state;
    note(EVENT_TAKEN, 0x7000, 100, 1, 3);
    for (uint32_t i = 0; i < NEVENTS - 1; i++)
        note(EVENT_TAKEN, 0x10000 + 16 * i, 16, 2, 3);
    assert_int_equal(find(0x7000).taken.thread, 1);
    note(EVENT_TAKEN, 0x10000, 16, 2, 3);
    assert_int_equal(find(0x7000).taken.kind, 0);
}

bool __real_os_allow(void *address, size_t nbytes);
bool __wrap_os_allow(void *address, size_t nbytes);
static bool no_allow;

bool __wrap_os_allow(void *address, size_t nbytes)
{
    return !no_allow && __real_os_allow(address, nbytes);
}

static void test_no_memory_for_a_history(void **state)
{
    (void)state;
    no_allow = true;
    assert_null(history_open(NEVENTS));
    no_allow = false;
}

/* --- printing --------------------------------------------------------------------------- */

static const char *module_path; /* of each address, or NULL if they are in none */

enum module_answer __wrap_module_find(uintptr_t address, struct module *m);

enum module_answer __wrap_module_find(uintptr_t address, struct module *m)
{
    (void)address;
    *m = (struct module){.path = module_path, .moved_by = 0x400000};
    return module_path != NULL ? MODULE_FOUND : MODULE_NONE;
}

static char printed[8192];

static void print(const struct moment *now, const struct past *past)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    history_print(h, now, past, ends[1]);
    close(ends[1]);
    size_t n = 0;
    for (ssize_t more; (more = read(ends[0], printed + n, sizeof printed - 1 - n)) > 0;)
        n += (size_t)more;
    close(ends[0]);
    printed[n] = '\0';
}

/* An address is that of the call, and is told with its module, if it lies in one. */
static void test_stacks_are_printed(void **state)
{
    (void)state;
    struct moment now = moment(5, 2), none = moment(6, 0);
    module_path = NULL;
    print(&now, NULL);
    assert_string_equal(printed, "libmem:   called in thread 5:\n"
                                 "    #0 0x4001f3\n"
                                 "    #1 0x4001f4\n");
    module_path = "/lib/some.so";
    print(&now, NULL);
    assert_string_equal(printed, "libmem:   called in thread 5:\n"
                                 "    #0 0x4001f3 (/lib/some.so+0x1f3)\n"
                                 "    #1 0x4001f4 (/lib/some.so+0x1f4)\n");
    print(&none, NULL);
    assert_string_equal(printed, "libmem:   called in thread 6:\n"
                                 "    stack unknown\n");
    module_path = ""; /* the program itself */
    char self[1024] = {0}, expected[2048];
    assert_true(readlink("/proc/self/exe", self, 150) > 0);
    now.stack.nframes = 1;
    print(&now, NULL);
    snprintf(expected, sizeof expected,
             "libmem:   called in thread 5:\n    #0 0x4001f3 (%s+0x1f3)\n", self);
    if (strlen(self) < 150)
        assert_string_equal(printed, expected);
}

/* Of a long path, the end is told. */
static void test_long_paths(void **state)
{
    (void)state;
    static char path[400], expected[600];
    struct moment now = moment(5, 1);
    for (size_t n = 140; n < 160; n++) {
        memset(path, 'a', n);
        path[0] = '/';
        path[n] = '\0';
        module_path = path;
        print(&now, NULL);
        snprintf(expected, sizeof expected, "    #0 0x4001f3 (%s%s+0x1f3)\n", n > 150 ? "..." : "",
                 n > 150 ? path + n - 150 : path);
        assert_non_null(strstr(printed, expected));
    }
}

/* The past of an object; and of an address of which no event is known, how many were looked at. */
static void test_the_past_is_printed(void **state)
{
    (void)state;
    struct moment now = moment(9, 1);
    module_path = NULL;
    note(EVENT_TAKEN, 0x7000, 100, 1, 2);
    note(EVENT_FREED, 0x7000, 100, 2, 0);
    struct past past = find(0x7000), none = find(0x9000);
    past.taken.time = past.time - 12345;
    past.freed.time = past.time + 1; /* a clock that goes back says 0 */
    print(&now, &past);
    assert_non_null(strstr(printed, "libmem:   the object of 100 bytes at 0x7000 was\n"));
    assert_non_null(
        strstr(printed, "libmem:   freed by free in thread 2, 0.000 s ago:\n    stack unknown\n"));
    assert_non_null(
        strstr(printed, "libmem:   allocated by calloc in thread 1, 12.345 s ago:\n    #0 0x40"));
    struct past live = past, freed = past; /* of each, only one of the two events is known */
    live.freed.kind = freed.taken.kind = 0;
    print(&now, &live);
    assert_non_null(strstr(printed, "libmem:   the object of 100 bytes at 0x7000 was\n"));
    assert_null(strstr(printed, "freed by"));
    print(&now, &freed);
    assert_non_null(strstr(printed, "libmem:   the object of 100 bytes at 0x7000 was\n"));
    assert_null(strstr(printed, "allocated by"));
    print(&now, &none);
    assert_non_null(strstr(printed, "libmem:   nothing is known of an object there: "
                                    "none of the last 2 events is of one\n"));
    for (uint32_t i = 0; i < 2 * NEVENTS; i++)
        note(EVENT_TAKEN, 0x10000 + 16 * i, 16, 2, 3);
    print(&now, &none);
    assert_non_null(strstr(printed, "none of the last 1024 events is of one\n"));
}

#define TEST(name) cmocka_unit_test_setup(name, open_history)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_an_event_says_what_happened),
        TEST(test_the_ring_keeps_the_newest_in_order),
        TEST(test_a_stack_is_stored_once),
        TEST(test_equal_hashes_are_told_apart),
        TEST(test_no_room_for_a_stack_loses_only_the_stack),
        TEST(test_no_words_for_a_stack_loses_only_the_stack),
        TEST(test_the_last_words_are_used),
        TEST(test_no_stack_at_all),
        TEST(test_a_freed_object_is_found_from_any_byte),
        TEST(test_the_last_object_at_an_address_is_found),
        TEST(test_an_allocation_that_was_overwritten_is_not_made_up),
        TEST(test_an_object_without_bytes_is_found_at_its_start),
        TEST(test_what_left_the_ring_is_not_found),
        cmocka_unit_test(test_no_memory_for_a_history),
        TEST(test_stacks_are_printed),
        TEST(test_long_paths),
        TEST(test_the_past_is_printed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
