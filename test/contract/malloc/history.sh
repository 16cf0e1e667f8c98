#!/bin/bash
# SPDX-License-Identifier: MIT
#
# history.sh LIBRARY - checks LIBMEM=history: a bad free names three stacks, which addr2line
# translates; processes that fork and execute; and what is said of wrong options. Prints TAP.
set -u
export LC_ALL=C
library=$(realpath "$1")
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
ntests=0

result() { # status what
    ntests=$((ntests + 1))
    if [ "$1" -eq 0 ]; then echo "ok $ntests - $2"; else
        echo "not ok $ntests - $2"
        sed 's/^/# /' "$work/err" | head -n 40
    fi
}

# gcc would make one function of two that do the same; clang does not, and knows no such option.
apart=-fno-ipa-icf
[[ $("${CC:-cc}" --version) != *clang* ]] || apart=

cat >"$work/program.c" <<'END'
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define APART __attribute__((noinline))
#define NO_TAIL_CALL __asm__ volatile("" : : : "memory")

APART static void *order(size_t n) { void *p = malloc(n); NO_TAIL_CALL; return p; }
APART static void *plan(size_t n) { void *p = order(n); NO_TAIL_CALL; return p; }
APART static void give_up(void *p) { free(p); NO_TAIL_CALL; }
APART static void give_up_again(void *p) { free(p); NO_TAIL_CALL; }
APART static void *enlarge(void *p) { p = realloc(p, 100000); NO_TAIL_CALL; return p; }
APART static void *work(void *p) { give_up(p); NO_TAIL_CALL; return NULL; }

static void in_thread(void *p)
{
    pthread_t t;
    pthread_create(&t, NULL, work, p);
    pthread_join(t, NULL);
}

int main(int argc, char **argv)
{
    const char *what = argv[argc - 1];
    void *p = plan(1234);
    printf("%d\n", getpid());
    fflush(stdout);
    if (strcmp(what, "twice") == 0) {
        in_thread(p);
        give_up_again(p);
    } else if (strcmp(what, "inside") == 0) {
        give_up((char *)p + 4);
    } else if (strcmp(what, "moved") == 0) {
        enlarge(p);
        give_up(p);
    } else if (strcmp(what, "fork") == 0) {
        give_up(p);
        pid_t child = fork();
        if (child == 0) {
            give_up_again(p);
            _exit(3);
        }
        waitpid(child, NULL, 0);
    } else if (strcmp(what, "exec") == 0) {
        execl(argv[0], argv[0], "twice", (char *)NULL);
    } else if (strcmp(what, "forgotten") == 0) {
        give_up(p);
        for (int i = 0; i < 1000; i++)
            give_up(plan(100000));
        give_up_again(p);
    }
    return 0;
}
END
${CC:-cc} -O1 -g -fno-builtin $apart -pthread -o "$work/program" "$work/program.c" || exit 1

run() { # options what
    timeout 240 env LIBMEM="$1" LD_PRELOAD="$library" "$work/program" "$2" \
        >"$work/out" 2>"$work/err"
}
# Prints the functions of the program in the stack below the first line that has `what`.
functions() { # what
    local object offset
    awk -v what="$1" 'index($0, what) { on = 1; next } on && !/^    #/ { exit } on' "$work/err" |
        sed -n 's/^    #[^(]*(\(.*\)+\(0x[0-9a-f]*\)).*/\1 \2/p' | while read -r object offset; do
        [ "$object" != "$work/program" ] || addr2line -f -e "$object" "$offset" | sed -n 1p
    done | tr '\n' ' '
}
stack_is() { # what functions
    [ "$(functions "$1")" = "$2 " ]
}
stack_begins() { # what functions
    [[ "$(functions "$1")" == "$2 "* ]]
}

run history twice
[ $? -eq 134 ] && head -n 1 "$work/err" | grep -qE '^libmem: free\(0x[0-9a-f]+\): already free$'
result $? 'M3 a second free is refused in one line, and aborts'
stack_is 'called in thread' 'give_up_again main _start'
result $? 'its stack'
stack_is 'freed by free' 'give_up work'
result $? 'the stack of the first free'
stack_is 'allocated by malloc' 'order plan main _start'
result $? 'the stack of the allocation'
grep -qE '^libmem:   the object of 1234 bytes at 0x[0-9a-f]+ was$' "$work/err"
result $? 'the size of the object'
pid=$(cat "$work/out")
grep -q "called in thread $pid:" "$work/err" && grep -q "allocated by malloc in thread $pid," \
    "$work/err" && grep -q 'freed by free in thread' "$work/err" &&
    ! grep -q "freed by free in thread $pid," "$work/err"
result $? 'the threads'
run history inside
stack_is 'called in thread' 'give_up main _start' &&
    stack_is 'allocated by malloc' 'order plan main _start' && ! grep -q 'freed by' "$work/err"
result $? 'a pointer into an object: where it was allocated'
run history moved
stack_is 'freed by realloc' 'enlarge main _start' &&
    stack_is 'allocated by malloc' 'order plan main _start'
result $? 'realloc frees what it moves'
run history fork
stack_is 'called in thread' 'give_up_again main _start' &&
    stack_is 'freed by free' 'give_up main _start' &&
    ! grep -q "called in thread $(cat "$work/out"):" "$work/err"
result $? 'a child of fork knows what its parent did, and has its own number'
run history exec
stack_is 'freed by free' 'give_up work'
result $? 'a program that is executed has a history, too'
run history=1K forgotten
stack_is 'called in thread' 'give_up_again main _start' &&
    grep -q 'none of the last 1024 events is of one' "$work/err"
result $? 'what is no longer among the last events is said to be unknown'
run history=2K forgotten
stack_is 'freed by free' 'give_up main _start'
result $? 'with history=2K it is among them'
run history=1025,onerror=report forgotten
[ $? -eq 0 ] && stack_is 'freed by free' 'give_up main _start'
result $? 'history=1025 keeps the next power of two; onerror=report goes on'
run history,onerror=ignore twice
[ $? -eq 0 ] && [ ! -s "$work/err" ]
result $? 'onerror=ignore prints nothing'
: | timeout 240 env LIBMEM=history,onerror=report,stacks=/proc/self/fd/1:1 LD_PRELOAD="$library" \
    "$work/program" twice 2>"$work/err" | cat >"$work/out"
[ "$(wc -l <"$work/out")" -eq 1 ] && stack_is 'freed by free' 'give_up work'
result $? 'stacks= of a pipe that is another one by now: nothing is written there'
run history,stacks=/dev/null,onerror=report twice
grep -q '^libmem: LIBMEM: "stacks=/dev/null" ignored: ' "$work/err" &&
    stack_is 'freed by free' 'give_up work'
result $? 'stacks= without the number of a pipe is refused'
folder=$(printf '%.0sx' {1..250})
deep=$work/$folder/$folder/$folder/$folder/$folder
mkdir -p "$deep" && cp "$work/program" "$deep/"
LIBMEM=history LD_PRELOAD=$library timeout 240 "$deep/program" twice >"$work/out" 2>"$work/err"
grep -q '^    #0 .*xx/program+0x' "$work/err"
result $? 'of a path of 1,300 bytes the end is printed'
run '' twice
[ "$(wc -l <"$work/err")" -eq 1 ]
result $? 'without a history there is one line'
${CC:-cc} -O1 -g -fno-builtin -fno-omit-frame-pointer -fno-asynchronous-unwind-tables \
    -fno-unwind-tables $apart -pthread -o "$work/program" "$work/program.c" || exit 1
for options in history history,stack=fp; do
    run $options moved
    stack_begins 'called in thread' 'give_up main' &&
        stack_begins 'freed by realloc' 'enlarge main' &&
        stack_begins 'allocated by malloc' 'order plan main'
    result $? "$options: a program without call frame information that keeps frame pointers"
done
for option in history= history=0 history=1023 history=65M history=x history=-1 Historical stack \
    stack= stack=x; do
    run "$option,onerror=ignore" twice
    [ $? -eq 0 ] && [ "$(wc -l <"$work/err")" -eq 1 ] &&
        grep -q "^libmem: LIBMEM: \"$option\" ignored: " "$work/err"
    result $? "$option is refused by name, and the next option counts"
done
(ulimit -v 1000000 && run history=64M,onerror=ignore twice)
[ $? -eq 0 ] && grep -q 'history ignored: the system refuses the memory' "$work/err"
result $? 'without memory for it there is no history, and the program goes on'
echo "1..$ntests"
