//! What can be said of a view, or of a replica's last state, beside what was seen before it.

use super::Checker;
use crate::batches::BatchSet;
use crate::history::{About, ReplicaId, StateId, View};
use crate::model::BatchId;

/// What a replica has shown of a namespace.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) held: BatchSet,
    pub(super) mark: Option<(i128, String)>,
}

impl<'a> Checker<'a> {
    pub(super) fn view(&mut self, view: &'a View) {
        if self.replicas_ended.contains(&view.replica) {
            self.violate("an end is an end", format!("replica {} answers a query after it ended", view.replica));
        }
        let place = (view.replica, view.namespace.as_str());
        let held = self.contents[&(view.namespace.as_str(), view.state)].held.clone();
        let newly_shown: Vec<BatchId> = held.without(&self.shown).collect();
        for id in newly_shown {
            self.shown.insert(id);
            self.first_shown.insert(id, (self.now, view.replica));
        }
        if let Some(missing) = self.own.get(&place).and_then(|own| own.without(&held).next()) {
            self.violate_about(
                About::Gone(missing),
                "P5",
                format!("replica {} does not read its own acknowledged batch {missing}", view.replica),
            );
        }
        if let Some(count) = view.after_flush.and_then(|flush| self.flushes.get(&flush)).copied() {
            let acknowledged = self.acknowledged.get(view.namespace.as_str()).map_or(&[][..], Vec::as_slice);
            if let Some(missing) = acknowledged[..count].iter().copied().find(|id| !held.contains(*id)) {
                self.violate_about(
                    About::Gone(missing),
                    "P6",
                    format!("replica {} flushed and does not see batch {missing}, acknowledged before the flush began", view.replica),
                );
            }
        }
        let seen = self.seen.entry(place).or_default();
        let gone = seen.held.without(&held).next();
        let mark_before = seen.mark.replace(view.mark.clone());
        seen.held = held;
        if let Some(gone) = gone {
            self.violate_about(About::Gone(gone), "P5", format!("batch {gone} vanished from replica {}", view.replica));
        }
        if let Some(mark_before) = mark_before.filter(|before| *before > view.mark) {
            self.violate("P7", format!("the mark of replica {} went back from {mark_before:?} to {:?}", view.replica, view.mark));
        }
    }

    pub(super) fn last(&mut self, replica: ReplicaId, namespace: &'a str, state: StateId) {
        match self.finals.get(namespace) {
            None => drop(self.finals.insert(namespace, (replica, state, self.now))),
            Some(&(other, other_state, _)) if other_state != state => {
                let text = format!(
                    "replicas {other} and {replica} end with different states of {namespace:?}: {} and {}",
                    self.history.states[other_state], self.history.states[state]
                );
                self.violate("P4", text);
            }
            Some(_) => {}
        }
    }
}
