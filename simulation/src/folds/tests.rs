use super::*;
use opjournal::store::ETag;
use serde_json::json;

pub(super) const CONSTANTS: Constants = Constants { fold_age: 30 * SECOND, skew: 2 * SECOND };

/// A bucket's history made by hand, second by second.
#[derive(Default)]
pub(super) struct Hand {
    pub(super) changes: Vec<Change>,
    pub(super) rollup: Rollup,
    pub(super) folds: Vec<Value>,
    pub(super) company: Company,
}

pub(super) fn stamp(second: u64) -> i128 {
    EPOCH + i128::from(second * SECOND)
}

pub(super) fn name(number: u128) -> String {
    format!("segment-{}.json", uuid::Uuid::from_u128(number))
}

impl Hand {
    pub(super) fn change(&mut self, second: u64, name: &str, kind: ChangeKind) {
        let at = second * SECOND;
        self.changes.push(Change { at, key: format!(".metadata/n/{name}"), by: ProcessId(0), sent: at, kind });
    }

    pub(super) fn put(&mut self, second: u64, name: &str, body: Value, condition: Condition) {
        let kind = ChangeKind::Put { body: body.to_string().into(), stamp: stamp(second), condition };
        self.change(second, name, kind);
    }

    /// A segment that holds one batch with the segment's number.
    pub(super) fn segment(&mut self, second: u64, number: u128, expires: u64) {
        let body = json!({"ops": [op(number)], "writer": "w", "expires": Stamp::from_nanos(stamp(expires)).to_string()});
        self.put(second, &name(number), body, Condition::Absent);
    }

    /// A fold of segments that were stamped at these seconds.
    pub(super) fn fold(&mut self, second: u64, segments: &[(u64, u128)]) {
        for (stamped, number) in segments {
            self.rollup.count += 1;
            let mut hash = Sha256::new_with_prefix(self.rollup.chain);
            hash.update(format!("{}\n{}\n", name(*number), Stamp::from_nanos(stamp(*stamped))));
            self.rollup.chain = hash.finalize().into();
            self.rollup.mark = self.rollup.mark.clone().max((stamp(*stamped), name(*number)));
            self.rollup.state.apply(&op(*number)).expect("a known op");
        }
        let keys: Vec<String> = segments.iter().map(|(_, number)| URL_SAFE_NO_PAD.encode(number.to_be_bytes())).collect();
        self.folds.push(json!({"at": Stamp::from_nanos(stamp(second)).to_string(), "keys": keys}));
        self.write(second);
    }

    /// The same, with any state.
    fn fold_over(&mut self, second: u64, segments: &[(u64, u128)], state: &str) {
        self.fold(second, segments);
        self.changes.pop();
        self.rollup_of(second, state);
    }

    fn rollup_of(&mut self, second: u64, state: &str) {
        self.write(second);
        let Some(Change { kind: ChangeKind::Put { body, .. }, .. }) = self.changes.last_mut() else { unreachable!() };
        let text = String::from_utf8(body.to_vec()).expect("JSON");
        let (head, _) = text.split_once(",\"state\":").expect("a state");
        *body = format!("{head},\"state\":{state}}}").into();
    }

    pub(super) fn write(&mut self, second: u64) {
        let chain: String = self.rollup.chain.iter().map(|byte| format!("{byte:02x}")).collect();
        let mark = json!({"lm": Stamp::from_nanos(self.rollup.mark.0).to_string(), "key": self.rollup.mark.1});
        let mut proof = json!({"count": self.rollup.count, "chain": chain, "folded": self.folds});
        if let Some(since) = self.rollup.since {
            proof["since"] = Stamp::from_nanos(since).to_string().into();
        }
        let body = json!({"mark": mark, "proof": proof, "state": json!({"log": self.rollup.state.log()})});
        self.put(second, "rollup.json", body, Condition::Matches(ETag(String::new())));
    }

    pub(super) fn promises(&self) -> Vec<&'static str> {
        audit(&self.changes, "n", CONSTANTS, &self.company).violations.iter().map(|violation| violation.promise).collect()
    }
}

pub(super) fn op(number: u128) -> Value {
    json!({"op": "ListAppend", "Key": "log", "Value": number as u64})
}

pub(super) fn folded() -> Hand {
    let mut hand = Hand::default();
    hand.segment(10, 1, 26);
    hand.segment(11, 2, 27);
    hand.fold(50, &[(10, 1), (11, 2)]);
    hand
}

#[test]
fn a_good_bucket_passes() {
    let mut hand = folded();
    hand.segment(51, 3, 67);
    hand.change(85, &name(1), ChangeKind::Deleted);
    // A void copy of what was folded and deleted.
    hand.segment(90, 1, 26);
    let audit = audit(&hand.changes, "n", CONSTANTS, &hand.company);
    assert_eq!(audit.violations, []);
    assert_eq!(audit.state.log(), [1, 2, 3]);
    assert_eq!((audit.tail, audit.leftovers), (1, 2));
    assert_eq!(audit.batches[&name(3)], [3]);
}

#[test]
fn strays_come_before_the_tail() {
    let mut hand = folded();
    hand.segment(60, 4, 80);
    hand.segment(61, 3, 80);
    // Visible late, with a stamp below the mark.
    let Some(Change { kind: ChangeKind::Put { stamp: late, .. }, .. }) = hand.changes.last_mut() else { unreachable!() };
    *late = stamp(9);
    assert_eq!(audit(&hand.changes, "n", CONSTANTS, &hand.company).state.log(), [1, 2, 3, 4]);
}

#[test]
fn what_is_wrong_with_a_fold_is_found() {
    let mut young = Hand::default();
    young.segment(10, 1, 26);
    young.fold(30, &[(10, 1)]);
    assert_eq!(young.promises(), ["P7"]);

    let mut absent = folded();
    absent.rollup.folded.clear();
    absent.folds.push(json!({"at": "2026-03-01T00:02:00Z", "keys": [URL_SAFE_NO_PAD.encode(9_u128.to_be_bytes())]}));
    absent.write(99);
    assert!(absent.promises().contains(&"P7"));

    let mut miscounted = Hand::default();
    miscounted.segment(10, 1, 26);
    miscounted.rollup.count = 7;
    miscounted.fold(50, &[(10, 1)]);
    assert_eq!(miscounted.promises(), ["P7"]);

    let mut misordered = Hand::default();
    misordered.segment(10, 1, 26);
    misordered.segment(11, 2, 27);
    misordered.fold(50, &[(11, 2), (10, 1)]);
    assert_eq!(misordered.promises(), ["P7", "P4"]);

    let mut went_back = folded();
    went_back.segment(60, 3, 80);
    went_back.rollup.mark = (0, String::new());
    went_back.fold(100, &[(60, 3)]);
    assert_eq!(went_back.promises(), [""; 0]);
    went_back.rollup.mark = (stamp(60), String::new());
    went_back.segment(61, 4, 80);
    went_back.folds.push(json!({"at": "2026-03-01T00:02:00Z", "keys": [URL_SAFE_NO_PAD.encode(4_u128.to_be_bytes())]}));
    went_back.write(110);
    assert!(went_back.promises().contains(&"P7"));
}

#[test]
fn a_void_segment_that_was_folded_as_one_in_time_is_found() {
    let mut hand = Hand::default();
    hand.segment(30, 1, 26);
    hand.fold(70, &[(30, 1)]);
    assert_eq!(hand.promises(), ["P4"]);
}

#[test]
fn a_second_fold_of_the_same_segment_is_found() {
    let mut hand = folded();
    hand.change(85, &name(1), ChangeKind::Deleted);
    hand.change(85, &name(2), ChangeKind::Deleted);
    hand.folds.clear();
    hand.segment(86, 3, 100);
    hand.fold(120, &[(86, 3)]);
    assert_eq!(hand.promises(), [""; 0]);
    hand.segment(121, 1, 200);
    assert_eq!(hand.promises(), ["P1"]);
    hand.fold(160, &[(121, 1)]);
    assert_eq!(hand.promises(), ["P1"]);
}

#[test]
fn deletes_that_come_too_early_are_found() {
    let mut unfolded = Hand::default();
    unfolded.segment(10, 1, 26);
    unfolded.change(50, &name(1), ChangeKind::Deleted);
    assert_eq!(unfolded.promises(), ["P7"]);

    let mut early = folded();
    early.change(60, &name(1), ChangeKind::Deleted);
    assert_eq!(early.promises(), ["P7"]);

    let mut rollup = folded();
    rollup.change(60, "rollup.json", ChangeKind::Deleted);
    assert_eq!(rollup.promises(), ["P7"]);
}

#[test]
fn a_fold_from_before_a_person_came_goes_by_its_own_time() {
    let deleted_at = |second| {
        let mut hand = Hand::default();
        let person = ProcessId(9);
        hand.company.operators.insert(person);
        hand.segment(10, 1, 26);
        hand.fold(60, &[(10, 1)]);
        hand.change(62, "rollup.json", ChangeKind::Deleted);
        hand.changes.last_mut().expect("a change").by = person;
        // Made at 42 s, and on its way since.
        (hand.rollup, hand.folds) = (Rollup::default(), Vec::new());
        hand.fold(42, &[(10, 1)]);
        hand.changes.last_mut().expect("a change").at = 63 * SECOND;
        hand.change(second, &name(1), ChangeKind::Deleted);
        hand.promises()
    };
    assert_eq!(deleted_at(75), [""; 0]);
    assert_eq!(deleted_at(65), ["P7"]);
}

#[test]
fn writes_without_a_condition_are_found() {
    let mut hand = Hand::default();
    hand.put(1, &name(1), json!({"ops": []}), Condition::Always);
    assert_eq!(hand.promises(), ["P1"]);
    let mut hand = folded();
    let Some(Change { kind: ChangeKind::Put { condition, .. }, .. }) = hand.changes.last_mut() else { unreachable!() };
    *condition = Condition::Always;
    assert_eq!(hand.promises(), ["P7"]);
}

#[test]
fn a_legacy_state_is_taken_over_first_and_stays() {
    let before = |folds_at_once: bool| {
        let mut hand = Hand::default();
        hand.changes.push(Change {
            at: SECOND,
            key: ".metadata/n.json".to_owned(),
            by: ProcessId(0),
            sent: SECOND,
            kind: ChangeKind::Put { body: r#"{ "log": ["old"] }"#.into(), stamp: stamp(1), condition: Condition::Absent },
        });
        hand.rollup.state = Model::read(&json!({"log": ["old"]})).expect("an object");
        hand.rollup.mark = (Stamp::ZERO.as_nanos(), String::new());
        hand.segment(10, 1, 26);
        if !folds_at_once {
            let text = hand.rollup.state.text();
            hand.rollup_of(48, &text);
        }
        hand
    };
    let mut good = before(false);
    let mut lost = before(false);
    let mut unseeded = before(true);
    good.fold_over(50, &[(10, 1)], r#"{"log":["old",1]}"#);
    lost.fold_over(50, &[(10, 1)], r#"{"log":[1]}"#);
    unseeded.fold_over(50, &[(10, 1)], r#"{"log":["old",1]}"#);
    assert_eq!(good.promises(), [""; 0]);
    assert_eq!(lost.promises(), ["P4"]);
    assert_eq!(unseeded.promises(), ["P7"]);
}

#[test]
fn a_fold_that_passes_an_unreadable_segment_is_found() {
    let mut hand = Hand::default();
    hand.put(9, &name(7), json!({"ops": [{"op": "SetTTL", "Key": "x"}]}), Condition::Absent);
    hand.segment(10, 1, 26);
    assert_eq!(hand.promises(), [""; 0]);
    hand.fold(50, &[(10, 1)]);
    assert_eq!(hand.promises(), ["P7"]);
}

#[test]
fn an_unreadable_segment_is_skipped_and_only_moved_aside() {
    let bad = json!({"format": 2, "ops": [op(7)]});
    let mut hand = Hand::default();
    hand.segment(8, 1, 26);
    hand.put(9, &name(7), bad.clone(), Condition::Absent);
    hand.segment(10, 2, 26);
    let audit = audit(&hand.changes, "n", CONSTANTS, &hand.company);
    assert_eq!((audit.state.log(), audit.tail), (vec![1, 2], 1));
    assert_eq!(audit.unreadable.into_iter().collect::<Vec<_>>(), [name(7)]);

    hand.change(20, &name(7), ChangeKind::Deleted);
    assert_eq!(hand.promises(), [""; 0], "by whoever wrote it");
    hand.changes.last_mut().expect("a change").by = ProcessId(9);
    assert_eq!(hand.promises(), ["P7"]);
    let kind = ChangeKind::Put { body: bad.to_string().into(), stamp: stamp(15), condition: Condition::Absent };
    let copy = Change { at: 15 * SECOND, key: format!(".metadata/.quarantine/n/{}", name(7)), by: ProcessId(9), sent: 0, kind };
    hand.changes.insert(3, copy);
    assert_eq!(hand.promises(), [""; 0]);
}
