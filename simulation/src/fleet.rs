//! A fleet of real engines in one world: replicas that open, crash, freeze, close and start again, and clients that write, read
//! and flush through the public interface and write down what they saw.

mod calm;
mod clients;
mod ending;
mod lives;
mod misfortunes;
mod operators;
mod peers;
mod spoilers;

use super::dice::Dice;
use super::faults::Counts;
use super::history::{History, ReplicaId, What};
use super::loud::Said;
use super::plan::Plan;
use super::store::Bucket;
use super::world::{Process, ProcessId, Time, World};
use crate::model::Model;
use bytes::Bytes;
use opjournal::config::Settings;
use opjournal::environment::Environment;
use opjournal::time::Reading;
use opjournal::{Error, Journal, Namespace, Status};
use spoilers::Spoiled;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

/// The fleet: what its parts share. Cheap to clone.
#[derive(Clone)]
pub struct Fleet(Arc<Shared>);

struct Shared {
    plan: Plan,
    world: World,
    bucket: Bucket,
    /// Runs whoever stands outside: the misfortunes and the end.
    outside: Arc<Process>,
    inner: Mutex<Inner>,
}

struct Inner {
    history: History,
    counts: Counts,
    dice: Dice,
    is_active: bool,
    /// One for each place in the fleet: the replica that runs there now.
    places: Vec<Place>,
    replicas: ReplicaId,
    handles: u32,
    flushes: u64,
    /// What somebody waits for: a number of its own, the replica, and a description.
    waiting: BTreeMap<u64, (ReplicaId, String)>,
    waits: u64,
    opens: u64,
    /// What lies in the bucket and cannot be read.
    spoiled: Vec<Spoiled>,
    is_done: bool,
    /// Of each namespace that lost its rollup together with all replicas, the segments that tell so.
    must_refuse: BTreeMap<String, BTreeSet<String>>,
    /// Opens that were refused because a rollup is lost.
    refusals: Vec<Said>,
    /// What can be settled is settled.
    is_calm: bool,
    /// Segments of which nobody can tell any more whether they were written.
    unsettled: Vec<String>,
    /// One for each place of a peer.
    peers: Vec<peers::Place>,
    /// The processes of all of them, past ones included.
    were_peers: Vec<(ProcessId, ReplicaId)>,
    held_up: BTreeMap<String, Time>,
}

/// A place in the fleet: one process, and the journals that are open in it.
#[derive(Clone)]
struct Place {
    process: Arc<Process>,
    tenants: Vec<Tenant>,
}

/// A journal, and what is open of it. Its number is that of a replica in the history.
#[derive(Clone)]
struct Tenant {
    replica: ReplicaId,
    journal: Option<Journal>,
    /// It closes, and another one will start in its place.
    is_leaving: bool,
    /// By namespace: the handle that the fleet itself looks through.
    handles: BTreeMap<String, Handle>,
}

/// A handle, with its number in the history.
#[derive(Clone)]
struct Handle {
    id: u32,
    replica: ReplicaId,
    process: Arc<Process>,
    journal: Journal,
    namespace: Namespace,
    name: String,
    settings: Arc<Settings>,
    /// It is about to be closed: clients let go of it.
    is_over: Arc<AtomicBool>,
    /// Decides what its clients do: a stream of its own, so that what one client does shifts no other's.
    dice: Arc<Mutex<Dice>>,
}

impl Handle {
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    fn dice<T>(&self, draw: impl FnOnce(&mut Dice) -> T) -> T {
        draw(&mut self.dice.lock().expect("drawing does not panic"))
    }

    /// None, or around `mean` from now.
    fn deadline(&self, mean: Time) -> Option<Reading> {
        self.dice(|dice| draw_limit(dice, mean)).map(|limit| self.process.after(limit))
    }
}

fn draw_limit(dice: &mut Dice, mean: Time) -> Option<Time> {
    let (has_none, limit) = (dice.chance(0.4), dice.around(mean));
    (!has_none).then_some(limit)
}

impl Fleet {
    pub fn new(plan: Plan, world: &World, bucket: &Bucket) -> Fleet {
        let dice = Dice::new(plan.seed, "fleet");
        let outside = world.process("outside");
        let fleet = Fleet(Arc::new(Shared {
            plan,
            world: world.clone(),
            bucket: bucket.clone(),
            outside,
            inner: Mutex::new(Inner {
                history: History::default(),
                counts: Counts::default(),
                dice,
                is_active: true,
                places: Vec::new(),
                replicas: 0,
                handles: 0,
                flushes: 0,
                waiting: BTreeMap::new(),
                waits: 0,
                opens: 0,
                spoiled: Vec::new(),
                is_done: false,
                must_refuse: BTreeMap::new(),
                refusals: Vec::new(),
                is_calm: false,
                unsettled: Vec::new(),
                peers: Vec::new(),
                were_peers: Vec::new(),
                held_up: BTreeMap::new(),
            }),
        }));
        for _ in 0..fleet.0.plan.replicas {
            let process = world.process("nobody yet");
            fleet.inner().places.push(Place { process, tenants: Vec::new() });
        }
        fleet
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.inner.lock().expect("the fleet's own code does not panic while it holds this")
    }

    fn now(&self) -> Time {
        self.0.world.now()
    }

    fn record(&self, what: What) {
        let now = self.now();
        self.0.world.note(|| format!("history: {what:?}"));
        self.inner().history.add(now, what);
    }

    fn violate(&self, promise: &'static str, what: String) {
        let now = self.now();
        self.0.world.note(|| format!("VIOLATION of {promise}: {what}"));
        self.inner().history.violate(now, promise, what);
    }

    fn dice<T>(&self, draw: impl FnOnce(&mut Dice) -> T) -> T {
        draw(&mut self.inner().dice)
    }

    fn is_active(&self) -> bool {
        self.inner().is_active
    }

    pub fn is_done(&self) -> bool {
        self.inner().is_done
    }

    pub fn take_history(&self) -> History {
        std::mem::take(&mut self.inner().history)
    }

    /// Opens that were refused because a rollup is lost.
    pub fn refusals(&self) -> Vec<Said> {
        self.inner().refusals.clone()
    }

    pub fn counts(&self) -> Counts {
        self.inner().counts.clone()
    }

    /// Lets go of the engines, which hold the world, which holds this.
    pub fn end(&self) {
        let places = std::mem::take(&mut self.inner().places);
        drop(places);
        self.0.bucket.set_interference(None);
    }

    /// Starts everything.
    pub fn start(&self) {
        self.0.bucket.set_faults(self.0.plan.faults);
        let fleet = self.clone();
        self.0.bucket.set_interference(Some(Arc::new(move |process, traffic, step| fleet.interfere(process, traffic, step))));
        for (namespace, body) in &self.0.plan.variety.legacy {
            self.0.bucket.place(self.0.outside.id(), &format!(".metadata/{namespace}.json"), Bytes::from(body.clone()));
            let state = serde_json::from_str(body).ok().and_then(|value| Model::read(&value));
            let mut inner = self.inner();
            inner.counts.add(if state.is_some() { "fleet: legacy object" } else { "fleet: legacy object that is none" });
            inner.history.legacy.extend(state.map(|state| (namespace.clone(), state)));
        }
        for spoiler in self.0.plan.variety.spoilers.clone() {
            let fleet = self.clone();
            self.outside("spoiler", async move { fleet.spoil(spoiler).await });
        }
        for place in 0..self.0.plan.replicas {
            self.start_replica(place);
            let fleet = self.clone();
            self.outside("misfortunes", async move { fleet.misfortunes(place).await });
        }
        if let Some(length) = self.0.plan.chaos.suspended {
            let fleet = self.clone();
            self.outside("suspend", async move { fleet.suspend(0, length).await });
        }
        self.start_peers();
        let fleet = self.clone();
        self.outside("a person", async move { fleet.operators().await });
        let fleet = self.clone();
        self.outside("weather", async move { fleet.weather().await });
        let fleet = self.clone();
        self.outside("clocks", async move { fleet.clocks().await });
        let fleet = self.clone();
        self.outside("the end", async move { fleet.last_act().await });
    }

    fn outside(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.0.outside.spawn(name, Box::pin(task));
    }

    fn place(&self, place: usize) -> Place {
        self.inner().places[place].clone()
    }

    /// What one replica of a place has open, as long as it is the one that runs there.
    fn of_tenant<T>(&self, place: usize, replica: ReplicaId, change: impl FnOnce(&mut Tenant) -> T) -> Option<T> {
        self.inner().places[place].tenants.iter_mut().find(|tenant| tenant.replica == replica).map(change)
    }

    /// A failure that this call may have in a faulty world. Any other is a violation.
    fn expect(&self, call: &str, error: &Error, allowed: &[Status]) {
        self.inner().counts.add(&format!("answer: {call} {}", error.status.name()));
        self.0.world.note(|| format!("{call}: {error}"));
        let may_be_denied = error.status == Status::Denied && self.0.plan.faults.denied > 0.0;
        if !allowed.contains(&error.status) && !may_be_denied {
            self.violate("statuses that fit", format!("{call} fails with {error}"));
        }
    }

    /// None, or around `mean` from now.
    fn deadline(&self, process: &Process, mean: Time) -> Option<Reading> {
        self.dice(|dice| draw_limit(dice, mean)).map(|limit| process.after(limit))
    }

    fn wait(&self, replica: ReplicaId, what: String) -> u64 {
        let mut inner = self.inner();
        let wait = inner.waits;
        inner.waits += 1;
        inner.waiting.insert(wait, (replica, what));
        wait
    }

    fn waited(&self, wait: u64) {
        self.inner().waiting.remove(&wait);
    }
}
