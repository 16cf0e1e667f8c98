#!/bin/bash
# SPDX-License-Identifier: MIT
#
# instructions.sh - counts with callgrind how many instructions the library executes on each path
# of bench/paths.c, and compares them with the table. Prints TAP.
#
# It also checks that malloc and free are short and have no stack frame, lock or division; that the
# library's constants are in memory only where options are; and that an object alone costs at most
# 1.2 times as much without a style as with BESTFIT [C15].
#
#     test/instructions.sh BUILD FLAG...            BUILD was compiled with these flags
#     test/instructions.sh --renew BUILD FLAG...    writes the table: make instructions
#
# Times vary on a busy machine; these numbers are equal in each run. They depend on the compiler
# and its flags, which the first line of the table names: with others nothing is compared.
#
# Each path is run N times and 2N times; the difference is the cost of exactly N operations. Only
# the library's own instructions and its calls out of itself are counted (see instructions.awk).
set -u
cd "$(dirname "$0")/.." || exit 1
export LC_ALL=C
table=test/instructions.tsv
nops=10000       # A multiple of the batches of bench/paths.c.
max_malloc=25    # In instructions.
max_free=34
renew=false
if [ "$1" = --renew ]; then renew=true; shift; fi
build=$(realpath "$1")
shift
flags=$*
paths=$build/bench/paths malloc=$build/libmem-malloc.so
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
ntests=0 nfailed=0

result() { # status what [why]
    ntests=$((ntests + 1))
    if [ "$1" -eq 0 ]; then echo "ok $ntests - $2"; else
        nfailed=$((nfailed + 1))
        echo "not ok $ntests - $2"
        [ -z "${3-}" ] || sed 's/^/# /' <<<"$3"
    fi
}

# The library records which compiler made it. The start files of the C library are always gcc's.
# Distributions change gcc's defaults, so the name of the distribution counts, too.
made_by() {
    local comment compilers
    comment=$(readelf --wide -p .comment "$malloc")
    readelf --wide -h "$malloc" | grep -q 'X86-64' || { echo 'another processor'; return; }
    ! grep -q clang <<<"$comment" || { echo clang; return; }
    compilers=$(sed -En 's/.*GCC: \(([A-Za-z]*).*\) ([0-9]+)\..*/gcc \2 (\1)/p' <<<"$comment" |
        sort -u)
    echo "${compilers//$'\n'/, } $flags"
}

# --- counting ---------------------------------------------------------------------

# Prints "instructions calls malloc free" of the whole run, or nothing if it failed.
count() { # path library n
    local preload=''
    [ "$2" != "${malloc##*/}" ] || preload=$malloc
    # The size is fixed, since the default would depend on the machine's memory.
    LIBMEM=region=1G LD_LIBRARY_PATH=$build LD_PRELOAD=$preload timeout 240 \
        valgrind -q --tool=callgrind --callgrind-out-file="$work/out" --compress-strings=no \
        --compress-pos=no "$paths" "$1" "$3" >"$work/said" 2>&1 &&
        awk -v library="$2" -f test/instructions.awk "$work/out"
}

# Prints "name instructions calls", per operation.
measure() {
    local name library once twice
    while read -r name library; do
        if once=$(count "$name" "$library" "$nops") &&
            twice=$(count "$name" "$library" $((2 * nops))); then
            awk -v name="$name" -v n="$nops" 'BEGIN { OFS = "\t" } {
                print name, ($5 - $1) / n, ($6 - $2) / n
                if (name == "pair-64") {
                    print "malloc-itself", ($7 - $3) / n, 0
                    print "free-itself", ($8 - $4) / n, 0
                }
            }' <<<"$once $twice"
        else
            sed "s/^/$name: /" "$work/said" >&2
        fi
    done < <(LD_LIBRARY_PATH=$build "$paths" list)
}

# Prints "0 what" or "1 what" for each name in the table or in the measurement.
compare() { # table measured
    awk -F '\t' '
        function far(new, old, least) {
            return (new > old ? new - old : old - new) > 0.02 * (old > least ? old : least)
        }
        /^#/ { next }
        NR == FNR { instructions[$1] = $2; calls[$1] = $3; next }
        !($1 in calls) { print 1, $1 ": is not in the table; make instructions"; next }
        {
            bad = far($2, instructions[$1], 0) || far($3, calls[$1], 1)
            text = sprintf("%s: %g instructions, %g calls", $1, $2, $3)
            if (bad)
                text = text sprintf("; were %g, %g; on purpose? make instructions",
                    instructions[$1], calls[$1])
            print bad, text
            delete calls[$1]
        }
        END { for (name in calls) print 1, name ": is in the table and was not measured" }
    ' "$1" "$2"
}

compare_all() {
    local status what
    compare "$table" "$work/measured" >"$work/compared"
    while read -r status what; do
        result "$status" "$what"
    done <"$work/compared"
    [ -s "$work/measured" ] && [ ! -s "$work/errors" ]
    result $? 'no path has failed' "$(cat "$work/errors")"
}

# --- malloc and free --------------------------------------------------------------

# By address, since objdump looks for one name only where a function has two.
code() { # function
    local at size
    read -r at size < <(nm -S "$malloc" | awk -v name="$1" '$4 == name { print $1, $2 }')
    objdump -d --no-show-raw-insn --start-address="0x$at" \
        --stop-address="$((16#$at + 16#$size))" "$malloc" | sed -n 's/^ *[0-9a-f]\{1,\}:\t//p'
}

# Finds in the code on stdin what malloc and free must not have: a stack frame, a call, a locked
# instruction, a division. (objdump prints the padding of two bytes as xchg %ax,%ax.)
unwelcome() {
    grep -vE '^(.* )?xchg +%ax,%ax$' |
        grep -E -e '^(.* )?(call|push|pop|leave|enter|lock|i?div|xchg|cmpxchg)' \
            -e '^(sub|add|and|lea) .*,%rsp'
}

is_at_most() { # name instructions
    awk -F '\t' -v name="$1" -v most="$2" '
        $1 == name { found = $2 > 0 && $2 <= most } END { exit !found }' "$work/measured"
}

leaf() { # function most
    local found
    is_at_most "$1-itself" "$2"
    result $? "$1 takes at most $2 instructions, without what is rare"
    code "$1" >"$work/code"
    found=$(unwelcome <"$work/code")
    grep -q '^ret' "$work/code" && [ -z "$found" ]
    result $? "$1 has no frame, call, lock or division" "$found"
}

alone() {
    awk -F '\t' '{ took[$1] = $2 }
        END { exit !(took["best-alone"] > 0 && took["any-alone"] <= 1.2 * took["best-alone"]) }
        ' "$work/measured"
    result $? 'C15 an object alone costs at most 1.2 times as much without a style'
}

# --- constants ----------------------------------------------------------------------

# Prints how many KiB of the library's constants are in the memory of awk. They lie in a mapping
# behind that of the code. What the dynamic linker has written to is no constant.
constants_kib() { # argument of env...
    env "$@" LD_PRELOAD="$malloc" awk '
        /^[0-9a-f]+-/ { ours = /libmem-malloc/ && $2 == "r--p" && $3 !~ /^0+$/ }
        ours && $1 == "Rss:" { kib += $2 }
        ours && $1 == "Anonymous:" { kib -= $2 }
        END { print kib + 0 }' /proc/self/smaps
}

# The kernel maps all of them as soon as one is read.
constants() {
    [ "$(constants_kib -u LIBMEM)" -eq 0 ]
    result $? "a program without options has none of the library's constants in memory"
    [ "$(constants_kib LIBMEM=onerror=abort)" -gt 0 ]
    result $? 'with options, which are compared with constants, it has'
}

# --- proofs that these checks can fail ----------------------------------------------

differs() { # table's line, measured line
    printf '%b\n' "$1" >"$work/a"
    printf '%b\n' "$2" >"$work/b"
    compare "$work/a" "$work/b" | grep -q '^1 '
}

prove() {
    local line seen=0
    differs 'a\t100\t2' 'a\t102.1\t2' && differs 'a\t100\t2' 'a\t97.9\t2' &&
        differs 'a\t100\t2' 'a\t100\t3' && differs 'a\t100\t0' 'a\t100\t0.03'
    result $? 'a change of more than 2 % is seen'
    ! differs 'a\t100\t2' 'a\t102\t2' && ! differs 'a\t100\t2' 'a\t98\t2'
    result $? 'a smaller one is let pass'
    differs 'a\t1\t0\nb\t1\t0' 'a\t1\t0' && differs 'a\t1\t0' 'a\t1\t0\nb\t1\t0'
    result $? 'a path that only one of the two knows is seen'
    # shellcheck disable=SC2016 # $0x1 and the like are not variables
    for line in 'call   10' 'push   %rbx' 'pop    %rbx' 'lock subl $0x1,(%rax)' 'idiv   %rcx' \
        'divl   (%rcx)' 'sub    $0x18,%rsp' 'bnd call *%rax' 'xchg   %al,(%rcx)'; do
        unwelcome <<<"$line" >/dev/null && seen=$((seen + 1))
    done
    [ "$seen" -eq 9 ] && ! unwelcome <<<'mov    %rsp,%rax' && ! unwelcome <<<'xchg   %ax,%ax' &&
        code mallinfo2 | unwelcome | grep -q '^call'
    result $? 'frames, calls, locks and divisions are seen, also those of mallinfo2'
}

# --- main -------------------------------------------------------------------------

skip() { # why
    echo "ok 1 - instructions # SKIP $1"
    echo "1..1"
    exit 0
}

made=$(made_by)
if ! $renew; then
    counted=$(sed -n '1s/^# make instructions: \(.*\); an operation.*/\1/p' "$table")
    if [ -z "$counted" ]; then
        result 1 "$table says on its first line what it was made by"
    elif [ "$made" != "$counted" ]; then
        skip "made by $made, the table by $counted"
    fi
fi
measure >"$work/measured" 2>"$work/errors"
if $renew; then
    if [ -s "$work/errors" ] || [ ! -s "$work/measured" ]; then cat "$work/errors" >&2; exit 1; fi
    [ ! -e "$table" ] || compare "$table" "$work/measured" | sed -n 's/^1 //p'
    {
        echo "# make instructions: $made; an operation: name, instructions," \
            "calls out of the library"
        cat "$work/measured"
    } >"$work/table" && cp "$work/table" "$table"
    exit
fi
prove
leaf malloc "$max_malloc"
leaf free "$max_free"
constants
alone
compare_all
echo "1..$ntests"
[ "$nfailed" -eq 0 ]
