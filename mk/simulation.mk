# The simulation: seeds of whole fleets on all cores. docs/simulation.md tells what it does.
#
#   make sim                      1000 seeds
#   make sim SEEDS=1000000        more; interrupted, it goes on where it stood
#   make sim SEEDS=5000..6000     these
#   make sim SIM="--for 120 --afresh"
#
# Replay a seed: target/campaign/opjournal-simulation replay --seed 17 --trace

SEEDS ?=
SIM ?=

.PHONY: sim

sim:
	$(CARGO) build --locked -p opjournal-simulation --bin opjournal-simulation --profile campaign
	nice $(or $(CARGO_TARGET_DIR),target)/campaign/opjournal-simulation run $(if $(SEEDS),--seeds $(SEEDS)) $(SIM)
