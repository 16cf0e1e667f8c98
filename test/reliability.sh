#!/bin/bash
# SPDX-License-Identifier: MIT
#
# reliability.sh - does what test/reliability.tsv lists, and prints one table of what came of it.
#
#     test/reliability.sh [--write]      --write puts the table into docs/reliability.md, too
#
# SIZE=short or SIZE=release says how often each thing is done. ROWS=TEXT takes only the rows that
# have TEXT in them, N=NUMBER does these as often as that, and SEED=NUMBER is the first seed. After
# MINUTES=NUMBER nothing is begun any longer; with 0, the table has what was done before.
#
# A row is done in pieces. What has passed is noted in build/reliability: a run of SIZE=release that
# was broken off goes on where it was. What has passed with a smaller seed than the first does not
# count, nor does what has passed with other sources: the table has it, and names their commit, if
# less has passed with those of today. The output of a piece that fails is kept there, too; the
# next run tries it again. The status is 1 if a row failed, or was not finished with the sources of
# today.
set -u
cd "$(dirname "$0")/.." || exit 1
size=${SIZE:-short} rows=${ROWS-} first=${SEED:-1} page=docs/reliability.md
case $size in
short | release) ;;
*)
    echo 'usage: SIZE=short|release [VARIABLE=VALUE]... reliability.sh [--write]' >&2
    exit 2
    ;;
esac
unset LIBMEM LD_PRELOAD MAKEFLAGS MFLAGS
export LC_ALL=C LD_LIBRARY_PATH=build
folder=build/reliability
passed=$folder/$size.tsv
mkdir -p "$folder"
output=$(mktemp) || exit 1
trap 'rm -f "$output"' EXIT
[ "$size" = release ] || : >"$passed"
sources=$(cat src/*/* include/* tools/*.* tools/*/* | cksum | cut -d ' ' -f 1)
commit=$(git log -1 --format=%h 2>/dev/null) || commit='-'
git diff --quiet HEAD -- src include tools 2>/dev/null || commit+=' and changes'

commas() { # number: with a comma between thousands
    sed -E ':again; s/^([0-9]+)([0-9]{3})/\1,\2/; t again' <<<"$1"
}

# Sums up what has passed of a row, with the sources of today or with those with which the most has
# passed: sets got (how often), seeds, seconds, of (the commit), date and said.
sum_up() { # command today|most
    local lowest highest
    IFS=$'\t' read -r got seconds lowest highest of date said < <(touch "$passed" &&
        awk -F '\t' -v OFS='\t' -v today="$sources" -v command="$1" -v which="$2" \
            -v first="$first" '
            which == "today" && $1 != today { next }
            $2 == command && $3 >= first && !(($1, $3) in seen) {
                seen[$1, $3]
                if (!($1 in got) || $3 < lowest[$1]) lowest[$1] = $3
                if ($3 > highest[$1]) highest[$1] = $3
                got[$1] += $4
                seconds[$1] += $5
                date[$1] = $6
                said[$1] = $7
                of[$1] = $8
            }
            END {
                best = today
                for (each in got) if (got[each] > got[best]) best = each
                printf "%.0f", got[best] # print writes 2^31 as 2.1e+09 in some awks
                print "", seconds[best] + 0, lowest[best] + 0, highest[best] + 0,
                    best in of ? of[best] : "-", best in date ? date[best] : "-", said[best]
            }' "$passed")
    case $1 in
    *SEED*)
        seeds=$lowest
        [ "$lowest" = "$highest" ] || seeds+=" to $highest"
        [ "$got" -gt 0 ] || seeds=''
        ;;
    *) seeds='' ;;
    esac
}

# Puts how often into what is done.
told() { # what N
    echo "${1//\{\}/$(commas "$2")}"
}

# Runs one piece, and notes it if it passes.
piece() { # what command N seed pattern
    local started=$SECONDS status said
    timeout --foreground -k 10 86400 env N="$3" SEED="$4" bash -c "$2" >"$output" 2>&1 </dev/null
    status=$?
    if [ "$status" -ne 0 ] || grep -q '^not ok' "$output"; then
        failed="status $status, N=$3 SEED=$4"
        cp "$output" "$folder/failed"
        echo "FAILED: $(told "$1" "$3"): $failed: $2"
        tail -n 20 "$output" | sed 's/^/    /'
        return 1
    fi
    said=$(grep -m 1 -oE '[a-z]+: skipped.*' "$output" ||
        { [ -n "$5" ] && grep -oE "$5" "$output" | tail -n 1; } || echo passed)
    printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$sources" "$2" "$4" "$3" $((SECONDS - started)) \
        "$(date +%F)" "$said" "$commit" >>"$passed"
}

# Does what is left of a row, and adds a line to the table.
row() { # what N piece command pattern
    local what=$1 all=$2 most=$3 command=$4 got seeds seconds of date said n seed failed=
    most=$((all < most ? all : most))
    sum_up "$command" today
    while [ "$got" -lt "$all" ] && [ "$SECONDS" -lt "$end" ]; do
        n=$((all - got < most ? all - got : most))
        seed=$first
        while cut -f 1-3 "$passed" | grep -qxF "$sources"$'\t'"$command"$'\t'"$seed"; do
            seed=$((seed + 1))
        done
        piece "$what" "$command" "$n" "$seed" "$5" || break
        sum_up "$command" today
        echo "$(told "$what" "$got"): $said, $seconds s"
    done
    [ "$got" -ge "$all" ] || nbad=$((nbad + 1))
    [ "$got" -ge "$all" ] || sum_up "$command" most
    if [ "$got" -lt "$all" ] || [ -n "$failed" ]; then
        said='not begun'
        [ "$got" -eq 0 ] || said='not finished'
        [ -z "$failed" ] || said="**FAILED**: $failed"
        [ "$got" -eq 0 ] || said+="; $(commas "$got") passed"
    fi
    printf '| %s | %s | %s | %s s | %s | %s | `%s` |\n' "$(told "$what" "$all")" "$said" "$seeds" \
        "$(commas "$seconds")" "$of" "$date" "${command//\$N/$most}" >>"$folder/table"
}

nbad=0 nrows=0 end=$((${MINUTES:-1000000} * 60))
head='| what | result | seeds | time | commit | date | command, of each piece |'
printf '\n%s\n|---|---|---|---|---|---|---|\n' "$head" >"$folder/table"
# shellcheck disable=SC2034 # short and release are read by name: ${!size}
while IFS=$'\t' read -r what short release most command pattern <&3; do
    case $what in '' | '#'*) continue ;; esac
    [[ $what$'\t'$command == *"$rows"* ]] || continue
    n=${N:-${!size}}
    [ "$n" != - ] || continue
    nrows=$((nrows + 1))
    row "$what" "$n" "$most" "$command" "${pattern-}"
done 3<test/reliability.tsv
[ "$nrows" -gt 0 ] || { echo "reliability.sh: no row has $rows" >&2; exit 2; }
echo >>"$folder/table"
cat "$folder/table"
if [ "${1-}" = --write ]; then
    sed -i -e '/^<!-- make reliability/,/^<!-- end/ { /^<!--/!d }' \
        -e "/^<!-- make reliability/r $folder/table" "$page"
fi
[ "$nbad" -eq 0 ]
