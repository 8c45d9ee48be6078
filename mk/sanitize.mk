# make miri             everything that Miri can run; miri-quick: the part that CI runs
# make sanitize         the C tests with the library under the address, undefined-behaviour and thread sanitizers, and under valgrind
# make sanitize-asan    one of them; likewise sanitize-ubsan, sanitize-tsan, sanitize-valgrind; CALLS=N for the hostile program's part
# make hostile          CALLS=1000000 SEED=1 THREADS=6 (these if nothing is said): that many hostile calls on the library as it is installed
# Each takes FIGURES=FILE, where it writes what it ran and found, as JSON. docs/sanitizers.md says what each one sees.

CALLS   ?=
SEED    ?=
THREADS ?= 6
FIGURES ?=

SANITIZERS := asan ubsan tsan valgrind

.PHONY: miri miri-quick sanitize sanitize-quick hostile $(addprefix sanitize-,$(SANITIZERS))

miri:
	@python3 scripts/miri.py $(if $(FIGURES),--figures '$(FIGURES)') full

miri-quick:
	@python3 scripts/miri.py $(if $(FIGURES),--figures '$(FIGURES)') quick

sanitize:
	@python3 scripts/sanitize.py $(if $(CALLS),--calls $(CALLS)) --seed $(or $(SEED),1) $(if $(FIGURES),--figures '$(FIGURES)') $(SANITIZERS)

# What CI runs of it: the two whose builds see into the library.
sanitize-quick:
	@python3 scripts/sanitize.py $(if $(CALLS),--calls $(CALLS)) --seed $(or $(SEED),1) $(if $(FIGURES),--figures '$(FIGURES)') asan tsan

$(addprefix sanitize-,$(SANITIZERS)): sanitize-%:
	@python3 scripts/sanitize.py $(if $(CALLS),--calls $(CALLS)) --seed $(or $(SEED),1) $(if $(FIGURES),--figures '$(FIGURES)') $*

# The library in $(BUILD)/lib is built where it is missing, and left alone where it is there.
hostile: $(BUILD)/tests/hostile
	@stores=$$(mktemp -d) && trap 'rm -rf "$$stores"' EXIT && OPJOURNAL_TEST_DIR="$$stores" FIGURES='$(FIGURES)' LD_LIBRARY_PATH='$(abspath $(BUILD)/lib)' $< $(or $(CALLS),1000000) $(THREADS) $(or $(SEED),1) || { echo 'not ok hostile'; exit 1; }

$(BUILD)/tests/hostile: $(wildcard tests/c/hostile/*.[ch]) $(wildcard tests/c/*.h) include/opjournal.h $(if $(wildcard $(BUILD)/lib/libopjournal.so),,lib)
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(C_WARNINGS) -g -O1 -Iinclude $(filter %.c,$^) -L$(BUILD)/lib -lopjournal -pthread -o $@
