//! The inside of a queue: slots that calls take when they are accepted, and give back when their completion is read.
//!
//! A slot is always one of: free, owed (its call is under way), ready (its completion waits to be read). So the queue never holds more than
//! its capacity, and an accepted call always has room for its completion.

use super::buffer::Buffer;
use super::descriptor::Descriptor;
use super::queue::{Completion, Kind};
use super::status::StatusCode;
use crate::error::{Error, Status};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, VecDeque};
use std::ffi::c_int;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// What an `opjournal_queue` stands for.
pub(super) struct Completions {
    capacity: usize,
    state: Mutex<State>,
    /// Woken once for each completion, and all at the close.
    arrived: Condvar,
}

struct State {
    ready: VecDeque<Done>,
    /// The calls that are owed, by tag and number, with what withdraws them.
    owed: BTreeMap<(u64, u64), Arc<Notify>>,
    calls: u64,
    /// How many log records are ready, and how many were dropped since the last one that had room.
    logs: usize,
    dropped: u64,
    descriptor: Option<Descriptor>,
    closed: bool,
}

/// A completion that waits to be read.
struct Done {
    tag: u64,
    status: Status,
    kind: Kind,
    result: Vec<u8>,
}

/// The slot of an accepted call. Completes exactly once: a slot that is dropped (its task panicked) completes as INTERNAL.
pub(super) struct Slot {
    queue: Arc<Completions>,
    kind: Kind,
    call: (u64, u64),
    withdrawn: Arc<Notify>,
    spent: bool,
}

impl Completions {
    pub(super) fn new(capacity: usize) -> Arc<Completions> {
        let state = State { ready: VecDeque::new(), owed: BTreeMap::new(), calls: 0, logs: 0, dropped: 0, descriptor: None, closed: false };
        Arc::new(Completions { capacity, state: Mutex::new(state), arrived: Condvar::new() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a slot for a call. CLOSED, or BUSY where none is free.
    pub(super) fn reserve(self: &Arc<Self>, tag: u64, kind: Kind) -> Result<Slot, Error> {
        let mut state = self.lock();
        if state.closed {
            return Err(Error::new(Status::Closed, "the queue was closed"));
        }
        if state.used() >= self.capacity {
            return Err(Error::new(Status::Busy, format!("all {} slots of the queue are owed or unread", self.capacity)));
        }
        state.calls += 1;
        let call = (tag, state.calls);
        let withdrawn = Arc::new(Notify::new());
        state.owed.insert(call, withdrawn.clone());
        Ok(Slot { queue: self.clone(), kind, call, withdrawn, spent: false })
    }

    /// Withdraws every owed call with this tag.
    pub(super) fn cancel(&self, tag: u64) {
        for (_, call) in self.lock().owed.range((tag, 0)..=(tag, u64::MAX)) {
            // Kept for a task that does not look yet.
            call.notify_one();
        }
    }

    /// Queues a log record, or drops and counts it. Records never take more than half of the slots, so that they do not keep calls out.
    pub(super) fn push_log(&self, mut record: Map<String, Value>) {
        let mut state = self.lock();
        if state.closed {
            return;
        }
        if state.used() >= self.capacity || state.logs >= self.capacity.div_ceil(2) {
            state.dropped += 1;
            return;
        }
        if state.dropped > 0 {
            record.insert("dropped".to_owned(), std::mem::take(&mut state.dropped).into());
        }
        state.logs += 1;
        let result = Value::Object(record).to_string().into_bytes();
        self.push(state, Done { tag: 0, status: Status::Ok, kind: Kind::Log, result });
    }

    fn push(&self, mut state: MutexGuard<'_, State>, done: Done) {
        state.ready.push_back(done);
        if state.ready.len() == 1
            && let Some(descriptor) = &state.descriptor
        {
            descriptor.raise();
        }
        drop(state);
        self.arrived.notify_one();
    }

    /// Hands over at most `max` completions, oldest first.
    pub(super) fn poll(&self, max: usize, hand_over: &mut dyn FnMut(Completion)) -> Result<(), Status> {
        let state = self.lock();
        if state.closed {
            return Err(Status::Closed);
        }
        take(state, max, hand_over);
        Ok(())
    }

    /// As [`Completions::poll`], once there is one. TIMED_OUT after `limit`, CLOSED when the queue is closed meanwhile.
    pub(super) fn wait(&self, max: usize, limit: Option<Duration>, hand_over: &mut dyn FnMut(Completion)) -> Result<(), Status> {
        // A limit past the end of the clock is none.
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        let mut state = self.lock();
        loop {
            if state.closed {
                return Err(Status::Closed);
            }
            if !state.ready.is_empty() {
                take(state, max, hand_over);
                return Ok(());
            }
            state = match deadline {
                None => self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Err(Status::TimedOut);
                    }
                    self.arrived.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// The number of a descriptor that is readable while completions wait, made at the first call. INVALID where the system has none to give.
    pub(super) fn descriptor(&self) -> Result<c_int, Status> {
        let mut state = self.lock();
        if state.closed {
            return Err(Status::Closed);
        }
        if state.descriptor.is_none() {
            let descriptor = Descriptor::new().map_err(|_| Status::Invalid)?;
            if !state.ready.is_empty() {
                descriptor.raise();
            }
            state.descriptor = Some(descriptor);
        }
        state.descriptor.as_ref().map(Descriptor::number).ok_or(Status::Internal)
    }

    /// Closes the queue and wakes who waits on it. BUSY while anything is owed or unread.
    pub(super) fn close(&self) -> Result<(), Status> {
        let mut state = self.lock();
        if state.used() > 0 {
            return Err(Status::Busy);
        }
        state.closed = true;
        state.descriptor = None;
        drop(state);
        self.arrived.notify_all();
        Ok(())
    }
}

impl State {
    fn used(&self) -> usize {
        self.ready.len() + self.owed.len()
    }
}

fn take(mut state: MutexGuard<'_, State>, max: usize, hand_over: &mut dyn FnMut(Completion)) {
    if state.ready.is_empty() {
        return;
    }
    let count = state.ready.len().min(max);
    let taken: Vec<Done> = state.ready.drain(..count).collect();
    state.logs -= taken.iter().filter(|done| done.kind == Kind::Log).count();
    if state.ready.is_empty()
        && let Some(descriptor) = &state.descriptor
    {
        descriptor.lower();
    }
    drop(state);
    for Done { tag, status, kind, result } in taken {
        hand_over(Completion { tag, status: status as StatusCode, kind: kind as u32, result: Buffer::of(result), reserved: [0; 2] });
    }
}

impl Slot {
    /// Ends when the call is withdrawn.
    pub(super) async fn cancelled(&self) {
        self.withdrawn.notified().await;
    }

    /// Waits for work that can be given up by dropping it.
    pub(super) async fn unless_cancelled<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        tokio::select! {
            biased;
            done = work => done,
            () = self.cancelled() => Err(Error::new(Status::Cancelled, "the call was withdrawn")),
        }
    }

    /// Delivers the completion.
    pub(super) fn complete(mut self, answer: Result<Value, Error>) {
        self.finish(answer);
    }

    /// Gives the slot back without a completion, for a call that is refused after all.
    pub(super) fn release(mut self) {
        self.spent = true;
        self.queue.lock().owed.remove(&self.call);
    }

    fn finish(&mut self, answer: Result<Value, Error>) {
        if std::mem::replace(&mut self.spent, true) {
            return;
        }
        let (status, json) = match answer {
            Ok(json) => (Status::Ok, json),
            Err(error) => (error.status, error.to_json()),
        };
        let done = Done { tag: self.call.0, status, kind: self.kind, result: json.to_string().into_bytes() };
        let mut state = self.queue.lock();
        state.owed.remove(&self.call);
        self.queue.push(state, done);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.finish(Err(Error::new(Status::Internal, "a bug in opjournal: the call ended without an answer")));
    }
}
