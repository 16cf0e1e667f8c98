#!/bin/sh
# SPDX-License-Identifier: MIT
#
# header.sh HEADER - checks that the header compiles by itself in C and in C++; of base.h, which all
# sources include, that it refuses a 32-bit processor, and why. Prints TAP.
set -u
header=$1
ntests=0

# The headers of the C library for 32 bits may be missing, so the refusal must come before them.
if [ "${header##*/}" = base.h ]; then
    for cc in gcc clang; do
        ntests=$((ntests + 1))
        if ! $cc -m32 -E -x c /dev/null >/dev/null 2>&1; then
            echo "ok $ntests # SKIP $cc has no -m32"
            continue
        fi
        $cc -m32 -fsyntax-only -Isrc -x c "$header" 2>&1 | grep -m 1 'error: ' |
            grep -q 'error: .*libmem needs a 64-bit processor' ||
            printf 'not '
        echo "ok $ntests - $cc -m32 is refused in a line"
    done
    echo "1..$ntests"
    exit 0
fi
case $header in
*/mem_heap.h | */mem.hpp) body='void *f(void); void *f(void) { return mem_alloc(0, 1); }' ;;
*) body='void *f(void); void *f(void) { return Mem_Alloc(1); }' ;;
esac

compiles() { # command...
    ntests=$((ntests + 1))
    if printf '#include "%s"\n%s\n' "$PWD/$header" "$body" |
        "$@" -Wall -Wextra -Wconversion -Wshadow -Wundef -pedantic -Werror -fsyntax-only -; then
        echo "ok $ntests - $*"
    else
        echo "not ok $ntests - $*"
    fi
}

[ "${header##*.}" = h ] && for cc in gcc clang; do
    for std in c99 c11 c17; do compiles $cc -std=$std -x c; done
done
for std in c++11 c++17 c++20; do
    for cc in g++ clang++; do compiles $cc -std=$std -x c++; done
done

[ "${header##*/}" = mem.h ] || { echo "1..$ntests"; exit 0; }

# In C++ the two forms are overloads: a macro would count the comma in a template's arguments.
cplusplus='template <class A, class B> int size() { return sizeof(A) + sizeof(B); }
int main()
{
    if (Mem_Init(4096) != 0) return 1;
    void *p = Mem_Alloc(size<char, int>());
    void *q = Mem_Alloc(size<int, long>(), FF);
    return !(Mem_GetSize(p) == 5 && Mem_GetSize(q) == 12 && Mem_Alloc(1, 9) == nullptr &&
             m_error == E_BAD_ARGS);
}'
ntests=$((ntests + 1))
program=$(mktemp)
if printf '#include "%s"\n%s\n' "$PWD/$header" "$cplusplus" |
    g++ -Wall -Wextra -Werror -x c++ - -L. -lmem -o "$program" && LD_LIBRARY_PATH=. "$program"; then
    echo "ok $ntests - C++ calls both forms"
else
    echo "not ok $ntests - C++ calls both forms"
fi
rm -f "$program"
echo "1..$ntests"
