/* SPDX-License-Identifier: MIT
 *
 * options.c - what all fuzz targets want of AddressSanitizer.
 */
const char *__asan_default_options(void);

/* allow_user_poisoning=0: the library poisons nothing (base/poison.h), since the targets copy heaps
 * as they are and look at what was freed; test/poison.sh tests poisoning.
 * quarantine_size_mb: what was freed is kept for a while, but not so much that it hides what the
 * tool takes, or that each input meets fresh pages.
 * allocator_may_return_null: a program that asks for too much ends with its own message.
 * malloc_context_size: no stack is walked for each object. ASAN_OPTIONS=malloc_context_size=30
 * brings the stacks back when a failure is run again. */
const char *__asan_default_options(void)
{
    return "allow_user_poisoning=0:quarantine_size_mb=4:allocator_may_return_null=1:"
           "malloc_context_size=1";
}
