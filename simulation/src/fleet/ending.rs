//! The end of a run: the faults are over, and the fleet has to keep what it promises from then on.

use super::Fleet;
use super::clients::ENDLESS;
use crate::faults::{Counts, Weather};
use crate::history::{ReplicaId, What};
use crate::plan::Profile;
use crate::world::{Process, SECOND, Time};
use opjournal::environment::Environment;
use opjournal::{Error, Journal, Status};
use serde_json::Value;
use std::collections::BTreeMap;

impl Fleet {
    /// Lets the faults end, and holds the fleet to what it promises from then on.
    pub(super) async fn last_act(&self) {
        let plan = &self.0.plan;
        let (world, outside) = (&self.0.world, &self.0.outside);
        outside.pause(plan.active).await;
        self.inner().is_active = false;
        self.0.bucket.set_faults(Default::default());
        self.0.bucket.set_weather(Weather::Fair);
        world.note(|| "the faults are over".to_owned());
        // What is still frozen, cut off, late or to be started anew comes back by itself. This is when the last of it has.
        outside.pause(8 * 4 * SECOND).await;
        for place in 0..plan.replicas {
            let process = self.place(place).process.id();
            world.thaw(process);
            self.0.bucket.cut_off(process, false);
        }
        self.mend_peers();
        if plan.profile == Profile::Beyond {
            self.0.bucket.mend_clocks();
        }
        let arrived = self.0.bucket.last_arrival() + plan.fold_age;
        world.sleep_until(arrived).await;
        world.note(|| "everything has arrived".to_owned());
        self.mend_rollups().await;
        self.record(What::Reachable);

        // A write may be open for as long as it takes to be void, and another be waiting behind it.
        let interval = plan.sync_interval();
        let beyond = 2 * plan.character.skew + plan.character.visibility;
        self.until_all_is_written(8 * plan.fold_age + 10 * interval + 120 * SECOND + beyond).await;
        if self.is_something_unwritten() {
            // The first write of all waits until the store is tested.
            self.until_the_store_is_tested().await;
            self.until_all_is_written(plan.fold_age + interval + beyond).await;
        }
        // A fold by a peer may have made away with what would tell.
        let late = self.waited_for();
        self.inner().is_calm = true;
        // Who waits for what stays unknown looks once more.
        outside.pause(2 * SECOND + 20 * plan.character.latency).await;
        self.record(What::Calm);

        outside.pause(2 * interval + interval / 4 + 5 * SECOND).await;
        // Longer than an open takes, also of many pages. Who is refused again and again waits anew each time.
        let still = self.waited_for();
        for (replica, what) in late.into_iter().filter(|(wait, _)| still.contains_key(wait)).map(|(_, left)| left) {
            self.record(What::Waiting { replica, what });
        }
        self.agree("P9: two good ticks after the last fault", false);
        self.storms().await;
        // Aged, stood for two ticks, jitter; as many folds as it takes; then F and two ticks until the deletes.
        let tests = self.tests();
        let until_deleted = plan.fold_age + 3 * interval + 20 * SECOND;
        outside.pause(plan.aged_after() + 6 * interval + until_deleted).await;
        if self.tests() > tests {
            self.until_the_store_is_tested().await;
            outside.pause(until_deleted).await;
        }
        if let Some(peers) = plan.peers {
            // It looks at its own interval, and two ticks after a fold at the latest it deletes.
            outside.pause(peers.settings.aged_after + 8 * peers.settings.interval).await;
        }
        self.agree("P4", true);
        self.record_peers();
        self.quiet().await;

        for place in 0..plan.replicas {
            let stands = self.place(place);
            for journal in stands.tenants.into_iter().filter_map(|tenant| tenant.journal) {
                self.note_stats(&journal);
                let fleet = self.clone();
                let process = stands.process.clone();
                stands.process.spawn("closes", Box::pin(async move { fleet.close_idle(&process, journal).await }));
            }
        }
        outside.pause(11 * SECOND).await;
        self.inner().is_done = true;
    }

    /// Waits until everybody is back and nobody waits for anything, or until patience is over.
    async fn until_all_is_written(&self, patience: Time) {
        let end = self.now() + patience;
        while self.now() < end && (self.is_somebody_away() || self.is_something_unwritten() || !self.waited_for().is_empty()) {
            self.0.outside.pause(SECOND / 4).await;
        }
    }

    /// Whoever writes or folds for the first time tests the store before. Where objects become visible late, that takes minutes.
    async fn until_the_store_is_tested(&self) {
        let character = &self.0.plan.character;
        let patience = self.now() + 600 * SECOND;
        let mut before = 0;
        while self.now() < patience && self.tests() > before {
            before = self.tests();
            self.0.outside.pause(5 * SECOND + character.visibility + 8 * character.latency).await;
        }
    }

    /// How many requests were sent so far to test the store.
    fn tests(&self) -> u64 {
        (0..self.0.plan.replicas).map(|place| self.0.bucket.asked(self.place(place).process.id()).tests).sum()
    }

    /// Whether a replica that closes late is still to be started anew.
    fn is_somebody_away(&self) -> bool {
        self.inner().places.iter().flat_map(|place| &place.tenants).any(|tenant| tenant.is_leaving || tenant.journal.is_none())
    }

    /// Whether a batch that nobody waits for any more is still to be written, or to be settled.
    fn is_something_unwritten(&self) -> bool {
        let journals: Vec<Journal> =
            self.inner().places.iter().flat_map(|place| &place.tenants).filter_map(|tenant| tenant.journal.clone()).collect();
        let is_unwritten = |namespace: &Value| namespace["waiting"] != 0 || !namespace["open_segment"].is_null();
        journals
            .iter()
            .any(|journal| journal.stats()["namespaces"].as_object().into_iter().flatten().any(|(_, figures)| is_unwritten(figures)))
    }

    /// What somebody waits for, but for flushes without end.
    fn waited_for(&self) -> BTreeMap<u64, (ReplicaId, String)> {
        let mut waiting = self.inner().waiting.clone();
        waiting.retain(|_, (_, what)| !what.starts_with(ENDLESS));
        waiting
    }

    async fn close_idle(&self, process: &Process, journal: Journal) {
        match journal.close(Some(process.after(10 * SECOND))).await {
            Ok(closed) if closed.unknown.is_empty() => self.inner().counts.add("fleet: closed at the end"),
            Ok(closed) => self.violate("P3", format!("an idle replica closes with open outcomes: {:?}", closed.unknown)),
            Err(error) if self.are_all_unsettled(&error) => self.inner().counts.add("fleet: closed with what stays unknown"),
            Err(error) => self.violate("close", format!("an idle replica does not close: {error}")),
        }
    }

    /// Every replica is there and holds the same state of each namespace.
    pub(super) fn agree(&self, promise: &'static str, is_final: bool) {
        for name in &self.0.plan.namespaces {
            let mut first: Option<(ReplicaId, String)> = None;
            let is_spoiled = self.is_spoiled(name);
            let tenants =
                (0..self.0.plan.replicas).flat_map(|place| self.place(place).tenants.into_iter().map(move |tenant| (place, tenant)));
            let mut is_attended = false;
            for (place, stands) in tenants {
                let Some(handle) = stands.handles.get(name) else {
                    if is_spoiled && !self.0.plan.settings_of(place).allow_degraded {
                        self.inner().counts.add("fleet: kept out by an unreadable segment");
                        continue;
                    }
                    self.violate("P9", format!("replica {} has not opened namespace {name:?}", stands.replica));
                    continue;
                };
                is_attended |= !handle.settings.read_only;
                let mut answer = Vec::new();
                if let Err(error) = handle.namespace.query(br#"{"op":"State"}"#, &mut answer) {
                    self.violate("queries", format!("replica {} at the end: {error}", stands.replica));
                    continue;
                }
                self.look(handle, None);
                let text = String::from_utf8_lossy(&answer).into_owned();
                if is_final {
                    let state = self.inner().history.state(&text);
                    self.record(What::Final { replica: stands.replica, namespace: name.clone(), state });
                } else if let Some((other, other_text)) = &first {
                    if *other_text != text {
                        self.violate(
                            promise,
                            format!("replicas {other} and {} differ in {name:?}: {other_text} and {text}", stands.replica),
                        );
                    }
                } else {
                    first = Some((stands.replica, text));
                }
            }
            if !is_attended {
                self.inner().history.unattended.insert(name.clone());
            }
        }
    }

    /// Whether a close ends as it does because of outcomes that were found not to be told any more.
    fn are_all_unsettled(&self, error: &Error) -> bool {
        let inner = self.inner();
        let Some(unknown) = error.details.get("unknown").and_then(Value::as_array) else { return false };
        let is_known = |name: &str| inner.unsettled.iter().any(|segment| name.ends_with(segment));
        error.status == Status::TimedOut && !unknown.is_empty() && unknown.iter().filter_map(Value::as_str).all(is_known)
    }

    /// Adds the engine's own figures to the counts, whatever they are called.
    pub(super) fn note_stats(&self, journal: &Journal) {
        let stats = journal.stats();
        self.0.world.note(|| format!("stats: {stats}"));
        if self.0.plan.profile == Profile::Fleet {
            self.check_no_false_alarm(&stats);
        }
        let mut inner = self.inner();
        add_figures(&mut inner.counts, "stats", &stats);
    }

    /// Where nobody but this library writes, within its assumptions, no error may say that somebody else lost something.
    fn check_no_false_alarm(&self, stats: &Value) {
        for (name, figures) in stats["namespaces"].as_object().into_iter().flatten() {
            for alarm in ["vanished", "void_own", "written_forward"] {
                if figures[alarm].as_u64() != Some(0) {
                    self.violate("no false alarm", format!("namespace {name:?} counts {} as {alarm}", figures[alarm]));
                }
            }
        }
    }
}

fn add_figures(counts: &mut Counts, name: &str, value: &Value) {
    match value {
        Value::Object(members) => {
            for (member, value) in members {
                // The names of namespaces say nothing about the figures inside.
                let name = if name == "stats.namespaces" { "stats.namespaces.*".to_owned() } else { format!("{name}.{member}") };
                add_figures(counts, &name, value);
            }
        }
        Value::Array(items) => items.iter().for_each(|value| add_figures(counts, name, value)),
        Value::Number(number) => counts.add_many(name, number.as_u64().unwrap_or(0)),
        _ => {}
    }
}
