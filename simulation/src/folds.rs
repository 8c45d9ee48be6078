//! Holds the history of the bucket to the promises: what was folded, in which order, with which result, and what was deleted
//! when. Reads the objects with code of its own.

mod others;

use super::faults::Counts;
use super::history::{About, Violation};
use super::model::{BatchId, Model};
use super::store::{Change, ChangeKind, EPOCH};
use super::variety::OBJECT_BYTES;
use super::world::{ProcessId, SECOND, Time};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use opjournal::store::Condition;
use opjournal::time::Stamp;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// The constants of the bucket.
#[derive(Clone, Copy, Debug)]
pub struct Constants {
    /// F: the least age at which anything is folded, and the least time after that at which it is deleted.
    pub fold_age: Time,
    /// S.
    pub skew: Time,
}

/// Who writes to the bucket beside replicas of this library.
#[derive(Clone, Debug, Default)]
pub struct Company {
    pub peers: BTreeSet<ProcessId>,
    /// Persons.
    pub operators: BTreeSet<ProcessId>,
    /// When, in each namespace, a LIST of a peer first took too long for the mark that comes of it.
    pub held_up: BTreeMap<String, Time>,
}

/// What came of a namespace.
#[derive(Default)]
pub struct Audit {
    pub violations: Vec<Violation>,
    /// Everything that is in the bucket at its end, replayed in canonical order.
    pub state: Model,
    /// Segments above the rollup.
    pub tail: usize,
    /// Segments that are folded and not deleted.
    pub leftovers: usize,
    /// The batches in each segment that was ever visible.
    pub batches: BTreeMap<String, Vec<BatchId>>,
    /// Segments that could not be read.
    pub unreadable: BTreeSet<String>,
    pub counts: Counts,
    /// When something that is late for the peer came first: a void segment, or one that surfaced after it was folded.
    pub late: Option<Time>,
    /// When a LIST of a peer first took too long for the mark that comes of it: that may pass segments which no page showed.
    pub held_up: Option<Time>,
    /// From when to when the rollup was one without a proof.
    pub proofless: Vec<(Time, Time)>,
    /// Batches whose segment was written, and so stamped, more than once.
    pub restamped: BTreeSet<BatchId>,
    /// When each batch that had been folded was first neither in the rollup nor listed, because of what a person did.
    pub lacking: BTreeMap<BatchId, Time>,
    /// Those of them that are so at the end, and since when.
    pub lost: BTreeMap<BatchId, Time>,
    /// When a person first touched the rollup.
    pub tampered: Option<Time>,
}

struct Segment {
    stamp: i128,
    visible: Time,
    /// Who wrote it.
    by: ProcessId,
    raw: Bytes,
    /// Null where it is no JSON.
    body: Value,
    is_readable: bool,
}

impl Segment {
    fn new(by: ProcessId, visible: Time, stamp: i128, raw: &Bytes) -> Segment {
        let body = serde_json::from_slice::<Value>(raw).unwrap_or(Value::Null);
        let mut segment = Segment { stamp, visible, by, raw: raw.clone(), body, is_readable: true };
        let is_known = |op: &Value| Model::default().apply(op).is_ok();
        let is_newer = segment.body["format"].as_u64().is_some_and(|format| format > 1);
        segment.is_readable = segment.body.is_object() && !is_newer && raw.len() <= OBJECT_BYTES && segment.ops().iter().all(is_known);
        segment
    }

    fn is_void(&self) -> bool {
        let expires = self.body["expires"].as_str().and_then(Stamp::parse);
        expires.is_some_and(|expires| self.stamp > expires.as_nanos())
    }

    fn ops(&self) -> &[Value] {
        self.body["ops"].as_array().map_or(&[], Vec::as_slice)
    }
}

/// The rollup as it stands, and what it must be.
#[derive(Clone)]
struct Rollup {
    state: Model,
    mark: (i128, String),
    /// A peer's rollup has none.
    has_proof: bool,
    since: Option<i128>,
    count: u64,
    chain: [u8; 32],
    folded: BTreeSet<String>,
    /// Names whose ops it took in, itself or one that it stands on.
    taken_in: BTreeSet<String>,
}

impl Default for Rollup {
    fn default() -> Rollup {
        Rollup {
            state: Model::default(),
            mark: (Stamp::ZERO.as_nanos(), String::new()),
            has_proof: true,
            since: None,
            count: 0,
            chain: [0; 32],
            folded: BTreeSet::new(),
            taken_in: BTreeSet::new(),
        }
    }
}

struct Auditor {
    constants: Constants,
    audit: Audit,
    live: BTreeMap<String, Segment>,
    /// Void copies that were deleted. A DELETE that comes late may take one away under a fold, which takes nothing in from it.
    void_and_gone: BTreeMap<String, Segment>,
    rollup: Rollup,
    /// Every name that was ever folded, with the store time of its first fold. A void copy may be folded again, and meet a DELETE that was
    /// sent for the first one and comes late.
    ever_folded: BTreeMap<String, i128>,
    /// Names whose ops any rollup ever took in.
    taken_in: BTreeSet<String>,
    /// The namespace holds something from before the journal, and no rollup took it over yet.
    is_seed_due: bool,
    /// What a quarantine kept.
    moved_aside: Vec<Bytes>,
    company: Company,
    /// Every stamp that a name ever had.
    stamps: BTreeMap<String, BTreeSet<i128>>,
    /// Every count that a rollup ever had.
    counts: BTreeSet<u64>,
    /// The rollups that were ever there, by the text of each. Kept where somebody may bring one back.
    versions: BTreeMap<Vec<u8>, Rollup>,
}

/// Audits one namespace. `changes` is the history of the whole bucket.
pub fn audit(changes: &[Change], namespace: &str, constants: Constants, company: &Company) -> Audit {
    let prefix = if namespace.is_empty() { ".metadata/.root/".to_owned() } else { format!(".metadata/{namespace}/") };
    let mut auditor = Auditor {
        constants,
        audit: Audit { held_up: company.held_up.get(namespace).copied(), ..Audit::default() },
        live: BTreeMap::new(),
        void_and_gone: BTreeMap::new(),
        rollup: Rollup::default(),
        ever_folded: BTreeMap::new(),
        taken_in: BTreeSet::new(),
        is_seed_due: false,
        moved_aside: Vec::new(),
        company: company.clone(),
        stamps: BTreeMap::new(),
        counts: BTreeSet::from([0]),
        versions: BTreeMap::new(),
    };
    let legacy = format!(".metadata/{namespace}.json");
    let aside = format!(".metadata/.quarantine/{}", &prefix[".metadata/".len()..]);
    for change in changes {
        if let (true, ChangeKind::Put { body, .. }) = (change.key == legacy, &change.kind) {
            auditor.legacy(body);
        } else if let (Some(_), ChangeKind::Put { body, .. }) = (change.key.strip_prefix(&aside), &change.kind) {
            auditor.moved_aside.push(body.clone());
        } else if let Some(name) = change.key.strip_prefix(&prefix) {
            auditor.change(change, name);
        }
    }
    auditor.end()
}

impl Auditor {
    fn violate(&mut self, at: Time, promise: &'static str, what: String) {
        self.audit.violations.push(Violation::new(at, promise, what));
    }

    /// What was there before the journal. What is no JSON object counts as absent.
    fn legacy(&mut self, body: &Bytes) {
        if let Some(state) = serde_json::from_slice(body).ok().and_then(|value| Model::read(&value)) {
            self.is_seed_due = state != Model::default();
            self.rollup.state = state;
        }
    }

    fn change(&mut self, change: &Change, name: &str) {
        let is_segment = name.starts_with("segment-");
        match &change.kind {
            ChangeKind::Put { body, stamp, condition, .. } if is_segment => {
                let by_peer = self.company.peers.contains(&change.by);
                if *condition != Condition::Absent && !by_peer {
                    self.violate(change.at, "P1", format!("{name} was written without create-once"));
                }
                let segment = Segment::new(change.by, change.at, *stamp, body);
                if !segment.is_readable {
                    self.audit.unreadable.insert(name.to_owned());
                }
                self.audit.counts.add(if segment.is_void() { "seen: void segment" } else { "seen: segment" });
                let ids: Vec<BatchId> =
                    segment.ops().iter().filter(|op| op["Key"] == "log").filter_map(|op| op["Value"].as_u64()).collect();
                let stamps = self.stamps.entry(name.to_owned()).or_default();
                stamps.insert(*stamp);
                if stamps.len() > 1 {
                    self.audit.restamped.extend(&ids);
                }
                if segment.is_void() || self.taken_in.contains(name) {
                    self.audit.late.get_or_insert(change.at);
                }
                self.audit.batches.insert(name.to_owned(), ids);
                self.live.insert(name.to_owned(), segment);
            }
            ChangeKind::Put { body, condition, .. } if name == "rollup.json" => {
                let is_operator = self.company.operators.contains(&change.by);
                if *condition == Condition::Always && !is_operator {
                    self.violate(change.at, "P7", "the rollup was written without a condition".to_owned());
                }
                let written = if is_operator {
                    self.restored(change.at, body)
                } else if self.company.peers.contains(&change.by) {
                    self.folded_by_peer(change.at, body)
                } else if self.is_written_forward(body) {
                    Ok(())
                } else {
                    self.fold(change.at, body)
                };
                if let Err(what) = written {
                    self.violate(change.at, "the format", what);
                }
                self.rollup_changed(change.at, Some(body));
            }
            ChangeKind::Put { .. } => {}
            ChangeKind::Deleted if is_segment => {
                if self.company.peers.contains(&change.by) {
                    self.deleted_by_peer(change, name);
                } else {
                    self.deleted(change, name);
                }
                self.look_for_lacks(change.at);
            }
            ChangeKind::Deleted if name == "rollup.json" && self.company.operators.contains(&change.by) => {
                self.audit.counts.add("operator: rollup deleted");
                self.audit.tampered.get_or_insert(change.at);
                self.rollup = Rollup::default();
                self.rollup_changed(change.at, None);
            }
            ChangeKind::Deleted if name == "rollup.json" => self.violate(change.at, "P7", "the rollup was deleted".to_owned()),
            ChangeKind::Deleted => {}
        }
    }

    /// A rollup became visible.
    fn fold(&mut self, at: Time, text: &[u8]) -> Result<(), String> {
        let body: Value = serde_json::from_slice(text).map_err(|error| format!("the rollup is no JSON: {error}"))?;
        let (proof, mark) = (&body["proof"], read_mark(&body)?);
        let time = |value: &Value| value.as_str().and_then(Stamp::parse).map(Stamp::as_nanos).ok_or_else(|| format!("{value} is no time"));
        let mut folded = BTreeMap::new();
        for fold in proof["folded"].as_array().ok_or("the proof names no folds")? {
            for key in fold["keys"].as_array().ok_or("a fold names no keys")? {
                folded.insert(
                    long_name(key.as_str().unwrap_or_default()).ok_or_else(|| format!("{key} names no segment"))?,
                    time(&fold["at"])?,
                );
            }
        }
        let names: BTreeSet<String> = folded.keys().cloned().collect();
        let since = proof["since"].as_str().map(|_| time(&proof["since"])).transpose()?;
        let begins = !self.rollup.has_proof;
        let violations_before = self.audit.violations.len();
        if !begins && since != self.rollup.since {
            self.violate(at, "P7", format!("a chain begins at {} over a rollup that has a proof", proof["since"]));
        }
        if begins {
            self.begin_chain(at, since, &names);
        }
        let mut taken: Vec<(i128, String)> = Vec::new();
        let known = self.rollup.folded.clone();
        // The PUT of a fold, sent before a person deleted the rollup or put an older one back, finds what it was made on there once more: the same
        // as if that person had restored it.
        let was_folded = |name: &String| !self.live.contains_key(name) && self.ever_folded.contains_key(name);
        let is_from_before = self.audit.tampered.is_some() && names.difference(&known).any(was_folded);
        if is_from_before {
            self.audit.counts.add("seen: fold from before a person came");
        }
        for name in names.difference(&known) {
            match self.live.get(name).or_else(|| self.void_and_gone.get(name)) {
                Some(segment) => taken.push((segment.stamp, name.clone())),
                None => self.violate(at, "P7", format!("{name} was folded and is not there")),
            }
        }
        taken.sort();
        self.audit.counts.add("seen: fold");
        let is_seed = std::mem::take(&mut self.is_seed_due);
        if is_seed && taken.is_empty() {
            self.audit.counts.add("seen: legacy state taken over");
        } else if is_seed {
            self.violate(at, "P7", "something was folded before the legacy state was taken over".to_owned());
        } else if taken.is_empty() {
            self.violate(at, "P7", "a rollup was written that folds nothing".to_owned());
        }
        self.pinned(at, &taken);
        let mark_before = self.rollup.mark.clone();
        for place in &taken {
            self.take_in(at, place, &mark_before);
        }
        self.rollup.count += taken.len() as u64;
        if begins && let Some(count) = proof["count"].as_u64() {
            self.check_count_goes_on(at, count, taken.len() as u64);
        }
        let mut reached = taken.last().cloned().map_or(mark_before.clone(), |last| last.max(mark_before.clone()));
        if mark > reached && self.is_kept_mark(&mark) {
            self.audit.counts.add("seen: fold under a kept mark");
            reached = mark.clone();
        }
        if mark != reached {
            self.violate(at, "P7", format!("the mark is {mark:?}, and what is folded reaches {reached:?}"));
        }
        if proof["count"].as_u64() != Some(self.rollup.count) {
            self.violate(at, "P7", format!("the proof counts {}, and {} segments were folded", proof["count"], self.rollup.count));
        }
        let chain: String = self.rollup.chain.iter().map(|byte| format!("{byte:02x}")).collect();
        if proof["chain"].as_str() != Some(&chain) {
            self.violate(at, "P7", format!("the chain is {}, and the folds make {chain}", proof["chain"]));
        }
        let state = format!("\"state\":{}}}", self.rollup.state.text());
        if !text.ends_with(state.as_bytes()) {
            self.violate(at, "P4", format!("the rollup holds {}, and its folds make {}", body["state"], self.rollup.state.text()));
        }
        self.rollup.mark = reached;
        if is_from_before || names.iter().any(|name| self.is_restamped(name)) {
            // What the fold saw, and which of several stamps, cannot be told from outside any more: what it says is what holds.
            self.audit.violations.truncate(violations_before);
            self.rollup.mark = mark;
            self.rollup.count = proof["count"].as_u64().ok_or("no count")?;
            self.rollup.chain = proof["chain"].as_str().and_then(read_chain).ok_or("the chain is no hash")?;
            self.believe(at, Model::read(&body["state"]).ok_or("the state is no object")?);
        }
        self.rollup.folded = names;
        for (name, at) in folded {
            let first = self.ever_folded.entry(name).or_insert(at);
            // A fold from before a person came may land after one that came later, and goes by its own time.
            if self.audit.tampered.is_some() {
                *first = at.min(*first);
            }
        }
        Ok(())
    }

    /// No fold takes an unreadable segment in, nor passes one.
    fn pinned(&mut self, at: Time, taken: &[(i128, String)]) {
        let Some(last) = taken.last() else { return };
        let unreadable = self.live.iter().filter(|(_, segment)| !segment.is_readable);
        let passed = unreadable.map(|(name, segment)| (segment.stamp, name.clone())).find(|place| place <= last);
        if let Some((_, name)) = passed {
            self.violate(at, "P7", format!("a fold passed {name}, which cannot be read"));
        }
    }

    fn take_in(&mut self, at: Time, place: &(i128, String), mark_before: &(i128, String)) {
        let (stamp, name) = place;
        let Some(segment) = self.live.get(name).or_else(|| self.void_and_gone.get(name)) else { return };
        let is_void = segment.is_void();
        let ops = if is_void { Vec::new() } else { segment.ops().to_vec() };
        let mut hash = Sha256::new();
        hash.update(self.rollup.chain);
        hash.update(format!("{name}\n{}\n", Stamp::from_nanos(*stamp)));
        self.rollup.chain = hash.finalize().into();
        let age = EPOCH + i128::from(at) - stamp;
        // Truncated stamps and the clocks of nodes may make a segment look older than it is.
        if age < i128::from(self.constants.fold_age) - i128::from(self.constants.skew + SECOND) {
            self.violate(at, "P7", format!("{name} was folded at an age of {} ms", age / 1_000_000));
        }
        if place <= mark_before {
            self.audit.counts.add("seen: stray folded");
        }
        if is_void {
            self.audit.counts.add("seen: void folded");
        } else if !self.rollup.taken_in.insert(name.clone()) {
            self.audit.violations.push(Violation::new(at, "P1", format!("{name} was folded twice")).about(About::Twice));
        } else {
            self.taken_in.insert(name.clone());
        }
        for op in ops {
            if let Err(reason) = self.rollup.state.apply(&op) {
                self.violate(at, "the format", reason);
            }
        }
    }

    fn deleted(&mut self, change: &Change, name: &str) {
        let segment = self.live.remove(name);
        self.audit.counts.add("seen: delete");
        if let Some(segment) = segment.as_ref().filter(|segment| !segment.is_readable) {
            // Whoever wrote it may take it away; everybody else has to keep a copy.
            if segment.by != change.by && !self.moved_aside.contains(&segment.raw) {
                self.violate(change.at, "P7", format!("{name}, which cannot be read, was deleted and not moved aside"));
            }
            return;
        }
        let Some(folded_at) = self.ever_folded.get(name).copied() else {
            return self.violate(change.at, "P7", format!("{name} was deleted and never folded"));
        };
        let segment = match segment {
            Some(segment) if segment.is_void() => {
                self.void_and_gone.insert(name.to_owned(), segment);
                None
            }
            segment => segment,
        };
        if let Some(segment) = segment.filter(|segment| !segment.ops().is_empty() && !self.taken_in.contains(name)) {
            self.violate(
                change.at,
                "P7",
                format!("{name}, visible since {} s and not void, was deleted and is in no rollup", segment.visible / SECOND),
            );
        }
        let age = EPOCH + i128::from(change.sent) - folded_at;
        if age < i128::from(self.constants.fold_age) - i128::from(self.constants.skew + SECOND) {
            self.violate(change.at, "P7", format!("{name} was deleted {} ms after its fold", age / 1_000_000));
        }
    }

    fn end(mut self) -> Audit {
        let mut rest: Vec<(i128, String)> = Vec::new();
        for (name, segment) in &self.live {
            // A peer deletes once, right after its fold; what that left goes after the next fold of this library.
            let is_below = !self.rollup.has_proof && (segment.stamp, name) <= (self.rollup.mark.0, &self.rollup.mark.1);
            if self.rollup.folded.contains(name) {
                self.audit.leftovers += 1;
            } else if !is_below {
                rest.push((segment.stamp, name.clone()));
            }
        }
        rest.sort();
        // Nothing behind an unreadable segment can be folded.
        self.audit.tail = rest.iter().take_while(|(_, name)| self.live[name].is_readable).count();
        self.audit.state = self.rollup.state.clone();
        let (strays, tail): (Vec<_>, Vec<_>) = rest.into_iter().partition(|place| *place <= self.rollup.mark);
        for (_, name) in strays.into_iter().chain(tail) {
            let segment = &self.live[&name];
            if segment.is_void() || !segment.is_readable {
                continue;
            }
            if self.rollup.taken_in.contains(&name) {
                let what = format!("{name} was folded, is no longer in the proof, and is back in time");
                self.audit.violations.push(Violation::new(segment.visible, "P1", what).about(About::Twice));
            }
            for op in segment.ops() {
                if let Err(what) = self.audit.state.apply(op) {
                    self.audit.violations.push(Violation::new(segment.visible, "the format", what));
                }
            }
        }
        self.audit
    }
}

/// The mark of a rollup.
fn read_mark(body: &Value) -> Result<(i128, String), String> {
    let mark = &body["mark"];
    let stamp = mark["lm"].as_str().and_then(Stamp::parse).ok_or_else(|| format!("{} is no time", mark["lm"]))?;
    Ok((stamp.as_nanos(), mark["key"].as_str().ok_or("the mark has no key")?.to_owned()))
}

fn read_chain(text: &str) -> Option<[u8; 32]> {
    let digits = |index: usize| u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok();
    let bytes: Option<Vec<u8>> = (0..32).map(digits).collect();
    bytes?.try_into().ok()
}

/// A proof spells a segment's UUID in base64url.
fn long_name(short: &str) -> Option<String> {
    if short.ends_with(".json") {
        return Some(short.to_owned());
    }
    let bytes: [u8; 16] = URL_SAFE_NO_PAD.decode(short).ok()?.try_into().ok()?;
    Some(format!("segment-{}.json", uuid::Uuid::from_bytes(bytes)))
}

#[cfg(test)]
mod tests;
