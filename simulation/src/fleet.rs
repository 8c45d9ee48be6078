//! A fleet of real engines in one world: replicas that open, crash, freeze, close and start again, and clients that write, read
//! and flush through the public interface and write down what they saw.

mod clients;

use super::dice::Dice;
use super::faults::{Counts, Weather};
use super::history::{History, ReplicaId, What};
use super::plan::Plan;
use super::store::{Bucket, Step};
use super::world::{Process, ProcessId, SECOND, Time, World};
use opjournal::environment::Environment;
use opjournal::time::Reading;
use opjournal::{Error, Journal, Namespace, Status};
use serde_json::Value;
use std::collections::BTreeMap;
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
    is_done: bool,
}

#[derive(Clone)]
struct Place {
    process: Arc<Process>,
    replica: ReplicaId,
    journal: Option<Journal>,
    handles: BTreeMap<String, Handle>,
}

/// A handle, with its number in the history.
#[derive(Clone)]
struct Handle {
    id: u32,
    replica: ReplicaId,
    process: Arc<Process>,
    namespace: Namespace,
    name: String,
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
                is_done: false,
            }),
        }));
        for _ in 0..fleet.0.plan.replicas {
            let process = world.process("nobody yet");
            fleet.inner().places.push(Place { process, replica: ReplicaId::MAX, journal: None, handles: BTreeMap::new() });
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
        self.0.bucket.set_interference(Some(Arc::new(move |process, step| fleet.interfere(process, step))));
        for place in 0..self.0.plan.replicas {
            self.start_replica(place);
            let fleet = self.clone();
            self.outside("misfortunes", async move { fleet.misfortunes(place).await });
        }
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

    // ---- What happens to replicas ----

    fn start_replica(&self, place: usize) {
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

    fn place(&self, place: usize) -> Place {
        self.inner().places[place].clone()
    }

    /// Ends the replica in a place, and starts another one there later.
    fn end_replica(&self, place: usize, replica: ReplicaId, pause: Time) {
        let gone = {
            let mut inner = self.inner();
            let stands = &mut inner.places[place];
            if stands.replica != replica || !self.0.world.is_alive(stands.process.id()) {
                return;
            }
            let gone = stands.clone();
            stands.handles.clear();
            stands.journal = None;
            gone
        };
        // Dropped after the crash: an engine that is gone runs no code any more, not even that of its handles.
        self.0.world.crash(gone.process.id());
        drop(gone);
        self.inner().waiting.retain(|_, (other, _)| *other != replica);
        self.record(What::ReplicaEnded(replica));
        let fleet = self.clone();
        self.0.world.at(self.now() + pause, move || fleet.start_replica(place));
    }

    fn freeze(&self, process: ProcessId, duration: Time) {
        self.inner().counts.add("fault: process frozen");
        self.0.world.freeze(process);
        let world = self.0.world.clone();
        self.0.world.at(self.now() + duration, move || world.thaw(process));
    }

    /// A freeze matters around D, around F and past all of them.
    fn freeze_duration(&self) -> Time {
        let fold_age = self.0.plan.fold_age;
        self.dice(|dice| {
            let most = *dice.pick(&[fold_age / 30, fold_age / 3, fold_age, 2 * fold_age, 4 * fold_age]);
            dice.within(most / 4..most)
        })
    }

    fn interfere(&self, process: ProcessId, step: Step) {
        let chaos = self.0.plan.chaos;
        let (is_active, freezes, crashes, sleeps_through) = {
            let mut inner = self.inner();
            let dice = &mut inner.dice;
            let (freezes, crashes) = (dice.chance(chaos.freeze_at_step), dice.chance(chaos.crash_at_step));
            let sleeps_through = dice.chance(0.3) && chaos.freeze_at_step > 0.0;
            (inner.is_active, freezes, crashes, sleeps_through)
        };
        if !is_active {
            return;
        }
        if let Step::Delayed { until } = step {
            // The answer lies there when the process wakes up, together with the timer that would have ended the wait.
            if sleeps_through {
                let longer = self.dice(|dice| dice.within(SECOND / 2..3 * SECOND));
                self.freeze(process, until - self.now() + longer);
            }
            return;
        }
        if freezes {
            self.freeze(process, self.freeze_duration());
        } else if crashes {
            let stands = self
                .inner()
                .places
                .iter()
                .enumerate()
                .find(|(_, place)| place.process.id() == process)
                .map(|(index, place)| (index, place.replica));
            if let Some((place, replica)) = stands {
                self.inner().counts.add("fault: crash at a request");
                let pause = self.dice(|dice| dice.around(2 * SECOND));
                // Not from inside of a poll of the process that ends.
                let fleet = self.clone();
                self.0.world.freeze(process);
                self.0.world.at(self.now(), move || fleet.end_replica(place, replica, pause));
            }
        }
    }

    async fn misfortunes(&self, place: usize) {
        let mean = self.0.plan.chaos.replica_mean;
        if mean == 0 {
            return;
        }
        loop {
            let pause = self.dice(|dice| dice.around(mean));
            self.0.outside.pause(pause).await;
            if !self.is_active() {
                return;
            }
            let stands = self.place(place);
            if !self.0.world.is_alive(stands.process.id()) {
                continue;
            }
            let (kind, pause) = self.dice(|dice| (dice.within(0..10), dice.around(4 * SECOND)));
            match kind {
                0..4 => {
                    let duration = self.freeze_duration();
                    self.freeze(stands.process.id(), duration);
                }
                4..7 => {
                    self.inner().counts.add("fault: crash");
                    self.end_replica(place, stands.replica, pause);
                }
                7 => {
                    let (fleet, process) = (self.clone(), stands.process.clone());
                    if let Some(journal) = stands.journal {
                        process
                            .clone()
                            .spawn("closes", Box::pin(async move { fleet.close(place, stands.replica, &process, journal, pause).await }));
                    }
                }
                _ => {
                    let (bucket, process) = (self.0.bucket.clone(), stands.process.id());
                    bucket.cut_off(process, true);
                    let duration = self.dice(|dice| dice.around(2 * self.0.plan.fold_age));
                    self.0.world.at(self.now() + duration, move || bucket.cut_off(process, false));
                }
            }
        }
    }

    async fn weather(&self) {
        let mean = self.0.plan.chaos.weather_mean;
        if mean == 0 {
            return;
        }
        loop {
            let pause = self.dice(|dice| dice.around(mean));
            self.0.outside.pause(pause).await;
            if !self.is_active() {
                return;
            }
            let weather = self.dice(|dice| *dice.pick(&[Weather::SlowDown, Weather::Outage]));
            self.0.bucket.set_weather(weather);
            let duration = self.dice(|dice| dice.around(self.0.plan.fold_age));
            self.0.outside.pause(duration).await;
            self.0.bucket.set_weather(Weather::Fair);
        }
    }

    async fn clocks(&self) {
        let mean = self.0.plan.chaos.clocks_mean;
        if mean == 0 {
            return;
        }
        while self.is_active() {
            let pause = self.dice(|dice| dice.around(mean));
            self.0.outside.pause(pause).await;
            self.0.bucket.set_clocks();
        }
    }

    // ---- A replica ----

    async fn live(&self, place: usize, replica: ReplicaId, process: Arc<Process>) {
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
            let Some(first) = self.open_namespace(replica, &process, &journal, name).await else { return };
            self.inner().places[place].handles.insert(name.clone(), first.clone());
            self.look(&first, None);
            for _ in 0..self.0.plan.clients {
                // Some clients share a handle, others have their own on the same namespace.
                let handle = if self.dice(|dice| dice.chance(0.5)) {
                    first.clone()
                } else {
                    let Some(own) = self.open_namespace(replica, &process, &journal, name).await else { return };
                    own
                };
                let fleet = self.clone();
                process.spawn("client", Box::pin(async move { fleet.client(handle).await }));
            }
        }
    }

    async fn open_namespace(&self, replica: ReplicaId, process: &Arc<Process>, journal: &Journal, name: &str) -> Option<Handle> {
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
                    let mut inner = self.inner();
                    let id = inner.handles;
                    inner.handles += 1;
                    return Some(Handle { id, replica, process: process.clone(), namespace, name: name.to_owned() });
                }
                Err(error) if error.status == Status::Closed => return None,
                Err(error) => self.expect("namespace", &error, &[Status::Unavailable, Status::TimedOut]),
            }
            process.pause(SECOND).await;
        }
    }

    async fn close(&self, place: usize, replica: ReplicaId, process: &Arc<Process>, journal: Journal, pause: Time) {
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

    fn left_of(&self, replica: ReplicaId, matches: impl Fn(&str) -> bool) -> Vec<String> {
        self.inner().waiting.values().filter(|(other, what)| *other == replica && matches(what)).map(|(_, what)| what.clone()).collect()
    }

    /// A failure that this call may have in a faulty world. Any other is a violation.
    fn expect(&self, call: &str, error: &Error, allowed: &[Status]) {
        self.inner().counts.add(&format!("answer: {call} {}", error.status.name()));
        self.0.world.note(|| format!("{call}: {error}"));
        if !allowed.contains(&error.status) {
            self.violate("statuses that fit", format!("{call} fails with {error}"));
        }
    }

    /// None, or around `mean` from now.
    fn deadline(&self, process: &Process, mean: Time) -> Option<Reading> {
        let limit = self.dice(|dice| if dice.chance(0.4) { None } else { Some(dice.around(mean)) });
        limit.map(|limit| process.after(limit))
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

    // ---- The end ----

    /// Lets the faults end, and holds the fleet to what it promises from then on.
    async fn last_act(&self) {
        let plan = &self.0.plan;
        let (world, outside) = (&self.0.world, &self.0.outside);
        outside.pause(plan.active).await;
        self.inner().is_active = false;
        self.0.bucket.set_faults(Default::default());
        self.0.bucket.set_weather(Weather::Fair);
        world.note(|| "the faults are over".to_owned());
        // What is still frozen, cut off, late or to be started anew comes back by itself. This is when the last of it has.
        outside.pause(8 * 4 * SECOND).await;
        for place in 0..plan.replicas {
            let process = self.place(place).process.id();
            world.thaw(process);
            self.0.bucket.cut_off(process, false);
        }
        let arrived = self.0.bucket.last_arrival() + plan.fold_age;
        world.sleep_until(arrived).await;
        world.note(|| "everything has arrived".to_owned());

        // A write may be open for as long as it takes to be void, and another be waiting behind it.
        let interval = plan.sync_interval();
        let patience = self.now() + 8 * plan.fold_age + 10 * interval + 120 * SECOND;
        while self.now() < patience && !self.inner().waiting.is_empty() {
            outside.pause(SECOND / 4).await;
        }
        let left: Vec<(ReplicaId, String)> = self.inner().waiting.values().cloned().collect();
        for (replica, what) in left {
            self.record(What::Waiting { replica, what });
        }
        self.record(What::Calm);

        outside.pause(2 * interval + interval / 4 + 5 * SECOND).await;
        self.agree("P9: two good ticks after the last fault", false);
        // Aged, stood for two ticks, jitter; as many folds as it takes; then F and two ticks until the deletes.
        outside.pause(plan.aged_after() + 6 * interval + plan.fold_age + 3 * interval + 20 * SECOND).await;
        self.agree("P4", true);

        for place in 0..plan.replicas {
            let stands = self.place(place);
            let Some(journal) = stands.journal else { continue };
            self.note_stats(&journal);
            let fleet = self.clone();
            let process = stands.process.clone();
            stands.process.spawn(
                "closes",
                Box::pin(async move {
                    let deadline = Some(process.after(10 * SECOND));
                    match journal.close(deadline).await {
                        Ok(closed) if closed.unknown.is_empty() => fleet.inner().counts.add("fleet: closed at the end"),
                        Ok(closed) => fleet.violate("P3", format!("an idle replica closes with open outcomes: {:?}", closed.unknown)),
                        Err(error) => fleet.violate("close", format!("an idle replica does not close: {error}")),
                    }
                }),
            );
        }
        outside.pause(11 * SECOND).await;
        self.inner().is_done = true;
    }

    /// Every replica is there and holds the same state of each namespace.
    fn agree(&self, promise: &'static str, is_final: bool) {
        for name in &self.0.plan.namespaces {
            let mut first: Option<(ReplicaId, String)> = None;
            for place in 0..self.0.plan.replicas {
                let stands = self.place(place);
                let Some(handle) = stands.handles.get(name) else {
                    self.violate("P9", format!("replica {} has not opened namespace {name:?}", stands.replica));
                    continue;
                };
                let mut answer = Vec::new();
                if let Err(error) = handle.namespace.query(br#"{"op":"State"}"#, &mut answer) {
                    self.violate("queries", format!("replica {} at the end: {error}", stands.replica));
                    continue;
                }
                self.look(handle, None);
                let text = String::from_utf8_lossy(&answer).into_owned();
                if is_final {
                    let state = self.inner().history.state(&text);
                    self.record(What::Final { replica: stands.replica, namespace: name.clone(), state });
                } else if let Some((other, other_text)) = &first {
                    if *other_text != text {
                        self.violate(
                            promise,
                            format!("replicas {other} and {} differ in {name:?}: {other_text} and {text}", stands.replica),
                        );
                    }
                } else {
                    first = Some((stands.replica, text));
                }
            }
        }
    }

    /// Adds the engine's own figures to the counts, whatever they are called.
    fn note_stats(&self, journal: &Journal) {
        let stats = journal.stats();
        self.0.world.note(|| format!("stats: {stats}"));
        let mut inner = self.inner();
        add_figures(&mut inner.counts, "stats", &stats);
    }
}

fn add_figures(counts: &mut Counts, name: &str, value: &Value) {
    match value {
        Value::Object(members) => {
            for (member, value) in members {
                // The names of namespaces say nothing about the figures inside.
                let name = if name == "stats.namespaces" { "stats.namespaces.*".to_owned() } else { format!("{name}.{member}") };
                add_figures(counts, &name, value);
            }
        }
        Value::Array(items) => items.iter().for_each(|value| add_figures(counts, name, value)),
        Value::Number(number) => counts.add_many(name, number.as_u64().unwrap_or(0)),
        _ => {}
    }
}
