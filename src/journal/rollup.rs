//! The rollup: the state up to the mark, and the proof of what is in it.

use super::key::SegmentKey;
use super::segment::{Place, Segment};
use crate::config::Limits;
use crate::error::shortened;
use crate::json;
use crate::mutant::{self, Mutant};
use crate::ops::MOST_FOLDED;
use crate::state::State;
use crate::time::Stamp;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::time::Duration;
use uuid::Uuid;

/// A rollup of at most so many bytes is written, and read. A proof stands beside the state; and several replicas that write at once,
/// each within `limits.state_bytes`, may pass it together: then nobody can write any more, and folds still have to go on.
pub fn most_bytes(limits: &Limits) -> usize {
    limits.state_bytes + (16 << 20)
}

/// The newest format of objects that this library reads.
const FORMAT: u64 = 1;

/// How long a writer is remembered after its last folded segment.
pub const WRITERS_ARE_KEPT_FOR: Duration = Duration::from_secs(24 * 3600);

/// Everything up to here, in canonical order, is folded (strays aside).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    pub stamp: Stamp,
    /// The name of the last folded segment; empty in the zero mark. Not a `SegmentKey`: the zero mark has none.
    pub key: String,
}

impl Mark {
    pub fn zero() -> Mark {
        Mark { stamp: Stamp::ZERO, key: String::new() }
    }

    pub fn at(place: &Place) -> Mark {
        Mark { stamp: place.stamp, key: place.key.as_str().to_owned() }
    }

    /// Whether a segment lies at or below the mark.
    pub fn covers(&self, place: &Place) -> bool {
        (place.stamp, place.key.as_str()) <= (self.stamp, self.key.as_str())
    }

    /// As it stands in a rollup.
    fn write_json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("{{\"lm\":\"{}\",\"key\":", self.stamp).as_bytes());
        json::write_string(out, &self.key);
        out.push(b'}');
    }

    /// As canonical JSON, for answers to queries.
    pub fn write_canonical(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"key\":");
        json::write_string(out, &self.key);
        out.extend_from_slice(format!(",\"lm\":\"{}\"}}", self.stamp).as_bytes());
    }
}

/// A hash over everything that was ever folded, in the order of folding. It covers the stamps, because a stamp decides
/// whether a segment is void, and the order, because ops do not commute.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Chain([u8; 32]);

impl Chain {
    pub const START: Chain = Chain([0; 32]);

    /// H' = SHA-256(H, key, stamp), the stamp as its RFC 3339 text, key and stamp each followed by a line feed.
    pub fn link(self, place: &Place) -> Chain {
        let mut hash = Sha256::new();
        if mutant::is_on(Mutant::TheChainHasNoOrder) {
            let link: [u8; 32] = Sha256::digest(format!("{}\n{}\n", place.key, place.stamp)).into();
            return Chain(std::array::from_fn(|index| self.0[index] ^ link[index]));
        }
        hash.update(self.0);
        hash.update(format!("{}\n{}\n", place.key, place.stamp));
        Chain(hash.finalize().into())
    }

    fn parse(text: &str) -> Option<Chain> {
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(Chain(bytes))
    }
}

impl std::fmt::Display for Chain {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, formatter)
    }
}

/// A writer's last folded segment that was not void.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastFolded {
    pub key: SegmentKey,
    /// Store time of the fold.
    pub at: Stamp,
}

/// How many segments were folded, in a chain that began at `since`. Counts of two chains say nothing of each other: the
/// later chain is the newer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count {
    pub since: Stamp,
    pub folded: u64,
}

impl Count {
    pub const ZERO: Count = Count { since: Stamp::ZERO, folded: 0 };
}

/// What a rollup says of how it came to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// How many segments were ever folded.
    pub count: u64,
    pub chain: Chain,
    /// Store time at which this chain began anew, over a rollup without proof; the zero stamp where it never did. What
    /// was folded before is not in `chain`, `folded` or `writers`.
    pub since: Stamp,
    /// The folded segments that may still be listed, each with the store time of its fold.
    pub folded: BTreeMap<SegmentKey, Stamp>,
    pub writers: BTreeMap<String, LastFolded>,
}

impl Proof {
    /// The proof of a namespace in which nothing was folded yet.
    pub fn empty() -> Proof {
        Proof { count: 0, chain: Chain::START, since: Stamp::ZERO, folded: BTreeMap::new(), writers: BTreeMap::new() }
    }

    /// The proof of a chain that begins at `at` over a rollup without proof. `listed` are the segments that the rollup
    /// folded and that are still listed: without their names they would count as strays.
    pub fn anew(count: u64, listed: impl Iterator<Item = SegmentKey>, at: Stamp) -> Proof {
        Proof { count, since: at, folded: listed.map(|key| (key, at)).collect(), ..Proof::empty() }
    }

    pub fn total(&self) -> Count {
        Count { since: self.since, folded: self.count }
    }

    /// Takes in a segment that is folded at `at`.
    pub fn add(&mut self, place: &Place, segment: &Segment, at: Stamp) {
        self.count += 1;
        self.chain = self.chain.link(place);
        self.folded.insert(place.key.clone(), at);
        let Some(writer) = segment.writer().filter(|_| !segment.is_void(place.stamp)) else { return };
        let last = self.writers.entry(writer.to_owned()).or_insert_with(|| LastFolded { key: place.key.clone(), at });
        // A writer's keys increase, but two nodes of a store may stamp them in the other order.
        last.key = last.key.clone().max(place.key.clone());
        last.at = last.at.max(at);
    }

    /// Whether `later`, which counts at least as much, can come of folding onto this. Two chains of one count differ,
    /// more names are new than were counted, and a writer's last folded segment goes back, only where a person restored an
    /// older rollup and that was folded on.
    pub fn leads_to(&self, later: &Proof, now: Stamp) -> bool {
        if later.since != self.since {
            return true;
        }
        // When a writer is forgotten is decided on other clocks than the one that tells `now`.
        let may_be_forgotten = |last: &LastFolded| last.at + WRITERS_ARE_KEPT_FOR / 2 < now;
        // A name comes only by a fold, which counts it. What was counted may have been dropped again, so there may be fewer.
        let new_names = later.folded.keys().filter(|key| !self.folded.contains_key(key)).count() as u64;
        (later.count > self.count || later.chain == self.chain)
            && new_names <= later.count.saturating_sub(self.count)
            && self.writers.iter().all(|(writer, last)| match later.writers.get(writer) {
                Some(new) => new.key >= last.key,
                None => may_be_forgotten(last),
            })
    }

    /// Forgets the writers whose last fold is a day ago.
    pub fn forget_old_writers(&mut self, now: Stamp) {
        self.writers.retain(|_, last| last.at + WRITERS_ARE_KEPT_FOR >= now);
    }

    fn write_json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("{{\"count\":{},\"chain\":\"{}\"", self.count, self.chain).as_bytes());
        if self.since != Stamp::ZERO {
            out.extend_from_slice(format!(",\"since\":\"{}\"", self.since).as_bytes());
        }
        // Grouped by fold and with short names: 256 folded segments take 7 KB of the head that every replica downloads.
        let mut folds: BTreeMap<Stamp, Vec<&SegmentKey>> = BTreeMap::new();
        for (key, at) in &self.folded {
            folds.entry(*at).or_default().push(key);
        }
        out.extend_from_slice(b",\"folded\":[");
        for (index, (at, keys)) in folds.iter().enumerate() {
            out.extend_from_slice(if index > 0 { b",{" } else { b"{" });
            out.extend_from_slice(format!("\"at\":\"{at}\",\"keys\":[").as_bytes());
            for (index, key) in keys.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                json::write_string(out, &short_name(key));
            }
            out.extend_from_slice(b"]}");
        }
        out.extend_from_slice(b"],\"writers\":{");
        for (index, (writer, last)) in self.writers.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            json::write_string(out, writer);
            out.extend_from_slice(b":{\"key\":");
            json::write_string(out, &short_name(&last.key));
            out.extend_from_slice(format!(",\"at\":\"{}\"}}", last.at).as_bytes());
        }
        out.extend_from_slice(b"}}");
    }

    fn parse(text: &[u8]) -> Result<Proof, String> {
        #[derive(Deserialize)]
        struct Text {
            count: u64,
            chain: String,
            since: Option<String>,
            #[serde(default)]
            folded: Vec<Fold>,
            #[serde(default)]
            writers: BTreeMap<String, Writer>,
        }
        #[derive(Deserialize)]
        struct Fold {
            at: String,
            keys: Vec<String>,
        }
        #[derive(Deserialize)]
        struct Writer {
            key: String,
            at: String,
        }
        let time = |text: &str| Stamp::parse(text).ok_or_else(|| format!("its proof holds {text:?} where a time is due"));
        let name = |text: &str| long_name(text).ok_or_else(|| format!("its proof holds {text:?} where a segment's name is due"));
        let text: Text = serde_json::from_slice(text).map_err(|error| format!("its proof cannot be read: {error}"))?;
        if text.count > MOST_FOLDED {
            return Err(format!("the count of its proof is {}, which no namespace reaches", text.count));
        }
        let mut folded = BTreeMap::new();
        for fold in text.folded {
            let at = time(&fold.at)?;
            for key in fold.keys {
                folded.insert(name(&key)?, at);
            }
        }
        let mut writers = BTreeMap::new();
        for (writer, last) in text.writers {
            writers.insert(writer, LastFolded { key: name(&last.key)?, at: time(&last.at)? });
        }
        Ok(Proof {
            count: text.count,
            chain: Chain::parse(&text.chain).ok_or("the chain of its proof is not 64 hexadecimal digits")?,
            since: text.since.as_deref().map_or(Ok(Stamp::ZERO), time)?,
            folded,
            writers,
        })
    }
}

/// 22 characters (the UUID in base64url) instead of 49; a name that is not spelled in the usual way stays as it is.
fn short_name(key: &SegmentKey) -> String {
    key.uuid().map_or_else(|| key.as_str().to_owned(), |uuid| URL_SAFE_NO_PAD.encode(uuid.as_bytes()))
}

fn long_name(text: &str) -> Option<SegmentKey> {
    if text.ends_with(".json") {
        return SegmentKey::parse(text);
    }
    let bytes: [u8; 16] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
    Some(SegmentKey::from_uuid(Uuid::from_bytes(bytes)))
}

/// What a rollup says before its state.
#[derive(Clone, Debug)]
pub struct Head {
    /// Absent where the peer wrote the rollup.
    pub proof: Option<Proof>,
    pub mark: Mark,
}

impl Head {
    /// Whether this tells of everything that was stamped at this moment or later and is folded: by name, or because the mark does not
    /// reach so far. A fold by the peer names nothing, and the next chain begins after what the peer folded.
    pub fn tells_since(&self, stamp: Stamp) -> bool {
        self.proof.as_ref().map_or(self.mark.stamp, |proof| proof.since) < stamp
    }
}

/// A rollup that was read whole.
pub struct Rollup {
    pub head: Head,
    pub state: State,
}

/// The text of a rollup, with proof and mark before the state, so that a range GET of its head shows them.
pub fn encode(proof: &Proof, mark: &Mark, state: &State) -> Vec<u8> {
    let mut out = Vec::with_capacity(state.canonical_len() + 64 * proof.folded.len() + 160 * proof.writers.len() + 512);
    out.extend_from_slice(b"{\"proof\":");
    proof.write_json(&mut out);
    out.extend_from_slice(b",\"mark\":");
    mark.write_json(&mut out);
    out.extend_from_slice(b",\"state\":");
    state.write_canonical(&mut out);
    out.push(b'}');
    out
}

/// Reads a whole rollup. The state stays where it is in `body`. Fails with the reason why the rollup is unreadable.
pub fn read(body: Bytes, depth: usize) -> Result<Rollup, String> {
    let members = json::members(&body, depth).map_err(|error| error.to_string())?;
    let head = read_members(&body, &members)?.ok_or("it has no mark")?;
    let state = members.iter().rev().find(|(name, _)| name == "state").ok_or("it has no state")?;
    let state = State::read(body.slice(state.1.clone()), depth).map_err(|error| format!("its state cannot be read: {error}"))?;
    Ok(Rollup { head, state })
}

/// Reads the head of a rollup from its first bytes; nothing where they do not reach far enough, or where the state
/// comes first.
pub fn read_head(start: &[u8], depth: usize) -> Result<Option<Head>, String> {
    let (members, _) = json::leading_members(start, depth);
    let has_proof = members.iter().any(|(name, _)| name == "proof");
    // Without a proof before the mark there may be one behind the state.
    if !has_proof { Ok(None) } else { read_members(start, &members) }
}

type Members = [(String, std::ops::Range<usize>)];

fn read_members(text: &[u8], members: &Members) -> Result<Option<Head>, String> {
    // Some of the reasons repeat what stands there, which may be of any length.
    find_head(text, members).map_err(|reason| shortened(&reason).into_owned())
}

fn find_head(text: &[u8], members: &Members) -> Result<Option<Head>, String> {
    let find = |wanted: &str| members.iter().rev().find(|(name, _)| name == wanted).map(|(_, range)| &text[range.clone()]);
    if let Some(format) = find("format") {
        let format: u64 = serde_json::from_slice(format).map_err(|_| "its format is no number")?;
        if format > FORMAT {
            return Err(format!("it has format {format}, and this version reads up to {FORMAT}"));
        }
    }
    let Some(mark) = find("mark") else { return Ok(None) };
    #[derive(Deserialize)]
    struct Text {
        lm: String,
        key: String,
    }
    let mark: Text = serde_json::from_slice(mark).map_err(|error| format!("its mark cannot be read: {error}"))?;
    let stamp = Stamp::parse(&mark.lm).ok_or_else(|| format!("its mark holds {:?} where a time is due", mark.lm))?;
    let proof = find("proof").map(Proof::parse).transpose()?;
    Ok(Some(Head { proof, mark: Mark { stamp, key: mark.key } }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Limits;
    use crate::journal::key::KeyMaker;
    use crate::journal::segment;

    fn place(millis: i64, random: u64) -> Place {
        let stamp = Stamp::from_millis(1_800_000_000_000 + millis);
        Place { stamp, key: KeyMaker::default().next(stamp, random) }
    }

    fn segment_at(place: &Place, writer: &str) -> std::sync::Arc<Segment> {
        let body = segment::encode(std::iter::empty(), writer, place.stamp + Duration::from_secs(16), Count::ZERO);
        Segment::read(place.key.clone(), &body, &Limits::default())
    }

    fn sample() -> Proof {
        let mut proof = Proof::empty();
        for index in 0..3 {
            let place = place(index * 10, index as u64);
            proof.add(&place, &segment_at(&place, "w1"), place.stamp + Duration::from_secs(40));
        }
        let odd = Place { stamp: Stamp::from_millis(5), key: SegmentKey::parse("segment-\"UP\\PER.json").expect("a segment") };
        proof.add(&odd, &segment_at(&odd, "w2"), Stamp::from_millis(1_800_000_041_000));
        proof
    }

    #[test]
    fn a_rollup_is_read_as_it_was_written() {
        let state = State::read(Bytes::from_static(br#"{"a":1,"l":[1,2]}"#), 128).expect("a state");
        let mark = Mark::at(&place(20, 2));
        let text = encode(&sample(), &mark, &state);
        let rollup = read(text.clone().into(), 128).expect("a rollup");
        assert_eq!(rollup.head.mark, mark);
        assert_eq!(rollup.head.proof, Some(sample()));
        let mut again = Vec::new();
        rollup.state.write_canonical(&mut again);
        assert_eq!(again, br#"{"a":1,"l":[1,2]}"#);
        let cut = text.len() - 5;
        let head = read_head(&text[..cut], 128).expect("a head").expect("whole");
        assert_eq!(head.proof, Some(sample()));
        assert!(read_head(&text[..100], 128).expect("no error").is_none());
    }

    #[test]
    fn the_chain_depends_on_order_and_stamps() {
        let (a, b) = (place(0, 1), place(1, 2));
        assert_ne!(Chain::START.link(&a).link(&b), Chain::START.link(&b).link(&a));
        let later = Place { stamp: a.stamp + Duration::from_nanos(1), key: a.key.clone() };
        assert_ne!(Chain::START.link(&a), Chain::START.link(&later));
        assert_eq!(Chain::parse(&Chain::START.link(&a).to_string()), Some(Chain::START.link(&a)));
    }

    #[test]
    fn a_void_segment_is_no_writers_last_one() {
        let late = place(60_000, 9);
        let body = segment::encode(std::iter::empty(), "w1", Stamp::from_millis(1_800_000_016_000), Count::ZERO);
        let mut proof = sample();
        let last = proof.writers["w1"].clone();
        proof.add(&late, &Segment::read(late.key.clone(), &body, &Limits::default()), late.stamp + Duration::from_secs(40));
        assert_eq!(proof.writers["w1"].key, last.key);
        assert_eq!(proof.count, 5);
        proof.forget_old_writers(last.at + Duration::from_secs(24 * 3600 + 1));
        assert!(!proof.writers.contains_key("w1"));
    }

    #[test]
    fn a_rollup_that_was_folded_on_beside_another_does_not_come_of_it() {
        let folded = |onto: &Proof, indices: std::ops::Range<u64>| {
            let mut proof = onto.clone();
            for index in indices {
                let place = place(100 + index as i64 * 10, index);
                proof.add(&place, &segment_at(&place, "w1"), place.stamp + Duration::from_secs(40));
            }
            proof
        };
        let now = Stamp::from_millis(1_800_000_100_000);
        let (base, held) = (sample(), folded(&sample(), 0..2));
        let mut later = folded(&held, 2..5);
        assert!(base.leads_to(&held, now) && held.leads_to(&held, now) && held.leads_to(&later, now));
        later.folded.pop_first();
        assert!(held.leads_to(&later, now), "a name is dropped once its segment is not listed any more");
        // The same writer goes on in both, and this one counts more: only the names tell that two segments are missing.
        let beside = folded(&base, 2..5);
        assert!(beside.count > held.count && beside.writers["w1"].key > held.writers["w1"].key);
        assert!(base.leads_to(&beside, now) && !held.leads_to(&beside, now));
    }

    #[test]
    fn what_the_peer_writes_has_no_proof() {
        let body = br#"{"state":{"counter":41},"mark":{"lm":"2026-04-18T09:58:35Z","key":"segment-x.json"}}"#;
        let rollup = read(Bytes::from_static(body), 128).expect("a rollup");
        assert!(rollup.head.proof.is_none());
        assert!(read_head(body, 128).expect("no error").is_none());
    }

    #[test]
    fn damage_is_named() {
        let reason = |body: &'static str| read(Bytes::from_static(body.as_bytes()), 128).err().expect("refused");
        assert!(reason(r#"{"state":null,"mark":{"lm":"0001-01-01T00:00:00Z","key":""}}"#).contains("state"));
        assert!(reason(r#"{"state":{},"mark":{"lm":"soon","key":""}}"#).contains("soon"));
        assert!(reason(r#"{"state":{}}"#).contains("mark"));
        assert!(reason(r#"{"mark":{"lm":"0001-01-01T00:00:00Z","key":""}}"#).contains("state"));
        assert!(reason(r#"{"format":2,"state":{},"mark":{"lm":"0001-01-01T00:00:00Z","key":""}}"#).contains("format 2"));
        let count = r#"{"proof":{"count":18446744073709551615,"chain":""},"state":{},"mark":{"lm":"0001-01-01T00:00:00Z","key":""}}"#;
        assert!(reason(count).contains("count"));
        let chain = r#"{"proof":{"count":1,"chain":"00"},"state":{},"mark":{"lm":"0001-01-01T00:00:00Z","key":""}}"#;
        assert!(reason(chain).contains("chain"));
        let long = "x".repeat(crate::error::LONG_WORDS);
        for mark in [format!(r#"{{"lm":"{long}","key":""}}"#), format!(r#""{long}""#)] {
            let body = format!(r#"{{"mark":{mark},"state":{{}}}}"#);
            assert!(read(body.into(), 128).err().expect("refused").len() < 3_000, "a reason is not as long as what it is about");
        }
    }
}
