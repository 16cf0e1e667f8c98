// SPDX-License-Identifier: MIT
//
// Checks the C++ operators: std::bad_alloc, new handlers, alignment [M1, M2].
//
// new(nothrow) calls the new handler as new does, and returns NULL if that throws anything
// (C++17, 21.6.2.1).
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <string>
#include <vector>

static int ntests;
static int handled;

static void check(bool ok, const char *what)
{
    std::printf("%sok %d - %s\n", ok ? "" : "not ", ++ntests, what);
}

static std::size_t too_much()
{
    static volatile std::size_t n = PTRDIFF_MAX;
    return n;
}

struct alignas(256) Aligned {
    char bytes[300];
};

template <class F> static bool throws(F call)
{
    try {
        call();
    } catch (const std::bad_alloc &) {
        return true;
    }
    return false;
}

static void give_up()
{
    if (++handled == 3) {
        std::set_new_handler(nullptr);
    }
}

static void throw_it()
{
    throw std::bad_alloc();
}

static void throw_a_number()
{
    handled++;
    throw 5;
}

static bool nothrow_is_null()
{
    return ::operator new(too_much(), std::nothrow) ==
           nullptr && ::operator new[](too_much(), std::nothrow) ==
           nullptr && ::operator new(too_much(), std::align_val_t(64), std::nothrow) ==
           nullptr && ::operator new[](too_much(), std::align_val_t(64), std::nothrow) == nullptr;
}

// Of two objects that do not fit beside each other, the handler frees the first.
static void *room;
static void make_room()
{
    std::free(room);
    room = nullptr;
    std::set_new_handler(nullptr);
}

// Finds a size of which the heap has room for one object, and not for two.
static bool takes_all_room()
{
    std::size_t n = std::size_t(1) << 40;
    while ((room = std::malloc(n)) == nullptr) {
        n /= 2;
    }
    std::set_new_handler(make_room);
    void *p = ::operator new(n, std::nothrow), *q = ::operator new(n, std::nothrow);
    bool ok = (p != nullptr || q != nullptr) && room == nullptr;
    ::operator delete(p);
    ::operator delete(q);
    return ok;
}

int main()
{
    check(throws([] { ::operator delete(::operator new(too_much())); }), "new throws bad_alloc");
    check(throws([] { ::operator delete[](::operator new[](too_much())); }), "so does new[]");
    check(throws([] { ::operator delete(::operator new(too_much(), std::align_val_t(64))); }),
          "and aligned new");
    check(::operator new(too_much(), std::nothrow) == nullptr, "new(nothrow) is NULL");
    check(::operator new[](too_much(), std::align_val_t(64), std::nothrow) == nullptr,
          "aligned, too");
    std::set_new_handler(give_up);
    check(throws([] { ::operator delete(::operator new(too_much())); }) && handled == 3,
          "the new handler is called until there is none");
    std::set_new_handler(throw_it);
    check(throws([] { ::operator delete(::operator new(too_much())); }), "it may throw");
    check(::operator new(too_much(), std::nothrow) == nullptr, "but not out of new(nothrow)");
    std::set_new_handler(throw_a_number);
    handled = 0;
    check(nothrow_is_null() && handled == 4, "each new(nothrow) calls the handler");
    std::set_new_handler(give_up);
    handled = 0;
    check(nothrow_is_null() && handled == 3, "the handler is called until there is none");
    check(takes_all_room(), "new(nothrow) succeeds when the handler has made room");
    std::set_new_handler(nullptr);
    Aligned *one = new Aligned, *many = new Aligned[3];
    check(reinterpret_cast<std::uintptr_t>(one) % 256 == 0 &&
              reinterpret_cast<std::uintptr_t>(many) % 256 == 0,
          "objects that want alignment get it");
    delete one;
    delete[] many;
    std::vector<std::string> words;
    for (int i = 0; i < 100000; i++) {
        words.push_back("a word that is longer than a string can hold in place " +
                        std::to_string(i));
    }
    check(words[99999].back() == '9', "the library's containers");
    bool all = true;
    for (int i = 0; i < 100; i++) {
        void *single = ::operator new(24, std::nothrow),
             *array = ::operator new[](40, std::nothrow);
        void *thrower = ::operator new[](24);
        all = all && single != nullptr && array != nullptr && single != array && thrower != single;
        ::operator delete(single, std::nothrow);
        ::operator delete[](array, std::nothrow);
        ::operator delete[](thrower);
    }
    check(all, "each form of new, again and again");
    void *nothing = ::operator new(0);
    check(nothing != nullptr, "new of no byte");
    ::operator delete(nothing, std::size_t(0));
    std::printf("1..%d\n", ntests);
}
