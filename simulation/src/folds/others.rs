//! What peers and persons do to a namespace, and what the library does after it.

use super::{Auditor, Rollup, Segment, read_mark};
use crate::history::{About, Violation};
use crate::model::{BatchId, Model};
use crate::store::Change;
use crate::world::Time;
use serde_json::Value;
use std::collections::BTreeSet;

impl Auditor {
    // ---- The peer ----

    /// A rollup of a peer became visible: its mark alone tells what is folded.
    pub(super) fn folded_by_peer(&mut self, at: Time, text: &[u8]) -> Result<(), String> {
        let body: Value = serde_json::from_slice(text).map_err(|error| format!("the rollup is no JSON: {error}"))?;
        let mark = read_mark(&body)?;
        if mark < self.rollup.mark {
            self.violate(at, "P7", format!("the peer's mark is {mark:?}, after {:?}", self.rollup.mark));
        }
        self.audit.counts.add("seen: rollup of a peer");
        let state = Model::read(&body["state"]).ok_or("the state is no object")?;
        // It knows no `expires`, so that what is void counts as well.
        let mut taken: Vec<(i128, String)> = self.live.iter().map(|(name, segment)| (segment.stamp, name.clone())).collect();
        taken.retain(|place| *place > self.rollup.mark && *place <= mark);
        taken.sort();
        let mut expected = self.rollup.state.clone();
        for (_, name) in &taken {
            for op in self.live[name].ops() {
                expected.apply(op)?;
            }
        }
        let is_held_up = self.audit.held_up.is_some_and(|since| since <= at);
        let is_certain = self.audit.late.is_none() && !is_held_up && !self.live.keys().any(|name| self.is_restamped(name));
        if expected != state && is_certain {
            self.violate(
                at,
                "the peer",
                format!("its rollup holds {}, and what lies up to its mark makes {}", state.text(), expected.text()),
            );
        }
        for (_, name) in taken {
            let is_new = self.rollup.taken_in.insert(name.clone());
            if !is_new && self.is_restamped(&name) {
                // A PUT that was repeated after somebody listed the first copy to fold it: by its second stamp the peer folds it again.
                self.audit.late.get_or_insert(at);
            }
            self.taken_in.insert(name);
        }
        let taken_in = std::mem::take(&mut self.rollup.taken_in);
        self.rollup = Rollup { mark, has_proof: false, since: self.rollup.since, taken_in, ..Rollup::default() };
        self.believe(at, state);
        Ok(())
    }

    /// Whether a segment was stamped more than once, as a peer's repeated PUT is: then who folds it may have seen another stamp than
    /// the last.
    pub(super) fn is_restamped(&self, name: &str) -> bool {
        !self.company.peers.is_empty() && self.stamps.get(name).is_some_and(|stamps| stamps.len() > 1)
    }

    /// Takes a rollup's state for what it says, and everything that is in it for taken in.
    pub(super) fn believe(&mut self, at: Time, state: Model) {
        let log: BTreeSet<BatchId> = state.log().into_iter().collect();
        let above_mark = |segment: &Segment, name: &str| (segment.stamp, name) > (self.rollup.mark.0, self.rollup.mark.1.as_str());
        for (name, ids) in &self.audit.batches {
            if !ids.is_empty() && ids.iter().all(|id| log.contains(id)) {
                // The same, where the mark does not reach that stamp yet: it will count again.
                let is_stamped_above = self.is_restamped(name) && self.live.get(name).is_some_and(|segment| above_mark(segment, name));
                if !self.rollup.has_proof && is_stamped_above {
                    self.audit.late.get_or_insert(at);
                }
                self.rollup.taken_in.insert(name.clone());
                self.taken_in.insert(name.clone());
            }
        }
        self.rollup.state = state;
    }

    pub(super) fn deleted_by_peer(&mut self, change: &Change, name: &str) {
        let Some(segment) = self.live.remove(name) else { return };
        self.audit.counts.add("seen: delete by a peer");
        if (segment.stamp, name) > (self.rollup.mark.0, self.rollup.mark.1.as_str()) && !self.is_restamped(name) {
            self.violate(change.at, "the peer", format!("it deleted {name}, which lies above the mark"));
        }
        // Where it was stamped twice, the peer may have listed the first stamp, below the mark, while all who folded saw the second.
        if !self.taken_in.contains(name) && !segment.is_void() && !segment.ops().is_empty() && !self.is_restamped(name) {
            self.violate(
                change.at,
                "P7",
                format!("{name}, visible since {} ns and not void, was deleted by the peer and is in no rollup", segment.visible),
            );
        }
    }

    /// The library folds onto a rollup without proof: a new chain begins, which names what the peer left listed.
    pub(super) fn begin_chain(&mut self, at: Time, since: Option<i128>, names: &BTreeSet<String>) {
        self.audit.counts.add("seen: new chain");
        if since.is_none_or(|since| self.rollup.since.is_some_and(|before| before >= since)) {
            self.violate(at, "P7", format!("a new chain says that it began at {since:?}, the one before at {:?}", self.rollup.since));
        }
        let mark = self.rollup.mark.clone();
        let is_below = |stamp: i128, name: &str| (stamp, name) <= (mark.0, mark.1.as_str());
        let unnamed: Vec<&String> = self
            .live
            .iter()
            .filter(|(name, segment)| is_below(segment.stamp, name) && !names.contains(*name))
            .map(|(name, _)| name)
            .collect();
        if let (Some(name), None) = (unnamed.first(), self.audit.late) {
            let what = format!("the peer folded {name}, which is listed still, and the new chain does not name it");
            self.audit.violations.push(Violation::new(at, "P1", what).about(About::Twice));
        }
        // What lies at or below the mark is named only; the rest is folded.
        let stamp_of = |name: &String| self.live.get(name).map(|segment| segment.stamp).or_else(|| self.stamps.get(name)?.last().copied());
        let named_only = names.iter().filter(|name| stamp_of(name).is_some_and(|stamp| is_below(stamp, name)));
        self.rollup.folded = named_only.cloned().collect();
        self.rollup.since = since;
        self.rollup.has_proof = true;
        self.rollup.chain = [0; 32];
        self.rollup.count = 0;
    }

    /// The count of a new chain goes on from one that a rollup had.
    pub(super) fn check_count_goes_on(&mut self, at: Time, count: u64, taken: u64) {
        match count.checked_sub(taken).filter(|before| self.counts.contains(before)) {
            Some(_) => self.rollup.count = count,
            None => {
                self.violate(at, "P7", format!("a new chain counts {count} after a fold of {taken}, and no rollup counted what is left"))
            }
        }
    }

    // ---- A person ----

    /// A person put a rollup back.
    pub(super) fn restored(&mut self, at: Time, text: &[u8]) -> Result<(), String> {
        self.audit.counts.add("operator: rollup restored");
        self.audit.tampered.get_or_insert(at);
        self.rollup = self.versions.get(text).cloned().ok_or("a rollup was restored that never was there")?;
        Ok(())
    }

    /// Whether a replica put back a rollup that was there before, or did so under a later mark.
    pub(super) fn is_written_forward(&mut self, text: &[u8]) -> bool {
        if let Some(before) = self.versions.get(text).cloned() {
            self.audit.counts.add("seen: rollup written forward");
            self.rollup = before;
            return true;
        }
        // Of an ordinary fold the mark is a new one, and the versions need not be read.
        let Some((mark, rest)) = parted(text).filter(|(mark, _)| *mark >= self.rollup.mark && self.is_kept_mark(mark)) else {
            return false;
        };
        let is_same = |version: &[u8]| parted(version).is_some_and(|(_, other)| other == rest);
        let Some((_, before)) = self.versions.iter().find(|(version, _)| is_same(version)).filter(|(_, before)| mark >= before.mark) else {
            return false;
        };
        self.audit.counts.add("seen: rollup written forward under a later mark");
        self.rollup = Rollup { mark, ..before.clone() };
        true
    }

    /// Whether a mark is one that a rollup had before a person put an older one back: whoever held that keeps its mark.
    pub(super) fn is_kept_mark(&self, mark: &(i128, String)) -> bool {
        self.audit.tampered.is_some() && self.versions.values().any(|version| version.mark == *mark)
    }

    // ---- Both ----

    pub(super) fn rollup_changed(&mut self, at: Time, text: Option<&[u8]>) {
        self.counts.insert(self.rollup.count);
        match (self.audit.proofless.last_mut().filter(|(_, end)| *end == Time::MAX), self.rollup.has_proof) {
            (None, false) => self.audit.proofless.push((at, Time::MAX)),
            (Some((_, end)), true) => *end = at,
            _ => {}
        }
        if let Some(text) = text.filter(|_| !self.company.operators.is_empty()) {
            self.versions.insert(text.to_vec(), self.rollup.clone());
        }
        self.look_for_lacks(at);
    }

    /// Notes what was folded once and is neither in the rollup nor listed.
    pub(super) fn look_for_lacks(&mut self, at: Time) {
        if self.audit.tampered.is_none() {
            return;
        }
        let lacks = self.lacks();
        self.audit.lost.retain(|id, _| lacks.contains(id));
        for id in lacks {
            self.audit.lacking.entry(id).or_insert(at);
            self.audit.lost.entry(id).or_insert(at);
        }
    }

    fn lacks(&self) -> BTreeSet<BatchId> {
        let is_live = |name: &String| self.live.get(name).is_some_and(|segment: &Segment| !segment.is_void());
        let gone = self.taken_in.iter().filter(|name| !self.rollup.taken_in.contains(*name) && !is_live(name));
        gone.flat_map(|name| self.audit.batches.get(name).into_iter().flatten().copied()).collect()
    }
}

/// A rollup's mark, and the rest of it.
fn parted(text: &[u8]) -> Option<((i128, String), Value)> {
    let mut body: Value = serde_json::from_slice(text).ok()?;
    let mark = read_mark(&body).ok()?;
    body.as_object_mut()?.remove("mark");
    Some((mark, body))
}

#[cfg(test)]
mod tests {
    use super::super::audit;
    use super::super::tests::{CONSTANTS, Hand, folded, name, op, stamp};
    use crate::history::About;
    use crate::store::ChangeKind;
    use crate::world::{ProcessId, SECOND};
    use opjournal::store::{Condition, ETag};
    use opjournal::time::Stamp;
    use serde_json::json;

    const PEER: ProcessId = ProcessId(7);

    impl Hand {
        /// Makes the last change one of this process.
        fn by(&mut self, process: ProcessId) {
            self.changes.last_mut().expect("a change").by = process;
        }

        /// A fold by the peer up to a segment, which makes this log.
        fn peer_folds(&mut self, second: u64, mark: (u64, u128), log: &[u64]) {
            self.company.peers.insert(PEER);
            let mark = json!({"lm": Stamp::from_nanos(stamp(mark.0)).to_string(), "key": name(mark.1)});
            let body = json!({"mark": mark, "state": {"log": log}});
            self.put(second, "rollup.json", body, Condition::Matches(ETag(String::new())));
            self.by(PEER);
        }

        fn peer_deletes(&mut self, second: u64, number: u128) {
            self.company.peers.insert(PEER);
            self.change(second, &name(number), ChangeKind::Deleted);
            self.by(PEER);
        }

        /// An own fold that begins a chain at this count, naming beside what it folds what the peer left.
        fn begins_chain(&mut self, second: u64, count: u64, left: &[u128], segments: &[(u64, u128)]) {
            self.rollup.since = Some(stamp(second));
            self.rollup.count = count;
            self.rollup.chain = [0; 32];
            self.folds.clear();
            let all: Vec<u128> = left.to_vec();
            for number in all {
                self.folds.push(json!({"at": Stamp::from_nanos(stamp(second)).to_string(), "keys": [name(number)]}));
            }
            self.fold(second, segments);
        }
    }

    /// Two segments that this library folded, a third that the peer did.
    fn folded_by_peer() -> Hand {
        let mut hand = folded();
        hand.segment(51, 3, 67);
        hand.peer_folds(90, (51, 3), &[1, 2, 3]);
        hand.rollup.state.apply(&op(3)).expect("a known op");
        hand.peer_deletes(91, 1);
        hand.segment(92, 4, 108);
        hand
    }

    #[test]
    fn a_chain_that_begins_after_a_fold_by_the_peer_passes() {
        let mut hand = folded_by_peer();
        hand.begins_chain(130, 2, &[2, 3], &[(92, 4)]);
        assert_eq!(hand.promises(), [""; 0]);
    }

    #[test]
    fn what_a_peer_left_listed_waits_for_the_next_fold_here() {
        let hand = folded_by_peer();
        let audit = audit(&hand.changes, "n", CONSTANTS, &hand.company);
        assert_eq!((audit.tail, audit.leftovers), (1, 0));
    }

    #[test]
    fn a_put_repeated_before_a_fold_that_did_not_see_it_is_late_for_the_peer() {
        let late = |repeats: bool, mark: (u64, u128), log: &[u64]| {
            let mut hand = folded();
            hand.segment(51, 3, 200);
            hand.by(PEER);
            hand.segment(60, 4, 200);
            if repeats {
                hand.segment(85, 3, 200);
                hand.by(PEER);
            }
            hand.fold(90, &[(51, 3)]);
            hand.peer_folds(130, mark, log);
            let audit = audit(&hand.changes, "n", CONSTANTS, &hand.company);
            assert!(audit.violations.iter().all(|violation| violation.about == About::Twice), "{:?}", audit.violations);
            audit.late
        };
        assert_eq!(late(false, (60, 4), &[1, 2, 3, 4]), None);
        assert_eq!(late(true, (60, 4), &[1, 2, 3, 4]), Some(130 * SECOND), "the mark does not reach it");
        assert_eq!(late(true, (85, 3), &[1, 2, 3, 4, 3]), Some(130 * SECOND), "the peer folds it again");
    }

    #[test]
    fn a_fold_passes_what_a_list_did_not_show_only_where_that_was_held_up() {
        let promises = |held_up: Option<u64>| {
            let mut hand = folded();
            hand.segment(51, 3, 67);
            hand.segment(52, 4, 68);
            hand.peer_folds(90, (52, 4), &[1, 2, 4]);
            hand.company.held_up.extend(held_up.map(|second| ("n".to_owned(), second * SECOND)));
            hand.promises()
        };
        assert_eq!(promises(None), ["the peer"]);
        assert_eq!(promises(Some(91)), ["the peer"]);
        assert_eq!(promises(Some(89)), [""; 0]);
    }

    #[test]
    fn a_chain_that_does_not_name_what_the_peer_left_is_found() {
        let mut hand = folded_by_peer();
        hand.begins_chain(130, 2, &[2], &[(92, 4)]);
        assert_eq!(hand.promises(), ["P1", "P1"], "and so it counts twice");
    }

    #[test]
    fn a_count_that_goes_on_from_nothing_is_found() {
        let mut hand = folded_by_peer();
        hand.begins_chain(130, 1, &[2, 3], &[(92, 4)]);
        assert!(hand.promises().contains(&"P7"));
    }

    #[test]
    fn a_chain_that_begins_over_a_proof_is_found() {
        let mut hand = folded();
        hand.segment(92, 4, 108);
        hand.begins_chain(130, 2, &[1, 2], &[(92, 4)]);
        assert!(hand.promises().contains(&"P7"));
    }

    const PERSON: ProcessId = ProcessId(8);

    /// Three segments were folded. A person put the rollup of the first two back, and two others were folded onto that.
    fn restored_and_folded_on() -> (Hand, Hand) {
        let mut hand = folded();
        hand.company.operators.insert(PERSON);
        let of_two = hand.rollup.clone();
        let folds = hand.folds.clone();
        hand.segment(51, 3, 67);
        hand.fold(90, &[(51, 3)]);
        let mut of_three = Hand { rollup: hand.rollup.clone(), folds: hand.folds.clone(), ..Hand::default() };
        (hand.rollup, hand.folds) = (of_two, folds);
        hand.write(91);
        hand.by(PERSON);
        hand.segment(92, 4, 108);
        hand.segment(95, 6, 111);
        hand.fold(130, &[(92, 4), (95, 6)]);
        of_three.changes = hand.changes.clone();
        of_three.company = hand.company.clone();
        (hand, of_three)
    }

    #[test]
    fn a_rollup_that_is_put_back_passes_under_its_mark_and_under_that_of_another() {
        let (_, mut of_three) = restored_and_folded_on();
        of_three.rollup.mark = (stamp(95), name(6));
        of_three.write(131);
        assert_eq!(of_three.promises(), [""; 0]);

        let (_, mut nobodys) = restored_and_folded_on();
        nobodys.rollup.mark = (stamp(95), name(7));
        nobodys.write(131);
        assert!(nobodys.promises().contains(&"P7"));

        let (_, mut back) = restored_and_folded_on();
        back.rollup.mark = (stamp(11), name(2));
        back.write(131);
        assert!(back.promises().contains(&"P7"));
    }

    #[test]
    fn a_fold_under_a_mark_that_a_person_took_back_passes() {
        // The rollup of three is restored, and taken over by who holds the later mark of the other one.
        let folds_under = |mark: (i128, String)| {
            let (mut hand, of_three) = restored_and_folded_on();
            hand.rollup = of_three.rollup;
            hand.folds = of_three.folds;
            hand.write(131);
            hand.by(PERSON);
            hand.rollup.mark = mark;
            hand.fold(132, &[(92, 4)]);
            hand.promises()
        };
        assert_eq!(folds_under((stamp(95), name(6))), [""; 0]);
        assert_eq!(folds_under((stamp(95), name(7))), ["P7"]);
    }

    #[test]
    fn a_peer_that_does_not_do_as_it_should_is_found() {
        let mut wrong = folded();
        wrong.segment(51, 3, 67);
        wrong.peer_folds(90, (51, 3), &[1, 2]);
        assert_eq!(wrong.promises(), ["the peer"]);

        let mut back = folded();
        back.peer_folds(90, (10, 1), &[1, 2]);
        assert_eq!(back.promises(), ["P7", "P1"], "and so what was folded before it counts twice");

        let mut above = folded();
        above.segment(51, 3, 67);
        above.peer_deletes(91, 3);
        assert_eq!(above.promises(), ["the peer", "P7"]);
    }
}
