#!/bin/bash
# SPDX-License-Identifier: MIT
#
# deb.sh - checks the Debian packages: that `make deb` builds them, that lintian has nothing to say,
# and that what they install is enough to build programs and to run the tool. Prints TAP.
#
# They are unpacked into a folder, so that nothing is installed in this machine.
set -u
export LC_ALL=C
cd "$(dirname "$0")/.." || exit 1
for tool in dpkg-buildpackage dh lintian; do
    command -v $tool >/dev/null && continue
    echo "1..0 # SKIP $tool is not installed"
    exit 0
done
packages=$PWD/build/deb
multiarch=$(dpkg-architecture -qDEB_HOST_MULTIARCH)
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
root=$work/root libraries=$work/root/usr/lib/$multiarch
words=() ntests=0

result() { # status what
    ntests=$((ntests + 1))
    if [ "$1" -eq 0 ]; then echo "ok $ntests - $2"; return; fi
    echo "not ok $ntests - $2"
    [ ! -s "$work/log" ] || tail -n 20 "$work/log" | sed 's/^/# /'
}

# --- the folder debian ------------------------------------------------------------------

version=$(sed -n 's/^VERSION := //p' Makefile)
dpkg-parsechangelog -S Version | grep -qE "^$version-[0-9]+\$"
result $? "debian/changelog has version $version of the Makefile"
sed -n '5,$p' LICENSE | diff - <(sed '1,/^License: .*/d' debian/copyright |
    sed -n '/^License: /,$p' | sed '1d; s/^ \.$//; s/^ //') >"$work/log"
result $? 'debian/copyright has the text of LICENSE'
grep -qx "Copyright: $(sed -n 's/^Copyright (c) //p' LICENSE)" debian/copyright
result $? 'and its holder'

# --- built ------------------------------------------------------------------------------

env -u MAKEFLAGS -u MFLAGS make -s deb >"$work/log" 2>&1
result $? 'make deb'
ls "$packages"/libmem1_*.deb "$packages"/libmem-{dev,malloc,tools}_*.deb >"$work/log" 2>&1
result $? 'there are four packages'
# A package that is not uploaded to Debian closes no bug there.
lintian --allow-root -I --suppress-tags initial-upload-closes-no-bugs "$packages"/*.changes \
    >"$work/log" 2>&1 && [ ! -s "$work/log" ]
result $? 'lintian is silent'

# --- installed --------------------------------------------------------------------------

for package in "$packages"/*.deb; do
    case $package in *-dbgsym_*) continue ;; esac
    dpkg -x "$package" "$root"
done >"$work/log" 2>&1
result $? 'they can be unpacked'
[ -e "$root/usr/share/gdb/auto-load/usr/lib/$multiarch/libmem-malloc.so-gdb.py" ] &&
    [ -e "$libraries/libmem-malloc.so" ]
result $? 'the command for gdb is where gdb looks for that of libmem-malloc.so'
for page in man/*; do
    name=${page#*/} section=${page##*.}
    name=${name%.*}
    MANPATH=$root/usr/share/man man "$section" "$name" 2>&1 | grep -q "^${name^^}($section) " ||
        echo "$page"
done >"$work/log"
[ ! -s "$work/log" ]
result $? 'man finds the four pages'

on_it() { # command...: with the tool and the libraries of the packages
    PATH=$root/usr/bin:$PATH LD_LIBRARY_PATH=$libraries "$@"
}
on_it mem run cat /proc/self/maps 2>"$work/log" | grep -qF "$libraries/libmem-malloc.so"
result $? 'mem run runs a program on libmem-malloc.so'
[ "$(on_it mem run python3 -c 'print(sum(range(10)))' 2>&1)" = 45 ]
result $? 'python3 is such a program'
on_it mem --version | grep -qF "$version"
result $? "mem --version says $version"

cat >"$work/main.c" <<'END'
#include <mem.h>
#include <mem_heap.h>

int main(void)
{
    char *p = Mem_Init(4096) == 0 ? Mem_Alloc(100, FF) : 0;
    mem_heap *heap = mem_heap_create(1, NULL);
    return p != 0 && Mem_Free(p + 99) == 0 && mem_heap_destroy(heap) == MEM_OK ? 0 : 1;
}
END
flags() { # argument...: what pkg-config says of the library in the root
    PKG_CONFIG_SYSROOT_DIR=$root PKG_CONFIG_LIBDIR=$libraries/pkgconfig pkg-config "$@" libmem
}
eval "words=($(flags --cflags --libs))"
gcc "$work/main.c" -o "$work/shared" "${words[@]}" 2>"$work/log" && on_it "$work/shared"
result $? 'a program is built with what pkg-config says, and runs'
readelf -d "$work/shared" 2>"$work/log" | grep -q 'NEEDED.*\[libmem\.so\.1\]'
result $? 'it needs libmem.so.1'
eval "words=($(flags --static --cflags --libs))"
gcc -static "$work/main.c" -o "$work/static" "${words[@]}" 2>"$work/log" && "$work/static"
result $? 'so is a static one'
if command -v cmake >/dev/null; then
    printf '%s\n' 'cmake_minimum_required(VERSION 3.13)' 'project(it C)' \
        'find_package(libmem REQUIRED)' 'add_executable(it main.c)' \
        'target_link_libraries(it libmem::mem)' >"$work/CMakeLists.txt"
    cmake -S "$work" -B "$work/it" -DCMAKE_PREFIX_PATH="$root/usr" >"$work/log" 2>&1 &&
        cmake --build "$work/it" >"$work/log" 2>&1 && "$work/it/it"
    result $? 'a project for CMake is built with what find_package finds, and runs'
fi
echo "1..$ntests"
