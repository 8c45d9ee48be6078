//! Group commit: one task per namespace sends what waits in line, one segment at a time.
//!
//! Invariants:
//!
//! - At most one segment of a namespace is on its way or open. What follows waits until the one before it is settled,
//!   so a writer's segments apply in the order of submission, and its last folded key tells of the open one.
//! - Nothing is sent before the first good tick, without a young sample of store time, or before the store was tested.
//! - An answer counts only within D of T0 on the clock that counts suspend, and with a `Date` that leaves S before
//!   `expires`. After D nothing is sent any more, and only looking decides.
//! - A batch fails for certain only where every attempt was refused for certain.

use super::Applied;
use super::core::{Core, count};
use super::key::SegmentKey;
use super::outcomes::Told;
use super::segment::{self, Content, Segment};
use super::settle::{Open, Verdict};
use super::write::Pending;
use crate::environment::{fraction, until};
use crate::error::{Error, Status};
use crate::mutant::{self, Mutant};
use crate::reached::reached;
use crate::store::{Condition, Failure, Kind};
use crate::time::{Reading, Stamp};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// An attempt that takes longer is given up, and its connection closed, while there is time for another.
const ATTEMPT: Duration = Duration::from_secs(3);
/// An attempt has one second more for each so many bytes.
const SLOWEST_UPLINK: u64 = 512 << 10;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Callers that were just answered get this much of a round trip to come back, within these bounds.
const GATHERING_SHARE: u32 = 8;
const LONGEST_GATHERING: Duration = Duration::from_millis(5);

/// What became of a segment's PUT.
enum Fate {
    Applied,
    /// Every attempt was refused for certain.
    Refused(Failure),
    Unknown(String),
}

/// Sends batches until the namespace ends. Whatever is not told its outcome by then is told that it is unknown, or that
/// it was not sent.
pub async fn run(core: Arc<Core>) {
    // Also where the task panics or is dropped: nobody is left waiting.
    let _stopping = Stopping(&core);
    let _ending = core.ends_with("the task that writes");
    core.until_end(Committer { core: &core, last_begun: None, last_batches: 0, round_trip: Duration::ZERO }.run()).await;
}

struct Stopping<'a>(&'a Core);

impl Drop for Stopping<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

struct Committer<'a> {
    core: &'a Arc<Core>,
    last_begun: Option<Reading>,
    /// How many batches the last segment held.
    last_batches: usize,
    round_trip: Duration,
}

impl Committer<'_> {
    async fn run(&mut self) {
        loop {
            self.wait_for_work().await;
            if self.core.line().is_empty() && self.core.replica.retire(self.core) {
                return;
            }
            if self.prepare().await {
                self.send().await;
            }
        }
    }

    /// Waits until something is in line, or until nothing will be.
    async fn wait_for_work(&self) {
        loop {
            let changed = self.core.line_changed.notified();
            if self.holds(1) {
                return;
            }
            changed.await;
        }
    }

    /// Waits until a segment may be sent: after the first good tick, when the store was tested, `commit_interval` after
    /// the segment before, with a young sample of store time. `false`: the line went empty meanwhile, or was refused,
    /// or something has to be waited for again.
    async fn prepare(&mut self) -> bool {
        let core = self.core;
        let requests = &core.replica.requests;
        let mut ticks = core.ticks.subscribe();
        while ticks.borrow_and_update().good == 0 {
            // The sender lives in the core.
            let _ = ticks.changed().await;
        }
        if let Err(error) = core.replica.ensure_safe().await {
            if !error.retryable {
                core.refuse_all(&error);
            } else {
                self.pause(LONGEST_PAUSE).await;
            }
            return false;
        }
        if !self.keep_interval().await {
            return false;
        }
        self.gather().await;
        if requests.store_time().is_none() {
            reached("no young sample of store time");
            // The samples are too old: a tick's LIST brings a new one.
            if let Err(error) = super::sync::tick_from_now(core, None).await {
                core.refuse_all(&error);
            }
            return false;
        }
        !core.line().is_empty()
    }

    /// Waits until `commit_interval` after the segment before. `false`: everything in line was withdrawn meanwhile, and what comes next has
    /// an interval of its own to wait for.
    async fn keep_interval(&self) -> bool {
        let core = self.core;
        let Some(begun) = self.last_begun else { return true };
        let next = begun + core.replica.settings.commit_interval;
        while next > core.replica.requests.now() {
            let changed = core.line_changed.notified();
            // What comes meanwhile waits as well.
            core.line().await_len(usize::MAX);
            if core.line().is_empty() {
                return false;
            }
            if until(&core.replica.requests.environment, Some(next), changed).await.is_err() {
                return true;
            }
        }
        true
    }

    /// Gives the callers of the last segment a moment to come back. Without it, batches would alternate between one and
    /// all but one.
    async fn gather(&self) {
        if self.last_batches < 2 {
            return;
        }
        let requests = &self.core.replica.requests;
        let end = requests.now() + (self.round_trip / GATHERING_SHARE).min(LONGEST_GATHERING);
        loop {
            let changed = self.core.line_changed.notified();
            if self.holds(self.last_batches) {
                return;
            }
            if until(&requests.environment, Some(end), changed).await.is_err() {
                return;
            }
        }
    }

    /// Whether so many batches wait, or no more will come. If not, the one that makes it so many wakes this task.
    fn holds(&self, batches: usize) -> bool {
        let mut line = self.core.line();
        line.await_len(batches);
        line.len() >= batches || self.core.is_closing()
    }

    async fn pause(&self, length: Duration) {
        let environment = &self.core.replica.requests.environment;
        environment.sleep_until(environment.now() + length).await;
    }

    /// Sends the next segment and sees it through to its end.
    async fn send(&mut self) {
        let core = self.core;
        let (requests, settings) = (&core.replica.requests, &core.replica.settings);
        // D counts from before T0 is read: a process that freezes between the two has less time, not more.
        let begun = requests.now();
        let Some(store_time) = requests.store_time() else { return };
        let key_time = if mutant::is_on(Mutant::KeysFollowTheLocalClock) { Stamp::from_nanos(begun.0.into()) } else { store_time };
        let key = core.keys().next(key_time, requests.environment.random());
        // Known as open before any caller can be told so.
        core.outcomes().sent(&key);
        let (batches, late) = core.line().send(&key, settings.limits.segment_bytes.saturating_sub(segment::ENVELOPE), begun);
        for ticket in late {
            ticket.time_out();
        }
        self.last_batches = batches.len();
        if batches.is_empty() {
            core.outcomes().settle(&key, Told::Failed, false);
            return;
        }
        self.last_begun = Some(begun);
        let expires = store_time + core.replica.timing.expires_after();
        let (writer, folded) = {
            let memory = core.memory();
            (memory.writer().to_owned(), memory.count())
        };
        let ops = batches.iter().map(|pending| pending.ops.as_slice());
        let body = Bytes::from(segment::encode(ops, &writer, expires, folded));
        let read = if mutant::is_on(Mutant::WritersApplyTheirOwnForm) { mutant::own_form(&body) } else { body.clone() };
        let segment = Segment::read(key.clone(), &read, &settings.limits);
        if let Content::Unreadable { reason, .. } = &segment.content {
            // What nobody could read is not written.
            let error = Error::new(Status::Internal, format!("the segment that was made cannot be read: {reason}"));
            core.outcomes().settle(&key, Told::Failed, !all_hear(&batches, &Err(error)));
            core.take_sent();
            return;
        }
        let fate = match self.put(&key, body, begun, expires).await {
            Fate::Applied => self.take_in(&segment),
            fate => fate,
        };
        match fate {
            Fate::Applied => {
                self.round_trip = requests.now().since(begun);
                core.refused_segments.over();
                count(&core.figures.segments);
                core.figures.batches.fetch_add(batches.len() as u64, std::sync::atomic::Ordering::Relaxed);
                self.finish(&key, &batches, Verdict::Applied, "");
            }
            Fate::Refused(failure) => {
                reached("segment refused");
                let error = failure.into_error().with("object", core.object(&key));
                if let Some(failures) = core.refused_segments.again() {
                    tracing::warn!(namespace = core.name, segment = %key, error = %error, failures, "the store refused a segment; its batches failed");
                }
                core.outcomes().settle(&key, Told::Failed, !all_hear(&batches, &Err(error)));
                core.take_sent();
            }
            Fate::Unknown(why) if mutant::is_on(Mutant::OpenMeansFailed) => self.finish(&key, &batches, Verdict::Failed, &why),
            Fate::Unknown(why) => {
                reached("outcome unknown");
                count(&core.figures.unknown);
                tracing::warn!(
                    namespace = core.name,
                    segment = %key,
                    error = why,
                    "the outcome of a segment is unknown; later writes wait until a LIST settles it"
                );
                let open = Open { key: key.clone(), encoded_at: store_time, expires, is_in_doubt: false };
                let verdict = self.settle(open, segment).await;
                tracing::info!(namespace = core.name, segment = %key, verdict = ?verdict, "a segment was settled by looking");
                self.finish(&key, &batches, verdict, &why);
            }
        }
    }

    /// Makes an acknowledged segment a part of the state, unless it is known to count nowhere.
    fn take_in(&self, segment: &Arc<Segment>) -> Fate {
        let mut memory = self.core.memory();
        if !memory.add_own(segment.clone(), self.core.replica.requests.now()) {
            return Fate::Unknown(String::from("it was acknowledged, but LIST shows it with a stamp after it expired"));
        }
        self.core.publish(&memory);
        Fate::Applied
    }

    /// Waits until ticks have told what became of a segment.
    async fn settle(&self, open: Open, segment: Arc<Segment>) -> Verdict {
        let (sender, receiver) = oneshot::channel();
        *self.core.settling() = Some(sender);
        self.core.memory().set_open(open, segment);
        self.core.want_tick();
        // The sender is kept until a verdict is told.
        receiver.await.unwrap_or(Verdict::Untold)
    }

    /// Tells the callers what became of their segment.
    fn finish(&self, key: &SegmentKey, batches: &[Pending], verdict: Verdict, why: &str) {
        let core = self.core;
        let told = match verdict {
            Verdict::Applied => Told::Applied,
            Verdict::Failed => Told::Failed,
            Verdict::Untold | Verdict::Open => Told::Unknown,
        };
        let result = match told {
            Told::Applied => Ok(Applied { segment: key.shared() }),
            Told::Failed => {
                let message = format!("{key} was not written, and never will be: {why}");
                Err(Error::new(Status::Unavailable, message))
            }
            Told::Unknown => {
                let message = format!("whether {key} was written cannot be told any more: {why}");
                Err(Error::new(Status::Unavailable, message).unknown_in(key.as_str()))
            }
        };
        core.outcomes().settle(key, told, !all_hear(batches, &result) || told == Told::Unknown);
        core.take_sent();
        match told {
            Told::Applied if !why.is_empty() => count(&core.figures.settled_applied),
            Told::Failed => count(&core.figures.settled_failed),
            _ => {}
        }
    }

    /// Sends a segment until an answer tells that it is applied, every attempt was refused, or D is over.
    async fn put(&self, key: &SegmentKey, body: Bytes, begun: Reading, expires: Stamp) -> Fate {
        let core = self.core;
        let (requests, timing) = (&core.replica.requests, &core.replica.timing);
        let object = core.object(key);
        let end = begun + timing.visible_within;
        let mut pause = FIRST_PAUSE;
        let mut may_have_been_done = false;
        let mut last = String::from("the process was held up before it could send the segment");
        loop {
            let left = left_of(end, requests.now());
            if left.is_zero() {
                // Nothing was sent, or what was sent may still arrive.
                return Fate::Unknown(last);
            }
            // A large body on a slow line takes its time: what was given up once is given all that is left.
            let attempt =
                if may_have_been_done { left } else { left.min(ATTEMPT + Duration::from_secs(body.len() as u64 / SLOWEST_UPLINK)) };
            let condition = if mutant::is_on(Mutant::RetriesOverwrite) { Condition::Always } else { Condition::Absent };
            let result = requests.put(&object, body.clone(), condition, attempt).await;
            let is_in_time = !left_of(end, requests.now()).is_zero();
            let date = match &result {
                Ok(put) => put.date,
                Err(failure) => failure.date,
            };
            match result {
                // Nobody else makes this key: who finds it taken finds an earlier attempt of its own.
                Ok(_) | Err(Failure { kind: Kind::ConditionFailed, .. }) => {
                    let is_dated_in_time = date.is_some_and(|date| date + timing.skew <= expires) || dates_do_not_matter();
                    if is_in_time && is_dated_in_time {
                        return Fate::Applied;
                    }
                    reached("answer came too late to count");
                    return Fate::Unknown(String::from("the store's answer came too late to count"));
                }
                // Nobody else makes this key, so a conflict is with a copy of an earlier attempt.
                Err(failure)
                    if failure.kind == Kind::Unavailable
                        || failure.kind == Kind::Conflict && !mutant::is_on(Mutant::ConflictsAreRefusals) =>
                {
                    if failure.kind == Kind::Conflict {
                        reached("409 to a segment");
                    }
                    may_have_been_done = true;
                    last = failure.message;
                }
                Err(failure) if !may_have_been_done => return Fate::Refused(failure),
                Err(failure) => last = failure.message,
            }
            let jittered = pause / 2 + pause.mul_f64(fraction(&requests.environment)) / 2;
            self.pause(jittered.min(left_of(end, requests.now()))).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// What is left of D.
fn left_of(end: Reading, now: Reading) -> Duration {
    if mutant::is_on(Mutant::LateAnswersCount) { LONGEST_PAUSE } else { end.since(now) }
}

fn dates_do_not_matter() -> bool {
    mutant::is_on(Mutant::AnswersCountWithoutDate) || mutant::is_on(Mutant::LateAnswersCount) || mutant::is_on(Mutant::TheLatestDateCounts)
}

/// Tells all callers of a segment; `false` where one of them was told something else before.
fn all_hear(batches: &[Pending], result: &Result<Applied, Error>) -> bool {
    let heard = batches.iter().filter(|pending| pending.ticket.finish(result.clone())).count();
    heard == batches.len()
}
