# make command      the command `opjournal` with its manual pages and the completions of its arguments, under build/bin and build/share
# Needs from mk/lib.mk: CARGO, PROFILE.

COMMAND := $(BUILD)/bin/opjournal
COMMAND_BUILT := $(CARGO_TARGET_DIR)/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))/opjournal
MANUAL := $(BUILD)/share/man/man1
COMPLETIONS := $(BUILD)/share/completions
# The name that each shell looks for.
COMPLETION_bash := opjournal
COMPLETION_zsh := _opjournal
COMPLETION_fish := opjournal.fish
SHELLS := bash zsh fish

.PHONY: command command-binary

command: $(COMMAND)

# Cargo knows best what is stale.
command-binary:
	$(CARGO) build --locked --package opjournal-cli --profile $(PROFILE)

$(COMMAND_BUILT): command-binary ;

# Manual and completions are the command's own word on its arguments.
$(COMMAND): $(COMMAND_BUILT)
	@mkdir -p $(@D) $(BUILD)/share
	rm -rf $(MANUAL) $(COMPLETIONS)
	mkdir -p $(MANUAL) $(COMPLETIONS)
	$(COMMAND_BUILT) manual $(MANUAL)
	$(foreach shell,$(SHELLS),$(COMMAND_BUILT) completions $(shell) > $(COMPLETIONS)/$(COMPLETION_$(shell)) &&) true
	cp $(COMMAND_BUILT) $@
