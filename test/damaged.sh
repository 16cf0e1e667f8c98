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
# Makes a file each of whose many headers names the same bytes, as lists of notes or as images, and
# has it read: these bytes may not be taken again and again.
made_up() { # lists images message
    python3 - "$1" "$2" >made_up <<'END'
import struct, sys
nlists, nimages = int(sys.argv[1]), int(sys.argv[2])
LIST, HALF = 160000, 1 << 14 # bytes of the notes; of half an image
def header(kind, at, offset, n):
    return struct.pack('<IIQQQQQQ', kind, 5, offset, at, 0, n, n, 1)
def note(owner, kind, body):
    return struct.pack('<III', len(owner) + 1, len(body), kind) + owner.ljust(8, b'\0') + body
def elf(kind, nheaders):
    return b'\x7fELF\2\1\1'.ljust(16, b'\0') + struct.pack(
        '<HHIQQQIHHHHHH', kind, 62, 1, 0, 64, 0, 0, 64, 56, nheaders, 0, 0, 0)
list_at = 64 + 56 * (nlists + nimages)
image_at = list_at + LIST
headers = header(4, 0, list_at, LIST) * nlists
names = struct.pack('<QQ', nimages, 1)
for i in range(nimages):
    start = (i + 1) << 20
    headers += header(1, start, image_at, 2 * HALF)
    names += struct.pack('<QQQ', start, start + 2 * HALF, 0)
notes = note(b'CORE', 0x46494c45, names + b'/x\0\0' * nimages)
while len(notes) < LIST - 400:
    notes += note(b'CORE', 1, bytes(336))
image = elf(3, 251) + header(1, 0, 0, 2 * HALF) + header(4, HALF, HALF, HALF) * 250
found = note(b'libmem', 1, struct.pack('<IIQ', 0, 0, 0)) * (HALF // 36)
sys.stdout.buffer.write((elf(4, nlists + nimages) + headers + notes).ljust(image_at, b'\0') +
                        image.ljust(HALF, b'\0') + found.ljust(HALF, b'\0'))
END
    run bash -c 'ulimit -v 300000 -t 10; "$@"' bash "$mem" check made_up
    [ "$status" -eq 2 ] && ! grep -q 'no memory' err && grep -q "$3" err
    result $? "a file of which $1 lists of notes and $2 images are the same bytes"
}
made_up 2000 0 'is damaged'
made_up 1 2000 'another version'

echo "1..$ntests"
[ "$nfailed" -eq 0 ]
