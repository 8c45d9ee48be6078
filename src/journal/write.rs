//! Writes that wait: the line in front of a namespace's committer, and the ticket that each caller holds.
//!
//! Invariants:
//!
//! - A ticket goes `Waiting` -> `Sent` -> `Done` or `Waiting` -> `Done`, and never back; who moves it to `Done` first decides what the caller is
//!   told.
//! - A batch leaves the line when it is sent or withdrawn, whichever comes first, so it is never both.
//! - While a ticket that is not done has a deadline, the line's alarm is set to that time or to one before it (or to the end of its rest), or it rings.
//! - Whoever is told an outcome is told outside of the ticket's lock and of the line's.

use super::Applied;
use super::key::SegmentKey;
use crate::error::{Error, Status};
use crate::reached::reached;
use crate::time::Reading;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Is told the outcome of a batch, on whatever thread it becomes known.
pub type Listener = Box<dyn FnOnce(Result<Applied, Error>) + Send>;

/// One accepted batch, as its caller and the committer see it.
pub struct Ticket {
    deadline: Option<Reading>,
    progress: Mutex<Progress>,
    done: Notify,
}

struct Progress {
    phase: Phase,
    /// Absent once the batch is done.
    listener: Option<Listener>,
}

enum Phase {
    Waiting,
    Sent(SegmentKey),
    Done(Result<Applied, Error>),
}

/// What giving up did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivenUp {
    /// The batch was still in line and never takes effect.
    Withdrawn,
    /// The batch had been sent; its caller was told that the outcome is unknown.
    Unknown,
    /// The outcome was known already.
    Done,
}

impl Ticket {
    fn new(deadline: Option<Reading>) -> Ticket {
        Ticket { deadline, progress: Mutex::new(Progress { phase: Phase::Waiting, listener: None }), done: Notify::new() }
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks the batch as sent; `false` where its caller has withdrawn it.
    fn send_in(&self, key: &SegmentKey) -> bool {
        let mut progress = self.progress();
        let is_waiting = matches!(progress.phase, Phase::Waiting);
        if is_waiting {
            progress.phase = Phase::Sent(key.clone());
        }
        is_waiting
    }

    /// Tells the caller the outcome; `false` where it was told one before.
    pub fn finish(&self, result: Result<Applied, Error>) -> bool {
        let progress = self.progress();
        let is_first = !matches!(progress.phase, Phase::Done(_));
        if is_first {
            self.tell(progress, result);
        }
        is_first
    }

    fn tell(&self, mut progress: MutexGuard<'_, Progress>, result: Result<Applied, Error>) {
        let listener = progress.listener.take();
        progress.phase = Phase::Done(result.clone());
        drop(progress);
        self.done.notify_waiters();
        if let Some(listener) = listener {
            listener(result);
        }
    }

    /// Whether its caller was told an outcome.
    pub fn is_done(&self) -> bool {
        matches!(self.progress().phase, Phase::Done(_))
    }

    fn is_late(&self, now: Reading) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }

    /// Ends the wait now, with `status`. The caller of a withdrawal must take the batch out of the line.
    pub fn give_up(&self, status: Status, why: &str) -> GivenUp {
        let progress = self.progress();
        let (given_up, error) = match &progress.phase {
            Phase::Waiting => {
                reached("batch withdrawn");
                (GivenUp::Withdrawn, Error::new(status, format!("{why}; the batch was not sent and never takes effect")))
            }
            Phase::Sent(key) => {
                reached("caller told unknown");
                let message = format!("{why}; the batch was sent in {key}, and the query Outcome tells what became of it");
                (GivenUp::Unknown, Error::new(status, message).unknown_in(key.as_str()))
            }
            Phase::Done(_) => return GivenUp::Done,
        };
        self.tell(progress, Err(error));
        given_up
    }

    /// Ends the wait of a caller whose time is over.
    pub fn time_out(&self) {
        self.give_up(Status::TimedOut, "the time is over");
    }

    /// Waits until the outcome is told.
    pub async fn outcome(&self) -> Result<Applied, Error> {
        loop {
            // Made before the look, so that no telling can fall between the two.
            let told = self.done.notified();
            if let Phase::Done(result) = &self.progress().phase {
                return result.clone();
            }
            told.await;
        }
    }

    /// Has the outcome told to `listener`, at once where it is known.
    pub fn listen(&self, listener: Listener) {
        let mut progress = self.progress();
        if let Phase::Done(result) = &progress.phase {
            let result = result.clone();
            drop(progress);
            listener(result);
        } else {
            progress.listener = Some(listener);
        }
    }
}

/// A batch in line.
pub struct Pending {
    pub ops: Vec<u8>,
    pub ticket: Arc<Ticket>,
}

/// The segment that is on its way, or open.
struct Sent {
    key: SegmentKey,
    tickets: Vec<Arc<Ticket>>,
}

/// A batch that was taken into the line.
pub struct Entered {
    pub number: u64,
    pub ticket: Arc<Ticket>,
    /// The committer waits for this one.
    pub is_awaited: bool,
    /// The alarm rings earlier than before.
    pub is_due_first: bool,
}

/// What a waiting batch takes beside its ops: ticket, entry and result.
const OVERHEAD: usize = 256;

/// The alarm rests so long after it rang: a look at all that waits should not be had for each of them.
const ALARM_RESTS: Duration = Duration::from_millis(5);

/// The batches of a namespace that are not settled: those that wait to be sent, in the order of submission, and those on their way.
pub struct Line {
    waiting: BTreeMap<u64, Pending>,
    next: u64,
    bytes: usize,
    sent: Option<Sent>,
    /// The committer waits for so many batches.
    awaited: usize,
    /// When to look for what is late.
    alarm: Option<Reading>,
    rests_until: Reading,
}

impl Default for Line {
    fn default() -> Line {
        Line { waiting: BTreeMap::new(), next: 0, bytes: 0, sent: None, awaited: 1, alarm: None, rests_until: Reading(0) }
    }
}

impl Line {
    /// Puts a batch at the end; nothing where that would be more than `limit` bytes in all.
    pub fn push(&mut self, ops: Vec<u8>, deadline: Option<Reading>, limit: usize) -> Option<Entered> {
        // An empty line takes any batch that passed its own limit.
        if !self.waiting.is_empty() && self.bytes + ops.len() + OVERHEAD > limit {
            return None;
        }
        let ticket = Arc::new(Ticket::new(deadline));
        let number = self.next;
        self.next += 1;
        self.bytes += ops.len() + OVERHEAD;
        self.waiting.insert(number, Pending { ops, ticket: ticket.clone() });
        let due = deadline.map(|deadline| deadline.max(self.rests_until));
        let is_due_first = due.is_some_and(|due| self.alarm.is_none_or(|alarm| due < alarm));
        if is_due_first {
            self.alarm = due;
        }
        Some(Entered { number, ticket, is_awaited: self.len() >= self.awaited, is_due_first })
    }

    /// From now on the committer is to be woken when at least so many batches wait.
    pub fn await_len(&mut self, awaited: usize) {
        self.awaited = awaited;
    }

    /// Takes a withdrawn batch out.
    pub fn remove(&mut self, number: u64) {
        if let Some(pending) = self.waiting.remove(&number) {
            self.bytes -= pending.ops.len() + OVERHEAD;
        }
    }

    /// Takes the batches of the next segment, of at most `limit` bytes together (one at least), and marks them as sent in `key`. What is past
    /// its deadline at `now` stays out of it, for the caller to tell.
    pub fn send(&mut self, key: &SegmentKey, limit: usize, now: Reading) -> (Vec<Pending>, Vec<Arc<Ticket>>) {
        let (mut taken, mut late): (Vec<Pending>, Vec<Arc<Ticket>>) = Default::default();
        let mut bytes = 0;
        while let Some(first) = self.waiting.first_entry() {
            let size = first.get().ops.len() + 1;
            if !taken.is_empty() && bytes + size > limit {
                break;
            }
            let pending = first.remove();
            self.bytes -= pending.ops.len() + OVERHEAD;
            if pending.ticket.is_late(now) {
                late.push(pending.ticket);
            } else if pending.ticket.send_in(key) {
                bytes += size;
                taken.push(pending);
            }
        }
        if !taken.is_empty() {
            self.sent = Some(Sent { key: key.clone(), tickets: taken.iter().map(|pending| pending.ticket.clone()).collect() });
        }
        (taken, late)
    }

    /// Whether a segment is on its way, or open.
    pub fn is_sending(&self) -> bool {
        self.sent.is_some()
    }

    /// The segment that is on its way or open, and whether one of its callers was told an outcome.
    pub fn sent(&self) -> Option<(&SegmentKey, bool)> {
        let sent = self.sent.as_ref()?;
        Some((&sent.key, sent.tickets.iter().any(|ticket| ticket.is_done())))
    }

    /// The segment was settled, one way or another. Returns the tickets of its batches.
    pub fn take_sent(&mut self) -> Vec<Arc<Ticket>> {
        self.sent.take().map_or_else(Vec::new, |sent| sent.tickets)
    }

    /// Takes everything that waits, to refuse it.
    pub fn take_all(&mut self) -> Vec<Pending> {
        self.bytes = 0;
        std::mem::take(&mut self.waiting).into_values().collect()
    }

    pub fn alarm(&self) -> Option<Reading> {
        self.alarm
    }

    /// The alarm rang: returns what is late, for the caller to tell, and sets the alarm for what is left.
    pub fn take_late(&mut self, now: Reading) -> Vec<Arc<Ticket>> {
        let mut late: Vec<Arc<Ticket>> = Vec::new();
        for (_, pending) in self.waiting.extract_if(.., |_, pending| pending.ticket.is_late(now)) {
            self.bytes -= pending.ops.len() + OVERHEAD;
            late.push(pending.ticket);
        }
        let sent = self.sent.iter().flat_map(|sent| &sent.tickets).filter(|ticket| !ticket.is_done());
        let (late_and_sent, sent): (Vec<&Arc<Ticket>>, Vec<&Arc<Ticket>>) = sent.partition(|ticket| ticket.is_late(now));
        late.extend(late_and_sent.into_iter().cloned());
        let left = self.waiting.values().map(|pending| &pending.ticket).chain(sent);
        self.rests_until = now + ALARM_RESTS;
        self.alarm = left.filter_map(|ticket| ticket.deadline).min().map(|deadline| deadline.max(self.rests_until));
        late
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
        let first = line.push(vec![b'a'; 6], None, LIMIT).expect("room").number;
        assert!(line.push(vec![b'b'; 5], None, LIMIT).is_none());
        line.push(vec![b'c'; 4], None, LIMIT).expect("room");
        line.remove(first);
        assert_eq!(line.bytes(), 4 + OVERHEAD);
        line.push(vec![b'd'; 2], None, LIMIT).expect("room");
        let taken = line.send(&key(), 100, Reading(0)).0;
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
        assert_eq!(line.send(&key(), 5, Reading(0)).0.len(), 1);
        assert_eq!(line.send(&key(), 22, Reading(0)).0.len(), 2);
    }

    #[test]
    fn what_is_late_or_withdrawn_is_not_sent() {
        let mut line = Line::default();
        let late = line.push(vec![b'a'], Some(Reading(5)), 10_000).expect("room").ticket;
        let withdrawn = line.push(vec![b'b'], None, 10_000).expect("room").ticket;
        let sent = line.push(vec![b'c'], None, 10_000).expect("room").ticket;
        assert_eq!(withdrawn.give_up(Status::Cancelled, "cancelled"), GivenUp::Withdrawn);
        let (taken, past) = line.send(&key(), 100, Reading(5));
        assert_eq!((taken.len(), past.len()), (1, 1));
        assert!(Arc::ptr_eq(&past[0], &late) && withdrawn.is_done() && !sent.is_done());
        let heard = heard_by(&sent);
        assert_eq!(sent.give_up(Status::TimedOut, "the time is over"), GivenUp::Unknown);
        let error = heard().expect("told").expect_err("it is on its way");
        assert_eq!((error.outcome, &error.details["segment"]), (crate::Outcome::Unknown, &key().as_str().into()));
        assert!(!sent.finish(Ok(Applied { segment: key().shared() })), "the caller is told one outcome only");
        assert_eq!(sent.give_up(Status::TimedOut, ""), GivenUp::Done);
        assert_eq!(heard_by(&sent)().expect("known already").expect_err("the same").status, Status::TimedOut);
    }

    /// What a listener of this ticket is told.
    fn heard_by(ticket: &Ticket) -> impl Fn() -> Option<Result<Applied, Error>> {
        let heard = Arc::new(Mutex::new(None));
        let place = heard.clone();
        ticket.listen(Box::new(move |result| assert!(place.lock().expect("no panic").replace(result).is_none(), "told once")));
        move || heard.lock().expect("no panic").clone()
    }

    #[test]
    fn the_alarm_is_set_for_what_is_due_first_and_rests_after_it_rang() {
        let mut line = Line::default();
        let push = |line: &mut Line, deadline| line.push(vec![b'a'], deadline, 10_000).expect("room");
        let after = |millis| Reading(0) + Duration::from_millis(millis);
        assert!(!push(&mut line, None).is_due_first);
        let third = push(&mut line, Some(after(30)));
        assert!(third.is_due_first);
        let first = push(&mut line, Some(after(10)));
        assert!(first.is_due_first);
        let second = push(&mut line, Some(after(12)));
        assert!(!second.is_due_first);
        assert_eq!(line.alarm(), Some(after(10)));
        let (taken, _) = line.send(&key(), 6, after(0));
        assert_eq!(taken.len(), 3, "the first two and the one that is due first");
        let late = line.take_late(after(10));
        assert!(late.len() == 1 && Arc::ptr_eq(&late[0], &first.ticket), "also what is on its way");
        first.ticket.time_out();
        assert_eq!(line.alarm(), Some(after(15)), "later than the second is due: it rests");
        assert!(!push(&mut line, Some(after(11))).is_due_first);
        assert_eq!(line.take_late(after(15)).len(), 2);
        second.ticket.time_out();
        assert_eq!(line.alarm(), Some(after(30)));
        third.ticket.finish(Ok(Applied { segment: key().shared() }));
        assert!(line.take_late(after(30)).is_empty());
        assert_eq!((line.alarm(), line.len()), (None, 0));
    }

    #[test]
    fn the_committer_is_woken_by_the_batch_that_it_waits_for() {
        let mut line = Line::default();
        let push = |line: &mut Line| line.push(vec![b'a'], None, 10_000).expect("room").is_awaited;
        assert!(push(&mut line));
        line.await_len(3);
        assert!(!push(&mut line));
        assert!(push(&mut line) && push(&mut line));
        line.await_len(usize::MAX);
        assert!(!push(&mut line));
    }
}
