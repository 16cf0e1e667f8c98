# SPDX-License-Identifier: MIT
#
# bench.mk - the programs that measure, and the targets that run them. The Makefile includes it.

.PHONY: demo demo-fit bench bench-fit bench-find bench-history bench-hard bench-bounded
demo: all ## real programs on the system's malloc and on libmem's: one table
	@bench/demo.sh $(BUILD)/mem
demo-fit: all $(EXAMPLES) ## counts the words of licence texts, with each placement style
	@LD_LIBRARY_PATH=$(BUILD) $(BUILD)/examples/wordcount /usr/share/common-licenses/*

# gcc would remove a malloc whose free it sees.
$(BUILD)/bench/work: $(wildcard bench/work/*.[ch]) tools/trace.h Makefile
	$(build) -fno-builtin-malloc -fno-builtin-calloc -fno-builtin-realloc -fno-builtin-free -ldl
$(BUILD)/libmem-record.so: tools/record.c tools/trace.h Makefile
	$(build) -fno-builtin -fPIC -fvisibility=hidden -shared
$(BUILD)/bench/launch: bench/launch.c Makefile
	$(build)

# The library is linked by each of these; GC_base of libgc is measured where libgc is installed.
GC := $(if $(call has_library,bdw-gc),-DWITH_GC -lgc)
$(BUILD)/bench/find: BENCH_FLAGS := $(GC)
$(BUILD)/bench/bounded: BENCH_FLAGS := -ldl
$(BUILD)/bench/paths: BENCH_FLAGS := -fno-builtin
$(BUILD)/bench/%: bench/%.c include/mem.h include/mem_heap.h $(BUILD)/libmem.so Makefile
	$(build) -L$(BUILD) -lmem $(BENCH_FLAGS)

BENCH := $(BUILD)/bench/work $(BUILD)/bench/launch $(BUILD)/libmem-record.so $(BUILD)/bench/bounded
bench: all $(BENCH) ## libmem-malloc.so beside others: ROUNDS= ONLY= PEERS= BEFORE= QUICK=1 SCALE=
	@test/needs.sh libjemalloc2 libmimalloc2.0 libtcmalloc-minimal4 libtbbmalloc2 \
	    sqlite3 lua5.4 python3 perl redis-server z3 ruby rocksdb-tools \
	    mariadb-server-core mariadb-client xz-utils gnuplot-nox
	@CC="$(CC)" ROUNDS=$(ROUNDS) SCALE=$(SCALE) QUICK=$(QUICK) ONLY="$(ONLY)" PEERS="$(PEERS)" \
	    BEFORE="$(BEFORE)" bench/malloc.sh
bench-fit: all ## the fits beside a textbook list: table, CSV, picture
	@bench/fit.sh
bench-find: all $(BUILD)/bench/find ## any address to its object, beside GC_base of libgc
	$(if $(GC),,@echo "bench-find: no libgc here (libgc-dev): without GC_base")
	@bench/find.sh $(BUILD)

bench-history: all ## what LIBMEM=history costs two compilers, beside heaptrack
	@bench/history.sh $(BUILD)

bench-hard: all $(BUILD)/bench/work $(BUILD)/bench/launch ## LIBMEM=hard: PEERS=
	@PEERS="$(PEERS)" bench/hard.sh $(BUILD)

# STEPPED calls are counted instruction by instruction, at a millisecond and more for each.
STEPPED ?= 300
bench-bounded: all $(BUILD)/bench/bounded ## heaps of 64 KiB to 16 MiB: STEPPED= TLSF=lib.so
	@bench/bounded.sh $(BUILD) $(STEPPED) $(TLSF)
