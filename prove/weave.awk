# SPDX-License-Identifier: MIT
#
# weave.awk - puts what loops.txt says of a loop in front of that loop, as a comment. All else of
# the source stays as it is. Fails if a loop that loops.txt names is not there.
#
#     awk -f prove/weave.awk prove/loops.txt src/ledger/btree.c >copy/src/ledger/btree.c

FNR == NR && /^#/ { next }
FNR == NR && /^in / { file = $2; next }
FNR == NR && /^[a-z]/ { loop = file " " $0; next }
FNR == NR { said[loop] = said[loop] $0 "\n"; next }

# The name of a function stands before the first parenthesis of a line that is not indented.
/^[a-zA-Z].*\(/ { name = $0; sub(/\(.*/, "", name); sub(/.*[ *]/, "", name); n = 0 }
/^ +(for|while) \(/ {
    loop = FILENAME " " name " " ++n
    if (loop in said) {
        print "/*@\n" said[loop] "*/"
        delete said[loop]
    }
}
{ print }

END {
    for (loop in said)
        if (index(loop, FILENAME " ") == 1) {
            print "weave.awk: there is no loop " loop >"/dev/stderr"
            failed = 1
        }
    exit failed
}
