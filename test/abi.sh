#!/bin/bash
# SPDX-License-Identifier: MIT
#
# abi.sh BUILD - checks that libmem.so, libmem-malloc.so and the constants of the headers are what
# compiled programs rely on, as packaging/abi has it: each function's name, version, arguments and
# result, each struct's members and their offsets, and each number. Prints TAP.
#
#     test/abi.sh BUILD           compares
#     test/abi.sh --renew BUILD   writes packaging/abi anew: make abi
#
# The types of libmem.so that no header has are left out, since no program can rely on them; and so
# is glibc's FILE, of which malloc_info only takes the address.
set -u
export LC_ALL=C
renew=false
[ "${1-}" != --renew ] || { renew=true && shift; }
build=$(realpath -e "${1:?usage: abi.sh [--renew] BUILD}") || exit 2
cd "$(dirname "$0")/.." || exit 1
. test/support/headers.sh
kept=packaging/abi
for tool in abidw abidiff; do
    command -v $tool >/dev/null && continue
    echo "1..0 # SKIP $tool (abigail-tools) is not installed"
    exit 0
done
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
printf '[suppress_type]\nname = _IO_FILE\ndrop = yes\n' >"$work/without-file"
ntests=0

result() { # status what
    ntests=$((ntests + 1))
    if [ "$1" -eq 0 ]; then echo "ok $ntests - $2"; return; fi
    echo "not ok $ntests - $2"
    grep -v '^$' "$work/log" | sed 's/^/# /'
}

# Describes what a library exports, without what depends on the processor's name or on a folder.
describe() { # library
    local only=(--headers-dir include --drop-private-types)
    [ "$1" = libmem.so ] || only=(--suppressions "$work/without-file")
    abidw --exported-interfaces-only "${only[@]}" --no-architecture --no-corpus-path \
        --no-comp-dir-path --no-show-locs --no-elf-needed --no-parameter-names \
        --type-id-style hash "$build/$1"
}

# Prints the name and the value of each constant of the headers. A type of libmem.so has the
# constants that its functions mention, and that leaves out flags and anonymous enumerations.
constants() {
    for header in mem.h mem_heap.h; do
        constants_of "include/$header" >"$work/names"
        {
            printf '#include <stdio.h>\n#include "%s"\nint main(void)\n{\n' "$header"
            sed 's/.*/printf("&\\t%llu\\n", (unsigned long long)(&));/' "$work/names"
            echo '}'
        } >"$work/print.c"
        gcc -Iinclude "$work/print.c" -o "$work/print" && "$work/print" || return
    done
}

if $renew; then
    mkdir -p $kept
    for library in libmem.so libmem-malloc.so; do
        describe $library >"$work/new" && cp "$work/new" $kept/$library.xml || exit
    done
    constants >"$work/new" && cp "$work/new" $kept/constants.tsv
    exit
fi

for library in libmem.so libmem-malloc.so; do
    if ! readelf --wide --sections "$build/$library" | grep -q ' \.debug_info '; then
        ntests=$((ntests + 1))
        echo "ok $ntests - $library # SKIP it was built without -g"
        continue
    fi
    describe $library >"$work/now" 2>"$work/log" &&
        abidiff $kept/$library.xml "$work/now" >"$work/log" 2>&1
    result $? "$library is what programs were compiled for (make abi, if it changes on purpose)"
    [ "$(grep -c '<elf-symbol ' "$work/now")" -ge 20 ] &&
        [ "$(grep -c '<function-decl ' "$work/now")" -ge 20 ]
    result $? "$library: its functions were found, with their types"
done
constants >"$work/now" 2>"$work/log" && diff $kept/constants.tsv "$work/now" >"$work/log"
result $? 'so are the constants of the headers'
[ "$(wc -l <"$work/now")" -ge 46 ]
result $? 'there are at least 46 of them'
echo "1..$ntests"
