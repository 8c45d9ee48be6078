# make install [PREFIX=/usr/local] [DESTDIR=] [LIBDIR=$(PREFIX)/lib] [INCLUDEDIR=$(PREFIX)/include]: the library and the command;
# make install-library, make install-command: one of them; make uninstall; and the pkg-config files of the build tree. What is installed is what
# stands in $(BUILD), so `make lib command` as a user and then `make install` as root leaves nothing of root's behind.

PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
MANDIR ?= $(PREFIX)/share/man
# Where each shell looks for completions that come with a program.
BASH_COMPLETIONS ?= $(PREFIX)/share/bash-completion/completions
ZSH_COMPLETIONS ?= $(PREFIX)/share/zsh/site-functions
FISH_COMPLETIONS ?= $(PREFIX)/share/fish/vendor_completions.d
DOCDIR ?= $(PREFIX)/share/doc/opjournal
DESTDIR ?=
INSTALL ?= install

VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)

# What a Rust static archive asks of the system (`rustc --print native-static-libs`).
ifeq ($(shell uname -s),Darwin)
NATIVE_LIBS ?= -framework CoreFoundation -framework Security -liconv
else
NATIVE_LIBS ?= -lgcc_s -lrt -lpthread -lm -ldl -lc
endif

INSTALLED_HEADERS := include/opjournal.h $(addprefix bindings/c/,opjournal_builder.h opjournal_result.h opjournal_dl.h)
PC_NAMES := opjournal opjournal-static opjournal-dl
CMAKE_NAMES := opjournalConfig opjournalConfigVersion
# From the library directory to the headers, so that the installed tree may be moved: "lib" gives "../include".
INCLUDEDIR_FROM_LIBDIR := $(shell printf '%s' '$(LIBDIR:$(PREFIX)/%=%)' | sed 's,[^/][^/]*,..,g')/$(INCLUDEDIR:$(PREFIX)/%=%)
ifneq ($(words $(filter $(PREFIX)/%,$(LIBDIR) $(INCLUDEDIR))),2)
INCLUDEDIR_FROM_LIBDIR := $(shell printf '%s' '$(LIBDIR)' | sed 's,[^/][^/]*,..,g; s,^/,,')$(INCLUDEDIR)
endif

space := $(subst ,, )
comma := ,
# $(call fill,PREFIX,LIBDIR,INCLUDEDIR,RPATH,MORE_CFLAGS): a template on standard input, filled in on standard output.
fill = sed -e 's|@VERSION@|$(VERSION)|g' -e 's|@PREFIX@|$(1)|g' -e 's|@LIBDIR@|$(2)|g' -e 's|@INCLUDEDIR@|$(3)|g' -e 's|@RPATH@|$(4)|g' \
    -e 's|@MORE_CFLAGS@|$(5)|g' \
    -e 's|@INCLUDEDIR_FROM_LIBDIR@|$(INCLUDEDIR_FROM_LIBDIR)|g' -e 's|@NATIVE_LIBS@|$(NATIVE_LIBS)|g' -e 's|@DL_LIBS@|$(C_DL_LIBS)|g' \
    -e 's|@NATIVE_LIBS_LIST@|$(subst @, ,$(subst $(space),;,$(subst -framework ,-framework@,$(strip $(NATIVE_LIBS)))))|g'

.PHONY: install install-library install-command uninstall pkgconfig test-install

install: install-library install-command

install-library: $(C_ARCHIVE)
	@test -e $(BUILD)/lib/libopjournal.a || { echo "$(BUILD)/lib holds no library: run 'make lib' first" >&2; exit 1; }
	$(INSTALL) -d '$(DESTDIR)$(LIBDIR)/pkgconfig' '$(DESTDIR)$(LIBDIR)/cmake/opjournal' '$(DESTDIR)$(INCLUDEDIR)' '$(DESTDIR)$(DOCDIR)'
	@# -P and -R keep the links between the names of the shared library as links.
	for file in $(BUILD)/lib/libopjournal.so* $(BUILD)/lib/libopjournal*.dylib; do \
	    if [ -e "$$file" ]; then cp -PRf "$$file" '$(DESTDIR)$(LIBDIR)/' || exit 1; fi; \
	done
	$(INSTALL) -m 644 $(BUILD)/lib/libopjournal.a $(C_ARCHIVE) '$(DESTDIR)$(LIBDIR)/'
	$(INSTALL) -m 644 $(INSTALLED_HEADERS) '$(DESTDIR)$(INCLUDEDIR)/'
	for name in $(PC_NAMES); do \
	    $(call fill,$(PREFIX),$(LIBDIR),$(INCLUDEDIR),,) < bindings/c/$$name.pc.in > '$(DESTDIR)$(LIBDIR)/pkgconfig/'$$name.pc || exit 1; \
	done
	for name in $(CMAKE_NAMES); do \
	    $(call fill,$(PREFIX),$(LIBDIR),$(INCLUDEDIR),,) < bindings/c/cmake/$$name.cmake.in > '$(DESTDIR)$(LIBDIR)/cmake/opjournal/'$$name.cmake || exit 1; \
	done
	$(INSTALL) -m 644 LICENSE '$(DESTDIR)$(DOCDIR)/'

install-command:
	@test -e $(COMMAND) || { echo "$(BUILD)/bin holds no command: run 'make command' first" >&2; exit 1; }
	$(INSTALL) -d '$(DESTDIR)$(BINDIR)' '$(DESTDIR)$(MANDIR)/man1' '$(DESTDIR)$(BASH_COMPLETIONS)' '$(DESTDIR)$(ZSH_COMPLETIONS)' \
	    '$(DESTDIR)$(FISH_COMPLETIONS)' '$(DESTDIR)$(DOCDIR)'
	$(INSTALL) $(COMMAND) '$(DESTDIR)$(BINDIR)/'
	$(INSTALL) -m 644 $(MANUAL)/*.1 '$(DESTDIR)$(MANDIR)/man1/'
	$(INSTALL) -m 644 $(COMPLETIONS)/$(COMPLETION_bash) '$(DESTDIR)$(BASH_COMPLETIONS)/'
	$(INSTALL) -m 644 $(COMPLETIONS)/$(COMPLETION_zsh) '$(DESTDIR)$(ZSH_COMPLETIONS)/'
	$(INSTALL) -m 644 $(COMPLETIONS)/$(COMPLETION_fish) '$(DESTDIR)$(FISH_COMPLETIONS)/'
	$(INSTALL) -m 644 LICENSE '$(DESTDIR)$(DOCDIR)/'

# Removes what install put there and the directories that are then its own and empty; nothing else.
uninstall:
	rm -f '$(DESTDIR)$(LIBDIR)/'libopjournal.so* '$(DESTDIR)$(LIBDIR)/'libopjournal*.dylib
	rm -f '$(DESTDIR)$(LIBDIR)/libopjournal.a' '$(DESTDIR)$(LIBDIR)/libopjournal_c.a'
	rm -f $(foreach header,$(notdir $(INSTALLED_HEADERS)),'$(DESTDIR)$(INCLUDEDIR)/$(header)')
	rm -f $(foreach name,$(PC_NAMES),'$(DESTDIR)$(LIBDIR)/pkgconfig/$(name).pc')
	rm -f $(foreach name,$(CMAKE_NAMES),'$(DESTDIR)$(LIBDIR)/cmake/opjournal/$(name).cmake')
	rm -f '$(DESTDIR)$(BINDIR)/opjournal' '$(DESTDIR)$(MANDIR)/man1/opjournal.1' '$(DESTDIR)$(MANDIR)/man1/'opjournal-*.1
	rm -f '$(DESTDIR)$(BASH_COMPLETIONS)/$(COMPLETION_bash)' '$(DESTDIR)$(ZSH_COMPLETIONS)/$(COMPLETION_zsh)' \
	    '$(DESTDIR)$(FISH_COMPLETIONS)/$(COMPLETION_fish)'
	rm -f '$(DESTDIR)$(DOCDIR)/LICENSE'
	rmdir '$(DESTDIR)$(LIBDIR)/cmake/opjournal' '$(DESTDIR)$(DOCDIR)' 2>/dev/null || true

# The build tree's own, for compiling against it without installing: PKG_CONFIG_PATH=$(BUILD)/lib/pkgconfig. They hold absolute
# paths of this tree, so they are made here and never committed.
pkgconfig: $(BUILD)/lib/pkgconfig/opjournal.pc $(BUILD)/lib/pkgconfig/opjournal-static.pc $(BUILD)/lib/pkgconfig/opjournal-dl.pc

$(BUILD)/lib/pkgconfig/%.pc: bindings/c/%.pc.in mk/install.mk Cargo.toml $(C_ARCHIVE)
	@mkdir -p $(@D)
	$(call fill,$(CURDIR),$(abspath $(BUILD)/lib),$(CURDIR)/include,-Wl$(comma)-rpath$(comma)$(abspath $(BUILD)/lib) , -I$(CURDIR)/bindings/c) < $< > $@

test-install: $(C_SHARED) $(C_ARCHIVE) $(if $(wildcard $(COMMAND)),,command)
	MAKE='$(MAKE)' CC='$(CC)' CXX='$(CXX)' sh bindings/c/tests/install_test.sh '$(abspath $(BUILD))'
