#!/bin/bash
# SPDX-License-Identifier: MIT
#
# inspect_history.sh MEM LIBRARY - checks mem history: which calls allocated, resized and freed what
# lay at an address of a process, a core file and a snapshot; and that mem run --history names the
# functions of the stacks that the library writes of a bad pointer. Prints TAP.
set -u
export LC_ALL=C
mem=$(realpath "$1") library=$(realpath "$2")
work=$(mktemp -d) || exit 1
trap 'kill "$pid" 2>"$work/killed"; rm -rf "$work"' EXIT
ntests=0 pid=''

result() { # status what
    ntests=$((ntests + 1))
    if [ "$1" -eq 0 ]; then echo "ok $ntests - $2"; else
        echo "not ok $ntests - $2"
        sed 's/^/# /' "$work/out" "$work/err" | head -n 40
    fi
}

cat >"$work/program.c" <<'END'
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define APART __attribute__((noinline))
#define NO_TAIL_CALL __asm__ volatile("" : : : "memory")

APART static void *order(size_t n) { void *p = malloc(n); NO_TAIL_CALL; return p; }
APART static void give_up(void *p) { free(p); NO_TAIL_CALL; }
APART static void *trim(void *p, size_t n) { p = realloc(p, n); NO_TAIL_CALL; return p; }
APART static void *work(void *p) { give_up(p); NO_TAIL_CALL; return NULL; }

int main(void)
{
    pthread_t t;
    setvbuf(stdout, NULL, _IONBF, 0);
    for (int i = 0; i < 3000; i++) /* the ring begins anew several times */
        give_up(order(8));
    char *p = order(5000);
    p = trim(p, 4990);
    char *q = order(300); /* while p lives, so that it does not get its place */
    pthread_create(&t, NULL, work, p);
    pthread_join(t, NULL);
    printf("%p %p\n", (void *)p, (void *)q);
    fflush(stdout);
    pause();
    return 0;
}
END
${CC:-cc} -O1 -g -fno-builtin -pthread -o "$work/program" "$work/program.c" || exit 1

start() { # LIBMEM: sets pid and the two addresses
    : >"$work/addresses"
    LIBMEM=$1 LD_PRELOAD=$library "$work/program" >"$work/addresses" &
    pid=$!
    for ((i = 0; i < 2400; i++)); do
        [ ! -s "$work/addresses" ] || break
        sleep 0.1
    done
    read -r freed live <"$work/addresses"
}
look() { "$mem" history "$@" >"$work/out" 2>"$work/err"; }
# Prints each event and the functions of the program below it, in one line.
events() {
    awk '/^(allocated|freed|resized) by / {
            sub(/, in thread.*/, "")
            printf "%s%s:", sep, $0
            sep = "; "
        }
        / in program/ { sub(/\+.*/, "", $3); printf " %s", $3 }' "$work/out"
}
are() { # address events
    local found
    found=$(events | sed "s/$1/P/g")
    [ "$found" = "$2" ] || { echo "# $found"; false; }
}
freed_events="freed by free: 4990 bytes at P: give_up work"
freed_events+="; resized by realloc: 4990 bytes at P: trim main _start"
freed_events+="; allocated by malloc: 5000 bytes at P: order main _start"

start history=1K,region=64M
for kind in process core snapshot; do
    target=$work/$kind
    case $kind in
    process) target=$pid ;;
    core) timeout 240 gcore -o "$target" "$pid" >"$work/out" 2>&1 && mv "$target.$pid" "$target" ;;
    snapshot) "$mem" snap -o "$target" "$pid" >"$work/out" 2>&1 ;;
    esac
    if [ "$kind" != process ] && [ ! -s "$target" ]; then
        echo "ok $((++ntests)) - $kind # SKIP it could not be made"
        continue
    fi
    look "$target" "$freed"
    [ $? -eq 0 ] && are "$freed" "$freed_events"
    result $? "$kind: what lay there, newest first"
    look "$target" "$(printf '0x%x' $((freed + 4995)))"
    [ $? -eq 0 ] && are "$freed" "$freed_events"
    result $? "$kind: a byte that only the longer object had"
    look "$target" "$live" && are "$live" 'allocated by malloc: 300 bytes at P: order main _start'
    result $? "$kind: a live object"
    look "$target" "$freed" -n 1
    are "$freed" 'freed by free: 4990 bytes at P: give_up work' && grep -q '^2 older' "$work/out"
    result $? "$kind: --last"
    look "$target" "$freed"
    [ "$(grep -c ' at .*program\.c:[0-9]' "$work/out")" -ge 6 ] ||
        ! ldd "$mem" | grep -q libdw
    result $? "$kind: lines of the source"
    look "$target" 0x10
    [ $? -eq 1 ] && grep -q 'none of the last 1023 events' "$work/out"
    result $? "$kind: an address where nothing lay"
    look --json "$target" "$freed" && python3 - "$freed" "$work/out" <<'END'
import json, sys
events = json.load(open(sys.argv[2]))["events"]
assert [(e["event"], e["call"], e["size"]) for e in events] == [
    ("freed", "free", 4990), ("resized", "realloc", 4990), ("allocated", "malloc", 5000)]
assert all(int(e["address"], 16) == int(sys.argv[1], 16) and e["stack"] for e in events)
assert events[0]["thread"] != events[1]["thread"] == events[2]["thread"]
END
    result $? "$kind: JSON"
done

# Any bytes of the file may be damaged: the command ends, and not by a signal.
if [ -s "$work/snapshot" ]; then
    nbad=0
    for ((i = 0; i < 12; i++)); do
        python3 - "$i" "$work/snapshot" "$work/damaged" <<'END'
import random, sys
random.seed(int(sys.argv[1]))
file = bytearray(open(sys.argv[2], "rb").read())
for _ in range(200):
    file[random.randrange(len(file))] = random.randrange(256)
open(sys.argv[3], "wb").write(file)
END
        timeout 240 "$mem" history "$work/damaged" "$freed" >"$work/out" 2>"$work/err"
        [ $? -le 2 ] || nbad=$((nbad + 1))
    done
    [ "$nbad" -eq 0 ]
    result $? 'damaged files end the command with a status of its own'
fi

kill "$pid"
wait "$pid" 2>"$work/err"
start ''
look "$pid" "$freed"
[ $? -eq 2 ] && [ "$(wc -l <"$work/err")" -eq 1 ] && grep -q 'LIBMEM=history' "$work/err"
result $? 'a process without a history'
: >"$work/addresses"
"$mem" run --history=2K "$work/program" >"$work/addresses" &
other=$!
until [ -s "$work/addresses" ] || ! kill -0 "$other" 2>/dev/null; do sleep 0.1; done
read -r freed live <"$work/addresses"
look "$(pgrep -P "$other")" "$live"
are "$live" 'allocated by malloc: 300 bytes at P: order main _start'
result $? 'mem run --history'
kill "$(pgrep -P "$other")"
wait "$other" 2>"$work/killed"

# A bad pointer: `mem run` gives the stacks names. One program has its functions in a library, which
# it replaces by one that has other functions at these places.
cat >"$work/bad.c" <<'END'
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define APART __attribute__((noinline))
#define NO_TAIL_CALL(name) __asm__ volatile("/* " name " */" : : : "memory")

APART static void *order(size_t n) { void *p = malloc(n); NO_TAIL_CALL("order"); return p; }
APART static void give_up(void *p) { free(p); NO_TAIL_CALL("give_up"); }
APART static void give_up_again(void *p) { free(p); NO_TAIL_CALL("give_up_again"); }

int main(int argc, char **argv)
{
    void *p = order(100);
    if (argc > 3 && rename(argv[2], argv[3]) != 0)
        return 2;
    if (argc > 1 && strcmp(argv[1], "late") == 0)
        sleep(3);
    if (argc > 1 && strcmp(argv[1], "child") == 0 && fork() != 0)
        return wait(NULL) > 0 ? 0 : 2;
    give_up(p);
    give_up_again(p);
    fputs("own words\n", stderr);
    return 0;
}
END
${CC:-cc} -O1 -g -fno-builtin -o "$work/bad" "$work/bad.c" || exit 1
library_of() { # name file.c
    ${CC:-cc} -O1 -g -fno-builtin -fPIC -shared -Dmain=run_bad -o "$work/lib$1.so" "$work/$2" ||
        exit 1
}
library_of called bad.c
sed 's/^APART static void \*order/APART int other(int n) { return n * 3; }\n&/' "$work/bad.c" \
    >"$work/other.c"
library_of other other.c
echo 'int run_bad(int, char **); int main(int n, char **v) { return run_bad(n, v); }' \
    >"$work/calls.c"
${CC:-cc} -g -o "$work/calls" "$work/calls.c" -L"$work" -lcalled -Wl,-rpath,"$work" || exit 1
bad() { # COMMAND...: sets status
    timeout 240 "$mem" run --history=1K --onerror=report "$@" >"$work/out" 2>"$work/err"
    status=$?
}
# Prints the lines of the report, and the functions of the program with their lines of source.
report() { # file
    awk '/^libmem: +(called|freed|allocated) / { printf "%s%s:", sep, $2; sep = "; " }
        / in bad at / { sub(/\+.*/, "", $3); sub(/.*:/, "", $NF); printf " %s %s", $3, $NF }' "$1"
}
line_of() { grep -n "$1" "$work/bad.c" | head -n 1 | cut -d : -f 1; }
is_translated() { # file
    local order give again main
    order=$(line_of 'malloc(n)') give=$(line_of '{ free(p); .*"give_up"')
    again=$(line_of '"give_up_again"')
    main="main $(line_of '^    give_up_again(p)')"
    [ "$(report "$1")" = "called: give_up_again $again $main; freed: give_up $give main $(
        line_of '^    give_up(p)'); allocated: order $order main $(line_of '= order(100)')" ]
}
if ldd "$mem" | grep -q libdw; then
    bad "$work/bad"
    [ "$status" -eq 0 ] && is_translated "$work/err"
    result $? 'mem run --history: the three stacks of a bad pointer, with names'
    bad sh -c "'$work/bad' child 2>'$work/own'"
    [ "$status" -eq 0 ] && is_translated "$work/err" && [ "$(wc -l <"$work/own")" -eq 2 ] &&
        grep -q '^libmem: free(0x.*): already free$' "$work/own" &&
        grep -q '^own words$' "$work/own"
    result $? 'of a child; the line about the pointer and the own words go where they went'
    timeout 240 "$mem" run --history=1K "$work/bad" >"$work/out" 2>"$work/err"
    [ $? -eq 134 ] && is_translated "$work/err" && ! grep -q 'own words' "$work/err"
    result $? 'of a program that is aborted: nothing of the report is lost'
    bad "$work/calls"
    [ "$(grep -c '#.* give_up.* in libcalled\.so at .*bad\.c:' "$work/err")" -eq 2 ]
    result $? 'of a library'
    bad "$work/calls" replace "$work/libother.so" "$work/libcalled.so"
    [ "$status" -eq 0 ] && ! grep -q 'in libcalled' "$work/err" && [ "$(
        grep -c "#.* ($work/libcalled\.so+0x.*) (BuildId: [0-9a-f]*)$" "$work/err")" -ge 6 ]
    result $? 'of a library whose file is another one by now: no wrong names'
    bad sh -c "'$work/bad' late & "
    for ((i = 0; i < 2400; i++)); do
        ! grep -q 'own words' "$work/err" || break
        sleep 0.1
    done
    [ "$status" -eq 0 ] && [ "$(report "$work/err")" = 'called:; freed:; allocated:' ] &&
        [ "$(grep -c "#.* ($work/bad+0x" "$work/err")" -ge 6 ]
    result $? 'of a process that outlives mem: on its own standard error'
else
    echo "ok $((++ntests)) - names # SKIP this mem was built without libdw"
fi
for option in --history=0 --history=65M --history= '--system --history'; do
    # shellcheck disable=SC2086 # several words
    "$mem" run $option true >"$work/out" 2>"$work/err"
    [ $? -eq 125 ] && grep -q 'history' "$work/err"
    result $? "mem run $option is refused"
done
for arguments in '' "$pid" "$pid nowhere" "$pid 0x10 0x20" "$pid 0x10 -n 0"; do
    # shellcheck disable=SC2086 # several words
    look $arguments
    [ $? -eq 2 ] && [ -s "$work/err" ]
    result $? "mem history ${arguments/$pid/PID}${arguments:+ }is refused"
done
echo "1..$ntests"
