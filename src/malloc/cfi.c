/* SPDX-License-Identifier: MIT
 *
 * cfi.c - reads call frame information and reduces it to a rule: see cfi.h.
 *
 *     .eh_frame_hdr   sorted by address: function -> its description (FDE)
 *     FDE             the function's range, and instructions that change the rule along the way
 *     CIE             what many FDEs have in common, and the instructions that come first
 *
 * The linker wrote all of it, and the program relies on it for exceptions. Still no read leaves the
 * description that it is in.
 */
#include "malloc/cfi.h"

#include "malloc/module.h"

#if defined(__x86_64__)
enum { REGISTER_FP = 6, REGISTER_SP = 7, REGISTER_RA = 16 };
#elif defined(__aarch64__)
enum { REGISTER_FP = 29, REGISTER_SP = 31, REGISTER_RA = 30 };
#else
enum { REGISTER_FP = -1, REGISTER_SP = -1, REGISTER_RA = -1 };
#endif

/* --- reading -------------------------------------------------------------------- */

/* Bytes that are read one after the other. A read beyond the end gives 0. */
struct input {
    const unsigned char *at, *end;
};

static bool has(const struct input *in, size_t nbytes)
{
    return (size_t)(in->end - in->at) >= nbytes;
}

/* A number of up to eight bytes, the low one first. */
static uint64_t get(struct input *in, size_t nbytes)
{
    uint64_t n = 0;
    if (!has(in, nbytes)) {
        in->at = in->end;
        return 0;
    }
    for (size_t i = 0; i < nbytes; i++)
        n |= (uint64_t)in->at[i] << (8 * i);
    in->at += nbytes;
    return n;
}

/* A number in LEB128: seven bits in each byte, and the eighth is set if another byte follows. */
static uint64_t get_leb(struct input *in, bool has_sign)
{
    uint64_t n = 0, byte;
    unsigned shift = 0;
    do {
        byte = get(in, 1);
        if (shift < 64)
            n |= (byte & 0x7f) << shift;
        shift += 7;
    } while (byte & 0x80);
    if (has_sign && shift < 64 && (byte & 0x40))
        n |= UINT64_MAX << shift;
    return n;
}

static uint64_t get_unsigned(struct input *in)
{
    return get_leb(in, false);
}

static int64_t get_signed(struct input *in)
{
    return (int64_t)get_leb(in, true);
}

/* A number of either kind that counts in units. A wrong table may make the product wrap. */
static int64_t get_units(struct input *in, bool has_sign, int64_t unit)
{
    return (int64_t)(get_leb(in, has_sign) * (uint64_t)unit);
}

/* Encodings of pointers: the low four bits say in how many bytes, and whether it has a sign; the
 * next three, what it counts from. */
enum { AS_POINTER = 0, AS_2 = 2, AS_4 = 3, AS_8 = 4, HAS_SIGN = 8 };
enum { FROM_ZERO = 0, FROM_HERE = 0x10, FROM_TABLE = 0x30 };
enum { TABLE_ENCODING = FROM_TABLE | HAS_SIGN | AS_4 }; /* of .eh_frame_hdr: all linkers' choice */

/* Reads a pointer. One that counts from elsewhere than zero or its own place reads as 0. */
static uintptr_t get_pointer(struct input *in, unsigned encoding)
{
    const unsigned char *here = in->at;
    unsigned as = encoding & 7;
    size_t nbytes = as == AS_2 ? 2 : as == AS_4 ? 4 : 8;
    if (as != AS_POINTER && as != AS_2 && as != AS_4 && as != AS_8)
        return 0; /* a LEB128: no compiler does that */
    uint64_t n = get(in, nbytes);
    if ((encoding & HAS_SIGN) && nbytes < 8 && n >> (8 * nbytes - 1))
        n |= UINT64_MAX << (8 * nbytes);
    unsigned from = encoding & 0xf0;
    return from == FROM_HERE ? (uintptr_t)here + n : from == FROM_ZERO ? n : 0;
}

/* --- descriptions ------------------------------------------------------------------ */

/* What an FDE and its CIE say about a function. */
struct function {
    uintptr_t start, end;
    uint64_t code_unit;
    int64_t data_unit;
    struct input common, own; /* instructions: the CIE's, the FDE's */
};

/* Begins to read a CIE or FDE: its contents follow its length. One of 64-bit DWARF has none. */
static struct input description(const unsigned char *at)
{
    enum { LENGTH_64 = 0xfffffff0 };
    struct input in = {at, at + 4};
    uint64_t nbytes = get(&in, 4);
    in.end = in.at + (nbytes < LENGTH_64 ? nbytes : 0);
    return in;
}

/* Reads a CIE; stores how pointers in its FDEs are encoded, and whether an FDE has a length of
 * further data. Returns false if it is not understood. */
static bool read_common(const unsigned char *at, struct function *f, unsigned *encoding,
                        bool *has_more)
{
    struct input in = description(at);
    *encoding = AS_POINTER | FROM_ZERO;
    *has_more = false;
    if (get(&in, 4) != 0) /* it would be an FDE */
        return false;
    unsigned version = (unsigned)get(&in, 1);
    const unsigned char *text = in.at, *text_end = memchr(text, 0, (size_t)(in.end - in.at));
    if ((version != 1 && version != 3) || text_end == NULL)
        return false;
    in.at = text_end + 1;
    f->code_unit = get_unsigned(&in);
    f->data_unit = get_signed(&in);
    uint64_t ra = version == 1 ? get(&in, 1) : get_unsigned(&in);
    if (ra != REGISTER_RA)
        return false;
    struct input more = {in.at, in.at};
    for (; text < text_end; text++) {
        if (*text == 'z') {
            uint64_t nbytes = get_unsigned(&in);
            if (!has(&in, nbytes))
                return false;
            more = (struct input){in.at, in.at + nbytes};
            in.at += nbytes;
            *has_more = true;
        } else if (*text == 'R') {
            *encoding = (unsigned)get(&more, 1);
        } else if (*text == 'P') { /* what to call for an exception */
            unsigned of_routine = (unsigned)get(&more, 1);
            (void)get_pointer(&more, of_routine);
        } else if (*text == 'L') {
            (void)get(&more, 1);
        } else if (*text != 'S' && *text != 'B') { /* of a signal's frame; with signed addresses */
            return false;
        }
    }
    f->common = in;
    return true;
}

static bool read_function(const unsigned char *at, struct function *f)
{
    struct input in = description(at);
    unsigned encoding;
    bool has_more;
    *f = (struct function){0};
    const unsigned char *here = in.at;
    uint64_t back = get(&in, 4);
    if (back == 0 || !read_common(here - back, f, &encoding, &has_more))
        return false;
    f->start = get_pointer(&in, encoding);
    f->end = f->start + get_pointer(&in, encoding & 7);
    if (has_more) {
        uint64_t nbytes = get_unsigned(&in);
        if (!has(&in, nbytes))
            return false;
        in.at += nbytes;
    }
    f->own = in;
    return true;
}

static int32_t table_word(const unsigned char *table, size_t n)
{
    int32_t word;
    memcpy(&word, table + n * sizeof word, sizeof word);
    return word;
}

/* Finds the description of the function that the instruction at `address` is in. */
static bool find_function(const unsigned char *header, uintptr_t address, struct function *f)
{
    struct input in = {header, header + 32};
    unsigned version = (unsigned)get(&in, 1), of_frame = (unsigned)get(&in, 1);
    unsigned of_count = (unsigned)get(&in, 1), of_table = (unsigned)get(&in, 1);
    (void)get_pointer(&in, of_frame);
    uintptr_t n = get_pointer(&in, of_count);
    if (version != 1 || of_table != TABLE_ENCODING || of_count != (FROM_ZERO | AS_4))
        return false;
    const unsigned char *table = in.at;
    int64_t wanted = (int64_t)(address - (uintptr_t)header);
    size_t low = 0, high = n; /* all before low begin at or below; none from high on does */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (table_word(table, 2 * middle) <= wanted)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 && read_function(header + table_word(table, 2 * low - 1), f) &&
           address >= f->start && address < f->end;
}

/* --- instructions ------------------------------------------------------------------- */

/* What holds at one instruction. A register is saved some bytes from the CFA, in whole words;
 * the other values say that it is not saved, saved where fp points to, saved where a rule cannot
 * say, or undefined. */
enum { UNSAVED = 0, AT_FP = 1, LOST = 2, UNDEFINED = 3 };
struct row {
    enum frame_base base;
    int64_t offset;
    int64_t fp, ra;
};

struct run {
    const struct function *f;
    uint64_t at;           /* the instruction that the row is about */
    struct row row, first; /* `first` is what the CIE leaves */
    struct row kept[4];
    unsigned nkept;
    bool has_failed;
};

static int64_t *place_of(struct row *row, uint64_t reg)
{
    return reg == REGISTER_FP ? &row->fp : reg == REGISTER_RA ? &row->ra : NULL;
}

static void save_at(struct row *row, uint64_t reg, int64_t at)
{
    int64_t *place = place_of(row, reg);
    if (place != NULL)
        *place = at;
}

static void base_is(struct row *row, uint64_t reg)
{
    row->base = reg == REGISTER_SP ? FRAME_BY_SP : reg == REGISTER_FP ? FRAME_BY_FP : FRAME_UNKNOWN;
}

/* Reads an expression. Returns true for the two that gcc makes where a function aligns the stack
 * anew: `the word at fp + offset` if `loads`, else `fp + offset`. */
static bool is_by_fp(struct input *in, bool loads, int64_t *offset)
{
    enum { BREG = 0x70, DEREF = 0x06 };
    uint64_t nbytes = get_unsigned(in);
    if (!has(in, nbytes)) {
        in->at = in->end;
        return false;
    }
    struct input e = {in->at, in->at + nbytes};
    in->at += nbytes;
    bool is_fp = get(&e, 1) == BREG + (uint64_t)REGISTER_FP;
    *offset = get_signed(&e);
    return is_fp && (!loads || get(&e, 1) == DEREF) && !has(&e, 1);
}

static void run_one(struct run *r, struct input *in)
{
    enum { ADVANCE = 1, OFFSET = 2, RESTORE = 3 };
    struct row *row = &r->row;
    uint64_t op = get(in, 1), low = op & 0x3f, reg;
    int64_t n;
    switch (op >> 6) {
    case ADVANCE:
        r->at += low * r->f->code_unit;
        return;
    case OFFSET:
        save_at(row, low, get_units(in, false, r->f->data_unit));
        return;
    case RESTORE:
        save_at(row, low, low == REGISTER_FP ? r->first.fp : r->first.ra);
        return;
    }
    switch (op) {
    case 0x00: /* nop */
        return;
    case 0x02: /* advance_loc1, 2, 4 */
    case 0x03:
    case 0x04:
        r->at += get(in, (size_t)1 << (op - 2)) * r->f->code_unit;
        return;
    case 0x05: /* offset_extended */
        reg = get_unsigned(in);
        save_at(row, reg, get_units(in, false, r->f->data_unit));
        return;
    case 0x06: /* restore_extended */
        reg = get_unsigned(in);
        save_at(row, reg, reg == REGISTER_FP ? r->first.fp : r->first.ra);
        return;
    case 0x07: /* undefined: of the return address, there is no caller */
        save_at(row, get_unsigned(in), UNDEFINED);
        return;
    case 0x08: /* same_value */
        save_at(row, get_unsigned(in), UNSAVED);
        return;
    case 0x09: /* register */
    case 0x14: /* val_offset, val_offset_sf */
    case 0x15:
        save_at(row, get_unsigned(in), LOST);
        (void)get_unsigned(in);
        return;
    case 0x0a: /* remember_state */
        if (r->nkept == sizeof r->kept / sizeof *r->kept)
            break;
        r->kept[r->nkept++] = *row;
        return;
    case 0x0b: /* restore_state */
        if (r->nkept == 0)
            break;
        *row = r->kept[--r->nkept];
        return;
    case 0x0c: /* def_cfa, def_cfa_sf */
    case 0x12:
        base_is(row, get_unsigned(in));
        row->offset = op == 0x0c ? (int64_t)get_unsigned(in) : get_units(in, true, r->f->data_unit);
        return;
    case 0x0d: /* def_cfa_register */
        base_is(row, get_unsigned(in));
        return;
    case 0x0e: /* def_cfa_offset */
        row->offset = (int64_t)get_unsigned(in);
        return;
    case 0x13: /* def_cfa_offset_sf */
        row->offset = get_units(in, true, r->f->data_unit);
        return;
    case 0x0f: /* def_cfa_expression */
        row->base = is_by_fp(in, true, &row->offset) ? FRAME_AT_FP : FRAME_UNKNOWN;
        return;
    case 0x10: /* expression */
        reg = get_unsigned(in);
        save_at(row, reg, is_by_fp(in, false, &n) && n == 0 ? AT_FP : LOST);
        return;
    case 0x16: /* val_expression */
        save_at(row, get_unsigned(in), LOST);
        (void)is_by_fp(in, false, &n);
        return;
    case 0x11: /* offset_extended_sf */
        reg = get_unsigned(in);
        save_at(row, reg, get_units(in, true, r->f->data_unit));
        return;
    case 0x2d: /* negate_ra_state: the return address is signed from here on (arm64) */
        return;
    case 0x2e: /* GNU_args_size */
        (void)get_unsigned(in);
        return;
    }
    r->has_failed = true;
}

/* Executes instructions until the row is that of `address`. */
static void run_until(struct run *r, struct input in, uintptr_t address)
{
    while (has(&in, 1) && !r->has_failed) {
        run_one(r, &in);
        if (r->at > address) /* the instruction that advanced changed nothing else */
            return;
    }
}

/* Packs a row into a rule, if it fits. */
static struct rule rule_of(const struct row *row)
{
    enum { WORD = 8 };
    const struct rule unknown = {.base = FRAME_UNKNOWN};
    if (row->ra == UNDEFINED)
        return (struct rule){.base = FRAME_OUTERMOST};
    int64_t fp = row->fp == UNDEFINED ? UNSAVED : row->fp == AT_FP ? FP_IS_AT_FP * WORD : row->fp;
    struct rule r = {.base = row->base & 15,
                     .offset_bits = (uint32_t)row->offset & 0xfffffff,
                     .fp_at = (int16_t)(fp / WORD),
                     .ra_at = (int16_t)(row->ra / WORD)};
    bool fits = rule_offset(&r) == row->offset && r.fp_at * (int64_t)WORD == fp &&
                r.ra_at * (int64_t)WORD == row->ra;
    return fits ? r : unknown;
}

struct rule cfi_read(const void *eh_frame_hdr, uintptr_t address, bool *is_covered)
{
    struct function f;
    *is_covered = find_function(eh_frame_hdr, address, &f);
    if (!*is_covered)
        return (struct rule){.base = FRAME_UNKNOWN};
    struct run r = {.f = &f, .at = f.start};
    run_until(&r, f.common, UINTPTR_MAX);
    r.first = r.row;
    run_until(&r, f.own, address);
    return r.has_failed ? (struct rule){.base = FRAME_UNKNOWN} : rule_of(&r.row);
}

bool cfi_rule(uintptr_t address, struct rule *r)
{
    struct module m;
    bool is_covered = false;
    enum module_answer answer = module_find(address, &m);
    if (answer == MODULE_FOUND && m.eh_frame != NULL)
        *r = cfi_read(m.eh_frame, address, &is_covered);
    if (!is_covered)
        *r = RULE_FRAME_POINTER;
    return answer != MODULE_NOT_NOW;
}
