#!/bin/sh
# SPDX-License-Identifier: MIT
#
# layers.sh SOURCES NAME... - prints TAP: each file in SOURCES includes only
# itself and what stands before it in the list of names.
set -u
sources=$1
shift
ntests=0 below=' '

result() { # status what
    ntests=$((ntests + 1))
    if [ "$1" -eq 0 ]; then echo "ok $ntests - $2"; else echo "not ok $ntests - $2"; fi
}

includes_of() { # name
    cat "$sources/$1".[ch] 2>/dev/null | sed -n 's/^#include "\([a-z_]*\)\.h".*/\1/p' | sort -u
}

for name in "$@"; do
    below="$below$name "
    above=''
    for included in $(includes_of "$name"); do
        case $below in *" $included "*) ;; *) above="$above $included" ;; esac
    done
    [ -z "$above" ]
    result $? "$name includes nothing above it${above:+, but:$above}"
done

for file in "$sources"/*.[ch]; do
    name=$(basename "${file%.*}")
    case $below in *" $name "*) ;; *) result 1 "$file is in no layer" ;; esac
done
echo "1..$ntests"
