#!/bin/bash
# SPDX-License-Identifier: MIT
#
# build.sh - builds the explorer (explore.h) for the sources in a folder.
#
#     test/schedules/build.sh SRC FOLDER [CHANGED]
#
# leaves FOLDER/schedules. With CHANGED, a path below SRC, only what includes that file is compiled,
# and all else must be in FOLDER already.
set -eu
cd "$(dirname "$0")/../.."
src=$1 folder=$2 changed=${3-}
mkdir -p "$folder"

# The C forms of what else is assembler or of vectors, so that each step is seen. Addresses are
# those of the file, so that addr2line says where a schedule has switched or failed.
common="-std=c11 -D_GNU_SOURCE -Wall -Wextra -Wno-tsan -g -fno-pie
    -Iinclude -I$src -Itest/schedules"
explored="-O1 -fsanitize=thread -U__SANITIZE_THREAD__ -U__GCC_ASM_FLAG_OUTPUTS__ -U__SSE2__
    -include thread_pointer.h
    -Dmemmove=explore_memmove -Dmemcpy=explore_memmove -Dmemset=explore_memset"
# What explore.c has in place of functions of src: the system, and how a thread waits.
wrapped=(os_thread_id os_thread_is_gone os_barrier os_barrier_open os_pause os_wait os_wake
    lock_wait lookup_pause)

compile() { # file flags
    local object
    object=$folder/$(basename "$(dirname "$1")")-$(basename "$1" .c).o
    if [ -z "$changed" ] || grep -q "/$changed\b" "${object%.o}.d"; then
        # shellcheck disable=SC2086
        gcc $common $2 -MMD -c "$1" -o "$object"
    fi
}

for file in "$src"/{base,ledger,slots,core}/*.c "$src"/heaps/{registry,readers}.c \
    test/schedules/{slots,readers,lock}.c; do
    while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do wait -n; done
    if [ "$file" != "$src"/base/os.c ]; then compile "$file" "$explored" & fi
done
compile "$src"/base/os.c -O1
compile test/schedules/explore.c -O2 &
compile test/schedules/memory.c -O2
while [ -n "$(jobs -rp)" ]; do wait -n; done
gcc -no-pie -o "$folder/schedules" "$folder"/*.o "${wrapped[@]/#/-Wl,--wrap=}"
