#!/bin/bash
# SPDX-License-Identifier: MIT
#
# symbols.sh LIBRARY - checks what C10 promises of the library file: it cannot contain another
# heap, and outside the region it has only a few scalars; and that it exports what the headers
# declare, and nothing else. Prints TAP.
set -u
export LC_ALL=C
library=$(realpath "$1")
cd "$(dirname "$0")/.." || exit 1
. test/support/headers.sh
forbidden='malloc|calloc|realloc|memalign|valloc'
max_static_bytes=4096
ntests=0

result() { # status what
    ntests=$((ntests + 1))
    if [ "$1" -eq 0 ]; then echo "ok $ntests - $2"; else echo "not ok $ntests - $2"; fi
}

# Prints the section index and the name of each dynamic symbol; the index of an import is UND.
dynamic_symbols() {
    readelf --wide --dyn-syms "$library" | awk '$1 ~ /^[0-9]+:$/ && $8 != "" { print $7, $8 }'
}

# Adds up the sizes of the writable sections that hold variables.
static_bytes() {
    local sum=0 size
    for size in $(readelf --wide --sections "$library" | sed 's/^ *\[ *[0-9]*\] *//' |
        awk '$1 ~ /^\.t?(data|bss)(\.|$)/ && $1 !~ /^\.data\.rel\.ro/ { print $5 }'); do
        sum=$((sum + 16#$size))
    done
    echo "$sum"
}

symbols=$(dynamic_symbols)

# Prints the functions that the headers declare, and what else src/libmem.map has to have.
declared() {
    for header in include/mem.h include/mem_heap.h; do
        functions_of "$header"
    done
    printf '%s\n' m_error m_free_list mem_heap_also
}

map=src/libmem.map
exported=$(sed -n 's/^ *\([A-Za-z_]*\);.*/\1/p' "$map")
diff <(sort <<<"$exported") <(declared | sort) | sed 's/^/# /'
[ "${PIPESTATUS[0]}" -eq 0 ]
result $? "$map has what the headers declare"
version=$(sed -n 's/^VERSION := //p' Makefile)
{ grep -o '^LIBMEM_[0-9.]*' "$map" && echo "LIBMEM_$version"; } | sort -V -C
result $? "its versions are in order, and none is later than $version"

# If no symbol could be read, the checks of forbidden names would pass: so the exports must be
# there.
for name in $exported; do
    grep -v '^UND ' <<<"$symbols" | grep -qE " $name(@|$)"
    result $? "C10 $name is exported"
done
others=$(grep -v '^UND ' <<<"$symbols" | sed 's/.* //; s/@.*//' | grep -vxF "$exported" |
    grep -v '^LIBMEM_')
[ -z "$others" ]
result $? "nothing else is exported${others:+, but: $others}"
grep -qE '^UND mmap(64)?(@|$)' <<<"$symbols"
result $? "C10 mmap is imported"

found=$(grep -iE "$forbidden" <<<"$symbols")
[ -z "$found" ]
result $? "C10 no dynamic symbol is of another heap"
[ -z "$found" ] || sed 's/^/# /' <<<"$found"

nbytes=$(static_bytes)
[ "$nbytes" -gt 0 ]
result $? "C10 static data are found"
[ "$nbytes" -lt "$max_static_bytes" ]
result $? "C10 $nbytes bytes of static data are fewer than $max_static_bytes"
echo "1..$ntests"
