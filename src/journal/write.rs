//! Writes that wait: the line in front of a namespace's committer, and the ticket that each caller holds.
//!
//! Invariants: a ticket goes `Waiting` -> `Sent` -> `Done` or `Waiting` -> `Done`, and never back; who moves it to
//! `Done` first decides what the caller is told; a batch leaves the line when it is sent or withdrawn, whichever comes
//! first, so it is never both.

use crate::error::{Error, Status};
use crate::journal::Applied;
use crate::journal::key::SegmentKey;
use crate::reached::reached;
use crate::time::Reading;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// One accepted batch, as its caller and the committer see it.
pub struct Ticket {
    phase: Mutex<Phase>,
    done: Notify,
}

enum Phase {
    Waiting,
    Sent(SegmentKey),
    Done(Result<Applied, Error>),
}

/// What giving up did.
pub enum GivenUp {
    /// The batch was still in line and never takes effect.
    Withdrawn(Error),
    /// The batch had been sent; its caller was told that the outcome is unknown.
    Unknown(Error),
    /// The outcome was known already.
    Done(Result<Applied, Error>),
}

impl Ticket {
    fn new() -> Ticket {
        Ticket { phase: Mutex::new(Phase::Waiting), done: Notify::new() }
    }

    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks the batch as sent; `false` where its caller has withdrawn it.
    pub fn send_in(&self, key: &SegmentKey) -> bool {
        let mut phase = self.phase();
        let is_waiting = matches!(*phase, Phase::Waiting);
        if is_waiting {
            *phase = Phase::Sent(key.clone());
        }
        is_waiting
    }

    /// Tells the caller the outcome; `false` where it was told one before.
    pub fn finish(&self, result: Result<Applied, Error>) -> bool {
        let mut phase = self.phase();
        let is_first = !matches!(*phase, Phase::Done(_));
        if is_first {
            *phase = Phase::Done(result);
            self.done.notify_waiters();
        }
        is_first
    }

    /// Whether its caller was told an outcome.
    pub fn is_done(&self) -> bool {
        matches!(*self.phase(), Phase::Done(_))
    }

    /// Ends the wait now, with `status`. The caller of a withdrawal must take the batch out of the line.
    pub fn give_up(&self, status: Status, why: &str) -> GivenUp {
        let mut phase = self.phase();
        let given_up = match &*phase {
            Phase::Waiting => {
                reached("batch withdrawn");
                GivenUp::Withdrawn(Error::new(status, format!("{why}; the batch was not sent and never takes effect")))
            }
            Phase::Sent(key) => {
                reached("caller told unknown");
                let message = format!("{why}; the batch was sent in {key}, and the query Outcome tells what became of it");
                GivenUp::Unknown(Error::new(status, message).unknown_in(key.as_str()))
            }
            Phase::Done(result) => return GivenUp::Done(result.clone()),
        };
        if let GivenUp::Withdrawn(error) | GivenUp::Unknown(error) = &given_up {
            *phase = Phase::Done(Err(error.clone()));
            self.done.notify_waiters();
        }
        given_up
    }

    /// Waits until the outcome is told.
    pub async fn outcome(&self) -> Result<Applied, Error> {
        loop {
            // Made before the look, so that no telling can fall between the two.
            let told = self.done.notified();
            if let Phase::Done(result) = &*self.phase() {
                return result.clone();
            }
            told.await;
        }
    }
}

/// A batch in line.
pub struct Pending {
    pub ops: Vec<u8>,
    pub ticket: Arc<Ticket>,
    pub deadline: Option<Reading>,
}

/// What a waiting batch takes beside its ops: ticket, entry and result.
const OVERHEAD: usize = 256;

/// The batches of a namespace that wait to be sent, in the order of submission.
#[derive(Default)]
pub struct Line {
    waiting: BTreeMap<u64, Pending>,
    next: u64,
    bytes: usize,
}

impl Line {
    /// Puts a batch at the end; nothing where that would be more than `limit` bytes in all.
    pub fn push(&mut self, ops: Vec<u8>, deadline: Option<Reading>, limit: usize) -> Option<(u64, Arc<Ticket>)> {
        // An empty line takes any batch that passed its own limit.
        if !self.waiting.is_empty() && self.bytes + ops.len() + OVERHEAD > limit {
            return None;
        }
        let ticket = Arc::new(Ticket::new());
        let number = self.next;
        self.next += 1;
        self.bytes += ops.len() + OVERHEAD;
        self.waiting.insert(number, Pending { ops, ticket: ticket.clone(), deadline });
        Some((number, ticket))
    }

    /// Takes a withdrawn batch out.
    pub fn remove(&mut self, number: u64) {
        if let Some(pending) = self.waiting.remove(&number) {
            self.bytes -= pending.ops.len() + OVERHEAD;
        }
    }

    /// Takes the batches of the next segment, of at most `limit` bytes together (one at least), and marks them as sent
    /// in `key`. What is past its deadline at `now` is withdrawn instead.
    pub fn take(&mut self, key: &SegmentKey, limit: usize, now: Reading) -> Vec<Pending> {
        let mut taken: Vec<Pending> = Vec::new();
        let mut bytes = 0;
        while let Some(first) = self.waiting.first_entry() {
            let size = first.get().ops.len() + 1;
            if !taken.is_empty() && bytes + size > limit {
                break;
            }
            let pending = first.remove();
            self.bytes -= pending.ops.len() + OVERHEAD;
            if pending.deadline.is_some_and(|deadline| deadline <= now) {
                pending.ticket.give_up(Status::TimedOut, "the time is over");
            } else if pending.ticket.send_in(key) {
                bytes += size;
                taken.push(pending);
            }
        }
        taken
    }

    /// Takes everything, to refuse it.
    pub fn take_all(&mut self) -> Vec<Pending> {
        self.bytes = 0;
        std::mem::take(&mut self.waiting).into_values().collect()
    }

    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::key::KeyMaker;
    use crate::time::Stamp;

    fn key() -> SegmentKey {
        KeyMaker::default().next(Stamp::from_millis(1_800_000_000_000), 1)
    }

    #[test]
    fn the_line_is_bounded_and_keeps_its_order() {
        const LIMIT: usize = 10 + 2 * OVERHEAD;
        let mut line = Line::default();
        let (first, _) = line.push(vec![b'a'; 6], None, LIMIT).expect("room");
        assert!(line.push(vec![b'b'; 5], None, LIMIT).is_none());
        line.push(vec![b'c'; 4], None, LIMIT).expect("room");
        line.remove(first);
        assert_eq!(line.bytes(), 4 + OVERHEAD);
        line.push(vec![b'd'; 2], None, LIMIT).expect("room");
        let taken = line.take(&key(), 100, Reading(0));
        assert_eq!(taken.iter().map(|pending| pending.ops[0]).collect::<Vec<_>>(), b"cd");
        assert!(line.is_empty() && line.bytes() == 0);
        assert!(line.push(vec![b'e'; 99], None, 10).is_some(), "an empty line takes any batch");
    }

    #[test]
    fn a_segment_is_bounded_but_never_empty() {
        let mut line = Line::default();
        for _ in 0..3 {
            line.push(vec![b'a'; 10], None, 10_000).expect("room");
        }
        assert_eq!(line.take(&key(), 5, Reading(0)).len(), 1);
        assert_eq!(line.take(&key(), 22, Reading(0)).len(), 2);
    }

    #[test]
    fn what_is_late_or_withdrawn_is_not_sent() {
        let mut line = Line::default();
        let (_, late) = line.push(vec![b'a'], Some(Reading(5)), 10_000).expect("room");
        let (_, withdrawn) = line.push(vec![b'b'], None, 10_000).expect("room");
        let (_, sent) = line.push(vec![b'c'], None, 10_000).expect("room");
        assert!(matches!(withdrawn.give_up(Status::Cancelled, "cancelled"), GivenUp::Withdrawn(_)));
        assert_eq!(line.take(&key(), 100, Reading(5)).len(), 1);
        assert!(late.is_done() && withdrawn.is_done() && !sent.is_done());
        match sent.give_up(Status::TimedOut, "the time is over") {
            GivenUp::Unknown(error) => {
                assert_eq!(error.outcome, crate::Outcome::Unknown);
                assert_eq!(error.details["segment"], key().as_str());
            }
            _ => panic!("a sent batch cannot be withdrawn"),
        }
        sent.finish(Ok(Applied { segment: key().to_string() }));
        assert!(matches!(sent.give_up(Status::TimedOut, ""), GivenUp::Done(Err(_))), "the caller is told one outcome only");
    }
}
