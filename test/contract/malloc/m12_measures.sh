#!/bin/bash
# SPDX-License-Identifier: MIT
#
# m12_measures.sh LIBRARY PROGRAMS - checks that each measure of LIBMEM=hard works alone, that no
# program of test/misuse/hard which needs it is stopped without it, and what is said [M12]. PROGRAMS
# is the folder where these are built. Prints TAP.
set -u
export LC_ALL=C
cd "$(dirname "$0")/../../.." || exit 1
library=$(realpath "$1") programs=$2 sources=test/misuse/hard
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
ntests=0

result() { # status what
    ntests=$((ntests + 1))
    if [ "$1" -eq 0 ]; then echo "ok $ntests - M12 $2"; return; fi
    echo "not ok $ntests - M12 $2"
    sed 's/^/# /' "$work/out" | head -n 20
}

# Runs a program of test/misuse/hard; its status is in `status`, its output in a file.
run() { # options program
    status=$(
        LIBMEM=$1 LD_PRELOAD=$library timeout 240 "$programs/$2" >"$work/out" 2>&1
        echo $?
    ) 2>/dev/null
}

# Whether the program ended as line 1 of its source says.
ended_well() { # program
    local source first
    for source in "$sources/$1".c*; do IFS= read -r first <"$source"; done
    [[ $first =~ ^/\*\ EXPECT:\ ([0-9]+)\ \"(.*)\" ]] && [ "$status" -eq "${BASH_REMATCH[1]}" ] &&
        grep -qF -- "${BASH_REMATCH[2]}" <(cat "$work/out"; echo)
}

says() { # text
    grep -qF -- "$1" "$work/out"
}

while read -r measure names; do
    for program in $names; do
        run "$measure" "$program"
        ended_well "$program"
        result $? "$measure alone: $program"
        run onerror=abort "$program"
        ! ended_well "$program"
        result $? "and without any measure it is not stopped"
    done
done <<'END'
canary overrun_first_byte overrun_medium overrun_moved_by_realloc
mismatch mismatch_new_free mismatch_malloc_delete mismatch_new_array_delete
quarantine after_free_write after_free_write_pages after_free_not_reused
guard overrun_large overrun_small_far overrun_read_far no_byte_write
random places_unordered places_in_child
zero after_free_read after_free_secret uninitialised_read
zero,guard,quarantine after_free_write_large
copy copy_overrun copy_overread copy_freed copy_in_library
END

# However the call was linked: through a table that is filled at the first call, or that becomes
# read-only, or without a stub; in a program that can lie anywhere, or not.
for link in -Wl,-z,lazy,-z,norelro -Wl,-z,lazy -Wl,-z,now -fno-plt -no-pie '-no-pie -Wl,-z,now'; do
    # shellcheck disable=SC2086
    "${CC:-gcc}" -O2 -fno-builtin -Itest/support -pthread $link "$sources/copy_overrun.c" \
        -o "$work/linked" && status=$(
        LIBMEM=copy LD_PRELOAD=$library timeout 60 "$work/linked" >"$work/out" 2>&1
        echo $?
    ) 2>/dev/null
    ended_well copy_overrun
    result $? "copy sees a call in a program linked with $link"
done

# The tables that the dynamic linker has made read-only are written to, and closed again.
mapped() { # options: how each part of a file is mapped
    LIBMEM=$1 LD_PRELOAD=$library awk '$6 ~ "^/" { print $2, $3, $6 }' /proc/self/maps
}
mapped '' >"$work/out"
[ -s "$work/out" ] && diff "$work/out" <(mapped copy) >"$work/differ"
status=$?
mv "$work/differ" "$work/out"
result "$status" 'copy leaves nothing of a program writable that was not'

# --- what is done, and said ---------------------------------------------------------------

run hard,onerror=report overrun_first_byte
[ "$status" -eq 0 ] && says ', behind its end, was written'
result $? 'onerror=report: an overrun is reported, and the program goes on'
run hard,onerror=report after_free_write
[ "$status" -eq 0 ] && says 'was written after it was freed'
result $? 'onerror=report: likewise a write after free'
run hard,onerror=report mismatch_new_array_delete
[ "$status" -eq 0 ] && says 'was allocated by operator new[]'
result $? 'onerror=report: likewise a mismatch'
run hard,onerror=ignore overrun_first_byte
[ "$status" -eq 0 ] && [ ! -s "$work/out" ]
result $? 'onerror=ignore: nothing is said'
run hard,history after_free_write
says 'freed by free in thread' && says 'allocated by malloc in thread' &&
    grep -q '^    #0 0x' "$work/out"
result $? 'with a history the line is followed by where the object came from and went'
run hard,history overrun_seen_by_realloc
says 'called in thread' && says 'allocated by malloc in thread'
result $? 'likewise for an overrun'
run mismatch overrun_first_byte
[ "$status" -eq 134 ]
result $? 'mismatch brings canaries with it'
run hard,quarantine=16K after_free_write
[ "$status" -eq 134 ]
result $? 'quarantine=BYTES beside hard'
run quarantine=1K no_byte_unique
says '"quarantine=1K" ignored: give a size from 4K to 16G'
result $? 'a quarantine that is too small is named, and the program goes on'
(ulimit -v 300000; LIBMEM=quarantine=16G LD_PRELOAD=$library sh -c 'echo goes on') >"$work/out" 2>&1
says 'hard ignored: the system refuses the memory; give a smaller quarantine=BYTES' &&
    says 'goes on'
result $? 'without memory for the quarantine there is none, and the program goes on'
run hard=1 no_byte_unique
says '"hard=1" ignored'
result $? 'hard takes no value'
run help no_byte_unique
says "  hard  " && says "    quarantine  "
result $? 'LIBMEM=help names the measures'

run hard,region=64M after_free_not_reused
ended_well after_free_not_reused
result $? 'in a small region'
for region in 1M 4M 8M; do
    run hard,region=$region full_heap
    ended_well full_heap
    result $? "in a heap of $region that is full again and again"
done
run hard,region=64M,quarantine=4M no_room_then_room
ended_well no_room_then_room
result $? 'what is in quarantine is handed out before there is no space'

echo "1..$ntests"
