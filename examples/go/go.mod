module opjournal.dev/opjournal/examples/go

go 1.24.0

require opjournal.dev/opjournal v0.0.0

replace opjournal.dev/opjournal => ../../bindings/go
