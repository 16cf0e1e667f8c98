#!/bin/sh
# SPDX-License-Identifier: MIT
#
# walks.sh SOURCES DESIGN - checks that each function that a walk of DESIGN.md names is defined in
# the file of SOURCES that the walk names. Prints TAP.
#
# A walk is a heading "### ..." below "## Walks", and numbered steps. In a step, FOLDER/FILE in
# backticks is a file of SOURCES; each name in backticks that follows it is a function of it.
set -u
sources=$1 design=$2
least=40 # With fewer functions the walks were cut, or were not read.
ntests=0 nfunctions=0

result() { # status what
    ntests=$((ntests + 1))
    if [ "$1" -eq 0 ]; then echo "ok $ntests - $2"; else echo "not ok $ntests - $2"; fi
}

# Prints a line "WALK FILE FUNCTION" for each function of each walk, with spaces in WALK as _.
functions_named() {
    awk '
        /^## / { inside = $0 == "## Walks" }
        inside && /^### / { walk = substr($0, 5); gsub(/[^A-Za-z_]+/, "_", walk); file = "?" }
        inside && walk != "" && !/^#/ {
            n = split($0, word, "`")
            for (i = 2; i <= n; i += 2)
                if (word[i] ~ /\//) file = word[i]
                else print walk, file, word[i]
        }' "$design"
}

# A definition begins in the first column and has a body, a "{" in the first column of a later
# line; a prototype ends with a semicolon before that.
is_defined_in() { # file function
    [ -e "$sources/$1" ] && awk -v name="$2" '
        /^[A-Za-z_]/ && $0 ~ ("(^|[^A-Za-z0-9_])" name "[(]") { found = 1 }
        found && /;/ { found = 0 }
        found && /^[{]/ { defined = 1; exit }
        END { exit !defined }' "$sources/$1"
}

named=$(functions_named)
for walk in $(echo "$named" | cut -d ' ' -f 1 | uniq); do
    missing=''
    for pair in $(echo "$named" | awk -v walk="$walk" '$1 == walk { print $2 ":" $3 }'); do
        nfunctions=$((nfunctions + 1))
        is_defined_in "${pair%:*}" "${pair#*:}" || missing="$missing ${pair#*:} (${pair%:*})"
    done
    [ -z "$missing" ]
    result $? "the walk $walk names functions of src${missing:+, except:$missing}"
done
[ "$nfunctions" -ge "$least" ]
result $? "the walks name $nfunctions functions, at least $least"
echo "1..$ntests"
