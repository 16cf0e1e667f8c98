#!/bin/bash
# SPDX-License-Identifier: MIT
#
# prove.sh [FILE.c ...] - proves the contracts in the files of this folder, or in those that are
# named, with Frama-C WP, z3 and CVC4. A file says behind "Proves:" which functions of the library
# it is about. What holds of the loops of a function is in loops.txt, and is put in front of them in
# a copy of src, since WP wants it there. Fails if a goal is left. SECONDS_EACH: how long a prover
# may take for one goal. SRC: where the source is; ONLY: the functions that are proved, instead of
# all of the file.

cd "$(dirname "$0")/.." || exit 1
here=$PWD
for tool in frama-c why3 z3 cvc4; do
    if ! command -v $tool >/dev/null; then
        echo "prove: skipped, as $tool is missing (apt install frama-c-base why3 z3 cvc4)"
        exit 0
    fi
done
out=$(mktemp -d) || exit 1
trap 'rm -rf "$out"' EXIT
export WHY3CONFIG=$out/why3.conf
why3 config detect >/dev/null 2>&1

# A comment in front of a loop is all that the copy has more.
cp -r "${SRC:-src}" "$out/src"
while read -r file; do
    (cd "${SRC:-src}/.." && awk -f "$here/prove/weave.awk" "$here/prove/loops.txt" "$file") \
        >"$out/$file" || exit 1
done < <(sed -n 's/^in //p' prove/loops.txt)

# The form of the code that is proved is the portable one, which arm64 runs.
wp() {
    frama-c -c11 -machdep gcc_x86_64 \
        -cpp-extra-args="-I$out/src -Iinclude -Iprove -U__x86_64__ -U__SSE2__" \
        -wp -wp-prover z3,cvc4 -wp-par 2 -wp-timeout "${SECONDS_EACH:-60}" "$@" 2>&1
}

# The axioms first: each must be refuted when it is negated.
z3 prove/words.smt2 >"$out/words"
if [ ! -s "$out/words" ] || grep -qv '^unsat$' "$out/words"; then
    echo 'prove: an axiom is wrong'
    exit 1
fi

failed=0 goals=0
[ $# -gt 0 ] || set -- prove/*.c
for file; do
    file=prove/$(basename "$file")
    functions=$(awk '/Proves:/ { on = 1; sub(/.*Proves:/, "") }
        on { line = $0; gsub(/[^a-z0-9_]+/, " ", line); printf "%s", line }
        on && /\*\// { exit }' "$file" | xargs | tr ' ' ',')
    start=$(date +%s)
    wp -wp-rte -wp-fct "${ONLY:-$functions}" "$file" >"$out/log"
    [ -z "${ONLY-}" ] && grep -q 'lemma' "$file" && wp -wp-prop=@lemma "$file" >>"$out/log"
    proved=$(awk '/Proved goals:/ { n += $(NF - 2) } END { print n + 0 }' "$out/log")
    wanted=$(awk '/Proved goals:/ { n += $NF } END { print n + 0 }' "$out/log")
    echo "$file: $proved of $wanted goals, $(($(date +%s) - start)) s"
    goals=$((goals + proved))
    if [ "$proved" != "$wanted" ] || [ "$wanted" = 0 ]; then
        failed=1
        grep -E '\[Failed\]|[Ee]rror:' "$out/log"
    fi
done
echo "prove: $goals goals proved"
[ $failed = 0 ] || echo 'prove: not all are proved'
exit $failed
