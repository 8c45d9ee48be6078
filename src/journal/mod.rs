//! The journal engine: order, group commit, sync, fold and settling. It knows the store through its trait, and time
//! only as it is given.
//!
//! Where is what:
//!
//! - Pure decisions, each readable beside its paragraph in `docs/engine.md`: [`timing`] (the constants), [`clock`]
//!   (store time), [`key`] (names), [`segment`] and [`rollup`] (objects), [`replay`] (order to state), [`memory`] (what
//!   is held, and how a LIST and a rollup become a state), [`settle`] (what became of a write), [`fold`] (what is
//!   folded).
//! - What carries them out: [`requests`] and [`listing`] (the store), [`tick`] (one sync), [`sync`] (when), [`commit`]
//!   (writes), [`alarm`] (writes that are late), [`rewrite`] (rollups), [`helped`] (a write's way from its caller's thread), [`maintenance`] (folds, deletes), [`core`] (one open namespace), [`replica`] (all of them).

mod alarm;
mod clock;
mod commit;
mod core;
mod fold;
mod helped;
mod histogram;
mod key;
mod listing;
mod maintenance;
mod memory;
mod metrics;
mod outcomes;
mod quarantine;
mod replay;
mod replica;
mod requests;
mod rewrite;
mod rollup;
mod segment;
mod settle;
mod sync;
mod tick;
mod timing;
mod write;

/// The objects of a namespace as they lie in a store, for programs that look at a bucket without an engine.
pub mod objects {
    pub use super::key::{METADATA, Places, QUARANTINE, SegmentKey};
    pub use super::rollup::{Chain, Count, Head, LastFolded, Mark, Proof, Rollup, encode, read, read_head};
    pub use super::segment::{Content, Place, Segment};
}

use self::core::{Core, count};
use self::helped::Helped;
use self::replica::Replica;
use self::write::{GivenUp, Ticket};
use crate::config::Settings;
use crate::environment::{Environment, until};
use crate::error::{Error, Status};
use crate::ops;
use crate::store::{Failure, Store};
use crate::time::Reading;
use serde_json::Value;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

/// A replica: one store, opened once. Cheap to clone; the last clone ends what [`Journal::close`] did not.
#[derive(Clone)]
pub struct Journal {
    replica: Arc<Ending>,
}

/// Ends the tasks of a replica that nobody holds any more.
struct Ending(Arc<Replica>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end_all();
    }
}

/// A handle on one namespace of a journal. Batches submitted through it apply in the order of submission. Cheap to
/// clone: clones are the same handle, which [`Namespace::close`] or dropping the last of them gives up.
#[derive(Clone)]
pub struct Namespace {
    handle: Arc<Handle>,
}

struct Handle {
    core: Arc<Core>,
    is_closed: AtomicBool,
    /// A namespace outlives the journal's own handle.
    _journal: Journal,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.close();
    }
}

impl Handle {
    fn close(&self) {
        if !self.is_closed.swap(true, Ordering::SeqCst) {
            self.core.replica.release(&self.core);
        }
    }
}

/// A batch that was accepted, and how to await it or give it up. Cheap to clone.
#[derive(Clone)]
pub struct Write {
    core: Arc<Core>,
    ticket: Arc<Ticket>,
    number: u64,
}

/// An acknowledged batch.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The key of the segment that holds it: `segment-<uuid>.json`.
    pub segment: Arc<str>,
}

/// What `close` leaves open.
#[derive(Clone, Debug, Default)]
pub struct Closed {
    /// Segments whose outcome is still unknown, as `namespace/segment-<uuid>.json`.
    pub unknown: Vec<String>,
}

impl Journal {
    /// Checks that the store is there and that it may be read. Never writes. Returns with the first answer of the
    /// store, or with UNAVAILABLE at `deadline`.
    pub async fn open(
        settings: Settings,
        store: Arc<dyn Store>,
        environment: Arc<dyn Environment>,
        deadline: Option<Reading>,
    ) -> Result<Journal, Error> {
        let replica = Arc::new(Replica::new(settings, store, environment.clone()));
        let look = replica.requests.list_page(key::METADATA, None);
        match until(&environment, deadline, look).await {
            Ok(Ok(_)) => Ok(Journal { replica: Arc::new(Ending(replica)) }),
            Ok(Err(failure)) => Err(Failure::into_error(failure).with("store", replica.requests.store.url())),
            Err(_) => {
                let message = format!("{} gave no answer in time", replica.requests.store.url());
                Err(Error::new(Status::Unavailable, message).with("store", replica.requests.store.url()))
            }
        }
    }

    /// Opens a namespace, and returns once its first tick is done. At the deadline: the error of the last tick, or
    /// TIMED_OUT. The same name again gives another handle on the same namespace.
    ///
    /// Fails at once, whatever the deadline, where waiting does not help: INVALID (the name), CLOSED, DENIED,
    /// NO_SUCH_STORE, UNREADABLE (unless `allow_degraded`), ROLLUP_LOST.
    pub async fn namespace(&self, name: &str, deadline: Option<Reading>) -> Result<Namespace, Error> {
        let core = self.replica.0.open_namespace(name)?;
        let handle = Handle { core, is_closed: AtomicBool::new(false), _journal: self.clone() };
        sync::first_tick(&handle.core, deadline).await?;
        if !self.replica.0.settings.allow_degraded {
            sync::check_readable(&handle.core)?;
        }
        Ok(Namespace { handle: Arc::new(handle) })
    }

    /// Stops taking work, waits for what is on its way until `deadline`, and always closes. `Err` (TIMED_OUT, `unknown`
    /// among the details) where something stays open. Closing twice is fine.
    pub async fn close(&self, deadline: Option<Reading>) -> Result<Closed, Error> {
        let unknown = self.replica.0.close(deadline).await;
        if unknown.is_empty() {
            return Ok(Closed::default());
        }
        let message = format!("the journal is closed; the outcome of {} is unknown", unknown.join(", "));
        Err(Error { outcome: crate::Outcome::Unknown, retryable: false, ..Error::new(Status::TimedOut, message) }.with("unknown", unknown))
    }

    /// Figures for people and monitors: requests by kind, and for each open namespace what it holds and did. Never
    /// waits.
    pub fn stats(&self) -> Value {
        self.replica.0.stats()
    }
}

impl Namespace {
    pub fn name(&self) -> &str {
        &self.handle.core.name
    }

    /// Checks and encodes a batch (one op or an array of ops) and puts it in line. Never waits: BUSY past
    /// `waiting_bytes`. At `deadline` the write ends: TIMED_OUT with outcome none where it was not yet sent, unknown
    /// where it was.
    pub fn submit(&self, ops: &[u8], deadline: Option<Reading>) -> Result<Write, Error> {
        self.counted(self.take_in(ops, deadline, None))
    }

    /// The same for a caller that will wait: where nothing else is on its way, it does on this thread what can be done
    /// at once to send the batch, instead of waking another for it. Takes as long as it takes to encode the batch. To be
    /// called where the environment's tasks may run (in a tokio runtime, where that is what runs them).
    pub fn submit_here(&self, ops: &[u8], deadline: Option<Reading>) -> Result<Write, Error> {
        let committer = self.handle.core.committer.get().and_then(Weak::upgrade);
        self.counted(self.take_in(ops, deadline, committer))
    }

    fn counted(&self, taken: Result<Write, Error>) -> Result<Write, Error> {
        taken.inspect_err(|_| count(&self.handle.core.figures.refused))
    }

    fn take_in(&self, ops: &[u8], deadline: Option<Reading>, committer: Option<Arc<Helped>>) -> Result<Write, Error> {
        let core = &self.handle.core;
        self.check_open()?;
        let settings = &core.replica.settings;
        if settings.read_only {
            return Err(Error::new(Status::ReadOnly, "the journal was opened with read_only"));
        }
        let limits = &settings.limits;
        let batch = ops::submit(ops, limits)?;
        if batch.encoded.len() + segment::ENVELOPE > limits.segment_bytes {
            let message = format!(
                "the batch is {} bytes long, over the {} bytes of a segment (limits.segment_bytes)",
                batch.encoded.len(),
                limits.segment_bytes
            );
            return Err(Error::new(Status::TooLarge, message));
        }
        core.check_room(batch.encoded.len(), limits.state_bytes)?;
        // Before the committer is told, or it would be woken elsewhere.
        let step = committer.as_ref().and_then(Helped::help);
        let mut line = core.line();
        // Looked at under the lock that a closing committer looks under.
        self.check_open()?;
        let Some(entered) = line.push(batch.encoded, deadline, limits.waiting_bytes) else {
            let message = format!("{} bytes wait to be sent already (limits.waiting_bytes is {})", line.bytes(), limits.waiting_bytes);
            return Err(Error::new(Status::Busy, message));
        };
        let is_alone = line.len() == 1 && !line.is_sending();
        drop(line);
        if entered.is_awaited {
            core.line_changed.notify_one();
        }
        if let Some(step) = step.filter(|_| is_alone) {
            step.run_for_task();
        }
        // Last: what is sent is on its way before another thread has to wake up.
        if entered.is_due_first {
            core.alarm_set.notify_one();
        }
        Ok(Write { core: core.clone(), ticket: entered.ticket, number: entered.number })
    }

    fn check_open(&self) -> Result<(), Error> {
        let core = &self.handle.core;
        if self.handle.is_closed.load(Ordering::SeqCst) || core.is_closing() || core.has_ended() {
            return Err(sync::closed(core));
        }
        Ok(())
    }

    /// Answers a query, or an array of them from one state, into `out` (which is cleared first). Never waits. Goes on
    /// while a close lets writes finish, and is CLOSED after it.
    pub fn query(&self, query: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        let core = &self.handle.core;
        if self.handle.is_closed.load(Ordering::SeqCst) || core.has_ended() {
            out.clear();
            return Err(sync::closed(core));
        }
        core.query(query, out)
    }

    /// Returns once everything that was acknowledged anywhere before this call is visible here.
    pub async fn flush(&self, deadline: Option<Reading>) -> Result<(), Error> {
        self.check_open()?;
        sync::flush(&self.handle.core, deadline).await
    }

    /// Moves an unreadable segment aside, and returns where it is now.
    pub async fn quarantine(&self, key: &str, deadline: Option<Reading>) -> Result<String, Error> {
        self.check_open()?;
        quarantine::quarantine(&self.handle.core, key, deadline).await
    }

    /// Gives this handle up. Accepted writes finish. The last handle closes the namespace.
    pub fn close(&self) {
        self.handle.close();
    }
}

impl Write {
    /// Waits for the outcome. Dropping the future neither withdraws nor loses the batch.
    pub async fn outcome(&self) -> Result<Applied, Error> {
        self.ticket.outcome().await
    }

    /// Has the outcome told to `listener`, once: now, where it is known already, or on whatever thread it becomes known. It must not wait, nor be
    /// long.
    pub fn listen(&self, listener: impl FnOnce(Result<Applied, Error>) + Send + 'static) {
        self.ticket.listen(Box::new(listener));
    }

    /// Gives the wait up: a batch that was not yet sent is withdrawn (CANCELLED, outcome none), one that was ends now
    /// (CANCELLED, outcome unknown, naming the segment). Does nothing where the outcome is known already.
    pub fn cancel(&self) {
        if self.ticket.give_up(Status::Cancelled, "the call was cancelled") == GivenUp::Withdrawn {
            self.core.line().remove(self.number);
            self.core.line_changed.notify_one();
        }
    }
}
