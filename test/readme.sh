#!/bin/bash
# SPDX-License-Identifier: MIT
#
# readme.sh - checks that the table in test/README.md is up to date and complete. Prints TAP.
#
#     test/readme.sh           compares
#     test/readme.sh --write   writes the table anew, below the text
#
# A row has the first sentence of the file's opening comment, and the number of checks that the
# source has: tests of cmocka, or calls of check and result, which a loop may repeat.
set -u
export LC_ALL=C
cd "$(dirname "$0")/.." || exit 1
page=test/README.md mark='<!-- Below this line: test/readme.sh --write -->'
ntests=0

result() { # status what
    ntests=$((ntests + 1))
    if [ "$1" -eq 0 ]; then echo "ok $ntests - $2"; else echo "not ok $ntests - $2"; fi
}

# Prints the first sentence of the first comment after the licence, without the file's name.
first_sentence() { # file
    awk '
        /SPDX/ || NR == 1 && /^#!/ { next }
        /^ \*\// { exit }
        {
            sub(/^( \*|\/\/|#)? ?/, "")
            if ($0 == "" && text != "") exit
            if ($0 ~ /^(set|export) /) exit
            text = text (text == "" ? "" : " ") $0
            if ($0 ~ /[.:]$/ && text ~ /[a-z)\]][.:]$/) exit
        }
        END {
            sub(/^[a-z0-9_]+\.(c|cc|cpp|sh)( .*)? - /, "", text)
            if (match(text, /[.]( |$)/)) text = substr(text, 1, RSTART - 1)
            sub(/[.:;, ]+$/, "", text)
            gsub(/[|]/, "/", text)
            print toupper(substr(text, 1, 1)) substr(text, 2)
        }' "$1"
}

# Tests of cmocka; else calls of check or result, or 1 for a program that prints one line.
nchecks() { # file
    case $1 in
    test/model/*) echo 1 ;;
    test/schedules/*) grep -c '{.name = "' "$1" ;;
    *.sh)
        grep -cE '(^|[;&|{] *| )(result|check|compiles|works|holds|seeded|leaf) ["$0-9'\'']' "$1"
        ;;
    *)
        grep -v '^#define' "$1" | grep -oE '(cmocka_unit_test[a-z_]*|ALONE|ALONE_WITH|TEST)\(' |
            grep -c . | grep -v '^0$' ||
            grep -vE '^(static|#)' "$1" | grep -oE '(^|[^a-z_])check\(' | grep -c .
        ;;
    esac
}

row() { # file command
    printf '| %s | `%s` | %d | `%s` |\n' "$(first_sentence "$1")" "$1" "$(nchecks "$1")" "$2"
}

rows() { # command file...
    local command=$1 file
    shift
    for file; do row "$file" "$command"; done
}

section() { # title
    printf '\n## %s\n\n| what | where | checks | command |\n|---|---|---|---|\n' "$1"
}

# Prints all tests by folder, with the suite that runs each.
table() {
    section 'Modules of src'
    rows 'make check-one' test/unit/*/*.c
    section 'Promises of mem.h'
    rows 'make check-one' test/contract/classic/*.c
    section 'Promises of mem_heap.h'
    rows 'make check-one' test/contract/heaps/*.c
    section 'Promises of libmem-malloc.so'
    rows 'make check-malloc' test/contract/malloc/*.c test/contract/malloc/*.cc \
        test/contract/malloc/*.sh
    section 'Calls beside models'
    rows 'make check-one' test/model/*.c
    section 'All schedules of small scenarios'
    rows 'make check-tree' test/schedules/[!e]*.c
    rows 'make races' test/races.sh
    section 'Mistakes of users'
    printf '| %s | `%s` | %d | `%s` |\n' 'Each makes one mistake and ends as its line 1 says' \
        'test/misuse/*.c' "$(set -- test/misuse/*.c && echo $#)" 'make check-one'
    section 'The tree: layers, tools, documents'
    rows 'make check-one' test/examples.sh test/poison.sh
    # shellcheck disable=SC2046 # the names are words
    for file in test/*.cpp $(tree_scripts); do row "$file" "make $(suite_of "$file")"; done
    rows 'make check-alone' test/overcommit.sh test/bench.sh
    rows 'make soak-deb' test/deb.sh
    rows 'make soak-arm64' test/arm64.sh
}

# Prints which suite runs a script.
suite_of() { # file
    awk -v file="$1" '/^check-[a-z]*:$/ { suite = $1 } END { if (!found) print "check-tree" }
        index($0, file) && suite { sub(":", "", suite); print suite; found = 1; exit }' test/test.mk
}

# Scripts of test/ that print TAP and that the suites check-tree and check-tools run.
tree_scripts() {
    grep -lE '^echo "?1\.\.|[Pp]rints TAP' test/*.sh |
        grep -vE '^test/(examples|poison|overcommit|bench|deb|arm64|races)\.sh$'
}

if [ "${1:-}" = --write ]; then
    text=$(sed "/^<!-- Below/,\$d" "$page")
    { printf '%s\n\n%s\n' "$text" "$mark"; table; } >"$page.new" && mv "$page.new" "$page"
    exit
fi

made=$(table)
sed "1,/^<!-- Below/d" "$page" | diff - <(printf '\n%s\n' "${made#$'\n'}") | sed 's/^/# /' >&2
[ "${PIPESTATUS[1]}" -eq 0 ]
result $? "the table of $page is up to date (test/readme.sh --write)"
missing=$(for file in $(find test -name '*.c' -o -name '*.cc' -o -name '*.cpp' | sort); do
    case $file in
    test/misuse/* | test/support/* | test/programs/* | test/helgrind/* | test/inspect/* | \
        test/docs/* | test/schedules/explore.c | test/schedules/memory.c) continue ;;
    esac
    grep -qF "\`$file\`" "$page" || echo "$file"
done)
[ -z "$missing" ]
result $? "each test has a row${missing:+, except: $missing}"
unsaid=$(grep -E '^\|  ?\|' <<<"$made" || true)
[ -z "$unsaid" ]
result $? "each test opens with a sentence that says what it checks${unsaid:+, except: $unsaid}"
unrun=$(for file in $(tree_scripts); do grep -qF "$file" test/test.mk || echo "$file"; done)
[ -z "$unrun" ]
result $? "the suite check-tree or check-tools runs each script${unrun:+, except: $unrun}"
echo "1..$ntests"
