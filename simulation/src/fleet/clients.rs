//! What a client does with a handle: it writes, waits, settles, flushes and looks, and writes down what it saw.

use super::{Fleet, Handle};
use crate::history::{Ending, Settlement, View, What};
use crate::model::{BatchId, draw_batch};
use crate::variety::is_too_large;
use crate::world::{MILLISECOND, SECOND};
use opjournal::config::Limits;
use opjournal::environment::Environment;
use opjournal::journal::{Applied, Write};
use opjournal::time::Stamp;
use opjournal::{Error, Outcome, Status};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::sync::Arc;

/// What a flush is called, in the list of what somebody waits for, that another follows at once.
pub(super) const ENDLESS: &str = "endless flush";

impl Fleet {
    pub(super) async fn client(&self, handle: Handle) {
        while self.is_active() && !handle.is_over() {
            let (kind, pause) = handle.dice(|dice| (dice.within(0..10), dice.around(self.0.plan.think)));
            match kind {
                0..5 => self.write_some(&handle).await,
                5..8 => self.look(&handle, None),
                8 if self.dice(|dice| dice.chance(0.1)) => self.write_badly(&handle),
                8 => self.flush(&handle, "flush").await,
                _ => {}
            }
            handle.process.pause(pause).await;
        }
    }

    /// Flushes one after the other, also through the calm: neither ticks nor folds may starve.
    pub(super) async fn flush_for_ever(&self, handle: Handle) {
        self.inner().counts.add("fleet: endless flushes");
        // No faster than this where the store is: what would starve does so as well, and the run comes to its end.
        let pause = (SECOND / 10).saturating_sub(self.0.plan.character.latency).max(10 * MILLISECOND);
        while !handle.is_over() {
            self.flush(&handle, ENDLESS).await;
            handle.process.pause(pause).await;
        }
    }

    async fn write_some(&self, handle: &Handle) {
        let (burst, waits) = handle.dice(|dice| (dice.within(1..self.0.plan.burst + 1), dice.chance(0.7)));
        let mut ends = Vec::new();
        for _ in 0..burst {
            if self.inner().history.batches.len() as u64 >= self.0.plan.batches {
                return;
            }
            ends.extend(self.write(handle));
        }
        for end in ends {
            if waits {
                let _ = end.await;
            }
        }
    }

    /// Submits what is no batch. It must be refused, and whoever writes at the same time must not notice.
    fn write_badly(&self, handle: &Handle) {
        let bad = self.dice(|dice| *dice.pick(&[r#"{"op":"Increment","Key":"sum"}"#, r#"{"op":"IntAdd","Key":"sum","Delta":"3"}"#]));
        if let Err(error) = handle.namespace.submit(bad.as_bytes(), None) {
            self.expect("submit of no op", &error, &[Status::Invalid, Status::Closed, Status::ReadOnly]);
        }
    }

    /// Submits one batch. The receiver ends once its outcome is known.
    fn write(&self, handle: &Handle) -> Option<tokio::sync::oneshot::Receiver<()>> {
        let habits = self.0.plan.variety.habits;
        let deadline = handle.deadline(habits.patience);
        let id = {
            let (mut inner, payload) = (self.inner(), self.0.plan.payload);
            let draw = |id| handle.dice(|dice| draw_batch(dice, id, payload));
            inner.history.add_batch(&handle.name, handle.replica, handle.id, draw)
        };
        let ops = self.inner().history.batches[id as usize].ops.clone();
        let text = if let [op] = ops.as_slice() { op.to_string() } else { Value::Array(ops).to_string() };
        self.record(What::Submitted(id));
        // The caller's thread may take the first steps towards the store itself.
        let helps = handle.dice(|dice| dice.chance(0.5));
        let submitted = if helps {
            handle.namespace.submit_here(text.as_bytes(), deadline)
        } else {
            handle.namespace.submit(text.as_bytes(), deadline)
        };
        let write = match submitted {
            Ok(write) => Arc::new(write),
            Err(error) => {
                self.record(What::Refused(id));
                self.refused(handle, &text, &error);
                if error.outcome != Outcome::None {
                    self.violate("P2", format!("batch {id} was refused with an unknown outcome"));
                }
                return None;
            }
        };
        if handle.settings.read_only || is_too_large(&text, &handle.settings.limits) {
            self.violate("limits", format!("batch {id} of {} bytes was taken in by replica {}", text.len(), handle.replica));
        }
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let wait = self.wait(handle.replica, format!("batch {id}"));
        if handle.dice(|dice| dice.chance(habits.cancels)) {
            self.inner().counts.add("write: cancelled by its caller");
            let (write, process) = (write.clone(), handle.process.clone());
            let pause = handle.dice(|dice| dice.pick(&[0, 50 * MILLISECOND, SECOND, 8 * SECOND]).saturating_mul(dice.within(0..3) / 2 + 1));
            handle.process.spawn(
                "canceller",
                Box::pin(async move {
                    process.pause(pause).await;
                    write.cancel();
                }),
            );
        }
        let (drops, forgets, given) = handle.dice(|dice| (dice.chance(habits.drops), dice.chance(0.5), dice.around(SECOND)));
        let (fleet, handle) = (self.clone(), handle.clone());
        let process = handle.process.clone();
        process.clone().spawn(
            "writer",
            Box::pin(async move {
                if drops {
                    // Dropping the future neither withdraws the batch nor loses it.
                    tokio::select! {
                        biased;
                        _ = write.outcome() => {}
                        () = process.pause(given) => fleet.inner().counts.add("write: future dropped"),
                    }
                    if forgets {
                        return fleet.waited(wait);
                    }
                }
                // Half of the writes wait in the one way, half in the other.
                let outcome = if id % 2 == 0 { write.outcome().await } else { fleet.told(&write).await };
                fleet.waited(wait);
                fleet.ended(&handle, id, outcome.map(|applied| applied.segment.to_string()), sender).await;
            }),
        );
        Some(receiver)
    }

    /// What a write's listener is told.
    async fn told(&self, write: &Write) -> Result<Applied, Error> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        write.listen(move |outcome| drop(sender.send(outcome)));
        match receiver.await {
            Ok(outcome) => outcome,
            Err(_) => {
                self.violate("an answer for every waiter", "a listener was dropped untold".to_owned());
                write.outcome().await
            }
        }
    }

    /// What is refused is refused for a reason that this replica has.
    fn refused(&self, handle: &Handle, text: &str, error: &Error) {
        let limits = &handle.settings.limits;
        let expected = match error.status {
            Status::ReadOnly => handle.settings.read_only,
            Status::TooLarge => is_too_large(text, limits) || limits.state_bytes < Limits::default().state_bytes,
            Status::Busy => limits.waiting_bytes < Limits::default().waiting_bytes,
            _ => true,
        };
        if !expected {
            self.violate("statuses that fit", format!("submit fails with {error}"));
        }
        self.expect("submit", error, &[Status::Busy, Status::Closed, Status::ReadOnly, Status::TooLarge]);
    }

    async fn ended(&self, handle: &Handle, id: BatchId, outcome: Result<String, Error>, sender: tokio::sync::oneshot::Sender<()>) {
        let error = match outcome {
            Ok(segment) => {
                self.inner().counts.add("write: applied");
                self.record(What::Ended(id, Ending::Applied { segment }));
                self.look(handle, None);
                return;
            }
            Err(error) => error,
        };
        self.expect("write", &error, &[Status::TimedOut, Status::Cancelled, Status::Closed, Status::Unavailable]);
        if error.outcome == Outcome::None {
            self.inner().counts.add("write: failed");
            self.record(What::Ended(id, Ending::Failed { status: error.status.name() }));
            return;
        }
        self.inner().counts.add("write: unknown");
        let segment = error.details.get("segment").and_then(Value::as_str).unwrap_or_default().to_owned();
        if segment.is_empty() {
            self.violate("P3", format!("the unknown outcome of batch {id} names no segment: {error}"));
        }
        self.record(What::Ended(id, Ending::Unknown { segment: segment.clone() }));
        drop(sender);
        self.settle(handle, id, &segment).await;
    }

    async fn settle(&self, handle: &Handle, id: BatchId, segment: &str) {
        let wait = self.wait(handle.replica, format!("settling batch {id} in {segment}"));
        let query = json!({"op": "Outcome", "Segment": segment}).to_string();
        loop {
            let mut answer = Vec::new();
            if let Err(error) = handle.namespace.query(query.as_bytes(), &mut answer) {
                self.expect("query", &error, &[Status::Closed]);
                break;
            }
            let settlement = match answer.as_slice() {
                br#""applied""# => Settlement::Applied,
                br#""failed""# => Settlement::Failed,
                br#""unknown""# => Settlement::Unknown,
                other => {
                    self.violate("P3", format!("Outcome answers {}", String::from_utf8_lossy(other)));
                    break;
                }
            };
            if settlement == Settlement::Unknown {
                let figures = &handle.journal.stats()["namespaces"][&handle.name];
                let figure = |name: &str| figures[name].as_u64().unwrap_or(0);
                let good_ticks = figure("ticks").saturating_sub(figure("failed_ticks"));
                self.record(What::StillOpen { batch: id, good_ticks });
            }
            self.record(What::Settled(id, settlement));
            if settlement != Settlement::Unknown {
                self.inner().counts.add(&format!("write: settled as {settlement:?}").to_lowercase());
                self.look(handle, None);
                break;
            }
            if self.inner().is_calm {
                self.inner().counts.add("write: never settled");
                self.inner().unsettled.push(segment.to_owned());
                self.record(What::Unsettled(id));
                break;
            }
            handle.process.pause(SECOND).await;
        }
        self.waited(wait);
    }

    async fn flush(&self, handle: &Handle, name: &str) {
        let flush = {
            let mut inner = self.inner();
            inner.flushes += 1;
            inner.flushes
        };
        let deadline = handle.deadline(10 * SECOND);
        let wait = self.wait(handle.replica, format!("{name} {flush}"));
        self.record(What::FlushBegan { flush, namespace: handle.name.clone() });
        let flushed = handle.namespace.flush(deadline).await;
        self.waited(wait);
        self.record(What::FlushEnded(flush));
        match flushed {
            Ok(()) => {
                self.inner().counts.add("answer: flush OK");
                self.look(handle, Some(flush));
            }
            Err(error) if error.status == Status::Unreadable => {
                let figures = &handle.journal.stats()["namespaces"][&handle.name];
                let status = &figures["unreadable"];
                // One that was closed meanwhile has no status.
                let names = |segment: &str| figures.is_null() || status.as_array().is_some_and(|all| all.iter().any(|one| one == segment));
                self.told_unreadable("flush", &handle.name, &error, names);
                self.look(handle, None);
            }
            Err(error) => self.expect("flush", &error, &[Status::Unavailable, Status::TimedOut, Status::Closed]),
        }
    }

    /// A call failed because of an unreadable segment, which `is_in_status` or is not.
    pub(super) fn told_unreadable(&self, call: &str, namespace: &str, error: &Error, is_in_status: impl Fn(&str) -> bool) {
        let segment = error.details.get("segment").and_then(Value::as_str).unwrap_or_default().to_owned();
        self.expect(call, error, &[Status::Unreadable]);
        let is_in_status = is_in_status(&segment);
        self.record(What::ToldUnreadable { namespace: namespace.to_owned(), segment, is_in_status });
    }

    /// Holds what a replica keeps in memory to its bounds.
    fn weigh(&self, handle: &Handle) {
        let stats = handle.journal.stats();
        let figures = &stats["namespaces"][&handle.name];
        // Closed, or not there yet.
        let Some(waiting) = figures["waiting_bytes"].as_u64() else { return };
        let figure = |name: &str| figures[name].as_u64().unwrap_or(u64::MAX);
        let limits = &handle.settings.limits;
        // An empty line takes any batch in, and each counts 256 bytes beside its ops.
        let longest = limits.batch_bytes.min(limits.segment_bytes) + 256;
        let bounds = [
            ("waiting_bytes", waiting, limits.waiting_bytes.max(longest) as u64),
            // Those of a LIST that is being joined come beside what is held.
            ("bodies", figure("bodies"), figure("tail") + figure("own") + 1 + self.0.bucket.most_segments(&handle.name)),
        ];
        for (name, is, most) in bounds {
            self.record(What::Figure { replica: handle.replica, name, is, most });
        }
    }

    /// Queries the whole state and what belongs to it, and writes down what was seen.
    pub(super) fn look(&self, handle: &Handle, after_flush: Option<u64>) {
        let query = br#"[{"op":"State"},{"op":"Digest"},{"op":"IntGet","Key":"sum"},{"op":"ListLen","Key":"log"}]"#;
        let mut answer = Vec::new();
        if let Err(error) = handle.namespace.query(query, &mut answer) {
            return self.expect("query", &error, &[Status::Closed]);
        }
        match self.read_view(handle, &answer, after_flush) {
            Ok(view) => {
                if after_flush.is_some() {
                    self.note_healed();
                }
                self.record(What::View(view));
                if handle.dice(|dice| dice.chance(0.05)) {
                    self.weigh(handle);
                }
            }
            Err(what) => self.violate("queries", format!("replica {}: {what}: {}", handle.replica, String::from_utf8_lossy(&answer))),
        }
    }

    fn read_view(&self, handle: &Handle, answer: &[u8], after_flush: Option<u64>) -> Result<View, String> {
        let answers: Vec<&RawValue> = serde_json::from_slice(answer).map_err(|error| error.to_string())?;
        let [state, digest, sum, length] = answers.as_slice() else { return Err("not four answers".to_owned()) };
        let digest: Value = serde_json::from_str(digest.get()).map_err(|error| error.to_string())?;
        let state = {
            let mut inner = self.inner();
            let id = inner.history.state(state.get());
            let facts = inner.history.facts(id)?;
            if digest["sha256"].as_str() != Some(&facts.sha256) {
                return Err(format!("the digest is not that of the state, {}", facts.sha256));
            }
            if sum.get().parse() != Ok(facts.sum) || length.get().parse() != Ok(facts.length) {
                return Err("answers of one array are not from one state".to_owned());
            }
            id
        };
        let age = digest["age_ms"].as_u64().ok_or("no age")?;
        if let Some(listed) = self.0.bucket.listed(handle.process.id()) {
            // The clock of the process may be a little slow, and the age is in whole milliseconds.
            let at_least = ((self.now() - listed) / 1_000_000).saturating_sub(2 + (self.now() - listed) / 5_000_000_000);
            if age < at_least {
                self.violate(
                    "P8",
                    format!("replica {} says its state is {age} ms old, and its last LIST began {at_least} ms ago", handle.replica),
                );
            }
        }
        let mark = &digest["mark"];
        let stamp = mark["lm"].as_str().and_then(Stamp::parse).ok_or("no mark")?;
        let mark = (stamp.as_nanos(), mark["key"].as_str().ok_or("no key in the mark")?.to_owned());
        Ok(View { replica: handle.replica, namespace: handle.name.clone(), state, mark, after_flush })
    }
}
