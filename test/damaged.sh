#!/bin/bash
# SPDX-License-Identifier: MIT
#
# damaged.sh BUILD COUNT [SEED] - damages a snapshot at random, COUNT times, and has each command of
# `mem` look into it: none crashes, hangs, or takes memory without bound [T5]. Prints TAP.
#
# test/inspect/damaged.c does this, with the seeds from SEED to SEED + COUNT - 1.
set -u
usage='usage: damaged.sh BUILD COUNT [SEED]'
build=$(realpath -e "${1:?$usage}") || exit 2
count=${2:?$usage} seed=${3:-1}
# shellcheck source=test/support/inspecting.sh
. "$(dirname "$0")/support/inspecting.sh"

LIBMEM=region=4M start "$programs/inspected" 0 100
run "$mem" snap "$pid" -o small
finish
"$programs/damaged" "$count" "$seed" small >out 2>err
status=$?
sed 's/^/# /' out
[ "$status" -eq 0 ] && ! grep -q '^not ok' out
result $? "$count damaged snapshots, seed $seed: no crash, no hang, no memory without bound"
echo "1..$ntests"
[ "$nfailed" -eq 0 ]
