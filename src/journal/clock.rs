//! Store time: the local clock that counts suspend, moved to where the store's own `Date` says that it is.
//!
//! Invariant: store time is never later than the time of the store's fastest node, and it is early by no more than the
//! fastest answer of the last ten minutes was slow (and the second to which `Date` is cut off). Each sample is `Date`
//! less the local reading *after* the answer arrived, so a slow answer can only make a sample too small; the greatest
//! one is the best.

use crate::mutant::{self, Mutant};
use crate::time::{Reading, Stamp};
use std::collections::VecDeque;
use std::time::Duration;

/// How long a sample counts: local clocks drift.
const SAMPLES_COUNT_FOR: Duration = Duration::from_secs(600);

/// The greatest (`Date` - local reading) of the last ten minutes.
#[derive(Default)]
pub struct StoreClock {
    /// Samples in the order of their readings, each smaller than the one before it: what an earlier and smaller sample
    /// could still add, a later and greater one adds too.
    samples: VecDeque<(Reading, i128)>,
}

impl StoreClock {
    /// Takes in an answer with `date` that had arrived at `arrived`.
    pub fn sample(&mut self, date: Stamp, arrived: Reading) {
        let offset = date.as_nanos() - i128::from(arrived.0);
        while self.samples.back().is_some_and(|&(_, earlier)| earlier <= offset || mutant::is_on(Mutant::TheLatestDateCounts)) {
            self.samples.pop_back();
        }
        self.samples.push_back((arrived, offset));
    }

    /// Store time at `now`; nothing where the last sample is too old.
    pub fn at(&mut self, now: Reading) -> Option<Stamp> {
        while self.samples.front().is_some_and(|&(arrived, _)| now.since(arrived) > SAMPLES_COUNT_FOR) {
            self.samples.pop_front();
        }
        self.samples.front().map(|&(_, offset)| Stamp::from_nanos(i128::from(now.0) + offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_slow_answer_does_not_pull_store_time_back() {
        let mut clock = StoreClock::default();
        assert_eq!(clock.at(Reading(0)), None);
        clock.sample(Stamp::from_millis(1_000_000), Reading(5 * SECOND));
        // This answer was made at the same moment and took 8 s to arrive.
        clock.sample(Stamp::from_millis(1_000_000), Reading(13 * SECOND));
        assert_eq!(clock.at(Reading(13 * SECOND)), Some(Stamp::from_millis(1_008_000)));
    }

    #[test]
    fn samples_count_for_ten_minutes() {
        let mut clock = StoreClock::default();
        clock.sample(Stamp::from_millis(10_000), Reading(0));
        clock.sample(Stamp::from_millis(309_000), Reading(300 * SECOND));
        assert_eq!(clock.at(Reading(600 * SECOND)), Some(Stamp::from_millis(610_000)));
        assert_eq!(clock.at(Reading(601 * SECOND)), Some(Stamp::from_millis(610_000)));
        assert_eq!(clock.at(Reading(901 * SECOND)), None);
    }
}
