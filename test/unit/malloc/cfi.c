/* SPDX-License-Identifier: MIT
 *
 * cfi.c - checks how call frame information is read (malloc/cfi.h): each instruction, each form of
 * a description, and what is not understood, in tables that are put together here.
 *
 * The bytes follow DWARF 5, 6.4 and 7.24, and the Linux Standard Base, "Exception Frames".
 */
#include "unit.h"

#include <string.h>

#include "malloc/cfi.h"
#include "malloc/module.h"

#if defined(__aarch64__)
enum { FP = 29, SP = 31, RA = 30 };
#else
enum { FP = 6, SP = 7, RA = 16 };
#endif
enum { OTHER = 3 }; /* a register that no rule follows */

/* The instructions, by their numbers. */
enum {
    NOP = 0,
    SET_LOC = 1,
    ADVANCE_1 = 2,
    ADVANCE_2 = 3,
    ADVANCE_4 = 4,
    OFFSET_EXTENDED = 5,
    RESTORE_EXTENDED = 6,
    IS_UNDEFINED = 7,
    SAME_VALUE = 8,
    REGISTER = 9,
    REMEMBER = 10,
    RESTORE_STATE = 11,
    DEF_CFA = 12,
    DEF_CFA_REGISTER = 13,
    DEF_CFA_OFFSET = 14,
    DEF_CFA_EXPRESSION = 15,
    EXPRESSION = 16,
    OFFSET_EXTENDED_SF = 17,
    DEF_CFA_SF = 18,
    DEF_CFA_OFFSET_SF = 19,
    VAL_OFFSET = 20,
    VAL_OFFSET_SF = 21,
    VAL_EXPRESSION = 22,
    NEGATE_RA_STATE = 0x2d,
    ARGS_SIZE = 0x2e,
    ADVANCE = 0x40,
    OFFSET = 0x80,
    RESTORE = 0xc0
};
enum { BREG = 0x70, DEREF = 6, MINUS_16 = 0x70 /* in LEB128 */, MINUS_4 = 0x7c };

/* Where things are in the image: the header, the CIE, the FDE, and a function that is not there. */
enum { CIE = 256, FDE = 512, CODE = 1 << 16, CODE_BYTES = 100000, ROOM = 1024 };
static _Alignas(8) unsigned char image[ROOM];

/* What the description of the function is made of. The rest is as gcc makes it. */
struct form {
    unsigned header[4]; /* version; encodings of the frame's address, the count, the table */
    unsigned version;
    const char *augmentation;
    unsigned char data[24]; /* what the augmentation announces */
    unsigned ndata, ra, data_unit, of_code;
    uint32_t cie_id, nmore_of_fde;
};
static const struct form usual = {.header = {1, 0x1b, 0x03, 0x3b},
                                  .version = 1,
                                  .augmentation = "zR",
                                  .data = {0x1b},
                                  .ndata = 1,
                                  .ra = RA,
                                  .data_unit = 0x78, /* -8 */
                                  .of_code = 0x1b};

static unsigned char *put(unsigned char *at, uint64_t n, unsigned nbytes)
{
    for (unsigned i = 0; i < nbytes; i++)
        *at++ = (unsigned char)(n >> (8 * i));
    return at;
}

/* Stores how many bytes follow the length at `at`. */
static void end_description(unsigned char *at, const unsigned char *end)
{
    put(at, (uint64_t)(end - at) - 4, 4);
}

/* The CIE's instructions: the CFA is sp + 8, and the return address is a word below. */
static void put_common(const struct form *f)
{
    unsigned char *p = put(image + CIE + 4, f->cie_id, 4);
    p = put(p, f->version, 1);
    memcpy(p, f->augmentation, strlen(f->augmentation) + 1);
    p += strlen(f->augmentation) + 1;
    p = put(p, 1, 1);
    p = put(p, f->data_unit, 1);
    p = put(p, f->ra, 1);
    if (f->augmentation[0] == 'z')
        p = put(p, f->ndata, 1);
    memcpy(p, f->data, f->ndata < sizeof f->data ? f->ndata : 0);
    p += f->ndata < sizeof f->data ? f->ndata : 0;
    const unsigned char first[] = {DEF_CFA, SP, 8, OFFSET_EXTENDED, RA, 1};
    memcpy(p, first, sizeof first);
    end_description(image + CIE, p + sizeof first);
}

static void put_function(const struct form *f, const unsigned char *code, size_t nbytes)
{
    unsigned char *p = put(image + FDE + 4, FDE + 4 - CIE, 4);
    uint64_t start = (uintptr_t)image + CODE - (f->of_code & 0x10 ? (uintptr_t)p : 0);
    unsigned as = f->of_code & 7, width = as == 2 ? 2 : as == 3 ? 4 : 8;
    p = put(p, start, width);
    p = put(p, CODE_BYTES, width);
    if (f->augmentation[0] == 'z')
        p = put(p, f->nmore_of_fde, 1);
    memcpy(p, code, nbytes);
    end_description(image + FDE, p + nbytes);
}

/* Makes the table of one function, with these instructions. */
static void make(const struct form *f, const unsigned char *code, size_t nbytes)
{
    memset(image, 0, sizeof image);
    put_common(f);
    put_function(f, code, nbytes);
    unsigned char *p = image;
    for (int i = 0; i < 4; i++)
        p = put(p, f->header[i], 1);
    p = put(p, 0, 4);
    p = put(p, 1, 4);
    p = put(p, CODE, 4);
    put(p, FDE, 4);
}

static struct rule read_at(size_t offset, bool *is_covered)
{
    return cfi_read(image, (uintptr_t)image + CODE + offset, is_covered);
}

static void assert_rule(const struct rule *r, enum frame_base base, int offset, int fp_at,
                        int ra_at)
{
    assert_int_equal(r->base, base);
    assert_int_equal(rule_offset(r), offset);
    assert_int_equal(r->fp_at, fp_at);
    assert_int_equal(r->ra_at, ra_at);
}

/* Expects that rule `offset` bytes into the function. */
#define AT(at, base, offset, fp_at, ra_at)                                                         \
    do {                                                                                           \
        bool is_covered;                                                                           \
        struct rule r = read_at(at, &is_covered);                                                  \
        assert_true(is_covered);                                                                   \
        assert_rule(&r, base, offset, fp_at, ra_at);                                               \
    } while (0)
/* Expects that rule after these instructions. */
#define AFTER(base, offset, fp_at, ra_at, ...)                                                     \
    do {                                                                                           \
        const unsigned char code[] = {__VA_ARGS__};                                                \
        make(&usual, code, sizeof code);                                                           \
        AT(0, base, offset, fp_at, ra_at);                                                         \
    } while (0)
#define UNKNOWN_AFTER(...) AFTER(FRAME_UNKNOWN, 0, 0, 0, __VA_ARGS__)

static void test_where_the_frame_is(void **state)
{
    (void)state;
    AFTER(FRAME_BY_SP, 8, 0, -1, NOP);
    AFTER(FRAME_BY_SP, 16, 0, -1, DEF_CFA_OFFSET, 16);
    AFTER(FRAME_BY_SP, 200, 0, -1, DEF_CFA_OFFSET, 0xc8, 1); /* LEB128 of two bytes */
    AFTER(FRAME_BY_FP, 8, 0, -1, DEF_CFA_REGISTER, FP);
    AFTER(FRAME_BY_FP, 32, 0, -1, DEF_CFA, FP, 32);
    AFTER(FRAME_BY_FP, 32, 0, -1, DEF_CFA_SF, FP, MINUS_4);
    AFTER(FRAME_BY_SP, -8, 0, -1, DEF_CFA_OFFSET_SF, 1);
    AFTER(FRAME_BY_SP, 8, 0, -1, DEF_CFA_OFFSET_SF, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
          0xff, 0xff, 0x40); /* what 64 bits do not hold is left out */
    AFTER(FRAME_UNKNOWN, 8, 0, -1, DEF_CFA_REGISTER, OTHER);
    AFTER(FRAME_BY_SP, 8, 0, -1, NEGATE_RA_STATE, ARGS_SIZE, 48);
    AFTER(FRAME_AT_FP, -16, 0, -1, DEF_CFA_EXPRESSION, 3, BREG + FP, MINUS_16, DEREF);
    AFTER(FRAME_UNKNOWN, -16, 0, -1, DEF_CFA_EXPRESSION, 2, BREG + FP, MINUS_16);
    AFTER(FRAME_UNKNOWN, -16, 0, -1, DEF_CFA_EXPRESSION, 3, BREG + FP, MINUS_16, NOP);
    AFTER(FRAME_UNKNOWN, -16, 0, -1, DEF_CFA_EXPRESSION, 4, BREG + FP, MINUS_16, DEREF, DEREF);
    AFTER(FRAME_UNKNOWN, -16, 0, -1, DEF_CFA_EXPRESSION, 3, BREG + OTHER, MINUS_16, DEREF);
}

static void test_where_registers_are(void **state)
{
    (void)state;
    AFTER(FRAME_BY_SP, 8, -2, -1, OFFSET | FP, 2);
    AFTER(FRAME_BY_SP, 8, -3, -2, OFFSET_EXTENDED, FP, 3, OFFSET_EXTENDED, RA, 2);
    AFTER(FRAME_BY_SP, 8, 4, -1, OFFSET_EXTENDED_SF, FP, MINUS_4);
    AFTER(FRAME_BY_SP, 8, 0, -1, OFFSET | FP, 2, RESTORE | FP);
    AFTER(FRAME_BY_SP, 8, -2, -1, OFFSET | FP, 2, OFFSET | RA, 5, RESTORE | RA);
    AFTER(FRAME_BY_SP, 8, 0, -1, OFFSET | FP, 2, RESTORE_EXTENDED, FP);
    AFTER(FRAME_BY_SP, 8, -2, -1, OFFSET | FP, 2, OFFSET | RA, 5, RESTORE_EXTENDED, RA);
    AFTER(FRAME_BY_SP, 8, 0, -1, OFFSET | FP, 2, SAME_VALUE, FP);
    AFTER(FRAME_BY_SP, 8, 0, -1, OFFSET | FP, 2, IS_UNDEFINED, FP);
    AFTER(FRAME_BY_SP, 8, 0, 0, SAME_VALUE, RA);
    AFTER(FRAME_OUTERMOST, 0, 0, 0, IS_UNDEFINED, RA);
    AFTER(FRAME_BY_SP, 8, 0, -1, OFFSET | OTHER, 2, RESTORE | OTHER);
    AFTER(FRAME_BY_SP, 8, FP_IS_AT_FP, -1, EXPRESSION, FP, 2, BREG + FP, 0);
    UNKNOWN_AFTER(EXPRESSION, FP, 2, BREG + FP, 8);
    UNKNOWN_AFTER(EXPRESSION, FP, 2, BREG + OTHER, 0);
    UNKNOWN_AFTER(VAL_EXPRESSION, FP, 2, BREG + FP, 0);
    UNKNOWN_AFTER(REGISTER, FP, OTHER);
    UNKNOWN_AFTER(VAL_OFFSET, FP, 2);
    UNKNOWN_AFTER(VAL_OFFSET_SF, FP, 2);
    AFTER(FRAME_BY_SP, 8, -2, -1, VAL_OFFSET, OTHER, 2, OFFSET | FP, 2);
    AFTER(FRAME_BY_SP, 8, -2, -1, VAL_EXPRESSION, OTHER, 2, BREG + FP, 0, OFFSET | FP, 2);
}

/* Each instruction of the function has its own rule. */
static void test_along_the_function(void **state)
{
    (void)state;
    const unsigned char code[] = {ADVANCE + 4,
                                  DEF_CFA_OFFSET,
                                  16,
                                  OFFSET | FP,
                                  2,
                                  ADVANCE_1,
                                  200,
                                  DEF_CFA_REGISTER,
                                  FP,
                                  ADVANCE_2,
                                  0x2c,
                                  1, /* 300 */
                                  DEF_CFA_OFFSET,
                                  24,
                                  ADVANCE_4,
                                  0x70,
                                  0x11,
                                  1,
                                  0, /* 70,000 */
                                  DEF_CFA_OFFSET,
                                  32};
    make(&usual, code, sizeof code);
    AT(0, FRAME_BY_SP, 8, 0, -1);
    AT(3, FRAME_BY_SP, 8, 0, -1);
    AT(4, FRAME_BY_SP, 16, -2, -1);
    AT(203, FRAME_BY_SP, 16, -2, -1);
    AT(204, FRAME_BY_FP, 16, -2, -1);
    AT(503, FRAME_BY_FP, 16, -2, -1);
    AT(504, FRAME_BY_FP, 24, -2, -1);
    AT(70503, FRAME_BY_FP, 24, -2, -1);
    AT(70504, FRAME_BY_FP, 32, -2, -1);
    AT(CODE_BYTES - 1, FRAME_BY_FP, 32, -2, -1);
}

static void test_states_are_kept(void **state)
{
    (void)state;
    AFTER(FRAME_BY_SP, 8, 0, -1, REMEMBER, DEF_CFA, FP, 16, OFFSET | FP, 2, RESTORE_STATE);
    AFTER(FRAME_BY_SP, 16, 0, -1, REMEMBER, DEF_CFA_OFFSET, 16, REMEMBER, DEF_CFA_OFFSET, 24,
          RESTORE_STATE);
    AFTER(FRAME_BY_SP, 8, 0, -1, REMEMBER, REMEMBER, REMEMBER, REMEMBER, DEF_CFA_OFFSET, 24,
          RESTORE_STATE);
    UNKNOWN_AFTER(REMEMBER, REMEMBER, REMEMBER, REMEMBER, REMEMBER); /* four are enough for gcc */
    UNKNOWN_AFTER(RESTORE_STATE);
}

/* What a rule has no room for, and what the table ends within, is unknown, and nothing else. */
static void test_what_is_not_understood(void **state)
{
    (void)state;
    UNKNOWN_AFTER(SET_LOC, 0, 0, 0, 0);
    UNKNOWN_AFTER(0x3f);
    UNKNOWN_AFTER(DEF_CFA_OFFSET, 0x80, 0x80, 0x80, 0x80, 1); /* 2^28 */
    AFTER(FRAME_BY_SP, (1 << 27) - 1, 0, -1, DEF_CFA_OFFSET, 0xff, 0xff, 0xff, 0x3f);
    UNKNOWN_AFTER(DEF_CFA_OFFSET, 0x80, 0x80, 0x80, 0x40); /* 2^27 would be negative */
    UNKNOWN_AFTER(OFFSET | FP, 0x81, 0x80, 2);             /* 32,769 words */
    AFTER(FRAME_BY_SP, 8, INT16_MIN, -1, OFFSET | FP, 0x80, 0x80, 2);
    UNKNOWN_AFTER(OFFSET | RA, 0x81, 0x80, 2);
    AFTER(FRAME_BY_SP, 0, 0, -1, DEF_CFA_OFFSET); /* a number that is missing is 0 */
    AFTER(FRAME_UNKNOWN, 8, 0, -1, DEF_CFA_EXPRESSION, 9, BREG + FP, MINUS_16, DEREF);
    AFTER(FRAME_BY_SP, 8, 0, -1, ADVANCE_4, 0, 0);
    /* Ten bytes of LEB128 are more than 64 bits. */
    AFTER(FRAME_BY_SP, 1, 0, -1, DEF_CFA_OFFSET, 0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
          0x80, 0x80, 0x7f);
    /* 2^63 - 1 units of -8 are more than 64 bits, and wrap to 8. */
    AFTER(FRAME_BY_SP, 8, 1, -1, OFFSET | FP, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f);
    struct form four = usual;
    four.data_unit = 0x7c; /* -4: registers are saved at half words */
    const unsigned char half[] = {OFFSET | RA, 2, OFFSET | FP, 3};
    make(&four, half, sizeof half);
    AT(0, FRAME_UNKNOWN, 0, 0, 0);
    make(&four, half, 2);
    AT(0, FRAME_BY_SP, 8, 0, -1);
}

static void assert_covered(const struct form *f, bool expected)
{
    static const unsigned char code[] = {DEF_CFA_OFFSET, 16};
    bool is_covered;
    make(f, code, sizeof code);
    struct rule r = read_at(0, &is_covered);
    assert_int_equal(is_covered, expected);
    if (expected)
        assert_rule(&r, FRAME_BY_SP, 16, 0, -1);
    else
        assert_int_equal(r.base, FRAME_UNKNOWN);
}

static void test_forms_of_descriptions(void **state)
{
    (void)state;
    struct form f = usual;
    assert_covered(&f, true);
    f.version = 3;
    assert_covered(&f, true);
    f.version = 2;
    assert_covered(&f, false);
    f = usual;
    f.ra = RA + 1;
    assert_covered(&f, false);
    f = usual;
    f.cie_id = 1;
    assert_covered(&f, false);
    f = usual;
    f.ndata = 200; /* more than there is */
    assert_covered(&f, false);
    f = usual;
    f.nmore_of_fde = 100;
    assert_covered(&f, false);
}

/* Says how the address of the function is encoded. */
static void encode(struct form *f, unsigned char encoding)
{
    f->data[0] = encoding;
    f->of_code = encoding;
}

/* The letters of the augmentation: a routine, its data, the encoding of pointers, signals. */
static void test_augmentations(void **state)
{
    (void)state;
    struct form f = usual;
    f.augmentation = "zRS";
    assert_covered(&f, true);
    f.augmentation = "zRB";
    assert_covered(&f, true);
    f.augmentation = "zRQ";
    assert_covered(&f, false);
    f.augmentation = "zPLR";
    const unsigned char with_routine[] = {0x9b, 1, 2, 3, 4, 0x00, 0x1b}; /* the last is of 'R' */
    memcpy(f.data, with_routine, sizeof with_routine);
    f.ndata = sizeof with_routine;
    assert_covered(&f, true);
    const unsigned char with_leb[] = {0x01, 0x1b, 0x1b}; /* of such a routine no byte is read */
    memcpy(f.data, with_leb, sizeof with_leb);
    f.ndata = sizeof with_leb;
    assert_covered(&f, true);
    f = usual;
    f.augmentation = "";
    f.ndata = 0;
    f.of_code = 0; /* eight bytes, from zero */
    assert_covered(&f, true);
    f = usual;
    encode(&f, 0x1c); /* eight bytes */
    assert_covered(&f, true);
    encode(&f, 0x12); /* two bytes without a sign: it is less than 65,536 bytes away */
    assert_covered(&f, true);
    encode(&f, 0x1a); /* two bytes with a sign: it is on the other side */
    assert_covered(&f, false);
    encode(&f, 0x3b); /* from the table: read as 0 */
    assert_covered(&f, false);
}

/* The header counts in four bytes, and its table in pairs of four bytes each. */
static void test_forms_of_headers(void **state)
{
    (void)state;
    static const unsigned wrong[][2] = {{0, 2}, {2, 0x1b}, {3, 0x1b}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct form f = usual;
        f.header[wrong[i][0]] = wrong[i][1];
        assert_covered(&f, false);
    }
}

/* The table is searched: each function begins where its pair says. */
static void test_the_search(void **state)
{
    (void)state;
    static const unsigned char code[] = {NOP};
    bool is_covered;
    make(&usual, code, sizeof code);
    for (size_t at = 0; at < CODE_BYTES; at += CODE_BYTES - 1) {
        read_at(at, &is_covered);
        assert_true(is_covered);
    }
    read_at(CODE_BYTES, &is_covered);
    assert_false(is_covered);
    read_at((size_t)-1, &is_covered);
    assert_false(is_covered);

    /* Of three pairs only the one in the middle has a description. */
    unsigned char *p = put(image + 8, 3, 4);
    p = put(put(p, CODE - 64, 4), FDE + 100, 4);
    p = put(put(p, CODE, 4), FDE, 4);
    put(put(p, CODE + CODE_BYTES, 4), FDE + 100, 4);
    static const struct {
        size_t at;
        bool is_covered;
    } places[] = {{(size_t)-65, false},
                  {(size_t)-1, false},
                  {0, true},
                  {CODE_BYTES - 1, true},
                  {CODE_BYTES, false}};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        read_at(places[i].at, &is_covered);
        assert_int_equal(is_covered, places[i].is_covered);
    }
    put(image + 16, FDE, 4); /* the first one names that description, too: it begins above */
    read_at((size_t)-1, &is_covered);
    assert_false(is_covered);
}

/* A description says its length. Nothing is read of 64-bit DWARF, nor of a text without an end. */
static void test_broken_descriptions(void **state)
{
    (void)state;
    static const unsigned char code[] = {NOP};
    bool is_covered;
    make(&usual, code, sizeof code);
    put(image + FDE, 0xffffffff, 4);
    read_at(0, &is_covered);
    assert_false(is_covered);
    make(&usual, code, sizeof code);
    put(image + FDE + 4, 0, 4); /* it is a CIE */
    read_at(0, &is_covered);
    assert_false(is_covered);
    make(&usual, code, sizeof code);
    put(image + CIE, 7, 4); /* the text does not end */
    read_at(0, &is_covered);
    assert_false(is_covered);
}

/* The rule for the code of this program is the linker's; code of which nothing is said is taken to
 * keep a frame pointer. */
static void test_rules_of_this_program(void **state)
{
    (void)state;
    static const unsigned char no_code[16];
    struct rule r;
    uintptr_t here = (uintptr_t)(void *)test_rules_of_this_program;
    assert_true(cfi_rule(here, &r));
    assert_true(r.base == FRAME_BY_SP || r.base == FRAME_BY_FP);
    assert_true(cfi_rule((uintptr_t)no_code, &r));
    assert_int_equal(r.base, FRAME_GUESSED);
    assert_int_equal(rule_offset(&r), 16);
    assert_true(cfi_rule((uintptr_t)&r, &r)); /* of no module at all */
    assert_int_equal(r.base, FRAME_GUESSED);
    module_stop(); /* as around a fork: it cannot be asked now */
    assert_false(cfi_rule(here, &r));
    module_go_on();
    assert_true(cfi_rule(here, &r));
}

static bool has_no_table;
enum module_answer __real_module_find(uintptr_t address, struct module *m);
enum module_answer __wrap_module_find(uintptr_t address, struct module *m);

enum module_answer __wrap_module_find(uintptr_t address, struct module *m)
{
    enum module_answer answer = __real_module_find(address, m);
    if (has_no_table)
        m->eh_frame = NULL;
    return answer;
}

/* A module need not have a table. */
static void test_a_module_without_a_table(void **state)
{
    (void)state;
    struct rule r;
    has_no_table = true;
    assert_true(cfi_rule((uintptr_t)(void *)test_a_module_without_a_table, &r));
    has_no_table = false;
    assert_int_equal(r.base, FRAME_GUESSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_where_the_frame_is),
        cmocka_unit_test(test_where_registers_are),
        cmocka_unit_test(test_along_the_function),
        cmocka_unit_test(test_states_are_kept),
        cmocka_unit_test(test_what_is_not_understood),
        cmocka_unit_test(test_forms_of_descriptions),
        cmocka_unit_test(test_augmentations),
        cmocka_unit_test(test_forms_of_headers),
        cmocka_unit_test(test_the_search),
        cmocka_unit_test(test_broken_descriptions),
        cmocka_unit_test(test_rules_of_this_program),
        cmocka_unit_test(test_a_module_without_a_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
