//! What can go wrong between a process and the store, with the rate of each fault, and the count of what did.

use super::dice::Dice;
use std::collections::BTreeMap;

/// The probability of each fault, for one request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// The request never arrives.
    pub lost_request: f64,
    /// The request is done, its answer never comes.
    pub lost_answer: f64,
    /// A PUT arrives seconds or minutes later; its sender sees a broken connection or nothing.
    pub late_put: f64,
    /// A PUT or DELETE is done, and arrives once more at any later time.
    pub repeated: f64,
    /// The connection stands, and nothing ever comes: also the outcome of half of the losses above.
    pub hung: f64,
    /// 500 or 503, done or not.
    pub server_error: f64,
    /// 409 to a conditional PUT that was not done.
    pub conflict: f64,
    /// The body of a GET breaks off or stalls.
    pub broken_body: f64,
    /// The answer takes up to a minute.
    pub slow_answer: f64,
    /// A DELETE of several keys does some and fails.
    pub partial_delete: f64,
}

impl Faults {
    /// Rates for one run: every kind of fault is absent, rare or common, independent of the others.
    pub fn draw(dice: &mut Dice) -> Faults {
        let scale = *dice.pick(&[0.0, 0.3, 1.0, 1.0, 2.0]);
        let mut rate = |most: f64| -> f64 {
            let share = *dice.pick(&[0.0, 0.0, 0.1, 0.3, 1.0]);
            most * share * scale
        };
        Faults {
            lost_request: rate(0.08),
            lost_answer: rate(0.10),
            late_put: rate(0.10),
            repeated: rate(0.15),
            hung: rate(0.03),
            server_error: rate(0.10),
            conflict: rate(0.15),
            broken_body: rate(0.15),
            slow_answer: rate(0.04),
            partial_delete: rate(0.3),
        }
    }
}

/// How the store as a whole is, for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    Fair,
    /// Most requests are answered with 503 at once.
    SlowDown,
    /// Nothing is done. Connections are refused, or hang.
    Outage,
}

/// Counts by name: what was injected, what was seen.
#[derive(Clone, Debug, Default)]
pub struct Counts(pub BTreeMap<String, u64>);

impl Counts {
    pub fn add(&mut self, name: &str) {
        self.add_many(name, 1);
    }

    pub fn add_many(&mut self, name: &str, count: u64) {
        match self.0.get_mut(name) {
            Some(present) => *present += count,
            None => {
                self.0.insert(name.to_owned(), count);
            }
        }
    }

    pub fn add_all(&mut self, other: &Counts) {
        for (name, count) in &other.0 {
            self.add_many(name, *count);
        }
    }

    pub fn of(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }
}
