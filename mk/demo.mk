# make demo: two writers in two languages on a directory, killed and restarted. make demo-s3: the same on a MinIO of its own.

.PHONY: demo demo-s3 demo-programs

demo-programs: $(C_BUILD)/examples/demo $(C_BUILD)/examples/dlopen $(BUILD)/lib/pkgconfig/opjournal.pc
	@mkdir -p $(BUILD)/go
	@# Go's build cache does not look at what pkg-config says, but it does look at this variable: another tree is another build.
	CGO_LDFLAGS='-L$(abspath $(BUILD)/lib)' PKG_CONFIG_PATH=$(abspath $(BUILD)/lib/pkgconfig) \
	    go build -C bindings/go -o $(abspath $(BUILD)/go)/opjournal-demo ./cmd/opjournal-demo

demo: demo-programs
	@directory=$$(mktemp -d) && trap 'rm -rf "$$directory"' EXIT && BUILD=$(BUILD) sh scripts/demo.sh "file://$$directory"

demo-s3: demo-programs
	@BUILD=$(BUILD) tests/servers/minio.sh run -- sh -c 'exec sh scripts/demo.sh "s3://$$OPJOURNAL_TEST_BUCKET/demo"'
