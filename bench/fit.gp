# SPDX-License-Identifier: MIT
#
# fit.gp - draws what a call costs over the number of holes, from fit.csv.
#
#     gnuplot -e "csv='bench/results/fit.csv'; svg='bench/results/fit.svg'" bench/fit.gp
#
# libmem's lines are solid, those of the textbook list dashed. Each operation has a colour, from
# the palette of Okabe and Ito, which colour-blind readers can tell apart. The picture shows the
# aged heap only; the table has the fresh one, too.

if (!exists("csv")) csv = "bench/results/fit.csv"
if (!exists("svg")) svg = "bench/results/fit.svg"

ops = "first best worst lookup churn"
array titles[5] = ["first fit + free", "best fit + free", "worst fit + free", \
                   "lookup of any address", "free any + first fit"]
array colours[5] = ["#0072B2", "#009E73", "#D55E00", "#CC79A7", "#E69F00"]

curve(op, allocator) = sprintf("< awk -F, '$1 == \"aged\" && $2 == \"%s\" && $4 == \"%s\" " . \
                               "{print $3, $7}' '%s'", op, allocator, csv)

set encoding utf8
set terminal svg size 800,500 dynamic font "Helvetica,Arial,sans-serif,14" background "#ffffff"
set output svg

set title "What a call costs when the heap has n holes" font ",17"
set xlabel "n: holes in an aged heap, with as many live objects between them"
set logscale xy
set xtics ("100" 100, "1,000" 1e3, "10,000" 1e4, "100,000" 1e5, "1,000,000" 1e6)
set ytics ("10 ns" 10, "100 ns" 100, "1 µs" 1e3, "10 µs" 1e4, "100 µs" 1e5, "1 ms" 1e6, \
           "10 ms" 1e7, "100 ms" 1e8, "1 s" 1e9)
set xrange [80:1.4e6]
set yrange [8:1e9]
set border 3 lc rgb "#666666"
set tics nomirror textcolor rgb "#333333"
set grid ytics lt 1 lc rgb "#e4e4e4" lw 1
set key at graph 0.03, 0.97 left top vertical Left reverse samplen 2 spacing 1.3
set label 1 "textbook list" at 3.2e4, 5e6 right font ",15" textcolor rgb "#333333"
set label 2 "libmem" at 3.2e5, 1.6e4 center font ",15" textcolor rgb "#333333"

# The dashed lines are drawn first, so that libmem's lines lie on top where they cross.
plot for [i = 1:5] curve(word(ops, i), "textbook") with lines dt (9, 6) lw 1.8 \
         lc rgb colours[i] notitle, \
     for [i = 1:5] curve(word(ops, i), "libmem") with linespoints lw 2.6 pt 7 ps 0.55 \
         lc rgb colours[i] notitle, \
     for [i = 1:5] NaN with lines lw 6 lc rgb colours[i] title titles[i], \
     NaN with linespoints lw 2.6 pt 7 ps 0.55 lc rgb "#333333" title "solid: libmem", \
     NaN with lines dt (9, 6) lw 1.8 lc rgb "#333333" title "dashed: a textbook's list"
