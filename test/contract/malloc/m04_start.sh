#!/bin/bash
# SPDX-License-Identifier: MIT
#
# m04_start.sh LIBRARY PROGRAMS - checks how libmem-malloc.so starts [M4], what it exports [M1], and
# that programs which do not know it run with it. Prints TAP.
set -u
export LC_ALL=C
library=$(realpath "$1") programs=$2
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
ntests=0

result() { # status what
    ntests=$((ntests + 1))
    if [ "$1" -eq 0 ]; then echo "ok $ntests - $2"; else
        echo "not ok $ntests - $2"
        sed 's/^/# /' "$work/out" "$work/err" | head -n 20
    fi
}

# Runs a program with the library; leaves its output in $work/out and $work/err.
with() { # LIBMEM program argument...
    local options=$1
    shift
    LIBMEM=$options LD_PRELOAD=$library "$@" >"$work/out" 2>"$work/err"
}
printed() { grep -qE -- "$1" "$work/out"; }
complained() { # pattern: standard error must be one line that matches it
    [ "$(wc -l <"$work/err")" -eq 1 ] && grep -qE -- "$1" "$work/err"
}
silent() { [ ! -s "$work/err" ]; }
reserved() { sed -n 's/^# reserved //p' "$work/out"; }

names_expected() {
    sed -n '/names\[\] = {/,/};/p' "$(dirname "$0")/m01_symbols.c" | grep -o '"[A-Za-z_0-9]*"' |
        tr -d '"' | sort
}
readelf --wide --dyn-syms "$library" |
    awk '$1 ~ /^[0-9]+:$/ && $7 != "UND" { sub(/@.*/, "", $8); print $8 }' | sort >"$work/out"
names_expected >"$work/err"
[ "$(wc -l <"$work/err")" -eq 51 ] && cmp -s "$work/out" "$work/err"
result $? 'M1 it exports the 51 names and nothing else'
readelf -d "$library" | grep NEEDED >"$work/out"
[ "$(wc -l <"$work/out")" -eq 1 ] && printed 'libc\.so'
result $? 'it needs libc only'
readelf --wide --dyn-syms "$library" >"$work/out"
! printed 'dlsym'
result $? 'M5 no dlsym'
tls=$(readelf -lW "$library" | awk '$1 == "TLS" { print $6 }')
[ $((${tls:-0})) -gt 0 ] && [ $((tls)) -le 16 ] && ! printed '__tls_get_addr'
result $? "M5 thread-local memory is two words, found without a call"

limited() { # ulimit options, program...
    local limit=$1 value=$2
    shift 2
    (ulimit "$limit" "$value" && with '' "$@")
}
limited -v 262144 "$programs/m05_early" && silent && [ "$(reserved)" -ge 33554432 ]
result $? 'M4 it starts under ulimit -v 262144'
[ "$(reserved)" -le 192937984 ]
result $? 'M4 and leaves 72 MiB of that or more to the program'
limited -v 262144 "$programs/m05_threads" 200 20 && silent && ! printed '^not ok'
result $? 'M4 threads and forks under ulimit -v 262144'
limited -d 262144 "$programs/m05_early" && silent && [ "$(reserved)" -gt 268435456 ]
result $? 'M4 a limit on data makes the reservation no smaller'
limited -v 8192 "$programs/m05_early" && silent
result $? 'M4 it starts under ulimit -v 8192'

with region=1G "$programs/m05_early" && silent && [ "$(reserved)" -eq 1073741824 ]
result $? 'region=1G, although the first call comes before libc knows its environment'
with region=320K,onerror=report "$programs/m05_early" && silent && [ "$(reserved)" -eq 327680 ]
result $? 'two options'
nbad=0
for size in 65536 64k 4m 1g 64K 4M 1G; do
    with "region=$size" "$programs/m05_early"
    { silent && [ "$(reserved)" -eq "$(numfmt --from=iec "${size^^}")" ]; } ||
        { nbad=$((nbad + 1)) && echo "# $size: $(reserved)"; }
done
result "$nbad" 'sizes with upper-case and lower-case suffixes'
with '' "$programs/m05_early" && silent
result $? 'no option'
with help "$programs/m05_early" && grep -q 'onerror=' "$work/err" &&
    grep -q 'region=' "$work/err" &&
    printed '^1\.\.5'
result $? 'help prints the options, and the program goes on'
with fast "$programs/m05_early" && complained 'fast' && printed '^1\.\.5'
result $? 'an unknown option is named, and the program goes on'
for bad in region=12Q region=1gg region=1t region=g region= region=1 region=65G \
    region=99999999999999999999 region=-1 \
    onerror=x onerror= onerror help=1 Region=1G; do
    with "$bad,region=1G" "$programs/m05_early" && complained "\"$bad\" ignored" &&
        [ "$(reserved)" -eq 1073741824 ]
    result $? "$bad is refused by name, and the next option counts"
done

# Root can make a program that starts with another user's rights. The library must lie where that
# user may read it.
if [ "$(id -u)" -eq 0 ] && chmod 755 "$work" && install -m 755 "$library" "$work/readable.so" &&
    gcc -x c - -x none "$work/readable.so" -o "$work/privileged" 2>"$work/err" <<'END'
#include <stdlib.h>
int main(void) { free(malloc(10)); }
END
then
    chown nobody "$work/privileged" && chmod 4755 "$work/privileged"
    LIBMEM=help "$work/privileged" >"$work/out" 2>"$work/err" && silent
    result $? 'a setuid program takes no options'
    chmod 755 "$work/privileged"
    LIBMEM=help "$work/privileged" >"$work/out" 2>"$work/err" && ! silent
    result $? 'but without setuid it does'
else
    ntests=$((ntests + 1))
    echo "ok $ntests # SKIP setuid needs root"
fi

gcc -x c - -fno-builtin -o "$work/one" 2>"$work/err" <<'END'
#include <malloc.h>
#include <stdlib.h>
int main(void) { void *p = malloc(1); malloc_stats(); free(p); return p == NULL; }
END
with '' "$work/one" && grep -qx 'in use bytes     =         16' "$work/err"
result $? 'malloc_stats: of 1 byte, 16 are in use'
with '' sh -c 'seq 100000 | sort -r | uniq | tail -n 1' && silent && printed '^1$'
result $? 'sort and a pipe'
with '' bash -c 'for i in $(seq 200); do x[$i]=$(echo $i); done; echo ${#x[@]}' && silent &&
    printed '^200$'
result $? 'bash, 200 forks'
echo 'int main(void) { return 0; }' >"$work/main.c"
with '' gcc -O2 "$work/main.c" -o "$work/main" && silent && "$work/main"
result $? 'the C compiler'
g++ -std=c++17 -O2 -w "$(dirname "$0")/m01_operators.cc" -o "$work/operators" \
    >"$work/out" 2>"$work/err"
result $? 'the operators compile'
with '' "$work/operators" && silent && printed '^1\.\.15$' && ! printed '^not ok'
result $? 'M1 the operators: bad_alloc, handlers, alignment (15 checks)'
for only in SINGLES ARRAYS; do
    g++ -std=c++17 -O2 -w "-D$only" "$(dirname "$0")/m01_replaced.cc" -o "$work/replaced" \
        >"$work/out" 2>"$work/err"
    result $? 'a program with operators of its own compiles'
    with '' "$work/replaced" && silent && printed '^1\.\.13$' && ! printed '^not ok'
    result $? 'M1 those are what all others call (13 checks)'
done
echo "1..$ntests"
