// The programs of the soak that are written in Go. A module of its own: the binding's users need none of it.
module opjournal.dev/opjournal/tests/soak

go 1.24.0

require opjournal.dev/opjournal v0.0.0

replace opjournal.dev/opjournal => ../../bindings/go
