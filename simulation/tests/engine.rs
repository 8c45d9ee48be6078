//! The engine's behaviour, one scenario at a time, in the simulated world: what a replica does, what it asks of the store, and what it
//! says when an object is bad. `opjournal-simulation run` is the other half: random fleets under faults.

mod engine {
    mod close;
    mod fold;
    mod metrics;
    mod objects;
    mod panics;
    mod peer;
    mod stage;
    mod sync;
    mod tampering;
    mod write;
}
