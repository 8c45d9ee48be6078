//! What can be said only when everything is over.

use super::Checker;
use crate::history::{About, Ending, Settlement};
use crate::model::BatchId;

impl Checker<'_> {
    pub(super) fn end(&mut self) {
        for id in 0..self.history.batches.len() as BatchId {
            let namespace = self.history.batches[id as usize].namespace.as_str();
            let shown = self.first_shown.get(&id).copied();
            let last = self.finals.get(namespace).copied();
            let is_in_end = last.is_some_and(|(_, state, _)| self.contents[&(namespace, state)].held.contains(id));
            let settled = self.settled.get(&id).copied();
            let ending = self.endings.get(&id).cloned();
            if self.refused.contains(&id) || matches!(ending, Some(Ending::Failed { .. })) || settled == Some(Settlement::Failed) {
                let seen = match shown {
                    Some((at, replica)) => Some((at, format!("was shown by replica {replica}"))),
                    None => is_in_end.then(|| (self.now, "is in the final state".to_owned())),
                };
                if let Some((at, seen)) = seen {
                    self.violate_at(at, About::Failed(id), "P2", format!("batch {id} failed ({ending:?}, settled {settled:?}) and {seen}"));
                }
            }
            let applied = matches!(ending, Some(Ending::Applied { .. })) || settled == Some(Settlement::Applied);
            if applied && last.is_some() && !is_in_end {
                self.violate_about(About::Gone(id), "P1", format!("batch {id} was acknowledged and is not in the final state"));
            }
            if let (Some((at, replica)), Some(_), false) = (shown, last, is_in_end) {
                let what = format!("batch {id} was shown by replica {replica} and is not in the final state");
                self.violate_at(at, About::Gone(id), "P5", what);
            }
        }
        if self.fairness.one_clock_stamps {
            self.listed_before_written_after();
        }
    }

    fn listed_before_written_after(&mut self) {
        let listed_before = std::mem::take(&mut self.listed_before);
        for (id, listed) in listed_before {
            let namespace = self.history.batches[id as usize].namespace.as_str();
            let Some(&(_, state, at)) = self.finals.get(namespace) else { continue };
            let log = &self.contents[&(namespace, state)].log;
            let Some(place) = log.iter().position(|other| *other == id) else { continue };
            if let Some(later) = log[place..].iter().copied().find(|other| listed.contains(*other)) {
                let what = format!("batch {id} sorts before batch {later}, which its replica had listed before it wrote");
                self.violate_at(at, About::Order(id, later), "P5", what);
            }
        }
    }
}
