//! The outcomes that callers may still ask for: of writes that they were told are unknown.

use super::key::SegmentKey;
use std::collections::{HashMap, VecDeque};

/// So many told outcomes are remembered; the oldest are forgotten first.
const MOST_TOLD: usize = 65_536;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Unknown,
    Applied,
    Failed,
}

impl Told {
    pub fn name(self) -> &'static str {
        match self {
            Told::Unknown => "unknown",
            Told::Applied => "applied",
            Told::Failed => "failed",
        }
    }
}

/// Segments of this process that are on their way, or of which some caller was told that the outcome is unknown.
#[derive(Default)]
pub struct Outcomes {
    told: HashMap<SegmentKey, Told>,
    /// Those that are settled, in the order of settling.
    settled: VecDeque<SegmentKey>,
}

impl Outcomes {
    /// A segment is about to be sent.
    pub fn sent(&mut self, key: &SegmentKey) {
        self.told.insert(key.clone(), Told::Unknown);
    }

    /// No more will be learnt of a segment. It is remembered where some caller was told that its outcome is unknown.
    pub fn settle(&mut self, key: &SegmentKey, told: Told, somebody_may_ask: bool) {
        if !somebody_may_ask {
            self.told.remove(key);
            return;
        }
        self.told.insert(key.clone(), told);
        self.settled.push_back(key.clone());
        if self.settled.len() > MOST_TOLD
            && let Some(oldest) = self.settled.pop_front()
        {
            self.told.remove(&oldest);
        }
    }

    /// What is known of a segment; unknown also where it is none of those that were asked about.
    pub fn of(&self, key: &str) -> Told {
        SegmentKey::parse(key).and_then(|key| self.told.get(&key).copied()).unwrap_or(Told::Unknown)
    }

    pub fn unknown(&self) -> Vec<SegmentKey> {
        let mut unknown: Vec<SegmentKey> =
            self.told.iter().filter(|(_, told)| **told == Told::Unknown).map(|(key, _)| key.clone()).collect();
        unknown.sort_unstable();
        unknown
    }
}
