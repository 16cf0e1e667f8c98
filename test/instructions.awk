# SPDX-License-Identifier: MIT
#
# instructions.awk - reads what callgrind wrote (with --compress-strings=no
# --compress-pos=no) and prints what was done in one library:
#
#     instructions, calls out of it, instructions of malloc itself, of free itself
#
#     awk -v library=libmem-malloc.so -f instructions.awk FILE
#
# The C library is not in it: how many instructions its memset takes depends on the
# processor. But a call of it counts, so that a lock more is seen.

function is_ours(path) {
    return path ~ ("/" library "$")
}
BEGIN { gsub(/\./, "[.]", library) }
/^ob=/ { ours = is_ours($0); away = 0; next }
/^cob=/ { away = !is_ours($0); next }
/^fn=/ { name = substr($0, 4); next }
/^calls=/ {
    if (ours && away)
        ncalls += substr($1, 7)
    away = 0
    getline # what the callee took
    next
}
/^[0-9]/ && ours {
    n += $2
    self[name] += $2
}
END { print n + 0, ncalls + 0, self["malloc"] + 0, self["free"] + 0 }
