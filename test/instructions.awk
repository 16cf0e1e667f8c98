# SPDX-License-Identifier: MIT
#
# instructions.awk - reads callgrind's output (written with --compress-strings=no
# --compress-pos=no) and prints the counts for one library:
#
#     instructions, calls out of the library, instructions of malloc itself, of free itself
#
#     awk -v library=libmem-malloc.so -f instructions.awk FILE
#
# Instructions of the C library are left out, since those of its memset depend on the processor.
# Calls of the C library are counted, so that one more lock is noticed.

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
    getline # The next line is the cost of the callee.
    next
}
/^[0-9]/ && ours {
    n += $2
    self[name] += $2
}
END { print n + 0, ncalls + 0, self["malloc"] + 0, self["free"] + 0 }
