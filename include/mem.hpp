/* SPDX-License-Identifier: MIT
 *
 * mem.hpp - the heaps of mem_heap.h for the containers of C++.
 *
 *     mem_heap *heap = mem_heap_create(1 << 20, nullptr);
 *     {
 *         std::vector<int, mem::allocator<int>> v(mem::allocator<int>{heap});
 *         mem::resource resource(heap);                       // from C++17 on
 *         std::pmr::map<int, std::pmr::string> m(&resource);
 *     }
 *     mem_heap_destroy(heap);
 *
 * mem::allocator is for containers that are given an allocator, and mem::resource for those of
 * std::pmr. Both only point to the heap: it must outlive them and all that was allocated through
 * them, and the caller destroys it. An allocation that the heap refuses throws std::bad_alloc, and
 * mem_last_error() says why. Threads may use them as they may use the heap [H11 of mem_heap.h].
 */
#ifndef MEM_HPP
#define MEM_HPP

#include <cstddef>
#include <new>
#include <type_traits>

#if __cplusplus >= 201703L
#include <memory_resource>
#endif

#include "mem_heap.h"

namespace mem
{

/* Returns a new object of nbytes at a multiple of align, a power of two. The caller frees it with
 * mem_free. Never returns null: throws std::bad_alloc if mem_aligned fails. */
inline void *take(mem_heap *heap, std::size_t nbytes, std::size_t align)
{
    void *object = mem_aligned(heap, nbytes, align);
    if (object == nullptr)
        throw std::bad_alloc();
    return object;
}

/* An allocator on a heap, for containers that are given an allocator. Two allocators are equal if
 * they have one heap. A container that is moved or swapped takes its allocator along, and a
 * container that is assigned a copy keeps its own. */
template <class T> class allocator
{
  public:
    using value_type = T;
    using propagate_on_container_move_assignment = std::true_type;
    using propagate_on_container_swap = std::true_type;

    explicit allocator(mem_heap *h) noexcept : heap_(h)
    {
    }
    template <class U> allocator(const allocator<U> &other) noexcept : heap_(other.heap())
    {
    }

    /* Returns uninitialised memory for n objects. Throws std::bad_alloc if the heap refuses, or if
     * the size does not fit into a size_t. */
    T *allocate(std::size_t n)
    {
        if (n > static_cast<std::size_t>(-1) / sizeof(T))
            throw std::bad_alloc();
        return static_cast<T *>(take(heap_, n * sizeof(T), alignof(T)));
    }

    /* Frees what allocate has returned. Any other address is refused, as mem_free refuses it: the
     * heap does not change, and only its callback on_refused is told. */
    void deallocate(T *object, std::size_t) noexcept
    {
        mem_free(heap_, object);
    }

    mem_heap *heap() const noexcept
    {
        return heap_;
    }

  private:
    mem_heap *heap_;
};

template <class T, class U> bool operator==(const allocator<T> &a, const allocator<U> &b) noexcept
{
    return a.heap() == b.heap();
}

template <class T, class U> bool operator!=(const allocator<T> &a, const allocator<U> &b) noexcept
{
    return !(a == b);
}

#if __cplusplus >= 201703L
/* A memory resource on a heap, for the containers of std::pmr. Two resources are equal if they have
 * one heap. */
class resource : public std::pmr::memory_resource
{
  public:
    explicit resource(mem_heap *h) noexcept : heap_(h)
    {
    }

    mem_heap *heap() const noexcept
    {
        return heap_;
    }

  private:
    void *do_allocate(std::size_t nbytes, std::size_t align) override
    {
        return take(heap_, nbytes, align);
    }

    void do_deallocate(void *object, std::size_t, std::size_t) override
    {
        mem_free(heap_, object);
    }

    bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override
    {
        const resource *that = dynamic_cast<const resource *>(&other);
        return that != nullptr && that->heap_ == heap_;
    }

    mem_heap *heap_;
};
#endif

} // namespace mem
#endif
