/* SPDX-License-Identifier: MIT
 *
 * containers.cpp - checks C++ containers on separate heaps (mem.hpp). Prints TAP.
 */
#include <cstdint>
#include <cstdio>
#include <list>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "../include/mem.hpp"

static int ntests, nfailed;

static void result(bool ok, const char *what)
{
    nfailed += !ok;
    std::printf("%s %d - %s\n", ok ? "ok" : "not ok", ++ntests, what);
}

static std::size_t live(mem_heap *heap)
{
    mem_statistics s;
    return mem_stats(heap, &s) == MEM_OK && mem_check(heap, nullptr) == MEM_OK ? s.live_objects
                                                                               : SIZE_MAX;
}

template <class T> using vector = std::vector<T, mem::allocator<T>>;

static void with_allocator(mem_heap *heap, mem_heap *other)
{
    using words = std::map<int, int, std::less<int>, mem::allocator<std::pair<const int, int>>>;
    {
        words m{mem::allocator<std::pair<const int, int>>{heap}};
        for (int i = 0; i < 100; i++)
            m[i] = i * i;
        result(m[99] == 99 * 99 && live(heap) == 100, "a map lies in its heap");
        vector<int> v{mem::allocator<int>{heap}}, w{mem::allocator<int>{other}};
        v.assign(500, 7);
        w.assign(100, 8);
        mem_piece found;
        result(mem_find_in(other, w.data(), &found) == MEM_OK && found.live &&
                   mem_find_in(heap, w.data(), &found) == MEM_NOT_OURS,
               "each in its own");
        std::swap(v, w);
        v = std::move(w);
        result(v.size() == 500 && v[499] == 7 && live(other) == 0, "heaps go along with a move");
    }
    result(live(heap) == 0, "all was freed");
}

static void refusals(mem_heap *heap)
{
    vector<long> v{mem::allocator<long>{heap}};
    bool thrown = false, overflown = false;
    try {
        for (;;)
            v.push_back(1);
    } catch (const std::bad_alloc &) {
        thrown = true;
    }
    try {
        mem::allocator<long>{heap}.allocate(SIZE_MAX / sizeof(long) + 2);
    } catch (const std::bad_alloc &) {
        overflown = true;
    }
    result(thrown && overflown && !v.empty(), "what the heap refuses is bad_alloc");
}

static void with_resource(mem_heap *heap, mem_heap *other)
{
    struct alignas(256) wide {
        char c[256];
    };
    mem::resource r(heap), same(heap), another(other);
    {
        std::pmr::list<std::pmr::string> l(&r);
        for (int i = 0; i < 50; i++)
            l.emplace_back(std::string(100, 'x'));
        std::pmr::vector<wide> w(3, &r);
        result(reinterpret_cast<std::uintptr_t>(w.data()) % 256 == 0, "aligned as asked for");
        result(live(heap) == 101, "a list of strings, with all its strings");
        result(r == same && !(r == another) && !(r == *std::pmr::new_delete_resource()),
               "equal if the heap is");
    }
    result(live(heap) == 0, "all was freed");
}

int main()
{
    mem_heap *heap = mem_heap_create(64 << 10, nullptr), *other = mem_heap_create(1, nullptr);
    with_allocator(heap, other);
    refusals(heap);
    with_resource(heap, other);
    result(mem_heap_destroy(heap) == MEM_OK && mem_heap_destroy(other) == MEM_OK, "the end");
    std::printf("1..%d\n", ntests);
    return nfailed != 0;
}
