//! What can be said of a state alone: which batches it holds, in which order, and whether they make what it shows.

use super::Checker;
use crate::batches::BatchSet;
use crate::history::{About, ReplicaId, StateId};
use crate::model::{BatchId, Model, log_of};
use std::collections::BTreeMap;

/// What a state holds, looked at once however often it was seen.
pub(super) struct Content {
    pub(super) log: Vec<BatchId>,
    pub(super) held: BatchSet,
}

/// The batches of a state and what they make: most states that a replica shows only add to one that it showed before.
#[derive(Clone, Default)]
pub(super) struct Replayed {
    pub(super) log: Vec<BatchId>,
    pub(super) model: Model,
}

impl<'a> Checker<'a> {
    /// What can be said of a state alone.
    pub(super) fn look(&mut self, state: StateId, namespace: &'a str, replica: ReplicaId) {
        if self.contents.contains_key(&(namespace, state)) {
            return;
        }
        let text = &self.history.states[state];
        let Some(log) = log_of(text) else {
            self.violate("canonical JSON", format!("replica {replica} showed a state that is no object: {text}"));
            self.contents.insert((namespace, state), Content { log: Vec::new(), held: BatchSet::default() });
            return;
        };
        let mut held = BatchSet::default();
        let mut last_of_handle = BTreeMap::new();
        let mut replayed = self.nearest_replayed(&log, namespace, replica);
        let applied = replayed.log.len();
        for (index, &id) in log.iter().enumerate() {
            let Some(batch) = self.history.batches.get(id as usize).filter(|batch| batch.namespace == namespace) else {
                self.violate("P1", format!("replica {replica} shows batch {id}, which nobody wrote to namespace {namespace:?}"));
                continue;
            };
            if !held.insert(id) {
                self.violate_about(About::Twice, "P1", format!("replica {replica} shows batch {id} twice"));
            }
            let before = last_of_handle.insert(batch.handle, id);
            if let Some(before) = before.filter(|before| *before > id && self.fairness.one_clock_stamps) {
                self.violate_about(
                    About::Order(before, id),
                    "P5",
                    format!(
                        "replica {replica} shows batch {before} before batch {id}, which was submitted earlier through the same handle"
                    ),
                );
            }
            if index < applied {
                continue;
            }
            for op in &batch.ops {
                if let Err(reason) = replayed.model.apply(op) {
                    self.violate("P1", format!("batch {id} cannot be replayed: {reason}"));
                }
            }
        }
        let made = replayed.model.text();
        if made != *text {
            self.violate("P1", format!("replica {replica} shows a state that its batches {log:?} do not make: {text} instead of {made}"));
        }
        replayed.log.clone_from(&log);
        self.replayed.insert((replica, namespace), replayed);
        self.contents.insert((namespace, state), Content { log, held });
    }

    /// What was replayed for a state that this one only adds to: the replica's own if it does, else another's.
    fn nearest_replayed(&mut self, log: &[BatchId], namespace: &'a str, replica: ReplicaId) -> Replayed {
        if let Some(own) = self.replayed.remove(&(replica, namespace)).filter(|own| log.starts_with(&own.log)) {
            return own;
        }
        let others = self.replayed.iter().filter(|((_, name), other)| *name == namespace && log.starts_with(&other.log));
        others.max_by_key(|(_, other)| other.log.len()).map(|(_, other)| other.clone()).unwrap_or_else(|| {
            let model = self.history.legacy.get(namespace).cloned().unwrap_or_default();
            Replayed { log: Vec::new(), model }
        })
    }
}
