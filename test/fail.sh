#!/bin/bash
# SPDX-License-Identifier: MIT
#
# fail.sh MEM - checks `mem fail` on a small program that says by its exit status which of
# its allocations has failed; and that lua, sqlite3 and a C++ program survive each allocation that
# fails, alone and with all that follow it [M13]. Prints TAP.
set -u
mem=$(realpath -e "${1:?usage: fail.sh MEM}") || exit 2
library=$(dirname "$mem")/libmem-malloc.so
cd "$(dirname "$0")/.." || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
unset LD_PRELOAD LIBMEM
export LC_ALL=C
ntests=0 status=0
cd "$work" || exit 1

result() { # status what
    ntests=$((ntests + 1))
    if [ "$1" -eq 0 ]; then echo "ok $ntests - $2"; return; fi
    echo "not ok $ntests - $2"
    echo "# status $status"
    head -n 40 out err 2>/dev/null | cut -c1-200 | sed 's/^/# /'
}

run() { # COMMAND...: sets status, and leaves the output in out and err
    timeout -k 5 600 "$@" >out 2>err
    status=$?
}

# --- a program whose every end is known ------------------------------------------------------

cat >needy.c <<'EOF'
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    int status;
    char *text = malloc(100), *more, *none = NULL;
    if (text == NULL)
        return 11;
    if ((more = realloc(text, 90)) == NULL) /* it shrinks, and that never fails */
        return 12;
    if ((text = realloc(more, 105)) == NULL) /* it would fit where it is */
        return 13;
    if (calloc(3, 5) == NULL)
        return 14;
    if (aligned_alloc(64, 64) == NULL)
        return 15;
    strcpy(argc > 1 ? malloc(9) : text, "no look at what malloc returned");
    if (fork() == 0)
        _exit(malloc(7) != NULL ? 0 : 17);
    wait(&status);
    if (WEXITSTATUS(status) != 0)
        return WEXITSTATUS(status);
    if (argc > 2 && (argv[2][0] == 'x' || malloc(1) == none || malloc(1) == none))
        for (;;)
            pause();
    return 0;
}
EOF
"${CC:-cc}" -O0 -fno-builtin -w -o needy needy.c || exit 1

run "$mem" fail ./needy
cat >expected <<'EOF'
without a failure: 6 allocations, exit status 0
1                       exit status 11
2                       exit status 0
3                       exit status 13
4                       exit status 14
5                       exit status 15
6                       exit status 17
6 runs with a failure, 0 killed
EOF
[ $status -eq 0 ] && [ ! -s err ] && cmp -s out expected
result $? 'each allocation fails once, and the end of each run is told'

seen=
for number in 1 2 3 4 5 6 7; do
    run env LIBMEM=fail=$number LD_PRELOAD="$library" ./needy
    seen+="$status "
done
[ "$seen" = '11 0 13 14 15 17 0 ' ]
result $? 'so it does by LIBMEM=fail=N alone, where nothing is counted for mem'

run "$mem" fail --lasting ./needy
cat >expected <<'EOF'
without a failure: 6 allocations, exit status 0
1                       exit status 11
2 to 3                  exit status 13
4                       exit status 14
5                       exit status 15
6                       exit status 17
6 runs with a failure, 0 killed
EOF
[ $status -eq 0 ] && cmp -s out expected
result $? '--lasting: so do all that follow it; an object that shrinks stays where it is'

run "$mem" fail --from=3 --to=7 ./needy careless
cat >expected <<'EOF'
without a failure: 7 allocations, exit status 0
3                       exit status 13
4                       exit status 14
5                       exit status 15
6                       killed by signal 11 (Segmentation fault)
7                       exit status 17
5 runs with a failure, 1 killed
to see where it fails: LIBMEM=fail=6 mem run --history ./needy ...
EOF
[ $status -eq 1 ] && cmp -s out expected
result $? 'a run that a signal has killed: exit status 1'

run "$mem" fail --every=2 --seconds=1 ./needy careful once
grep -qx '7 *exit status 17' out && [ $status -eq 0 ] && grep -qx '4 runs .*, 0 killed' out
result $? '--every tries each Nth allocation only'

run "$mem" fail --from=8 --seconds=1 ./needy careful once
[ $status -eq 1 ] && grep -q '^8 *had not ended after 1 s, and was killed$' out &&
    grep -qx '1 run with a failure, 1 killed' out
result $? 'a run that takes too long is killed'

timeout 240 "$mem" fail --seconds=1 ./needy careful x >out 2>err
status=$?
[ $status -eq 2 ] && grep -q 'without a failure ./needy had not ended after 1 s' err
result $? 'a program that does not end by itself: exit status 2'

"$mem" fail ./needy careful once >out 2>err & # allocation 8 would take ten seconds
tool=$!
until grep -q ^6 out || ! kill -0 $tool 2>/dev/null; do sleep 0.05; done
{ kill $tool; wait $tool; } 2>/dev/null
status=$?
[ $status -eq 143 ] && grep -qx '7 runs with a failure, 1 killed' out
result $? 'SIGTERM ends mem, and the run that it ends is not counted'

LIBMEM=fail=4,history run "$mem" run ./needy
[ $status -eq 14 ] && grep -qx 'libmem: calloc of 15 bytes fails: allocation 4' err &&
    grep -q '#0 .*needy' err && ! grep -q 'nothing is known' err
result $? 'the failure is reported with its size and, with a history, its stack'

good=0
for number in 0 x '' 1x + 99999999999999999999; do
    LIBMEM=fail=$number run "$mem" run ./needy
    [ $status -ne 0 ] || ! grep -qF "\"fail=$number\" ignored: give the number of" err || continue
    good=1
    echo "# LIBMEM=fail=$number"
done
result $good 'LIBMEM=fail with another value is ignored, and that is said'

run "$mem" fail ./missing
[ $status -eq 2 ] && grep -q 'missing: No such file' err
result $? 'a program that is not there: exit status 2'
run "$mem" fail
[ $status -eq 2 ] && grep -q 'no program to run' err
result $? 'no program: exit status 2'
run "$mem" fail --every=0 true
[ $status -eq 2 ] && grep -q 'every=0: give a number from 1 on' err
result $? 'a wrong number: exit status 2'

run "$mem" fail --from=3 --to=2 true
[ $status -eq 2 ] && grep -q 'from is above --to' err
result $? 'no allocation would fail: exit status 2'

# --- real programs --------------------------------------------------------------------------

survives() { # name command...
    local name=$1
    shift
    for lasting in '' --lasting; do
        run "$mem" fail $lasting --from="${from:-1}" "$@"
        [ $status -eq 0 ] && grep -qE '^[1-9][0-9]* runs? with a failure, 0 killed$' out
        result $? "M13 $name survives each allocation that fails${lasting:+, with all after it}"
    done
}

cat >small.lua <<'EOF'
local t = {}
for i = 1, 60 do t[i] = ("x"):rep(i * 10) .. i end
table.sort(t)
local f = load("return " .. #table.concat(t))
print(f(), string.format("%q", t[7]))
EOF
cat >small.sql <<'EOF'
create table t(a integer primary key, b text);
insert into t values(1, 'one'), (2, 'two'), (3, hex(randomblob(4000)));
select count(*), max(length(b)) from t group by a order by b;
EOF
cat >small.cpp <<'EOF'
#include <cstdio>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <vector>

int main()
{
    try {
        std::map<std::string, std::vector<int>> map;
        for (int i = 0; i < 40; i++)
            map["a name that takes an object of its own " + std::to_string(i % 9)].push_back(i);
        auto shared = std::make_shared<std::string>(100, 'x');
        return map.size() == 9 && shared->size() == 100 ? 0 : 1;
    } catch (const std::bad_alloc &) {
        return 3;
    }
}
EOF
if command -v lua5.4 >/dev/null; then
    survives lua5.4 lua5.4 small.lua
else
    ntests=$((ntests + 1)); echo "ok $ntests - # SKIP lua5.4 is not installed"
fi
if command -v sqlite3 >/dev/null; then
    # -init: else it asks for the user's home, and the C library of Debian 12 crashes, or ends the
    # program by an assertion, if the fifth or the seventh allocation fails meanwhile.
    survives sqlite3 sqlite3 -batch -init /dev/null :memory: '.read small.sql'
else
    ntests=$((ntests + 1)); echo "ok $ntests - # SKIP sqlite3 is not installed"
fi
# The first one is the C++ library's own reserve for exceptions. Without it, and with no memory at
# all, the library cannot throw, and ends the program with abort.
"${CXX:-c++}" -O1 -o small small.cpp && from=2 survives 'a C++ program' ./small
echo "1..$ntests"
