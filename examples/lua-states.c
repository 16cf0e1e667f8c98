/* SPDX-License-Identifier: MIT
 *
 * lua-states.c - many Lua interpreters in one process, each in 256 KiB of its own.
 *
 *     lua-states [STATES]
 *
 * One of them asks for all it can get: it is told "not enough memory", and the others
 * do not notice. Where a state ends, its heap goes as a whole: lua_close is not called.
 */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>

#include "../include/mem_heap.h"

enum { HEAP_BYTES = 256 << 10 };

/* lua_Alloc: a size of 0 frees, and what becomes smaller must not fail. */
static void *take(void *heap, void *object, size_t old_size, size_t size)
{
    (void)old_size;
    if (size > 0)
        return mem_resize(heap, object, size);
    mem_free(heap, object);
    return NULL;
}

static const char polite[] = "local t = {}\n"
                             "for i = 1, 1000 do t[i] = 'n' .. i end\n"
                             "return #table.concat(t)\n";
static const char greedy[] = "local t = {}\n"
                             "for i = 1, math.huge do t[i] = ('x'):rep(i) end\n";

/* Is the outcome what it has to be? */
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
    struct mem_options options = {.flags = MEM_SINGLE_THREADED};
    struct {
        mem_heap *heap;
        lua_State *lua;
    } *all = calloc(nstates, sizeof *all);
    if (nstates == 0 || all == NULL)
        return 64;
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
        nright += mem_check(all[i].heap, NULL) == MEM_OK && mem_stats(all[i].heap, &s) == MEM_OK;
        peak = i != nstates / 2 && s.peak_bytes > peak ? s.peak_bytes : peak;
        mem_heap_destroy(all[i].heap);
    }
    free(all);
    printf("%zu states of %d KiB, %s; a polite one needs at most %zu KiB\n", nstates,
           HEAP_BYTES >> 10, nright == 2 * nstates ? "all right" : "NOT all right", peak >> 10);
    return nright == 2 * nstates ? 0 : 1;
}
