//! Seeded randomness. Every part of a run draws from a stream of its own, so that one part that draws more often does not
//! change what the others do.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};
use std::ops::Range;

/// A stream of random numbers that is the same on every machine and in every version of this test.
pub struct Dice(Xoshiro256PlusPlus);

impl Dice {
    /// The stream called `name` of a seed.
    pub fn new(seed: u64, name: &str) -> Dice {
        let mixed = name.bytes().fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        Dice(Xoshiro256PlusPlus::seed_from_u64(mixed))
    }

    #[expect(clippy::should_implement_trait, reason = "a stream of numbers that never ends is no use as an iterator")]
    pub fn next(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number of `range`, all equally likely (as far as 64 bits allow); its start where the range is empty.
    pub fn within(&mut self, range: Range<u64>) -> u64 {
        let width = range.end.saturating_sub(range.start);
        if width == 0 { range.start } else { range.start + self.next() % width }
    }

    /// True with this probability. A probability of zero draws as well, so that rates do not shift the stream.
    pub fn chance(&mut self, probability: f64) -> bool {
        ((self.next() >> 11) as f64 / (1_u64 << 53) as f64) < probability
    }

    /// A duration with this mean, most often short and sometimes long (exponential, cut at eight times the mean).
    pub fn around(&mut self, mean: u64) -> u64 {
        let unit = ((self.next() >> 11) as f64 + 1.0) / (1_u64 << 53) as f64;
        (-unit.ln() * mean as f64).min(mean as f64 * 8.0) as u64
    }

    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.within(0..items.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_depends_on_its_seed_and_its_name_only() {
        let draw = |seed, name| Dice::new(seed, name).next();
        assert_eq!(draw(1, "store"), draw(1, "store"));
        assert_ne!(draw(1, "store"), draw(2, "store"));
        assert_ne!(draw(1, "store"), draw(1, "fleet"));
    }

    #[test]
    fn draws_stay_inside_their_bounds() {
        let mut dice = Dice::new(7, "bounds");
        for _ in 0..1000 {
            assert!((3..9).contains(&dice.within(3..9)));
            assert!(dice.around(100) <= 800);
        }
        assert!(!dice.chance(0.0) && dice.chance(1.0));
        assert_eq!(dice.within(5..5), 5);
    }
}
