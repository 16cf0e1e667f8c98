#!/bin/bash
# SPDX-License-Identifier: MIT
#
# demo.sh - runs programs on the system's malloc and on libmem's, and prints a table: whether
# their output is equal, how long they take, and how much memory they use.
#
#     bench/demo.sh MEM [PROGRAM]...      MEM is build/mem
#     ROUNDS=5 bench/demo.sh build/mem perl git
#
# In each round each program runs once on each malloc, in turn, and `mem run` measures it. A
# round before the first is not measured: it warms the caches, and the dynamic linker records
# there whether the program has loaded libmem. After each run, what the program has printed and
# the files that it has made are compared, byte for byte.
#
#     exit status 0   at least one program ran, and all outputs were equal
#                 1   no program ran, or an output differs; both outputs are then kept, and
#                     demo.sh prints where
#                 2   demo.sh was called with wrong arguments
#
# There are three rounds, or as many as ROUNDS says. Without ROUNDS there are fewer on a slow
# machine: none begins after 30 seconds.
set -u
self=$(realpath "$0")
root=$(dirname "$(dirname "$self")")
limit=120 # seconds for one run, which takes about 1 on the system's malloc

# --- the programs -------------------------------------------------------------
#
# work_NAME is what is measured. It runs in an empty folder, in a bash that stops at the first
# failure; the texts are in $texts. about_NAME prints what it does. in_NAME prints a pattern
# for the name of the process that must have loaded libmem; without it, that is NAME.

about_cc() { echo "compiles libmem's own sources"; }
in_cc() { echo 'cc1|clang.*'; }
work_cc() {
    local here=$PWD source object
    cd "$root" # the debug information contains the current folder
    for source in src/*/*.c; do
        object=${source%.c}.o
        cc -std=c11 -D_GNU_SOURCE -Iinclude -Isrc -O1 -g -c "$source" -o "$here/${object//\//_}"
    done
}

about_python3() { echo 'indexes texts; JSON; long strings'; }
in_python3() { echo 'python.*'; }
work_python3() {
    PYTHONMALLOC=malloc PYTHONHASHSEED=0 "$python" -S -B "$root/bench/demo/concordance.py" "$texts"
}

about_perl() { echo 'neighbours of words; anagrams'; }
in_perl() { echo 'perl.*'; }
work_perl() {
    PERL_HASH_SEED=0 perl "$root/bench/demo/concordance.pl" "$texts"
}

about_sqlite3() { echo 'a table of all words, queried'; }
work_sqlite3() {
    ln -s "$words" words.tsv
    sqlite3 -batch words.db <"$root/bench/demo/words.sql"
}

about_git() { echo 'twelve commits, blame, repack'; }
work_git() {
    export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null HOME=$PWD
    export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org GIT_AUTHOR_DATE='1000000000 +0000'
    export GIT_COMMITTER_NAME=c GIT_COMMITTER_EMAIL=c@example.org
    export GIT_COMMITTER_DATE='1000000000 +0000'
    local i n files=("$texts"/*)
    git init -q -b main repository
    cd repository
    for i in {1..12}; do
        n=$((i * ${#files[@]} / 12))
        cat "${files[@]:0:n}" >all
        cp "${files[@]:0:n}" .
        git add .
        git commit -q -m "commit $i"
    done
    git log --stat --format='%H %s'
    git blame all | tail -n 2000
    git -c pack.threads=1 repack -adfq
    git fsck --strict --no-progress
    mv .git/objects/pack/*.pack ..
    cd ..
    rm -rf repository # its index contains the time of the run
}

about_xz() { echo 'packs and unpacks the texts'; }
work_xz() {
    cat "$texts"/* | xz -T1 -6 >all.xz
    xz -dc all.xz
}

about_sort() { echo 'counts words, in a pipeline'; }
work_sort() {
    cat "$texts"/* "$texts"/* "$texts"/* | tr -cs A-Za-z '\n' | sort -f | uniq -ci |
        sort -k1,1nr -k2
}

programs=(cc python3 perl sqlite3 git xz sort)

if [ "${1-}" = --work ]; then
    set -eu -o pipefail
    "work_$2"
    exit
fi

# --- running ------------------------------------------------------------------

usage() {
    echo "usage: [ROUNDS=N] demo.sh MEM [PROGRAM]..., with N from 1 to 99;" \
        "the programs are ${programs[*]}" >&2
    exit 2
}

mem=$(realpath -e "${1-}" 2>/dev/null) || usage
shift
for name in "$@"; do [ "$(type -t "work_$name")" = function ] || usage; done
[ $# -eq 0 ] || programs=("$@")
rounds=${ROUNDS:-3}
[[ $rounds =~ ^[1-9][0-9]?$ ]] || usage

work=$(mktemp -d) || exit 1
is_kept=no
trap '[ "$is_kept" = yes ] || rm -rf "$work"' EXIT
trap 'done_with_progress; exit 130' INT
trap 'done_with_progress; exit 143' HUP TERM
unset LD_PRELOAD LIBMEM
ulimit -c 0
export LC_ALL=C TMPDIR=$work texts=$work/texts words=$work/words python
# The path of the interpreter itself; python3 may be a script, such as pyenv's.
python=$(python3 -c 'import sys; print(sys.executable)' 2>/dev/null)
declare -A note output refused

# Overwrites one line of the terminal, so it must fit a narrow one. Prints nothing elsewhere.
progress() { # what
    [ ! -t 2 ] || printf '\r%-34s' "$1" >&2
}

done_with_progress() {
    [ ! -t 2 ] || printf '\r%-34s\r' '' >&2
}

# Collects the texts: Debian's copies of licences, if there are any, and the sources of libmem.
collect_texts() {
    local file folder text
    mkdir "$texts"
    for file in /usr/share/common-licenses/* "$root"/*.md \
        "$root"/{include,src/*,tools,bench}/*.[ch]; do
        [ -f "$file" ] || continue
        folder=${file%/*}
        IFS= read -r -d '' text <"$file" # all of it, without a process for each file
        printf %s "$text" >"$texts/${folder##*/}_${file##*/}"
    done
    (cd "$texts" && awk '{
        n = split(tolower($0), w, /[^A-Za-z_]+/)
        for (i = 1; i <= n; i++) if (w[i] != "") print w[i] "\t" FILENAME "\t" FNR
    }' ./*) >"$words"
}

# Runs a program. Leaves its output and its files in NAME.HOW/, its standard error in
# NAME.HOW.err, the report of `mem run` in report, and its exit status in `status`.
run() { # name how variable...
    local name=$1 how=$2 option=--onerror=report
    shift 2
    [ "$how" = libmem ] || option=--system
    rm -rf "$work/run" "${work:?}/$name.$how"
    mkdir "$work/run"
    (cd "$work/run" && exec timeout -k 5 "$limit" env "$@" \
        "$mem" run "$option" --time="$work/report" bash "$self" --work "$name") \
        </dev/null >"$work/out" 2>"$work/$name.$how.err"
    status=$?
    mv "$work/out" "$work/run/(output)"
    mv "$work/run" "$work/$name.$how"
}

# Succeeds if a process of that name has loaded the library. Each line of the dynamic linker
# begins with the process id; one process can execute several programs, one after the other.
was_in() { # pattern
    cat "$work"/linked/process.* 2>/dev/null | awk -v program="^($1)\$" '
        /libmem-malloc\.so/ && /generating link map/ { loaded[$1] = 1 }
        /initialize program: / {
            sub(".*/", "", $NF)
            if ($NF ~ program && loaded[$1]) found = 1
            loaded[$1] = 0
        }
        END { exit !found }'
}

either() { # prefix name: prints what the function PREFIX_NAME prints, or the name
    if [ "$(type -t "$1_$2")" = function ]; then "$1_$2"; else echo "$2"; fi
}

absent() { # name
    type -P "$1" >/dev/null || echo "not installed: $1"
}

failure() { # name how
    local said
    said=$(grep -v '^libmem: ' "$work/$1.$2.err" | tail -n 1 | cut -c 1-60)
    echo "status $status${said:+: $said}"
}

# Sets `output` to equal, DIFFERS or FAILED, and `note` to the reason.
compare() { # name
    local difference
    refused[$1]=$((${refused[$1]:-0} + $(grep -c '^libmem: ' "$work/$1.libmem.err")))
    if [ "$status" -ne 0 ]; then
        output[$1]=FAILED note[$1]="on libmem: $(failure "$1" libmem)"
        return 1
    fi
    if ! difference=$(diff -rq "$work/$1.system" "$work/$1.libmem" 2>&1); then
        output[$1]=DIFFERS note[$1]=$(head -n 1 <<<"${difference//"$work/"/}")
        return 1
    fi
    output[$1]=equal
}

# Succeeds if the program can be measured. Otherwise `output` or `note` has the reason.
try() { # name
    local absent
    absent=$(absent "$1")
    if [ -n "$absent" ]; then note[$1]=$absent; return 1; fi
    run "$1" system
    if [ "$status" -ne 0 ]; then
        note[$1]="fails on the system's malloc too: $(failure "$1" system)"
        return 1
    fi
    rm -rf "$work/linked"
    mkdir "$work/linked"
    run "$1" libmem LD_DEBUG=files LD_DEBUG_OUTPUT="$work/linked/process"
    compare "$1" || return 1
    was_in "$(either in "$1")" && return 0
    output[$1]='' note[$1]='has not loaded libmem: linked statically?'
    return 1
}

measured() { # label: prints the figure of that line of the report
    sed -n "s/^  $1 *\([0-9.]*\) .*/\1/p" "$work/report"
}

# Runs the program once, and appends "HOW seconds MiB" to its figures.
measure() { # name how
    progress "round $round of $rounds: $1 on $2"
    run "$1" "$2"
    echo "$2 $(measured 'wall time') $(measured 'peak memory')" >>"$work/$1.figures"
}

# Runs the program on each malloc. The one that begins changes from round to round, since the
# first run finds other caches than the second.
compete() { # name
    if [ $((round % 2)) -eq 1 ]; then
        measure "$1" system
        measure "$1" libmem
    else
        measure "$1" libmem
        local libmem_status=$status
        measure "$1" system
        status=$libmem_status
    fi
    compare "$1"
}

# --- the table ----------------------------------------------------------------

# Prints the medians of the seconds on the system's malloc and on libmem, and their ratio; then
# those of the MiB.
medians() { # name
    awk '
        { n[$1]++; seconds[$1, n[$1]] = $2; mib[$1, n[$1]] = $3 }
        function median(of, how,    m, i, j, v, t) {
            m = n[how]
            for (i = 1; i <= m; i++) {
                t = of[how, i] + 0
                for (j = i; j > 1 && v[j - 1] > t; j--) v[j] = v[j - 1]
                v[j] = t
            }
            return (v[int((m + 1) / 2)] + v[int(m / 2) + 1]) / 2
        }
        function print_pair(of, format,    s, l) {
            s = median(of, "system")
            l = median(of, "libmem")
            printf format, s, l, (s > 0 ? l / s : 0)
        }
        END {
            print_pair(seconds, "%8.2f %7.2f %6.2f")
            print_pair(mib, "  %8.1f %7.1f %6.2f\n")
        }' "$work/$1.figures"
}

# Prints how far the times vary: the largest ratio of a program's slowest round to its fastest.
noise() {
    local files=("$work"/*.figures)
    [ -e "${files[0]}" ] || { echo 1.0; return; }
    awk '
        FNR == 1 { split("", least); split("", most) }
        !($1 in least) || $2 < least[$1] { least[$1] = $2 }
        $2 > most[$1] { most[$1] = $2 }
        least[$1] > 0 && most[$1] / least[$1] > worst { worst = most[$1] / least[$1] }
        END { printf "%.1f", worst }' "${files[@]}"
}

print_row() { # name
    printf '%-8s %-34s %-8s' "$1" "$("about_$1")" "${output[$1]:--}"
    if [ "${output[$1]:-}" = equal ]; then medians "$1"; else echo " ${note[$1]}" | cut -c 1-47; fi
}

print_table() {
    local name cpu
    cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo 2>/dev/null | head -n 1)
    echo "The same programs, unchanged, on the system's malloc" \
        "($(getconf GNU_LIBC_VERSION)) and on libmem's."
    echo "${cpu:-$(uname -m)}, $(getconf _NPROCESSORS_ONLN) cores."
    echo
    printf '%64s%29s\n' seconds 'peak memory, MiB'
    printf '%-8s %-34s %-8s%8s %7s %6s  %8s %7s %6s\n' \
        program 'what it does' output system libmem ratio system libmem ratio
    for name in "${programs[@]}"; do print_row "$name"; done
}

print_summary() {
    local name nequal=0 ncompared=0 nrefused=0 figures='One round'
    [ "$round" -le 1 ] || figures="Medians of $round rounds, in turn"
    for name in "${programs[@]}"; do
        [ -z "${output[$name]:-}" ] || ncompared=$((ncompared + 1))
        [ "${output[$name]:-}" != equal ] || nequal=$((nequal + 1))
        nrefused=$((nrefused + ${refused[$name]:-0}))
    done
    echo
    echo "$nequal of $ncompared came out equal, byte for byte." \
        "libmem checked every free and refused $nrefused."
    echo "$figures. Memory is that of the largest process. Ratio: libmem to system."
    [ "$round" -le 1 ] ||
        echo "The same run took up to $(noise) times as long in one round as in another."
    for name in "${programs[@]}"; do
        case ${output[$name]:-} in DIFFERS | FAILED)
            is_kept=yes
            printf '%s: %s; diff -r %q %q\n' "$name" "${note[$name]}" "$work/$name.system" \
                "$work/$name.libmem" ;;
        esac
    done
    [ "$ncompared" -gt 0 ] && [ "$nequal" -eq "$ncompared" ]
}

# --- the demo itself ------------------------------------------------------------

collect_texts
racing=()
for name in "${programs[@]}"; do
    progress "before the rounds: $name"
    ! try "$name" || racing+=("$name")
done
for ((round = 1; round <= rounds; round++)); do
    [ "$round" -eq 1 ] || [ -n "${ROUNDS-}" ] || [ "$SECONDS" -lt 30 ] || break
    for name in ${racing[@]+"${racing[@]}"}; do
        [ "${output[$name]}" != equal ] || compete "$name"
    done
done
round=$((round - 1))
done_with_progress
print_table
print_summary
