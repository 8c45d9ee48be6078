//! Holds what clients saw to the promises of docs/guarantees.md. Knows the engine's promises and nothing of how it keeps them.

mod ending;
mod states;
#[cfg(test)]
mod tests;
mod views;

use super::batches::BatchSet;
use super::history::{About, Ending, Event, History, ReplicaId, Settlement, StateId, Violation, What};
use super::model::BatchId;
use super::settled::{Settled, Times};
use super::unreadable::Unreadable;
use super::world::Time;
use states::{Content, Replayed};
use std::collections::{BTreeMap, BTreeSet};
use views::Seen;

/// What the checker must know of the store to judge fairly.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fairness {
    /// Stamps come from one clock. Where they come from several, a later segment may carry an earlier stamp, and the canonical order is not the order in which a
    /// client wrote: then only P4's agreement on an order is checked, not P5's on which.
    pub one_clock_stamps: bool,
    /// When an open outcome must be settled, where nothing may keep it open: where the peer folds, or a person puts an old rollup back,
    /// it may stay so.
    pub settles: Option<Times>,
}

/// Checks the whole history, and returns every violation found, the earliest first.
pub fn check(history: &History, fairness: Fairness) -> Vec<Violation> {
    let mut checker = Checker::new(history, fairness);
    for event in &history.events {
        checker.event(event);
    }
    checker.end();
    let mut violations = checker.violations;
    violations.sort_by_key(|violation| violation.at);
    violations
}

struct Checker<'a> {
    history: &'a History,
    fairness: Fairness,
    violations: Vec<Violation>,
    contents: BTreeMap<(&'a str, StateId), Content>,
    replayed: BTreeMap<(ReplicaId, &'a str), Replayed>,
    endings: BTreeMap<BatchId, Ending>,
    refused: BTreeSet<BatchId>,
    settled: BTreeMap<BatchId, Settlement>,
    /// Acknowledged batches of each namespace, in the order of their acknowledgement.
    acknowledged: BTreeMap<&'a str, Vec<BatchId>>,
    /// How many of them there were as a flush began.
    flushes: BTreeMap<u64, usize>,
    flushes_ended: BTreeSet<u64>,
    replicas_ended: BTreeSet<ReplicaId>,
    seen: BTreeMap<(ReplicaId, &'a str), Seen>,
    /// Own acknowledged batches of each replica.
    own: BTreeMap<(ReplicaId, &'a str), BatchSet>,
    /// All batches that each replica submitted.
    submitted: BTreeMap<ReplicaId, BatchSet>,
    /// For each batch, what its replica had listed as it was submitted.
    listed_before: Vec<(BatchId, BatchSet)>,
    /// The first view that showed each batch.
    first_shown: BTreeMap<BatchId, (Time, ReplicaId)>,
    shown: BatchSet,
    finals: BTreeMap<&'a str, (ReplicaId, StateId, Time)>,
    unreadable: Unreadable<'a>,
    open: Option<Settled>,
    now: Time,
}

impl<'a> Checker<'a> {
    fn new(history: &'a History, fairness: Fairness) -> Checker<'a> {
        Checker {
            history,
            fairness,
            violations: history.violations.clone(),
            contents: BTreeMap::new(),
            replayed: BTreeMap::new(),
            endings: BTreeMap::new(),
            refused: BTreeSet::new(),
            settled: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            flushes: BTreeMap::new(),
            flushes_ended: BTreeSet::new(),
            replicas_ended: BTreeSet::new(),
            seen: BTreeMap::new(),
            own: BTreeMap::new(),
            submitted: BTreeMap::new(),
            listed_before: Vec::new(),
            first_shown: BTreeMap::new(),
            shown: BatchSet::default(),
            finals: BTreeMap::new(),
            unreadable: Unreadable::default(),
            open: fairness.settles.map(Settled::new),
            now: 0,
        }
    }

    fn violate(&mut self, promise: &'static str, what: String) {
        self.violate_about(About::Other, promise, what);
    }

    fn violate_about(&mut self, about: About, promise: &'static str, what: String) {
        self.violate_at(self.now, about, promise, what);
    }

    fn violate_at(&mut self, at: Time, about: About, promise: &'static str, what: String) {
        self.violations.push(Violation::new(at, promise, what).about(about));
    }

    fn event(&mut self, event: &'a Event) {
        self.now = event.at;
        if let Some(what) = self.unreadable.event(&event.what) {
            self.violate("unreadable segments", what);
        }
        if let Some(what) = self.open.as_mut().and_then(|open| open.event(event.at, &event.what)) {
            self.violate("P3", what);
        }
        match &event.what {
            What::Submitted(batch) => self.submitted(*batch),
            What::Refused(batch) => drop(self.refused.insert(*batch)),
            What::Ended(batch, ending) => self.ended(*batch, ending),
            What::Settled(batch, settlement) => self.settlement(*batch, *settlement),
            What::FlushBegan { flush, namespace, .. } => {
                let count = self.acknowledged.get(namespace.as_str()).map_or(0, Vec::len);
                self.flushes.insert(*flush, count);
            }
            What::View(view) => {
                self.look(view.state, &view.namespace, view.replica);
                self.view(view);
            }
            What::Final { replica, namespace, state } => {
                self.look(*state, namespace, *replica);
                self.last(*replica, namespace, *state);
            }
            What::Waiting { replica, what } => self.violate("an answer for every waiter", format!("replica {replica}: {what}")),
            What::FlushEnded(flush) => {
                if !self.flushes_ended.insert(*flush) {
                    self.violate("exactly one answer", format!("flush {flush} ended twice"));
                }
            }
            What::ReplicaEnded(replica) => drop(self.replicas_ended.insert(*replica)),
            What::Figure { replica, name, is, most } => {
                if is > most {
                    self.violate("bounds", format!("{name} of replica {replica} is {is}, and may be at most {most}"));
                }
            }
            What::Quiet(quiet) => {
                if let Some(what) = quiet.judge() {
                    self.violate("requests are bounded", what);
                }
            }
            What::OpenBegan { .. } | What::Opened { .. } | What::Spoiled { .. } | What::Healed { .. } => {}
            What::ToldUnreadable { .. } | What::Calm | What::StillOpen { .. } | What::Reachable => {}
            What::Unsettled(batch) => {
                let what = format!("batch {batch} is not settled though its replica lives");
                self.violate_about(About::Unsettled(*batch), "P3", what);
            }
        }
    }

    fn submitted(&mut self, id: BatchId) {
        let batch = &self.history.batches[id as usize];
        self.submitted.entry(batch.replica).or_default().insert(id);
        if let Some(seen) = self.seen.get(&(batch.replica, batch.namespace.as_str())) {
            // What another replica wrote can only be known from a LIST.
            let mut foreign = seen.held.clone();
            foreign.take_out(&self.submitted[&batch.replica]);
            self.listed_before.push((id, foreign));
        }
    }

    fn ended(&mut self, id: BatchId, ending: &Ending) {
        if let Some(before) = self.endings.insert(id, ending.clone()) {
            self.violate("exactly one answer", format!("batch {id} ended as {before:?} and then as {ending:?}"));
        }
        if matches!(ending, Ending::Applied { .. }) {
            self.acknowledge(id);
        }
    }

    fn acknowledge(&mut self, id: BatchId) {
        let batch = &self.history.batches[id as usize];
        self.acknowledged.entry(&batch.namespace).or_default().push(id);
        self.own.entry((batch.replica, &batch.namespace)).or_default().insert(id);
    }

    fn settlement(&mut self, id: BatchId, settlement: Settlement) {
        match self.settled.insert(id, settlement) {
            Some(before) if before != Settlement::Unknown && before != settlement => {
                self.violate("P3", format!("batch {id} was settled as {before:?} and then as {settlement:?}"));
            }
            Some(before) if before == settlement => {}
            _ if settlement == Settlement::Applied => self.acknowledge(id),
            _ => {}
        }
    }
}
