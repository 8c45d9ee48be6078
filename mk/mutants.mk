# make mutants           whether the simulation notices every change of the engine that takes a defence of the journal away
# make mutants-record    the same, and puts the table into docs/simulation.md
# make mutants MUTANTS_FLAGS='--figures FILE'    the figures as JSON

MUTANTS_FLAGS ?=

.PHONY: mutants mutants-record

mutants:
	@$(CARGO) run --locked --quiet -p opjournal-simulation --profile simulation --bin mutants -- $(MUTANTS_FLAGS)

mutants-record: MUTANTS_FLAGS += --table docs/simulation.md
mutants-record: mutants
