#!/bin/bash
# SPDX-License-Identifier: MIT
#
# demo.sh MEM - checks that the table of bench/demo.sh is complete and true. Prints TAP.
#
# The demo runs in a copy of the tree, in a folder whose name has a space.
# A `sort` made by this script stands before the system's in PATH. On libmem it prints something
# else, fails, is slow, or does not load libmem, and the demo must show each.
#
# shellcheck disable=SC2016 # the other sort expands what is in single quotes
set -u
mem=$(realpath -e "${1:?usage: demo.sh MEM}") || exit 2
demo=$(realpath "$(dirname "$0")/../bench/demo.sh")
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
unset LD_PRELOAD LIBMEM ROUNDS
export LC_ALL=C TMPDIR=$work
cd "$work" || exit 1
mkdir -p 'a clone'/{build,src} 'a folder'
cp -r "$(dirname "$demo")" "$(dirname "$demo")"/../{include,*.md} 'a clone'
cp -r "$(dirname "$demo")"/../src/base 'a clone/src' # less text, and less to compile
cp "$mem" "$(dirname "$mem")/libmem-malloc.so" 'a clone/build'
demo="$work/a clone/bench/demo.sh" mem="$work/a clone/build/mem"
ntests=0 nfailed=0

result() { # status what
    ntests=$((ntests + 1))
    if [ "$1" -eq 0 ]; then echo "ok $ntests - $2"; return; fi
    nfailed=$((nfailed + 1))
    echo "not ok $ntests - $2"
    sed "s/^/# $status: /" out err
}

run() { # variable... program...
    timeout -k 5 800 env "$@" >out 2>err </dev/null
    status=$?
}

ended() { # status what
    [ "$status" -eq "$1" ]
    result $? "$2"
}

printed() { # pattern what
    grep -qE -- "$1" out
    result $? "$2"
}

# Prints the six figures of a program's row: seconds and MiB on each malloc and their ratios.
figures() { # name
    sed -n "s/^$1 .* equal  *\([0-9. ]*\)\$/\1/p" out
}

holds() { # condition of awk: $1 to $3 seconds on the system's malloc, on libmem, ratio
    figures sort | awk "END { exit !(NF == 6 && ($1)) }"
}

# --- the programs as they are -----------------------------------------------------

run TMPDIR="$work/a folder" ROUNDS=1 "$demo" "$mem"
ended 0 'all programs: status 0'
nbad=0
for name in cc python3 perl sqlite3 git xz sort; do
    # The ratio was computed from unrounded figures and then rounded.
    figures "$name" | awk 'function fits(before, after, ratio, half) {
            return before > 0 && after > 0 && ratio + 0.006 >= (after - half) / (before + half) &&
                (before <= half || ratio - 0.006 <= (after + half) / (before - half))
        }
        END { exit !(NF == 6 && fits($1, $2, $3, 0.006) && fits($4, $5, $6, 0.06)) }' ||
        { nbad=$((nbad + 1)) && echo "# no row, or no ratio: $name"; }
done
result "$nbad" 'each has a row: equal, and six figures'
printed '^7 of 7 came out equal, .* refused 0\.$' 'and the sum'
[ "$(awk 'length > 100' out | wc -l)" -eq 0 ]
result $? 'nothing is wider than 100 columns'
[ ! -s err ]
result $? 'no progress where there is no terminal'
[ -z "$(find . -mindepth 1 -path './a clone' -prune -o \
    ! -name out ! -name err ! -name 'a folder' -print)" ]
result $? 'nothing is left behind'
run ROUNDS=1 script -qec "'$demo' '$mem' sort >table" /dev/null
printed 'round 1 of 1: sort on libmem' 'progress on a terminal'
[ "$(tr '\r' '\n' <out | awk 'length >= 40' | wc -l)" -eq 0 ] && [ "$(wc -l <out)" -eq 0 ] &&
    [ -z "$(tail -c 36 out | tr -d ' \r')" ]
result $? 'one line that is overwritten, and cleared at the end'

# --- with another sort ------------------------------------------------------------

# From here on it is a question of processes, not of how much text they have.
sed -i 's|/usr/share/common-licenses/\*||' "$demo"
rm 'a clone'/include/* 'a clone'/bench/*.[ch]
mkdir bin
real=$(type -P sort)

# Makes a sort that first runs the given command, which may call on_libmem and is_measured.
other_sort() { # what it does before or instead
    {
        echo '#!/bin/bash'
        echo 'on_libmem() { [[ ${LD_PRELOAD-} == *libmem-malloc.so* ]]; }'
        echo 'is_measured() { [ -z "${LD_DEBUG-}" ]; }'
        echo "$1"
        echo "exec '$real' \"\$@\""
    } >bin/sort
    chmod +x bin/sort
    rm -f count
}

with_it() { # rounds
    run PATH="$work/bin:$PATH" ROUNDS="$1" "$demo" "$mem" sort
}

other_sort 'true'
with_it 1
ended 0 'another sort that does the same: status 0'

other_sort 'on_libmem && echo different'
with_it 1
ended 1 'another output on libmem: status 1'
printed '^sort .* DIFFERS ' 'and the row says so'
printed '^0 of 1 came out equal' 'and the sum'
kept=$(sed -n 's/^sort: .*; diff -r \([^ ]*\) \([^ ]*\)$/\1 \2/p' out)
# shellcheck disable=SC2086 # kept is two words
[ "$(diff -r $kept | grep -c '^> .*different$')" -gt 0 ]
result $? 'and both outputs are kept, where it says'

other_sort 'on_libmem && is_measured && echo different'
with_it 2
ended 1 'another output in a measured round: status 1'
printed '^sort .* DIFFERS ' 'and the row says so'

other_sort 'on_libmem && touch left-behind'
with_it 1
printed '^sort .* DIFFERS .*left-behind' 'another file on libmem'

other_sort 'on_libmem && exit 3'
with_it 1
ended 1 'a failure on libmem: status 1'
printed '^sort .* FAILED .*status 3' 'and the row says so'

other_sort 'echo no such thing >&2; exit 4'
with_it 1
ended 1 'a failure on both, and nothing else ran: status 1'
printed "^sort .* - .*fails on the system's malloc too: status 4" 'and the row says so'

other_sort 'unset LD_PRELOAD'
with_it 1
ended 1 'not on libmem, and nothing else ran: status 1'
printed '^sort .* - .*has not loaded libmem' 'and the row says so'

other_sort 'on_libmem && is_measured && echo "libmem: free(0x10): already free" >&2'
with_it 2
printed ' refused [1-9][0-9]*\.$' 'refused frees are counted'

# The first sort of the pipeline sleeps as long as the number of the round says.
other_sort "on_libmem && is_measured && [ \"\$1\" = -f ] && { echo >>'$work/count'
    case \$(wc -l <'$work/count') in 1) sleep 0.9 ;; 2) sleep 2.5 ;; 3) sleep 0.1 ;; esac; }"
with_it 3
holds '$2 >= 0.9 && ($2 < 2.5 || $2 < 0.9 + 8 * $1) && $3 > 1' # the latter if all is slow
result $? 'slower is shown as slower: the median of three rounds'
noise=$(sed -n 's/^The same run took up to \([0-9.]*\) times as long.*/\1/p' out)
awk -v noise="${noise:-0}" 'BEGIN { exit !(noise >= 1.2 && noise <= 25) }'
result $? 'and how far the rounds are apart'

other_sort 'on_libmem && is_measured && dd if=/dev/zero of=/dev/null bs=64M count=1 2>/dev/null'
with_it 1
holds '$5 >= 64 && $4 < 64 && $6 > 1'
result $? 'more memory is shown as more'

# --- missing programs and wrong calls ------------------------------------------------

mkdir without
ln -s /bin/* /usr/bin/* without/ 2>/dev/null
rm without/xz
run PATH="$work/without" ROUNDS=1 "$demo" "$mem" xz sort
ended 0 'a program that is not installed: status 0'
printed '^xz .* - .*not installed: xz$' 'and the row says so'
printed '^1 of 1 came out equal' 'and the sum'

nbad=0
cd 'a clone' || exit 1
for bad in bench/demo.sh 'bench/demo.sh no-such-mem' 'bench/demo.sh build/mem no-such-program' \
    'ROUNDS=0 bench/demo.sh build/mem sort' 'ROUNDS=x bench/demo.sh build/mem sort'; do
    # shellcheck disable=SC2086 # bad is a command and its arguments
    run $bad
    { [ "$status" -eq 2 ] && grep -q '^usage: ' err && [ ! -s out ]; } ||
        { nbad=$((nbad + 1)) && echo "# $bad: $status"; }
done
result "$nbad" 'called wrongly: status 2, usage'
echo "1..$ntests"
[ "$nfailed" -eq 0 ]
