//! A hash index of names that are kept elsewhere: one number of 32 bits for each.

use foldhash::fast::RandomState;
use std::hash::BuildHasher;
use std::ops::Range;

/// Fewer names than this are found by binary search.
const FEWEST: usize = 16;

/// How names are hashed. Seeded anew for each arena, so that nobody can choose names that collide; no result depends on it.
pub(super) type Hasher = RandomState;

pub(super) fn hash(hasher: &Hasher, name: &[u8]) -> u64 {
    hasher.hash_one(name)
}

/// The slots of several tables, one after the other, each with open addressing at three quarters full.
///
/// A slot is 0 if it is free. Otherwise its low bits, as many as the table's ordinals need, hold an ordinal + 1, and what is left
/// above them holds bits of the hash, so that a name is hardly ever compared in vain: each comparison is a cache miss.
#[derive(Debug)]
pub(super) struct Slots {
    hasher: Hasher,
    slots: Vec<u32>,
}

impl Slots {
    pub(super) fn new() -> Slots {
        Slots { hasher: Hasher::default(), slots: Vec::new() }
    }

    /// What the hashes given to [`Slots::add`] must come from.
    pub(super) fn hasher(&self) -> Hasher {
        self.hasher.clone()
    }

    /// Adds a table for names with these hashes, in the order of their ordinals. The range is empty where none is needed.
    pub(super) fn add(&mut self, hashes: &[u64]) -> Range<u32> {
        let first = self.slots.len();
        if hashes.len() < FEWEST {
            return first as u32..first as u32;
        }
        self.slots.resize(first + hashes.len() + hashes.len() / 3 + 1, 0);
        let table = &mut self.slots[first..];
        let bits = ordinal_bits(table.len());
        for (ordinal, &hash) in hashes.iter().enumerate() {
            let mut place = home(hash, table.len());
            while table[place] != 0 {
                place = if place + 1 == table.len() { 0 } else { place + 1 };
            }
            table[place] = fingerprint(hash, bits) | (ordinal as u32 + 1);
        }
        first as u32..self.slots.len() as u32
    }

    /// The ordinal of `name` in the table at `range`, where `is_name` tells whether an ordinal is that of the name.
    #[inline]
    pub(super) fn find(&self, range: Range<u32>, name: &[u8], is_name: impl Fn(usize) -> bool) -> Option<usize> {
        let table = &self.slots[range.start as usize..range.end as usize];
        let hash = hash(&self.hasher, name);
        let bits = ordinal_bits(table.len());
        let mask = (1 << bits) - 1;
        let fingerprint = fingerprint(hash, bits);
        let mut place = home(hash, table.len());
        // A quarter of the slots is free, so that this ends.
        while table[place] != 0 {
            let ordinal = (table[place] & mask) as usize - 1;
            if table[place] & !mask == fingerprint && is_name(ordinal) {
                return Some(ordinal);
            }
            place = if place + 1 == table.len() { 0 } else { place + 1 };
        }
        None
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

/// The slot where the search for a hash begins.
fn home(hash: u64, slots: usize) -> usize {
    ((u128::from(hash >> 32) * slots as u128) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_and_no_other() {
        let names: Vec<String> = (0..5000).map(|number| format!("name/{number}")).collect();
        let mut slots = Slots::new();
        let hashes: Vec<u64> = names.iter().map(|name| hash(&slots.hasher(), name.as_bytes())).collect();
        let few = slots.add(&hashes[..FEWEST - 1]);
        assert!(few.is_empty());
        let some = slots.add(&hashes[..FEWEST]);
        let all = slots.add(&hashes);
        for (ordinal, name) in names.iter().enumerate() {
            assert_eq!(slots.find(all.clone(), name.as_bytes(), |found| names[found] == *name), Some(ordinal));
            let expected = (ordinal < FEWEST).then_some(ordinal);
            assert_eq!(slots.find(some.clone(), name.as_bytes(), |found| names[found] == *name), expected);
        }
        assert_eq!(slots.find(all, b"name/5000", |found| names[found] == "name/5000"), None);
    }

    #[test]
    fn names_that_collide_in_every_bit_are_told_apart() {
        let mut slots = Slots::new();
        let range = slots.add(&[7; 40]);
        let table = &slots.slots[range.start as usize..range.end as usize];
        let mut ordinals: Vec<u32> = table.iter().filter(|&&slot| slot != 0).map(|slot| (slot & 63) - 1).collect();
        ordinals.sort_unstable();
        assert_eq!(ordinals, (0..40).collect::<Vec<u32>>());
    }
}
