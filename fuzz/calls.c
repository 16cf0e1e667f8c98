/* SPDX-License-Identifier: MIT
 *
 * calls.c - fuzz target: bytes choose calls of mem_heap.h, with all options, on up to three heaps
 * of at most 4 MiB. The list of test/model/heaps.c says what each call must return; if one differs,
 * the process ends.
 */
#include "draw.h"
#include "heaps.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { CALLS_MAX = 20000, HEAPS = 3, SMALLEST = 12, LARGEST = 22 };
    draw_from_bytes(data, size);
    int nheaps = 1 + (int)draw(HEAPS);
    heaps_run(CALLS_MAX, nheaps, SMALLEST + draw(LARGEST - SMALLEST + 1));
    return 0;
}
