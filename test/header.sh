#!/bin/sh
# SPDX-License-Identifier: MIT
#
# header.sh HEADER - prints TAP: the header compiles by itself, in C and in C++.
set -u
header=$1
ntests=0

compiles() { # command...
    ntests=$((ntests + 1))
    if printf '#include "%s"\nvoid *f(void); void *f(void) { return Mem_Alloc(1); }\n' "$PWD/$header" |
        "$@" -Wall -Wextra -Wconversion -Wshadow -Wundef -pedantic -Werror -fsyntax-only -; then
        echo "ok $ntests - $*"
    else
        echo "not ok $ntests - $*"
    fi
}

for cc in gcc clang; do
    for std in c99 c11 c17; do compiles $cc -std=$std -x c; done
done
for std in c++11 c++17 c++20; do compiles g++ -std=$std -x c++; done
echo "1..$ntests"
