#!/bin/bash
# SPDX-License-Identifier: MIT
#
# cmake.sh - checks that a project of ten lines for CMake builds with libmem: with what
# `make install` installs, wherever that was moved to, and with this tree as a part of the project.
# The names of the folders contain spaces. Prints TAP.
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
command -v cmake >/dev/null || { echo '1..0 # SKIP cmake is not installed'; exit 0; }
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
unset MAKEFLAGS MFLAGS
ntests=0

result() { # status what
    ntests=$((ntests + 1))
    if [ "$1" -eq 0 ]; then echo "ok $ntests - $2"; return; fi
    echo "not ok $ntests - $2"
    [ ! -s "$work/log" ] || tail -n 20 "$work/log" | sed 's/^/# /'
}

mkdir "$work/a project"
cat >"$work/a project/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.13)
project(ten_lines C)
if(TREE)
    add_subdirectory("${TREE}" libmem)
else()
    find_package(libmem ${ASKED} REQUIRED)
endif()
foreach(target mem mem_static malloc)
    add_executable(${target} ${target}.c)
    target_link_libraries(${target} PRIVATE libmem::${target})
endforeach()
END
cat >"$work/a project/mem.c" <<'END'
#include <mem.h>
#include <mem_heap.h>

int main(void)
{
    char *p = Mem_Init(4096) == 0 ? Mem_Alloc(100, FF) : 0;
    mem_heap *heap = mem_heap_create(1, NULL);
    return p != 0 && Mem_Free(p + 99) == 0 && mem_heap_destroy(heap) == MEM_OK ? 0 : 1;
}
END
cp "$work/a project/mem.c" "$work/a project/mem_static.c"
# This program calls no function of malloc by itself.
cat >"$work/a project/malloc.c" <<'END'
int main(void)
{
    return 0;
}
END

configure() { # folder argument...
    cmake -S "$work/a project" -B "$@" >"$work/log" 2>&1
}

build() { # folder
    cmake --build "$1" >"$work/log" 2>&1
}

# Checks the three programs that CMake has built in a folder, and what they are linked to.
works() { # folder how
    "$1/mem" && readelf -d "$1/mem" | grep -q 'NEEDED.*\[libmem\.so\.1\]'
    result $? "$2: libmem::mem gives a program libmem.so.1"
    "$1/mem_static" && ! readelf -d "$1/mem_static" | grep -q 'NEEDED.*libmem'
    result $? "$2: libmem::mem_static makes it a part of the program"
    LIBMEM=help "$1/malloc" 2>&1 | grep -q '^libmem: LIBMEM=' &&
        readelf -d "$1/malloc" | grep -q 'NEEDED.*\[libmem-malloc\.so\]'
    result $? "$2: libmem::malloc gives a program libmem-malloc.so"
}

# --- installed, and moved ---------------------------------------------------------------

make -s -C "$root" install DESTDIR="$work/a stage" PREFIX='/usr/my own' >"$work/log" 2>&1 &&
    mv "$work/a stage/usr/my own" "$work/moved here"
result $? 'make install'
configure "$work/found" -DCMAKE_PREFIX_PATH="$work/moved here" && build "$work/found"
result $? 'find_package: a project of ten lines builds at the first try'
works "$work/found" find_package

version=$(sed -n 's/^VERSION := //p' "$root/Makefile")
series=${version%.*}
found() { # version: whether find_package takes what is installed for it
    configure "$work/asked" -DCMAKE_PREFIX_PATH="$work/moved here" -DASKED="$1"
}
found "$version" && found "$series"
result $? "find_package: this is libmem $version, and libmem $series"
! found "$series.99" && grep -q "version: $version" "$work/log"
result $? "find_package: this is not libmem $series.99"
! found "$((${series%.*} + 1)).0" && ! found "${series%.*}.$((${series#*.} - 1))"
result $? 'find_package: and not libmem of another series'

# --- a part of the project --------------------------------------------------------------

# Many projects define _FILE_OFFSET_BITS for all their parts.
ln -s "$root" "$work/a tree"
configure "$work/added" -DTREE="$work/a tree" -DCMAKE_C_FLAGS=-D_FILE_OFFSET_BITS=64 &&
    build "$work/added"
result $? 'add_subdirectory: a project of ten lines builds at the first try'
works "$work/added" add_subdirectory
[ -e "$work/added/libmem/libmem.so.$version" ]
result $? 'add_subdirectory: libmem.so has the version that the Makefile says'
echo "1..$ntests"
