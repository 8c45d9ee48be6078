//! What kind of store it is.

use crate::dice::Dice;
use crate::world::{MILLISECOND, SECOND, Time};

/// What kind of store it is; a seed draws it.
#[derive(Clone, Copy, Debug)]
pub struct Character {
    pub nodes: usize,
    /// S: how far apart the clocks of two nodes may be.
    pub skew: Time,
    /// Whether stamps come from those clocks as well, or only `Date` does.
    pub skewed_stamps: bool,
    /// D: the most that an object becomes visible after its stamp.
    pub visibility: Time,
    /// How many PUTs take long to become visible.
    pub slow_commits: f64,
    /// Stamps are whole multiples of this.
    pub granularity: Time,
    /// How many PUTs are stamped as they arrive; the others as they complete.
    pub stamped_at_arrival: f64,
    /// Keys on one page of a LIST.
    pub page: usize,
    /// A full last page names a next one, which is empty.
    pub trailing_page: bool,
    /// A tag names a content (as S3's do), or a PUT.
    pub tags_of_content: bool,
    /// The mean time that a request takes.
    pub latency: Time,
    /// `Store::is_trusted`.
    pub trusted: bool,
    /// The longest that a late or repeated request stays on its way.
    pub lateness: Time,
    /// The shortest.
    pub late_from: Time,
}

impl Character {
    /// A store without a peculiarity.
    pub fn plain() -> Character {
        Character {
            nodes: 1,
            skew: 0,
            skewed_stamps: false,
            visibility: 10 * SECOND,
            slow_commits: 0.0,
            granularity: MILLISECOND,
            stamped_at_arrival: 0.0,
            page: 1000,
            trailing_page: false,
            tags_of_content: true,
            latency: 20 * MILLISECOND,
            trusted: true,
            lateness: 180 * SECOND,
            late_from: 0,
        }
    }

    pub fn draw(dice: &mut Dice, visibility: Time, skew: Time) -> Character {
        let latency = *dice.pick(&[2 * MILLISECOND, 20 * MILLISECOND, 80 * MILLISECOND, 500 * MILLISECOND]);
        let page = *dice.pick(&[2, 3, 5, 10, 1000]);
        Character {
            nodes: dice.within(1..4) as usize,
            skew: *dice.pick(&[0, skew / 2, skew]),
            skewed_stamps: dice.chance(0.4),
            visibility,
            slow_commits: *dice.pick(&[0.0, 0.02, 0.1, 0.3]),
            granularity: *dice.pick(&[MILLISECOND, SECOND]),
            stamped_at_arrival: *dice.pick(&[0.0, 0.5, 1.0]),
            // Many slow pages make a LIST that is never young.
            page: if latency > 100 * MILLISECOND {
                1000
            } else if latency > 50 * MILLISECOND {
                page.max(5)
            } else {
                page
            },
            trailing_page: dice.chance(0.3),
            tags_of_content: dice.chance(0.7),
            latency,
            trusted: dice.chance(0.7),
            lateness: *dice.pick(&[20 * SECOND, 60 * SECOND, 240 * SECOND]),
            late_from: 0,
        }
    }
}
