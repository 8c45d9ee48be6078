//! What the calm shows besides agreement: how little is asked where nothing is new, and that a storm of Flushes is a tick or two.

use super::{Fleet, Place, Tenant};
use crate::history::What;
use crate::plan::Profile;
use crate::quiet::{Quiet, Requests, Ticking};
use crate::world::{SECOND, Time};
use opjournal::Journal;
use opjournal::environment::Environment;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many Flushes a storm has.
const STORM: u64 = 64;
/// Through how many handles they are called.
const HANDLES: usize = 4;

fn ticks_of(journal: &Journal, namespace: &str) -> u64 {
    journal.stats()["namespaces"][namespace]["ticks"].as_u64().unwrap_or(0)
}

/// What a process had asked and done as a quiet window began.
struct Before {
    place: usize,
    stands: Place,
    began: Time,
    asked: Requests,
    /// By journal, then by namespace.
    ticks: Vec<Vec<u64>>,
}

impl Fleet {
    /// Whether everything is open in a process, and nothing in it has to be tried again and again.
    fn is_at_rest(&self, stands: &Place) -> bool {
        let names = &self.0.plan.namespaces;
        let is_open = |tenant: &Tenant| tenant.journal.is_some() && names.iter().all(|name| tenant.handles.contains_key(name));
        stands.tenants.iter().all(is_open) && !names.iter().any(|name| self.is_spoiled(name))
    }

    fn ticks(&self, stands: &Place) -> Vec<Vec<u64>> {
        let journals = stands.tenants.iter().filter_map(|tenant| tenant.journal.as_ref());
        journals.map(|journal| self.0.plan.namespaces.iter().map(|name| ticks_of(journal, name)).collect()).collect()
    }

    /// Lets two intervals pass in which nothing is new, and writes down what was asked of the store.
    pub(super) async fn quiet(&self) {
        let plan = &self.0.plan;
        if plan.profile != Profile::Fleet {
            // A peer goes on as it likes.
            return;
        }
        let mut at_rest = Vec::new();
        for place in 0..plan.replicas {
            let stands = self.place(place);
            if self.is_at_rest(&stands) {
                let (began, asked) = (self.now(), self.0.bucket.asked(stands.process.id()));
                at_rest.push(Before { place, ticks: self.ticks(&stands), stands, began, asked });
            }
        }
        self.0.outside.pause(2 * plan.sync_interval() + SECOND).await;
        for before in at_rest {
            let quiet = self.since(&before);
            self.inner().counts.add("fleet: quiet window");
            self.record(What::Quiet(quiet));
        }
    }

    fn since(&self, before: &Before) -> Quiet {
        let plan = &self.0.plan;
        let settings = plan.settings_of(before.place);
        let interval = settings.sync_interval.as_nanos() as Time;
        // The LISTs of two ticks, there and back, and the timer between them. No way takes more than eight times the mean.
        let two_lists = SECOND + 2 * 2 * 8 * plan.character.latency;
        let list_is_young = 2 * plan.fold_age - plan.fold_age / 3 - 2 * plan.constants().skew;
        let mut namespaces = Vec::new();
        for (now, then) in self.ticks(&before.stands).into_iter().zip(&before.ticks) {
            for ((name, now), then) in plan.namespaces.iter().zip(now).zip(then) {
                let pages = self.0.bucket.pages(name);
                let spares_rollup = pages == 1 && interval + two_lists < list_is_young;
                namespaces.push(Ticking { ticks: now - then, interval, pages, spares_rollup });
            }
        }
        Quiet {
            replica: before.stands.tenants.first().map_or(0, |tenant| tenant.replica),
            lasted: self.now() - before.began,
            requests: self.0.bucket.asked(before.stands.process.id()).since(before.asked),
            namespaces,
            sharing: if plan.namespaces.len() > 1 { before.stands.tenants.len() as u64 } else { 0 },
            is_flushed: plan.variety.habits.endless_flush,
        }
    }

    /// Many Flushes at once, in every journal and namespace.
    pub(super) async fn storms(&self) {
        if !self.0.plan.variety.storm || self.0.plan.profile != Profile::Fleet {
            return;
        }
        for place in 0..self.0.plan.replicas {
            let stands = self.place(place);
            for tenant in &stands.tenants {
                for name in tenant.handles.keys() {
                    self.storm(place, &stands, tenant, name).await;
                }
            }
        }
    }

    async fn storm(&self, place: usize, stands: &Place, tenant: &Tenant, name: &str) {
        let Some(journal) = tenant.journal.clone() else { return };
        let mut handles = vec![tenant.handles[name].namespace.clone()];
        while handles.len() < HANDLES {
            match journal.namespace(name, Some(stands.process.after(10 * SECOND))).await {
                Ok(handle) => handles.push(handle),
                // Unreadable segments keep the fleet out.
                Err(_) => return,
            }
        }
        self.inner().counts.add("fleet: storm of flushes");
        let (began, before) = (self.now(), ticks_of(&journal, name));
        let returned = Arc::new(AtomicU64::new(0));
        let wait = self.wait(tenant.replica, format!("a storm of flushes of {name:?}"));
        for number in 0..STORM as usize {
            let (fleet, returned, journal) = (self.clone(), returned.clone(), journal.clone());
            let (handle, name) = (handles[number % HANDLES].clone(), name.to_owned());
            let replica = tenant.replica;
            let interval = self.0.plan.settings_of(place).sync_interval.as_nanos() as Time;
            stands.process.spawn(
                "storm",
                Box::pin(async move {
                    // How it ends is checked where single ones are called.
                    let _ = handle.flush(None).await;
                    if returned.fetch_add(1, Ordering::Relaxed) + 1 < STORM {
                        return;
                    }
                    fleet.waited(wait);
                    // An interval's tick of any namespace may bring one to all of them.
                    let regular = ((fleet.now() - began) / interval.max(1) + 1) * fleet.0.plan.namespaces.len() as u64;
                    let most = if fleet.0.plan.variety.habits.endless_flush { u64::MAX } else { 2 + regular };
                    let is = ticks_of(&journal, &name) - before;
                    fleet.record(What::Figure { replica, name: "the ticks of a storm of flushes", is, most });
                }),
            );
        }
        let patience = self.now() + 20 * SECOND;
        while returned.load(Ordering::Relaxed) < STORM && self.now() < patience {
            self.0.outside.pause(SECOND / 10).await;
        }
        let left = STORM - returned.load(Ordering::Relaxed);
        if left > 0 {
            self.record(What::Waiting { replica: tenant.replica, what: format!("{left} of a storm of flushes of {name:?}") });
        }
    }
}
