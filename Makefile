# SPDX-License-Identifier: MIT
#
# make            the libraries, in build/, with links in this folder
# make demo       real programs on the system's malloc and on libmem's: one table
# make check      installs what the tests need and runs all of them
# make help       the other targets

VERSION := 0.1.0
SOVERSION := 1
PREFIX ?= /usr/local
BUILD ?= build

ifeq ($(origin CC),default)
CC := gcc
endif
WARN := -Wall -Wextra -Wconversion -Wshadow -Wundef
CFLAGS ?= -O2 -g -DNDEBUG
ALL_CFLAGS := -std=c11 -D_GNU_SOURCE $(WARN) -Iinclude -pthread $(CPPFLAGS) $(CFLAGS)
LIB_CFLAGS := $(ALL_CFLAGS) -Isrc -fPIC -fvisibility=hidden -ftls-model=initial-exec

# A library is some folders of src; a folder includes only those before it (test/layers.sh).
objects_in = $(patsubst src/%.c,$(BUILD)/obj/%.o,$(foreach folder,$(1),$(sort $(wildcard src/$(folder)/*.c))))
OBJECTS := $(call objects_in,base ledger slots core heaps classic)
MALLOC_OBJECTS := $(call objects_in,base ledger slots core malloc)

.PHONY: all
all: $(BUILD)/libmem.so $(BUILD)/libmem.a $(BUILD)/libmem-malloc.so $(BUILD)/mem $(BUILD)/examples/census.so links

# -fno-builtin, or the compiler makes calloc of malloc and memset: a call of itself.
$(BUILD)/obj/malloc/%.o: LIB_CFLAGS += -fno-builtin -fexceptions
$(BUILD)/obj/%.o: src/%.c Makefile
	@mkdir -p $(@D)
	$(CC) $(LIB_CFLAGS) -MMD -MP -c $< -o $@
-include $(sort $(OBJECTS:.o=.d) $(MALLOC_OBJECTS:.o=.d))

$(BUILD)/libmem.so: $(OBJECTS)
	$(CC) $(LIB_CFLAGS) -shared -Wl,-soname,libmem.so.$(SOVERSION) $(LDFLAGS) $^ -o $@
	@ln -sf libmem.so $@.$(SOVERSION)

$(BUILD)/libmem.a: $(OBJECTS)
	@rm -f $@
	$(AR) rcs $@ $^

# malloc for programs that know nothing of it: the heap, without the classic calls.
$(BUILD)/libmem-malloc.so: $(MALLOC_OBJECTS)
	$(CC) $(LIB_CFLAGS) -shared -Wl,-z,defs,-z,now,-z,nodelete,-z,initfirst $(LDFLAGS) $^ -o $@

$(BUILD)/mem: tools/mem.c tools/report.c tools/report.h src/malloc/counterfile.h src/core/counters.c src/core/counters.h Makefile
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -Isrc -DMEM_VERSION='"$(VERSION)"' $(LDFLAGS) $(filter %.c,$^) -o $@

# What `gcc -o myprogram mymain.c -L. -lmem` and LD_LIBRARY_PATH=. look for.
.PHONY: links
links: $(BUILD)/libmem.so
ifeq ($(BUILD),build)
	@ln -sf build/libmem.so libmem.so
	@ln -sf build/libmem.so libmem.so.$(SOVERSION)
	@ln -sf include/mem.h include/mem_heap.h .
endif

.PHONY: debug asan tsan
debug:
	$(MAKE) BUILD=build/debug CFLAGS="-O0 -g3"
asan:
	$(MAKE) BUILD=build/asan CFLAGS="-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all"
tsan:
	$(MAKE) BUILD=build/tsan CFLAGS="-O1 -g -fsanitize=thread"

# --- programs ---------------------------------------------------------------

programs_in = $(patsubst %.c,$(BUILD)/%,$(wildcard $(1)/*.c))
# Two examples need a library, which there is for this processor only.
has_library = $(if $(findstring aarch64,$(CC)),,$(shell pkg-config --exists $(1) 2>&1 && echo yes))
EXAMPLES := $(filter-out $(if $(call has_library,lua5.4),,%/lua-states) \
    $(if $(call has_library,sqlite3),,%/sqlite-bounded) %/census,$(call programs_in,examples))
CENSUS := $(BUILD)/examples/census.so
UNIT := $(call programs_in,test/unit)
CONTRACT := $(call programs_in,test/contract)
MISUSE := $(call programs_in,test/misuse)
MODELLED := $(BUILD)/test/random $(BUILD)/test/sequences $(BUILD)/test/heaps
FAILING := $(BUILD)/test/malloc/failing.so
MALLOC := $(filter-out %/failing,$(call programs_in,test/malloc))
CMOCKA := -lcmocka

LINK = @mkdir -p $(@D) && echo "$(CC) $@" && $(CC) $(ALL_CFLAGS) $(LDFLAGS) $(filter %.c,$^) -o $@

$(EXAMPLES): $(BUILD)/%: %.c include/mem.h include/mem_heap.h $(BUILD)/libmem.so
	$(LINK) -L$(BUILD) -lmem $(if $(NEEDS),$(shell pkg-config --cflags --libs $(NEEDS)))
$(BUILD)/examples/lua-states: NEEDS = lua5.4
$(BUILD)/examples/sqlite-bounded: NEEDS = sqlite3
$(CENSUS): examples/census.c include/mem_heap.h $(BUILD)/libmem.so
	$(LINK) -fPIC -shared -L$(BUILD) -lmem -Wl,-rpath,'$$ORIGIN/..'
$(MISUSE): $(BUILD)/%: %.c test/observe.h test/misuse/misuse.h $(BUILD)/libmem.so
	$(LINK) -L$(BUILD) -lmem -ldl
$(CONTRACT): $(BUILD)/%: %.c test/observe.h test/contract/contract.h $(BUILD)/libmem.so
	$(LINK) -L$(BUILD) -lmem $(CMOCKA) -ldl
$(UNIT): $(BUILD)/%: %.c test/model.c $(wildcard test/*.h) $(BUILD)/libmem.a
	$(LINK) -Isrc $(BUILD)/libmem.a $(CMOCKA)
$(MODELLED): $(BUILD)/%: %.c test/model.c $(wildcard test/*.h) $(BUILD)/libmem.a
	$(LINK) -Isrc $(BUILD)/libmem.a
# Alignments that are no power of two are asked for, to see them refused.
$(MALLOC): $(BUILD)/%: %.c $(wildcard test/malloc/*.h) $(BUILD)/libmem-malloc.so
	$(LINK) -fno-builtin -fno-sanitize=alignment $(BESIDE) -ldl
$(BUILD)/test/malloc/find $(BUILD)/test/malloc/walk: $(BUILD)/libmem.so
$(BUILD)/test/malloc/find $(BUILD)/test/malloc/walk: BESIDE = -L$(BUILD) -lmem
WALK_STATIC := $(BUILD)/test/malloc/walk-static
$(WALK_STATIC): test/malloc/walk.c test/malloc/tap.h $(BUILD)/libmem.a
	$(LINK) -fno-builtin $(BUILD)/libmem.a -Wl,--export-dynamic-symbol=mem_heap_also
$(FAILING): test/malloc/failing.c test/malloc/failing.h
	$(LINK) -fPIC -shared -fvisibility=hidden -ldl
CONTAINERS := $(BUILD)/test/containers
$(CONTAINERS): test/containers.cpp include/mem.hpp include/mem_heap.h $(BUILD)/libmem.so
	@mkdir -p $(@D)
	g++ -std=c++17 $(WARN) $< -L$(BUILD) -lmem -o $@
IN_MALLOC := $(BUILD)/test/malloc
HELGRIND := $(BUILD)/test/helgrind/classic $(BUILD)/test/helgrind/malloc
$(BUILD)/test/helgrind/classic: test/helgrind/hand_over.c include/mem.h $(BUILD)/libmem.so
	$(LINK) -DCLASSIC -L$(BUILD) -lmem
$(BUILD)/test/helgrind/malloc: test/helgrind/hand_over.c
	$(LINK) -fno-builtin

$(BUILD)/test/known: test/known.c
	$(LINK) -fno-builtin

.PHONY: demo demo-fit
demo: all
	@bench/demo.sh $(BUILD)/mem
demo-fit: all $(EXAMPLES)
	@LD_LIBRARY_PATH=$(BUILD) $(BUILD)/examples/wordcount /usr/share/common-licenses/*

.PHONY: bench-fit
bench-fit: all
	@bench/fit.sh

# GC_base of libgc beside it, if there is one.
GC := $(if $(call has_library,bdw-gc),-DWITH_GC -lgc)
$(BUILD)/bench/find: bench/find.c include/mem_heap.h $(BUILD)/libmem.so Makefile
	$(LINK) -L$(BUILD) -lmem $(GC)
.PHONY: bench-find
bench-find: all $(BUILD)/bench/find
	$(if $(GC),,@echo "bench-find: no libgc here (libgc-dev): without GC_base")
	@bench/find.sh $(BUILD)

# STEPPED: so many calls each, a millisecond and more. TLSF=library.so: beside that.
STEPPED ?= 300
$(BUILD)/bench/bounded: bench/bounded.c include/mem_heap.h $(BUILD)/libmem.so Makefile
	$(LINK) -L$(BUILD) -lmem -ldl
.PHONY: bench-bounded
bench-bounded: all $(BUILD)/bench/bounded
	@bench/bounded.sh $(BUILD) $(STEPPED) $(TLSF)

# gcc would take away a malloc whose free it sees.
$(BUILD)/bench/work: $(wildcard bench/work/*.[ch]) tools/trace.h Makefile
	$(LINK) -fno-builtin-malloc -fno-builtin-calloc -fno-builtin-realloc -fno-builtin-free -ldl
$(BUILD)/bench/launch: bench/launch.c Makefile
	$(LINK)
$(BUILD)/libmem-record.so: tools/record.c tools/trace.h Makefile
	$(LINK) -fno-builtin -fPIC -fvisibility=hidden -shared

$(BUILD)/bench/paths: bench/paths.c include/mem.h include/mem_heap.h $(BUILD)/libmem.so Makefile
	$(LINK) -fno-builtin -L$(BUILD) -lmem

BENCH := $(BUILD)/bench/work $(BUILD)/bench/launch $(BUILD)/libmem-record.so $(BUILD)/bench/bounded

.PHONY: bench
bench: all $(BENCH)
	@test/needs.sh libjemalloc2 libmimalloc2.0 libtcmalloc-minimal4 libtbbmalloc2 \
	    sqlite3 lua5.4 python3 perl redis-server z3 xz-utils gnuplot-nox
	@CC="$(CC)" ROUNDS=$(ROUNDS) SCALE=$(SCALE) QUICK=$(QUICK) ONLY="$(ONLY)" PEERS="$(PEERS)" bench/malloc.sh

# --- tests ------------------------------------------------------------------
#
# check-one tests one build: gcc's, clang's, with sanitizers, for arm64. `make
# check` has each done, whatever came of the others, and adds up their tallies.
# Programs are built side by side. Tests take turns, since some look at the clock;
# but for those that are emulated, which are slow.

TALLY := build/tally
LABEL ?= gcc
WITH ?=
CALLS ?= 1000000
SEED ?= 1
RUN = LD_LIBRARY_PATH=$(BUILD) WITH="$(WITH)" \
    test/run.sh --label $(LABEL) --with "$(WITH)" --tally $(TALLY)
ASAN := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all
UBSAN := -O2 -g -fsanitize=undefined -fsanitize-trap=undefined
TSAN := -O1 -g -fsanitize=thread
ARM64 := build/arm64/cmocka/usr
ARM64_LIBS := $(ARM64)/lib/aarch64-linux-gnu
QEMU := qemu-aarch64 -L /usr/aarch64-linux-gnu -E LD_LIBRARY_PATH=build/arm64:$(ARM64_LIBS)

.PHONY: check
# Of one label: builds, runs, and if that failed without a test that has, notes it.
check_all = @$(MAKE) -s -k -j$$(nproc) $(2:=-programs) LABEL=$(1) $(3); \
    $(MAKE) -s -k $(or $(4),-j1) $(2) LABEL=$(1) $(3) || \
    grep -qsE '^$(1) [0-9]+ [1-9]' $(TALLY) || echo "$(1) 0 1" >>$(TALLY)
check:
	@test/needs.sh
	@rm -f $(TALLY)
	$(call check_all,tree,check-tree)
	$(call check_all,gcc,check-one check-malloc,CALLS=10000000 HEAPS=1000000 \
	    THREADS="100000 10000")
	$(call check_all,clang,check-one check-malloc,CC=clang BUILD=build/clang CFLAGS="$(UBSAN)")
	$(call check_all,asan,check-one,BUILD=build/asan CFLAGS="$(ASAN)" CALLS=300000)
	$(call check_all,tsan,check-threads,BUILD=build/tsan CFLAGS="$(TSAN)")
	$(call check_all,arm64,check-one check-malloc,CC=aarch64-linux-gnu-gcc BUILD=build/arm64 \
	    CFLAGS="-O2 -g -I$(ARM64)/include" CMOCKA="-L$(ARM64_LIBS) -lcmocka" \
	    WITH="$(QEMU)" CALLS=100000 HEAPS=2000 ROUNDS=20 THREADS="400 20",-j$$(nproc))
	@test/run.sh --total $(TALLY)

CHECKS := check-tree check-one check-threads check-malloc
.PHONY: $(CHECKS) $(CHECKS:=-programs)
$(CHECKS): %: %-programs
check-tree-programs: all $(CONTAINERS) $(BENCH) $(HELGRIND) $(MALLOC) $(BUILD)/bench/paths $(BUILD)/test/known
check-tree:
	@$(RUN) test/run_selftest.sh "test/layers.sh src" "test/header.sh include/mem.h" \
	    "test/header.sh include/mem_heap.h" "test/header.sh include/mem.hpp" $(CONTAINERS) \
	    "test/symbols.sh libmem.so" "test/taught.sh ." test/installed.sh \
	    "test/tool.sh $(BUILD)/mem $(BUILD)/libmem-malloc.so $(BUILD)/test/known" \
	    "test/demo.sh $(BUILD)/mem" \
	    "test/bench.sh $(BUILD) $(BUILD)/libmem-malloc.so" test/spin.sh \
	    "test/helgrind.sh $(BUILD) $(BUILD)/test/helgrind" \
	    "test/overcommit.sh $(BUILD)/libmem-malloc.so $(IN_MALLOC)"
	@$(RUN) "test/instructions.sh $(BUILD) $(CFLAGS)"
	@$(RUN) --timeout 600 "test/programs.sh $(BUILD)/libmem-malloc.so"

check-one-programs: all $(EXAMPLES) $(MISUSE) $(CONTRACT) $(UNIT) $(MODELLED)
check-one:
	@$(RUN) --misuse $(BUILD)/test/misuse test/misuse $(UNIT) $(CONTRACT) \
	    "$(BUILD)/test/random $(CALLS) $(SEED)" "$(BUILD)/test/sequences $(if $(WITH),5,6)" \
	    "$(BUILD)/test/heaps $$(($(CALLS) / $(if $(WITH),400,30))) $(SEED)" \
	    "test/examples.sh $(BUILD)/examples"

# Not with sanitizers: they have a malloc of their own.
HEAPS ?= 100000
ROUNDS ?= 3000
THREADS ?= 10000 1000 # threads, and forks
RUN_MALLOC = test/run.sh --label $(LABEL) --tally $(TALLY) \
    --with "$(if $(WITH),$(WITH) -E,env) LD_PRELOAD=$(BUILD)/libmem-malloc.so"
check-malloc-programs: all $(MALLOC) $(WALK_STATIC) $(FAILING) $(CENSUS)
check-malloc:
	@$(RUN_MALLOC) $(IN_MALLOC)/symbols $(IN_MALLOC)/semantics $(IN_MALLOC)/early \
	    $(IN_MALLOC)/misuse "$(IN_MALLOC)/threads $(THREADS)" \
	    $(if $(filter gcc,$(LABEL)),"$(IN_MALLOC)/shrink 1024")
	@LD_LIBRARY_PATH=$(BUILD) $(RUN_MALLOC) $(IN_MALLOC)/find $(IN_MALLOC)/walk \
	    $(if $(WITH),,$(WALK_STATIC))
	@LIBMEM=onerror=report $(RUN_MALLOC) $(IN_MALLOC)/misuse \
	    "$(IN_MALLOC)/badfree $(HEAPS) $(SEED)" "$(IN_MALLOC)/badfree_threads $(ROUNDS) $(SEED)"
	@LIBMEM=onerror=ignore $(RUN_MALLOC) $(IN_MALLOC)/misuse \
	    "$(IN_MALLOC)/badfree $(ROUNDS)0 $(SEED)" "$(IN_MALLOC)/badfree_threads $(ROUNDS) $(SEED)"
	@LIBMEM=region=8M $(RUN_MALLOC) $(IN_MALLOC)/full
	@$(if $(WITH),,$(RUN_MALLOC) $(IN_MALLOC)/fault \
	    "test/malloc/start.sh $(BUILD)/libmem-malloc.so $(IN_MALLOC)" && \
	    LD_LIBRARY_PATH=$(BUILD) test/run.sh --label $(LABEL) --tally $(TALLY) \
	    "test/malloc/census.sh $(BUILD)/libmem-malloc.so $(CENSUS)")

THREADED := $(filter %/c13_threads %/mem_heap_threads %/mem_find_threads %/mem_guard,$(CONTRACT) $(UNIT))
check-threads-programs: all $(THREADED)
check-threads:
	@$(RUN) $(THREADED)

# As long and as often as one likes: make soak CALLS=1000000000 ASKED=1000000000 SEED=42
# and make soak-malloc HEAPS=100000000 ROUNDS=1000000
.PHONY: soak soak-malloc
SOAK_SEED = $(if $(filter file,$(origin SEED)),$$(date +%s),$(SEED))
ASKED ?= 100000000
FLIPS ?= 1000000
soak: all $(BUILD)/test/random $(BUILD)/test/heaps $(BUILD)/test/unit/mem_find_threads $(BUILD)/test/unit/mem_flips
	@$(BUILD)/test/random $(CALLS) $(SOAK_SEED)
	@$(BUILD)/test/heaps $(CALLS) $(SOAK_SEED)
	@$(BUILD)/test/unit/mem_find_threads $(ASKED)
	@$(BUILD)/test/unit/mem_flips $(FLIPS) $(SOAK_SEED)
soak-malloc: HEAPS := $(if $(filter file,$(origin HEAPS)),10000000,$(HEAPS))
soak-malloc: ROUNDS := $(if $(filter file,$(origin ROUNDS)),100000,$(ROUNDS))
soak-malloc: all $(MALLOC)
	@LD_PRELOAD=$(BUILD)/libmem-malloc.so LIBMEM=onerror=report \
	    $(IN_MALLOC)/badfree $(HEAPS) $(SOAK_SEED)
	@LD_PRELOAD=$(BUILD)/libmem-malloc.so LIBMEM=onerror=report \
	    $(IN_MALLOC)/badfree_threads $(ROUNDS) $(SOAK_SEED)

# The table that test/instructions.sh compares with: on purpose only.
.PHONY: instructions
instructions: all $(BUILD)/bench/paths
	@test/needs.sh valgrind
	@test/instructions.sh --renew $(BUILD) $(CFLAGS)

.PHONY: layers format
layers:
	@test/layers.sh src
format:
	clang-format -i src/*/*.[ch] include/*.h* $$(find test tools bench examples -name '*.[ch]')

.PHONY: install
install: all
	install -d $(DESTDIR)$(PREFIX)/include $(DESTDIR)$(PREFIX)/lib/pkgconfig $(DESTDIR)$(PREFIX)/bin
	install -m 644 include/mem.h include/mem_heap.h include/mem.hpp $(DESTDIR)$(PREFIX)/include/
	install -m 644 $(BUILD)/libmem.a $(DESTDIR)$(PREFIX)/lib/
	install -m 755 $(BUILD)/libmem.so $(DESTDIR)$(PREFIX)/lib/libmem.so.$(VERSION)
	install -m 755 $(BUILD)/libmem-malloc.so $(DESTDIR)$(PREFIX)/lib/
	install -m 755 $(BUILD)/mem $(DESTDIR)$(PREFIX)/bin/
	ln -sf libmem.so.$(VERSION) $(DESTDIR)$(PREFIX)/lib/libmem.so.$(SOVERSION)
	ln -sf libmem.so.$(SOVERSION) $(DESTDIR)$(PREFIX)/lib/libmem.so
	sed 's|@PREFIX@|$(PREFIX)|; s|@VERSION@|$(VERSION)|' src/mem.pc.in \
	    >$(DESTDIR)$(PREFIX)/lib/pkgconfig/libmem.pc

.PHONY: clean
clean:
	rm -rf build libmem.so libmem.so.$(SOVERSION) mem.h mem_heap.h

.PHONY: help
help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile
	@echo 'make debug      assertions, no optimisation: build/debug (also asan, tsan)'
	@echo 'make soak       random calls against the model: CALLS=N SEED=N'
	@echo 'make soak-malloc  random heaps, a bad free in each: HEAPS=N ROUNDS=N SEED=N'
	@echo 'make bench      libmem-malloc.so beside other allocators: see bench/malloc.sh'
	@echo 'make demo-fit   counts the words of licence texts, with each placement style'
	@echo 'make bench-fit  the fits beside a textbook list: table, CSV, picture'
	@echo 'make bench-find  any address to its object, beside GC_base of libgc'
	@echo 'make bench-bounded  [TLSF=library.so] heaps of 64 KiB to 16 MiB, in instructions a call'
	@echo 'make instructions  counts anew what each path costs: test/instructions.tsv'
	@echo 'make layers     each file includes only what stands below it'
	@echo 'make format     clang-format'
	@echo 'make install    DESTDIR= PREFIX=/usr/local'
	@echo 'make clean'
