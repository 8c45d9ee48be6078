//! The journal engine.

use crate::config::Settings;
use crate::environment::Environment;
use crate::error::Error;
use crate::store::Store;
use crate::time::Reading;
use serde_json::Value;
use std::sync::Arc;

/// A replica: one store, opened once. Cheap to clone.
#[derive(Clone)]
pub struct Journal;

/// A handle on one namespace of a journal. Batches submitted through it apply in the order of submission. Cheap to clone.
#[derive(Clone)]
pub struct Namespace;

/// A batch that was accepted, and how to await it or give it up.
pub struct Write;

/// An acknowledged batch.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The key of the segment that holds it: `segment-<uuid>.json`.
    pub segment: String,
}

/// What `close` leaves open.
#[derive(Clone, Debug, Default)]
pub struct Closed {
    /// Segments whose outcome is still unknown, as `namespace/segment-<uuid>.json`.
    pub unknown: Vec<String>,
}

impl Journal {
    /// Checks that the store is there and that it may be read. Never writes. Runs until the first answer of the store or
    /// until `deadline`.
    pub async fn open(_settings: Settings, _store: Arc<dyn Store>, _environment: Arc<dyn Environment>, _deadline: Option<Reading>) -> Result<Journal, Error> {
        todo!()
    }

    /// Opens a namespace, and returns once its first tick is done. At the deadline: the error of the last tick, or TIMED_OUT.
    /// The same name again gives another handle on the same namespace.
    pub async fn namespace(&self, _name: &str, _deadline: Option<Reading>) -> Result<Namespace, Error> {
        todo!()
    }

    /// Stops taking work, waits for what is on its way until `deadline`, and always closes. `Err` (TIMED_OUT, `unknown` among
    /// the details) where something stays open. Closing twice is fine.
    pub async fn close(&self, _deadline: Option<Reading>) -> Result<Closed, Error> {
        todo!()
    }

    /// Figures for people and monitors. Never waits.
    pub fn stats(&self) -> Value {
        todo!()
    }
}

impl Namespace {
    pub fn name(&self) -> &str {
        todo!()
    }

    /// Checks and encodes a batch (one op or an array of ops) and puts it in line. Never waits: BUSY past `waiting_bytes`.
    /// At `deadline` the write ends: TIMED_OUT with outcome none where it was not yet sent, unknown where it was.
    pub fn submit(&self, _ops: &[u8], _deadline: Option<Reading>) -> Result<Write, Error> {
        todo!()
    }

    /// Answers a query, or an array of them from one state, into `out` (which is cleared first). Never waits.
    pub fn query(&self, _query: &[u8], _out: &mut Vec<u8>) -> Result<(), Error> {
        todo!()
    }

    /// Returns once everything that was acknowledged anywhere before this call is visible here.
    pub async fn flush(&self, _deadline: Option<Reading>) -> Result<(), Error> {
        todo!()
    }

    /// Moves an unreadable segment aside, and returns where it is now.
    pub async fn quarantine(&self, _key: &str, _deadline: Option<Reading>) -> Result<String, Error> {
        todo!()
    }

    /// Gives this handle up. Accepted writes finish. The last handle closes the namespace.
    pub fn close(&self) {
        todo!()
    }
}

impl Write {
    /// Waits for the outcome. Dropping the future neither withdraws nor loses the batch.
    pub async fn outcome(&self) -> Result<Applied, Error> {
        todo!()
    }

    /// Gives the wait up: a batch that was not yet sent is withdrawn (CANCELLED, outcome none), one that was ends now
    /// (CANCELLED, outcome unknown, naming the segment). Does nothing where the outcome is known already.
    pub fn cancel(&self) {
        todo!()
    }
}
