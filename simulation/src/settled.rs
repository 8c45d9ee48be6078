//! Holds open outcomes to the time that the journal gives them. An outcome is settled by looking, once the store's `Date` is D + S past the
//! segment's `expires`: so a good tick whose LIST begins after that must settle it.

use super::folds::Constants;
use super::history::{Ending, What};
use super::model::BatchId;
use super::world::{SECOND, Time};
use std::collections::BTreeMap;

/// What follows from F.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// From the moment at which a caller was told that an outcome is unknown (its segment was encoded before that) until a LIST tells.
    open_for: Time,
    /// How much earlier the `Date` may be that such a LIST goes by: it counts less the time that its page took, and is no older than a LIST
    /// may be.
    slow_list: Time,
}

impl Times {
    pub fn new(constants: Constants) -> Times {
        let (f, s) = (constants.fold_age, constants.skew);
        let d = f / 3;
        let expires = d + 2 * s + 2 * SECOND;
        // `Date` is in whole seconds, and that of the LIST may come from a node that is S behind the one that T0 came from.
        let date = s + SECOND;
        Times { open_for: expires + d + s + date, slow_list: 2 * f - d - 2 * s }
    }
}

/// The ticks that are let pass: the one that may have been on its way, and two good ones.
const TICKS: u64 = 3;

struct Open {
    told: Time,
    /// How many good ticks its replica had as it was first seen to be due.
    good_ticks: Option<u64>,
}

/// Looks at one event after the other.
pub struct Settled {
    times: Times,
    reachable: Option<Time>,
    open: BTreeMap<BatchId, Open>,
}

impl Settled {
    pub fn new(times: Times) -> Settled {
        Settled { times, reachable: None, open: BTreeMap::new() }
    }

    /// What is wrong with an event, if anything is.
    pub fn event(&mut self, at: Time, what: &What) -> Option<String> {
        match what {
            What::Ended(batch, Ending::Unknown { .. }) => drop(self.open.insert(*batch, Open { told: at, good_ticks: None })),
            What::Reachable => self.reachable = Some(at),
            What::StillOpen { batch, good_ticks } => {
                let open = self.open.get_mut(batch)?;
                let soonest = open.told + self.times.open_for;
                let latest = soonest + self.times.slow_list;
                let due = self.reachable.map_or(latest, |reachable| latest.min(soonest.max(reachable)));
                if at < due {
                    return None;
                }
                let before = *open.good_ticks.get_or_insert(*good_ticks);
                if *good_ticks >= before + TICKS {
                    let seconds = (at - open.told) / SECOND;
                    let passed = good_ticks - before;
                    return Some(format!(
                        "batch {batch} is still open {seconds} s after its caller was told, and {passed} good ticks after it was due"
                    ));
                }
            }
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const F: Constants = Constants { fold_age: 30 * SECOND, skew: 2 * SECOND };
    /// Told at 100 s: `expires` is at most 16 s later, D + S is 12 s, and `Date` may be 3 s behind.
    const DUE: u64 = 100 + 16 + 12 + 3;
    const SLOW: u64 = 46;

    /// Whether a history is wrong in which batch 1 is seen open at these seconds, after so many good ticks.
    fn is_wrong(reachable: Option<u64>, polls: &[(u64, u64)]) -> bool {
        let mut settled = Settled::new(Times::new(F));
        let told = What::Ended(1, Ending::Unknown { segment: "segment-x.json".to_owned() });
        let mut events = vec![(100, told)];
        events.extend(reachable.map(|second| (second, What::Reachable)));
        events.extend(polls.iter().map(|&(second, good_ticks)| (second, What::StillOpen { batch: 1, good_ticks })));
        events.sort_by_key(|(second, _)| *second);
        events.iter().any(|(second, what)| settled.event(second * SECOND, what).is_some())
    }

    #[test]
    fn what_stays_open_through_good_ticks_is_found() {
        let due = DUE + SLOW;
        assert!(is_wrong(None, &[(due, 10), (due + 30, 13)]));
        assert!(!is_wrong(None, &[(due, 10), (due + 30, 12)]), "one may have been on its way");
        assert!(!is_wrong(None, &[(due, 10), (due + 3000, 10)]), "without a good tick nothing is told");
        assert!(!is_wrong(None, &[(101, 0), (due - 1, 40)]), "it may be on its way still");
    }

    #[test]
    fn where_nothing_is_slow_it_is_due_sooner() {
        assert!(is_wrong(Some(90), &[(DUE, 10), (DUE + 1, 13)]));
        assert!(!is_wrong(Some(DUE + 5), &[(DUE, 10), (DUE + 4, 13)]));
        assert!(is_wrong(Some(DUE + 5), &[(DUE + 5, 10), (DUE + 6, 13)]));
    }
}
