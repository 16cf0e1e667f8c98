/* SPDX-License-Identifier: MIT
 *
 * C9: checks that a failing call sets m_error and errno to its reason, that a successful call
 * changes neither, and that names and numbers are those that existing programs were compiled
 * with.
 */
#include "contract.h"

#include <assert.h>
#include <pthread.h>

static void numbers(void)
{
    assert_int_equal(E_NO_SPACE, 1);
    assert_int_equal(E_CORRUPT_FREESPACE, 2);
    assert_int_equal(E_PADDING_OVERWRITTEN, 3);
    assert_int_equal(E_BAD_ARGS, 4);
    assert_int_equal(E_BAD_POINTER, 5);
    assert_int_equal(BESTFIT, 0);
    assert_int_equal(WORSTFIT, 1);
    assert_int_equal(FIRSTFIT, 2);
}

static void other_names(void)
{
    assert_int_equal(M_BESTFIT, BESTFIT);
    assert_int_equal(M_WORSTFIT, WORSTFIT);
    assert_int_equal(M_FIRSTFIT, FIRSTFIT);
    assert_int_equal(BF, BESTFIT);
    assert_int_equal(WF, WORSTFIT);
    assert_int_equal(FF, FIRSTFIT);
}

static void plain_int(void)
{
    static_assert(_Generic(&m_error, int * : 1, default : 0), "programs declare it as an int");
    assert_int_equal(m_error, 0); /* No call has failed yet. */
    m_error = 123;
    assert_int_equal(m_error, 123);
}

static void every_success(void)
{
    enum { UNTOUCHED = 4711 };
    m_error = errno = UNTOUCHED;
    assert_int_equal(Mem_Init(8192), 0);
    unsigned char *p = Mem_Alloc(100);
    unsigned char *q = Mem_Alloc(100, FIRSTFIT);
    unsigned char *r = Mem_Alloc(100, BESTFIT);
    unsigned char *s = Mem_Alloc(100, WORSTFIT);
    assert_true(p && q && r && s);
    assert_int_equal(Mem_IsValid(q), 1);
    assert_int_equal(Mem_IsValid(q + 100), 0);
    assert_int_equal(Mem_GetSize(q), 100);
    assert_int_equal(Mem_Free(q + 50), 0);
    assert_int_equal(Mem_Free(NULL), 0);
    assert_int_equal(Mem_Check(), 0);
    assert_errors(UNTOUCHED, UNTOUCHED);
}

static void every_failure(void)
{
    clear_errors();
    assert_int_equal(Mem_Check(), -1);
    assert_errors(E_BAD_ARGS, EINVAL);
    open_heap(4096);
    const int whole = (int)region_bytes;
    unsigned char *p = get(100);
    clear_errors();
    assert_int_equal(Mem_Init(4096), -1);
    assert_errors(E_BAD_ARGS, EEXIST);
    clear_errors();
    assert_null(Mem_Alloc(whole - 1));
    assert_errors(E_NO_SPACE, ENOMEM);
    clear_errors();
    assert_null(Mem_Alloc(whole - 1, WORSTFIT));
    assert_errors(E_NO_SPACE, ENOMEM);
    clear_errors();
    assert_null(Mem_Alloc(0));
    assert_errors(E_BAD_ARGS, EINVAL);
    clear_errors();
    assert_null(Mem_Alloc(10, 17));
    assert_errors(E_BAD_ARGS, EINVAL);
    clear_errors();
    assert_int_equal(Mem_Free(p + 100), -1);
    assert_errors(E_BAD_POINTER, EINVAL);
    clear_errors();
    assert_int_equal(Mem_GetSize(p + 100), -1);
    assert_errors(E_BAD_POINTER, EINVAL);
    give(p);
    memset(p, 0xff, 4);
    clear_errors();
    assert_int_equal(Mem_Check(), -1);
    assert_errors(E_CORRUPT_FREESPACE, EUCLEAN);
}

static void last_reason_stays(void)
{
    open_heap(4096);
    assert_int_equal(Mem_Free((void *)1), -1);
    get(10);
    assert_int_equal(m_error, E_BAD_POINTER);
    assert_null(Mem_Alloc((int)region_bytes + 1));
    assert_int_equal(m_error, E_NO_SPACE);
}

static void *fails(void *arg)
{
    errno = 0;
    return Mem_Free((void *)1) == -1 && errno == EINVAL ? NULL : arg;
}

static void errno_of_each_thread(void)
{
    pthread_t other;
    int anything = 0;
    void *failed = &anything;
    open_heap(4096);
    clear_errors();
    assert_int_equal(pthread_create(&other, NULL, fails, &anything), 0);
    pthread_join(other, &failed);
    assert_null(failed);
    assert_errors(E_BAD_POINTER, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ALONE("C9 the numbers of errors and styles", numbers),
        ALONE("C9 names with M_ in front and short names mean the same", other_names),
        ALONE("C9 m_error is a plain int", plain_int),
        ALONE("C9 a success leaves m_error and errno alone", every_success),
        ALONE("C9 each failure sets its m_error and its errno", every_failure),
        ALONE("C9 m_error stays until the next failure", last_reason_stays),
        ALONE("C9 errno is each thread's own", errno_of_each_thread),
    };
    return cmocka_run_group_tests_name("C9", tests, NULL, NULL);
}
