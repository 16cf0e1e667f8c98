# SPDX-License-Identifier: MIT
#
# fit.awk - prints fit.csv as a table, and whether libmem reaches its marks.
#
#     cell[heap, operation, holes, allocator] = the median in ns
#
# A mark for a number of holes that was not measured is printed as "not measured".

BEGIN {
    FS = ","
    nops = split("first best worst lookup churn", op, " ")
    title["first"] = "first fit + free"
    title["best"] = "best fit + free"
    title["worst"] = "worst fit + free"
    title["lookup"] = "lookup"
    title["churn"] = "free any + first fit"
    nheaps = split("aged fresh", heap, " ")
    about["aged"] = "aged heap: small holes have gathered at low addresses, as first fit leaves it"
    about["fresh"] = "fresh heap: the size of a hole does not depend on its address"
}

/^#/ { print; next }
$1 == "heap" { next }
{
    cell[$1, $2, $3, $4] = $7
    measured[$1] = 1
    if (!($3 in seen)) {
        seen[$3] = 1
        holes[++nsizes] = $3
    }
}

function short(ratio) {
    return sprintf(ratio < 0.1 ? "%.3f" : ratio < 10 ? "%.2f" : ratio < 100 ? "%.1f" : "%.0f",
                   ratio)
}

function line(h, o, n,    ours, theirs) {
    ours = cell[h, o, n, "libmem"]
    theirs = cell[h, o, n, "textbook"]
    printf("  %-21s %9d %12.0f %14.0f %16s\n", title[o], n, ours, theirs, short(theirs / ours))
}

function table(h,    i, j) {
    printf "\n%s\n", about[h]
    printf "  %-21s %9s %12s %14s %16s\n", "", "holes", "libmem, ns", "textbook, ns",
        "textbook/libmem"
    for (i = 1; i <= nops; i++) {
        for (j = 1; j <= nsizes; j++)
            line(h, op[i], holes[j])
    }
}

function mark(what, figure, most, unit) {
    if (figure == "")
        printf "  %-52s not measured\n", what
    else
        printf("  %-52s %-7s %8.1f%s, at most %d%s\n", what,
               figure <= most ? "met" : "missed", figure, unit, most, unit)
}

function marks(h,    i, few, many, most) {
    printf "\nmarks of libmem, %s heap\n", h
    for (i = 1; i <= nops; i++) {
        if (op[i] == "churn")
            continue
        most = op[i] == "lookup" ? 1000 : 2000
        mark(title[op[i]] ", 10^6 holes", cell[h, op[i], 1000000, "libmem"], most, " ns")
    }
    for (i = 1; i <= nops; i++) {
        few = cell[h, op[i], 1000, "libmem"]
        many = cell[h, op[i], 1000000, "libmem"]
        mark(title[op[i]] ", 10^6 holes : 10^3 holes",
             few > 0 && many > 0 ? many / few : "", 8, "")
    }
}

END {
    for (k = 1; k <= nheaps; k++) {
        if (heap[k] in measured)
            table(heap[k])
    }
    for (k = 1; k <= nheaps; k++) {
        if (heap[k] in measured)
            marks(heap[k])
    }
}
