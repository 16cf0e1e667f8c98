#!/bin/bash
# SPDX-License-Identifier: MIT
#
# languages.sh BUILD - checks the examples in C++, Python and Rust. Prints TAP.
#
# Each example has a heap with a limit, and reaches it; asks what lies at an address; and ends with
# a heap that is whole. Rust's is compiled here, if rustc is installed.
set -u
export LC_ALL=C
build=$(realpath -e "${1:?usage: languages.sh BUILD}") || exit 2
cd "$(dirname "$0")/.." || exit 1
export LD_LIBRARY_PATH=$build PYTHONDONTWRITEBYTECODE=1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
ntests=0

result() { # status what
    ntests=$((ntests + 1))
    if [ "$1" -eq 0 ]; then echo "ok $ntests - $2"; return; fi
    echo "not ok $ntests - $2"
    sed "s/^/# $status: /" "$work/out"
}

run() { # command...: leaves its status and what it prints
    timeout -k 5 240 "$@" >"$work/out" 2>&1
    status=$?
}

printed() { # line...: each of them, and the example has succeeded
    local line
    [ "$status" -eq 0 ] || return 1
    for line; do grep -qxF -- "$line" "$work/out" || return 1; done
}

# Prints the number before a word of what was printed.
number() { # words
    sed -nE "s/(^|.* )([0-9]+) $1.*/\\2/p" "$work/out"
}

run "$build/examples/pmr-bounded"
names=$(number 'names are complete')
objects=$(number 'live objects of') bytes=$(number 'bytes in all')
printed 'std::bad_alloc: it would be more than the limit of the heap'
result $? 'C++: a container throws std::bad_alloc at the limit'
# A name has a node, its characters and its page numbers; the last one may lack what was refused.
[ "$objects" -ge $((3 * names)) ] && [ "$objects" -le $((3 * names + 2)) ]
result $? 'C++: a walk then finds all objects of all names'
[ "$bytes" -le 100000 ] && [ "$bytes" -gt 99800 ]
result $? 'C++: and the limit is used up, and kept'
printed '"is long, number 0" is in an object of 30 bytes' # 29 characters and a zero
result $? 'C++: an address inside a string is known'
printed 'after the map has gone: 0 live objects'
result $? 'C++: all is given back'

run python3 examples/bounded-heap.py
n=$((100000 / 700))
printed "$n objects of 700 bytes, then: it would be more than the limit of the heap" \
    "the walk finds $n objects, of $((n * 700)) bytes in all"
result $? 'Python: a heap is filled up to its limit, and walked'
printed 'the last byte of the first object: byte 699 of an object of 700 bytes' \
    'one past the end of it: the address is in the heap, but in no object' \
    'a variable: the address is outside the heap'
result $? 'Python: addresses inside an object, behind it and elsewhere are known'
printed 'the heap refuses an address: the address is inside an object, but not its start' \
    'the second object after that: byte 0 of an object of 700 bytes'
result $? 'Python: a bad free is refused, reported, and changes nothing'
printed 'and after it was freed: free memory' 'at the end: 0 objects, of 0 bytes in all'
result $? 'Python: all is given back'

if command -v rustc >/dev/null && rustc --version >/dev/null 2>&1; then
    run rustc -O -D warnings -L "$build" -o "$work/global-alloc" examples/global-alloc.rs
    result "$status" 'Rust: the example compiles, without a warning'
    run "$work/global-alloc"
    printed '5 MiB: refused'
    result $? 'Rust: more than the heap has is refused'
    printed 'the 501st number is byte 4000 of an object of 8000 bytes'
    result $? 'Rust: an address inside a vector is known'
    printed 'a free of the second number: the address is inside an object, but not its start' \
        "the sum is $((999 * 1000 / 2)), and the heap is sound: true"
    result $? 'Rust: a bad free is refused, and changes nothing'
else
    result 0 'Rust # SKIP rustc is not installed'
fi
[ "$(wc -l examples/*.py examples/*.rs | awk '$2 != "total" && $1 > 100' | wc -l)" -eq 0 ]
result $? 'the examples in Python and Rust have at most 100 lines'
echo "1..$ntests"
