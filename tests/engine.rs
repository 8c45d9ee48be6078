//! The engine's behaviour, one scenario at a time, in the simulated world: what a replica does, what it asks of the store, and what it
//! says when an object is bad. `tests/simulation.rs` is the other half: random fleets under faults.

#[allow(dead_code)]
#[path = "simulation"]
mod simulation {
    pub mod dice;
    pub mod faults;
    pub mod store;
    pub mod world;
}

mod engine {
    mod close;
    mod fold;
    mod objects;
    mod panics;
    mod peer;
    mod stage;
    mod sync;
    mod write;
}
