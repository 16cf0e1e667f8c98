# SPDX-License-Identifier: MIT
#
# test.mk - the test programs, and the suites that run them. The Makefile includes it.
#
# make check tests each build that test/builds.tsv names. One suite in one build is, for example,
# make check-malloc, or make check-one CC=clang BUILD=build/clang. test/README.md says what each
# test proves.

CALLS ?= 1000000
SEED ?= 1
# Tests do this part of their random steps (test/support/patience.h).
SHARE ?= 1
export SHARE
LABEL ?= gcc
TALLY := build/tally
LIB_MALLOC := $(BUILD)/libmem-malloc.so

# Programs for arm64 run under an emulator; cmocka is where test/needs.sh unpacks it.
ifneq ($(findstring aarch64,$(CC)),)
ARM64 := build/arm64/cmocka/usr
ARM64_LIBS := $(ARM64)/lib/aarch64-linux-gnu
CMOCKA := -I$(ARM64)/include -L$(ARM64_LIBS) -lcmocka
WITH ?= qemu-aarch64 -L /usr/aarch64-linux-gnu -E LD_LIBRARY_PATH=$(BUILD):$(ARM64_LIBS)
endif
CMOCKA ?= -lcmocka
WITH ?=

# --- programs: one rule for each folder ---------------------------------------

programs_in = $(patsubst %.c,$(BUILD)/%,$(wildcard $(1)/*.c))
UNIT := $(call programs_in,test/unit/*)
CLASSIC := $(call programs_in,test/contract/classic)
HEAPS_OWN := $(call programs_in,test/contract/heaps)
IN_MALLOC := $(BUILD)/test/contract/malloc
MALLOC := $(call programs_in,test/contract/malloc)
MODELLED := $(call programs_in,test/model)
MISUSE := $(call programs_in,test/misuse)
THREADED := $(filter %threads %/h12_fork %/h13_guard_pages,$(CLASSIC) $(HEAPS_OWN))
SUPPORT := $(wildcard test/support/*.h)
FAILING := $(IN_MALLOC)/failing.so $(IN_MALLOC)/allocating.so
LIMITS := $(IN_MALLOC)/limits
WALK_STATIC := $(IN_MALLOC)/walk-static
CONTAINERS := $(BUILD)/test/containers
PMR_BOUNDED := $(BUILD)/examples/pmr-bounded
KNOWN := $(BUILD)/test/known
INSPECT := $(addprefix $(BUILD)/test/inspect/,inspected inspected-static damaged \
    planted tangle ends stale origins grows elsewhere threads plugin.so)
INSPECT_MODULES := $(wildcard tools/inspect/*.c) tools/program.c
HELGRIND := $(BUILD)/test/helgrind/classic $(BUILD)/test/helgrind/malloc

# Only the library is compiled with the build's optimisation: what is private does not reach it.
$(BUILD)/test/%: private ALL_CFLAGS += -O1

# The model of a heap that many of them compare with.
MODEL := $(BUILD)/test/support/model.o
$(MODEL): test/support/model.c test/support/model.h
	$(call say,cc,$<)mkdir -p $(@D) && $(CC) $(ALL_CFLAGS) -c $< -o $@
$(BUILD)/test/unit/%: test/unit/%.c $(MODEL) $(SUPPORT) $(BUILD)/libmem.a
	$(build) -Isrc -Itest/support $(BUILD)/libmem.a $(CMOCKA)
# Of the modules of libmem-malloc.so, those that need no heap.
WITHOUT_HEAP := $(addprefix $(BUILD)/obj/malloc/,history.o stack.o cfi.o module.o \
    options.o report.o canary.o quarantine.o counterfile.o)
$(BUILD)/test/unit/malloc/%: test/unit/malloc/%.c $(SUPPORT) $(WITHOUT_HEAP) $(BUILD)/libmem.a
	$(build) -Isrc -Itest/support $(BUILD)/libmem.a $(CMOCKA)
# A module of the tool, and what the commands share. Those that look into processes are tested by
# scripts.
$(BUILD)/test/unit/tools/%: test/unit/tools/%.c tools/inspect/%.c $(SUPPORT) $(BUILD)/libmem.a
	$(build) -Itest/support -Itools/inspect -Isrc $(CMOCKA)
$(BUILD)/test/contract/heaps/%: \
    test/contract/heaps/%.c $(MODEL) $(SUPPORT) $(BUILD)/libmem.a
	$(build) -Isrc -Itest/support $(BUILD)/libmem.a $(CMOCKA)
$(BUILD)/test/model/%: test/model/%.c $(MODEL) test/support/draw.c $(SUPPORT) $(BUILD)/libmem.a
	$(build) -Isrc -Itest/support $(BUILD)/libmem.a
$(BUILD)/test/contract/classic/%: test/contract/classic/%.c $(SUPPORT) $(BUILD)/libmem.so
	$(build) -Itest/support -L$(BUILD) -lmem $(CMOCKA) -ldl
$(BUILD)/test/misuse/%: test/misuse/%.c $(SUPPORT) $(BUILD)/libmem.so
	$(build) -Itest/support -L$(BUILD) -lmem -ldl

$(BUILD)/test/misuse/hard/%: test/misuse/hard/%.c $(SUPPORT)
	$(build) -Itest/support -fno-builtin
$(BUILD)/test/misuse/hard/%: test/misuse/hard/%.cc $(SUPPORT)
	$(call say,c++,$<)mkdir -p $(@D) && g++ -std=c++17 $(WARN) -O2 -Itest/support -pthread $< -o $@

# These ask for alignments that are not powers of two, in order to see them refused. Two also use
# libmem.so, one of them a second time with the library linked into the program.
$(IN_MALLOC)/find $(IN_MALLOC)/walk: BESIDE = -L$(BUILD) -lmem
$(IN_MALLOC)/find $(IN_MALLOC)/walk: $(BUILD)/libmem.so
$(IN_MALLOC)/%: test/contract/malloc/%.c $(SUPPORT) $(LIB_MALLOC)
	$(build) -Itest/support -fno-builtin -fno-sanitize=alignment $(BESIDE) -ldl
$(BUILD)/test/contract/heaps/h13_guard_pages: LDFLAGS += -Wl,--wrap=os_forbid,--wrap=os_allow
$(BUILD)/test/unit/ledger/chunks: LDFLAGS += -Wl,--wrap=os_allow
$(BUILD)/test/unit/heaps/refused: LDFLAGS += \
    -Wl,--wrap=os_map,--wrap=os_allow,--wrap=grace_barrier,--wrap=grace_open
# The heap is the test's.
$(BUILD)/test/unit/malloc/hard: $(BUILD)/obj/malloc/hard.o
$(BUILD)/test/unit/malloc/hard: LDFLAGS += \
    -Wl,--wrap=os_random,--wrap=os_forbid,--wrap=os_allow,--wrap=os_give_back,--wrap=os_map
$(BUILD)/test/unit/malloc/stack: LDFLAGS += -Wl,--wrap=cfi_rule
$(BUILD)/test/unit/malloc/start: $(BUILD)/obj/malloc/hard.o
$(BUILD)/test/unit/malloc/start: $(BUILD)/obj/malloc/start.o
$(BUILD)/test/unit/malloc/cfi: LDFLAGS += -Wl,--wrap=module_find
$(BUILD)/test/unit/malloc/history: LDFLAGS += -Wl,--wrap=module_find,--wrap=os_allow
$(BUILD)/test/unit/core/room: LDFLAGS += \
    -Wl,--wrap=os_forbid,--wrap=os_allow,--wrap=os_page_bytes
$(BUILD)/test/unit/core/huge: LDFLAGS += \
    -Wl,--wrap=os_make_page,--wrap=os_small_page_ns,--wrap=os_want_huge_pages \
    -Wl,--wrap=os_give_back,--wrap=os_milliseconds
$(WALK_STATIC): test/contract/malloc/walk.c $(SUPPORT) $(BUILD)/libmem.a
	$(build) -Itest/support -fno-builtin $(BUILD)/libmem.a -Wl,--export-dynamic-symbol=mem_heap_also
$(LIMITS): test/support/limits.c $(SUPPORT)
	$(build) -fno-builtin
$(FAILING): $(IN_MALLOC)/%.so: test/support/%.c $(SUPPORT)
	$(build) -fPIC -shared -fvisibility=hidden -ldl

$(BUILD)/test/helgrind/classic: test/helgrind/hand_over.c $(BUILD)/libmem.so
	$(build) -DCLASSIC -L$(BUILD) -lmem
$(BUILD)/test/helgrind/malloc: test/helgrind/hand_over.c test/support/reserved.h
	$(build) -fno-builtin
$(addprefix $(BUILD)/test/inspect/,inspected planted tangle ends stale origins grows elsewhere \
    threads): \
    $(BUILD)/test/inspect/%: test/inspect/%.c $(BUILD)/libmem.so
	$(build) -Isrc -fno-builtin -L$(BUILD) -lmem
$(BUILD)/test/inspect/plugin.so: test/inspect/plugin.c
	$(build) -fPIC -shared
$(BUILD)/test/inspect/inspected-static: test/inspect/inspected.c $(BUILD)/libmem.a
	$(build) -Isrc -fno-builtin -static $(BUILD)/libmem.a
# All commands in a test's own process, without the names that libdw finds: these would cost
# milliseconds for each file that is looked into.
EVERY_COMMAND := test/inspect/damage.c test/inspect/every.c $(INSPECT_MODULES)
EVERY_FLAGS = -Isrc -Itools/inspect -Itest/inspect -DMEM_LIB='"$(LIB)"' $(BUILD)/libmem.a \
    $(TOOL_FLAGS) -UHAVE_LIBDW
$(BUILD)/test/inspect/damaged: $(wildcard test/inspect/*.h tools/inspect/*.h) $(BUILD)/libmem.a
$(BUILD)/test/inspect/damaged: test/inspect/damaged.c $(EVERY_COMMAND)
	$(build) $(EVERY_FLAGS)
# The sources are compiled in a way of their own.
$(BUILD)/schedules/schedules: $(wildcard test/schedules/* src/*/*.[ch])
	$(call say,cc,test/schedules)test/schedules/build.sh src $(BUILD)/schedules
$(KNOWN): test/support/known.c
	$(build) -fno-builtin

# --- suites -------------------------------------------------------------------
# A suite builds its programs side by side and runs them one after the other. With BUILT=1 it only
# runs them: test/check.sh has built them before, and runs several suites at once.

.PHONY: check
check: ## installs what the tests need, and tests each build of test/builds.tsv
	@test/needs.sh
	@test/check.sh

CHECKS := check-tree check-tools check-one check-contracts check-threads check-malloc check-pages
CHECKS += check-alone
.PHONY: $(CHECKS) $(CHECKS:=-programs)
$(CHECKS): %: $(if $(BUILT),,%-programs)

TALLIED = test/run.sh --label $(LABEL) --tally $(TALLY)
RUN = LD_LIBRARY_PATH=$(BUILD) WITH="$(WITH)" $(TALLIED) --with "$(WITH)"
DAMAGED ?= 500
TANGLES ?= 2
check-tree: ## what depends on no compiler: layers, symbols, documents, models, instructions
check-tree-programs: all $(CONTAINERS) $(BENCH) $(HELGRIND) $(MALLOC) $(BUILD)/bench/paths
check-tree-programs: amalgamation $(BUILD)/schedules/schedules $(PMR_BOUNDED)
check-tree:
	@$(RUN) test/run_selftest.sh "test/layers.sh src" test/readme.sh test/words.sh test/scripts.sh \
	    test/seeded.sh \
	    "test/walks.sh src DESIGN.md" test/walk_files.sh "test/header.sh include/mem.h" \
	    "test/header.sh include/mem_heap.h" "test/header.sh include/mem.hpp" \
	    "test/header.sh src/base/base.h" $(CONTAINERS) \
	    "test/symbols.sh libmem.so" "test/abi.sh $(BUILD)" "test/taught.sh ." \
	    test/installed.sh test/cmake.sh "test/man.sh $(BUILD)" "test/docs.sh $(BUILD)" \
	    "test/amalgamation.sh $(BUILD)" "test/musl.sh $(BUILD)" "test/probes.sh $(BUILD)" \
	    "test/languages.sh $(BUILD)" "test/memcheck.sh $(BUILD)" \
	    test/spin.sh $(BUILD)/schedules/schedules \
	    "test/helgrind.sh $(BUILD) $(BUILD)/test/helgrind" \
	    "test/instructions.sh $(BUILD) $(CFLAGS)"

check-tools: ## the tool mem, and real programs on libmem-malloc.so: DAMAGED= TANGLES= SEED=
check-tools-programs: all $(KNOWN) $(INSPECT)
check-tools:
	@$(RUN) "test/demo.sh $(BUILD)/mem" "test/tool.sh $(BUILD)/mem $(LIB_MALLOC) $(KNOWN)" \
	    "test/inspect.sh $(BUILD)" "test/damaged.sh $(BUILD) $(DAMAGED) $(SEED)" \
	    "test/leaks.sh $(BUILD) $(TANGLES) $(SEED)" "test/origins.sh $(BUILD)" \
	    "test/top.sh $(BUILD)" "test/fail.sh $(BUILD)/mem" \
	    "test/inspect_history.sh $(BUILD)/mem $(LIB_MALLOC)" "test/programs.sh $(LIB_MALLOC)"

# One changes a setting of the whole system, the other looks at the clock.
STEPS := $(BUILD)/test/contract/heaps/h01_steps
check-alone: ## what runs when no other test does: strict overcommit, benchmarks
check-alone-programs: all $(MALLOC) $(STEPS) $(BENCH) $(BUILD)/bench/paths
check-alone:
	@$(RUN) "test/overcommit.sh $(LIB_MALLOC) $(IN_MALLOC) $(STEPS)" \
	    "test/bench.sh $(BUILD) $(LIB_MALLOC)"

# test/poison.sh says why the other tests do without what the heaps tell AddressSanitizer.
WITH_ASAN := $(findstring -fsanitize=address,$(CFLAGS))
check-one: ## the library: modules, contracts, models, misuse, examples: CALLS= SEED=
check-one-programs: links $(EXAMPLES) $(MISUSE) $(CLASSIC) $(HEAPS_OWN) $(UNIT) $(MODELLED)
check-one:
	@$(if $(WITH_ASAN),ASAN_OPTIONS=allow_user_poisoning=0) \
	    $(RUN) --misuse $(BUILD)/test/misuse test/misuse $(UNIT) $(CLASSIC) $(HEAPS_OWN) \
	    "$(BUILD)/test/model/random $(CALLS) $(SEED)" \
	    "$(BUILD)/test/model/sequences $(if $(WITH)$(WITH_ASAN),5,6)" \
	    "$(BUILD)/test/model/heaps $$(($(CALLS) / $(if $(WITH),400,60))) $(SEED)" \
	    "test/examples.sh $(BUILD)/examples"
	@$(if $(WITH_ASAN),$(RUN) "test/poison.sh $(BUILD)")

# Three tests of heaps call functions that only the separate files of src let them call.
INSIDE := %/h10_slots %/h13_guard_pages %/h20_slots
CONTRACTS := $(CLASSIC) $(filter-out $(INSIDE),$(HEAPS_OWN))
check-contracts: ## the promises of mem.h and of mem_heap.h
check-contracts-programs: links $(CONTRACTS)
check-contracts:
	@$(RUN) $(CONTRACTS)

check-threads: ## the tests with threads, for ThreadSanitizer
check-threads-programs: links $(THREADED)
check-threads:
	@$(RUN) $(THREADED)

# Not with sanitizers, which have a malloc of their own. THREADS is how many threads and how many
# forks; SHRINK is how many MiB a program has before it shrinks; ZEROS is how many random calls see
# whether calloc returns zeros.
HEAPS ?= 100000
ROUNDS ?= 1500
THREADS ?= 4000 400
SHRINK ?= 1024
ZEROS ?= 8000
# In a build that believes in larger pages than the machine has, LIBMEM=copy is left out: it opens
# and closes pages of other libraries, whose parts begin at the machine's own pages. And where pages
# have 64 KiB, the ends of spans are not closed (docs/hardening.md).
PAGED_ONLY := $(findstring PAGE_BYTES=,$(CPPFLAGS))
HARD := hard
ifneq ($(PAGED_ONLY),)
HARD := zero,mismatch,quarantine,guard,random
endif
# A build with MISUSE_HARD= does without these: most of their time goes to compiling them.
MISUSE_HARD := $(if $(WITH)$(PAGED_ONLY),,$(call programs_in,test/misuse/hard) \
    $(patsubst %.cc,$(BUILD)/%,$(wildcard test/misuse/hard/*.cc)))
# The emulator has an entry for each page of the region, and goes through all of them when a program
# starts and after each fork. With 1 GiB instead of all that is reserved, that takes 0.1 instead of
# 2 seconds (qemu 7.2).
comma := ,
SMALL := $(if $(WITH),LIBMEM=region=1G)
AND_SMALL := $(if $(WITH),$(comma)region=1G)
RUN_MALLOC = $(TALLIED) --with "$(if $(WITH),$(WITH) -E,env) LD_PRELOAD=$(LIB_MALLOC)"
check-malloc: ## libmem-malloc.so: HEAPS= ROUNDS= THREADS="4000 400" SHRINK= ZEROS=
check-malloc-programs: all $(MALLOC) $(WALK_STATIC) $(FAILING) $(LIMITS) $(CENSUS) $(MISUSE_HARD)
check-malloc:
	@failed=0; \
	$(SMALL) $(RUN_MALLOC) $(IN_MALLOC)/m01_symbols $(IN_MALLOC)/m02_semantics \
	    $(IN_MALLOC)/m03_misuse $(IN_MALLOC)/m05_early "$(IN_MALLOC)/m05_threads $(THREADS)" \
	    $(if $(SHRINK),"$(IN_MALLOC)/m06_shrink $(SHRINK)") \
	    $(IN_MALLOC)/m09_meaning \
	    $(IN_MALLOC)/m05_handler \
	    $(if $(WITH),,$(IN_MALLOC)/m08_interposed $(IN_MALLOC)/m08_fault $(IN_MALLOC)/m09_time \
	    $(IN_MALLOC)/m10_sizes $(IN_MALLOC)/m07_calls) || failed=1; \
	$(if $(WITH),,$(TALLIED) "test/contract/malloc/m04_start.sh $(LIB_MALLOC) $(IN_MALLOC)" \
	    "test/contract/malloc/m07_limits.sh $(LIB_MALLOC) $(IN_MALLOC)" || failed=1;) \
	$(SMALL) LD_LIBRARY_PATH=$(BUILD) $(RUN_MALLOC) $(IN_MALLOC)/find $(IN_MALLOC)/walk \
	    $(if $(WITH),,$(WALK_STATIC)) || failed=1; \
	$(if $(WITH),,LIBMEM=history,onerror=report $(RUN_MALLOC) $(IN_MALLOC)/history_stacks || \
	    failed=1;) \
	$(if $(WITH),,$(TALLIED) "test/contract/malloc/history.sh $(LIB_MALLOC)" || failed=1;) \
	LIBMEM=onerror=report$(AND_SMALL) $(RUN_MALLOC) $(IN_MALLOC)/m03_misuse \
	    "$(IN_MALLOC)/m03_badfree $(HEAPS) $(SEED)" \
	    "$(IN_MALLOC)/m03_badfree_threads $(ROUNDS) $(SEED)" || failed=1; \
	LIBMEM=onerror=ignore$(AND_SMALL) $(RUN_MALLOC) $(IN_MALLOC)/m03_misuse \
	    "$(IN_MALLOC)/m03_badfree $(ROUNDS)0 $(SEED)" \
	    "$(IN_MALLOC)/m03_badfree_threads $(ROUNDS) $(SEED)" || failed=1; \
	LIBMEM=history=2K$(AND_SMALL) $(RUN_MALLOC) $(IN_MALLOC)/m05_early $(IN_MALLOC)/m05_handler \
	    $(if $(WITH),,$(IN_MALLOC)/m08_interposed) \
	    "$(IN_MALLOC)/m05_threads $(THREADS)" || \
	    failed=1; \
	LIBMEM=region=8M $(RUN_MALLOC) $(IN_MALLOC)/m02_full || failed=1; \
	$(if $(WITH),,LIBMEM=$(HARD),region=8M $(RUN_MALLOC) $(IN_MALLOC)/m02_full || failed=1;) \
	LIBMEM=region=64M $(RUN_MALLOC) $(IN_MALLOC)/m06_realloc || failed=1; \
	$(if $(WITH),,$(RUN_MALLOC) $(IN_MALLOC)/m06_medium $(IN_MALLOC)/m06_huge || failed=1;) \
	$(if $(WITH),,LIBMEM=region=512M $(RUN_MALLOC) $(IN_MALLOC)/m08_system_calls || failed=1;) \
	$(if $(WITH),,$(RUN_MALLOC) "$(IN_MALLOC)/m11_calloc $(ZEROS) $(SEED)" || failed=1;) \
	$(if $(WITH),,LD_LIBRARY_PATH=$(BUILD) $(TALLIED) \
	    "test/contract/malloc/census.sh $(LIB_MALLOC) $(CENSUS)" || failed=1;) \
	LIBMEM=$(HARD)$(AND_SMALL) $(RUN_MALLOC) $(IN_MALLOC)/m12_hard || failed=1; \
	$(if $(WITH),,LIBMEM=guard,random,quarantine=64K $(RUN_MALLOC) $(IN_MALLOC)/m12_hard || \
	    failed=1; \
	LIBMEM=$(HARD) $(RUN_MALLOC) $(IN_MALLOC)/m03_misuse $(IN_MALLOC)/m05_early \
	    "$(IN_MALLOC)/m05_threads 300 100" || failed=1;) \
	$(if $(MISUSE_HARD),LIBMEM=$(HARD) $(RUN_MALLOC) --misuse $(BUILD)/test/misuse/hard \
	    test/misuse/hard || failed=1; \
	$(TALLIED) "test/contract/malloc/m12_measures.sh $(LIB_MALLOC) $(BUILD)/test/misuse/hard" || \
	    failed=1;) \
	exit $$failed

# The library believes in larger pages: test/support/pages. `make soak-pages` runs the whole suites.
PAGED := $(addprefix $(BUILD)/test/,unit/base/os unit/core/room unit/core/usage \
    unit/ledger/chunks unit/malloc/quarantine contract/classic/c01_init \
    contract/heaps/h01_steps contract/heaps/h09_statistics contract/heaps/h13_guard_pages)
PAGED_MALLOC := $(addprefix $(IN_MALLOC)/,m02_semantics m07_calls m09_meaning)
check-pages: ## what pages matter to, in a build that believes in larger ones (builds.tsv)
check-pages-programs: links $(PAGED) $(PAGED_MALLOC) $(IN_MALLOC)/m12_hard
check-pages:
	@failed=0; \
	$(RUN) $(PAGED) || failed=1; \
	$(RUN_MALLOC) $(PAGED_MALLOC) || failed=1; \
	LIBMEM=$(HARD) $(RUN_MALLOC) $(IN_MALLOC)/m12_hard || failed=1; \
	exit $$failed

# --- longer tests, by hand ----------------------------------------------------

SOAK_SEED = $(if $(filter file,$(origin SEED)),$$(date +%s),$(SEED))
.PHONY: reliability soak soak-pages soak-arm64 soak-deb instructions abi docs layers
RELIABLE := $(addprefix $(BUILD)/test/contract/heaps/,h07_find_threads h10_flips h10_slots h12_fork)
RELIABLE += $(MODELLED) $(MALLOC) $(FAILING) $(INSPECT) $(BUILD)/schedules/schedules
reliability: all $(RELIABLE) ## how far the tests go: SIZE=short|release ROWS= N= SEED= WRITE=yes
	@test/reliability.sh $(if $(WRITE),--write)
soak: ## make reliability, at the size of a release: a day or two
	@$(MAKE) reliability SIZE=release

soak-pages: ## the suites in builds that believe in pages of 16 and of 64 KiB
	@failed=0; \
	for bytes in 16384 65536; do for suite in check-one check-malloc; do \
	    $(MAKE) -s $$suite LABEL=pages-$$bytes BUILD=build/pages-$$bytes CFLAGS='-O1 -g' \
	        CPPFLAGS="-Itest/support/pages -DPAGE_BYTES=$$bytes" || failed=1; \
	done; done; exit $$failed

ARM64_CC := CC=aarch64-linux-gnu-gcc BUILD=build/arm64 CFLAGS='-O2 -g'
soak-arm64: all ## tests in an emulated arm64 machine, whose kernel has pages of 16 KiB
	@test/needs.sh
	@test/needs.sh qemu-system-arm cpio
	@$(MAKE) -s check-one-programs check-malloc-programs $(ARM64_CC)
	@test/run.sh --timeout 1800 "test/arm64.sh build/arm64"

soak-deb: ## the Debian packages: builds them, runs lintian, unpacks and tries them
	@test/needs.sh debhelper dpkg-dev fakeroot lintian man-db
	@test/run.sh --timeout 1200 test/deb.sh

.PHONY: races
races: ## whether the explorer of schedules finds each error of test/schedules/*.tsv
	@test/run.sh --timeout 1800 "test/races.sh $(BUILD)"

.PHONY: coverage mutants
coverage: ## which lines, branches and conditions of src the tests reach; fails if they are too few
	@test/coverage.sh
N ?= 150
mutants: ## whether the tests notice N random changes of src: N= SEED=
	@python3 test/mutants.py --n $(N) --seed $(SEED)

.PHONY: prove prove-faults
prove: ## proofs of the arithmetic and the decisions of src, with Frama-C (docs/reliability.md)
	@prove/prove.sh

prove-faults: ## whether a proof fails for each fault of prove/faults.tsv
	@test/run.sh --timeout 7200 prove/faults.sh

# The table that test/instructions.sh compares with changes only when this is asked for.
instructions: all $(BUILD)/bench/paths ## counts anew what each path costs: test/instructions.tsv
	@test/needs.sh valgrind
	@test/instructions.sh --renew $(BUILD) $(CFLAGS)

abi: all ## writes anew what compiled programs rely on: packaging/abi
	@test/needs.sh abigail-tools
	@test/abi.sh --renew $(BUILD)

docs: all ## checks all links of the documents, and runs the commands in them
	@test/run.sh "test/docs.sh $(BUILD)"

layers: ## whether each folder of src includes only those before it
	@test/layers.sh src
