#!/bin/bash
# SPDX-License-Identifier: MIT
#
# amalgamation.sh BUILD - checks the single-file form of the library, BUILD/amalgamation/mem.c: that
# it is compiled without a warning, exports what libmem.so exports, works as users were taught, and
# has the same bytes each time. Prints TAP.
set -u
export LC_ALL=C
tests=$(cd "$(dirname "$0")" && pwd) build=$(cd "$1" && pwd) || exit 1
root=${tests%/*}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
mkdir "$work/use" "$work/bin" "$work/src" && cd "$work/use" || exit 1
ntests=0

result() { # status what
    ntests=$((ntests + 1))
    if [ "$1" -eq 0 ]; then echo "ok $ntests - $2"; return; fi
    echo "not ok $ntests - $2"
    [ ! -s "$work/log" ] || head -n 12 "$work/log" | sed 's/^/# /'
}
silent() { # command...: succeeds, and prints nothing
    "$@" >"$work/log" 2>&1 && [ ! -s "$work/log" ]
}
passes() { # script argument: the test prints a plan, and no failure
    "$tests/$1" "$2" >"$work/log" 2>&1
    grep -q '^1\.\.[1-9]' "$work/log" && ! grep -q '^not ok' "$work/log"
}

cp "$build/amalgamation/mem.c" .
silent eval 'gcc -c -fpic mem.c -Wall -Werror; gcc -shared -o libmem.so mem.o'
result $? 'the two commands that users were taught make libmem.so of mem.c alone'
passes symbols.sh libmem.so
result $? 'it exports what libmem.so exports (test/symbols.sh)'
[ -s mem.o ] && ! nm mem.o | grep '__tls_get_addr' >"$work/log"
result $? 'thread-local variables are reached without a call'

cp "$build/amalgamation"/*.h .
silent cmp mem.h "$root/include/mem.h" && silent cmp mem_heap.h "$root/include/mem_heap.h"
result $? 'mem.h and mem_heap.h are those of include'
passes taught.sh .
result $? 'programs are compiled and run as users were taught (test/taught.sh)'

debug='-O0 -std=gnu17 -DMEM_DEBUG=2 -D_GNU_SOURCE'
strict='-std=c11 -Wextra -Wconversion -Wshadow -Wundef'
for command in "gcc $debug" "clang $debug" "gcc -O3 -DNDEBUG $strict" "clang -O2 $strict"; do
    # shellcheck disable=SC2086 # the command is several words
    silent $command -Wall -Werror -c mem.c -o other.o
    result $? "$command gives no warning"
done

# The compiler reports two functions of one name, but it makes one of two such variables.
twice=$(nm "$build/libmem.a" | awk '$2 ~ /^[bBdDrR]$/ && $3 !~ /[.]/ { print $3 }' | sort | uniq -d)
[ -s "$build/libmem.a" ] && [ -z "$twice" ]
result $? "no two files have variables of one name${twice:+, except: ${twice//$'\n'/ }}"

for awk in mawk gawk busybox original-awk; do
    path=$(command -v $awk) || continue
    ln -sf "$path" "$work/bin/awk"
    silent env -u MAKEFLAGS -u MFLAGS PATH="$work/bin:$PATH" \
        make -s -C "$root" amalgamation BUILD="$work/$awk" &&
        silent cmp mem.c "$work/$awk/amalgamation/mem.c"
    result $? "$awk writes the same bytes again"
done

cp "$root/LICENSE" "$work" && cp "$root/src/amalgamation.in" "$work/src"
echo '#include "base/none.h"' >"$work/lost.c"
(cd "$work" && ! awk -f "$root/src/amalgamate.awk" lost.c >out 2>log && [ ! -s out ] &&
    grep -qx 'amalgamate.awk: .*/none.h cannot be read' log)
result $? 'a header that is missing is named, and nothing is written'
echo "1..$ntests"
