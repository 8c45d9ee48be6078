//! opjournal: shared counters, maps, sets, lists and scalars for a fleet of processes, kept in a plain S3 bucket.
//!
//! Data flows one way: [`ffi`] (the C ABI) -> [`journal`] (the engine) -> [`store`] (where objects are kept). Beneath the
//! engine lie pure rooms without I/O, clock or async: [`json`], [`ops`], [`state`] and [`query`]. `docs/architecture.md`
//! draws the whole on one page.

pub mod config;
pub mod environment;
pub mod error;
pub mod ffi;
pub mod journal;
pub mod json;
#[cfg(feature = "mutants")]
pub mod mutant;
#[cfg(not(feature = "mutants"))]
mod mutant;
pub mod ops;
pub mod query;
#[cfg(feature = "mutants")]
pub mod reached;
#[cfg(not(feature = "mutants"))]
mod reached;
pub mod state;
pub mod store;
pub mod time;

pub use config::Config;
pub use error::{Error, Outcome, Status};
pub use journal::{Journal, Namespace, Write};
