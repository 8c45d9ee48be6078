# make demo         two writers in two languages on a directory of this machine; one is killed and comes back; all agree
# make test         builds and passes everything; the last line is "N passed, N failed"
# make verify       the same and more at full length, in hours; puts its figures into docs/verification.md
# make test-examples    the program of examples/ in six languages, against each other
# make service      the example service: three replicas on one bucket, and a page that shows them (make test-service: its tests)
# make demo-s3      the demo on a MinIO server that it builds and starts itself
# make lib          the library, shared and static, under build/lib
# make command      the command opjournal, its manual pages and completions, under build/bin and build/share
# make install      PREFIX=/usr/local DESTDIR=: library and command; make install-library, make install-command: one of them
# make deb          Debian's packages; make dist: the source archive; make go-module: see mk/packages.mk
# make abi-check    whether the C ABI only grew since the last release
# make soak         MINUTES=10: real stores, killed processes, a network that fails; nothing may be lost or doubled (docs/soak.md)
# make sim          SEEDS=1000000: whole fleets under simulated faults (docs/simulation.md)
# make mutants      whether the simulation notices every defence of the journal that is taken away
# make bench        the figures of docs/performance.md, as ratios in one run
# make instructions the instructions of the inner paths, held to those of benches/instructions/baseline.json (docs/performance.md)
# make sanitize     the C tests under sanitizers and valgrind; make miri, make hostile CALLS=1000000: see mk/sanitize.mk
# make fuzz         the fuzz targets, a minute each; mk/fuzz.mk says what else can be asked for
# make header       writes include/opjournal.h anew from src/ffi
# make format       formats Rust and Go

BUILD := build

.DEFAULT_GOAL := lib

include mk/lib.mk
include mk/c.mk
include mk/command.mk
include mk/install.mk
include mk/packages.mk
include mk/demo.mk
include mk/examples.mk
include mk/service.mk
include mk/soak.mk
include mk/simulation.mk
include mk/mutants.mk
-include mk/bench.mk
include mk/instructions.mk
include mk/fuzz.mk
include mk/sanitize.mk

# Installing builds what is missing; `make lib command` first and `make install` as root works as well.
install-library: $(if $(wildcard $(BUILD)/lib/libopjournal.a),,lib)
install-command: $(if $(wildcard $(COMMAND)),,command)

demo-programs: $(if $(wildcard $(BUILD)/lib/libopjournal.so),,lib)

.PHONY: test verify header format servers clean

test:
	@python3 scripts/test.py

verify:
	@python3 scripts/verify.py

# The S3 servers of the tests, in a cache outside the clone.
servers:
	@tests/servers/install.sh

header:
	OPJOURNAL_UPDATE=1 $(CARGO) test --test header

format:
	$(CARGO) fmt
	gofmt -w bindings/go examples benches

clean:
	rm -rf $(BUILD)
