# SPDX-License-Identifier: MIT
#
# fuzz.mk - the fuzz targets: build/fuzz/NAME is made of fuzz/NAME.c by clang, with libFuzzer,
# AddressSanitizer and UndefinedBehaviorSanitizer. The Makefile includes it.

FUZZ_NAMES := reader
FUZZ_CFLAGS := -O2 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all \
    -fno-sanitize-coverage=trace-cmp
FUZZERS := $(FUZZ_NAMES:%=$(BUILD)/%)

.PHONY: fuzz fuzz-programs
fuzz: ## the fuzz targets of fuzz/, in build/fuzz
	$(MAKE) BUILD=build/fuzz CC=clang CFLAGS="$(FUZZ_CFLAGS)" fuzz-programs
fuzz-programs: $(FUZZERS) $(BUILD)/pack

$(BUILD)/pack: fuzz/pack.c fuzz/packed.c fuzz/packed.h
	$(build)
$(BUILD)/reader: fuzz/packed.h $(wildcard test/inspect/*.h tools/inspect/*.h) $(BUILD)/libmem.a
$(BUILD)/reader: fuzz/reader.c fuzz/packed.c test/inspect/damage.c test/inspect/every.c \
    $(INSPECT_MODULES)
	$(build) -Isrc -Itools/inspect -Itest/inspect -fsanitize=fuzzer $(BUILD)/libmem.a \
	    $(TOOL_FLAGS) -UHAVE_LIBDW

$(BUILD)/seed: fuzz/seed.c $(BUILD)/libmem.so
	$(build) -fno-builtin -L$(BUILD) -lmem
$(BUILD)/seed-static: fuzz/seed.c $(BUILD)/libmem.a
	$(build) -fno-builtin -static $(BUILD)/libmem.a
.PHONY: fuzz-seeds
fuzz-seeds: all fuzz $(BUILD)/seed $(BUILD)/seed-static ## makes the seeds of fuzz/corpus/reader anew
	@mkdir -p fuzz/corpus/reader && fuzz/seeds.sh $(BUILD) build/fuzz/pack fuzz/corpus/reader
