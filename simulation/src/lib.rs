//! A fleet of real engines in one thread, under a clock, a network and a store that a seed decides, with every promise of the
//! journal that a client can see checked by code that shares nothing with the engine. `docs/simulation.md` tells how it works.
//!
//! A package of its own, because it builds the engine with its mutants, which no other build knows.

pub mod aim;
pub mod batches;
pub mod campaign;
pub mod checker;
pub mod columns;
pub mod coverage;
pub mod dice;
pub mod faults;
pub mod fleet;
pub mod folds;
pub mod history;
pub mod loud;
pub mod model;
pub mod mutants;
pub mod operator;
pub mod peer;
pub mod plan;
pub mod quiet;
pub mod run;
pub mod settled;
pub mod shrink;
pub mod store;
#[cfg(test)]
mod store_tests;
pub mod unreadable;
pub mod variety;
pub mod world;
