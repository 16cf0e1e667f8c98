/* SPDX-License-Identifier: MIT
 *
 * copy.c - looks at what copies read and write: see copy.h.
 */
#include "malloc/copy.h"

#include "base/probe.h"
#include "core/lookup.h"
#include "malloc/hard.h"
#include "malloc/redirect.h"
#include "malloc/report.h"
#include "malloc/shim.h"
#include "malloc/start.h"

/* --- looking -------------------------------------------------------------------- */

/* What an address is that a copy begins at. */
struct place {
    enum heap_result what; /* HEAP_NOT_OURS also if that is not known */
    struct object object;  /* that it is in, or whose slack; a start of NULL: in none */
    size_t left;           /* how many bytes of that object there are from the address on */
};

/* An object of no byte that has more room than a granule was freed, and is in quarantine [HA1]. */
static struct place look(const void *address)
{
    enum { TRIES = 8 };
    struct lookup_result p;
    enum heap_result what = HEAP_CHANGING;
    for (int i = 0; i < TRIES && what == HEAP_CHANGING; i++)
        what = lookup_heap(&shim_heap, address, &p);
    if (what != HEAP_OK && what != HEAP_FREE && what != HEAP_NO_OBJECT)
        return (struct place){.what = HEAP_NOT_OURS};
    if (what == HEAP_FREE || p.start == NULL)
        return (struct place){.what = what};
    if (p.size == 0 && p.room > GRANULE_BYTES && (hard_measures & MEASURE_QUARANTINE) != 0)
        return (struct place){.what = HEAP_FREE};
    size_t into = (size_t)((uintptr_t)address - (uintptr_t)p.start);
    return (struct place){what, {p.start, p.size}, into < p.size ? p.size - into : 0};
}

__attribute__((noinline, cold)) static void
refuse(const char *call, bool writes, const void *address, size_t nbytes, const struct place *place)
{
    PROBE_REFUSED(address);
    if (shim_options.onerror == ONERROR_IGNORE)
        return;
    report_copy(call, writes, address, nbytes, place->what == HEAP_FREE, &place->object);
    shim_reported(address);
}

static bool is_ours(const void *address)
{
    const struct region *r = &shim_heap.chunks.region;
    return region_offset(r, address) < r->nbytes;
}

/* Looks at nbytes that `call` is about to read or to write. */
static void look_at(const char *call, bool writes, const void *address, size_t nbytes)
{
    if (nbytes == 0 || !is_ours(address))
        return;
    struct place place = look(address);
    if (place.what != HEAP_NOT_OURS && nbytes > place.left)
        refuse(call, writes, address, nbytes, &place);
}

/* Looks at a string that `call` is about to read. Returns how many bytes it has, with its end. */
static size_t look_at_string(const char *call, const char *string)
{
    if (is_ours(string)) {
        struct place place = look(string);
        if (place.what != HEAP_NOT_OURS && strnlen(string, place.left) == place.left)
            refuse(call, false, string, place.left + 1, &place);
    }
    return strlen(string) + 1;
}

static void look_at_both(const char *call, const void *to, const void *from, size_t nbytes)
{
    look_at(call, false, from, nbytes);
    look_at(call, true, to, nbytes);
}

/* --- the functions ---------------------------------------------------------------- */

/* With -D_FORTIFY_SOURCE gcc and clang call NAME_chk instead of NAME, with the number of bytes that
 * the destination has at most. Nothing here calls libc's NAME_chk: at each program's start the
 * dynamic linker would ask libc which code some of them are, and those answers lie in pages of libc
 * that few programs touch otherwise. libc calls this one when the bytes are too many. */
__attribute__((noreturn)) void __chk_fail(void);

static void check_most(size_t nbytes, size_t most)
{
    if (nbytes > most)
        __chk_fail();
}

/* Defines copy_NAME and copy_NAME_chk for functions with the arguments of memcpy; `real` does what
 * NAME does. */
#define LIKE_MEMCPY(name, real)                                                                    \
    static void *copy_##name##_chk(void *to, const void *from, size_t nbytes, size_t most)         \
    {                                                                                              \
        look_at_both(#name, to, from, nbytes);                                                     \
        check_most(nbytes, most);                                                                  \
        return real(to, from, nbytes);                                                             \
    }                                                                                              \
    static void *copy_##name(void *to, const void *from, size_t nbytes)                            \
    {                                                                                              \
        return copy_##name##_chk(to, from, nbytes, SIZE_MAX);                                      \
    }

/* Likewise with those of strcpy. */
#define LIKE_STRCPY(name)                                                                          \
    static char *copy_##name##_chk(char *to, const char *from, size_t most)                        \
    {                                                                                              \
        size_t nbytes = look_at_string(#name, from);                                               \
        look_at(#name, true, to, nbytes);                                                          \
        check_most(nbytes, most);                                                                  \
        return name(to, from);                                                                     \
    }                                                                                              \
    static char *copy_##name(char *to, const char *from)                                           \
    {                                                                                              \
        return copy_##name##_chk(to, from, SIZE_MAX);                                              \
    }

/* Old programs call a memcpy (GLIBC_2.2.5) that may overlap. */
LIKE_MEMCPY(memcpy, memmove)
LIKE_MEMCPY(memmove, memmove)
LIKE_MEMCPY(mempcpy, mempcpy)
LIKE_STRCPY(strcpy)
LIKE_STRCPY(stpcpy)

static void *copy_memset_chk(void *to, int byte, size_t nbytes, size_t most)
{
    look_at("memset", true, to, nbytes);
    check_most(nbytes, most);
    return memset(to, byte, nbytes);
}

static void *copy_memset(void *to, int byte, size_t nbytes)
{
    return copy_memset_chk(to, byte, nbytes, SIZE_MAX);
}

static char *copy_strcat_chk(char *to, const char *from, size_t most)
{
    size_t nbytes = look_at_string("strcat", to) - 1 + look_at_string("strcat", from);
    look_at("strcat", true, to, nbytes);
    check_most(nbytes, most);
    return strcat(to, from);
}

static char *copy_strcat(char *to, const char *from)
{
    return copy_strcat_chk(to, from, SIZE_MAX);
}

/* It reads the string's end, too, unless nbytes come before that. */
static char *copy_strncpy_chk(char *to, const char *from, size_t nbytes, size_t most)
{
    size_t length = strnlen(from, nbytes);
    look_at("strncpy", false, from, length < nbytes ? length + 1 : nbytes);
    look_at("strncpy", true, to, nbytes);
    check_most(nbytes, most);
    return strncpy(to, from, nbytes);
}

static char *copy_strncpy(char *to, const char *from, size_t nbytes)
{
    return copy_strncpy_chk(to, from, nbytes, SIZE_MAX);
}

void copy_open(void)
{
#define BOTH(name)                                                                                 \
    {#name, (void (*)(void))copy_##name},                                                          \
    {                                                                                              \
        "__" #name "_chk", (void (*)(void))copy_##name##_chk                                       \
    }
    static const struct redirect table[] = {BOTH(memcpy), BOTH(memmove), BOTH(mempcpy),
                                            BOTH(memset), BOTH(strcpy),  BOTH(stpcpy),
                                            BOTH(strcat), BOTH(strncpy), {NULL, NULL}};
#undef BOTH
    redirect_calls(table);
}
