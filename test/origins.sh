#!/bin/bash
# SPDX-License-Identifier: MIT
#
# origins.sh BUILD - checks what `mem leaks`, `mem sizes --by-stack` and `mem diff` say by stack,
# and what google-pprof and pprof read of their profiles, of a program that keeps a history and says
# itself what each of its functions has allocated (test/inspect/origins.c): while it runs, and in
# snapshots of it. Prints TAP.
set -u
build=$(realpath -e "${1:?usage: origins.sh BUILD}") || exit 2
# shellcheck source=test/support/inspecting.sh
. "$(dirname "$0")/support/inspecting.sh"
need origins
program=$programs/origins

# Prints what the program has said up to the n-th `ready`.
said() { # n
    awk -v n="$1" '/^ready/ { if (++i == n) exit; next } i == n - 1 || $1 == "leak"' says
}

# Prints, of the list NAME in JSON, the columns and the innermost function of each entry that one of
# the program's own functions has allocated, or no event of the history.
by_function() { # name column...
    python3 - "$@" <<'END'
import json, sys
name, columns = sys.argv[1], sys.argv[2:]
own = {'order', 'order_more', 'trim', 'leak_here', 'leak_there', 'leak_early'}
found = {}
for entry in json.load(open('out'))[name]:
    stack = entry['stack']
    function = '-' if stack is None else stack[0]['is'].split('+')[0].split('.')[0]
    if function in own or function == '-':
        assert stack is None or any(f['is'].startswith('main+') for f in stack), stack
        row = tuple(entry[c] for c in columns)
        if columns[-1].endswith('bytes'): # of calls from several lines of one function
            row = tuple(map(sum, zip(row, found.get(function, (0,) * len(row)))))
            found[function] = row
        else:
            found[function, row] = row
for key, row in found.items():
    print(*row, key if isinstance(key, str) else key[0])
END
}

leaks_are_known() { # target
    run "$mem" leaks --json "$1"
    by_function leaks objects size >found 2>&1
    sort -o found found
    awk '$1 == "leak" { print $2, $3, $4 }' says | sort >expected
    diff expected found >difference && [ -s expected ] && [ "$status" -eq 1 ]
}

# All objects of a function, whether they have leaked or not.
sizes_are_known() { # target n
    run "$mem" sizes --by-stack --json --top 1000 "$1"
    by_function stacks objects bytes | grep -v ' -$' | sort >found 2>&1
    said "$2" | awk '$1 == "live" { n[$4] += $2; b[$4] += $3 }
        $1 == "leak" && $4 != "-" { n[$4] += $2; b[$4] += $2 * $3 }
        END { for (f in n) print n[f], b[f], f }' | sort >expected
    diff expected found >difference && [ -s expected ] && [ "$status" -eq 0 ]
}

# Prints the bytes of each function of the program, and of all together, that are expected in a
# profile: of what has leaked, or of all.
bytes_expected() { # leak|all
    said 1 | awk -v which="$1" '$1 == "live" && which == "all" { b[$4] += $3; n += $3 }
        $1 == "leak" { b[$4] += $2 * $3; n += $2 * $3 }
        END { for (f in b) if (f != "-") print f, b[f]; print "total", n }' | sort
}

# What the readers of profiles print is: bytes, two columns or more, a function.
bytes_found() { # total
    sed -E 's/([0-9])B? /\1 /g' out | awk -v total="$1" '
        $NF ~ /^(order|trim|leak_here|leak_there)$/ { print $NF, $1 }
        END { print "total", total }' | sort
}

profile_is_read() { # file leak|all
    bytes_expected "$2" >expected
    if command -v google-pprof >/dev/null; then
        run google-pprof --text --show_bytes "$program" "$1"
        bytes_found "$(sed -n 's/^Total: \([0-9]*\) B$/\1/p' out)" >found
        diff expected found >difference
        result $? "$2: google-pprof reads it"
    else
        ntests=$((ntests + 1))
        echo "ok $ntests - $2: google-pprof reads it # SKIP google-perftools is not installed"
    fi
    if command -v go >/dev/null && run go tool pprof -top -unit=B "$program" "$1" &&
        [ "$status" -eq 0 ]; then
        bytes_found "$(sed -n 's/.* of \([0-9]*\)B total$/\1/p' out)" >found
        diff expected found >difference
        result $? "$2: pprof reads it"
    else
        ntests=$((ntests + 1))
        echo "ok $ntests - $2: pprof reads it # SKIP go tool pprof is not installed"
    fi
}

# The lines of a profile, as gperftools describes them: the sums are those of the first line, and
# each address of code is in a mapping that may be executed.
profile_is_well_formed() { # file
    python3 - "$1" <<'END' >difference 2>&1
import re, sys
head, *lines = open(sys.argv[1]).read().split('\n')
numbers = r'(\d+): (\d+) \[(\d+): (\d+)\] @'
total = re.fullmatch('heap profile: ' + numbers + ' heapprofile', head).groups()
end = lines.index('MAPPED_LIBRARIES:')
samples = [re.fullmatch(numbers + '((?: 0x[0-9a-f]+)+)', l).groups() for l in lines[:end - 1]]
assert lines[end - 1] == '' and lines[-1] == '' and samples
assert [sum(int(s[i]) for s in samples) for i in range(4)] == [int(t) for t in total]
maps = [re.fullmatch(r'([0-9a-f]+)-([0-9a-f]+) [r-][w-]([x-])p [0-9a-f]{8,} 00:00 0 (.*)', l)
        for l in lines[end + 1:-1]]
code = [(int(m[1], 16), int(m[2], 16)) for m in maps if m[3] == 'x']
for s in samples:
    addresses = [int(a, 16) for a in s[4].split()]
    known = [any(a <= x < b for a, b in code) for x in addresses]
    assert all(known) or addresses == [0x7fffffffffff]
END
}

if ! ldd "$mem" | grep -q libdw; then
    echo '1..0 # SKIP this mem was built without libdw, so that it knows no functions'
    exit 0
fi

LIBMEM=history=1K,region=64M start "$program"
leaks_are_known "$pid"
result $? 'leaks by stack, and those whose event is no longer kept'
run "$mem" leaks "$pid"
grep -A 1 -E '^ +5 +9\.8 KiB  of 2\.0 KiB' out | grep -q '#0 0x.* leak_here+0x.* in origins at ' &&
    grep -A 1 -E '^ +2 +2\.9 KiB  of 1\.5 KiB' out | grep -q 'by none of the last 1023 calls'
result $? 'leaks in words: the stack below each kind'
sizes_are_known "$pid" 1
result $? 'sizes by stack'
run "$mem" sizes --by-stack "$pid"
grep -A 1 -E '^ +7 +6\.8 KiB$' out | grep -q '#0 0x.* order+0x.* in origins at '
result $? 'sizes by stack, in words'
run "$mem" snap --payload -o first "$pid"
leaks_are_known first && sizes_are_known first 1
result $? 'leaks and sizes by stack of a snapshot'
for command in 'leaks leak' 'sizes all'; do
    for target in "$pid" first; do
        rm -f profile
        run "$mem" "${command% *}" "$target" --pprof profile
        [ "$status" -le 1 ] && [ -s out ] && profile_is_well_formed profile
        result $? "${command% *} --pprof, of ${target/$pid/the process}"
    done
    profile_is_read profile "${command#* }"
done
run "$mem" sizes --pprof ./not/there "$pid"
[ "$status" -eq 2 ] && grep -q 'not/there' err
result $? 'a profile that cannot be written'
echo >&3
await_ready 2
run "$mem" snap -o second "$pid"
sizes_are_known second 2
result $? 'sizes by stack, of the second snapshot'
run "$mem" diff --json --top 0 first second
by_function stacks old new old_bytes new_bytes | grep -v ' -$' | sort >found 2>&1
sort >expected <<'END'
7 3 7000 3000 order
0 6 0 6000 order_more
1 1 4990 4980 trim
END
diff expected found >difference && [ "$status" -eq 0 ]
result $? 'diff by stack'
run "$mem" diff first "$pid"
grep -A 1 -E '^ +0 +6 +came ' out | grep -q '#0 0x.* order_more+0x.* in origins at ' &&
    grep -A 1 -E '^ +7 +3 +x 0\.43 ' out | grep -q '#0 0x.* order+0x.* in origins at '
result $? 'diff by stack, in words'
finish

# Addresses differ from run to run, and the stacks are numbered anew.
LIBMEM=history=8K,region=64M start "$program" otherwise
run "$mem" diff --json --top 0 first "$pid"
by_function stacks old new | grep -v ' -$' >found 2>&1
echo '0 2 leak_early' >expected
diff expected found >difference && [ "$status" -eq 0 ]
result $? 'diff of two runs of the program: only what the first no longer knew'
finish

LIBMEM=region=64M start "$program"
run "$mem" leaks --json "$pid"
[ "$status" -eq 1 ] && ! grep -q '"stack"' out
result $? 'leaks without a history'
run "$mem" sizes --by-stack "$pid"
[ "$status" -eq 2 ] && [ "$(wc -l <err)" -eq 1 ] && grep -q 'mem run --history' err && [ ! -s out ]
result $? 'sizes by stack without a history says what to do'
for command in leaks sizes; do
    run "$mem" "$command" --pprof none "$pid"
    [ "$status" -eq 2 ] && grep -q 'mem run --history' err && [ ! -e none ]
    result $? "$command --pprof without a history says what to do"
done
run "$mem" diff first "$pid"
[ "$status" -eq 0 ] && grep -q '^stacks cannot be compared' out
result $? 'diff with a program without a history'
finish

# An event that does not fit the object is not the object's: one of another size, and a free.
run "$mem" leaks --json first
cp out leaks.json
for change in size free; do
    python3 - "$change" <<'END'
import json, struct, sys
first = [l for l in json.load(open('leaks.json'))['leaks'] if l['size'] == 3000][0]['first']
file = open('first', 'rb').read()
event = [struct.pack('<QQ', int(first, 16), 3000 | kind << 40) for kind in (1, 2)]
other = struct.pack('<QQ', int(first, 16), 3001 | 1 << 40)
assert file.count(event[0]) == 1
open('changed', 'wb').write(file.replace(event[0], other if sys.argv[1] == 'size' else event[1]))
END
    run "$mem" leaks --json changed
    by_function leaks objects size | grep ' 3000 ' | sort >found 2>&1
    printf '1 3000 %s\n' - leak_here >expected
    diff expected found >difference
    result $? "an event that does not fit: $change"
done

# Any bytes of a snapshot may be damaged: the commands end, and not by a signal.
nbad=0
for ((i = 0; i < 10; i++)); do
    python3 - "$i" <<'END'
import random, sys
random.seed(int(sys.argv[1]))
file = bytearray(open('first', 'rb').read())
for _ in range(200):
    file[random.randrange(len(file))] = random.randrange(256)
open('damaged', 'wb').write(file)
END
    for command in 'leaks damaged' 'sizes --by-stack damaged' 'diff damaged second'; do
        # shellcheck disable=SC2086 # several words
        run "$mem" $command
        [ "$status" -le 2 ] || nbad=$((nbad + 1))
    done
done
[ "$nbad" -eq 0 ]
result $? 'damaged snapshots end the commands with a status of their own'

echo "1..$ntests"
[ "$nfailed" -eq 0 ]
