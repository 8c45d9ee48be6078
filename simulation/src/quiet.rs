//! Holds what a process asks of the store to its bound. Where nothing is new, a tick is the pages of one LIST, and nothing else; ticks run on their
//! interval; and nothing is written.

use super::history::ReplicaId;
use super::world::{SECOND, Time};

/// How often one process asked the store, as the bucket counted it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// Pages.
    pub lists: u64,
    pub gets: u64,
    /// PUTs and DELETEs.
    pub writes: u64,
    /// Of the test of the store, which counts for none of these.
    pub tests: u64,
}

impl Requests {
    pub fn since(self, before: Requests) -> Requests {
        Requests {
            lists: self.lists - before.lists,
            gets: self.gets - before.gets,
            writes: self.writes - before.writes,
            tests: self.tests - before.tests,
        }
    }
}

/// One open namespace of one journal.
#[derive(Clone, Copy, Debug)]
pub struct Ticking {
    /// How many ticks ended in the window.
    pub ticks: u64,
    pub interval: Time,
    /// How many pages a LIST of it has.
    pub pages: u64,
    /// A LIST of one page that follows the one before soon enough spares the rollup.
    pub spares_rollup: bool,
}

/// A window in which nothing was new, in one process.
#[derive(Clone, Debug)]
pub struct Quiet {
    /// The first one of the process.
    pub replica: ReplicaId,
    pub lasted: Time,
    pub requests: Requests,
    pub namespaces: Vec<Ticking>,
    /// Journals with more than one namespace: each tries now and then whether one LIST serves all.
    pub sharing: u64,
    /// Somebody calls Flush without end, and each call is a tick.
    pub is_flushed: bool,
}

/// After a LIST that was too long to share, so many ticks go by before the next try.
const TICKS_BETWEEN_TRIES: u64 = 20;

impl Quiet {
    /// What is wrong with it, if anything is.
    pub fn judge(&self) -> Option<String> {
        let Quiet { replica, requests, lasted, .. } = self;
        // Who tests the store is about to write something, such as a fold that another was faster with.
        if requests.tests > 0 {
            return None;
        }
        // One was on its way as the window began or ended.
        let begun = |ticking: &Ticking| ticking.ticks + 1;
        let pages: u64 = self.namespaces.iter().map(|ticking| begun(ticking) * ticking.pages).sum();
        let ticks: u64 = self.namespaces.iter().map(begun).sum();
        let tries = if self.sharing == 0 { 0 } else { self.sharing + ticks / TICKS_BETWEEN_TRIES };
        let rollups: u64 = self.namespaces.iter().filter(|ticking| !ticking.spares_rollup).map(begun).sum();
        let bounds =
            [("pages of LISTs", requests.lists, pages + tries), ("GETs", requests.gets, rollups), ("PUTs and DELETEs", requests.writes, 0)];
        for (name, is, most) in bounds {
            if is > most {
                return Some(format!(
                    "the process of replica {replica} sent {is} {name} in {} quiet seconds, {ticks} ticks: {most} are due",
                    lasted / SECOND
                ));
            }
        }
        let hurried = self.namespaces.iter().find(|ticking| ticking.ticks > lasted / ticking.interval.max(1) + 2);
        hurried.filter(|_| !self.is_flushed).map(|ticking| {
            let (ticks, seconds, interval) = (ticking.ticks, lasted / SECOND, ticking.interval / 1_000_000);
            format!("replica {replica} ran {ticks} ticks of a namespace in {seconds} quiet seconds, at an interval of {interval} ms")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A minute of one namespace on an interval of 15 s.
    fn minute(lists: u64, gets: u64, writes: u64, pages: u64) -> Quiet {
        let ticking = Ticking { ticks: 4, interval: 15 * SECOND, pages, spares_rollup: pages == 1 };
        let requests = Requests { lists, gets, writes, tests: 0 };
        Quiet { replica: 0, lasted: 60 * SECOND, requests, namespaces: vec![ticking], sharing: 0, is_flushed: false }
    }

    #[test]
    fn a_minute_is_its_lists() {
        assert_eq!(minute(5, 0, 0, 1).judge(), None);
        assert!(minute(6, 0, 0, 1).judge().is_some());
        assert!(minute(4, 1, 0, 1).judge().is_some(), "the rollup is spared");
        assert!(minute(4, 0, 1, 1).judge().is_some(), "nothing is written");
    }

    #[test]
    fn each_page_counts_and_the_rollup_is_read_after_several() {
        assert_eq!(minute(15, 5, 0, 3).judge(), None);
        assert!(minute(16, 5, 0, 3).judge().is_some());
        assert!(minute(15, 6, 0, 3).judge().is_some());
    }

    #[test]
    fn a_try_to_share_costs_a_page_now_and_then() {
        let mut shared = minute(11, 0, 0, 1);
        shared.namespaces.push(shared.namespaces[0]);
        assert!(shared.judge().is_some());
        shared.sharing = 1;
        assert_eq!(shared.judge(), None);
        shared.requests.lists = 12;
        assert!(shared.judge().is_some());
    }

    #[test]
    fn ticks_keep_to_their_interval_but_for_flushes() {
        let mut quiet = minute(8, 0, 0, 1);
        quiet.namespaces[0].ticks = 7;
        assert!(quiet.judge().is_some());
        quiet.is_flushed = true;
        assert_eq!(quiet.judge(), None);
    }
}
