# SPDX-License-Identifier: MIT
#
# malloc.awk - prints malloc.csv as tables; with -v plot=1, as data for malloc.gp.
#
#     runs[workload, allocator, what]    the figures of all rounds; what is "ns", "kib", "left"
#     figure[workload, allocator, what]  their median; for the last table, their least
#
# A figure counts only if every run ended well and read what most runs of the peers read. The
# best single peer is the peer with the least geometric mean over the workloads, among those
# that did nine in ten of them. A geometric mean is taken over the workloads that both
# allocators did.

BEGIN { FS = "," }
/^#/ { about[++nabout] = $0; next }
$1 == "workload" { next }
{
    if (!($1 in number)) { workload[++nworkloads] = $1; number[$1] = nworkloads }
    if (!($2 in column)) { allocator[++nallocators] = $2; column[$2] = nallocators }
    if ($5 == "") { failed[$1, $2]++; next }
    runs[$1, $2, "ns"] = runs[$1, $2, "ns"] " " $5
    runs[$1, $2, "kib"] = runs[$1, $2, "kib"] " " $6
    if ($7 >= 0) runs[$1, $2, "left"] = runs[$1, $2, "left"] " " $7
    sums[$1, $2] = sums[$1, $2] " " $8
    if (!($1 in sum)) sum[$1] = $8
    if (is_peer($2) && ++nvotes[$1, $8] > nvotes[$1, sum[$1]]) sum[$1] = $8
    is_program[$1] = $8 == "-"
}

# --- figures ---------------------------------------------------------------------------

# Sorts the list into sorted[1..n], and returns n.
function sort(list,    n, i, j, x) {
    n = split(list, sorted, " ")
    for (i = 2; i <= n; i++) {
        x = sorted[i] + 0
        for (j = i - 1; j > 0 && sorted[j] + 0 > x; j--) sorted[j + 1] = sorted[j]
        sorted[j + 1] = x
    }
    return n
}

function judge(    key, part, n, i, list) {
    for (key in sums) {
        split(key, part, SUBSEP)
        n = split(sums[key], list, " ")
        for (i = 1; i <= n; i++)
            if (list[i] != sum[part[1]]) wrong[key]++
    }
}

function take_medians(    key, n) {
    for (key in runs) {
        n = sort(runs[key])
        figure[key] = n % 2 ? sorted[(n + 1) / 2] : (sorted[n / 2] + sorted[n / 2 + 1]) / 2
    }
}

# Other work on the machine makes a run slower, never faster: the least is disturbed least.
function take_least(    key) {
    for (key in runs) {
        sort(runs[key])
        figure[key] = sorted[1]
    }
}

function has(w, a, what) {
    return (w, a, what) in figure && !((w, a) in failed) && !((w, a) in wrong)
}
function is_peer(a) { return a != "libmem" && a != "before" } # before: an older libmem
function is_lean(a) { return a ~ /^(mimalloc|jemalloc|tcmalloc)/ }

# Returns the peer with the least figure, for memory that of the lean peers; "" if there is none.
function least(w, what,    i, a, best) {
    best = ""
    for (i = 1; i <= nallocators; i++) {
        a = allocator[i]
        if (!is_peer(a) || !has(w, a, what) || (what != "ns" && !is_lean(a))) continue
        if (best == "" || figure[w, a, what] < figure[w, best, what]) best = a
    }
    return best
}

function ratio(w, a, b, what) {
    if (b == "" || !has(w, a, what) || !has(w, b, what) || figure[w, b, what] <= 0) return -1
    return figure[w, a, what] / figure[w, b, what]
}

# Returns the geometric mean of the ratios of a to b. If b is "least", a is compared on each
# workload with the least peer there. If programs is 1, only programs count. Sets ngeometric,
# worst_ratio and worst_name.
function geometric_mean(a, b, what, programs,    i, w, r, logs, against) {
    ngeometric = logs = worst_ratio = 0
    for (i = 1; i <= nworkloads; i++) {
        w = workload[i]
        against = b == "least" ? least(w, what) : b
        r = ratio(w, a, against, what)
        if (r <= 0 || (programs && !is_program[w])) continue
        logs += log(r)
        ngeometric++
        if (r > worst_ratio) { worst_ratio = r; worst_name = w " (" against ")" }
    }
    return ngeometric ? exp(logs / ngeometric) : -1
}

function did_most(a,    i, ndone) {
    for (i = 1; i <= nworkloads; i++)
        ndone += has(workload[i], a, "ns")
    return ndone >= 0.9 * nworkloads
}

# Peers are compared by their ratios to the least peer on each workload, so that a peer gains
# nothing by the workloads that it did not do.
function best_single(what,    i, a, g, best, least_mean) {
    for (i = 1; i <= nallocators; i++) {
        a = allocator[i]
        if (!is_peer(a) || !did_most(a) || (what != "ns" && !is_lean(a))) continue
        g = geometric_mean(a, "least", what)
        if (best == "" || g < least_mean) { best = a; least_mean = g }
    }
    return best
}

# --- tables ------------------------------------------------------------------------------

function time(ns) {
    if (ns < 1000) return sprintf("%.1f ns", ns)
    if (ns < 1e6) return sprintf("%.1f us", ns / 1e3)
    if (ns < 1e9) return sprintf("%.1f ms", ns / 1e6)
    return sprintf("%.2f s", ns / 1e9)
}
function size(kib) { return sprintf(kib < 10240 ? "%.2f MiB" : "%.0f MiB", kib / 1024) }
function show(x, what) { return what == "ns" ? time(x) : size(x) }
function times(r) { return r <= 0 ? "-" : sprintf("%.2f", r) }

# Returns how far the least and the most of all rounds are from the median, in percent.
function spread(w, a, what,    n, m) {
    if (!has(w, a, what)) return "-"
    n = sort(runs[w, a, what])
    m = figure[w, a, what]
    if (m <= 0) return "-"
    return sprintf("-%.0f +%.0f%%", (1 - sorted[1] / m) * 100, (sorted[n] / m - 1) * 100)
}

function cell(w, a, what) {
    if ((w, a) in failed) return "failed"
    if ((w, a) in wrong) return "wrong"
    return (w, a, what) in figure ? show(figure[w, a, what], what) : "-"
}

function heading(what, best,    i) {
    printf "%-16s", ""
    for (i = 1; i <= nallocators; i++) {
        printf " %10.10s", allocator[i]
        if (i == 1) printf " %9s", "spread"
    }
    printf "  %s  %s\n", best == "" ? "/best" : "/" best, what == "ns" ? "/fastest" : "/leanest"
}

function row(w, what, best, label,    i, lowest) {
    printf "%-16.16s", label
    for (i = 1; i <= nallocators; i++) {
        printf " %10s", cell(w, allocator[i], what)
        if (i == 1) printf " %9s", spread(w, allocator[i], what)
    }
    lowest = least(w, what)
    printf "  %*s  %8s %s\n", length(best == "" ? "best" : best) + 1,
        times(ratio(w, "libmem", best, what)), times(ratio(w, "libmem", lowest, what)), lowest
}

function table(title, what, best,    i, w) {
    printf "\n%s\n\n", title
    heading(what, best)
    for (i = 1; i <= nworkloads; i++) {
        w = workload[i]
        row(w, what, best, w)
    }
}

function left(    i, w) {
    for (i = 1; i <= nworkloads; i++) {
        w = workload[i]
        if ((w, "libmem", "left") in figure)
            row(w, "left", best_memory, w ", after")
    }
}

function summary_line(what, against, title, programs,    g) {
    g = against == "" ? -1 : geometric_mean("libmem", against, what, programs)
    if (g > 0)
        printf "%-7s libmem / %s: %.3f (%d %s; worst: %.2f, %s)\n",
            what == "ns" ? "time" : "memory", title, g, ngeometric,
            programs ? "programs" : "workloads and programs", worst_ratio, worst_name
}

function summary(what, best, superlative,    programs) {
    for (programs = 0; programs <= 1; programs++) {
        summary_line(what, best, best ", the best single peer", programs)
        summary_line(what, "least", "the " superlative " peer on each", programs)
        if ("before" in column) summary_line(what, "before", "the library of before", programs)
    }
}

# Prints what went wrong. Returns 1 if a run on libmem failed or read something else.
function complain(    i, j, w, a, status) {
    for (i = 1; i <= nworkloads; i++)
        for (j = 1; j <= nallocators; j++) {
            w = workload[i]; a = allocator[j]
            if ((w, a) in failed) printf "%s on %s: %d run%s failed\n", w, a, failed[w, a],
                failed[w, a] == 1 ? "" : "s"
            if ((w, a) in wrong)
                printf "%s on %s: what was read back is not what most peers read\n", w, a
            if (a == "libmem" && ((w, a) in wrong || (w, a) in failed)) status = 1
        }
    return status
}

function all_tables(    i) {
    for (i = 1; i <= nabout; i++) print about[i]
    print "spread: how far libmem's least and most of all rounds are from its median"
    print "/peer: libmem's figure divided by the peer's"
    table("Time of an operation, or of a whole program: medians", "ns", best_time)
    table("Peak memory: medians; the leanest of mimalloc, jemalloc and tcmalloc", "kib",
        best_memory)
    left()
    print "\nGeometric means"
    summary("ns", best_time, "fastest")
    summary("kib", best_memory, "leanest")
    print "\nGeometric means of each allocator's fastest run, which was disturbed the least"
    take_least()
    summary("ns", best_time, "fastest")
}

# Prints a block for each peer. A line has the number and the name of a workload, and the peer's
# time and memory as multiples of libmem's.
function all_points(    i, j, w, a, npeers) {
    for (j = 1; j <= nallocators; j++) {
        a = allocator[j]
        if (!is_peer(a)) continue
        printf "%s%s\n", npeers++ ? "\n\n" : "", a
        for (i = 1; i <= nworkloads; i++) {
            w = workload[i]
            printf "%d %s %s %s\n", i, w, point(ratio(w, a, "libmem", "ns")),
                point(ratio(w, a, "libmem", "kib"))
        }
    }
}
function point(r) { return r > 0 ? sprintf("%.4f", r) : "?" }

END {
    judge()
    take_medians()
    best_time = best_single("ns")
    best_memory = best_single("kib")
    if (plot) { all_points(); exit 0 }
    all_tables()
    exit complain()
}
