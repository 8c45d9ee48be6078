# The artifacts that are installed: one build of the Rust code, linked twice. Run from the top of the project, alone or included:
#   make -f mk/lib.mk lib                  build/lib/libopjournal.so* and libopjournal.a
#   make -f mk/lib.mk lib PROFILE=dev      the same, quickly and slow to run: for tests
#   make -f mk/lib.mk test-c               the C tests of the ABI against what `lib` made
# docs/c-abi.md says why it is done this way.

PROFILE          ?= release
# For cargo, such as --no-default-features: no S3, and a build of seconds.
FEATURES         ?=
CARGO            ?= cargo
CARGO_TARGET_DIR ?= target
OBJCOPY          ?= objcopy
NM               ?= nm

export CARGO_TARGET_DIR

LIB_DIR     := build/lib
LIB_VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
# Grows when something is taken away or changed; opjournal_abi_version() grows when something is added.
LIB_SONAME  := libopjournal.so.0
LIB_SYSTEM  := $(shell uname -s)

comma := ,

# The Rust standard library comes with debug information of its own.
LIB_STRIP := $(if $(filter dev,$(PROFILE)),,--strip-debug)

# What rustc says the Rust standard library needs of the system (--print native-static-libs).
LIB_SYSTEM_LIBRARIES := -lgcc_s -lrt -lpthread -lm -ldl -lc

RUST_ARCHIVE := $(CARGO_TARGET_DIR)/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))/libopjournal.a

# Every function that the Rust code exports. The linker is told to want them: nothing else in the archive is wanted for itself.
LIB_EXPORTS = $(shell $(NM) --defined-only --extern-only $(RUST_ARCHIVE) 2>/dev/null | awk '$$2 == "T" && $$3 ~ /^opjournal_/ { print $$3 }')

.PHONY: lib test-c rust-archive force

ifeq ($(LIB_SYSTEM),Darwin)
LIB_SHARED := $(LIB_DIR)/libopjournal.$(LIB_VERSION).dylib
else
LIB_SHARED := $(LIB_DIR)/libopjournal.so.$(LIB_VERSION)
endif

lib: $(LIB_SHARED) $(LIB_DIR)/libopjournal.a

# Cargo knows best what is stale.
rust-archive:
	$(CARGO) rustc --lib --profile $(PROFILE) $(FEATURES) --crate-type staticlib

$(RUST_ARCHIVE): rust-archive ;

$(LIB_DIR):
	mkdir -p $@

# Changes when the artifacts were last linked from another build than the one that is asked for.
$(LIB_DIR)/.linked-from: force | $(LIB_DIR)
	@echo '$(RUST_ARCHIVE) $(FEATURES)' | cmp -s - $@ || echo '$(RUST_ARCHIVE) $(FEATURES)' > $@

ifeq ($(LIB_SYSTEM),Darwin)

$(LIB_SHARED): $(RUST_ARCHIVE) $(LIB_DIR)/.linked-from
	$(CC) -dynamiclib -o $@ $(foreach symbol,$(LIB_EXPORTS),-Wl,-u,_$(symbol)) $(RUST_ARCHIVE) \
		-install_name @rpath/libopjournal.0.dylib -compatibility_version 0.1 -current_version $(LIB_VERSION) \
		-Wl,-exported_symbol,'_opjournal_*' -Wl,-dead_strip -framework CoreFoundation -framework Security -liconv
	ln -sf $(notdir $@) $(LIB_DIR)/libopjournal.0.dylib
	ln -sf $(notdir $@) $(LIB_DIR)/libopjournal.dylib

$(LIB_DIR)/libopjournal.a: $(RUST_ARCHIVE) $(LIB_DIR)/.linked-from
	ld -r -o $(LIB_DIR)/opjournal.o $(foreach symbol,$(LIB_EXPORTS),-u _$(symbol)) -exported_symbol '_opjournal_*' $(RUST_ARCHIVE)
	rm -f $@
	$(AR) crs $@ $(LIB_DIR)/opjournal.o
	rm $(LIB_DIR)/opjournal.o

else

# -z nodelete: the library's threads go on after dlclose. --no-undefined: what is missing is found now, not in the host.
$(LIB_SHARED): $(RUST_ARCHIVE) include/opjournal.map $(LIB_DIR)/.linked-from
	$(CC) -shared -o $@ $(foreach symbol,$(LIB_EXPORTS),-Wl,-u,$(symbol)) $(RUST_ARCHIVE) $(LDFLAGS) \
		-Wl,-soname,$(LIB_SONAME) -Wl,--version-script=include/opjournal.map -Wl,-z,nodelete -Wl,-z,relro,-z,now \
		-Wl,--gc-sections $(addprefix -Wl$(comma),$(LIB_STRIP)) -Wl,--no-undefined -Wl,--as-needed $(LIB_SYSTEM_LIBRARIES)
	ln -sf $(notdir $@) $(LIB_DIR)/$(LIB_SONAME)
	ln -sf $(LIB_SONAME) $(LIB_DIR)/libopjournal.so

# One object whose other symbols are local, so that a second Rust static library beside it does not clash. The groups are dissolved, since
# the linker would keep one of two groups of the same name, and the local symbols of the other would point to nothing. The bitcode that the Rust
# standard library carries is of no use here, and an older LLVM among the host's tools stumbles over it.
$(LIB_DIR)/libopjournal.a: $(RUST_ARCHIVE) $(LIB_DIR)/.linked-from
	$(CC) -nostdlib -no-pie -Wl,-r -Wl,--build-id=none -Wl,--force-group-allocation -Wl,--gc-sections -Wl,--gc-keep-exported \
		-o $(LIB_DIR)/opjournal.o $(foreach symbol,$(LIB_EXPORTS),-Wl,-u,$(symbol)) $(RUST_ARCHIVE)
	$(OBJCOPY) $(LIB_STRIP) --wildcard --keep-global-symbol='opjournal_*' --remove-section=.llvmbc --remove-section=.llvmcmd $(LIB_DIR)/opjournal.o
	rm -f $@
	$(AR) crs $@ $(LIB_DIR)/opjournal.o
	rm $(LIB_DIR)/opjournal.o

endif

test-c: lib
	CC='$(CC)' CXX='$(CXX)' tests/c/run.sh $(LIB_DIR)
