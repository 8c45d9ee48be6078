//! A hash index of names that stand in a text.

use foldhash::fast::RandomState;
use once_cell::sync::OnceCell;
use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// Fewer names than this are found by binary search.
const FEWEST: usize = 16;

/// How names are hashed. Seeded anew for each arena, so that nobody can choose names that collide; no result depends on it.
pub(super) type Hasher = RandomState;

pub(super) fn hash(hasher: &Hasher, name: &[u8]) -> u64 {
    hasher.hash_one(name)
}

/// The slots of several tables, one after the other, each with open addressing at three quarters full.
#[derive(Debug)]
pub(super) struct Slots {
    hasher: Hasher,
    slots: Vec<Slot>,
    /// A bit for each slot: whether a version may hold something else at a name whose home it is. Made at the first change.
    changed: OnceCell<Box<[AtomicU64]>>,
}

/// One name.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// Where the name's entry begins in the text, so that the text is at hand without another look.
    start: u32,
    /// 0 if the slot is free. Otherwise the low bits, as many as the table's ordinals need, hold an ordinal + 1, and what is left
    /// above them holds bits of the hash, so that a name is hardly ever compared in vain: each comparison is a cache miss.
    tag: u32,
}

impl Slots {
    pub(super) fn new() -> Slots {
        Slots { hasher: Hasher::default(), slots: Vec::new(), changed: OnceCell::new() }
    }

    /// What the hashes given to [`Slots::add`] must come from.
    pub(super) fn hasher(&self) -> Hasher {
        self.hasher.clone()
    }

    /// Adds a table for names with these starts and hashes, in the order of their ordinals. The range is empty where none is needed.
    pub(super) fn add(&mut self, starts: &[u32], hashes: &[u64]) -> Range<u32> {
        let first = self.slots.len();
        if hashes.len() < FEWEST {
            return first as u32..first as u32;
        }
        self.slots.resize(first + hashes.len() + hashes.len() / 3 + 1, Slot::default());
        let table = &mut self.slots[first..];
        let bits = ordinal_bits(table.len());
        for (ordinal, (&start, &hash)) in starts.iter().zip(hashes).enumerate() {
            let mut place = home(hash, table.len());
            while table[place].tag != 0 {
                place = if place + 1 == table.len() { 0 } else { place + 1 };
            }
            table[place] = Slot { start, tag: fingerprint(hash, bits) | (ordinal as u32 + 1) };
        }
        first as u32..self.slots.len() as u32
    }

    /// The hash of a name, as the other functions want it.
    #[inline]
    pub(super) fn hash(&self, name: &[u8]) -> u64 {
        hash(&self.hasher, name)
    }

    /// The ordinal and the start of the name with this hash in the table at `range`, where `is_name` tells whether it stands at a start.
    #[inline]
    pub(super) fn find(&self, range: Range<u32>, hash: u64, is_name: impl Fn(usize) -> bool) -> Option<(usize, usize)> {
        let table = &self.slots[range.start as usize..range.end as usize];
        let bits = ordinal_bits(table.len());
        let mask = (1 << bits) - 1;
        let fingerprint = fingerprint(hash, bits);
        let mut place = home(hash, table.len());
        // A quarter of the slots is free, so that this ends.
        while table[place].tag != 0 {
            let Slot { start, tag } = table[place];
            if tag & !mask == fingerprint && is_name(start as usize) {
                return Some(((tag & mask) as usize - 1, start as usize));
            }
            place = if place + 1 == table.len() { 0 } else { place + 1 };
        }
        None
    }

    /// The ordinal and the start of the first name that a search for this hash meets, which hardly ever is another one; 0 where there is none.
    /// For bringing what a search will look at into the caches.
    #[inline]
    pub(super) fn first(&self, range: Range<u32>, hash: u64) -> (usize, usize) {
        let bits = ordinal_bits(range.len());
        let Slot { start, tag } = self.slots[place(&range, hash)];
        ((tag & ((1 << bits) - 1)).saturating_sub(1) as usize, start as usize)
    }

    /// Notes that a version is about to hold something else at the name with this hash of the table at `range`. It stays noted, for all
    /// versions.
    pub(super) fn mark_changed(&self, range: Range<u32>, hash: u64) {
        let bits = self.changed.get_or_init(|| (0..self.slots.len().div_ceil(64)).map(|_| AtomicU64::new(0)).collect());
        let place = place(&range, hash);
        // Whoever comes to see the version that is made sees this as well, by way of how that version reaches it.
        bits[place / 64].fetch_or(1 << (place % 64), Ordering::Relaxed);
    }

    /// Whether a version may hold something else at the name with this hash than the table at `range` does. Hardly ever in vain, for few
    /// changes.
    #[inline]
    pub(super) fn may_be_changed(&self, range: Range<u32>, hash: u64) -> bool {
        let Some(bits) = self.changed.get() else { return false };
        let place = place(&range, hash);
        bits[place / 64].load(Ordering::Relaxed) & 1 << (place % 64) != 0
    }

    pub(super) fn shrink_to_fit(&mut self) {
        self.slots.shrink_to_fit();
    }
}

/// Enough bits for an ordinal + 1 in a table of that many slots. A text below 4 GiB holds fewer than 2^30 names.
fn ordinal_bits(slots: usize) -> u32 {
    usize::BITS - slots.leading_zeros()
}

fn fingerprint(hash: u64, bits: u32) -> u32 {
    (hash as u32) << bits
}

/// The slot where the search for a hash begins, among all tables.
fn place(range: &Range<u32>, hash: u64) -> usize {
    range.start as usize + home(hash, range.len())
}

/// The same, in a table of that many.
fn home(hash: u64, slots: usize) -> usize {
    ((u128::from(hash >> 32) * slots as u128) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: u32 = if cfg!(miri) { 200 } else { 5000 };

    #[test]
    fn every_name_is_found_and_no_other() {
        let names: Vec<String> = (0..NAMES).map(|number| format!("name/{number}")).collect();
        let mut slots = Slots::new();
        let hashes: Vec<u64> = names.iter().map(|name| hash(&slots.hasher(), name.as_bytes())).collect();
        let starts: Vec<u32> = (0..NAMES).map(|ordinal| ordinal * 20).collect();
        let few = slots.add(&starts[..FEWEST - 1], &hashes[..FEWEST - 1]);
        assert!(few.is_empty());
        let some = slots.add(&starts[..FEWEST], &hashes[..FEWEST]);
        let all = slots.add(&starts, &hashes);
        let find =
            |range: &Range<u32>, name: &str| slots.find(range.clone(), slots.hash(name.as_bytes()), |start| names[start / 20] == name);
        for (ordinal, name) in names.iter().enumerate() {
            assert_eq!(find(&all, name), Some((ordinal, ordinal * 20)));
            assert_eq!(find(&some, name), (ordinal < FEWEST).then_some((ordinal, ordinal * 20)));
        }
        assert_eq!(slots.find(all, slots.hash(format!("name/{NAMES}").as_bytes()), |_| false), None);
    }

    #[test]
    fn what_was_changed_is_told_and_little_else() {
        let names: Vec<String> = (0..NAMES).map(|number| format!("name/{number}")).collect();
        let mut slots = Slots::new();
        let hashes: Vec<u64> = names.iter().map(|name| hash(&slots.hasher(), name.as_bytes())).collect();
        let one = slots.add(&[0; NAMES as usize], &hashes);
        let other = slots.add(&[0; NAMES as usize], &hashes);
        let changed =
            |range: &Range<u32>| names.iter().filter(|name| slots.may_be_changed(range.clone(), slots.hash(name.as_bytes()))).count();
        assert_eq!((changed(&one), changed(&other)), (0, 0));
        names[..50].iter().for_each(|name| slots.mark_changed(one.clone(), slots.hash(name.as_bytes())));
        slots.mark_changed(one.clone(), slots.hash(b"a name of none"));
        assert!(names[..50].iter().all(|name| slots.may_be_changed(one.clone(), slots.hash(name.as_bytes()))));
        assert!(slots.may_be_changed(one.clone(), slots.hash(b"a name of none")));
        assert!(changed(&one) < 150 && changed(&other) == 0);
    }

    #[test]
    fn names_that_collide_in_every_bit_are_told_apart() {
        let mut slots = Slots::new();
        let range = slots.add(&[0; 40], &[7; 40]);
        let table = &slots.slots[range.start as usize..range.end as usize];
        let mut ordinals: Vec<u32> = table.iter().filter(|slot| slot.tag != 0).map(|slot| (slot.tag & 63) - 1).collect();
        ordinals.sort_unstable();
        assert_eq!(ordinals, (0..40).collect::<Vec<u32>>());
    }
}
