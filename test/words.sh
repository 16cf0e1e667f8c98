#!/bin/sh
# SPDX-License-Identifier: MIT
#
# words.sh - checks how the project's comments and documents are written. Prints TAP.
#
# No comment or document has one of the words that leave open which thread or caller acts
# (CONTRIBUTING.md), and no line has more than 100 columns. Each .c file of src and tools opens with
# a comment, and the .c files of the folders below have comments on a fifth of their lines. Each
# file that a comment or a document names is there. Each prefix of invariants is one header's, and
# has its row in docs/glossary.md. Whatever is wrong is printed with its place.
set -u
export LC_ALL=C
cd "$(dirname "$0")/.." || exit 1
commented='src/slots src/core src/heaps'
percent=20
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
ntests=0

result() { # status what file: the file says what is wrong
    ntests=$((ntests + 1))
    if [ "$1" -eq 0 ]; then echo "ok $ntests - $2"; return; fi
    echo "not ok $ntests - $2"
    sed 's/^/# /' "$3"
}

# Prints the names of the files to read. Results and traces of benchmarks are data.
files() {
    find src include tools test fuzz prove bench examples docs man README.md DESIGN.md \
        CONTRIBUTING.md CHANGELOG.md Makefile -type f |
        grep -E '\.(c|h|cc|cpp|hpp|sh|awk|mk|md|pml|[1-9])$|^Makefile$' |
        grep -vE '^bench/(results|traces)/' | sort
}

none() { # kind what
    sed -n "s/^$1 //p" "$work/found" >"$work/$1"
    [ ! -s "$work/$1" ]
    result $? "$2" "$work/$1"
}

# Prints each file of the project that a text names and that is not there. README.md in docs/ names
# files from the root, as all other texts do.
names_of_absent_files() {
    folder='(src|include|test|tools|bench|examples|docs)'
    name="$folder/[A-Za-z0-9_/-]+[.](c|h|hpp|sh|awk|md|mk|tsv|csv|svg|pml|cpp)"
    # shellcheck disable=SC2046 # names are words
    grep -noE "(^|[^A-Za-z0-9_./-])$name([^A-Za-z0-9_*{]|\$)" $(files) /dev/null |
        sed -nE "s,^([^:]*:[0-9]*):[^A-Za-z]?($name)([^A-Za-z].*)?\$,\\1 \\2,p" |
        while read -r place name; do
            [ -e "$name" ] || echo "$place: there is no $name"
        done
}

# Prints each prefix of invariants and the header that has it, as the headers say, and the glossary.
prefixes_of_headers() {
    # shellcheck disable=SC2046 # names are words
    grep -oE '^ \* +[A-Z]{2}[0-9]+ ' $(find src tools test -name '*.h') |
        sed -E 's/^([^:]*):.* ([A-Z]{2})[0-9]+ $/\2 \1/' | sort -u
}
prefixes_of_glossary() {
    sed -nE 's/^\| ([A-Z]{2}) \| .* \| `(.*)` \|$/\1 \2/p' docs/glossary.md | sort
}

files >"$work/files"
# shellcheck disable=SC2046 # names are words
awk -f test/words.awk $(cat "$work/files") >"$work/found"
result $? 'all files were read' /dev/null
[ "$(wc -l <"$work/files")" -ge 200 ]
result $? "there are at least 200 of them" "$work/files"
none words 'no comment and no document has a banned word'
none width 'no line has more than 100 columns'
none opening 'each .c file of src and tools opens with a comment of at least one sentence'
for folder in $commented; do
    awk -v folder="$folder" -v percent="$percent" '$1 == "share" && $2 == folder {
        printf "%s: %d of %d lines have a comment\n", $2, $3, $4
        enough = $3 * 100 >= percent * $4
    } END { exit !enough }' "$work/found" >"$work/share"
    result $? "$folder: $percent % of the lines of its .c files have a comment" "$work/share"
done
names_of_absent_files >"$work/absent"
[ ! -s "$work/absent" ]
result $? 'each file that a comment or a document names is there' "$work/absent"
prefixes_of_headers >"$work/headers"
prefixes_of_glossary >"$work/glossary"
diff "$work/headers" "$work/glossary" >"$work/prefixes"
result $? 'the glossary has the prefix of invariants of each header, and no other' "$work/prefixes"
cut -d ' ' -f 1 "$work/headers" | uniq -d >"$work/twice"
[ ! -s "$work/twice" ]
result $? 'no two headers have a prefix in common' "$work/twice"
echo "1..$ntests"
