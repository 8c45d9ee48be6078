//! The constants of the protocol. All follow from F, the least age at which anything is folded and the least time after
//! that at which it is deleted: one constant for every replica of a bucket, or a fold could delete what another still
//! counts on.

use crate::config::Settings;
use crate::mutant::{self, Mutant};
use crate::time::Stamp;
use std::time::Duration;

const DEFAULT_F: Duration = Duration::from_secs(30);

/// F and what follows from it.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// F: the least age of a folded segment, and the least time from its fold to its deletion.
    pub fold_age: Duration,
    /// D: an object is visible this long after its stamp, or never; an answer to a PUT counts this long after T0.
    pub visible_within: Duration,
    /// S: how far the clocks of the store's nodes differ.
    pub skew: Duration,
    /// The age at which this replica folds a segment: F, or more where its own configuration asks for more.
    pub aged_after: Duration,
    /// 2F - D - 2S: a LIST is joined with a rollup only while it is younger than this, because nothing can be listed,
    /// folded and deleted within it.
    pub list_is_young: Duration,
}

impl Timing {
    pub fn new(settings: &Settings) -> Timing {
        let age_threshold = settings.compaction.age_threshold;
        let mut fold_age = age_threshold.min(DEFAULT_F);
        if mutant::is_on(Mutant::FIsEachReplicasOwn) {
            fold_age = fold_age.min(2 * settings.sync_interval);
        }
        let visible_within = fold_age / 3;
        let skew = fold_age / 15;
        let list_is_young = 2 * fold_age - visible_within - 2 * skew;
        let timing = Timing {
            fold_age,
            visible_within,
            skew,
            aged_after: if mutant::is_on(Mutant::FIsEachReplicasOwn) {
                fold_age
            } else {
                fold_age.max(2 * settings.sync_interval).max(age_threshold)
            },
            list_is_young,
        };
        // (expires - T0) + D + 2 x granularity + 6S <= 2F: a body that is still on its way cannot outlive the proof of
        // its fold.
        debug_assert!(
            fold_age < Duration::from_secs(15)
                || timing.expires_after() + visible_within + 2 * Duration::from_secs(1) + 6 * skew <= 2 * fold_age
        );
        timing
    }

    /// `expires` - T0: D + 2S + 2 s. The two seconds are the granularity of `Date` and of stamps, once each.
    pub fn expires_after(&self) -> Duration {
        self.visible_within + 2 * self.skew + Duration::from_secs(2)
    }

    /// The earliest stamp that a segment with this `expires` can have: S before T0, and a second for stamps of whole seconds.
    pub fn earliest_stamp(&self, expires: Stamp) -> Stamp {
        expires - self.expires_after() - self.skew - Duration::from_secs(1)
    }

    /// How far past `expires` the store's `Date` must be before a LIST that does not show a segment is believed: D + S.
    pub fn settles_after_expiry(&self) -> Duration {
        self.visible_within + self.skew
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Compaction;

    #[test]
    fn the_defaults_are_those_of_the_protocol() {
        let timing = Timing::new(&Settings::default());
        assert_eq!(timing.fold_age, Duration::from_secs(30));
        assert_eq!(timing.visible_within, Duration::from_secs(10));
        assert_eq!(timing.skew, Duration::from_secs(2));
        assert_eq!(timing.aged_after, Duration::from_secs(30));
        assert_eq!(timing.expires_after(), Duration::from_secs(16));
        assert_eq!(timing.list_is_young, Duration::from_secs(46));
    }

    #[test]
    fn a_higher_age_threshold_ages_later_and_leaves_f_alone() {
        let compaction = Compaction { age_threshold: Duration::from_secs(90), ..Compaction::default() };
        let timing = Timing::new(&Settings { compaction, ..Settings::default() });
        assert_eq!(timing.fold_age, Duration::from_secs(30));
        assert_eq!(timing.aged_after, Duration::from_secs(90));
        let slow = Timing::new(&Settings { sync_interval: Duration::from_secs(60), ..Settings::default() });
        assert_eq!(slow.aged_after, Duration::from_secs(120));
    }

    #[test]
    fn a_lower_age_threshold_is_f() {
        let compaction = Compaction { age_threshold: Duration::from_secs(6), ..Compaction::default() };
        let settings = Settings { compaction, sync_interval: Duration::from_secs(1), ..Settings::default() };
        let timing = Timing::new(&settings);
        assert_eq!(timing.fold_age, Duration::from_secs(6));
        assert_eq!(timing.visible_within, Duration::from_secs(2));
    }
}
