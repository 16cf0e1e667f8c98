/* SPDX-License-Identifier: MIT
 *
 * mem.c - checks that each call of mem.h which enters as a mutator leaves again, whatever its
 * outcome (heaps/readers.h).
 */
#include "unit.h"

#include "heaps/readers.h"
#include "mem.h"

/* Makes a call, whose value does not matter. */
#define CALL(call)                                                                                 \
    do {                                                                                           \
        (void)(call);                                                                              \
        assert_int_equal(mutator_depth, 0);                                                        \
    } while (0)

static void test_each_call_leaves(void **state)
{
    enum { NBYTES = 1 << 20 };
    int other;
    char *p;
    (void)state;
    CALL(Mem_Alloc(100)); /* before Mem_Init */
    CALL(Mem_Free(&other));
    assert_int_equal(Mem_Init(NBYTES), 0);
    for (int size = 1; size <= 4 * NBYTES; size *= 4) { /* at last there is no room */
        CALL(p = Mem_Alloc(size));
        CALL(Mem_GetSize(p));
        CALL(Mem_Free(p));
        CALL(Mem_Free(p)); /* once more */
        CALL(p = Mem_AllocStyle(size, WORSTFIT));
        CALL(Mem_IsValid(p));
        CALL(Mem_Free(p));
        CALL(Mem_AllocStyle(size, 7));
    }
    CALL(Mem_Free(&other));
    CALL(Mem_Check());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_call_leaves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
