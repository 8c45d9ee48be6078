//! The inside of a queue: slots that calls take when they are accepted, and give back when their completion is read.
//!
//! A slot is always one of: free, owed (its call is under way), ready (its completion waits to be read). So the queue never holds more than
//! its capacity, and an accepted call always has room for its completion.

use super::buffer::Buffer;
use super::descriptor::Descriptor;
use super::queue::{Completion, Kind};
use super::status::StatusCode;
use crate::error::{Error, Status};
use crate::journal::Write;
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
    /// The calls that are owed, by tag and number, with what withdraws them once they are accepted.
    owed: BTreeMap<(u64, u64), Option<Withdrawal>>,
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

/// What ends an owed call early.
#[derive(Clone)]
enum Withdrawal {
    Task(Arc<Notify>),
    Write(Write),
}

/// The slot of an accepted call. Completes exactly once: a slot that is dropped (its task panicked) completes as INTERNAL.
pub(super) struct Slot {
    queue: Arc<Completions>,
    kind: Kind,
    call: (u64, u64),
    spent: bool,
}

/// The slot of a call that a task works on.
pub(super) struct TaskSlot {
    slot: Slot,
    withdrawn: Arc<Notify>,
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
        state.owed.insert(call, None);
        Ok(Slot { queue: self.clone(), kind, call, spent: false })
    }

    /// Withdraws every owed call with this tag.
    pub(super) fn cancel(&self, tag: u64) {
        // Not under the lock: a batch that is withdrawn completes at once.
        let owed: Vec<Withdrawal> = self.lock().owed.range((tag, 0)..=(tag, u64::MAX)).filter_map(|(_, owed)| owed.clone()).collect();
        for withdrawal in owed {
            match withdrawal {
                // Kept for a task that does not look yet.
                Withdrawal::Task(withdrawn) => withdrawn.notify_one(),
                Withdrawal::Write(write) => write.cancel(),
            }
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

impl TaskSlot {
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
    pub(super) fn complete(self, answer: Result<Value, Error>) {
        self.slot.complete(answer.map(|json| json.to_string().into_bytes()));
    }
}

impl Slot {
    /// For a call that a task works on: the task is told when it is withdrawn.
    pub(super) fn for_task(self) -> TaskSlot {
        let withdrawn = Arc::new(Notify::new());
        self.is_withdrawn_by(Withdrawal::Task(withdrawn.clone()));
        TaskSlot { slot: self, withdrawn }
    }

    /// For a batch: to withdraw the call is to cancel it.
    pub(super) fn is_of(&self, write: &Write) {
        self.is_withdrawn_by(Withdrawal::Write(write.clone()));
    }

    fn is_withdrawn_by(&self, withdrawal: Withdrawal) {
        self.queue.lock().owed.insert(self.call, Some(withdrawal));
    }

    /// Delivers the completion: JSON text, or the error.
    pub(super) fn complete(mut self, answer: Result<Vec<u8>, Error>) {
        self.finish(answer);
    }

    /// Gives the slot back without a completion, for a call that is refused after all.
    pub(super) fn release(mut self) {
        self.spent = true;
        self.queue.lock().owed.remove(&self.call);
    }

    fn finish(&mut self, answer: Result<Vec<u8>, Error>) {
        if std::mem::replace(&mut self.spent, true) {
            return;
        }
        let (status, result) = match answer {
            Ok(text) => (Status::Ok, text),
            Err(error) => (error.status, error.to_json().to_string().into_bytes()),
        };
        let done = Done { tag: self.call.0, status, kind: self.kind, result };
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

#[cfg(test)]
mod tests {
    use super::super::process;
    use super::*;
    use serde_json::json;

    fn fetch(queue: &Completions, max: usize) -> Vec<(u64, Status, u32, Value)> {
        let mut fetched = Vec::new();
        queue.poll(max, &mut |done| fetched.push(open(done))).expect("open");
        fetched
    }

    fn open(mut done: Completion) -> (u64, Status, u32, Value) {
        // SAFETY: a completion's buffer holds `len` bytes at `data`.
        let text = unsafe { std::slice::from_raw_parts(done.result.data.cast::<u8>(), done.result.len) };
        let json = serde_json::from_slice(text).expect("JSON");
        drop(done.result.take());
        let status = Status::ALL.into_iter().find(|status| *status as StatusCode == done.status).expect("a status");
        (done.tag, status, done.kind, json)
    }

    fn is_readable(descriptor: c_int) -> bool {
        let mut poll = libc::pollfd { fd: descriptor, events: libc::POLLIN, revents: 0 };
        // SAFETY: asks about one descriptor, without waiting.
        unsafe { libc::poll(&mut poll, 1, 0) == 1 }
    }

    fn empty() -> Result<Vec<u8>, Error> {
        Ok(b"{}".to_vec())
    }

    fn log_record() -> Map<String, Value> {
        Map::from_iter([("message".to_owned(), "hello".into())])
    }

    #[test]
    fn a_slot_is_taken_at_submission_and_given_back_when_its_completion_is_read() {
        let queue = Completions::new(2);
        let first = queue.reserve(10, Kind::Apply).expect("a slot");
        let second = queue.reserve(20, Kind::Flush).expect("a slot");
        assert_eq!(queue.reserve(30, Kind::Apply).map(|_| ()).expect_err("full").status, Status::Busy);
        second.complete(Err(Error::new(Status::TimedOut, "late")));
        assert_eq!(queue.reserve(30, Kind::Apply).map(|_| ()).expect_err("unread").status, Status::Busy);
        first.complete(Ok(br#"{"segment":"s"}"#.to_vec()));
        let fetched = fetch(&queue, 1);
        assert_eq!(fetched.len(), 1);
        assert_eq!((fetched[0].0, fetched[0].1, fetched[0].2), (20, Status::TimedOut, 3), "oldest first");
        assert_eq!(fetched[0].3["message"], "late");
        queue.reserve(30, Kind::Apply).expect("the slot is free again").release();
        assert_eq!(fetch(&queue, 9), [(10, Status::Ok, 2, json!({"segment": "s"}))]);
        assert!(fetch(&queue, 9).is_empty(), "released means no completion");
    }

    #[test]
    fn a_call_that_is_lost_still_completes() {
        let queue = Completions::new(1);
        drop(queue.reserve(7, Kind::NamespaceOpen).expect("a slot"));
        let fetched = fetch(&queue, 9);
        assert_eq!((fetched.len(), fetched[0].0, fetched[0].1), (1, 7, Status::Internal));
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri knows no poll(2)")]
    fn the_descriptor_is_readable_while_completions_wait() {
        let queue = Completions::new(4);
        queue.reserve(1, Kind::Apply).expect("a slot").complete(empty());
        let descriptor = queue.descriptor().expect("a descriptor");
        assert!(is_readable(descriptor), "also for what came before it was asked for");
        queue.reserve(2, Kind::Apply).expect("a slot").complete(empty());
        assert_eq!(fetch(&queue, 1).len(), 1);
        assert!(is_readable(descriptor));
        assert_eq!(fetch(&queue, 2).len(), 1);
        assert!(!is_readable(descriptor));
        queue.reserve(3, Kind::Apply).expect("a slot").complete(empty());
        assert!(is_readable(descriptor));
        assert_eq!(queue.descriptor(), Ok(descriptor));
    }

    #[test]
    fn close_is_refused_while_anything_is_owed_or_unread_and_wakes_who_waits() {
        let queue = Completions::new(1);
        let slot = queue.reserve(1, Kind::Apply).expect("a slot");
        assert_eq!(queue.close(), Err(Status::Busy));
        slot.complete(empty());
        assert_eq!(queue.close(), Err(Status::Busy));
        fetch(&queue, 1);
        std::thread::scope(|scope| {
            let waiters: Vec<_> = (0..3).map(|_| scope.spawn(|| queue.wait(1, None, &mut |_| ()))).collect();
            assert_eq!(queue.close(), Ok(()));
            for waiter in waiters {
                assert_eq!(waiter.join().expect("no panic"), Err(Status::Closed));
            }
        });
        assert_eq!(queue.poll(1, &mut |_| ()), Err(Status::Closed));
        assert_eq!(queue.descriptor(), Err(Status::Closed));
        assert_eq!(queue.reserve(1, Kind::Apply).map(|_| ()).expect_err("closed").status, Status::Closed);
    }

    #[test]
    fn a_wait_ends_with_what_arrives_or_with_its_time() {
        let queue = Completions::new(8);
        assert_eq!(queue.wait(1, Some(Duration::ZERO), &mut |_| ()), Err(Status::TimedOut));
        assert_eq!(queue.wait(1, Some(Duration::from_millis(1)), &mut |_| ()), Err(Status::TimedOut));
        std::thread::scope(|scope| {
            let waiters: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let mut tag = 0;
                        queue.wait(1, Some(Duration::MAX), &mut |done| tag = open(done).0).map(|()| tag)
                    })
                })
                .collect();
            for tag in 1..=4 {
                queue.reserve(tag, Kind::Flush).expect("a slot").complete(empty());
            }
            let mut tags: Vec<u64> = waiters.into_iter().map(|waiter| waiter.join().expect("no panic").expect("one each")).collect();
            tags.sort_unstable();
            assert_eq!(tags, [1, 2, 3, 4]);
        });
    }

    #[test]
    fn cancel_reaches_every_owed_call_with_the_tag_and_no_other() {
        let queue = Completions::new(8);
        let runtime = &process::start().expect("a runtime").runtime;
        for tag in [5, 6, 5, 7] {
            let slot = queue.reserve(tag, Kind::Flush).expect("a slot").for_task();
            runtime.spawn(async move {
                let ended = slot.unless_cancelled(std::future::pending::<Result<Value, Error>>()).await;
                slot.complete(ended);
            });
        }
        let wait = |count| {
            let mut fetched = Vec::new();
            while fetched.len() < count {
                queue.wait(8, None, &mut |done| fetched.push(open(done))).expect("open");
            }
            fetched.into_iter().map(|(tag, status, ..)| (tag, status)).collect::<Vec<_>>()
        };
        queue.cancel(5);
        assert_eq!(wait(2), [(5, Status::Cancelled); 2]);
        queue.cancel(5);
        queue.cancel(u64::MAX);
        queue.cancel(7);
        assert_eq!(wait(1), [(7, Status::Cancelled)]);
        queue.cancel(6);
        assert_eq!(wait(1), [(6, Status::Cancelled)]);
        assert_eq!(queue.close(), Ok(()));
    }

    #[test]
    fn log_records_take_half_of_the_slots_at_most_and_the_dropped_are_counted() {
        let queue = Completions::new(5);
        (0..10).for_each(|_| queue.push_log(log_record()));
        let slots: Vec<Slot> = (0..2).map(|tag| queue.reserve(tag, Kind::Apply).expect("kept free for calls")).collect();
        let fetched = fetch(&queue, 9);
        assert_eq!(fetched.len(), 3);
        assert!(fetched.iter().all(|(tag, status, kind, _)| (*tag, *status, *kind) == (0, Status::Ok, 5)));
        queue.push_log(log_record());
        assert_eq!(fetch(&queue, 9)[0].3, json!({"message": "hello", "dropped": 7}));
        queue.push_log(log_record());
        assert_eq!(fetch(&queue, 9)[0].3, json!({"message": "hello"}));
        drop(slots);
        fetch(&queue, 9);
        queue.push_log(log_record());
        assert_eq!(queue.close(), Err(Status::Busy));
        fetch(&queue, 9);
        assert_eq!(queue.close(), Ok(()));
        queue.push_log(log_record());
    }

    #[test]
    fn every_accepted_call_completes_exactly_once_under_load() {
        let queue = Completions::new(16);
        let runtime = &process::start().expect("a runtime").runtime;
        const CALLS: u64 = if cfg!(miri) { 20 } else { 2_000 };
        let mut seen = std::thread::scope(|scope| {
            for thread in 0..2 {
                let queue = &queue;
                scope.spawn(move || {
                    for number in 0..CALLS {
                        let tag = thread * CALLS + number;
                        let slot = loop {
                            match queue.reserve(tag, Kind::Apply) {
                                Ok(slot) => break slot,
                                Err(busy) => assert_eq!(busy.status, Status::Busy),
                            }
                            std::thread::yield_now();
                        };
                        runtime.spawn(async move { slot.complete(Ok(tag.to_string().into_bytes())) });
                        queue.cancel(tag);
                    }
                });
            }
            let mut seen = Vec::new();
            while seen.len() < 2 * CALLS as usize {
                queue.wait(7, None, &mut |done| seen.push(open(done).0)).expect("open");
            }
            seen
        });
        seen.sort_unstable();
        assert_eq!(seen, (0..2 * CALLS).collect::<Vec<_>>());
        assert_eq!(queue.close(), Ok(()));
    }
}
