#!/bin/bash
# SPDX-License-Identifier: MIT
#
# spin.sh - checks with Spin that the protocol by which threads share spans holds in every
# interleaving within bounds, and that each seeded error in it is found. Prints TAP.
#
#     test/spin.sh          uses bounds that take a minute
#     test/spin.sh --more   uses larger bounds instead, which take minutes more
#
# test/spin/span.pml describes the protocol and the bounds.
set -u
model=$(cd "$(dirname "$0")" && pwd)/spin/span.pml
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
ntests=0

# A verifier has 15,000 lines and mostly searches for half a second, so what counts is how fast it
# is compiled: by gcc -O0 in 1.5 s, by tcc in 0.06.
compile=(gcc -O0)
! command -v tcc >/dev/null || compile=(tcc)

# verify DEFINITION... leaves the verifier's output in `log`.
verify() {
    rm -f pan ./*.trail
    { spin -a "${@/#/-D}" "$model" &&
        "${compile[@]}" -DSAFETY -DCOLLAPSE -DMEMLIM=1900 -o pan pan.c &&
        ./pan -m20000; } >log 2>&1
}

result() { # status what
    if [ "$1" -eq 0 ]; then echo "ok - $2"; return; fi
    echo "not ok - $2"
    sed 's/^/# /' log | head -n 30
}

# Runs the checks in folders of their own, as many at once as there are processors.
start() { # command argument...
    while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do wait -n; done
    ntests=$((ntests + 1))
    mkdir $ntests
    (cd $ntests && "$@" >said) &
}
report() {
    local i
    wait
    for ((i = 1; i <= ntests; i++)); do
        sed -E "1s/^((not )?ok) -/\\1 $i -/" $i/said
    done
    echo "1..$ntests"
    ! grep -q '^not ok' ./*/said
}

# Succeeds if the search was complete. A search that was cut short reports so, but prints a number
# of errors, too.
is_exhaustive() {
    ! grep -qE 'Search not completed|search depth too small|out of memory|Bit statespace' log
}

holds() { # what definition...
    start check_holds "$@"
}
check_holds() {
    local what=$1
    shift
    verify "$@"
    grep -q 'errors: 0$' log && is_exhaustive
    result $? "holds: $what ($(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' log) states)"
}

# The pattern says which check must find the error. If another check finds it, the model is wrong
# elsewhere.
found() { # what pattern definition...
    start check_found "$@"
}
check_found() {
    local what=$1 pattern=$2
    shift 2
    verify "$@"
    grep -q 'errors: 1$' log && grep -qE "^pan:1: $pattern" log
    result $? "found: $what ($(sed -n 's/^pan:1: \(.*\) (at depth.*/\1/p' log))"
}

if [ "${1:-}" = --more ]; then
    compile=(gcc -O1)
    holds '3 threads, 1 span of 2 slots, 1 call from anywhere' ANYWHERE NSPANS=1 NCALLS=1
    holds '2 threads, 2 spans of 2 slots, 4 calls' NTHREADS=2 NCALLS=4
    holds '2 threads, 2 spans of 2 slots, 1 call from anywhere, any free' \
        ANYWHERE WILD NTHREADS=2 NCALLS=1
    holds '3 threads, 2 spans of 2 slots, 2 calls' NCALLS=2
    holds '3 threads, 2 spans of 1 slot, 1 call from anywhere' ANYWHERE NSLOTS=1 NCALLS=1
    holds '3 threads, 1 span of 2 slots, 2 calls, any free' WILD NSPANS=1 NCALLS=2
    holds '3 threads, 1 span of 2 slots, 1 call from anywhere, any free' \
        ANYWHERE WILD NSPANS=1 NCALLS=1
    report
    exit
fi

holds '2 threads, 2 spans of 2 slots, 3 calls' NTHREADS=2 NCALLS=3
holds '2 threads, 2 spans of 1 slot, 1 call from anywhere, any free' \
    ANYWHERE WILD NTHREADS=2 NSLOTS=1 NCALLS=1
holds '2 threads, 1 span of 3 slots, 2 calls, any free' \
    WILD NTHREADS=2 NSPANS=1 NSLOTS=3 ENOUGH=2 NCALLS=2
holds '3 threads, 1 span of 1 slot, 1 call from anywhere, any free' \
    ANYWHERE WILD NSPANS=1 NSLOTS=1 NCALLS=1
holds 'the state may also be cleared before the countdown is lowered' \
    STATE_FIRST ANYWHERE WILD NTHREADS=2 NSPANS=1 NCALLS=1

# The bounds are 3 threads and 1 span of 2 slots, unless the definitions say otherwise.
seeded() { # what pattern definition...
    found "$@" ANYWHERE NSPANS=1 NCALLS=1
}
lost_memory='assertion violated span\[.*\]\.is_there'
lost_cache='assertion violated tcache\[.*\]\.is_member'
live='assertion violated \(span\[.*\]\.live==0\)'

seeded 'a countdown of 0 is believed, without counting again' "$live" NO_COUNT
seeded 'free counts again without the lock' 'assertion violated' NO_LOCK WILD
seeded 'the countdown is lowered after busy = 0' "$lost_memory" COUNTDOWN_LATE WILD
seeded 'no grace period before the ledger has it' "$lost_memory" NO_GRACE WILD
seeded 'no barrier before the wait' "$lost_cache" NO_BARRIER WILD
seeded 'a thread believes that it is the only member, and is not' "$live" ALONE_WITH_ONE
seeded 'no wait after the caches are closed' "$lost_cache" NO_REVOKE_WAIT
seeded 'busy = 1 while asking for the lock' 'invalid end state' BUSY_AT_LOCK WILD
seeded 'the end of a thread forgets its span' 'assertion violated' EXIT_FORGETS
seeded 'the owner unparks a span without a compare-and-swap' 'assertion violated' UNPARK_NO_SWAP
seeded 'a span is claimed that is not parked' 'assertion violated' CLAIM_ANY
seeded 'the end of a thread forgets its parked span' 'assertion violated' EXIT_FORGETS_PARKED
seeded 'the scan is not busy' "$lost_memory" IDLE_SCAN
seeded 'a mask outlives its window' 'assertion violated +!' MASK_KEPT
seeded 'a thread that is not waited for frees without the lock' "$lost_memory" UNKNOWN_FREES WILD
seeded 'a span is seen before its states are there' "$lost_memory" EARLY_MAP WILD
seeded 'no sweep before there is no space' 'assertion violated' NO_SWEEP
seeded 'no space, as the cache was closed meanwhile' 'assertion violated' NO_SPACE_EARLY
report
