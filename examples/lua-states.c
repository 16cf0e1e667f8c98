/* SPDX-License-Identifier: MIT
 *
 * lua-states.c - shows how to limit the memory of each script: many Lua interpreters in one
 * process, each with a heap of 256 KiB of its own. It needs liblua5.4-dev.
 *
 *     make build/examples/lua-states
 *     LD_LIBRARY_PATH=build build/examples/lua-states [STATES]
 *
 * A Lua state allocates with the function that it was given, so each state can have a heap
 * of its own. One of the scripts builds a table without end. When its heap is full, Lua
 * raises the error "not enough memory" in that script, and the other scripts go on.
 *
 * A heap of one's own also makes the end simple: mem_heap_destroy frees all that a state has
 * allocated, and lua_close need not be called.
 */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>

#include "../include/mem_heap.h"

enum { HEAP_BYTES = 256 << 10 };

/* The allocation function of a state, of the type lua_Alloc. Lua wants one function that
 * allocates (object is NULL), resizes, and frees (size is 0). Lua assumes that an object can
 * always be made smaller: if mem_resize finds no place for it, the object stays as it is. */
static void *take(void *heap, void *object, size_t old_size, size_t size)
{
    if (size == 0) {
        mem_free(heap, object);
        return NULL;
    }
    void *resized = mem_resize(heap, object, size);
    bool is_smaller = object != NULL && size <= old_size;
    return resized == NULL && is_smaller ? object : resized;
}

/* Returns the length of "n1n2n3...n1000", which is 3893. */
static const char polite[] = "local t = {}\n"
                             "for i = 1, 1000 do t[i] = 'n' .. i end\n"
                             "return #table.concat(t)\n";
/* Never ends by itself. */
static const char greedy[] = "local t = {}\n"
                             "for i = 1, math.huge do t[i] = ('x'):rep(i) end\n";

/* Runs a script in the state. Returns whether it ended as it must: the greedy one with an
 * error, the polite one with the right result. */
static bool run(lua_State *lua, bool is_greedy)
{
    int status = luaL_dostring(lua, is_greedy ? greedy : polite);
    if (is_greedy) {
        printf("greedy state: %s\n", lua_tostring(lua, -1));
        return status != LUA_OK;
    }
    return status == LUA_OK && lua_tointeger(lua, -1) == 3893;
}

int main(int argc, char **argv)
{
    size_t nstates = argc > 1 ? strtoul(argv[1], NULL, 10) : 100, nright = 0, peak = 0;
    /* Without a lock: only one thread uses these heaps. */
    struct mem_options options = {.flags = MEM_SINGLE_THREADED};
    struct {
        mem_heap *heap;
        lua_State *lua;
    } *all = calloc(nstates, sizeof *all);
    if (nstates == 0 || all == NULL) {
        fprintf(stderr, "usage: lua-states [STATES]\n");
        return 64;
    }
    for (size_t i = 0; i < nstates; i++) {
        all[i].heap = mem_heap_create(HEAP_BYTES, &options);
        all[i].lua = all[i].heap == NULL ? NULL : lua_newstate(take, all[i].heap);
        if (all[i].lua == NULL) {
            fprintf(stderr, "lua-states: state %zu: %s\n", i, mem_strerror(mem_last_error()));
            return 1;
        }
        luaL_openlibs(all[i].lua);
    }
    for (size_t i = 0; i < nstates; i++)
        nright += run(all[i].lua, i == nstates / 2);
    for (size_t i = 0; i < nstates; i++) {
        struct mem_statistics s;
        /* The peak is that of the polite states; the greedy one has filled its heap. */
        nright += mem_check(all[i].heap, NULL) == MEM_OK && mem_stats(all[i].heap, &s) == MEM_OK;
        peak = i != nstates / 2 && s.peak_bytes > peak ? s.peak_bytes : peak;
        mem_heap_destroy(all[i].heap);
    }
    free(all);
    printf("%zu state%s of %d KiB, %s; a polite one needs at most %zu KiB\n", nstates,
           nstates == 1 ? "" : "s", HEAP_BYTES >> 10,
           nright == 2 * nstates ? "all right" : "NOT all right", peak >> 10);
    return nright == 2 * nstates ? 0 : 1;
}
