#!/bin/bash
# SPDX-License-Identifier: MIT
#
# symbols.sh LIBRARY - checks what C10 promises of the library file: it cannot contain another
# heap, and outside the region it has only a few scalars. Prints TAP.
set -u
export LC_ALL=C
library=$1
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

exported='Mem_Init Mem_Alloc Mem_AllocStyle Mem_Free Mem_IsValid Mem_GetSize Mem_Dump Mem_Check
    m_error m_free_list
    mem_heap_create mem_heap_in mem_heap_attach mem_heap_detach mem_heap_destroy
    mem_alloc mem_zalloc mem_aligned mem_alloc_fit
    mem_resize mem_free mem_free_any mem_find mem_find_in mem_walk mem_stats mem_check mem_strerror
    mem_last_error mem_heap_of_process mem_heap_of_classic mem_heap_also'

# If no symbol could be read, the checks of forbidden names would pass: so the exports must be
# there.
for name in $exported; do
    grep -v '^UND ' <<<"$symbols" | grep -qE " $name(@|$)"
    result $? "C10 $name is exported"
done
# shellcheck disable=SC2086 # exported is several words
others=$(grep -v '^UND ' <<<"$symbols" | sed 's/.* //; s/@.*//' |
    grep -vxF "$(printf '%s\n' $exported)")
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
