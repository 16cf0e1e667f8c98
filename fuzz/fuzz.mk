# SPDX-License-Identifier: MIT
#
# fuzz.mk - the fuzz targets: build/fuzz/NAME is made of fuzz/NAME.c by clang, with libFuzzer,
# AddressSanitizer and UndefinedBehaviorSanitizer. The Makefile includes it.

FUZZ_NAMES := reader calls classic attach malloc
FUZZ_CFLAGS := -O2 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all \
    -fno-sanitize-coverage=trace-cmp
FUZZERS := $(FUZZ_NAMES:%=$(BUILD)/%)

.PHONY: fuzz fuzz-programs
fuzz: ## the fuzz targets of fuzz/, in build/fuzz
	$(MAKE) BUILD=build/fuzz CC=clang CFLAGS="$(FUZZ_CFLAGS)" fuzz-programs
fuzz-programs: $(FUZZERS)

$(BUILD)/pack: fuzz/pack.c fuzz/packed.c fuzz/packed.h
	$(build)
$(BUILD)/reader: fuzz/packed.h $(wildcard test/inspect/*.h tools/inspect/*.h) $(BUILD)/libmem.a
$(BUILD)/reader: fuzz/reader.c fuzz/packed.c test/inspect/damage.c test/inspect/every.c \
    $(INSPECT_MODULES)
	$(build) -Isrc -Itools/inspect -Itest/inspect -fsanitize=fuzzer $(BUILD)/libmem.a \
	    $(TOOL_FLAGS) -UHAVE_LIBDW
# test/model/heaps.c is the model, without its main.
$(BUILD)/calls: $(wildcard test/model/*.h test/support/*.h) $(BUILD)/libmem.a
$(BUILD)/calls: fuzz/calls.c test/model/heaps.c test/support/draw.c
	$(build) -DWITHOUT_MAIN -Itest/model -Itest/support -fsanitize=fuzzer $(BUILD)/libmem.a
$(BUILD)/classic: $(wildcard test/support/*.h) $(BUILD)/libmem.a
$(BUILD)/classic: fuzz/classic.c test/support/model.c test/support/draw.c
	$(build) -Itest/support -fsanitize=fuzzer $(BUILD)/libmem.a
$(BUILD)/attach: fuzz/packed.h test/inspect/damage.h $(BUILD)/libmem.a
$(BUILD)/attach: fuzz/attach.c fuzz/packed.c test/inspect/damage.c
	$(build) -Isrc -Itest/inspect -fsanitize=fuzzer $(BUILD)/libmem.a
# All functions that libmem-malloc.so exports are renamed: malloc becomes fuzzed_malloc.
$(BUILD)/fuzzed.o: $(MALLOC_OBJECTS)
	$(call say,ld,$@)ld -r -o $@.tmp $^ && readelf -sW $@.tmp | awk '$$5 ~ /GLOBAL|WEAK/ && \
	    $$6 == "DEFAULT" && $$7 != "UND" { print $$8, "fuzzed_" $$8 }' >$@.names && \
	    objcopy --redefine-syms=$@.names $@.tmp $@
$(BUILD)/malloc: fuzz/malloc.c $(BUILD)/fuzzed.o
	$(build) -Isrc -fno-builtin -fsanitize=fuzzer $(BUILD)/fuzzed.o
$(BUILD)/heap_seeds: fuzz/heap_seeds.c fuzz/packed.c $(BUILD)/libmem.a
	$(build) $(BUILD)/libmem.a

$(BUILD)/seed: fuzz/seed.c $(BUILD)/libmem.so
	$(build) -fno-builtin -L$(BUILD) -lmem
$(BUILD)/seed-static: fuzz/seed.c $(BUILD)/libmem.a
	$(build) -fno-builtin -static $(BUILD)/libmem.a
.PHONY: fuzz-seeds
fuzz-seeds: ## makes the seeds of fuzz/corpus/ anew, after a change of the layout of heaps
fuzz-seeds: all $(BUILD)/pack $(BUILD)/seed $(BUILD)/seed-static $(BUILD)/heap_seeds
	@mkdir -p fuzz/corpus/reader fuzz/corpus/attach
	@fuzz/seeds.sh $(BUILD) fuzz/corpus/reader
	@$(BUILD)/heap_seeds fuzz/corpus/attach
