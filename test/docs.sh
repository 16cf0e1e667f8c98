#!/bin/bash
# SPDX-License-Identifier: MIT
#
# docs.sh BUILD - checks the documents: that every link leads to a file, and to a heading of it;
# that every page can be reached from README.md; and that the commands in them work. Prints TAP.
#
#     test/docs.sh BUILD             all documents
#     test/docs.sh --page COPY FILE  runs the commands of one, in a copy of the tree
#
# In a block that begins with ```sh each line is a command that succeeds. In a block that begins
# with ```console a line that begins with "$ " is a command, and the lines below it are what it
# prints: numbers, addresses and units may differ, and a line "..." stands for any lines. Other
# blocks are only shown. Commands run in order, from the root of the tree, with build/ in PATH, and
# the programs of test/docs beside them; the last block of C is mymain.c. A make of what takes long
# is asked with -n whether there is such a target. A page of which a command is not installed is
# skipped.
set -u
export LC_ALL=C
tests=$(cd "$(dirname "$0")" && pwd)
cd "$tests/.." || exit 1
ntests=0

result() { # status what
    ntests=$((ntests + 1))
    if [ "$1" -eq 0 ]; then echo "ok $ntests - $2"; return; fi
    echo "not ok $ntests - $2"
    [ ! -s "$work/log" ] || sed 's/^/# /' "$work/log"
}

# --- one page ---------------------------------------------------------------------------

make() {
    case " $* " in
    *' check'* | *' reliability'* | *' soak'* | *' bench'* | *' demo'* | *' deb '* | \
        *' instructions '*)
        command make -n "$@" >/dev/null ;;
    *) command make -s "$@" ;;
    esac
}
pidof() { # program: of those that this page has started
    pgrep -s 0 -n -x "$(cut -c 1-15 <<<"$1")"
}

# What two runs have in common: paths of the copy, numbers and units are replaced, and blanks.
common() {
    sed -E "s|$PWD|/home/you|g; s/0x[0-9a-f]+/0x/g; s/[0-9][0-9,]*([.][0-9]+)?/N/g;
        s/\b[KMG]iB\b/B/g; s/[ \t]+/ /g; s/^ //; s/ \$//"
}

# Runs a command, and compares what it prints with the file `expected`, of a block of console.
run_command() { # kind line command
    local status pattern got
    if [[ $3 == *'&' ]]; then
        eval "$3" >/dev/null 2>&1 </dev/null
        sleep 0.5
        return
    fi
    eval "$3" >"$work/got" 2>&1 </dev/null
    status=$?
    if [ "$1" = sh ]; then
        [ $status -eq 0 ] && return
        echo "$page:$2: status $status: $3"
        cat "$work/got"
        return
    fi
    pattern=$(common <"$work/expected" | sed 's/[][\\*?]/\\&/g; s/^\.\.\.$/*/')
    # The shell says by itself that a command was aborted.
    got=$(grep -v '/docs\.sh: line [0-9]*: ' "$work/got" | common)
    # shellcheck disable=SC2053 # the pattern is one
    [[ $got == $pattern ]] && return
    echo "$page:$2: $3"
    diff <(common <"$work/expected") - <<<"$got"
}

# Prints each block as "BLOCK kind line", its lines, and "END".
blocks() {
    awk '/^```/ && kind != "" { print "END"; kind = ""; next }
        /^```/ {
            kind = length($0) > 3 ? substr($0, 4) : "text"
            print "BLOCK", kind, NR
            next
        }
        kind != ""' "$1"
}

if [ "${1-}" = --page ]; then
    copy=$2 page=$3
    work=$(mktemp -d) || exit 1
    trap 'kill $(jobs -p) 2>/dev/null; wait; rm -rf "$work"' EXIT
    cd "$copy" || exit 1
    export PATH=$copy/build:$PATH
    blocks "$page" >"$work/blocks"
    kind='' line=0 command=''
    flush() { # runs the command that has been read
        [ -z "$command" ] || run_command "$kind" "$at" "$command"
        command='' && : >"$work/expected"
    }
    while IFS= read -r text <&3; do
        line=$((line + 1))
        case $kind:$text in
        :BLOCK*)
            read -r _ kind line <<<"$text"
            [ "$kind" != c ] || : >mymain.c
            : >"$work/expected"
            ;;
        *:END) flush && kind='' ;;
        sh:?* | console:'$ '*)
            flush
            at=$line command=${text#'$ '}
            while [[ $command == *\\ ]] && IFS= read -r text <&3; do
                line=$((line + 1)) command=${command%\\}$text
            done
            ;;
        console:*) echo "$text" >>"$work/expected" ;;
        c:*) echo "$text" >>mymain.c ;;
        esac
    done 3<"$work/blocks"
    exit
fi

# --- links ------------------------------------------------------------------------------

build=$(realpath -e "${1:?usage: docs.sh BUILD}") || exit 2
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
pages=$(find . -name '*.md' -not -path './build/*' -not -path './.git/*' | sed 's,^\./,,' | sort)

# Prints the links of a page, without those to other sites, and without what is code.
links_of() { # page
    awk '/^```/ { code = !code } !code && !/^    /' "$1" | sed 's/`[^`]*`//g' |
        grep -oE '\]\([^) ]+\)' | sed 's/^](//; s/)$//' | grep -vE '^(https?|mailto):'
}

# Prints the anchors of a page as code hosts make them of its headings.
anchors_of() { # page
    awk '/^```/ { code = !code } !code && /^#+ /' "$1" |
        sed -E 's/^#+ //; s/[^A-Za-z0-9 _-]//g; s/ /-/g' | tr '[:upper:]' '[:lower:]' |
        awk '{ print $0 (n[$0]++ ? "-" (n[$0] - 1) : "") }'
}

nlinks=0
: >"$work/log" && : >"$work/reached"
for page in $pages; do
    for link in $(links_of "$page"); do
        nlinks=$((nlinks + 1))
        file=${link%%#*}
        [ -n "$file" ] && target=$(realpath -m --relative-to=. "$(dirname "$page")/$file") ||
            target=$page
        if [ ! -e "$target" ]; then
            echo "$page: there is no $link" >>"$work/log"
        elif [[ $link == *'#'* ]] && ! anchors_of "$target" | grep -qxF "${link#*#}"; then
            echo "$page: $target has no heading for #${link#*#}" >>"$work/log"
        fi
        echo "$page $target" >>"$work/reached"
    done
done
[ ! -s "$work/log" ]
result $? "each of $nlinks links leads to a file and to a heading"
[ "$nlinks" -ge 40 ]
result $? 'there are at least 40'

awk -v pages="$pages" '{ to[$1] = to[$1] " " $2 }
    END {
        n = split("README.md", todo, " ")
        seen["README.md"] = 1
        for (i = 1; i <= n; i++) {
            m = split(to[todo[i]], next_ones, " ")
            for (j = 1; j <= m; j++)
                if (!seen[next_ones[j]]++) todo[++n] = next_ones[j]
        }
        n = split(pages, page, "\n")
        for (i = 1; i <= n; i++) if (!seen[page[i]]) print page[i] ": no link leads to it"
    }' "$work/reached" >"$work/log"
[ ! -s "$work/log" ]
result $? 'each page can be reached from README.md'
for page in docs/*.md; do
    grep -qF "](${page#docs/})" docs/README.md || [ "$page" = docs/README.md ] || echo "$page"
done >"$work/log"
[ ! -s "$work/log" ]
result $? 'docs/README.md lists each page of docs'

make -n -p -r -q 2>/dev/null | sed -nE 's/^([a-z][a-z0-9-]*):.*/\1/p' | sort -u >"$work/targets"
# shellcheck disable=SC2086 # pages is several words
grep -oHE '`(make|[A-Z]+=[^ `]* make) [^`]*`' $pages | tr -d '`' | while IFS=: read -r page said; do
    for word in ${said#*make }; do
        case $word in
        '&&') break ;; # what follows is another command
        *=* | -* | *[\"\']*) ;;
        [a-z]*) grep -qxF -- "$word" "$work/targets" || echo "$page: make has no target $word" ;;
        esac
    done
done >"$work/log"
[ ! -s "$work/log" ] && [ "$(wc -l <"$work/targets")" -ge 30 ]
result $? 'each target of make that a page names is there'

# --- commands ---------------------------------------------------------------------------

# Prints the programs that the commands of a page begin with and that are not installed.
lacking() { # page
    blocks "$1" | awk '/^BLOCK / { kind = $2; next } /^END/ { kind = ""; next }
        kind == "sh" { print $1 } kind == "console" && $1 == "$" { print $2 }' | sort -u |
        grep -vE '[=/]|^mem$' | while read -r program; do
            type "$program" >/dev/null 2>&1 || echo "$program"
        done
}

copy="$work/a copy"
mkdir "$copy"
tar -c --exclude=./.git --exclude=./build . | tar -x -C "$copy"
mkdir "$copy/build"
cp -a "$build"/{obj,examples,mem*,libmem*} "$copy/build"
cp "$tests"/docs/*.py "$copy"
for source in "$tests"/docs/*.c; do
    program=${source##*/}
    gcc -g -fno-builtin -w "$source" -o "$copy/${program%.c}" || exit
done
for page in $pages; do
    n=$(blocks "$page" | grep -cE '^BLOCK (sh|console) ')
    [ "$n" -gt 0 ] || continue
    lacks=$(lacking "$page")
    if [ -n "$lacks" ]; then
        ntests=$((ntests + 1))
        echo "ok $ntests - $page # SKIP not installed: ${lacks//$'\n'/ }"
        continue
    fi
    timeout -k 5 600 setsid --wait bash "$tests/docs.sh" --page "$copy" "$page" >"$work/log" 2>&1
    [ $? -eq 0 ] && [ ! -s "$work/log" ]
    result $? "$page: the commands of $n blocks do what it says"
done
echo "1..$ntests"
