//! One open namespace: what its handles and its tasks share.
//!
//! Four tasks work on it: the committer (`commit`) sends batches, the alarm (`alarm`) ends the wait for those that are late, the syncer (`sync`)
//! runs ticks, and maintenance folds and deletes. Each lock guards one thing, is held for a short computation and never across a wait; where two
//! are needed, `memory` comes first.

use super::fold::Due;
use super::helped::Helped;
use super::key::{KeyMaker, Places, SegmentKey};
use super::listing::Listing;
use super::memory::Memory;
use super::metrics;
use super::outcomes::Outcomes;
use super::replica::Replica;
use super::rollup::Mark;
use super::settle::Verdict;
use super::write::{Line, Pending, Ticket};
use crate::environment::fraction;
use crate::error::{Error, Status};
use crate::mutant::{self, Mutant};
use crate::query::QueryContext;
use crate::state::State;
use crate::time::Reading;
use arc_swap::ArcSwap;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use tokio::sync::{Notify, oneshot, watch};

/// A version of the state, as queries see it. Immutable.
pub struct Version {
    pub state: State,
    pub mark: Mark,
    /// When the LIST of the last good tick began; absent before the first.
    pub listed_at: Option<Reading>,
}

/// How the ticks of a namespace went. Ticks are numbered from 1, in the order of their beginning.
#[derive(Clone, Default)]
pub struct Ticks {
    pub begun: u64,
    pub ended: u64,
    /// The last good one.
    pub good: u64,
    /// Why the last one failed, if it did.
    pub error: Option<Error>,
}

/// Figures for `stats`.
#[derive(Default)]
pub struct Figures {
    pub batches: AtomicU64,
    pub segments: AtomicU64,
    pub refused: AtomicU64,
    pub unknown: AtomicU64,
    pub settled_applied: AtomicU64,
    pub settled_failed: AtomicU64,
    pub ticks: AtomicU64,
    pub elided: AtomicU64,
    pub failed_ticks: AtomicU64,
    pub folds: AtomicU64,
    pub lost_folds: AtomicU64,
    pub advanced: AtomicU64,
    pub downloaded: AtomicU64,
    pub written_forward: AtomicU64,
    pub deleted: AtomicU64,
    pub strays: AtomicU64,
    pub void_own: AtomicU64,
    pub vanished: AtomicU64,
    pub quarantined: AtomicU64,
}

/// Failures of one kind in a row. A store that is down, or that takes a right away, should not fill a disk with messages.
#[derive(Default)]
pub struct InARow(AtomicU32);

impl InARow {
    /// Counts one more. How many there were, where that is worth a message: at the first, and ever more rarely after it.
    pub fn again(&self) -> Option<u32> {
        let failures = self.0.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        failures.is_power_of_two().then_some(failures)
    }

    /// It went well.
    pub fn over(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// Adds one.
pub fn count(figure: &AtomicU64) {
    figure.fetch_add(1, Ordering::Relaxed);
}

pub struct Core {
    pub name: String,
    pub places: Places,
    pub replica: Arc<Replica>,
    memory: Mutex<Memory>,
    version: ArcSwap<Version>,
    /// Versions that a query may still be reading: no query should be the one to free a large one.
    retired: Mutex<Vec<Arc<Version>>>,
    keys: Mutex<KeyMaker>,
    line: Mutex<Line>,
    /// Something came into the line, or no more will.
    pub line_changed: Notify,
    /// The task that sends what is in line. It holds this core, not the other way round.
    pub committer: OnceLock<Weak<Helped>>,
    outcomes: Mutex<Outcomes>,
    /// The line's alarm was set to an earlier time.
    pub alarm_set: Notify,
    /// The segment that was on its way, or open, was settled.
    pub sent_settled: Notify,
    /// Where the committer waits for the open segment's verdict.
    settling: Mutex<Option<oneshot::Sender<Verdict>>>,
    pub ticks: watch::Sender<Ticks>,
    /// A tick is due now.
    pub tick_wanted: Notify,
    /// A listing that another namespace's tick took along.
    given: Mutex<Option<Listing>>,
    /// The reading of the last call that waits for a tick.
    last_call: AtomicU64,
    /// No more batches are taken in.
    is_closing: AtomicBool,
    /// The tasks are to end.
    ended: watch::Sender<bool>,
    /// The same, for queries, which take no lock.
    has_ended: AtomicBool,
    /// The committer has ended.
    stopped: watch::Sender<bool>,
    /// The log was told that the rollup is gone or too old, and that this replica may not put it back.
    pub was_loss_told: AtomicBool,
    /// Maintenance is at work.
    pub is_maintained: AtomicBool,
    pub fold_due: Due,
    pub refused_segments: InARow,
    pub failed_folds: InARow,
    pub failed_deletes: InARow,
    pub figures: Figures,
}

impl Core {
    pub fn new(name: &str, places: Places, replica: Arc<Replica>) -> Core {
        let environment = &replica.requests.environment;
        let writer = format!("{:016x}{:016x}", environment.random(), environment.random());
        let memory = Memory::new(writer, environment.now());
        let version = Version { state: memory.state().clone(), mark: memory.mark().clone(), listed_at: None };
        let fold_due = Due::new(&replica.settings.compaction, fraction(environment));
        Core {
            name: name.to_owned(),
            places,
            replica,
            memory: Mutex::new(memory),
            version: ArcSwap::from_pointee(version),
            retired: Mutex::default(),
            keys: Mutex::default(),
            line: Mutex::default(),
            line_changed: Notify::new(),
            committer: OnceLock::new(),
            outcomes: Mutex::default(),
            alarm_set: Notify::new(),
            sent_settled: Notify::new(),
            settling: Mutex::default(),
            ticks: watch::Sender::default(),
            tick_wanted: Notify::new(),
            given: Mutex::default(),
            last_call: AtomicU64::new(0),
            is_closing: AtomicBool::new(false),
            ended: watch::Sender::new(false),
            has_ended: AtomicBool::new(false),
            stopped: watch::Sender::new(false),
            was_loss_told: AtomicBool::new(false),
            is_maintained: AtomicBool::new(false),
            fold_due,
            refused_segments: InARow::default(),
            failed_folds: InARow::default(),
            failed_deletes: InARow::default(),
            figures: Figures::default(),
        }
    }

    // A panic in another thread may leave a lock poisoned; what it guards is replaced as a whole or not at all, so it
    // is sound still.
    pub fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn keys(&self) -> MutexGuard<'_, KeyMaker> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn outcomes(&self) -> MutexGuard<'_, Outcomes> {
        self.outcomes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn settling(&self) -> MutexGuard<'_, Option<oneshot::Sender<Verdict>>> {
        self.settling.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes what `memory` holds visible to queries, at once and whole. The guard shows that nobody changes it
    /// meanwhile, so versions appear in the order in which they were made.
    pub fn publish(&self, memory: &MutexGuard<'_, Memory>) {
        let listed_at = memory.last_list_began();
        let version = Version { state: memory.state().clone(), mark: memory.mark().clone(), listed_at };
        let before = self.version.swap(Arc::new(version));
        debug_assert!(before.mark <= *memory.mark(), "the mark never goes back");
        let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        retired.push(before);
        let (unused, used) = std::mem::take(&mut *retired).into_iter().partition(|version| Arc::strong_count(version) == 1);
        *retired = used;
        let unused: Vec<Arc<Version>> = unused;
        drop(retired);
        drop(unused);
    }

    /// Answers a query, or an array of them from one version.
    pub fn query(&self, request: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        out.clear();
        let version = self.version.load();
        if version.listed_at.is_none() && !mutant::is_on(Mutant::EmptyBeforeTheFirstTick) {
            let message = format!("namespace {:?} had no good tick yet, so its state is not known", self.name);
            return Err(Error::new(Status::NotReady, message));
        }
        let context = Context { core: self, version: &version };
        crate::query::answer(request, &version.state, &context, out).map_err(Error::from)
    }

    /// How old the state may be: the time since the LIST of the last good tick began.
    pub fn age_ms(&self) -> Option<u64> {
        let listed_at = self.version.load().listed_at?;
        Some(self.replica.requests.now().since(listed_at).as_millis() as u64)
    }

    /// Makes a tick due.
    pub fn want_tick(&self) {
        self.tick_wanted.notify_one();
    }

    /// Somebody waits, from now on, for a tick whose LIST is yet to begin.
    pub fn note_call(&self) {
        self.last_call.fetch_max(self.replica.requests.now().0, Ordering::SeqCst);
    }

    /// Whether a LIST that began at `began` answers everybody who waits.
    pub fn is_after_calls(&self, began: Reading) -> bool {
        began.0 > self.last_call.load(Ordering::SeqCst)
    }

    /// Hands a listing over that another namespace's tick took along, unless this namespace has joined a later one.
    pub fn give(&self, listing: Listing) {
        if self.memory().has_overtaken(&listing) {
            return;
        }
        *self.given.lock().unwrap_or_else(PoisonError::into_inner) = Some(listing);
        self.want_tick();
    }

    pub fn take_given(&self) -> Option<Listing> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Stops taking batches in, or starts again (`false`) where the namespace is opened while it was closing.
    pub fn set_closing(&self, is_closing: bool) {
        self.is_closing.store(is_closing, Ordering::SeqCst);
        self.line_changed.notify_one();
    }

    pub fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::SeqCst)
    }

    /// Ends the tasks, whatever they are at.
    pub fn end(&self) {
        self.has_ended.store(true, Ordering::SeqCst);
        self.ended.send_replace(true);
    }

    pub fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::SeqCst)
    }

    /// Waits until the tasks are to end.
    pub async fn until_ended(&self) {
        // The sender lives in `self`, so this ends only when it says so.
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }

    /// For a task without which the namespace is no use: where it stops before the namespace ends, by a panic, the namespace ends with it.
    pub fn ends_with(&self, task: &'static str) -> EndsWith<'_> {
        EndsWith { core: self, task }
    }

    /// Runs `task` until it ends or the namespace does.
    pub async fn until_end<T>(&self, task: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.until_ended() => None,
            value = task => Some(value),
        }
    }

    /// Refuses everything that is still in line.
    pub fn refuse_all(&self, error: &Error) {
        let refused: Vec<Pending> = self.line().take_all();
        for pending in refused {
            pending.ticket.finish(Err(error.clone()));
        }
    }

    /// The committer has ended: nobody is left waiting for it.
    pub fn stop(&self) {
        self.refuse_all(&Error::new(Status::Closed, "the journal was closed before the batch was sent; it never takes effect"));
        for ticket in self.take_sent() {
            ticket.give_up(Status::Closed, "the journal was closed");
        }
        self.stopped.send_replace(true);
    }

    /// Waits until the committer has ended.
    pub async fn until_stopped(&self) {
        // The sender lives in `self`, so this ends only when it says so.
        let _ = self.stopped.subscribe().wait_for(|stopped| *stopped).await;
    }

    /// The segment was settled, one way or another: nobody has to wait for it any more.
    pub fn take_sent(&self) -> Vec<Arc<Ticket>> {
        let tickets = self.line().take_sent();
        self.sent_settled.notify_waiters();
        tickets
    }

    /// The segment that is not settled although some caller was told that its outcome is unknown, or although its PUT
    /// was given up.
    pub fn in_doubt(&self) -> Option<SegmentKey> {
        let open = self.memory().open_segment().map(|open| open.key.clone());
        let line = self.line();
        let (key, was_told) = line.sent()?;
        (was_told || open.as_ref() == Some(key)).then(|| key.clone())
    }

    /// Refuses a batch where the state has no room for it.
    pub fn check_room(&self, bytes: usize, limit: usize) -> Result<(), Error> {
        let size = self.version.load().state.canonical_len();
        if size.saturating_add(bytes) <= limit {
            return Ok(());
        }
        let message =
            format!("namespace {:?} holds {size} bytes, and the batch adds up to {bytes}: over limits.state_bytes ({limit})", self.name);
        Err(Error::new(Status::TooLarge, message))
    }

    /// What this namespace holds and did.
    pub fn stats(&self) -> Value {
        let read = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        let figures = &self.figures;
        let ticks = self.ticks.borrow().clone();
        let (waiting, waiting_bytes) = {
            let line = self.line();
            (line.len(), line.bytes())
        };
        let memory = self.memory();
        let rollup = memory.rollup();
        json!({
            "ready": memory.is_ready(),
            "age_ms": self.age_ms(),
            "mark": { "lm": memory.mark().stamp.to_string(), "key": memory.mark().key },
            "folded": memory.count().folded,
            "state_bytes": memory.state().canonical_len(),
            "base_entries": rollup.state.base_len(),
            "overlay_entries": memory.state().overlay_len(),
            "tail": memory.listed().len(),
            "own": memory.own_count(),
            "bodies": memory.body_count(),
            "open_segment": memory.open_segment().map(|open| open.key.as_str()),
            "unreadable": memory.unreadable().map(|segment| segment.key.as_str()).collect::<Vec<_>>(),
            "rollup_behind": memory.is_rollup_behind(),
            "waiting": waiting,
            "waiting_bytes": waiting_bytes,
            "last_error": ticks.error.as_ref().map(Error::to_json),
            "batches": read(&figures.batches),
            "segments": read(&figures.segments),
            "refused": read(&figures.refused),
            "unknown": read(&figures.unknown),
            "settled_applied": read(&figures.settled_applied),
            "settled_failed": read(&figures.settled_failed),
            "ticks": read(&figures.ticks),
            "elided": read(&figures.elided),
            "failed_ticks": read(&figures.failed_ticks),
            "folds": read(&figures.folds),
            "lost_folds": read(&figures.lost_folds),
            "advanced": read(&figures.advanced),
            "downloaded": read(&figures.downloaded),
            "written_forward": read(&figures.written_forward),
            "deleted": read(&figures.deleted),
            "strays": read(&figures.strays),
            "void_own": read(&figures.void_own),
            "vanished": read(&figures.vanished),
            "quarantined": read(&figures.quarantined),
        })
    }

    /// The object of a segment, for messages.
    pub fn object(&self, key: &SegmentKey) -> String {
        self.places.segment(key)
    }
}

/// Ends its namespace where it is dropped before that has ended.
pub struct EndsWith<'a> {
    core: &'a Core,
    task: &'static str,
}

impl Drop for EndsWith<'_> {
    fn drop(&mut self) {
        if !self.core.has_ended() {
            tracing::error!(namespace = self.core.name, "{} has stopped; the namespace is closed", self.task);
            self.core.replica.abandon(self.core);
        }
    }
}

/// What queries ask beyond the state.
struct Context<'a> {
    core: &'a Core,
    version: &'a Version,
}

impl QueryContext for Context<'_> {
    fn write_mark(&self, out: &mut Vec<u8>) {
        self.version.mark.write_canonical(out);
    }

    fn age_ms(&self) -> u64 {
        self.core.age_ms().unwrap_or(0)
    }

    fn metrics(&self) -> String {
        metrics::text(&self.core.replica.stats())
    }

    fn outcome(&self, segment: &str) -> &'static str {
        self.core.outcomes().of(segment).name()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_again_and_again_is_told_ever_more_rarely() {
        let failures = InARow::default();
        let told: Vec<u32> = (0..20).filter_map(|_| failures.again()).collect();
        assert_eq!(told, [1, 2, 4, 8, 16]);
        failures.over();
        assert_eq!((failures.again(), failures.again(), failures.again()), (Some(1), Some(2), None));
    }
}
