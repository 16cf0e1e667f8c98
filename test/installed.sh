#!/bin/bash
# SPDX-License-Identifier: MIT
#
# installed.sh - checks that the files which `make install` installs are enough to build and run a
# program, shared and static, with pkg-config alone; and that `make uninstall` removes them all.
# The names of the folders contain spaces. Prints TAP.
#
# `id` and `ldconfig` are scripts that this test writes, so that it changes nothing in this machine,
# and sees what root and what another user sees. The variable UID_NOW is what `id` prints.
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
ntests=0

result() { # status what
    ntests=$((ntests + 1))
    if [ "$1" -eq 0 ]; then echo "ok $ntests - $2"; return; fi
    echo "not ok $ntests - $2"
    [ ! -s "$work/log" ] || sed 's/^/# /' "$work/log"
}

mkdir "$work/bin"
cat >"$work/bin/id" <<'END'
#!/bin/sh
echo "$UID_NOW"
END
cat >"$work/bin/ldconfig" <<END
#!/bin/sh
if [ "\${1-}" = -p ]; then echo "\${CACHE-}"; else echo ran >>'$work/ldconfig'; fi
END
chmod 755 "$work"/bin/*

make_for() { # uid argument...: leaves the output in log, and a line for each ldconfig in ldconfig
    local uid=$1
    shift
    : >"$work/ldconfig"
    env -u MAKEFLAGS -u MFLAGS PATH="$work/bin:$PATH" UID_NOW="$uid" \
        make -s -C "$root" "$@" >"$work/log" 2>&1
}
ldconfig_ran() { [ "$(wc -l <"$work/ldconfig")" -eq 1 ]; }
said() { # pattern: the output is one line that matches it
    [ "$(wc -l <"$work/log")" -eq 1 ] && grep -qE -- "$1" "$work/log"
}

# --- building a program with what is installed --------------------------------------

stage="$work/a stage" prefix='/usr/my own'
installed=$stage$prefix
words=()
flags() { # sets words to the flags that pkg-config prints: those of a path with spaces are quoted
    eval "words=($(PKG_CONFIG_PATH=$installed/lib/pkgconfig \
        pkg-config --define-variable=prefix="$installed" "$@" libmem))"
}

make_for 0 install DESTDIR="$stage" PREFIX="$prefix"
result $? 'make install into folders with spaces'
said "^install: now run ldconfig as root, or set LD_LIBRARY_PATH='/usr/my own/lib'\$" &&
    ! ldconfig_ran
result $? 'with DESTDIR it does not run ldconfig, and says in a line what to do'
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
flags --cflags --libs
gcc "$work/main.c" -o "$work/shared" "${words[@]}"
result $? 'links with pkg-config'
readelf -d "$work/shared" | grep -q 'libmem\.so\.1'
result $? 'needs libmem.so.1 by its soname'
LD_LIBRARY_PATH=$installed/lib "$work/shared"
result $? 'runs with the shared library'
readelf --wide --dyn-syms "$installed/lib/libmem.so" |
    awk '$4 != "NOTYPE" && $7 ~ /^[0-9]/ { n++; bad += $8 !~ /@@LIBMEM_[0-9.]+$/ }
        END { exit n < 30 || bad > 0 }'
result $? 'each name that libmem.so exports has a version'
flags --cflags
gcc "${words[@]}" "$work/main.c" -o "$work/static" "$installed/lib/libmem.a" && "$work/static"
result $? 'links and runs with the static one'
PKG_CONFIG_PATH=$installed/lib/pkgconfig pkg-config --variable=prefix libmem | grep -qx "$prefix"
result $? 'the file of pkg-config names PREFIX'
"$installed/bin/mem" run echo ran 2>&1 | grep -qx ran
result $? 'mem runs a program on the library that was installed'

(cd "$root/man" && for page in *.[1-9]; do
    cmp "$page" "$installed/share/man/man${page##*.}/$page" || exit
done) >"$work/log" 2>&1
result $? 'each manual page is where man looks for it'

make_for 0 uninstall DESTDIR="$stage" PREFIX="$prefix" &&
    [ -z "$(find "$stage" ! -type d)" ] && [ -d "$installed/lib" ]
result $? 'make uninstall removes all files'
make_for 0 uninstall DESTDIR="$work/nothing" PREFIX=/usr && [ ! -e "$work/nothing" ]
result $? 'and where there are none, it does nothing'

# --- ldconfig -------------------------------------------------------------------------

prefix="$work/a prefix"
CACHE='	libmem.so.1 (libc6) => /somewhere/libmem.so.1' make_for 0 install PREFIX="$prefix" &&
    ldconfig_ran && [ ! -s "$work/log" ]
result $? 'root: make install runs ldconfig, and says nothing'
make_for 0 install PREFIX="$prefix" && ldconfig_ran &&
    said "^install: ldconfig does not search '$work/a prefix/lib': set LD_LIBRARY_PATH to it\$"
result $? 'root: or says that ldconfig does not search the folder'
make_for 1000 install PREFIX="$prefix" && ! ldconfig_ran &&
    said "^install: now run ldconfig as root, or set LD_LIBRARY_PATH='$work/a prefix/lib'\$"
result $? 'another user: a line says what to do'
make_for 0 install PREFIX="$prefix" LDCONFIG=false &&
    said '^install: now run ldconfig as root'
result $? 'so it does where ldconfig fails'

# A project of ten lines, with pkg-config, in that prefix.
cat >"$work/Makefile" <<'END'
CFLAGS = -O2 -Wall $(shell pkg-config --cflags libmem)
LDLIBS = $(shell pkg-config --libs libmem)
STATIC_LDLIBS = $(shell pkg-config --static --libs libmem)

all: shared static
shared: main.c
	$(CC) $(CFLAGS) $< $(LDLIBS) -o $@
static: main.c
	$(CC) $(CFLAGS) -static $< $(STATIC_LDLIBS) -o $@
END
rm -f "$work/shared" "$work/static"
env -u MAKEFLAGS -u MFLAGS PKG_CONFIG_PATH="$prefix/lib/pkgconfig" \
    make -C "$work" >"$work/log" 2>&1
result $? 'a project of ten lines for make and pkg-config builds at the first try'
LD_LIBRARY_PATH=$prefix/lib "$work/shared" && readelf -d "$work/shared" | grep -q 'libmem\.so\.1'
result $? 'its program runs with the shared library'
"$work/static" && ! readelf -d "$work/static" | grep -q NEEDED
result $? 'and that which is static needs no other file'

make_for 0 uninstall PREFIX="$prefix" && ldconfig_ran && [ -z "$(find "$prefix" ! -type d)" ]
result $? 'make uninstall removes the files there, and runs ldconfig'
echo "1..$ntests"
