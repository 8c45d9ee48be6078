//! Which promises hold in which company: the columns of the table in docs/guarantees.md. The checks say everything that is not as in a
//! fleet of this library alone, and what a profile does not promise is taken off here, with its reason, and nothing else.

use super::folds::Audit;
use super::history::{About, Ending, History, ReplicaId, Settlement, Violation, What};
use super::loud::Said;
use super::model::{BatchId, log_of};
use super::world::Time;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

/// What was found out of a run, for whoever judges it.
pub struct Findings<'a> {
    pub history: &'a History,
    /// Of each namespace.
    pub audits: &'a BTreeMap<String, Audit>,
    /// Replicas that were peers.
    pub peers: &'a BTreeSet<ReplicaId>,
    /// What the engine said aloud, or in refusing to open.
    pub said: &'a [Said],
    /// How far two clocks of the store may be apart, the granularity of stamps included.
    pub margin: Time,
}

impl Findings<'_> {
    fn audit_of(&self, batch: BatchId) -> Option<&Audit> {
        self.audits.get(&self.history.batches.get(batch as usize)?.namespace)
    }

    fn is_of_peer(&self, batch: BatchId) -> bool {
        self.history.batches.get(batch as usize).is_some_and(|batch| self.peers.contains(&batch.replica))
    }

    fn submitted(&self, batch: BatchId) -> Time {
        let is_it = |what: &What| matches!(what, What::Submitted(other) if *other == batch);
        self.history.events.iter().find(|event| is_it(&event.what)).map_or(0, |event| event.at)
    }

    /// When this batch was said to have failed.
    fn failed_at(&self, batch: BatchId) -> Option<Time> {
        let says_so = |what: &What| match what {
            What::Ended(other, Ending::Failed { .. }) | What::Settled(other, Settlement::Failed) => *other == batch,
            _ => false,
        };
        self.history.events.iter().find(|event| says_so(&event.what)).map(|event| event.at)
    }

    /// Whether anything came late that a peer does not know to be late.
    pub fn is_late(&self) -> bool {
        self.audits.values().any(|audit| audit.late.is_some())
    }

    /// Whether the segment of a batch was written, and so stamped, more than once.
    fn is_restamped(&self, id: BatchId) -> bool {
        self.audit_of(id).is_some_and(|audit| audit.restamped.contains(&id))
    }

    /// Together with the peer, "while no PUT is late" is what happened, not what the plan allows.
    pub fn excused_beside_peers(&self, violation: &Violation) -> bool {
        match violation.about {
            About::Other => false,
            // P1, P2: a PUT that surfaces after its fold may count twice, and one that is stamped late counts on the peer's side.
            About::Twice | About::Failed(_) => self.is_late(),
            // The peer's own writes are as it makes them: a repeated one is stamped anew, and one that was given up comes after the
            // next. What counts twice stands twice in the order.
            About::Order(first, second) => {
                self.is_late()
                    || [first, second].iter().any(|id| {
                        let is_given_up = |what: &What| matches!(what, What::Ended(other, Ending::Unknown { .. }) if other == id);
                        self.is_restamped(*id) || self.is_of_peer(*id) && self.history.events.iter().any(|event| is_given_up(&event.what))
                    })
            }
            About::Gone(id) => {
                // A peer that was held up between two pages of a LIST, and folds what it saw, deletes what it did not see.
                let is_held_up = self.audit_of(id).is_some_and(|audit| audit.held_up.is_some());
                // One that listed the first copy of a PUT, and reads a rollup whose mark lies between its two stamps, takes it for folded.
                is_held_up || self.is_of_peer(id) && (self.is_late() || self.is_restamped(id))
            }
            // P3: a fold by the peer drops the proof that would have told.
            About::Unsettled(id) => {
                let earliest = self.submitted(id).saturating_sub(self.margin);
                self.audit_of(id).is_some_and(|audit| audit.proofless.iter().any(|(_, end)| *end >= earliest))
            }
        }
    }

    /// After a person deleted the rollup or put an old one back, a batch may be gone where nobody who held the newest one came in
    /// time: while it is neither in the rollup nor listed, and after that for good where something was folded meanwhile.
    pub fn excused_after_tampering(&self, violation: &Violation) -> bool {
        let is_lacking = |audit: &Audit, id: BatchId, at: Time| audit.lacking.get(&id).is_some_and(|since| *since <= at);
        match violation.about {
            About::Gone(id) => self.audit_of(id).is_some_and(|audit| audit.lost.contains_key(&id) || is_lacking(audit, id, violation.at)),
            // P2: it was in a rollup, and that was gone when its writer looked.
            About::Failed(id) => self.failed_at(id).is_some_and(|at| self.audit_of(id).is_some_and(|audit| is_lacking(audit, id, at))),
            // P3: what vanished with the lost rollup may have been folded beside it.
            About::Unsettled(id) => self.audit_of(id).is_some_and(|audit| !audit.lacking.is_empty()),
            _ => false,
        }
    }

    /// What was lost for good without a word.
    pub fn lost_silently(&self) -> Vec<Violation> {
        let mut violations = Vec::new();
        for (name, audit) in self.audits {
            let Some(tampered) = audit.tampered.filter(|_| !audit.lost.is_empty()) else { continue };
            let tells = |said: &&Said| said.at >= tampered && said.namespace == *name && said.message.contains("rollup");
            if self.has_witness(name, audit) && !self.said.iter().any(|said| tells(&said)) {
                let what =
                    format!("after a person touched the rollup of {name:?}, batches {:?} are lost, and nobody said so", audit.lost.keys());
                violations.push(Violation::new(tampered, "P8", what));
            }
        }
        violations
    }

    /// Whether somebody is left who knew of what is lost: a replica that had shown it, and that flushed after it was gone or lives to
    /// the end. Where nobody is, and no segment tells, nothing can be noticed (docs/guarantees.md, "What is not promised").
    fn has_witness(&self, name: &str, audit: &Audit) -> bool {
        let mut knew: BTreeMap<ReplicaId, Time> = BTreeMap::new();
        let mut flushes = BTreeMap::new();
        let mut flushed_at: BTreeMap<ReplicaId, Time> = BTreeMap::new();
        let mut ended = BTreeSet::new();
        for event in &self.history.events {
            match &event.what {
                What::FlushBegan { flush, .. } => drop(flushes.insert(*flush, event.at)),
                What::ReplicaEnded(replica) => drop(ended.insert(*replica)),
                What::View(view) if view.namespace == name => {
                    if let Some(began) = view.after_flush.and_then(|flush| flushes.get(&flush)) {
                        flushed_at.insert(view.replica, *began);
                    }
                    if let Entry::Vacant(place) = knew.entry(view.replica) {
                        let log = log_of(&self.history.states[view.state]).unwrap_or_default();
                        let gone = log.iter().filter_map(|id| audit.lost.get(id));
                        if let Some(gone) = gone.copied().filter(|gone| event.at < *gone).min() {
                            place.insert(gone);
                        }
                    }
                }
                _ => {}
            }
        }
        knew.iter().any(|(replica, gone)| !ended.contains(replica) || flushed_at.get(replica).is_some_and(|began| began > gone))
    }

    /// What was acknowledged and is gone, of a replica that lived to see it, without an error that names the segment. (Or the line that says that
    /// the replica never saw it: `loud::UNSEEN`.)
    pub fn gone_silently(&self) -> Vec<Violation> {
        let mut held: BTreeMap<&str, BTreeSet<BatchId>> = BTreeMap::new();
        let mut ended = BTreeSet::new();
        for event in &self.history.events {
            match &event.what {
                What::Final { namespace, state, .. } => {
                    held.entry(namespace).or_insert_with(|| log_of(&self.history.states[*state]).into_iter().flatten().collect());
                }
                What::ReplicaEnded(replica) => drop(ended.insert(*replica)),
                _ => {}
            }
        }
        let mut violations = Vec::new();
        for event in &self.history.events {
            let What::Ended(id, Ending::Applied { segment }) = &event.what else { continue };
            let batch = &self.history.batches[*id as usize];
            let is_gone = held.get(batch.namespace.as_str()).is_some_and(|held| !held.contains(id));
            if is_gone && !ended.contains(&batch.replica) && !self.said.iter().any(|said| said.message.contains(segment.as_str())) {
                let what = format!("batch {id} was acknowledged in {segment} and is gone, and its replica said nothing");
                violations.push(Violation::new(event.at, "P8", what));
            }
        }
        violations
    }

    /// On a store beyond the assumptions: only that all agree in the end, that everything has an end, and that nothing panics.
    pub fn excused_beyond(violation: &Violation) -> bool {
        const KEPT: &[&str] = &[
            "no panic",
            "an end",
            "an answer for every waiter",
            "exactly one answer",
            "the contract of Store",
            "closed means closed",
            "an end is an end",
            "P4",
            "queries",
            "close",
        ];
        !KEPT.contains(&violation.promise)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// One batch of a replica and one of a peer, submitted at 10 and 20.
    fn history() -> History {
        let mut history = History::default();
        for (replica, at) in [(0, 10), (7, 20)] {
            let id = history.add_batch("n", replica, replica, |id| vec![json!({"op": "ListAppend", "Key": "log", "Value": id})]);
            history.add(at, What::Submitted(id));
        }
        history
    }

    fn is_excused(audit: Audit, about: About) -> bool {
        let (history, audits) = (history(), BTreeMap::from([("n".to_owned(), audit)]));
        let findings = Findings { history: &history, audits: &audits, peers: &BTreeSet::from([7]), said: &[], margin: 2 };
        findings.excused_beside_peers(&Violation::new(30, "P", "what").about(about))
    }

    fn late() -> Audit {
        Audit { late: Some(5), ..Audit::default() }
    }

    #[test]
    fn nothing_is_excused_while_nothing_is_late() {
        for about in [About::Other, About::Twice, About::Failed(0), About::Gone(0), About::Gone(1), About::Order(0, 1), About::Unsettled(0)]
        {
            assert!(!is_excused(Audit::default(), about), "{about:?}");
        }
    }

    #[test]
    fn what_is_late_may_count_twice_and_not_vanish() {
        assert!(is_excused(late(), About::Twice));
        assert!(is_excused(late(), About::Failed(0)));
        assert!(is_excused(late(), About::Gone(1)), "the peer's own");
        assert!(!is_excused(late(), About::Gone(0)));
        assert!(!is_excused(late(), About::Other));
    }

    #[test]
    fn what_a_list_of_a_peer_passed_may_vanish_and_nothing_else() {
        let held_up = || Audit { held_up: Some(5), ..Audit::default() };
        assert!(is_excused(held_up(), About::Gone(0)));
        assert!(!is_excused(held_up(), About::Twice));
        assert!(!is_excused(held_up(), About::Other));
    }

    #[test]
    fn an_outcome_stays_unknown_only_where_a_proof_was_missing_meanwhile() {
        let without = |from, to| Audit { proofless: vec![(from, to)], ..Audit::default() };
        assert!(is_excused(without(12, 15), About::Unsettled(0)));
        assert!(is_excused(without(3, 8), About::Unsettled(0)));
        assert!(!is_excused(without(3, 7), About::Unsettled(0)));
    }

    #[test]
    fn a_repeated_put_of_the_peer_is_ordered_by_its_last_stamp() {
        let restamped = Audit { restamped: BTreeSet::from([1]), ..Audit::default() };
        assert!(is_excused(restamped, About::Order(0, 1)));
    }

    #[test]
    fn a_repeated_put_of_the_peer_may_vanish() {
        let restamped = || Audit { restamped: BTreeSet::from([0, 1]), ..Audit::default() };
        assert!(is_excused(restamped(), About::Gone(1)), "the peer's own");
        assert!(!is_excused(restamped(), About::Gone(0)));
    }
}

#[cfg(test)]
mod tests_of_loudness {
    use super::*;
    use crate::history::{Event, View};
    use serde_json::json;

    /// One batch, acknowledged in `segment-x.json` by replica 0, that is not in the end.
    fn gone() -> History {
        let mut history = History::default();
        let id = history.add_batch("n", 0, 0, |id| vec![json!({"op": "ListAppend", "Key": "log", "Value": id})]);
        history.add(10, What::Submitted(id));
        history.add(11, What::Ended(id, Ending::Applied { segment: "segment-x.json".to_owned() }));
        let state = history.state("{}");
        history.add(50, What::Final { replica: 0, namespace: "n".to_owned(), state });
        history
    }

    fn said(message: &str) -> Said {
        Said { at: 30, namespace: "n".to_owned(), message: message.to_owned() }
    }

    fn with<T>(history: &History, audit: Audit, said: &[Said], ask: impl FnOnce(&Findings<'_>) -> T) -> T {
        let audits = BTreeMap::from([("n".to_owned(), audit)]);
        ask(&Findings { history, audits: &audits, peers: &BTreeSet::new(), said, margin: 0 })
    }

    #[test]
    fn what_is_lost_after_a_person_must_be_said() {
        let lost = || Audit { tampered: Some(20), lost: BTreeMap::from([(0, 21)]), lacking: BTreeMap::from([(0, 21)]), ..Audit::default() };
        let unseen = gone();
        assert_eq!(with(&unseen, lost(), &[], |findings| findings.lost_silently().len()), 0, "nobody knew of it");
        let mut history = gone();
        let state = history.state(r#"{"log":[0]}"#);
        let view = View { replica: 0, namespace: "n".to_owned(), state, mark: (0, String::new()), after_flush: None };
        history.events.insert(2, Event { at: 12, what: What::View(view) });
        let count = |said: &[Said]| with(&history, lost(), said, |findings| findings.lost_silently().len());
        assert_eq!(count(&[]), 1);
        assert_eq!(count(&[said("a tick failed")]), 1);
        assert_eq!(count(&[Said { at: 19, ..said("the rollup was gone") }]), 1);
        assert_eq!(count(&[said("the rollup was gone")]), 0);
        history.add(60, What::ReplicaEnded(0));
        assert_eq!(with(&history, lost(), &[], |findings| findings.lost_silently().len()), 0, "nobody who knew of it is left");
    }

    #[test]
    fn only_what_was_lacking_is_excused_after_a_person() {
        let history = gone();
        let excused = |audit, about| {
            with(&history, audit, &[], |findings| findings.excused_after_tampering(&Violation::new(40, "P1", "what").about(about)))
        };
        let lacking = |at| Audit { tampered: Some(20), lacking: BTreeMap::from([(0, at)]), ..Audit::default() };
        assert!(excused(lacking(40), About::Gone(0)));
        assert!(!excused(lacking(41), About::Gone(0)));
        assert!(!excused(lacking(40), About::Twice));
        assert!(!excused(Audit { tampered: Some(20), ..Audit::default() }, About::Gone(0)));

        assert!(excused(lacking(40), About::Unsettled(0)));
        assert!(!excused(Audit { tampered: Some(20), ..Audit::default() }, About::Unsettled(0)));

        assert!(!excused(lacking(20), About::Failed(0)), "nobody said that it failed");
        let mut history = gone();
        history.add(35, What::Settled(0, Settlement::Failed));
        let excused = |audit, about| {
            with(&history, audit, &[], |findings| findings.excused_after_tampering(&Violation::new(12, "P2", "what").about(about)))
        };
        assert!(excused(lacking(35), About::Failed(0)));
        assert!(!excused(lacking(36), About::Failed(0)));
    }

    #[test]
    fn what_is_gone_beyond_the_assumptions_must_be_said_by_whoever_lives() {
        let count = |history: &History, said: &[Said]| with(history, Audit::default(), said, |findings| findings.gone_silently().len());
        let mut history = gone();
        assert_eq!(count(&history, &[]), 1);
        assert_eq!(count(&history, &[said("void segment=segment-x.json")]), 0);
        history.add(60, What::ReplicaEnded(0));
        assert_eq!(count(&history, &[]), 0);
    }
}
