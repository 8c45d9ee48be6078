//! What clients did and saw, in the order in which it happened: the only thing, besides the bucket itself, that the checker
//! looks at.

use super::model::{BatchId, Model};
use super::quiet::Quiet;
use super::world::Time;
use foldhash::fast::FixedState;
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A replica from its start to its end: one that is started anew is another.
pub type ReplicaId = u32;

/// A handle: batches submitted through one apply in the order of submission.
pub type HandleId = u32;

/// A state's text, kept once however often it was seen.
pub type StateId = usize;

#[derive(Default)]
pub struct History {
    pub events: Vec<Event>,
    pub batches: Vec<Batch>,
    /// The states of namespaces from before the journal, as far as they are JSON objects.
    pub legacy: BTreeMap<String, Model>,
    /// Namespaces in which nobody is at the end who may write: an unreadable segment keeps the fleet out.
    pub unattended: BTreeSet<String>,
    pub states: Vec<String>,
    known: HashMap<String, StateId, FixedState>,
    facts: Vec<Option<Facts>>,
    /// Things that no schedule may bring about and that were seen as they happened.
    pub violations: Vec<Violation>,
}

/// What answers about a state must say; found out once however often it was seen.
#[derive(Clone, Debug)]
pub struct Facts {
    pub sha256: String,
    /// `IntGet` of `sum`.
    pub sum: i64,
    /// `ListLen` of `log`.
    pub length: usize,
}

#[derive(Clone, Debug)]
pub struct Event {
    pub at: Time,
    pub what: What,
}

/// A batch; its number is its index in [`History::batches`].
#[derive(Clone, Debug)]
pub struct Batch {
    pub namespace: String,
    pub replica: ReplicaId,
    pub handle: HandleId,
    pub ops: Vec<Value>,
}

#[derive(Clone, Debug)]
pub enum What {
    /// `submit` took the batch.
    Submitted(BatchId),
    /// `submit` refused it.
    Refused(BatchId),
    /// The wait for the batch ended.
    Ended(BatchId, Ending),
    /// The query `Outcome` answered for a batch whose ending was unknown.
    Settled(BatchId, Settlement),
    /// The same, where the answer is that it is open still.
    StillOpen {
        batch: BatchId,
        /// How many good ticks its replica had in this namespace until now.
        good_ticks: u64,
    },
    /// The store answers everybody from now on, nobody is frozen, and what was on its way has arrived.
    Reachable,
    /// A while in which nothing was new.
    Quiet(Quiet),
    FlushBegan {
        flush: u64,
        namespace: String,
    },
    FlushEnded(u64),
    /// A replica begins to open a namespace, for the first time.
    OpenBegan {
        open: u64,
    },
    /// It has, and would not have with an unreadable segment in it.
    Opened {
        open: u64,
        namespace: String,
    },
    /// A segment that cannot be read lies in the bucket from now on.
    Spoiled {
        namespace: String,
        segment: String,
    },
    /// It is gone.
    Healed {
        namespace: String,
        segment: String,
    },
    /// A call failed because of an unreadable segment.
    ToldUnreadable {
        namespace: String,
        segment: String,
        is_in_status: bool,
    },
    /// A figure of a replica, and the most that it may be.
    Figure {
        replica: ReplicaId,
        name: &'static str,
        is: u64,
        most: u64,
    },
    /// A query was answered.
    View(View),
    /// The replica crashed or was closed. Nobody sees anything through it any more.
    ReplicaEnded(ReplicaId),
    /// The replica lives to the end and still cannot tell what became of the batch.
    Unsettled(BatchId),
    /// Faults are over, what was on its way has arrived, and no client writes any more.
    Calm,
    /// The replica's state at the end of the run.
    Final {
        replica: ReplicaId,
        namespace: String,
        state: StateId,
    },
    /// The wait for a batch, a flush or a settlement that had not ended at the end of the run although its replica lives.
    Waiting {
        replica: ReplicaId,
        what: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    Applied {
        segment: String,
    },
    /// With outcome "none".
    Failed {
        status: &'static str,
    },
    Unknown {
        segment: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    Applied,
    Failed,
    Unknown,
}

#[derive(Clone, Debug)]
pub struct View {
    pub replica: ReplicaId,
    pub namespace: String,
    pub state: StateId,
    /// The mark: its stamp in nanoseconds, and its key.
    pub mark: (i128, String),
    /// The flush that had returned just before, if one had.
    pub after_flush: Option<u64>,
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub at: Time,
    /// As docs/guarantees.md numbers them, or what else was broken.
    pub promise: &'static str,
    pub what: String,
    pub about: About,
}

/// What a violation is about, where not every profile promises that it never happens (see `columns.rs`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum About {
    #[default]
    Other,
    /// A batch or segment counts twice.
    Twice,
    /// A batch that failed was shown.
    Failed(BatchId),
    /// This batch, acknowledged or seen, is not in a view, or not in the end.
    Gone(BatchId),
    /// Two batches stand in the wrong order.
    Order(BatchId, BatchId),
    /// This batch was never settled.
    Unsettled(BatchId),
}

impl Violation {
    pub fn new(at: Time, promise: &'static str, what: impl Into<String>) -> Violation {
        Violation { at, promise, what: what.into(), about: About::Other }
    }

    pub fn about(self, about: About) -> Violation {
        Violation { about, ..self }
    }
}

impl History {
    pub fn add(&mut self, at: Time, what: What) {
        self.events.push(Event { at, what });
    }

    pub fn add_batch(&mut self, namespace: &str, replica: ReplicaId, handle: HandleId, ops: impl FnOnce(BatchId) -> Vec<Value>) -> BatchId {
        let id = self.batches.len() as BatchId;
        self.batches.push(Batch { namespace: namespace.to_owned(), replica, handle, ops: ops(id) });
        id
    }

    pub fn state(&mut self, text: &str) -> StateId {
        if let Some(id) = self.known.get(text) {
            return *id;
        }
        let id = self.states.len();
        self.states.push(text.to_owned());
        self.facts.push(None);
        self.known.insert(text.to_owned(), id);
        id
    }

    /// What follows from a state's text. Fails where it is no JSON.
    pub fn facts(&mut self, id: StateId) -> Result<&Facts, String> {
        if self.facts[id].is_none() {
            let text = &self.states[id];
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(text).map_err(|error| error.to_string())?;
            let length_of = |list: &&RawValue| serde_json::from_str::<Vec<&RawValue>>(list.get()).map_or(0, |items| items.len());
            self.facts[id] = Some(Facts {
                sha256: Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect(),
                sum: members.get("sum").and_then(|sum| sum.get().parse().ok()).unwrap_or(0),
                length: members.get("log").map_or(0, length_of),
            });
        }
        Ok(self.facts[id].as_ref().expect("set above"))
    }

    pub fn violate(&mut self, at: Time, promise: &'static str, what: impl Into<String>) {
        self.violations.push(Violation::new(at, promise, what));
    }
}
