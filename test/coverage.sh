#!/bin/bash
# SPDX-License-Identifier: MIT
#
# coverage.sh - measures which lines, branches and conditions of src the tests reach, and fails if
# they are fewer than test/coverage.py wants.
#
#     test/coverage.sh            builds, runs the tests, and judges
#     test/coverage.sh --judge    only judges what the last run has counted
#
# The figures are those of clang 19, which Debian 12 has. The result is in build/coverage: line by
# line in missed.tsv, and what llvm-cov knows in coverage.json.
set -u
cd "$(dirname "$0")/.." || exit 1
version=19
folder=$PWD/build/coverage counts=$PWD/build/coverage/counts

# A few tests fail here, and pass in make check: the counters make system calls at the end of a
# process, export two functions, and take memory and time.
run_tests() {
    local runtime flags
    test/needs.sh "clang-$version" "llvm-$version" "libclang-rt-$version-dev"
    runtime=$("clang-$version" -print-file-name=lib/linux/libclang_rt.profile-"$(uname -m)".a) ||
        return 1
    rm -rf build/coverage # Nothing there would notice a change of coverage.c.
    mkdir -p "$counts"
    "clang-$version" -O2 -Wall -Wextra -fPIC -D_GNU_SOURCE "-DCOVERAGE_FOLDER=\"$counts\"" \
        -c test/support/coverage.c -o "$folder/coverage.o" || return 1
    flags='-O1 -g -DNDEBUG -Wno-everything -Xclang -fprofile-instrument=clang'
    flags+=' -Xclang -fcoverage-mapping -Xclang -fcoverage-mcdc'
    # The rules of some tests add to LDFLAGS, as they could not if it were on make's command line.
    export LDFLAGS="$folder/coverage.o $runtime"
    set -- CC="clang-$version" CFLAGS="$flags" BUILD=build/coverage LABEL=coverage \
        TALLY=build/tally.coverage CALLS=300000 HEAPS=20000 ROUNDS=300 THREADS='1000 100' \
        SHRINK=512 ZEROS=5000
    make -s -k -j2 check-one-programs check-malloc-programs build/coverage/test/known "$@" ||
        return 1
    make -s -k check-one check-malloc BUILT=1 "$@"
    set -- build/coverage/mem build/coverage/libmem-malloc.so
    test/run.sh --label coverage "test/tool.sh $* build/coverage/test/known" \
        "test/inspect_history.sh $*" "test/fail.sh $1 20"
}

# The unit tests come first. Some bear the name of a file of src, and of an inline function that is
# in both, llvm-cov knows only what it has read first.
judge() {
    local objects=() file
    for file in "$folder"/test/unit/*/* "$folder"/*.so "$folder"/test/[!u]*/*/* \
        "$folder"/test/model/*; do
        [ -f "$file" ] && objects+=(-object "$file")
    done
    "llvm-profdata-$version" merge -sparse "$counts"/*.profraw -o "$folder/all.profdata" &&
    "llvm-cov-$version" export -instr-profile="$folder/all.profdata" "${objects[@]}" \
        -sources src >"$folder/coverage.json" 2>"$folder/export.log" &&
    python3 test/coverage.py "$folder/coverage.json" test/coverage.tsv "$folder/missed.tsv"
}

[ "${1:-}" = --judge ] || run_tests || echo 'coverage.sh: some tests failed: see run_tests'
judge
