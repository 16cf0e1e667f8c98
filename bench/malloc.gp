# SPDX-License-Identifier: MIT
#
# malloc.gp - draws the time and the memory of the peers, as multiples of libmem's.
#
#     awk -v plot=1 -f bench/malloc.awk bench/results/malloc.csv >points
#     gnuplot -e "data='points'; svg='bench/results/malloc.svg'" bench/malloc.gp
#
# A row is a workload, and a mark in it a peer; the line at 1 is libmem. The colours are the
# palette of Okabe and Ito, which colour-blind readers can tell apart; the shapes differ, too.

set datafile missing "?"
stats data using 1 nooutput
rows = int(STATS_max)
npeers = int(STATS_blocks)

set encoding utf8
set terminal svg size 1000,120 + 20 * rows dynamic \
    font "Helvetica,Arial,sans-serif,13" background "#ffffff"
set output svg

array colours[8] = ["#D55E00", "#0072B2", "#009E73", "#CC79A7", \
                    "#E69F00", "#56B4E9", "#999999", "#000000"]
array shapes[8] = [7, 5, 9, 11, 13, 15, 6, 4]

set logscale x
set xtics ("1/32" 0.03125, "1/16" 0.0625, "1/8" 0.125, "1/4" 0.25, "1/2" 0.5, "1" 1, "2" 2, \
           "4" 4, "8" 8, "16" 16, "32" 32)
unset key
set border 1 lc rgb "#666666"
set tics nomirror textcolor rgb "#333333"
set yrange [rows + 0.6:0.4]
set grid x lt 1 lc rgb "#e4e4e4" lw 1
set arrow 1 from 1, graph 0 to 1, graph 1 nohead lw 2 lc rgb "#333333"
set multiplot layout 1, 2 \
    margins 0.13, 0.86, 60.0 / (120 + 20 * rows), 1 - 50.0 / (120 + 20 * rows) spacing 0.05

do for [row = 1:rows] {
    set arrow 10 + row from graph 0, first row to graph 1, first row \
        nohead dt 3 lw 0.5 lc rgb "#cccccc" back
}

set title "time (to the right of the line: slower than libmem)"
set ytics scale 0
plot for [i = 1:npeers] data index i - 1 using 3:1:ytic(2) skip 1 with points \
    pt shapes[(i - 1) % 8 + 1] ps 0.75 lc rgb colours[(i - 1) % 8 + 1] notitle

set title "peak memory (to the right of the line: more than libmem)"
unset ytics
set key at screen 0.88, graph 0.99 left top vertical Left reverse samplen 1 spacing 1.4
plot for [i = 1:npeers] data index i - 1 using 4:1 skip 1 with points \
    pt shapes[(i - 1) % 8 + 1] ps 0.75 lc rgb colours[(i - 1) % 8 + 1] \
    title system(sprintf("awk -v RS= 'NR == %d {print $1}' '%s'", i, data))
unset multiplot
