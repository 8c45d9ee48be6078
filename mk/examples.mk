# make test-examples                 the program of examples/ in every language, against each other
# make test-examples LANGUAGES=java  some of them; C, C++ and Go are built in any case
# Whoever runs a language first installs what it needs into the cache: cffi, koffi, JNA. scripts/examples.py does it, and says what is left out.

LANGUAGES ?=
EXAMPLES_BUILD := $(BUILD)/examples
EXAMPLES := $(addprefix $(EXAMPLES_BUILD)/,tour-c tour-cpp tour-cpp-linked test-cpp)

.PHONY: test-examples examples-go

test-examples: $(EXAMPLES) examples-go $(C_BUILD)/tests/fake_older.so $(C_SHARED)
	@python3 scripts/examples.py --build $(BUILD) $(LANGUAGES)

# With the sanitizers: what a program does not give back is told at its end.
$(EXAMPLES_BUILD)/tour-c: examples/c/tour.c $(C_HEADERS) $(C_ARCHIVE) | $(C_SHARED)
	@mkdir -p $(@D)
	$(CC) $(C_STANDARD) $(C_WARNINGS) $(C_SANITIZERS) $(C_INCLUDES) $< $(C_LINK) -o $@

$(EXAMPLES_BUILD)/tour-cpp: examples/cpp/tour.cpp
$(EXAMPLES_BUILD)/test-cpp: examples/cpp/opjournal_test.cpp
$(EXAMPLES_BUILD)/tour-cpp $(EXAMPLES_BUILD)/test-cpp: examples/cpp/opjournal.hpp $(C_HEADERS) $(C_ARCHIVE)
	@mkdir -p $(@D)
	$(CXX) -std=c++17 $(C_WARNINGS) $(C_SANITIZERS) $(C_INCLUDES) $(filter %.cpp,$^) -L$(BUILD)/lib -lopjournal_c $(C_DL_LIBS) -pthread -o $@

$(EXAMPLES_BUILD)/tour-cpp-linked: examples/cpp/tour.cpp examples/cpp/opjournal.hpp $(C_HEADERS) $(C_ARCHIVE) | $(C_SHARED)
	@mkdir -p $(@D)
	$(CXX) -std=c++17 $(C_WARNINGS) $(C_SANITIZERS) $(C_INCLUDES) -DOPJOURNAL_LINKED $< $(C_LINK) -pthread -o $@

# See mk/demo.mk for the variable.
examples-go: $(BUILD)/lib/pkgconfig/opjournal.pc | $(C_SHARED)
	@mkdir -p $(EXAMPLES_BUILD)
	@test -z "$$(gofmt -l examples/go)" || { gofmt -d examples/go; exit 1; }
	@export CGO_LDFLAGS='-L$(abspath $(BUILD)/lib)' PKG_CONFIG_PATH=$(abspath $(BUILD)/lib/pkgconfig) && \
	    go vet -C examples/go . && go build -C examples/go -o $(abspath $(EXAMPLES_BUILD))/tour-go .
