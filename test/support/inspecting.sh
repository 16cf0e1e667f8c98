# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared with the file that reads this
#
# inspecting.sh - what the tests of `mem` on other programs share: a folder of their own, results in
# TAP, and a program on libmem that runs until it is told to end. The tests read this file by `.`,
# with `build` set to the absolute path of the build; then they are in the folder, which is removed
# with the program when they end.
mem=$build/mem programs=$build/test/inspect
work=$(mktemp -d) || exit 1
pid=
trap 'exec 3>&-; [ -z "$pid" ] || kill -9 "$pid" 2>/dev/null; rm -rf "$work"' EXIT
unset LIBMEM LD_PRELOAD DEBUGINFOD_URLS
export LC_ALL=C LD_LIBRARY_PATH=$build
ntests=0 nfailed=0 status=0
cd "$work" || exit 1

# Ends the test if mem or one of its programs is not built.
need() { # program...
    local program
    for program in "$mem" "${@/#/$programs/}"; do
        [ -x "$program" ] || { echo "Bail out! $program is not built"; exit 1; }
    done
}

# Of a failure it prints what `run` has left, and the file `difference`, if there is one.
result() { # status what
    ntests=$((ntests + 1))
    if [ "$1" -eq 0 ]; then echo "ok $ntests - $2"; return; fi
    nfailed=$((nfailed + 1))
    echo "not ok $ntests - $2"
    echo "# status $status"
    head -n 40 out err difference 2>/dev/null | cut -c1-200 | sed 's/^/# /'
}

skip() { # what why
    ntests=$((ntests + 1))
    echo "ok $ntests - $1 # SKIP $2"
}

# run COMMAND... sets status and leaves the output in out and err.
run() {
    timeout -k 5 240 "$@" >out 2>err </dev/null
    status=$?
}

# Waits until the program has said `ready` n times.
await_ready() { # n
    for _ in {1..4800}; do
        [ "$(grep -c '^ready' says)" -lt "$1" ] || return
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.05
    done
    echo "# the program is not ready"
}

# start PROGRAM ARGUMENT... runs it on libmem, in the background, until `finish`: sets pid, and
# leaves what it says in `says`.
start() {
    rm -f input
    mkfifo input
    : >says
    LD_PRELOAD=$build/libmem-malloc.so "$@" <input >says 2>&1 &
    pid=$!
    exec 3>input
    await_ready 1
}

# Ends the program, and returns whether it was alive until then, and says that it is sound.
finish() {
    exec 3>&-
    wait "$pid"
    status=$?
    pid=
    [ "$status" -eq 0 ] && grep -q '^alive' says
}
