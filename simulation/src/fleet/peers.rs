//! Replicas of the existing implementation beside the fleet: they live, write, crash and start again as it does.

use super::Fleet;
use crate::faults::Fault;
use crate::history::{Ending, ReplicaId, What};
use crate::model::{BatchId, draw_batch};
use crate::peer::{Done, Peer, Writer};
use crate::plan::{Lateness, Peers};
use crate::world::{Process, ProcessId, SECOND, Time};
use opjournal::environment::Environment;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The peer that runs in a place now.
pub(super) struct Place {
    process: Arc<Process>,
    replica: ReplicaId,
    /// Of each namespace, the state of its last good tick.
    states: BTreeMap<String, String>,
}

impl Fleet {
    pub(super) fn start_peers(&self) {
        let Some(peers) = self.0.plan.peers else { return };
        for place in 0..peers.count {
            self.start_peer(place, peers);
            let fleet = self.clone();
            self.outside("misfortunes of a peer", async move { fleet.misfortunes_of_peer(place, peers).await });
        }
    }

    /// Every process that ever was a peer.
    pub fn peers(&self) -> Vec<(ProcessId, ReplicaId)> {
        self.inner().were_peers.clone()
    }

    /// Whether this process is a peer that nothing may hold up.
    pub(super) fn is_spared(&self, process: ProcessId) -> bool {
        let is_spared = self.0.plan.peers.is_some_and(|peers| peers.lateness != Lateness::Peers);
        is_spared && self.inner().were_peers.iter().any(|(peer, _)| *peer == process)
    }

    /// When a LIST of a peer first took so long, in each namespace, that its mark may pass what an early page did not show: that was
    /// stamped up to D before it was visible, and is aged by a stamp on the last page, of a clock that may be ahead.
    pub fn held_up(&self) -> BTreeMap<String, Time> {
        self.inner().held_up.clone()
    }

    fn peer_listed(&self, namespace: &str, lasted: Time) {
        let constants = self.0.plan.constants();
        if lasted + constants.fold_age / 3 + constants.skew + SECOND >= constants.fold_age {
            let now = self.now();
            let mut inner = self.inner();
            inner.held_up.entry(namespace.to_owned()).or_insert(now);
            inner.counts.add("peer: LIST held up");
        }
    }

    fn start_peer(&self, place: usize, peers: Peers) {
        let mut inner = self.inner();
        let replica = inner.replicas;
        inner.replicas += 1;
        inner.counts.add("peer: started");
        drop(inner);
        let process = self.0.world.process(format!("peer {replica}"));
        let mut inner = self.inner();
        inner.were_peers.push((process.id(), replica));
        let stands = Place { process: process.clone(), replica, states: BTreeMap::new() };
        match inner.peers.get_mut(place) {
            Some(gone) => *gone = stands,
            None => inner.peers.push(stands),
        }
        drop(inner);
        for name in &self.0.plan.namespaces {
            let store = self.0.bucket.client(&process);
            let (mut peer, for_empty) = Peer::new(process.clone(), store.clone(), name, peers.settings);
            let (fleet, listed) = (self.clone(), name.clone());
            peer.listed = Box::new(move |lasted| fleet.peer_listed(&listed, lasted));
            let (_, for_batches) = Peer::new(process.clone(), store, name, peers.settings);
            let (fleet, life, name) = (self.clone(), process.clone(), name.clone());
            process.spawn("ticks of a peer", Box::pin(async move { fleet.ticks_of_peer(place, replica, life, peer, for_empty).await }));
            let (fleet, life) = (self.clone(), process.clone());
            process.spawn("writes of a peer", Box::pin(async move { fleet.writes_of_peer(replica, life, name, for_batches, peers).await }));
        }
    }

    async fn ticks_of_peer(&self, place: usize, replica: ReplicaId, process: Arc<Process>, mut peer: Peer, mut writer: Writer) {
        loop {
            match peer.tick(&mut writer).await {
                Ok(done) => {
                    let state = peer.state.clone().unwrap_or_default();
                    self.count_peer(done);
                    let mut inner = self.inner();
                    if let Some(stands) = inner.peers.get_mut(place).filter(|stands| stands.replica == replica) {
                        stands.states.insert(peer.namespace().to_owned(), state);
                    }
                }
                Err(reason) => {
                    self.0.world.note(|| format!("a tick of peer {replica} fails: {reason}"));
                    self.inner().counts.add("peer: failed tick");
                }
            }
            process.pause(peer.interval()).await;
        }
    }

    fn count_peer(&self, done: Done) {
        let counts = &mut self.inner().counts;
        counts.add("peer: good tick");
        counts.add_many("peer: segment deleted", done.deleted as u64);
        for (happened, name) in [
            (done.created, "peer: first rollup"),
            (done.folded > 0 && !done.lost, "peer: fold"),
            (done.lost, "peer: fold lost"),
            (done.pushed, "peer: empty segment"),
        ] {
            if happened {
                counts.add(name);
            }
        }
    }

    async fn writes_of_peer(&self, replica: ReplicaId, process: Arc<Process>, name: String, mut writer: Writer, peers: Peers) {
        let handle = {
            let mut inner = self.inner();
            inner.handles += 1;
            inner.handles - 1
        };
        while self.is_active() {
            let pause = self.dice(|dice| dice.around(peers.think));
            process.pause(pause).await;
            let mut ops: Vec<Value> = Vec::new();
            let mut ids: Vec<BatchId> = Vec::new();
            for _ in 0..self.dice(|dice| dice.within(1..3)) {
                let mut inner = self.inner();
                let inner = &mut *inner;
                if !inner.is_active || inner.history.batches.len() as u64 >= self.0.plan.batches {
                    break;
                }
                let (dice, payload) = (&mut inner.dice, self.0.plan.payload);
                let id = inner.history.add_batch(&name, replica, handle, |id| draw_batch(dice, id, payload));
                ops.extend(inner.history.batches[id as usize].ops.iter().cloned());
                ids.push(id);
            }
            if ids.is_empty() {
                continue;
            }
            ids.iter().for_each(|id| self.record(What::Submitted(*id)));
            let (ending, count) = match writer.put(&ops).await {
                Ok(segment) => (Ending::Applied { segment }, "peer: write applied"),
                Err(segment) => (Ending::Unknown { segment }, "peer: write unknown"),
            };
            self.inner().counts.add(count);
            ids.iter().for_each(|id| self.record(What::Ended(*id, ending.clone())));
        }
    }

    async fn misfortunes_of_peer(&self, place: usize, peers: Peers) {
        while self.is_struck_after(self.0.plan.chaos.replica_mean).await {
            let (process, replica) = {
                let inner = self.inner();
                (inner.peers[place].process.id(), inner.peers[place].replica)
            };
            if !self.0.world.is_alive(process) {
                continue;
            }
            let (kind, pause) = self.dice(|dice| (dice.within(0..3), dice.around(4 * SECOND)));
            match kind {
                0 => {
                    let (bucket, duration) = (self.0.bucket.clone(), self.dice(|dice| dice.around(2 * self.0.plan.fold_age)));
                    bucket.cut_off(process, true);
                    self.0.world.at(self.now() + duration, move || bucket.cut_off(process, false));
                }
                1 if peers.lateness == Lateness::Peers => {
                    let duration = self.freeze_duration();
                    self.freeze(process, duration);
                }
                _ => self.crash_peer(place, replica, process, pause, peers),
            }
        }
    }

    fn crash_peer(&self, place: usize, replica: ReplicaId, process: ProcessId, pause: Time, peers: Peers) {
        if !self.0.bucket.strikes(Fault::PeerCrashed, || format!("peer {replica}")) {
            return;
        }
        self.0.world.crash(process);
        self.record(What::ReplicaEnded(replica));
        let fleet = self.clone();
        self.0.world.at(self.now() + pause, move || fleet.start_peer(place, peers));
    }

    /// Joins every peer with the network again, as the faults end.
    pub(super) fn mend_peers(&self) {
        let processes: Vec<ProcessId> = self.inner().peers.iter().map(|stands| stands.process.id()).collect();
        for process in processes {
            self.0.world.thaw(process);
            self.0.bucket.cut_off(process, false);
        }
    }

    /// What the peers hold in the end belongs to the history as what replicas of this library do.
    pub(super) fn record_peers(&self) {
        let finals: Vec<(ReplicaId, String, Option<String>)> = {
            let inner = self.inner();
            let states = |stands: &Place| {
                let of = |name: &String| (stands.replica, name.clone(), stands.states.get(name).cloned());
                self.0.plan.namespaces.iter().map(of).collect::<Vec<_>>()
            };
            inner.peers.iter().flat_map(states).collect()
        };
        for (replica, namespace, text) in finals {
            match text {
                None => self.violate("P9", format!("peer {replica} had no good tick of {namespace:?}")),
                Some(text) => {
                    let state = self.inner().history.state(&text);
                    self.record(What::Final { replica, namespace, state });
                }
            }
        }
    }
}
