#!/bin/bash
# SPDX-License-Identifier: MIT
#
# seeds.sh BUILD FOLDER - writes snapshots of fuzz/seed.c to the folder, packed (packed.h): the
# seeds of the fuzz target `reader`. They are made when the targets are built, since mem refuses
# those of an earlier layout of heaps.
set -eu
usage='usage: seeds.sh BUILD FOLDER'
build=$(realpath -e "${1:?$usage}") folder=$(realpath -e "${2:?$usage}")
work=$(mktemp -d)
trap 'exec 3>&-; rm -rf "$work"' EXIT
cp "$build/fuzz_seed" "$build/fuzz_seed_static" "$build/libmem.so" "$build/libmem-malloc.so" "$work"
cd "$work"
ln -s libmem.so libmem.so.1

# snap NAME PROGRAM OPTION... -- VARIABLE=VALUE...: takes a snapshot of the program, with options of
# `mem snap`. A snapshot has the program's environment and the names of its files, so that neither
# says anything of this machine.
snap() {
    local name=$1 program=$2 options=()
    shift 2
    while [ "$1" != -- ]; do options+=("$1"); shift; done
    shift
    mkfifo input
    : >says
    env -i LD_LIBRARY_PATH="$work" "$@" "$work/$program" <input >says &
    exec 3>input
    until grep -q ready says; do sleep 0.05; done
    "$build/mem" snap "$!" -o snapshot "${options[@]}" >/dev/null
    exec 3>&-
    wait "$!"
    "$build/fuzz_pack" <snapshot >"$folder/$name"
    rm input says
}

snap static fuzz_seed_static --
snap static-payload fuzz_seed_static --payload --
snap payload fuzz_seed --payload -- LD_PRELOAD="$work/libmem-malloc.so" LIBMEM=region=1M
snap history fuzz_seed -- LD_PRELOAD="$work/libmem-malloc.so" LIBMEM=region=1M,history=1024
