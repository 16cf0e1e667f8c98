# SPDX-License-Identifier: MIT
#
# make            the libraries, in build/, with links in this folder
# make demo       builds and runs the main job on real input
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
ALL_CFLAGS := -std=c11 -D_GNU_SOURCE $(WARN) -Iinclude -fPIC -fvisibility=hidden -pthread $(CFLAGS)

# Each file may include only what stands before it.
LAYERS := base panic os region btree ledger freelist heap check dump mem
SOURCES := $(filter-out src/base.c,$(LAYERS:%=src/%.c))
OBJECTS := $(SOURCES:src/%.c=$(BUILD)/obj/%.o)

.PHONY: all
all: $(BUILD)/libmem.so $(BUILD)/libmem.a links

$(BUILD)/obj/%.o: src/%.c Makefile
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -c $< -o $@
-include $(OBJECTS:.o=.d)

$(BUILD)/libmem.so: $(OBJECTS)
	$(CC) $(ALL_CFLAGS) -shared -Wl,-soname,libmem.so.$(SOVERSION) -Wl,-z,defs $^ -o $@
	@ln -sf libmem.so $@.$(SOVERSION)

$(BUILD)/libmem.a: $(OBJECTS)
	@rm -f $@
	$(AR) rcs $@ $^

# What `gcc -o myprogram mymain.c -L. -lmem` and LD_LIBRARY_PATH=. look for.
.PHONY: links
links: $(BUILD)/libmem.so
ifeq ($(BUILD),build)
	@ln -sf build/libmem.so libmem.so
	@ln -sf build/libmem.so libmem.so.$(SOVERSION)
	@ln -sf include/mem.h mem.h
endif

.PHONY: debug asan tsan
debug:
	$(MAKE) BUILD=build/debug CFLAGS="-O0 -g3"
asan:
	$(MAKE) BUILD=build/asan CFLAGS="-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all"
tsan:
	$(MAKE) BUILD=build/tsan CFLAGS="-O1 -g -fsanitize=thread"

.PHONY: install
install: all
	install -d $(DESTDIR)$(PREFIX)/include $(DESTDIR)$(PREFIX)/lib/pkgconfig
	install -m 644 include/mem.h $(DESTDIR)$(PREFIX)/include/
	install -m 644 $(BUILD)/libmem.a $(DESTDIR)$(PREFIX)/lib/
	install -m 755 $(BUILD)/libmem.so $(DESTDIR)$(PREFIX)/lib/libmem.so.$(VERSION)
	ln -sf libmem.so.$(VERSION) $(DESTDIR)$(PREFIX)/lib/libmem.so.$(SOVERSION)
	ln -sf libmem.so.$(SOVERSION) $(DESTDIR)$(PREFIX)/lib/libmem.so
	sed 's|@PREFIX@|$(PREFIX)|; s|@VERSION@|$(VERSION)|' src/mem.pc.in \
	    >$(DESTDIR)$(PREFIX)/lib/pkgconfig/libmem.pc

.PHONY: clean
clean:
	rm -rf build libmem.so libmem.so.$(SOVERSION) mem.h
