# make dist         the source archive of what is committed: build/packages/opjournal-VERSION.tar.gz, the same bytes for the same commit
# make deb          Debian's packages libopjournal0, libopjournal-dev and opjournal of what stands in build/ (what is missing there is built)
# make go-module    the Go modules as a module proxy has them, for GOPROXY=file://...: build/packages/go
# make abi-check    whether the C ABI only grew since the last release (docs/releasing.md); make abi-record writes down the one of this version
# make test-packages            all of these, used as a stranger would; make test-packages FULL=1 also compiles in a clean Debian

PACKAGES := $(BUILD)/packages
SOURCE_ARCHIVE := $(PACKAGES)/opjournal-$(VERSION).tar.gz
FULL ?=

.PHONY: dist deb go-module abi-check abi-record test-packages

# git archives what is committed, and gives every file the time of the commit.
dist:
	@mkdir -p $(PACKAGES)
	@git diff --quiet HEAD -- || echo "note: the archive holds what is committed, and there are changes that are not" >&2
	git archive --format=tar --prefix=opjournal-$(VERSION)/ HEAD | gzip -n -9 > $(SOURCE_ARCHIVE)
	cd $(PACKAGES) && sha256sum $(notdir $(SOURCE_ARCHIVE)) > $(notdir $(SOURCE_ARCHIVE)).sha256

deb:
	@sh scripts/deb.sh

go-module:
	python3 scripts/go_module.py $(PACKAGES)/go

abi-check: $(C_SHARED)
	@python3 scripts/abi.py check --library $(C_SHARED)

abi-record: $(C_SHARED)
	@python3 scripts/abi.py record --library $(C_SHARED)

test-packages: $(C_SHARED) $(C_ARCHIVE) $(if $(wildcard $(COMMAND)),,command)
	@python3 scripts/packages.py $(if $(FULL),--full)
