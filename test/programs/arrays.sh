#!/bin/bash
# Exercises bash itself: arrays, strings, functions, subshells, pipes and background jobs.
set -eu
declare -A count
declare -a list
seed=12345
number() { seed=$(((seed * 1103515245 + 12345) % 2147483648)); }

for ((i = 0; i < 20000; i++)); do
    number
    key=k$((seed % 3001))
    count[$key]=$((${count[$key]:-0} + 1))
    list[i % 4000]=$seed:$key
    ((seed % 11)) || unset "count[k$((seed % 97))]"
done
echo "associative ${#count[@]}"
for key in "${!count[@]}"; do echo "$key ${count[$key]}"; done | LC_ALL=C sort | cksum
echo "indexed ${#list[@]} $(IFS=,; echo "${list[*]}" | cksum)"

text=
for ((i = 0; i < 3000; i++)); do text+="word$i "; done
echo "text ${#text} ${text//word/} " | cksum
depth() { local here="$1 $text"; if (($1)); then depth $(($1 - 1)); else echo "${#here}"; fi; }
echo "depth $(depth 50)"

for i in {1..40}; do
    (list[0]=$i; exit $((${#list[@]} % 7))) || echo "subshell $i: $?"
done
for i in {1..8}; do (number; echo "job $i $seed" >"job$i") & done
wait
cat job?
