/* SPDX-License-Identifier: MIT
 *
 * pmr-bounded.cpp - shows how to give the containers of C++17 a fixed amount of memory: a map
 * of names and their page numbers lives in a static array, and may use 100,000 bytes of it.
 *
 *     make build/examples/pmr-bounded
 *     LD_LIBRARY_PATH=build build/examples/pmr-bounded
 *
 * mem::resource is a std::pmr::memory_resource on a heap of mem_heap.h, so that each container
 * of std::pmr, and each string in it, allocates there. The map grows until the heap refuses:
 * the map throws std::bad_alloc and is what it was before, mem_last_error() has the reason,
 * and mem_walk visits what the map holds.
 */
#include <cstdio>
#include <map>
#include <memory_resource>
#include <new>
#include <string>
#include <vector>

#include "../include/mem.hpp"

static constexpr std::size_t array_bytes = 256 << 10, limit = 100000;
alignas(16) static char array[array_bytes];

using index_of_names = std::pmr::map<std::pmr::string, std::pmr::vector<int>>;

struct tally {
    std::size_t objects, bytes;
};

/* A visitor of mem_walk: counts the live objects. */
static bool count(const mem_piece *piece, void *context)
{
    tally *t = static_cast<tally *>(context);
    t->objects += piece->live;
    t->bytes += piece->live ? piece->size : 0;
    return true;
}

static tally walk(mem_heap *heap)
{
    tally t = {0, 0};
    if (mem_walk(heap, count, &t) != MEM_OK)
        std::puts("the walk failed");
    return t;
}

/* Adds names until there is no memory for one more. Returns how many insertions succeeded. */
static std::size_t fill(index_of_names &pages)
{
    std::size_t n = 0;
    try {
        for (;; n++)
            pages["a name that is long, number " + std::pmr::string(std::to_string(n))].assign(3,
                                                                                               7);
    } catch (const std::bad_alloc &) {
        std::printf("std::bad_alloc: %s\n", mem_strerror(mem_last_error()));
    }
    return n;
}

int main()
{
    mem_options options = {};
    options.limit = limit;
    mem_heap *heap = mem_heap_in(array, array_bytes, &options);
    if (heap == nullptr)
        return 1;
    mem::resource resource(heap);
    {
        index_of_names pages(&resource);
        std::size_t n = fill(pages);
        std::printf("%zu names are complete\n", n);
        tally t = walk(heap);
        std::printf("%zu live objects of %zu bytes in all, and the limit is %zu\n", t.objects,
                    t.bytes, limit);

        mem_piece found; /* the first name's characters, found from one in the middle */
        const char *inside = pages.begin()->first.data() + 12;
        if (mem_find(inside, &found) == MEM_OK && found.heap == heap)
            std::printf("\"%s\" is in an object of %zu bytes\n", inside, found.size);
    }
    std::printf("after the map has gone: %zu live objects\n", walk(heap).objects);
    return mem_heap_destroy(heap) == MEM_OK ? 0 : 1;
}
