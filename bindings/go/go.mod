module opjournal.dev/opjournal

go 1.24.0
