//! The life of a replica: it starts, opens what there is to open, lets clients work, and closes.

use super::{Fleet, Handle, Place};
use crate::dice::Dice;
use crate::history::ReplicaId;
use crate::world::{Process, SECOND, Time};
use opjournal::environment::Environment;
use opjournal::{Journal, Status};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

impl Fleet {
    pub(super) fn start_replica(&self, place: usize) {
        let replica = {
            let mut inner = self.inner();
            let replica = inner.replicas;
            inner.replicas += 1;
            inner.counts.add("fleet: replica started");
            replica
        };
        let process = self.0.world.process(format!("replica {replica}"));
        self.0.world.note(|| format!("replica {replica} starts in place {place}"));
        self.inner().places[place] = Place { process: process.clone(), replica, journal: None, handles: BTreeMap::new() };
        let fleet = self.clone();
        let life = process.clone();
        process.spawn("replica", Box::pin(async move { fleet.live(place, replica, life).await }));
    }

    pub(super) async fn live(&self, place: usize, replica: ReplicaId, process: Arc<Process>) {
        let journal = loop {
            let (settings, deadline) = (self.0.plan.settings.clone(), self.deadline(&process, 10 * SECOND));
            let wait = self.wait(replica, "opening the store".to_owned());
            let opened = Journal::open(settings, self.0.bucket.client(&process), process.clone(), deadline).await;
            self.waited(wait);
            match opened {
                Ok(journal) => break journal,
                Err(error) => self.expect("open", &error, &[Status::Unavailable, Status::TimedOut]),
            }
            process.pause(SECOND).await;
        };
        self.inner().places[place].journal = Some(journal.clone());
        for name in &self.0.plan.namespaces {
            let Some(first) = self.open_namespace(replica, &process, &journal, name, 0).await else { return };
            self.inner().places[place].handles.insert(name.clone(), first.clone());
            self.look(&first, None);
            for client in 0..self.0.plan.clients {
                // Some clients share a handle, others have their own on the same namespace.
                let handle = if first.dice(|dice| dice.chance(0.5)) {
                    first.clone()
                } else {
                    let Some(own) = self.open_namespace(replica, &process, &journal, name, client + 1).await else { return };
                    own
                };
                let fleet = self.clone();
                process.spawn("client", Box::pin(async move { fleet.client(handle).await }));
            }
        }
    }

    pub(super) async fn open_namespace(
        &self,
        replica: ReplicaId,
        process: &Arc<Process>,
        journal: &Journal,
        name: &str,
        number: u64,
    ) -> Option<Handle> {
        loop {
            let deadline = self.deadline(process, 10 * SECOND);
            let wait = self.wait(replica, format!("opening namespace {name:?}"));
            let opened = journal.namespace(name, deadline).await;
            self.waited(wait);
            match opened {
                Ok(namespace) => {
                    if self.0.bucket.listed(process.id()).is_none() {
                        self.violate("P8", format!("replica {replica} is ready and has no LIST"));
                    }
                    let stream = format!("replica {replica}, {name:?}, handle {number}");
                    let dice = Arc::new(Mutex::new(Dice::new(self.0.plan.seed, &stream)));
                    let mut inner = self.inner();
                    let id = inner.handles;
                    inner.handles += 1;
                    return Some(Handle { id, replica, process: process.clone(), namespace, name: name.to_owned(), dice });
                }
                Err(error) if error.status == Status::Closed => return None,
                Err(error) => self.expect("namespace", &error, &[Status::Unavailable, Status::TimedOut]),
            }
            process.pause(SECOND).await;
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
        // Long enough for every waiter to be polled, also where timers and tasks are slow.
        process.pause(SECOND).await;
        let left = self.left_of(replica, |what| !what.starts_with("settling"));
        if let Some(what) = left.first() {
            self.violate("an answer for every waiter", format!("replica {replica} is closed: {what}"));
        }
        if let Some(handle) = self.place(place).handles.values().next() {
            let mut answer = Vec::new();
            match handle.namespace.query(br#"{"op":"State"}"#, &mut answer) {
                Ok(()) => self.violate("closed means closed", format!("replica {replica} answers a query after close")),
                Err(error) => self.expect("query after close", &error, &[Status::Closed]),
            }
        }
        self.end_replica(place, replica, pause);
    }

    pub(super) fn left_of(&self, replica: ReplicaId, matches: impl Fn(&str) -> bool) -> Vec<String> {
        self.inner().waiting.values().filter(|(other, what)| *other == replica && matches(what)).map(|(_, what)| what.clone()).collect()
    }
}
