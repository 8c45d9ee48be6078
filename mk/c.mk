# The C side that is not generated: builder, readers and loader as one small archive, the examples, and their tests.
# Needs from mk/lib.mk: the shared library (any profile) for what runs against the library.

BUILD ?= build
CC ?= cc
CXX ?= c++
CFLAGS ?= -O2 -g
CXXFLAGS ?= -O2 -g

C_ROOM := bindings/c
C_BUILD := $(BUILD)/c
C_INCLUDES := -Iinclude -I$(C_ROOM)
C_WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Werror
C_STANDARD := -std=c99 -D_POSIX_C_SOURCE=200809L
CXX_STANDARD := -std=c++11
C_SANITIZERS := -g -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
C_HEADERS := include/opjournal.h $(addprefix $(C_ROOM)/,opjournal_builder.h opjournal_result.h opjournal_dl.h)
C_PARTS := opjournal_builder opjournal_result opjournal_dl json_text
C_ARCHIVE := $(BUILD)/lib/libopjournal_c.a
C_DL_LIBS := $(if $(filter Darwin,$(shell uname -s)),,-ldl)
C_SHARED := $(BUILD)/lib/libopjournal.$(if $(filter Darwin,$(shell uname -s)),dylib,so)
C_EXAMPLES := $(addprefix $(C_BUILD)/examples/,counter events demo dlopen)

# The shared library is looked for where it was built, from wherever the program is started.
C_LINK = -L$(BUILD)/lib -Wl,-rpath,$(abspath $(BUILD)/lib) -lopjournal_c -lopjournal $(C_DL_LIBS)

.PHONY: c c-examples test-bindings-c test-c-units test-c-headers test-c-examples

c: $(C_ARCHIVE)

$(C_BUILD)/%.o: $(C_ROOM)/%.c $(C_HEADERS) $(C_ROOM)/json_text.h
	@mkdir -p $(@D)
	$(CC) $(C_STANDARD) $(C_WARNINGS) $(CFLAGS) -fPIC -fvisibility=hidden $(C_INCLUDES) -c $< -o $@

$(C_ARCHIVE): $(patsubst %,$(C_BUILD)/%.o,$(C_PARTS))
	@mkdir -p $(@D)
	rm -f $@
	$(AR) rcs $@ $^

# Built where it is missing, and left alone where it is there: which profile, and whether it is stale, is for who says `make lib`.
$(C_SHARED): $(if $(wildcard $(C_SHARED)),,lib)
	@test -e $@

c-examples: $(C_EXAMPLES)

$(C_BUILD)/examples/%: $(C_ROOM)/examples/%.c $(C_HEADERS) $(C_ARCHIVE) | $(C_SHARED)
	@mkdir -p $(@D)
	$(CC) $(C_STANDARD) $(C_WARNINGS) $(CFLAGS) $(C_INCLUDES) $< $(C_LINK) -o $@

# Not linked with the library: that is the point of it.
$(C_BUILD)/examples/dlopen: $(C_ROOM)/examples/dlopen.cpp $(C_HEADERS) $(C_ARCHIVE)
	@mkdir -p $(@D)
	$(CXX) $(CXX_STANDARD) $(C_WARNINGS) $(CXXFLAGS) $(C_INCLUDES) $< -L$(BUILD)/lib -lopjournal_c $(C_DL_LIBS) -o $@

test-bindings-c: test-c-headers test-c-units test-c-examples test-install

# Every header stands alone, may be included twice, and is clean as C99 and as C++11.
test-c-headers:
	@mkdir -p $(C_BUILD)/tests
	@for header in $(notdir $(C_HEADERS)); do \
	    printf '#include "%s"\n#include "%s"\nint main(void) { return 0; }\n' $$header $$header > $(C_BUILD)/tests/include.c && \
	    $(CC) -std=c99 $(C_WARNINGS) $(C_INCLUDES) -fsyntax-only $(C_BUILD)/tests/include.c && \
	    $(CXX) $(CXX_STANDARD) $(C_WARNINGS) $(C_INCLUDES) -fsyntax-only -x c++ $(C_BUILD)/tests/include.c && \
	    echo "ok $$header compiles as C99 and C++11" || exit 1; \
	done

$(C_BUILD)/tests/builder_test: $(C_ROOM)/tests/builder_test.c $(C_ROOM)/opjournal_builder.c $(C_ROOM)/json_text.c tests/c/check.h $(C_HEADERS)
	@mkdir -p $(@D)
	$(CC) $(C_STANDARD) $(C_WARNINGS) $(C_SANITIZERS) $(C_INCLUDES) -Itests/c $(filter-out %/opjournal_builder.c,$(filter %.c,$^)) -o $@

$(C_BUILD)/tests/result_test: $(addprefix $(C_ROOM)/,tests/result_test.c opjournal_result.c json_text.c) tests/c/check.h $(C_HEADERS)
	@mkdir -p $(@D)
	$(CC) $(C_STANDARD) $(C_WARNINGS) $(C_SANITIZERS) $(C_INCLUDES) -Itests/c $(filter %.c,$^) -o $@

$(C_BUILD)/tests/dl_test: $(C_ROOM)/tests/dl_test.c $(C_ROOM)/opjournal_dl.c tests/c/check.h $(C_HEADERS)
	@mkdir -p $(@D)
	$(CC) $(C_STANDARD) $(C_WARNINGS) $(C_SANITIZERS) $(C_INCLUDES) -Itests/c $(filter %.c,$^) $(C_DL_LIBS) -o $@

C_FAKES := $(patsubst %,$(C_BUILD)/tests/fake_%.so,good lacking older newer)
$(C_BUILD)/tests/fake_good.so: FAKE := -DFAKE_ABI=OPJOURNAL_ABI_VERSION
$(C_BUILD)/tests/fake_lacking.so: FAKE := -DFAKE_ABI=OPJOURNAL_ABI_VERSION -Dopjournal_stats=fake_stats
$(C_BUILD)/tests/fake_older.so: FAKE := -DFAKE_ABI=0
$(C_BUILD)/tests/fake_newer.so: FAKE := -DFAKE_ABI=4000000000u
$(C_FAKES): $(C_ROOM)/tests/dl_fake.c $(C_HEADERS)
	@mkdir -p $(@D)
	$(CC) -std=c99 $(C_WARNINGS) -Wno-unused-parameter -fPIC -shared $(FAKE) $(C_INCLUDES) $< -o $@

test-c-units: $(C_BUILD)/tests/builder_test $(C_BUILD)/tests/result_test $(C_BUILD)/tests/dl_test $(C_FAKES)
	$(C_BUILD)/tests/builder_test
	$(C_BUILD)/tests/result_test
	$(C_BUILD)/tests/dl_test include/opjournal.h $(C_FAKES)

# The examples once more, with the sanitizers, and with the builder compiled in as a host may do it.
C_CHECKED := $(addprefix $(C_BUILD)/tests/examples/,counter events demo dlopen)
C_CHECKED_PARTS := $(patsubst %,$(C_BUILD)/tests/examples/%.o,$(C_PARTS))

$(C_CHECKED_PARTS): $(C_BUILD)/tests/examples/%.o: $(C_ROOM)/%.c $(C_HEADERS) $(C_ROOM)/json_text.h
	@mkdir -p $(@D)
	$(CC) $(C_STANDARD) $(C_WARNINGS) $(C_SANITIZERS) $(C_INCLUDES) -c $< -o $@

$(C_BUILD)/tests/examples/%: $(C_ROOM)/examples/%.c $(C_CHECKED_PARTS) | $(C_SHARED)
	$(CC) $(C_STANDARD) $(C_WARNINGS) $(C_SANITIZERS) $(C_INCLUDES) $< $(C_CHECKED_PARTS) \
	    -L$(BUILD)/lib -Wl,-rpath,$(abspath $(BUILD)/lib) -lopjournal $(C_DL_LIBS) -o $@

$(C_BUILD)/tests/examples/dlopen: $(C_ROOM)/examples/dlopen.cpp $(C_CHECKED_PARTS)
	$(CXX) $(CXX_STANDARD) $(C_WARNINGS) $(C_SANITIZERS) $(C_INCLUDES) $< $(C_CHECKED_PARTS) $(C_DL_LIBS) -o $@

test-c-examples: $(C_CHECKED) $(C_SHARED)
	sh $(C_ROOM)/tests/examples_test.sh $(C_BUILD)/tests/examples $(C_SHARED)
