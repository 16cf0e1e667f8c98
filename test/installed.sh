#!/bin/sh
# SPDX-License-Identifier: MIT
#
# installed.sh - checks that the files which `make install` installs are enough to build and run a
# program, shared and static, with pkg-config alone. Prints TAP.
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
ntests=0

result() { # status what
    ntests=$((ntests + 1))
    if [ "$1" -eq 0 ]; then echo "ok $ntests - $2"; else echo "not ok $ntests - $2"; fi
}

flags() {
    PKG_CONFIG_PATH=$work/usr/lib/pkgconfig \
        pkg-config --define-variable=prefix="$work/usr" "$@" libmem
}

make_in_root() { # target DESTDIR PREFIX
    env -u MAKEFLAGS -u MFLAGS make -s -C "$root" "$1" DESTDIR="$2" PREFIX="$3" >>"$work/log" 2>&1
}
installed() { # folder: the files below it
    (cd "$1" && find . -type f -o -type l) | sort
}

make_in_root install "$work" /usr
result $? 'make install'
make_in_root install "$work/a place" '/opt/a prefix' &&
    [ "$(installed "$work/usr")" = "$(installed "$work/a place/opt/a prefix")" ]
result $? 'make install where the path has spaces'
grep -qx 'prefix=/opt/a prefix' "$work/a place/opt/a prefix/lib/pkgconfig/libmem.pc"
result $? 'libmem.pc has that prefix'
printf '#include <mem.h>\nint main(void) { return Mem_Init(4096); }\n' >"$work/one.c"
make_in_root install '' "$work/a prefix" && (
    PKG_CONFIG_PATH="$work/a prefix/lib/pkgconfig" && export PKG_CONFIG_PATH
    eval "gcc -o $work/one $work/one.c $(pkg-config --cflags --libs libmem)" &&
        LD_LIBRARY_PATH="$work/a prefix/lib" "$work/one"
)
result $? 'a program is built and runs with it there'
touch "$work/a place/opt/a prefix/lib/other.so"
make_in_root uninstall "$work/a place" '/opt/a prefix' &&
    [ "$(installed "$work/a place")" = './opt/a prefix/lib/other.so' ]
result $? 'make uninstall removes what was installed, and nothing else'
cat >"$work/main.c" <<'END'
#include <mem.h>
#include <mem_heap.h>

int main(void)
{
    char *p = Mem_Init(4096) == 0 ? Mem_Alloc(100, FF) : 0;
    mem_heap *heap = mem_heap_create(1, NULL);
    if (mem_free(heap, mem_alloc(heap, 100)) != MEM_OK || mem_heap_destroy(heap) != MEM_OK)
        return 2;
    return p != 0 && Mem_GetSize(p + 50) == 100 && Mem_Free(p + 99) == 0 ? 0 : 1;
}
END
# shellcheck disable=SC2046 # flags prints several words
gcc $(flags --cflags) "$work/main.c" -o "$work/shared" $(flags --libs)
result $? 'links with pkg-config'
readelf -d "$work/shared" | grep -q 'libmem\.so\.1'
result $? 'needs libmem.so.1 by its soname'
LD_LIBRARY_PATH=$work/usr/lib "$work/shared"
result $? 'runs with the shared library'
# shellcheck disable=SC2046
gcc $(flags --cflags) "$work/main.c" -o "$work/static" "$work/usr/lib/libmem.a" && "$work/static"
result $? 'links and runs with the static one'
echo "1..$ntests"
