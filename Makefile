# SPDX-License-Identifier: MIT
#
# make builds the libraries and the tool in build/, and puts links to them into this folder.
# make help lists all targets. Those of the benchmarks are in bench/bench.mk, those of the tests
# in test/test.mk. V=1 shows each command in full.

VERSION := 0.9.0
SOVERSION := 1
PREFIX ?= /usr/local
LIB ?= lib
BUILD ?= build

ifeq ($(origin CC),default)
CC := gcc
endif
WARN := -Wall -Wextra -Wconversion -Wshadow -Wundef
CFLAGS ?= -O2 -g -DNDEBUG
ALL_CFLAGS := -std=c11 -D_GNU_SOURCE $(WARN) -Iinclude -pthread $(CPPFLAGS) $(CFLAGS)
LIB_CFLAGS := $(ALL_CFLAGS) -Isrc -fPIC -fvisibility=hidden -ffunction-sections
# gcc would store two neighbouring values at once, and read both from pages of constants, which
# nothing else reads where there are no options (test/instructions.sh).
LIB_CFLAGS += -fno-tree-slp-vectorize

GDB_COMMAND := $(BUILD)/libmem-malloc.so-gdb.py

.PHONY: all
all: links $(BUILD)/libmem.a $(BUILD)/mem ## (or make alone) the libraries and the tool, in build/
all: $(BUILD)/libmem.so $(BUILD)/libmem-malloc.so $(BUILD)/examples/census.so $(GDB_COMMAND)

# $(call say,cc,FILE) before a command prints "cc FILE" in the command's place.
# With make -s it prints nothing, and with V=1 make prints the command.
silent := $(findstring s,$(firstword -$(MAKEFLAGS)))
say = $(if $(filter-out 0,$(V)),,@$(if $(silent),,echo '$(1) $(2)' && ))
# Compiles and links the .c and .o files among the prerequisites. The flags that follow come last.
build = $(call say,cc,$<)mkdir -p $(@D) && $(CC) $(ALL_CFLAGS) $(LDFLAGS) $(filter %.c %.o,$^) -o $@

# --- libraries ----------------------------------------------------------------
# A library is some folders of src. A folder includes only those before it (test/layers.sh).

sources_in = $(foreach f,$(1),$(sort $(wildcard src/$(f)/*.c)))
SOURCES := $(call sources_in,base ledger slots core heaps classic)
OBJECTS := $(SOURCES:src/%.c=$(BUILD)/obj/%.o)
MALLOC_SOURCES := $(call sources_in,base ledger slots core malloc)
MALLOC_OBJECTS := $(MALLOC_SOURCES:src/%.c=$(BUILD)/obj/%.o)

# Without -fno-builtin the compiler turns malloc and memset in calloc into a call of calloc.
$(BUILD)/obj/malloc/%.o: LIB_CFLAGS += -fno-builtin -fexceptions
$(BUILD)/obj/%.o: src/%.c Makefile
	$(call say,cc,$<)mkdir -p $(@D) && $(CC) $(LIB_CFLAGS) -MMD -MP -c $< -o $@
-include $(sort $(OBJECTS:.o=.d) $(MALLOC_OBJECTS:.o=.d))

$(BUILD)/libmem.so: LINK_FLAGS := -Wl,-soname,libmem.so.$(SOVERSION),--version-script=src/libmem.map
$(BUILD)/libmem.so: $(OBJECTS) src/libmem.map
# What malloc's heap never calls is left out: each page of the file that is touched is memory.
$(BUILD)/libmem-malloc.so: LINK_FLAGS := -Wl,--gc-sections,-z,defs,-z,now,-z,nodelete,-z,initfirst
$(BUILD)/libmem-malloc.so: $(MALLOC_OBJECTS)
$(BUILD)/libmem.so $(BUILD)/libmem-malloc.so:
	$(call say,ld,$@)$(CC) $(LIB_CFLAGS) -shared $(LINK_FLAGS) $(LDFLAGS) $(filter %.o,$^) -o $@

$(BUILD)/libmem.a: $(OBJECTS)
	$(call say,ar,$@)rm -f $@ && $(AR) rcs $@ $^

# These are what `gcc -o myprogram mymain.c -L. -lmem` and LD_LIBRARY_PATH=. look for.
.PHONY: links
links: $(BUILD)/libmem.so
	@ln -sf libmem.so $<.$(SOVERSION)
ifeq ($(BUILD),build)
	@ln -sf build/libmem.so libmem.so
	@ln -sf build/libmem.so libmem.so.$(SOVERSION)
	@ln -sf include/mem.h include/mem_heap.h .
endif

# --- the single-file form -----------------------------------------------------

AMALGAMATION := $(BUILD)/amalgamation
.PHONY: amalgamation
amalgamation: $(AMALGAMATION)/mem.c ## the library as one C file beside its headers, to be copied
$(AMALGAMATION)/mem.c: $(SOURCES) src/amalgamate.awk src/amalgamation.in LICENSE Makefile
$(AMALGAMATION)/mem.c: $(wildcard src/*/*.h include/*.h)
	$(call say,awk,$@)mkdir -p $(@D) && cp include/mem.h include/mem_heap.h $(@D) && \
	    awk -v version=$(VERSION) -f src/amalgamate.awk $(SOURCES) >$@.tmp && mv $@.tmp $@
# OBJECTS='$(BUILD)/amalgamation/mem.o' makes the libraries of it (test/builds.tsv).
$(AMALGAMATION)/mem.o: $(AMALGAMATION)/mem.c
	$(call say,cc,$<)$(CC) $(CFLAGS) -c -fpic -Wall -Werror $< -o $@

# --- the tool and the examples ------------------------------------------------

# What pkg-config knows is there for this machine's processor only.
has_library = $(if $(findstring aarch64,$(CC)),,$(shell \
    { pkg-config --exists $(1); } 2>/dev/null && echo yes))

# The tool reads heaps with the library's own code. It does without the libraries that are missing.
TOOL_LIBRARIES := $(strip $(foreach l,libdw libzstd ncursesw,$(if $(call has_library,$(l)),$(l))))
TOOL_HAS_libdw := -DHAVE_LIBDW
TOOL_HAS_libzstd := -DHAVE_ZSTD
TOOL_HAS_ncursesw := -DHAVE_NCURSES
TOOL_FLAGS := $(foreach l,$(TOOL_LIBRARIES),$(TOOL_HAS_$(l))) \
    $(if $(TOOL_LIBRARIES),$(shell pkg-config --cflags --libs $(TOOL_LIBRARIES)))
TOOL_LACKS := $(if $(filter libdw,$(TOOL_LIBRARIES)),,names of functions (libdw);) \
    $(if $(filter libzstd,$(TOOL_LIBRARIES)),,compressed snapshots (libzstd);) \
    $(if $(filter ncursesw,$(TOOL_LIBRARIES)),,the screen of mem top (ncursesw);)
$(BUILD)/mem: $(wildcard tools/*.h tools/inspect/*.h) src/malloc/counterfile.h src/malloc/number.h
$(BUILD)/mem: $(wildcard tools/inspect/*.c) $(BUILD)/libmem.a Makefile
# tools/record.c is no part of the tool, but a library of the benchmarks.
$(BUILD)/mem: $(filter-out tools/record.c,$(wildcard tools/*.c))
	$(if $(strip $(TOOL_LACKS)),@echo 'mem is built without: $(strip $(TOOL_LACKS))')
	$(build) -Isrc -Itools/inspect -DMEM_VERSION='"$(VERSION)"' -DMEM_LIB='"$(LIB)"' \
	    $(BUILD)/libmem.a $(TOOL_FLAGS)

# The tool finds libmem-malloc.so where make install puts it, so it is built anew for another LIB.
BUILT_FOR := $(BUILD)/mem-for-$(subst /,-,$(LIB))
$(BUILD)/mem: $(BUILT_FOR)
$(BUILT_FOR):
	@mkdir -p $(@D) && rm -f $(BUILD)/mem-for-* && touch $@

# gdb loads the file that has the name of a program's library and lies beside it.
$(GDB_COMMAND): tools/libmem-gdb.py
	$(call say,cp,$@)mkdir -p $(@D) && cp $< $@

# Two examples need another library.
EXAMPLES := $(patsubst %.c,$(BUILD)/%,$(filter-out %/census.c,$(wildcard examples/*.c)))
ifeq ($(call has_library,lua5.4),)
EXAMPLES := $(filter-out %/lua-states,$(EXAMPLES))
endif
ifeq ($(call has_library,sqlite3),)
EXAMPLES := $(filter-out %/sqlite-bounded,$(EXAMPLES))
endif
$(BUILD)/examples/lua-states: NEEDS = lua5.4
$(BUILD)/examples/sqlite-bounded: NEEDS = sqlite3
$(BUILD)/examples/%: examples/%.c include/mem.h include/mem_heap.h $(BUILD)/libmem.so
	$(build) -L$(BUILD) -lmem $(if $(NEEDS),$(shell pkg-config --cflags --libs $(NEEDS)))
# C++: an example, and a test of test/test.mk.
$(BUILD)/%: %.cpp include/mem.hpp include/mem_heap.h $(BUILD)/libmem.so
	$(call say,c++,$<)mkdir -p $(@D) && g++ -std=c++17 $(WARN) -O2 $< -L$(BUILD) -lmem -o $@
CENSUS := $(BUILD)/examples/census.so
$(CENSUS): examples/census.c include/mem_heap.h $(BUILD)/libmem.so
	$(build) -fPIC -shared -L$(BUILD) -lmem -Wl,-rpath,'$$ORIGIN/..'

include bench/bench.mk
include test/test.mk
include fuzz/fuzz.mk

# --- other builds -------------------------------------------------------------

.PHONY: debug asan tsan
debug: ## the libraries with assertions, not optimised, in build/debug
	$(MAKE) BUILD=build/debug CFLAGS="-O0 -g3 -DMEM_DEBUG=2"
asan tsan: ## the libraries with AddressSanitizer or ThreadSanitizer, in build/asan, build/tsan
	$(MAKE) BUILD=build/$@ CFLAGS="$$(awk -F '\t' '$$1 == "$@" { print $$3 }' test/builds.tsv)"

# --- install ------------------------------------------------------------------

DEST = $(DESTDIR)$(PREFIX)
DEST_LIB = $(DEST)/$(LIB)
# The dynamic linker finds a new library once ldconfig has noted it. Only root may run that, and it
# notes nothing of the files that are staged in DESTDIR.
LDCONFIG ?= ldconfig
MAN_PAGES := $(foreach p,$(wildcard man/*),share/man/man$(subst .,,$(suffix $(p)))/$(notdir $(p)))
may_ldconfig = [ -z "$(DESTDIR)" ] && [ "$$(id -u)" -eq 0 ]
# The files in which @VERSION@, @PREFIX@ and @LIB@ stand for what make was told.
FILLED_IN := pkgconfig/libmem.pc cmake/libmem/libmem-config.cmake \
    cmake/libmem/libmem-config-version.cmake
.PHONY: install uninstall
install: all ## libraries, headers, tool, manual: DESTDIR= PREFIX=/usr/local LIB=lib
	install -d "$(DEST)/include" "$(DEST)/bin" "$(DEST_LIB)/pkgconfig" "$(DEST_LIB)/cmake/libmem"
	install -m 644 include/mem.h include/mem_heap.h include/mem.hpp "$(DEST)/include"
	install -m 644 $(BUILD)/libmem.a "$(DEST_LIB)"
	install -m 755 $(BUILD)/libmem.so "$(DEST_LIB)/libmem.so.$(VERSION)"
	install -m 755 $(BUILD)/libmem-malloc.so "$(DEST_LIB)"
	install -m 644 $(GDB_COMMAND) "$(DEST_LIB)"
	install -m 755 $(BUILD)/mem "$(DEST)/bin"
	ln -sf libmem.so.$(VERSION) "$(DEST_LIB)/libmem.so.$(SOVERSION)"
	ln -sf libmem.so.$(SOVERSION) "$(DEST_LIB)/libmem.so"
	for file in $(FILLED_IN); do \
	    sed 's|@PREFIX@|$(PREFIX)|; s|@VERSION@|$(VERSION)|; s|@LIB@|$(LIB)|' \
	    "packaging/$${file##*/}.in" >"$(DEST_LIB)/$$file" || exit; done
	for page in $(MAN_PAGES); do \
	    install -D -m 644 "man/$${page##*/}" "$(DEST)/$$page" || exit; done
	@if ! { $(may_ldconfig) && $(LDCONFIG); }; then \
	    echo "install: now run ldconfig as root, or set LD_LIBRARY_PATH='$(PREFIX)/$(LIB)'"; \
	elif ! $(LDCONFIG) -p | grep -q 'libmem\.so\.$(SOVERSION) '; then \
	    echo "install: ldconfig does not search '$(PREFIX)/$(LIB)': set LD_LIBRARY_PATH to it"; \
	fi

uninstall: ## removes what make install put there
	for file in include/mem.h include/mem_heap.h include/mem.hpp bin/mem $(MAN_PAGES) \
	    $(addprefix $(LIB)/,libmem.a libmem-malloc.so libmem-malloc.so-gdb.py libmem.so \
	    libmem.so.$(SOVERSION) libmem.so.$(VERSION) $(FILLED_IN)); do \
	    rm -f "$(DEST)/$$file" || exit; done
	@rmdir "$(DEST_LIB)/cmake/libmem" 2>/dev/null || :
	@! { $(may_ldconfig); } || $(LDCONFIG)

# The tree is copied, so that the folder debian stays as it is. The packages are not signed.
.PHONY: deb
deb: ## the Debian packages of this tree, in build/deb
	rm -rf build/deb && mkdir -p build/deb/libmem
	tar -c --exclude=./build --exclude=./.git . | tar -x -C build/deb/libmem
	cd build/deb/libmem && env -u MAKEFLAGS -u MFLAGS dpkg-buildpackage -us -uc -b

# --- housekeeping -------------------------------------------------------------

.PHONY: format clean help
format: ## clang-format on every C and C++ file
	clang-format -i src/*/*.[ch] include/*.h* $$(find test tools bench examples fuzz -name '*.[ch]')

clean: ## removes build/ and the links in this folder
	rm -rf build libmem.so libmem.so.$(SOVERSION) mem.h mem_heap.h

help: ## this list
	@awk -F ' *## ' '/^[a-z][a-z0-9 -]*:.* ## / { sub(/:.*/, "", $$1); \
	    printf "make %-15s %s\n", $$1, $$2 }' Makefile bench/bench.mk test/test.mk fuzz/fuzz.mk
