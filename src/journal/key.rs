//! Names of objects: where a namespace keeps them, and segment keys that sort in the order of writing.

use crate::error::{Error, shortened};
use crate::mutant::{self, Mutant};
use crate::time::Stamp;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Under this prefix lie all objects of all namespaces.
pub const METADATA: &str = ".metadata/";
/// Unreadable segments are moved here. No namespace can have this name.
pub const QUARANTINE: &str = ".metadata/.quarantine/";
const ROLLUP: &str = "rollup.json";

/// The name of a segment within its namespace: `segment-<uuidv7>.json`. Ordered by its bytes, which is the order of a
/// writer's own segments.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentKey(Arc<str>);

impl SegmentKey {
    /// Reads an object's name within its namespace; nothing where it is no segment.
    pub fn parse(name: &str) -> Option<SegmentKey> {
        let inner = name.strip_prefix("segment-")?.strip_suffix(".json")?;
        (!inner.is_empty() && !inner.contains('/')).then(|| SegmentKey(name.into()))
    }

    pub fn from_uuid(uuid: Uuid) -> SegmentKey {
        SegmentKey(format!("segment-{}.json", uuid.hyphenated()).into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn shared(&self) -> Arc<str> {
        self.0.clone()
    }

    /// The UUID in the name, where it is spelled the way this library spells it.
    pub fn uuid(&self) -> Option<Uuid> {
        let inner = &self.0["segment-".len()..self.0.len() - ".json".len()];
        let uuid = Uuid::try_parse(inner).ok()?;
        (SegmentKey::from_uuid(uuid) == *self).then_some(uuid)
    }
}

impl fmt::Display for SegmentKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for SegmentKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Where the objects of one namespace are.
#[derive(Clone, Debug)]
pub struct Places {
    /// Ends with `/`.
    pub prefix: String,
    pub rollup: String,
    pub legacy: String,
}

impl Places {
    /// The places of the namespace `name`; the empty name is the root namespace.
    pub fn of(name: &str) -> Result<Places, Error> {
        let mut bytes = name.bytes();
        let is_valid = bytes.next().is_none_or(|first| first.is_ascii_alphanumeric())
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
        if !is_valid || name.len() > 512 {
            let name = shortened(name);
            let message = format!("namespace {name:?}: a name is empty or matches ^[A-Za-z0-9][A-Za-z0-9_-]*$, with at most 512 bytes");
            return Err(Error::invalid(message).with("namespace", name));
        }
        let prefix = if name.is_empty() { format!("{METADATA}.root/") } else { format!("{METADATA}{name}/") };
        Ok(Places { rollup: format!("{prefix}{ROLLUP}"), legacy: format!("{METADATA}{name}.json"), prefix })
    }

    /// The object of a segment.
    pub fn segment(&self, key: &SegmentKey) -> String {
        format!("{}{key}", self.prefix)
    }

    /// Where a segment goes that is moved aside.
    pub fn quarantined(&self, key: &SegmentKey) -> String {
        format!("{QUARANTINE}{}{key}", &self.prefix[METADATA.len()..])
    }
}

fn listed_keys_do_not_matter() -> bool {
    mutant::is_on(Mutant::KeysIgnoreListedOnes) || mutant::is_on(Mutant::KeysFollowTheLocalClock)
}

/// A key that is further ahead of store time than this is left out when new keys are made: whoever made it had a broken
/// clock, and the time of later keys should still mean something.
const PLAUSIBLE_LEAD: Duration = Duration::from_secs(3600);

/// So many keys that were left out are remembered.
const MOST_LEFT_OUT: usize = 1000;

/// Makes the segment keys of one namespace: strictly increasing, above every key seen so far, and never below store
/// time.
///
/// The 60 bits of a UUIDv7 before its variant (48 of milliseconds, 12 of `rand_a`) are the counter; the 62 bits behind
/// it are random, so two writers that saw the same keys do not make the same one.
#[derive(Default)]
pub struct KeyMaker {
    /// The greatest counter seen or made.
    greatest: u64,
    /// Keys that were left out, so that each is reported once.
    left_out: BTreeSet<SegmentKey>,
}

impl KeyMaker {
    /// Takes in a key that was listed. `false`, once for each key: it is too far ahead of store time to count.
    pub fn observe(&mut self, key: &SegmentKey, store_time: Stamp) -> bool {
        let Some(uuid) = key.uuid().filter(|_| !listed_keys_do_not_matter()) else { return true };
        let counter = counter_of(uuid);
        let limit = (store_time + PLAUSIBLE_LEAD).as_millis();
        if (counter >> 12) as i64 > limit {
            if self.left_out.len() >= MOST_LEFT_OUT {
                self.left_out.clear();
            }
            return !self.left_out.insert(key.clone());
        }
        self.greatest = self.greatest.max(counter);
        true
    }

    /// The next key. `random` are 64 fresh random bits.
    pub fn next(&mut self, store_time: Stamp, random: u64) -> SegmentKey {
        let millis = u64::try_from(store_time.as_millis()).unwrap_or(0) & ((1 << 48) - 1);
        let counter = (self.greatest + 1).max(millis << 12);
        debug_assert!(counter > self.greatest, "keys strictly increase");
        self.greatest = counter;
        let high = (counter >> 12) << 16 | 0x7000 | (counter & 0xfff);
        let low = 0x8000_0000_0000_0000 | (random & 0x3fff_ffff_ffff_ffff);
        SegmentKey::from_uuid(Uuid::from_u64_pair(high, low))
    }
}

fn counter_of(uuid: Uuid) -> u64 {
    let (high, _) = uuid.as_u64_pair();
    (high >> 16) << 12 | (high & 0xfff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_follow_the_bucket_format() {
        let places = Places::of("orders").expect("a valid name");
        assert_eq!(places.rollup, ".metadata/orders/rollup.json");
        assert_eq!(places.legacy, ".metadata/orders.json");
        let root = Places::of("").expect("the root namespace");
        assert_eq!(root.prefix, ".metadata/.root/");
        assert_eq!(root.legacy, ".metadata/.json");
        for name in ["-a", "_a", "a/b", ".root", "a.b", "é", "a b"] {
            assert!(Places::of(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn names_that_are_no_segments_are_told_apart() {
        assert!(SegmentKey::parse("rollup.json").is_none());
        assert!(SegmentKey::parse("segment-.json").is_none());
        assert!(SegmentKey::parse("segment-a/b.json").is_none());
        assert_eq!(SegmentKey::parse("segment-x.json").expect("a segment").uuid(), None);
    }

    #[test]
    fn keys_increase_above_all_that_was_seen() {
        const KEYS: u64 = if cfg!(miri) { 50 } else { 10_000 };
        let mut maker = KeyMaker::default();
        let now = Stamp::from_millis(1_800_000_000_000);
        let ahead = KeyMaker::default().next(now + Duration::from_secs(59), 7);
        assert!(maker.observe(&ahead, now));
        let mut before = ahead;
        for random in 0..KEYS {
            let key = maker.next(now, random);
            assert!(key > before, "{key} after {before}");
            let uuid = key.uuid().expect("a UUID");
            assert_eq!(uuid.get_version_num(), 7);
            assert_eq!(uuid.get_variant(), uuid::Variant::RFC4122);
            before = key;
        }
    }

    #[test]
    fn a_key_hours_ahead_is_left_out() {
        let mut maker = KeyMaker::default();
        let now = Stamp::from_millis(1_800_000_000_000);
        let broken = KeyMaker::default().next(now + Duration::from_secs(7200), 7);
        assert!(!maker.observe(&broken, now));
        assert!(maker.next(now, 1) < broken);
        let uuid = maker.next(now, 1).uuid().expect("a UUID");
        let (seconds, _) = uuid.get_timestamp().expect("a time").to_unix();
        assert_eq!(seconds, 1_800_000_000);
    }
}
