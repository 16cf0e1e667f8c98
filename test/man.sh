#!/bin/bash
# SPDX-License-Identifier: MIT
#
# man.sh BUILD - checks that the manual pages are well formed, that they name all that the headers,
# the tool and the options of libmem-malloc.so have, and that their prototypes and examples compile.
# Prints TAP.
set -u
export LC_ALL=C
build=$(realpath "$1")
cd "$(dirname "$0")/.." || exit 1
. test/support/headers.sh
command -v mandoc >/dev/null || { echo '1..0 # SKIP mandoc is not installed'; exit 0; }
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
ntests=0

result() { # status what
    ntests=$((ntests + 1))
    if [ "$1" -eq 0 ]; then echo "ok $ntests - $2"; return; fi
    echo "not ok $ntests - $2"
    [ ! -s "$work/log" ] || sed 's/^/# /' "$work/log"
}

# Checks that a text has each line of standard input, and that these are not too few.
holds() { # text at-least what
    local line nlines=0
    : >"$work/log"
    while IFS= read -r line; do
        nlines=$((nlines + 1))
        grep -qF -- "$line" "$1" || echo "not there: $line" >>"$work/log"
    done
    [ ! -s "$work/log" ] && [ "$nlines" -ge "$2" ]
    result $? "$3"
}

# --- the pages ----------------------------------------------------------------------------

mandoc -T lint -W warning man/* >"$work/log" 2>&1
result $? 'mandoc -T lint -W warning is silent'
# As plain text, where no paragraph is cut into lines.
for page in man/*; do
    mandoc -T ascii -O width=1000 "$page" | sed 's/.\x08//g' >"$work/${page##*/}"
done
sed -nE 's/^\.Xr ((lib)?mem|mem_heap|libmem-malloc) ([1-9]).*/\1.\3/p' man/* | sort -u |
    while read -r page; do
        [ -e "man/$page" ] || echo "$page"
    done >"$work/log"
[ ! -s "$work/log" ]
result $? 'each page of libmem that a page refers to is there'

# --- the headers ----------------------------------------------------------------------------

holds "$work/libmem.3" 8 'libmem(3) has each function of mem.h' \
    < <(functions_of include/mem.h | sed 's/$/(/')
holds "$work/libmem.3" 14 'libmem(3) has each constant of mem.h' \
    < <(constants_of include/mem.h)
holds "$work/libmem.3" 3 'libmem(3) has each member of a struct of mem.h' \
    < <(members_of include/mem.h)
holds "$work/mem_heap.3" 21 'mem_heap(3) has each function of mem_heap.h' \
    < <(functions_of include/mem_heap.h | sed 's/$/(/')
holds "$work/mem_heap.3" 32 'mem_heap(3) has each constant of mem_heap.h' \
    < <(constants_of include/mem_heap.h)
holds "$work/mem_heap.3" 20 'mem_heap(3) has each member of a struct of mem_heap.h' \
    < <(members_of include/mem_heap.h)

# Prints the declarations of a page's synopsis. The form of Mem_Alloc with one argument is a macro.
declarations() { # page
    awk -v quote='"' '
        /^\.In / { print "#include <" $2 ">" }
        /^\.Vt / { sub(/^\.Vt /, ""); print }
        /^\.Sh DESC/ { exit }
        /^\.Ft / { sub(/^\.Ft /, ""); type = $0 }
        /^\.Fn / {
            sub(/^\.Fn /, "")
            name = $1
            n = split($0, part, quote)
            arguments = n < 2 ? $2 : part[2]
            for (i = 4; i <= n; i += 2)
                arguments = arguments ", " part[i]
            if (name != "Mem_Alloc" || n > 4)
                print type " (" name ")(" arguments ");"
        }' "$1"
}

# Prints the program of a page, with the include directives of its example.
example() { # page
    awk '/^\.Bd / { text = "" ; next } /^\.Ed/ { if (text ~ /main\(/) printf "%s", text; text = "" }
        { gsub(/\\e/, "\\"); text = text $0 "\n" }' "$1"
}

for page in man/*.3; do
    declarations "$page" >"$work/declarations.c"
    [ "$(grep -c '(' "$work/declarations.c")" -ge 8 ] &&
        gcc -Wall -Wextra -Werror -Iinclude -fsyntax-only "$work/declarations.c" 2>"$work/log"
    result $? "the prototypes of $page are those of the header"
    example "$page" >"$work/example.c"
    gcc -Wall -Wextra -Werror -Iinclude "$work/example.c" -L"$build" -lmem -o "$work/example" \
        2>"$work/log" && LD_LIBRARY_PATH=$build "$work/example" >"$work/log"
    result $? "the example of $page compiles and runs"
done

# --- libmem-malloc.so -------------------------------------------------------------------------

LIBMEM=help LD_PRELOAD=$build/libmem-malloc.so "$build/mem" --version 2>&1 |
    sed -nE 's/^  ([a-z]+(=[a-z]+)?).*/\1/p' >"$work/options"
holds "$work/libmem-malloc.7" 8 'libmem-malloc(7) has each option that LIBMEM=help prints' \
    <"$work/options"
grep -ohE 'line_text\(&?l, "[^"]{9,}' src/malloc/*.c |
    sed 's/[^"]*" *//; s/[\\: ]*$//' >"$work/lines"
holds "$work/libmem-malloc.7" 20 'libmem-malloc(7) has each line that the library writes' \
    <"$work/lines"

# --- the tool -----------------------------------------------------------------------------------

"$build/mem" --help | sed -n 's/^  \([a-z]\{1,\}\)  .*/\1/p' >"$work/commands"
[ "$(wc -l <"$work/commands")" -ge 9 ]
result $? 'mem --help lists the commands'
while read -r command; do
    awk -v command="$command" '/^   ?[a-zA-Z]/ || /^[A-Z]/ { inside = $1 == command } inside' \
        "$work/mem.1" >"$work/section"
    "$build/mem" "$command" --help | grep -oE '^ .* --[a-z]+' | grep -oE -- '--[a-z]+$' |
        grep -vE -- '--(help|usage|version)$' >"$work/options"
    echo 'exit status' >>"$work/options"
    holds "$work/section" 1 "mem(1) has $command, its options and its exit status" \
        <"$work/options"
done <"$work/commands"
holds "$work/mem.1" 3 'mem(1) has the options of all commands' < <(printf -- '--%s\n' \
    help usage version)
echo "1..$ntests"
