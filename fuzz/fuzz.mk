# SPDX-License-Identifier: MIT
#
# fuzz.mk - the fuzz targets: build/fuzz/NAME is made of fuzz/NAME.c by clang, with libFuzzer,
# AddressSanitizer and UndefinedBehaviorSanitizer, as the line "fuzz" of test/builds.tsv says. The
# Makefile includes it.
#
# make check runs each target for FUZZ_SECONDS. make soak-fuzz MINUTES=60 goes on from what earlier
# runs have found, in build/fuzz/corpus.

# Empty if clang has no libFuzzer here.
FUZZER_OF_CLANG = $(wildcard $(shell clang --print-resource-dir 2>/dev/null)/lib/linux/$(strip \
    libclang_rt.fuzzer-$(shell uname -m).a))
FUZZ_NAMES = $(if $(FUZZER_OF_CLANG),reader calls classic attach malloc)
FUZZ_SECONDS ?= 1
MINUTES ?= 10

.PHONY: fuzz check-fuzz check-fuzz-programs soak-fuzz fuzz-seeds
fuzz: ## the fuzz targets of fuzz/, in build/fuzz
	$(MAKE) BUILD=build/fuzz CC=clang check-fuzz-programs \
	    CFLAGS="$$(awk -F '\t' '$$1 == "fuzz" { print $$3 }' test/builds.tsv)"
soak-fuzz: fuzz ## each fuzz target for MINUTES=10: SEED=
	@fuzz/run.sh --keep build/fuzz $$(($(MINUTES) * 60)) $(SOAK_SEED) $(FUZZ_NAMES)

# The seeds are snapshots and heaps of the library as make builds it.
check-fuzz: $(if $(BUILT),,check-fuzz-programs)
	@$(TALLIED) "fuzz/run.sh $(BUILD) $(FUZZ_SECONDS) $(SEED) $(FUZZ_NAMES)"
check-fuzz-programs:
	@$(if $(FUZZ_NAMES),$(MAKE) $(FUZZ_NAMES:%=$(BUILD)/%))
	@$(if $(FUZZ_NAMES),$(MAKE) BUILD=build CC=gcc CFLAGS="-O2 -g -DNDEBUG" fuzz-seeds)

# The targets and the models are compiled without checks and counters (plain.txt).
$(FUZZ_NAMES:%=$(BUILD)/%): fuzz/options.c fuzz/plain.txt

$(BUILD)/reader: fuzz/packed.h fuzz/mutate.h $(wildcard test/inspect/*.h tools/inspect/*.h)
$(BUILD)/reader: $(BUILD)/libmem.a
$(BUILD)/reader: fuzz/reader.c fuzz/packed.c fuzz/mutate.c $(EVERY_COMMAND)
	$(build) $(EVERY_FLAGS) -fsanitize=fuzzer
# test/model/heaps.c is the model, without its main.
$(BUILD)/calls: $(wildcard test/model/*.h test/support/*.h) $(BUILD)/libmem.a
$(BUILD)/calls: fuzz/calls.c test/model/heaps.c test/support/draw.c
	$(build) -DWITHOUT_MAIN -Itest/model -Itest/support -fsanitize=fuzzer $(BUILD)/libmem.a
$(BUILD)/classic: $(wildcard test/support/*.h) $(BUILD)/libmem.a
$(BUILD)/classic: fuzz/classic.c test/support/model.c test/support/draw.c
	$(build) -Itest/support -fsanitize=fuzzer $(BUILD)/libmem.a
$(BUILD)/attach: fuzz/packed.h fuzz/mutate.h test/inspect/damage.h $(BUILD)/libmem.a
$(BUILD)/attach: fuzz/attach.c fuzz/packed.c fuzz/mutate.c test/inspect/damage.c
	$(build) -Isrc -Itest/inspect -fsanitize=fuzzer $(BUILD)/libmem.a
# All functions that libmem-malloc.so exports are renamed: malloc becomes fuzzed_malloc.
$(BUILD)/fuzzed.o: $(MALLOC_OBJECTS)
	$(call say,ld,$@)ld -r -o $@.tmp $^ && readelf -sW $@.tmp | awk '$$5 ~ /GLOBAL|WEAK/ && \
	    $$6 == "DEFAULT" && $$7 != "UND" { print $$8, "fuzzed_" $$8 }' >$@.names && \
	    objcopy --redefine-syms=$@.names $@.tmp $@
$(BUILD)/malloc: fuzz/malloc.c $(BUILD)/fuzzed.o
	$(build) -Isrc -fno-builtin -fsanitize=fuzzer

# --- seeds --------------------------------------------------------------------

SEEDS := build/fuzz/seeds
fuzz-seeds: $(SEEDS)/made
$(SEEDS)/made: fuzz/seeds.sh $(addprefix $(BUILD)/fuzz_,pack seed seed_static seed_heaps)
$(SEEDS)/made: $(BUILD)/mem $(BUILD)/libmem-malloc.so
	$(call say,mem,$(SEEDS))rm -rf $(SEEDS) && mkdir -p $(SEEDS)/reader $(SEEDS)/attach && \
	    fuzz/seeds.sh $(BUILD) $(SEEDS)/reader && $(BUILD)/fuzz_seed_heaps $(SEEDS)/attach && \
	    touch $@

$(BUILD)/fuzz_pack: fuzz/pack.c fuzz/packed.c fuzz/packed.h
	$(build)
$(BUILD)/fuzz_seed: fuzz/seed.c $(BUILD)/libmem.so
	$(build) -fno-builtin -L$(BUILD) -lmem
$(BUILD)/fuzz_seed_static: fuzz/seed.c $(BUILD)/libmem.a
	$(build) -fno-builtin -static $(BUILD)/libmem.a
$(BUILD)/fuzz_seed_heaps: fuzz/seed_heaps.c fuzz/packed.c $(BUILD)/libmem.a
	$(build) $(BUILD)/libmem.a
