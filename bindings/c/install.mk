# libplumline.a and libplumline.so of the crate plumline-c, and `make install`. Included by the Makefile.
#
#   make libplumline                      target/release/libplumline.{a,so}
#   make install PREFIX=/usr DESTDIR=…    header, libraries, plumline.pc, CMake package
#
# Cargo's archive names every symbol of Rust's standard library, and cargo's own shared library would have a version
# script of rustc's, beside which the linker ignores any other. So the archive is joined into one object with nothing
# global but plumline_*, and both libraries are made of that. The bitcode that comes with Rust's standard library goes:
# beside clang, binutils would try to read it with another version of LLVM.
#
# The shared library is never unloaded (nodelete): its threads, its clients and what it does at a fork or an exit
# outlive a dlclose().

PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
C_PROFILE ?= release
C_OUT := target/$(C_PROFILE)
C_VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
C_MAJOR := $(firstword $(subst ., ,$(C_VERSION)))
C_SO := libplumline.so.$(C_VERSION)
C_SONAME := libplumline.so.$(C_MAJOR)
C_FLAG := $(if $(filter release,$(C_PROFILE)),--release)
# How the archive is built; empty where it already is.
C_BUILD ?= cargo build --quiet $(C_FLAG) --package plumline-c
C_UP := $(if $(filter $(PREFIX)/lib,$(LIBDIR)),..,$(shell realpath -m --relative-to=$(LIBDIR) $(PREFIX)))

.PHONY: libplumline install uninstall

libplumline: ## Leave target/release/libplumline.so and libplumline.a
	$(C_BUILD)
	$(MAKE) --silent --no-print-directory -f bindings/c/install.mk C_PROFILE=$(C_PROFILE) $(C_OUT)/$(C_SO)

$(C_OUT)/$(C_SO): $(C_OUT)/libplumline_c.a bindings/c/exports.map bindings/c/install.mk
	@ld -r -o $(C_OUT)/plumline.o --whole-archive $<
	@objcopy --wildcard --keep-global-symbol='plumline_*' --remove-section='.llvm*' $(C_OUT)/plumline.o
	@rm -f $(C_OUT)/libplumline.a
	@ar rcs $(C_OUT)/libplumline.a $(C_OUT)/plumline.o
	@cc -shared -o $@ -Wl,-soname,$(C_SONAME) -Wl,--version-script=bindings/c/exports.map -Wl,--gc-sections \
	    -Wl,-z,relro,-z,now,-z,defs,-z,nodelete $(C_OUT)/plumline.o -lgcc_s -lpthread -lm -ldl
	@rm $(C_OUT)/plumline.o
	@ln -sf $(C_SO) $(C_OUT)/$(C_SONAME)
	@ln -sf $(C_SONAME) $(C_OUT)/libplumline.so

install: libplumline ## Install the C and C++ library: PREFIX=/usr/local, LIBDIR, DESTDIR
	install -d $(DESTDIR)$(PREFIX)/include/plumline $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(LIBDIR)/cmake/plumline
	install -m 644 include/plumline.h include/plumline.hpp $(DESTDIR)$(PREFIX)/include
	install -m 644 include/plumline/*.hpp $(DESTDIR)$(PREFIX)/include/plumline
	install -m 644 $(C_OUT)/libplumline.a $(DESTDIR)$(LIBDIR)
	install -m 755 $(C_OUT)/$(C_SO) $(DESTDIR)$(LIBDIR)
	strip --strip-debug $(DESTDIR)$(LIBDIR)/libplumline.a
	strip --strip-unneeded $(DESTDIR)$(LIBDIR)/$(C_SO)
	@ln -sf $(C_SO) $(DESTDIR)$(LIBDIR)/$(C_SONAME)
	@ln -sf $(C_SONAME) $(DESTDIR)$(LIBDIR)/libplumline.so
	$(call c_filled,plumline.pc,$(LIBDIR)/pkgconfig)
	$(call c_filled,plumline-config.cmake,$(LIBDIR)/cmake/plumline)
	$(call c_filled,plumline-config-version.cmake,$(LIBDIR)/cmake/plumline)

uninstall: ## Remove what `make install` with the same PREFIX has put there
	@rm -f $(addprefix $(DESTDIR)$(PREFIX)/include/,plumline.h plumline.hpp)
	@rm -f $(addprefix $(DESTDIR)$(LIBDIR)/,libplumline.a libplumline.so $(C_SONAME) $(C_SO) pkgconfig/plumline.pc)
	@rm -rf $(DESTDIR)$(LIBDIR)/cmake/plumline $(DESTDIR)$(PREFIX)/include/plumline

c_filled = sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' -e 's|@VERSION@|$(C_VERSION)|' \
	    -e 's|@MAJOR@|$(C_MAJOR)|' -e 's|@UP@|$(C_UP)|' include/$(1).in > $(DESTDIR)$(2)/$(1)
