# make soak MINUTES=10                 the library on real stores while processes are killed and the network fails: docs/soak.md
# make soak SEED=7 FIGURES=soak.json   the choices of an earlier run; the figures to a file
# make soak SOAK_FLAGS='--only s3'     see tests/soak/run.py --help
# make test-soak                       the same in less than a minute, and the tests of its checks: for CI

MINUTES ?= 10
SEED ?=
FIGURES ?=
SOAK_FLAGS ?=
SOAK_BUILD := $(BUILD)/soak

.PHONY: soak test-soak soak-programs soak-server

soak: soak-programs soak-server
	@python3 tests/soak/run.py --programs $(SOAK_BUILD) --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) $(if $(FIGURES),--figures $(FIGURES)) $(SOAK_FLAGS)

test-soak: soak-programs soak-server
	@test -z "$$(gofmt -l tests/soak)" || { gofmt -d tests/soak; exit 1; }
	@CGO_LDFLAGS='-L$(abspath $(BUILD)/lib)' PKG_CONFIG_PATH=$(abspath $(BUILD)/lib/pkgconfig) go vet -C tests/soak ./...
	@python3 tests/soak/check_test.py
	@python3 tests/soak/run.py --programs $(SOAK_BUILD) --minutes 0.4 --late-by 6 --workers 2 $(if $(SEED),--seed $(SEED)) $(SOAK_FLAGS)

soak-server:
	@tests/servers/install.sh minio

soak-programs: $(SOAK_BUILD)/worker-c $(BUILD)/lib/pkgconfig/opjournal.pc
	@# See mk/demo.mk for the variable.
	@CGO_LDFLAGS='-L$(abspath $(BUILD)/lib)' PKG_CONFIG_PATH=$(abspath $(BUILD)/lib/pkgconfig) \
	    go build -C tests/soak -o $(abspath $(SOAK_BUILD))/worker-go ./worker
	@go build -C tests/soak -o $(abspath $(SOAK_BUILD))/proxy ./proxy

$(SOAK_BUILD)/worker-c: tests/soak/worker.c $(C_HEADERS) $(C_ARCHIVE) | $(C_SHARED)
	@mkdir -p $(@D)
	$(CC) $(C_STANDARD) $(C_WARNINGS) $(CFLAGS) $(C_INCLUDES) $< $(C_LINK) -lpthread -o $@
