#!/bin/sh
# SPDX-License-Identifier: MIT
#
# examples.sh - checks what the examples print and return.
#
#     LD_LIBRARY_PATH=. test/examples.sh DIRECTORY-OF-THE-BUILT-EXAMPLES
#
# The variable WITH names an emulator to run them with, for another processor.
#
# Prints TAP: a plan, then "ok N - name", or "not ok N - name" followed by the actual output.
# Exits with status 1 if a check failed. Word counts are compared with those of tr, sort and uniq
# on the same text, not with other output of wordcount.

set -u
NCHECKS=65
bin=${1:?usage: examples.sh DIRECTORY}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

number=0
nfailed=0

# check NAME COMMAND... passes if the command succeeds.
check() {
    name=$1
    shift
    number=$((number + 1))
    if "$@" >"$work/why" 2>&1; then
        echo "ok $number - $name"
        return
    fi
    nfailed=$((nfailed + 1))
    echo "not ok $number - $name"
    {
        echo "command: $*"
        cat "$work/why"
        echo "status of the example: $status; its output:"
        cat "$work/out" "$work/err"
    } | sed 's/^/# /' | head -n 60
}

# run PROGRAM ARG... sets status and leaves the output in $work/out and $work/err.
run() {
    program=$1
    shift
    # shellcheck disable=SC2086 # WITH is an emulator and its arguments
    ${WITH:-} "$bin/$program" "$@" >"$work/out" 2>"$work/err"
    status=$?
}

status_is() {
    [ "$status" -eq "$1" ]
}

printed() {
    grep -Eq -e "$1" "$work/out"
}

# Succeeds if the output has exactly $1 lines that match $2.
printed_lines() {
    [ "$(grep -Ec -e "$2" "$work/out")" -eq "$1" ]
}

complained() {
    grep -Eq -e "$1" "$work/err"
}

silent() {
    [ ! -s "$work/err" ]
}

# Prints words one a line, split as wordcount splits them but with other tools.
words_of() {
    # The echo ends the last line, since tr may leave it without a newline.
    { cat "$@" && echo; } | LC_ALL=C tr '[:upper:]' '[:lower:]' |
        LC_ALL=C tr -cs "a-z0-9'\200-\377" '\n' | sed '/^$/d'
}

# Prints the first N of "COUNT WORD", ordered by count and then by bytes.
expected_top() {
    ntop=$1
    shift
    words_of "$@" | LC_ALL=C sort | LC_ALL=C uniq -c | LC_ALL=C sort -k1,1nr -k2,2 |
        awk -v n="$ntop" 'NR <= n { print $1, $2 }'
}

# Prints "COUNT WORD" for the first list of wordcount's output.
printed_top() {
    awk '/^ +count  phrase/ { exit } /^ +[0-9]+  / { print $1, $2 }' "$work/out"
}

same_top() {
    expected_top "$@" >"$work/expected"
    printed_top >"$work/printed"
    [ -s "$work/expected" ] && diff "$work/expected" "$work/printed"
}

# Compares wordcount's first line with the independent counts of all words and of distinct words.
same_totals() {
    nwords=$(words_of "$@" | wc -l)
    ndistinct=$(words_of "$@" | LC_ALL=C sort -u | wc -l)
    printed "^$((nwords)) words, $((ndistinct)) of them distinct\$"
}

same_phrase() {
    # Pairs can be counted independently only if the text is one line of one file.
    expected=$(words_of "$1" | awk 'NR > 1 { n[p " " $0]++ } { p = $0 }
                                    END { for (k in n) print n[k], k }' |
        LC_ALL=C sort -k1,1nr -k2 | sed -n 1p)
    printed "^ +${expected%% *}  ${expected#* }\$"
}

# Prints a column of a style's row: field 2 is the free chunks, 3 the largest of them, 4 all.
column() {
    awk -v s="$1" -v f="$2" '$1 == s { print $f; exit }' "$work/out"
}

row_makes_sense() {
    nfree=$(column "$1" 2) largest=$(column "$1" 3) total=$(column "$1" 4)
    [ "$nfree" -ge 1 ] && [ "$largest" -ge 16 ] && [ "$total" -ge "$largest" ] &&
        [ "$total" -ge $((largest + 16 * (nfree - 1))) ] && [ "$total" -lt 2097152 ]
}

not_wider_than() {
    [ -s "$work/out" ] &&
        awk -v n="$1" 'length > n { print; wide = 1 } END { exit wide }' "$work/out"
}

only_ascii() {
    [ -s "$work/out" ] && ! LC_ALL=C grep '[^ -~]' "$work/out"
}

test_wordcount_counts() {
    # The text is long enough for tables to grow, and has everything that is difficult to split:
    # apostrophes, digits, UTF-8, a line longer than the read buffer, CRLF.
    awk 'BEGIN {
        srand(1)
        for (i = 0; i < 20000; i++) {
            r = int(60 * rand() * rand())
            printf "%s%d%s", i % 3 ? "Word" : "don'\''t", r * r % 997,
                i % 11 ? " " : i % 22 ? ".\r\n" : "\n\n"
        }
    }' >"$work/one"
    awk 'BEGIN { for (i = 0; i < 9000; i++) printf "the long line%d ", i % 50 }' >"$work/long"
    printf 'na\303\257ve NA\303\257VE a-b \000 it'\''s\n\n\nend' >"$work/bytes"

    run wordcount --top=25 --region=4M "$work/one" "$work/long" "$work/bytes"
    check "wordcount: status 0 on three files" status_is 0
    check "wordcount: no complaint" silent
    check "wordcount: its totals are those of tr, sort and uniq" \
        same_totals "$work/one" "$work/long" "$work/bytes"
    check "wordcount: its 25 top words are those of tr, sort and uniq" \
        same_top 25 "$work/one" "$work/long" "$work/bytes"

    run wordcount --top=1000 --style=first "$work/bytes"
    check "wordcount: bytes that are no text: the same words" same_top 1000 "$work/bytes"
    check "wordcount: a phrase seen once is forgotten" printed_lines 0 'a b$'
    run wordcount --top=1 --style=worst "$work/long"
    check "wordcount: the top phrase is that of awk" same_phrase "$work/long"
    : >"$work/empty"
    run wordcount "$work/empty"
    check "wordcount: an empty file has no words" printed '^0 words, 0 of them'
    check "wordcount: an empty file is no failure" status_is 0
    nbad=0
    for style in worst first none; do
        run wordcount --style=$style --region=4M "$work/one" "$work/long"
        status_is 0 && same_top 10 "$work/one" "$work/long" || nbad=$((nbad + 1))
    done
    check "wordcount: the other styles count the same" [ "$nbad" -eq 0 ]
}

test_wordcount_on_licenses() {
    set -- /usr/share/common-licenses/*
    [ -f "$1" ] || set -- "$work/one" "$work/long"
    run wordcount "$@"
    check "wordcount: status 0 on real text" status_is 0
    check "wordcount: the top words of real text" same_top 10 "$@"
    check "wordcount: every style frees everything" \
        printed_lines 4 '^(best|worst|first|none) .* one free chunk again$'
    for style in best worst first none; do
        check "wordcount: figures of $style fit together" row_makes_sense "$style"
    done
    check "wordcount: worst fit scatters more than best fit" \
        [ "$(column worst 2)" -gt "$(column best 2)" ]
    check "wordcount: a map for each style" \
        printed_lines 4 '^(best|worst|first|none) +\|[.+#]{64}\|$'
    check "wordcount: at most 100 columns" not_wider_than 100
    check "wordcount: plain ASCII" only_ascii
    run wordcount --style=worst --dump "$@"
    check "wordcount: --dump prints a line for each free chunk" \
        printed_lines "$(column worst 2)" '^ +0x[0-9a-f]+ +0x[0-9a-f]+ +[0-9]+$'
    check "wordcount: one style only, if so asked" printed_lines 1 'one free chunk again$'
}

# With regions from much too small to nearly large enough for the text, the status is always 1 and
# there is a message.
test_wordcount_out_of_memory() {
    nbad=0
    for region in 1 4K 8K 20K 40K 64K 100K 150K 200K; do
        run wordcount --region=$region --style=best "$work/one" "$work/one"
        status_is 1 && complained 'style best: [0-9]+ bytes wanted.*: Cannot allocate memory$' &&
            printed 'OUT OF MEMORY$' || nbad=$((nbad + 1))
    done
    check "wordcount: a region too small is status 1 and a message" [ "$nbad" -eq 0 ]
    run wordcount --region=20K "$work/one"
    check "wordcount: it names each style that ran out" \
        [ "$(grep -c 'bytes wanted' "$work/err")" -eq 4 ]
}

test_wordcount_options() {
    run wordcount
    check "wordcount: no file is a usage error" status_is 64
    check "wordcount: and it says so" complained 'no file to count'
    nbad=0
    for option in --style=next --region=0 --region=-1 --region=12Q --region= \
        --region=9G --region=2048M \
        --region=99999999999999999999 --top=0 --top=x --nonsense; do
        run wordcount "$option" "$work/one"
        { status_is 64 && [ -s "$work/err" ] && [ ! -s "$work/out" ]; } ||
            { nbad=$((nbad + 1)) && echo "# $option: status $status"; }
    done
    check "wordcount: bad options are usage errors" [ "$nbad" -eq 0 ]
    run wordcount "$work/one" "$work/missing"
    check "wordcount: a missing file is status 1, before any output" \
        [ "$status-$(wc -c <"$work/out")" = "1-0" ]
    run wordcount "$work"
    check "wordcount: a directory is refused" complained 'not a regular file'
}

test_free_anywhere() {
    run free-anywhere
    check "free-anywhere: status 0" status_is 0
    check "free-anywhere: first, middle and last byte free" printed_lines 3 '^[abc] .* 0 +-$'
    check "free-anywhere: one past the end is refused" printed '^d \+ 100 .* -1 +E_BAD_POINTER$'
    check "free-anywhere: all nine refusals" printed_lines 9 ' -1 +E_BAD_POINTER$'
    check "free-anywhere: the heap is whole" printed '^The heap is one free chunk again'
}

test_first_fit() {
    run first-fit
    maps=$(sed -n 's/^\([A-Z]*FIT\) *\([N.#]*\)  at .*/\1 \2/p' "$work/out")
    check "first-fit: the map of each style" [ "$status $maps" = \
        "0 FIRSTFIT NNNNN.....#......#....................#
BESTFIT ..........#NNNNN.#....................#
WORSTFIT ..........#......#NNNNN...............#" ]
}

test_mmap_example() {
    cp "$work/one" "$work/mapped"
    run mmap-example "$work/mapped"
    check "mmap-example: status 0" status_is 0
    check "mmap-example: a private write stays, a shared one arrives, a read-only page refuses" \
        [ "$(grep -Ec \
            -e 'MAP_PRIVATE .*stayed in the mapping|MAP_SHARED .*reached the file' \
            -e 'PROT_READ  .*SIGSEGV|PROT_WRITE .*succeeds' "$work/out")" -eq 4 ]
    check "mmap-example: an anonymous mapping is zero" printed ' not zero: 0, of [0-9]+\.$'
    check "mmap-example: FILE is unchanged" cmp "$work/one" "$work/mapped"
    head -n 10 "$work/one" >"$work/head"
    sed -n '/^4\. /,$p' "$work/out" | sed '1,3d;$d' >"$work/shown"
    check "mmap-example: its first 10 lines are printed" cmp "$work/head" "$work/shown"
    nbad=0
    for what in "$work/empty:is empty" "$work:is a directory" "$work/missing:No such file" \
        "/dev/null:not a regular"; do
        run mmap-example "${what%%:*}"
        status_is 1 && complained "${what#*:}" && [ ! -s "$work/out" ] || nbad=$((nbad + 1))
    done
    check "mmap-example: empty, directory, missing, device: status 1 and a reason" [ "$nbad" -eq 0 ]
    run mmap-example
    check "mmap-example: no argument is a usage error" status_is 64
}

test_mark_sweep() {
    run mark-sweep 2000
    numbers=$(sed -n 's/.* \([0-9]*\) collected, *\([0-9]*\) left/\1 \2/p' "$work/out")
    check "mark-sweep: what is collected" [ "$status $(echo "$numbers" | tr '\n' ' ')" = \
        "0 2000 2000 0 2000 1 3999 2000 1999 1999 0 " ]
    check "mark-sweep: the heap is whole" printed '^The heap is one free chunk again'
    run mark-sweep 1
    check "mark-sweep: 1 object, not 1 objects" \
        [ "$status $(grep -c ' 1 objects' "$work/out")" = '0 0' ]
    run mark-sweep 0
    check "mark-sweep: no nodes is a usage error" status_is 64
}

test_what_is_there() {
    run what-is-there
    check "what-is-there: status 0" status_is 0
    check "what-is-there: an object of each heap is known to the byte" [ "$(
        sed -n 's/.* byte \([0-9]*\) of an object of \([0-9]*\) bytes in \(.*\) heap$/\1 \2 \3/p' \
            "$work/out" | tr '\n' ';'
    )" = "0 100 Mem_Init's;42 200 the small;9999 10000 the large;" ]
    check "what-is-there: one past the end is no object" printed '^one past .* but in no object$'
    check "what-is-there: a variable is in no heap" printed '^a local variable .* outside the heap$'
    check "what-is-there: what was freed is free" printed '^first .* free memory in the small heap$'
    check "what-is-there: the classic heap by its handle" printed ' has 1 object, of 100 bytes$'
}

# Prints the words that are kept in the file, in one line.
kept() {
    run kept-words "$@"
    tr '\n' ' ' <"$work/out"
}

test_kept_words() {
    rm -f "$work/kept"
    check "kept-words: the newest is first" \
        [ "$(kept "$work/kept" one two three)" = 'three two one ' ]
    check "kept-words: a new process has them, and takes one away" \
        [ "$(kept "$work/kept" -two four)" = 'four three one ' ]
    run kept-words "$work/kept" -two
    check "kept-words: a word that is not there" complained 'two: no such word$'
    # The first eight bytes are the offset of the first word.
    cp "$work/kept" "$work/astray"
    printf '\001' | dd of="$work/astray" bs=1 conv=notrunc 2>"$work/why"
    run kept-words "$work/astray"
    check "kept-words: an offset that leads to no word is refused" complained 'there is no word at'
    cp "$work/kept" "$work/damaged"
    printf damage | dd of="$work/damaged" bs=1 seek=24 conv=notrunc 2>"$work/why"
    run kept-words "$work/damaged"
    check "kept-words: a damaged heap is refused, with the reason" \
        complained "damaged: the heap's own data have been written to"
    head -c 1000 "$work/kept" >"$work/short"
    run kept-words "$work/short"
    check "kept-words: a file that was cut off is refused" status_is 1
    run kept-words
    check "kept-words: no file is a usage error" status_is 64
}

# Mem_AllocStyle is what Mem_Alloc with a style calls.
test_all_functions() {
    cd "$(dirname "$0")/.." || exit 1
    . test/support/headers.sh
    for file in examples/*.c; do code_of "$file"; done >"$work/code"
    { functions_of include/mem.h && functions_of include/mem_heap.h; } |
        sed 's/^Mem_AllocStyle$/Mem_Alloc/' >"$work/functions"
    while read -r function; do
        grep -qE "(^|[^A-Za-z_])$function\(" "$work/code" || echo "$function"
    done <"$work/functions" >"$work/out"
    check "each function of the headers has an example" [ ! -s "$work/out" ]
    [ "$(wc -l <"$work/functions")" -ge 29 ] || check "there are 29 of them" false
}

# Skips the checks of an example that was not built because its library has no header here.
skip_unless() { # program checks
    [ ! -x "$bin/$1" ] || return 0
    for _ in $(seq "$2"); do
        number=$((number + 1))
        echo "ok $number - $1 # SKIP its library is not installed"
    done
    return 1
}

test_lua_states() {
    skip_unless lua-states 2 || return 0
    run lua-states 50
    check "lua-states: one is out of memory" printed '^greedy state: not enough memory'
    check "lua-states: all others are right" printed '^50 states of 256 KiB, all right'
}

test_sqlite_bounded() {
    skip_unless sqlite-bounded 2 || return 0
    run sqlite-bounded
    rows=$(sed -n 's/ rows, then: out of memory$//p' "$work/out")
    check "sqlite-bounded: full, and all rows are there" printed "^${rows:-none} rows are there"
    check "sqlite-bounded: it gives all back" \
        [ "$status $(grep -c '^at the end: 0 objects' "$work/out")" = '0 1' ]
}

test_wordcount_counts
test_wordcount_on_licenses
test_wordcount_out_of_memory
test_wordcount_options
test_free_anywhere
test_first_fit
test_mmap_example
test_mark_sweep
test_what_is_there
test_kept_words
test_lua_states
test_sqlite_bounded
test_all_functions
echo "1..$number"
[ "$number" -eq "$NCHECKS" ] || echo "# expected $NCHECKS checks, ran $number"
[ "$nfailed" -eq 0 ] && [ "$number" -eq "$NCHECKS" ]
