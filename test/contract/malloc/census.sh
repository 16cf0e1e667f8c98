#!/bin/sh
# SPDX-License-Identifier: MIT
#
# census.sh LIBMEM-MALLOC CENSUS - checks the census example, which counts the live objects of a
# program.
#
# It is preloaded into a program that leaks known numbers of objects of 777 bytes between signals.
# Prints TAP.
set -u
malloc=$1 census=$2
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
ntests=0

result() { # status what
    ntests=$((ntests + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $ntests - $2"
    else
        echo "not ok $ntests - $2"
        sed 's/^/# /' "$work/err"
    fi
}

line() { # number of the census, pattern
    awk -v n="$1" -v pattern="$2" '/^census/ { i++ } i == n && $0 ~ pattern { found = 1 }
        END { exit !found }' "$work/err"
}

cat >"$work/leak.c" <<'END'
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static void *volatile kept;

static void leak(int n)
{
    while (n-- > 0) {
        void **object = malloc(777);
        *object = kept;
        kept = object;
    }
    raise(SIGUSR2);
    char go_on;
    while (read(0, &go_on, 1) < 0) {
    }
}

int main(void)
{
    leak(1000);
    leak(234);
    leak(0);
    return 0;
}
END
${CC:-cc} -O0 -o "$work/leak" "$work/leak.c" || exit 1

wait_for() { # number of the census
    for _ in $(seq 2400); do
        line "$1" '^ +777 ' && break
        sleep 0.1
    done
    echo
}
: >"$work/err"
{ wait_for 1 && wait_for 2 && wait_for 3; } |
    LD_PRELOAD="$malloc $census" "$work/leak" 2>"$work/err"
result $? "the program ends as ever"
line 1 '^ +777 +1000 +[+]1000 +777000$'
result $? "the first census has each object"
line 2 '^ +777 +1234 +[+]234 +958818$'
result $? "the second says what is new"
line 4 '^ +777 +1234 +[+]0 +958818$'
result $? "there is one at the end"
cat >"$work/forks.c" <<'END'
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
    int failed = 0;
    for (int i = 0; i < 20000; i++)
        if (malloc((size_t)i % 3000) == NULL)
            return 1;
    for (int i = 0; i < 10; i++) {
        int status = 1;
        raise(SIGUSR2);
        usleep(300);
        pid_t child = fork();
        if (child == 0) {
            alarm(5);
            exit(0); /* The exit takes a census. */
        }
        failed += waitpid(child, &status, 0) != child || status != 0;
    }
    return failed;
}
END
${CC:-cc} -O0 -fno-builtin -o "$work/forks" "$work/forks.c" || exit 1
LD_PRELOAD="$malloc $census" "$work/forks" 2>"$work/out"
result $? "a fork while one is taken"
LD_PRELOAD="$census" "$work/leak" </dev/null 2>"$work/err"
grep -q '^census: there is no heap at that address' "$work/err"
result $? "on another malloc it says that there is none"
echo "1..$ntests"
