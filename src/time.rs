//! The two kinds of time. A [`Stamp`] is a moment as the *store* tells it (LastModified, `Date`, and what is derived
//! from them); a [`Reading`] is a reading of the *local* clock that counts suspend and has no known origin. They never
//! mix but in `journal::clock`, and no local wall clock decides anything.

use std::fmt;
use std::time::Duration;

/// A moment in store time, in nanoseconds since the Unix epoch. Arithmetic saturates: bodies from a bucket may hold any
/// time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp(i128);

impl Stamp {
    /// `0001-01-01T00:00:00Z`, the time of the zero mark.
    pub const ZERO: Stamp = Stamp(-62_135_596_800_000_000_000);

    pub fn from_nanos(nanos: i128) -> Stamp {
        Stamp(nanos)
    }

    pub fn from_millis(millis: i64) -> Stamp {
        Stamp(i128::from(millis) * 1_000_000)
    }

    pub fn as_nanos(self) -> i128 {
        self.0
    }

    /// Whole milliseconds since the Unix epoch, rounded down.
    pub fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000_000).clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
    }

    /// Reads RFC 3339, at any precision up to a nanosecond.
    pub fn parse(text: &str) -> Option<Stamp> {
        text.parse::<jiff::Timestamp>().ok().map(|moment| Stamp(moment.as_nanosecond()))
    }

    /// The time from `earlier` to this stamp; zero where `earlier` is later.
    pub fn since(self, earlier: Stamp) -> Duration {
        let nanos = self.0.saturating_sub(earlier.0).max(0);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

impl std::ops::Add<Duration> for Stamp {
    type Output = Stamp;
    fn add(self, duration: Duration) -> Stamp {
        Stamp(self.0.saturating_add(duration.as_nanos() as i128))
    }
}

impl std::ops::Sub<Duration> for Stamp {
    type Output = Stamp;
    fn sub(self, duration: Duration) -> Stamp {
        Stamp(self.0.saturating_sub(duration.as_nanos() as i128))
    }
}

/// RFC 3339 in UTC at full precision, without trailing zeros: `2026-03-07T06:35:06.42Z`.
impl fmt::Display for Stamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limits = (jiff::Timestamp::MIN.as_nanosecond(), jiff::Timestamp::MAX.as_nanosecond());
        let moment = jiff::Timestamp::from_nanosecond(self.0.clamp(limits.0, limits.1)).map_err(|_| fmt::Error)?;
        moment.fmt(formatter)
    }
}

impl fmt::Debug for Stamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// A reading of the local clock that counts suspend: nanoseconds from an origin that means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reading(pub u64);

impl Reading {
    /// The time from `earlier` to this reading; zero where `earlier` is later.
    pub fn since(self, earlier: Reading) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl std::ops::Add<Duration> for Reading {
    type Output = Reading;
    fn add(self, duration: Duration) -> Reading {
        Reading(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_print_as_the_bucket_format_spells_them() {
        for text in ["2026-03-07T06:35:06.42Z", "2026-03-07T06:35:06Z", "0001-01-01T00:00:00Z", "2026-03-07T06:35:06.000000001Z"] {
            assert_eq!(Stamp::parse(text).expect("a stamp").to_string(), text);
        }
        assert_eq!(Stamp::ZERO.to_string(), "0001-01-01T00:00:00Z");
        assert_eq!(Stamp::parse("2026-03-07T06:35:06.420Z"), Stamp::parse("2026-03-07T07:35:06.42+01:00"));
        assert_eq!(Stamp::parse("yesterday"), None);
    }

    #[test]
    fn arithmetic_saturates() {
        let end = Stamp::parse("9999-12-30T22:00:00.999999999Z").expect("a stamp");
        assert!((end + Duration::MAX).to_string().starts_with("9999-12-30"));
        assert_eq!(Stamp::ZERO.since(end), Duration::ZERO);
    }
}
