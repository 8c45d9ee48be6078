//! What a client does with a handle: it writes, waits, settles, flushes and looks, and writes down what it saw.

use super::{Fleet, Handle};
use crate::history::{Ending, Settlement, View, What};
use crate::model::{BatchId, draw_batch};
use crate::world::SECOND;
use opjournal::environment::Environment;
use opjournal::time::Stamp;
use opjournal::{Error, Outcome, Status};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::sync::Arc;

impl Fleet {
    pub(super) async fn client(&self, handle: Handle) {
        while self.is_active() {
            let (kind, pause) = handle.dice(|dice| (dice.within(0..10), dice.around(self.0.plan.think)));
            match kind {
                0..5 => self.write_some(&handle).await,
                5..8 => self.look(&handle, None),
                8 => self.flush(&handle).await,
                _ => {}
            }
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

    /// Submits one batch. The receiver ends once its outcome is known.
    fn write(&self, handle: &Handle) -> Option<tokio::sync::oneshot::Receiver<()>> {
        let deadline = handle.deadline(8 * SECOND);
        let id = {
            let (mut inner, payload) = (self.inner(), self.0.plan.payload);
            let draw = |id| handle.dice(|dice| draw_batch(dice, id, payload));
            inner.history.add_batch(&handle.name, handle.replica, handle.id, draw)
        };
        let ops = self.inner().history.batches[id as usize].ops.clone();
        let text = if let [op] = ops.as_slice() { op.to_string() } else { Value::Array(ops).to_string() };
        self.record(What::Submitted(id));
        // The caller's thread may take the first steps towards the store itself.
        let helps = self.dice(|dice| dice.chance(0.5));
        let submitted = if helps {
            handle.namespace.submit_here(text.as_bytes(), deadline)
        } else {
            handle.namespace.submit(text.as_bytes(), deadline)
        };
        let write = match submitted {
            Ok(write) => Arc::new(write),
            Err(error) => {
                self.record(What::Refused(id));
                self.expect("submit", &error, &[Status::Busy, Status::Closed]);
                if error.outcome != Outcome::None {
                    self.violate("P2", format!("batch {id} was refused with an unknown outcome"));
                }
                return None;
            }
        };
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let wait = self.wait(handle.replica, format!("batch {id}"));
        if handle.dice(|dice| dice.chance(0.05)) {
            let (write, process) = (write.clone(), handle.process.clone());
            let pause = handle.dice(|dice| dice.around(SECOND));
            handle.process.spawn(
                "canceller",
                Box::pin(async move {
                    process.pause(pause).await;
                    write.cancel();
                }),
            );
        }
        let (fleet, handle) = (self.clone(), handle.clone());
        let process = handle.process.clone();
        process.spawn(
            "writer",
            Box::pin(async move {
                let outcome = write.outcome().await;
                fleet.waited(wait);
                fleet.ended(&handle, id, outcome.map(|applied| applied.segment), sender).await;
            }),
        );
        Some(receiver)
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
            self.record(What::Settled(id, settlement));
            if settlement != Settlement::Unknown {
                self.inner().counts.add(&format!("write: settled as {settlement:?}").to_lowercase());
                self.look(handle, None);
                break;
            }
            handle.process.pause(SECOND).await;
        }
        self.waited(wait);
    }

    async fn flush(&self, handle: &Handle) {
        let flush = {
            let mut inner = self.inner();
            inner.flushes += 1;
            inner.flushes
        };
        let deadline = handle.deadline(10 * SECOND);
        let wait = self.wait(handle.replica, format!("flush {flush}"));
        self.record(What::FlushBegan { flush, namespace: handle.name.clone() });
        let flushed = handle.namespace.flush(deadline).await;
        self.waited(wait);
        self.record(What::FlushEnded(flush));
        match flushed {
            Ok(()) => {
                self.inner().counts.add("answer: flush OK");
                self.look(handle, Some(flush));
            }
            Err(error) => self.expect("flush", &error, &[Status::Unavailable, Status::TimedOut, Status::Closed]),
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
            Ok(view) => self.record(What::View(view)),
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
