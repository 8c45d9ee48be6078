# make bench            the figures of docs/performance.md, measured on this machine; they are told, not judged: the exit status is 0 also where
#                       one is over its bar
# make bench-record     the same, and puts the table into docs/performance.md and the charts into docs/charts
# make bench BENCH_FLAGS='--entries 20000 --effort 0.1'    whether everything still runs, in a minute

BENCH_FLAGS ?=
BENCH_BUILD := $(BUILD)/bench

.PHONY: bench bench-record bench-programs bench-store bench-peers bench-go-program bench-price-program

bench: bench-programs
	@tests/servers/minio.sh run -- python3 benches/journal/run.py --programs $(abspath $(BENCH_BUILD)) \
	    --library $(abspath $(C_SHARED)) $(BENCH_FLAGS)

bench-record: BENCH_FLAGS += --record
bench-record: bench

bench-programs: $(BENCH_BUILD)/replica $(BENCH_BUILD)/replica-counting bench-store bench-peers bench-go-program

# The library as it is installed, whatever was built last: `lib` builds the profile that it is told, by default the release.
$(BENCH_BUILD)/replica $(BENCH_BUILD)/replica-counting: $(addprefix benches/journal/,replica.c reads.c replica.h) include/opjournal.h lib
	@mkdir -p $(@D)
	$(CC) $(C_STANDARD) $(C_WARNINGS) $(CFLAGS) -pthread -Iinclude $(filter %.c,$^) -L$(BUILD)/lib -Wl,-rpath,$(abspath $(BUILD)/lib) \
	    -lopjournal -o $@

# The same, and counts what is asked of the allocator.
$(BENCH_BUILD)/replica-counting: benches/journal/allocations.c

# The client of the bare PUTs is built just as the library is, so that the two can be compared.
bench-store:
	@mkdir -p $(BENCH_BUILD)
	$(CARGO) build --package opjournal-bench --profile $(PROFILE)
	cp $(CARGO_TARGET_DIR)/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))/opjournal-bench $(BENCH_BUILD)/store

bench-peers:
	@mkdir -p $(BENCH_BUILD)
	$(CARGO) build --locked --release --manifest-path benches/peers/Cargo.toml --target-dir $(CARGO_TARGET_DIR)/peers
	cp $(CARGO_TARGET_DIR)/peers/release/opjournal-peers $(BENCH_BUILD)/peers

# Go's build cache does not look at what pkg-config says, but it does look at this variable: another tree is another build.
bench-go-program bench-price-program: bench-%-program: lib $(BUILD)/lib/pkgconfig/opjournal.pc
	@mkdir -p $(BENCH_BUILD)
	CGO_LDFLAGS='-L$(abspath $(BUILD)/lib)' PKG_CONFIG_PATH=$(abspath $(BUILD)/lib/pkgconfig) \
	    go build -C benches/$* -o $(abspath $(BENCH_BUILD))/$* .

# make bench-price            what fleets cost: requests counted at a proxy and held against a formula; six minutes or so. It fails where the two
#                             differ
# make bench-price-record     the same, and puts the tables into docs/performance.md
# make price FLEET='-replicas 30 -namespaces 5 -writes 2'    computes what one fleet costs, and measures nothing; FLEET=-help tells the rest

FLEET ?= -help

.PHONY: bench-price bench-price-record price

bench-price: bench-price-program
	@tests/servers/minio.sh run -- $(BENCH_BUILD)/price $(PRICE_FLAGS)

bench-price-record: PRICE_FLAGS += -record docs/performance.md
bench-price-record: bench-price

price: bench-price-program
	@$(BENCH_BUILD)/price $(FLEET)
