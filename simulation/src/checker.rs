//! Holds what clients saw to the promises of docs/guarantees.md. Knows the engine's promises and nothing of how it keeps them.

use super::batches::BatchSet;
use super::history::{About, Ending, Event, History, ReplicaId, Settlement, StateId, Violation, What};
use super::model::{BatchId, Model, log_of};
use super::settled::{Settled, Times};
use super::unreadable::Unreadable;
use super::world::Time;
use std::collections::{BTreeMap, BTreeSet};

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

/// What a state holds, looked at once however often it was seen.
struct Content {
    log: Vec<BatchId>,
    held: BatchSet,
}

/// The batches of a state and what they make: most states that a replica shows only add to one that it showed before.
#[derive(Clone, Default)]
struct Replayed {
    log: Vec<BatchId>,
    model: Model,
}

#[derive(Default)]
struct Seen {
    held: BatchSet,
    mark: Option<(i128, String)>,
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
        self.violations.push(Violation::new(self.now, promise, what).about(about));
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

    /// What can be said of a state alone.
    fn look(&mut self, state: StateId, namespace: &'a str, replica: ReplicaId) {
        if self.contents.contains_key(&(namespace, state)) {
            return;
        }
        let text = &self.history.states[state];
        let Some(log) = log_of(text) else {
            self.violate("canonical JSON", format!("replica {replica} showed a state that is no object: {text}"));
            self.contents.insert((namespace, state), Content { log: Vec::new(), held: BatchSet::default() });
            return;
        };
        let mut held = BatchSet::default();
        let mut last_of_handle = BTreeMap::new();
        let mut replayed = self.nearest_replayed(&log, namespace, replica);
        let applied = replayed.log.len();
        for (index, &id) in log.iter().enumerate() {
            let Some(batch) = self.history.batches.get(id as usize).filter(|batch| batch.namespace == namespace) else {
                self.violate("P1", format!("replica {replica} shows batch {id}, which nobody wrote to namespace {namespace:?}"));
                continue;
            };
            if !held.insert(id) {
                self.violate_about(About::Twice, "P1", format!("replica {replica} shows batch {id} twice"));
            }
            let before = last_of_handle.insert(batch.handle, id);
            if let Some(before) = before.filter(|before| *before > id && self.fairness.one_clock_stamps) {
                self.violate_about(
                    About::Order(before, id),
                    "P5",
                    format!(
                        "replica {replica} shows batch {before} before batch {id}, which was submitted earlier through the same handle"
                    ),
                );
            }
            if index < applied {
                continue;
            }
            for op in &batch.ops {
                if let Err(reason) = replayed.model.apply(op) {
                    self.violate("P1", format!("batch {id} cannot be replayed: {reason}"));
                }
            }
        }
        let made = replayed.model.text();
        if made != *text {
            self.violate("P1", format!("replica {replica} shows a state that its batches {log:?} do not make: {text} instead of {made}"));
        }
        replayed.log.clone_from(&log);
        self.replayed.insert((replica, namespace), replayed);
        self.contents.insert((namespace, state), Content { log, held });
    }

    /// What was replayed for a state that this one only adds to: the replica's own if it does, else another's.
    fn nearest_replayed(&mut self, log: &[BatchId], namespace: &'a str, replica: ReplicaId) -> Replayed {
        if let Some(own) = self.replayed.remove(&(replica, namespace)).filter(|own| log.starts_with(&own.log)) {
            return own;
        }
        let others = self.replayed.iter().filter(|((_, name), other)| *name == namespace && log.starts_with(&other.log));
        others.max_by_key(|(_, other)| other.log.len()).map(|(_, other)| other.clone()).unwrap_or_else(|| {
            let model = self.history.legacy.get(namespace).cloned().unwrap_or_default();
            Replayed { log: Vec::new(), model }
        })
    }

    fn view(&mut self, view: &'a super::history::View) {
        if self.replicas_ended.contains(&view.replica) {
            self.violate("an end is an end", format!("replica {} answers a query after it ended", view.replica));
        }
        let place = (view.replica, view.namespace.as_str());
        let held = self.contents[&(view.namespace.as_str(), view.state)].held.clone();
        let newly_shown: Vec<BatchId> = held.without(&self.shown).collect();
        for id in newly_shown {
            self.shown.insert(id);
            self.first_shown.insert(id, (self.now, view.replica));
        }
        if let Some(missing) = self.own.get(&place).and_then(|own| own.without(&held).next()) {
            self.violate_about(
                About::Gone(missing),
                "P5",
                format!("replica {} does not read its own acknowledged batch {missing}", view.replica),
            );
        }
        if let Some(count) = view.after_flush.and_then(|flush| self.flushes.get(&flush)).copied() {
            let acknowledged = self.acknowledged.get(view.namespace.as_str()).map_or(&[][..], Vec::as_slice);
            if let Some(missing) = acknowledged[..count].iter().copied().find(|id| !held.contains(*id)) {
                self.violate_about(
                    About::Gone(missing),
                    "P6",
                    format!("replica {} flushed and does not see batch {missing}, acknowledged before the flush began", view.replica),
                );
            }
        }
        let seen = self.seen.entry(place).or_default();
        let gone = seen.held.without(&held).next();
        let mark_before = seen.mark.replace(view.mark.clone());
        seen.held = held;
        if let Some(gone) = gone {
            self.violate_about(About::Gone(gone), "P5", format!("batch {gone} vanished from replica {}", view.replica));
        }
        if let Some(mark_before) = mark_before.filter(|before| *before > view.mark) {
            self.violate("P7", format!("the mark of replica {} went back from {mark_before:?} to {:?}", view.replica, view.mark));
        }
    }

    fn last(&mut self, replica: ReplicaId, namespace: &'a str, state: StateId) {
        match self.finals.get(namespace) {
            None => drop(self.finals.insert(namespace, (replica, state, self.now))),
            Some(&(other, other_state, _)) if other_state != state => {
                let text = format!(
                    "replicas {other} and {replica} end with different states of {namespace:?}: {} and {}",
                    self.history.states[other_state], self.history.states[state]
                );
                self.violate("P4", text);
            }
            Some(_) => {}
        }
    }

    /// What can be said only when everything is over.
    fn end(&mut self) {
        for id in 0..self.history.batches.len() as BatchId {
            let namespace = self.history.batches[id as usize].namespace.as_str();
            let shown = self.first_shown.get(&id).copied();
            let last = self.finals.get(namespace).copied();
            let is_in_end = last.is_some_and(|(_, state, _)| self.contents[&(namespace, state)].held.contains(id));
            let settled = self.settled.get(&id).copied();
            let ending = self.endings.get(&id).cloned();
            let failed = self.refused.contains(&id) || matches!(ending, Some(Ending::Failed { .. }));
            if failed || settled == Some(Settlement::Failed) {
                if let Some((at, replica)) = shown {
                    self.now = at;
                    self.violate_about(
                        About::Failed(id),
                        "P2",
                        format!("batch {id} failed ({ending:?}, settled {settled:?}) and was shown by replica {replica}"),
                    );
                } else if is_in_end {
                    self.violate_about(
                        About::Failed(id),
                        "P2",
                        format!("batch {id} failed ({ending:?}, settled {settled:?}) and is in the final state"),
                    );
                }
            }
            let applied = matches!(ending, Some(Ending::Applied { .. })) || settled == Some(Settlement::Applied);
            if applied && last.is_some() && !is_in_end {
                self.violate_about(About::Gone(id), "P1", format!("batch {id} was acknowledged and is not in the final state"));
            }
            if let (Some((at, replica)), Some(_), false) = (shown, last, is_in_end) {
                self.now = at;
                self.violate_about(
                    About::Gone(id),
                    "P5",
                    format!("batch {id} was shown by replica {replica} and is not in the final state"),
                );
            }
        }
        if self.fairness.one_clock_stamps {
            self.listed_before_written_after();
        }
    }

    fn listed_before_written_after(&mut self) {
        let listed_before = std::mem::take(&mut self.listed_before);
        for (id, listed) in listed_before {
            let namespace = self.history.batches[id as usize].namespace.as_str();
            let Some(&(_, state, at)) = self.finals.get(namespace) else { continue };
            let log = &self.contents[&(namespace, state)].log;
            let Some(place) = log.iter().position(|other| *other == id) else { continue };
            if let Some(later) = log[place..].iter().copied().find(|other| listed.contains(*other)) {
                self.now = at;
                self.violate_about(
                    About::Order(id, later),
                    "P5",
                    format!("batch {id} sorts before batch {later}, which its replica had listed before it wrote"),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::folds::Constants;
    use super::super::history::View;
    use super::super::quiet::{Quiet, Requests, Ticking};
    use super::super::world::SECOND;
    use super::*;
    use serde_json::json;

    /// A history made by hand. Handle and replica have the same number.
    struct Hand(History);

    impl Hand {
        fn new() -> Hand {
            Hand(History::default())
        }

        fn add(&mut self, what: What) -> &mut Hand {
            let at = self.0.events.len() as Time;
            self.0.add(at, what);
            self
        }

        fn submit(&mut self, replica: ReplicaId) -> BatchId {
            let id = self.0.add_batch("n", replica, replica, |id| {
                vec![json!({"op": "IntAdd", "Key": "sum", "Delta": 1}), json!({"op": "ListAppend", "Key": "log", "Value": id})]
            });
            self.add(What::Submitted(id));
            id
        }

        fn applied(&mut self, id: BatchId) {
            self.add(What::Ended(id, Ending::Applied { segment: "segment-x.json".to_owned() }));
        }

        fn text(log: &[BatchId], sum: usize) -> String {
            if log.is_empty() { "{}".to_owned() } else { format!("{{\"log\":{},\"sum\":{sum}}}", json!(log)) }
        }

        fn view(&mut self, replica: ReplicaId, log: &[BatchId]) -> &mut View {
            let state = self.0.state(&Hand::text(log, log.len()));
            self.add(What::View(View { replica, namespace: "n".to_owned(), state, mark: (0, String::new()), after_flush: None }));
            match &mut self.0.events.last_mut().expect("just added").what {
                What::View(view) => view,
                _ => unreachable!(),
            }
        }

        fn last(&mut self, replica: ReplicaId, log: &[BatchId]) {
            let state = self.0.state(&Hand::text(log, log.len()));
            self.add(What::Final { replica, namespace: "n".to_owned(), state });
        }

        fn promises(&self) -> Vec<&'static str> {
            check(&self.0, Fairness { one_clock_stamps: true, ..Fairness::default() }).iter().map(|violation| violation.promise).collect()
        }
    }

    #[test]
    fn a_good_history_passes() {
        let mut hand = Hand::new();
        let first = hand.submit(0);
        hand.applied(first);
        hand.view(0, &[first]);
        let second = hand.submit(1);
        let third = hand.submit(1);
        hand.add(What::Ended(second, Ending::Unknown { segment: "segment-y.json".to_owned() }));
        hand.add(What::Settled(second, Settlement::Unknown));
        hand.add(What::Settled(second, Settlement::Failed));
        hand.applied(third);
        hand.add(What::FlushBegan { flush: 1, namespace: "n".to_owned() });
        hand.view(0, &[first, third]).after_flush = Some(1);
        hand.last(0, &[first, third]);
        hand.last(1, &[first, third]);
        assert_eq!(hand.promises(), [""; 0]);
    }

    #[test]
    fn p1_acknowledged_and_lost() {
        let mut hand = Hand::new();
        let id = hand.submit(0);
        hand.applied(id);
        hand.last(0, &[]);
        assert_eq!(hand.promises(), ["P1"]);
    }

    #[test]
    fn p1_twice() {
        let mut hand = Hand::new();
        let id = hand.submit(0);
        hand.view(1, &[id, id]);
        hand.last(1, &[id]);
        assert!(hand.promises().contains(&"P1"));
    }

    #[test]
    fn p1_torn() {
        let mut hand = Hand::new();
        let id = hand.submit(0);
        let state = hand.0.state(&Hand::text(&[id], 0));
        hand.add(What::View(View { replica: 0, namespace: "n".to_owned(), state, mark: (0, String::new()), after_flush: None }));
        assert_eq!(hand.promises(), ["P1"]);
    }

    #[test]
    fn p1_of_another_namespace() {
        let mut hand = Hand::new();
        let id = hand.0.add_batch("other", 0, 0, |_| Vec::new());
        hand.view(0, &[id]);
        assert!(hand.promises().contains(&"P1"));
    }

    #[test]
    fn p2_failed_and_shown() {
        for ending in [What::Refused(0), What::Ended(0, Ending::Failed { status: "TIMED_OUT" }), What::Settled(0, Settlement::Failed)] {
            let mut hand = Hand::new();
            let id = hand.submit(0);
            hand.view(1, &[id]);
            hand.add(ending);
            hand.last(1, &[id]);
            assert_eq!(hand.promises(), ["P2"]);
        }
    }

    #[test]
    fn p3_settled_twice_and_differently() {
        let mut hand = Hand::new();
        let id = hand.submit(0);
        hand.add(What::Settled(id, Settlement::Failed)).add(What::Settled(id, Settlement::Applied));
        assert_eq!(hand.promises(), ["P3"]);
    }

    #[test]
    fn p4_replicas_that_differ() {
        let mut hand = Hand::new();
        let (first, second) = (hand.submit(0), hand.submit(1));
        hand.last(0, &[first, second]);
        hand.last(1, &[second, first]);
        assert_eq!(hand.promises(), ["P4"]);
    }

    #[test]
    fn p5_order_of_a_handle() {
        let mut hand = Hand::new();
        let (first, second) = (hand.submit(0), hand.submit(0));
        hand.view(1, &[second, first]);
        assert_eq!(hand.promises(), ["P5"]);
        assert!(check(&hand.0, Fairness::default()).is_empty());
    }

    #[test]
    fn p5_own_write_not_read() {
        let mut hand = Hand::new();
        let id = hand.submit(0);
        hand.applied(id);
        hand.view(1, &[]);
        assert_eq!(hand.promises(), [""; 0]);
        hand.view(0, &[]);
        assert_eq!(hand.promises(), ["P5"]);
    }

    #[test]
    fn p5_vanished() {
        let mut hand = Hand::new();
        let id = hand.submit(0);
        hand.view(1, &[id]);
        hand.view(1, &[]);
        assert_eq!(hand.promises(), ["P5"]);
    }

    #[test]
    fn p5_written_after_what_was_listed() {
        let mut hand = Hand::new();
        let first = hand.submit(0);
        hand.view(1, &[first]);
        let second = hand.submit(1);
        hand.last(0, &[second, first]);
        assert_eq!(hand.promises(), ["P5"]);
    }

    #[test]
    fn p6_flushed_and_not_seen() {
        let mut hand = Hand::new();
        let id = hand.submit(0);
        hand.applied(id);
        hand.add(What::FlushBegan { flush: 1, namespace: "n".to_owned() });
        hand.view(1, &[]).after_flush = Some(1);
        assert_eq!(hand.promises(), ["P6"]);
    }

    #[test]
    fn p7_a_mark_that_goes_back() {
        let mut hand = Hand::new();
        hand.view(0, &[]).mark = (5, "segment-b.json".to_owned());
        hand.view(0, &[]).mark = (5, "segment-a.json".to_owned());
        assert_eq!(hand.promises(), ["P7"]);
    }

    #[test]
    fn no_answer_or_two() {
        let mut hand = Hand::new();
        let id = hand.submit(0);
        hand.applied(id);
        hand.applied(id);
        hand.add(What::Waiting { replica: 0, what: "batch 0".to_owned() });
        hand.add(What::FlushEnded(1)).add(What::FlushEnded(1));
        let expected = ["exactly one answer", "an answer for every waiter", "exactly one answer"];
        assert_eq!(hand.promises(), expected);
    }

    #[test]
    fn an_answer_of_a_replica_that_is_gone() {
        let mut hand = Hand::new();
        hand.add(What::ReplicaEnded(0));
        hand.view(0, &[]);
        assert_eq!(hand.promises(), ["an end is an end"]);
    }

    #[test]
    fn p1_what_was_there_before_the_journal_and_is_lost() {
        let mut hand = Hand::new();
        hand.0.legacy.insert("n".to_owned(), Model::read(&json!({"old": 1})).expect("an object"));
        let id = hand.submit(0);
        let state = hand.0.state(&format!(r#"{{"log":[{id}],"old":1,"sum":1}}"#));
        hand.add(What::Final { replica: 0, namespace: "n".to_owned(), state });
        assert_eq!(hand.promises(), [""; 0]);
        hand.view(0, &[id]);
        assert_eq!(hand.promises(), ["P1"]);
    }

    #[test]
    fn a_figure_over_its_bound() {
        let mut hand = Hand::new();
        hand.add(What::Figure { replica: 0, name: "waiting_bytes", is: 5, most: 5 });
        assert_eq!(hand.promises(), [""; 0]);
        hand.add(What::Figure { replica: 0, name: "waiting_bytes", is: 6, most: 5 });
        assert_eq!(hand.promises(), ["bounds"]);
    }

    #[test]
    fn an_unreadable_segment_that_a_flush_passes_over() {
        let mut hand = Hand::new();
        hand.add(What::Spoiled { namespace: "n".to_owned(), segment: "segment-x.json".to_owned() });
        hand.add(What::FlushBegan { flush: 1, namespace: "n".to_owned() });
        hand.view(0, &[]).after_flush = Some(1);
        assert_eq!(hand.promises(), ["unreadable segments"]);
    }
    #[test]
    fn p3_open_for_too_long() {
        let mut hand = Hand::new();
        let id = hand.submit(0);
        hand.add(What::Ended(id, Ending::Unknown { segment: "segment-y.json".to_owned() })).add(What::Reachable);
        for good_ticks in [4, 5, 6, 7] {
            hand.0.add(3600 * SECOND, What::StillOpen { batch: id, good_ticks });
        }
        assert_eq!(hand.promises(), [""; 0], "where something may keep it open");
        let times = Times::new(Constants { fold_age: 30 * SECOND, skew: 2 * SECOND });
        let fairness = Fairness { settles: Some(times), ..Fairness::default() };
        assert_eq!(check(&hand.0, fairness).iter().map(|violation| violation.promise).collect::<Vec<_>>(), ["P3"]);
    }

    #[test]
    fn more_requests_than_are_due() {
        let mut hand = Hand::new();
        let ticking = Ticking { ticks: 4, interval: 15 * SECOND, pages: 1, spares_rollup: true };
        let mut quiet = Quiet {
            replica: 0,
            lasted: 60 * SECOND,
            requests: Requests { lists: 5, ..Requests::default() },
            namespaces: vec![ticking],
            sharing: 0,
            is_flushed: false,
        };
        hand.add(What::Quiet(quiet.clone()));
        assert_eq!(hand.promises(), [""; 0]);
        quiet.requests.gets = 1;
        hand.add(What::Quiet(quiet));
        assert_eq!(hand.promises(), ["requests are bounded"]);
    }
}
