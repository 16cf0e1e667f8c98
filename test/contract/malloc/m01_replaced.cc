// SPDX-License-Identifier: MIT
//
// Checks that in a program which replaces four C++ operators all others call these [M1]: those of
// single objects, which the ones of arrays call; or, with ARRAYS, only those of arrays.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <new>

static int ntests;
static long nnew, ndelete, nnew_aligned, ndelete_aligned;

// Their objects begin BEFORE bytes behind the start of a heap object, so free would refuse the
// address.
enum { BEFORE = 64 };

#ifdef ARRAYS
#define NEW    operator new[]
#define DELETE operator delete[]
enum { SINGLE = 0 }; // calls of the program's own for a single object
#else
#define NEW    operator new
#define DELETE operator delete
enum { SINGLE = 1 };
#endif

void *NEW(std::size_t n)
{
    nnew++;
    char *p = static_cast<char *>(std::malloc(n + BEFORE));
    if (p == nullptr) {
        throw std::bad_alloc();
    }
    return p + BEFORE;
}

void DELETE(void *p) noexcept
{
    ndelete++;
    std::free(static_cast<char *>(p) - BEFORE);
}

void *NEW(std::size_t n, std::align_val_t align)
{
    nnew_aligned++;
    void *p =
        std::aligned_alloc(static_cast<std::size_t>(align), n + static_cast<std::size_t>(align));
    return static_cast<char *>(p) + static_cast<std::size_t>(align);
}

void DELETE(void *p, std::align_val_t align) noexcept
{
    ndelete_aligned++;
    std::free(static_cast<char *>(p) - static_cast<std::size_t>(align));
}

static void check(bool ok, const char *what)
{
    std::printf("%sok %d - %s\n", ok ? "" : "not ", ++ntests, what);
}

static bool went(long news, long deletes, long aligned_news, long aligned_deletes)
{
    bool so = nnew == news && ndelete == deletes && nnew_aligned == aligned_news &&
              ndelete_aligned == aligned_deletes;
    nnew = ndelete = nnew_aligned = ndelete_aligned = 0;
    return so;
}

int main()
{
    const std::align_val_t align{64};
    std::size_t n = 48;
    went(0, 0, 0, 0); // Ignores what was counted before main.
    ::operator delete(::operator new(n));
    check(went(SINGLE, SINGLE, 0, 0), "new and delete");
    ::operator delete(::operator new(n), n);
    check(went(SINGLE, SINGLE, 0, 0), "delete with a size");
    ::operator delete[](::operator new[](n));
    check(went(1, 1, 0, 0), "new[] and delete[]");
    ::operator delete[](::operator new[](n), n);
    check(went(1, 1, 0, 0), "delete[] with a size");
    ::operator delete(::operator new(n, std::nothrow), std::nothrow);
    check(went(SINGLE, SINGLE, 0, 0), "nothrow");
    ::operator delete[](::operator new[](n, std::nothrow), std::nothrow);
    check(went(1, 1, 0, 0), "nothrow, of arrays");
    ::operator delete(::operator new(n, align), align);
    check(went(0, 0, SINGLE, SINGLE), "aligned");
    ::operator delete(::operator new(n, align), n, align);
    check(went(0, 0, SINGLE, SINGLE), "aligned, with a size");
    ::operator delete[](::operator new[](n, align), align);
    check(went(0, 0, 1, 1), "aligned, of arrays");
    ::operator delete[](::operator new[](n, align), n, align);
    check(went(0, 0, 1, 1), "aligned, of arrays, with a size");
    ::operator delete(::operator new(n, align, std::nothrow), align, std::nothrow);
    check(went(0, 0, SINGLE, SINGLE), "aligned, nothrow");
    ::operator delete[](::operator new[](n, align, std::nothrow), align, std::nothrow);
    check(went(0, 0, 1, 1), "aligned, nothrow, of arrays");
    volatile std::size_t too_much = PTRDIFF_MAX - 64;
    bool null = ::operator new(too_much, std::nothrow) == nullptr;
    null = ::operator new[](too_much, std::nothrow) == nullptr &&null;
    check(null && went(1 + SINGLE, 0, 0, 0), "nothrow is NULL if the program's own new throws");
    std::printf("1..%d\n", ntests);
}
