#!/bin/sh
# SPDX-License-Identifier: MIT
#
# scripts.sh - checks that shellcheck has nothing to say of any script of the project, except what
# .shellcheckrc names. Prints TAP.
set -u
cd "$(dirname "$0")/.." || exit 1
command -v shellcheck >/dev/null || { echo '1..0 # SKIP shellcheck is not installed'; exit 0; }
scripts=$(find .ci/run bench examples fuzz prove src test tools -name '*.sh' -o -path .ci/run |
    sort)
nscripts=$(echo "$scripts" | wc -l)
ntests=0

result() { # status what
    ntests=$((ntests + 1))
    if [ "$1" -eq 0 ]; then echo "ok $ntests - $2"; else echo "not ok $ntests - $2"; fi
}

# shellcheck disable=SC2086 # scripts is several words
said=$(shellcheck --format=gcc $scripts 2>&1)
result $? "shellcheck is silent about $nscripts scripts"
[ -z "$said" ] || echo "$said" | sed 's/^/# /'
[ "$nscripts" -ge 30 ]
result $? 'there are at least 30 of them'
echo "1..$ntests"
