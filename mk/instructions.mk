# make instructions           counts the instructions of the inner paths with callgrind, and fails where a path takes more than 5 % more than
#                             benches/instructions/baseline.json says
# make instructions-record    writes that file anew
# docs/performance.md says what the paths are.

INSTRUCTIONS_BUILD := $(BUILD)/instructions

.PHONY: instructions instructions-record instructions-programs

instructions: instructions-programs
	@python3 scripts/instructions.py $(INSTRUCTIONS_FLAGS) $(INSTRUCTIONS_BUILD)

instructions-record: INSTRUCTIONS_FLAGS := --record
instructions-record: instructions

instructions-programs: $(INSTRUCTIONS_BUILD)/abi
	$(CARGO) build --locked --release --package opjournal-instructions
	cp $(CARGO_TARGET_DIR)/release/opjournal-instructions $(INSTRUCTIONS_BUILD)/inner

# The library as it is installed, whatever was built last.
$(INSTRUCTIONS_BUILD)/abi: benches/instructions/abi.c include/opjournal.h lib
	@mkdir -p $(@D)
	$(CC) $(C_STANDARD) $(C_WARNINGS) $(CFLAGS) -Iinclude $< -L$(BUILD)/lib -Wl,-rpath,$(abspath $(BUILD)/lib) -lopjournal -o $@
