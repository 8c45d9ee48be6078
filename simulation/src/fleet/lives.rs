//! The life of a replica: it starts, opens what there is to open, lets clients work, and closes.

use super::{Fleet, Handle, Place, Tenant};
use crate::dice::Dice;
use crate::history::{ReplicaId, What};
use crate::loud::Said;
use crate::world::{Process, SECOND, Time};
use opjournal::config::Settings;
use opjournal::environment::Environment;
use opjournal::{Journal, Status};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// A replica, in the place and the process where it runs.
#[derive(Clone)]
pub(super) struct Life {
    place: usize,
    replica: ReplicaId,
    process: Arc<Process>,
    settings: Arc<Settings>,
}

impl Fleet {
    pub(super) fn start_replica(&self, place: usize) {
        let journals = if self.0.plan.variety.twins { 2 } else { 1 };
        let replicas: Vec<ReplicaId> = {
            let mut inner = self.inner();
            let first = inner.replicas;
            inner.replicas += journals;
            inner.counts.add("fleet: replica started");
            (first..first + journals).collect()
        };
        let process = self.0.world.process(format!("replica {}", replicas[0]));
        self.0.world.note(|| format!("replica {} starts in place {place}", replicas[0]));
        let settings = Arc::new(self.0.plan.settings_of(place));
        if settings.read_only {
            self.inner().counts.add("fleet: replica that only reads");
            self.0.bucket.forbid_writes(process.id());
        }
        if replicas.len() > 1 {
            self.inner().counts.add("fleet: second journal in a process");
        }
        let tenants =
            replicas.iter().map(|&replica| Tenant { replica, journal: None, is_leaving: false, handles: BTreeMap::new() }).collect();
        self.inner().places[place] = Place { process: process.clone(), tenants };
        for replica in replicas {
            let life = Life { place, replica, process: process.clone(), settings: settings.clone() };
            let fleet = self.clone();
            process.spawn("replica", Box::pin(async move { fleet.live(life).await }));
        }
    }

    async fn live(&self, life: Life) {
        let Life { replica, process, .. } = &life;
        let journal = loop {
            let deadline = self.deadline(process, 10 * SECOND);
            let wait = self.wait(*replica, "opening the store".to_owned());
            let store = self.0.bucket.client(process);
            let opened = Journal::open((*life.settings).clone(), store, process.clone(), deadline).await;
            self.waited(wait);
            match opened {
                Ok(journal) => break journal,
                Err(error) => self.expect("open", &error, &[Status::Unavailable, Status::TimedOut]),
            }
            process.pause(SECOND).await;
        };
        self.of_tenant(life.place, *replica, |tenant| tenant.journal = Some(journal.clone()));
        for name in &self.0.plan.namespaces {
            let (fleet, life, journal, name) = (self.clone(), life.clone(), journal.clone(), name.clone());
            process.spawn("namespace", Box::pin(async move { fleet.serve(life, journal, &name).await }));
        }
    }

    /// Opens a namespace and lets clients work on it, for as long as the replica lives or a session at a time.
    async fn serve(&self, life: Life, journal: Journal, name: &str) {
        let habits = self.0.plan.variety.habits;
        // Numbers the handles that are opened in this life: clients draw from streams of their own.
        let mut number = 0;
        loop {
            let is_over = Arc::new(AtomicBool::new(false));
            let Some(first) = self.open_namespace(&life, &journal, name, &is_over, number).await else { return };
            let mut handles = vec![first.clone()];
            self.of_tenant(life.place, life.replica, |tenant| tenant.handles.insert(name.to_owned(), first.clone()));
            self.look(&first, None);
            for client in 0..self.0.plan.clients {
                // Some clients share a handle, others have their own on the same namespace.
                let handle = if first.dice(|dice| dice.chance(0.5)) {
                    first.clone()
                } else {
                    number += 1;
                    let Some(own) = self.open_namespace(&life, &journal, name, &is_over, number).await else { return };
                    handles.push(own.clone());
                    own
                };
                let fleet = self.clone();
                if habits.endless_flush && client == 0 {
                    let handle = handle.clone();
                    let fleet = self.clone();
                    life.process.spawn("flusher", Box::pin(async move { fleet.flush_for_ever(handle).await }));
                }
                life.process.spawn("client", Box::pin(async move { fleet.client(handle).await }));
            }
            if habits.session == 0 {
                return;
            }
            life.process.pause(first.dice(|dice| dice.around(habits.session))).await;
            if !self.is_active() {
                return;
            }
            self.inner().counts.add("fleet: namespace closed in mid-traffic");
            is_over.store(true, Ordering::Relaxed);
            self.of_tenant(life.place, life.replica, |tenant| tenant.handles.remove(name));
            for handle in &handles {
                handle.namespace.close();
                self.expect_closed(handle);
            }
            let pause = first.dice(|dice| dice.around(SECOND));
            drop((first, handles));
            number += 1;
            life.process.pause(pause).await;
        }
    }

    async fn open_namespace(&self, life: &Life, journal: &Journal, name: &str, is_over: &Arc<AtomicBool>, number: u64) -> Option<Handle> {
        let Life { replica, process, .. } = life;
        // Only the very first try is sure to begin with a tick of its own.
        let mut first_try = (number == 0).then(|| {
            let mut inner = self.inner();
            inner.opens += 1;
            inner.opens
        });
        loop {
            let deadline = self.deadline(process, 10 * SECOND);
            if let Some(open) = first_try {
                self.record(What::OpenBegan { open });
            }
            let wait = self.wait(*replica, format!("opening namespace {name:?}"));
            let opened = journal.namespace(name, deadline).await;
            self.waited(wait);
            match opened {
                Ok(namespace) => {
                    self.check_may_open(name);
                    if self.0.bucket.listed(process.id()).is_none() {
                        self.violate("P8", format!("replica {replica} is ready and has no LIST"));
                    }
                    if let Some(open) = first_try.filter(|_| !life.settings.allow_degraded) {
                        self.note_healed();
                        self.record(What::Opened { open, namespace: name.to_owned() });
                    }
                    let id = {
                        let mut inner = self.inner();
                        inner.handles += 1;
                        inner.handles - 1
                    };
                    let stream = format!("replica {replica}, {name:?}, handle {number}");
                    let dice = Arc::new(Mutex::new(Dice::new(self.0.plan.seed, &stream)));
                    return Some(Handle {
                        id,
                        replica: *replica,
                        process: process.clone(),
                        journal: journal.clone(),
                        namespace,
                        name: name.to_owned(),
                        settings: life.settings.clone(),
                        is_over: is_over.clone(),
                        dice,
                    });
                }
                Err(error) if error.status == Status::Closed => return None,
                Err(error) if error.status == Status::Unreadable && !life.settings.allow_degraded => {
                    self.told_unreadable("namespace", name, &error, |_| true);
                }
                Err(error) if error.status == Status::RollupLost && self.operator().is_some() => {
                    self.inner().counts.add("answer: namespace ROLLUP_LOST");
                    let (at, namespace) = (self.now(), name.to_owned());
                    self.inner().refusals.push(Said { at, namespace, message: error.message });
                }
                Err(error) => self.expect("namespace", &error, &[Status::Unavailable, Status::TimedOut]),
            }
            first_try = None;
            process.pause(SECOND).await;
            // Not before the pause: where the process thaws past the deadline, this is told before the answers that waited for it, which the
            // namespace that failed to open still takes.
            self.0.bucket.forget_fetched(process.id());
        }
    }

    pub(super) async fn close(&self, place: usize, replica: ReplicaId, process: &Arc<Process>, journal: Journal, pause: Time) {
        self.inner().counts.add("fleet: replica closed");
        let wait = self.wait(replica, "closing".to_owned());
        let deadline = Some(process.after(self.dice(|dice| dice.around(10 * SECOND))));
        match journal.close(deadline).await {
            Ok(_) => {}
            Err(error) => self.expect("close", &error, &[Status::TimedOut]),
        }
        self.waited(wait);
        // Long enough for every waiter to be polled, also where timers and tasks are slow; and anew where the process froze in between, for
        // then this may be polled first.
        loop {
            let before = self.now();
            process.pause(SECOND).await;
            if self.now() - before <= 2 * SECOND {
                break;
            }
        }
        let left = self.left_of(replica, |what| !what.starts_with("settling"));
        if let Some(what) = left.first() {
            self.violate("an answer for every waiter", format!("replica {replica} is closed: {what}"));
        }
        let handle = self.of_tenant(place, replica, |tenant| tenant.handles.values().next().cloned());
        if let Some(Some(handle)) = handle {
            self.expect_closed(&handle);
        }
        self.end_replica(place, replica, pause);
    }

    /// A handle that was closed answers nothing any more.
    fn expect_closed(&self, handle: &Handle) {
        let mut answer = Vec::new();
        match handle.namespace.query(br#"{"op":"State"}"#, &mut answer) {
            Ok(()) => self.violate("closed means closed", format!("replica {} answers a query after close", handle.replica)),
            Err(error) => self.expect("query after close", &error, &[Status::Closed]),
        }
    }

    fn left_of(&self, replica: ReplicaId, matches: impl Fn(&str) -> bool) -> Vec<String> {
        self.inner().waiting.values().filter(|(other, what)| *other == replica && matches(what)).map(|(_, what)| what.clone()).collect()
    }
}
