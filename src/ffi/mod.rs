//! The C ABI: handles, buffers, queues, panics, text in and out. The rules that hold for every function stand at the top of
//! `include/opjournal.h`, which is generated from the files of this room (its text begins in `cbindgen.toml`).
//!
//! One file for each kind of handle ([`journal`], [`namespace`], [`queue`]) with the functions that take it, and beneath them what they share:
//! [`boundary`] (no panic leaves, every failure becomes JSON), [`input`] and [`timeout`] (arguments in), [`buffer`] (results out), [`table`]
//! (what a handle stands for), [`completions`] (the inside of a queue), [`process`] (the one runtime, fork, signals) and [`record`] (log records).
//!
//! This room knows the engine's public API and nothing of any store.

// The comments of the exported functions are written for the header, whose rules say what a pointer must be.
#![allow(clippy::missing_safety_doc)]

mod boundary;
mod buffer;
mod completions;
mod descriptor;
mod input;
mod journal;
mod log;
mod namespace;
mod process;
mod queue;
mod record;
mod status;
mod table;
mod timeout;

pub use buffer::*;
pub use journal::*;
pub use log::*;
pub use namespace::*;
pub use queue::*;
pub use status::*;
pub use timeout::*;
