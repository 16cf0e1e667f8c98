# SPDX-License-Identifier: MIT
#
# malloc.awk - malloc.csv as tables for people; with -v plot=1, as data for malloc.gp.
#
#     runs[workload, allocator, what] = "figure figure ..."      what: "ns", "kib", "left"
#     median[workload, allocator, what]
#
# The best single peer is the one with the least geometric mean of the time over all
# workloads on which every peer that is in the running did its work; a peer that fails
# on one is out of the running. A geometric mean has only workloads that both did.

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
    if (!($1 in sum)) sum[$1] = $8
    if (sum[$1] != $8) wrong[$1, $2]++
}

# --- figures ---------------------------------------------------------------------------

# Sorts list into sorted[1..n]; returns n.
function sort(list,    n, i, j, x) {
    n = split(list, sorted, " ")
    for (i = 2; i <= n; i++) {
        x = sorted[i] + 0
        for (j = i - 1; j > 0 && sorted[j] + 0 > x; j--) sorted[j + 1] = sorted[j]
        sorted[j + 1] = x
    }
    return n
}

function take_medians(    key, n) {
    for (key in runs) {
        n = sort(runs[key])
        median[key] = n % 2 ? sorted[(n + 1) / 2] : (sorted[n / 2] + sorted[n / 2 + 1]) / 2
    }
}

function has(w, a, what) { return (w, a, what) in median && !((w, a) in failed) }
function is_peer(a) { return a != "libmem" }
function is_lean(a) { return a ~ /^(mimalloc|jemalloc|tcmalloc)/ }

# The peer with the least figure; the lean ones alone if it is memory. "" if there is none.
function least(w, what,    i, a, best) {
    best = ""
    for (i = 1; i <= nallocators; i++) {
        a = allocator[i]
        if (!is_peer(a) || !has(w, a, what) || (what != "ns" && !is_lean(a))) continue
        if (best == "" || median[w, a, what] < median[w, best, what]) best = a
    }
    return best
}

function ratio(w, a, b, what) {
    if (b == "" || !has(w, a, what) || !has(w, b, what) || median[w, b, what] <= 0) return -1
    return median[w, a, what] / median[w, b, what]
}

# Of a over b; b is "least" for the least peer on each. Leaves worst_ratio, worst_name and n.
function geometric_mean(a, b, what,    i, w, r, logs, against) {
    ngeometric = logs = worst_ratio = 0
    for (i = 1; i <= nworkloads; i++) {
        w = workload[i]
        against = b == "least" ? least(w, what) : b
        r = ratio(w, a, against, what)
        if (r <= 0) continue
        logs += log(r)
        ngeometric++
        if (r > worst_ratio) { worst_ratio = r; worst_name = w " (" against ")" }
    }
    return ngeometric ? exp(logs / ngeometric) : -1
}

function did_all(a,    i) {
    for (i = 1; i <= nworkloads; i++)
        if (!has(workload[i], a, "ns")) return 0
    return 1
}

# All are compared with the first peer that did everything: ratios of ratios are ratios.
function best_single(what,    i, a, g, first, best, least_mean) {
    for (i = 1; i <= nallocators; i++) {
        a = allocator[i]
        if (!is_peer(a) || !did_all(a) || (what != "ns" && !is_lean(a))) continue
        if (first == "") first = a
        g = geometric_mean(a, first, what)
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
function size(kib) { return kib < 10240 ? sprintf("%.2f MiB", kib / 1024) : sprintf("%.0f MiB", kib / 1024) }
function show(figure, what) { return what == "ns" ? time(figure) : size(figure) }
function times(r) { return r <= 0 ? "-" : sprintf("%.2f", r) }

# What libmem had in its quickest and its slowest round, in percent of the median.
function spread(w, a, what,    n, m) {
    if (!has(w, a, what)) return "-"
    n = sort(runs[w, a, what])
    m = median[w, a, what]
    return m <= 0 ? "-" : sprintf("%+.0f%+.0f%%", (sorted[1] / m - 1) * 100, (sorted[n] / m - 1) * 100)
}

function cell(w, a, what) {
    if ((w, a) in failed) return "failed"
    if ((w, a) in wrong) return "wrong"
    return (w, a, what) in median ? show(median[w, a, what], what) : "-"
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
    printf "  %*s  %8s %s\n", length(best == "" ? "best" : best) + 1, times(ratio(w, "libmem", best, what)),
        times(ratio(w, "libmem", lowest, what)), lowest
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
        if ((w, "libmem", "left") in median)
            row(w, "left", best_memory, w ", after")
    }
}

function summary(what, best, superlative,    g) {
    g = geometric_mean("libmem", best, what)
    if (best != "" && g > 0)
        printf "%-7s libmem / %s, the best single peer: %.3f (%d workloads; worst: %.2f, %s)\n",
            what == "ns" ? "time" : "memory", best, g, ngeometric, worst_ratio, worst_name
    g = geometric_mean("libmem", "least", what)
    if (g > 0)
        printf "%-7s libmem / the %s peer on each: %.3f (%d workloads; worst: %.2f, %s)\n",
            what == "ns" ? "time" : "memory", superlative, g, ngeometric, worst_ratio, worst_name
}

# Status 1 if libmem is at fault, or may be.
function complain(    i, j, w, a, status) {
    for (i = 1; i <= nworkloads; i++)
        for (j = 1; j <= nallocators; j++) {
            w = workload[i]; a = allocator[j]
            if ((w, a) in failed) printf "%s failed on %s, %d times\n", w, a, failed[w, a]
            if ((w, a) in wrong) printf "%s on %s: what was read back is not what %s read\n", w, a, allocator[1]
            if ((w, a) in wrong || ((w, a) in failed && a == "libmem")) status = 1
        }
    return status
}

function all_tables(    i) {
    for (i = 1; i <= nabout; i++) print about[i]
    table("Time for an operation (of programs: in all), the median; and libmem's as a multiple", "ns", best_time)
    table("Peak memory, the median; leanest of mimalloc, jemalloc and tcmalloc", "kib", best_memory)
    left()
    print "\nGeometric means"
    summary("ns", best_time, "fastest")
    summary("kib", best_memory, "leanest")
}

# One block for each peer: workload's row, its name, time and memory as multiples of libmem's.
function all_points(    i, j, w, a) {
    for (j = 1; j <= nallocators; j++) {
        a = allocator[j]
        if (!is_peer(a)) continue
        print a
        for (i = 1; i <= nworkloads; i++) {
            w = workload[i]
            printf "%d %s %s %s\n", i, w, point(ratio(w, a, "libmem", "ns")), point(ratio(w, a, "libmem", "kib"))
        }
        printf "\n\n"
    }
}
function point(r) { return r > 0 ? sprintf("%.4f", r) : "?" }

END {
    take_medians()
    best_time = best_single("ns")
    best_memory = best_single("kib")
    if (plot) { all_points(); exit 0 }
    all_tables()
    exit complain()
}
