# make service                 the example service: three replicas on a MinIO of their own, and the page that shows them, until Ctrl-C
# make test-service            the same as tests: load, a killed replica, a store that goes away (examples/go-service/README.md)
# make test-service FULL=1     a longer load, and the page in Chromium
# make service-picture         docs/images/service.png anew

SERVICE := $(BUILD)/service/go-service

.PHONY: service test-service service-picture service-program

# See mk/demo.mk for the variable.
service-program: $(BUILD)/lib/pkgconfig/opjournal.pc | $(C_SHARED)
	@tests/servers/install.sh minio
	@CGO_LDFLAGS='-L$(abspath $(BUILD)/lib)' PKG_CONFIG_PATH=$(abspath $(BUILD)/lib/pkgconfig) \
	    go build -C examples/go-service -o $(abspath $(SERVICE)) .

service: service-program
	@exec python3 tests/service/show.py

test-service: service-program
	@python3 tests/service/test.py $(if $(FULL),--full)

service-picture: service-program
	@python3 tests/service/show.py --picture docs/images/service.png
