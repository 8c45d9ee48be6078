//! When a person touches the bucket, and what the fleet must then say.

use super::Fleet;
use crate::faults::Fault;
use crate::operator::{Operator, prefix};
use crate::plan::Profile;
use crate::world::{ProcessId, SECOND};

impl Fleet {
    /// The process of the person, where there is one.
    pub fn operator(&self) -> Option<ProcessId> {
        (self.0.plan.profile == Profile::Operator).then(|| self.0.outside.id())
    }

    fn person(&self) -> Operator {
        Operator::new(&self.0.bucket, self.0.outside.id())
    }

    pub(super) async fn operators(&self) {
        let Some(mean) = self.0.plan.tampering else { return };
        let person = self.person();
        loop {
            let pause = self.dice(|dice| dice.around(mean));
            self.0.outside.pause(pause).await;
            if !self.is_active() {
                return;
            }
            let (name, kind, number, patience) = self.dice(|dice| {
                (dice.pick(&self.0.plan.namespaces).clone(), dice.within(0..5), dice.next(), dice.within(SECOND..20 * SECOND))
            });
            let versions = person.versions(&name);
            if versions.is_empty() {
                continue;
            }
            match kind {
                0 | 1 => {
                    if self.0.bucket.strikes(Fault::RollupDeleted, || name.clone()) {
                        person.delete(&name);
                    }
                }
                2 | 3 => {
                    let body = versions[number as usize % versions.len()].clone();
                    if self.0.bucket.strikes(Fault::RollupRestored, || name.clone()) {
                        person.restore(&name, body);
                    }
                }
                _ => {
                    if self.0.bucket.strikes(Fault::FleetLost, || name.clone()) {
                        self.lose_everybody(&person, &name, patience).await;
                    }
                }
            }
        }
    }

    /// All replicas end, and the rollup is deleted; whoever starts has to refuse, until the person puts back what was there.
    async fn lose_everybody(&self, person: &Operator, name: &str, patience: u64) {
        let newest = person.greatest(name);
        for place in 0..self.0.plan.replicas {
            let Some(replica) = self.place(place).tenants.first().map(|tenant| tenant.replica) else { continue };
            let pause = self.dice(|dice| dice.around(SECOND));
            self.end_replica(place, replica, pause);
        }
        person.delete(name);
        let telling = person.telling(name);
        self.inner().must_refuse.insert(name.to_owned(), telling);
        self.0.outside.pause(patience).await;
        self.inner().must_refuse.remove(name);
        if let Some(newest) = newest {
            person.restore(name, newest);
        }
    }

    /// A namespace was opened: nothing that is still listed may say that its rollup is lost.
    pub(super) fn check_may_open(&self, name: &str) {
        let must_refuse = self.inner().must_refuse.get(name).cloned().unwrap_or_default();
        // A rollup that was on its way when the last replica ended may have arrived since.
        let has_rollup = !self.0.bucket.objects(&format!("{}rollup.json", prefix(name))).is_empty();
        if must_refuse.is_empty() || has_rollup {
            return;
        }
        if let Some(segment) = self.person().telling(name).intersection(&must_refuse).next() {
            self.violate("P8", format!("namespace {name:?} opens without a rollup, and {segment} says that one was folded"));
        }
    }

    /// Where somebody is refused for good, because nobody who held the newest rollup is left, the person puts it back.
    pub(super) async fn mend_rollups(&self) {
        if self.0.plan.tampering.is_none() {
            return;
        }
        self.0.outside.pause(2 * self.0.plan.sync_interval() + 40 * SECOND).await;
        for name in &self.0.plan.namespaces {
            let is_refused =
                (0..self.0.plan.replicas).any(|place| self.place(place).tenants.iter().any(|tenant| !tenant.handles.contains_key(name)));
            if let Some(newest) = self.person().greatest(name).filter(|_| is_refused) {
                self.inner().counts.add("operator: newest rollup restored in the end");
                self.person().restore(name, newest);
            }
        }
        self.0.outside.pause(2 * self.0.plan.sync_interval() + 20 * SECOND).await;
    }
}
