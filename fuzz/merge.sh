#!/bin/bash
# SPDX-License-Identifier: MIT
#
# merge.sh BUILD NAME FROM COUNT - adds inputs of the fuzz target BUILD/NAME to fuzz/corpus/NAME:
# of those that libFuzzer keeps of the folder FROM (mostly BUILD/corpus/NAME), since each reaches a
# place in the code that no shorter one does, the COUNT largest ones, but none of 4 KiB or more. The
# largest ones reach nearly all that the others do.
set -eu
usage='usage: merge.sh BUILD NAME FROM COUNT'
build=$(realpath -e "${1:?$usage}") name=${2:?$usage} from=$(realpath -e "${3:?$usage}")
count=${4:?$usage}
corpus=$(dirname "$0")/corpus/$name
merged=$(mktemp -d)
trap 'rm -rf "$merged"' EXIT
mkdir -p "$corpus"
"$build/$name" -merge=1 -use_counters=0 -close_fd_mask=1 "$merged" "$corpus" "$from" >/dev/null 2>&1
find "$merged" -type f -size -4096c -printf '%s %p\n' | sort -rn | head -n "$count" |
    while read -r _ file; do cp -n "$file" "$corpus"; done
echo "$name: $(find "$corpus" -type f | wc -l) inputs, $(du -sb "$corpus" | cut -f1) bytes"
