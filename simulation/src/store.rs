//! A simulated object store that keeps the contract of `opjournal::store` and uses every liberty that it leaves: several nodes
//! with clocks of their own, stamps taken at arrival or at completion, objects that become visible up to D after their stamp,
//! LIST pages that are moments of their own, and requests and answers that are lost, repeated or late.

mod character;
mod client;
mod network;
mod nodes;
mod requests;

pub use character::Character;
pub use requests::Traffic;

use super::dice::Dice;
use super::faults::{Counts, Fault, Faults, Injector, Weather};
use super::quiet::Requests;
use super::world::{MICROSECOND, Process, ProcessId, SECOND, Time, World};
use bytes::Bytes;
use client::Client;
use network::Fate;
use opjournal::store::{Condition, ETag, Failure, Kind, Store};
use requests::{Answer, Reply, Request};
use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::oneshot;

/// The moment of store time at which every world begins: 2026-03-01T00:00:00Z.
pub const EPOCH: i128 = 1_772_323_200 * SECOND as i128;

/// One change of the bucket, in the order of the changes.
#[derive(Clone, Debug)]
pub struct Change {
    pub at: Time,
    pub key: String,
    /// Who sent the request.
    pub by: ProcessId,
    /// When the request was sent.
    pub sent: Time,
    pub kind: ChangeKind,
}

#[derive(Clone, Debug)]
pub enum ChangeKind {
    Put { body: Bytes, stamp: i128, condition: Condition },
    Deleted,
}

/// Where in a request a process stands when somebody may freeze or end it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// About to send: everything that goes into the request is decided.
    Sending,
    /// The request has left and takes long: it arrives then.
    Delayed { until: Time },
    /// The answer is there and not yet seen.
    Answered,
}

/// Told of every step of every request; may freeze or crash the process.
pub type Interference = Arc<dyn Fn(ProcessId, Traffic, Step) + Send + Sync>;

struct Stored {
    body: Bytes,
    etag: ETag,
    stamp: i128,
}

#[derive(Clone, Copy)]
struct Node {
    offset: i128,
}

struct Inner {
    objects: BTreeMap<String, Stored>,
    /// The stream of the request that is being decided. Each request has one of its own, which follows from who sends it, what it is
    /// about, and how many such requests there were before: what happens to one shifts nothing of the others.
    dice: Dice,
    /// How many requests there were of each sender and kind.
    requests: BTreeMap<u64, u64>,
    clocks: Dice,
    nodes: Vec<Node>,
    faults: Faults,
    injector: Injector,
    weather: Weather,
    /// By the prefix of a namespace: how many segments lie there, and the most that ever did.
    segments: BTreeMap<String, (u64, u64)>,
    cut_off: BTreeSet<ProcessId>,
    /// Processes that have credentials to read only.
    read_only: BTreeSet<ProcessId>,
    history: Vec<Change>,
    counts: Counts,
    breaches: Vec<String>,
    puts: u64,
    /// When the last request that is on its way arrives.
    last_arrival: Time,
    /// For each process, the sending of the latest LIST that it has an answer to.
    listed: BTreeMap<ProcessId, Time>,
    /// What each process asked.
    asked: BTreeMap<ProcessId, Requests>,
    /// How often each process was given each segment's body.
    fetched: BTreeMap<(ProcessId, String), u32>,
    /// Ends of connections on which nothing will ever come.
    hung: Vec<Box<dyn Any + Send>>,
    interference: Option<Interference>,
}

struct Shared {
    world: World,
    seed: u64,
    character: Character,
    inner: Mutex<Inner>,
}

/// The bucket: one for the whole fleet. Cheap to clone.
#[derive(Clone)]
pub struct Bucket(Arc<Shared>);

impl Bucket {
    pub fn new(world: &World, seed: u64, character: Character) -> Bucket {
        let mut clocks = Dice::new(seed, "clocks of the store");
        let nodes = (0..character.nodes).map(|_| Node { offset: offset(&mut clocks, character.skew) }).collect();
        Bucket(Arc::new(Shared {
            world: world.clone(),
            seed,
            character,
            inner: Mutex::new(Inner {
                objects: BTreeMap::new(),
                dice: Dice::new(seed, "store"),
                requests: BTreeMap::new(),
                clocks,
                nodes,
                faults: Faults::default(),
                injector: Injector::default(),
                weather: Weather::Fair,
                segments: BTreeMap::new(),
                cut_off: BTreeSet::new(),
                read_only: BTreeSet::new(),
                history: Vec::new(),
                counts: Counts::default(),
                breaches: Vec::new(),
                puts: 0,
                last_arrival: 0,
                listed: BTreeMap::new(),
                asked: BTreeMap::new(),
                fetched: BTreeMap::new(),
                hung: Vec::new(),
                interference: None,
            }),
        }))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.inner.lock().expect("the store's own code does not panic")
    }

    /// The bucket as `process` sees it.
    pub fn client(&self, process: &Arc<Process>) -> Arc<dyn Store> {
        Arc::new(Client { bucket: self.clone(), process: process.clone() })
    }

    pub fn set_faults(&self, faults: Faults) {
        self.inner().faults = faults;
    }

    /// Whoever lets faults happen in this run, from now on.
    pub fn set_injector(&self, injector: Injector) {
        self.inner().injector = injector;
    }

    /// A fault was drawn: whether it happens. See [`Injector::strikes`].
    pub fn strikes(&self, fault: Fault, hit: impl FnOnce() -> String) -> bool {
        let injector = self.inner().injector.clone();
        injector.strikes(fault, self.0.world.now(), hit)
    }

    pub fn set_weather(&self, weather: Weather) {
        let happens = match weather {
            Weather::Fair => true,
            Weather::SlowDown => self.strikes(Fault::SlowDown, || "the store".to_owned()),
            Weather::Outage => self.strikes(Fault::Outage, || "the store".to_owned()),
        };
        if happens {
            self.note(|| format!("store: {weather:?}"));
            self.inner().weather = weather;
        }
    }

    /// Cuts one process off from the store, or joins it again.
    pub fn cut_off(&self, process: ProcessId, off: bool) {
        if off && !self.strikes(Fault::CutOff, || self.0.world.name(process)) {
            return;
        }
        self.note(|| format!("store: {} {}", self.0.world.name(process), if off { "is cut off" } else { "is joined again" }));
        let mut inner = self.inner();
        if off {
            inner.cut_off.insert(process);
        } else {
            inner.cut_off.remove(&process);
        }
    }

    /// Puts an object there at once, past the network: what `by` wrote from elsewhere.
    pub fn place(&self, by: ProcessId, key: &str, body: Bytes) {
        let placed = self.commit((by, self.0.world.now()), 0, key, body, &Condition::Absent, None);
        debug_assert!(placed.is_ok(), "{key} was there already");
    }

    /// Deletes an object at once, past the network.
    pub fn take_away(&self, by: ProcessId, key: &str) {
        self.remove(by, self.0.world.now(), key.to_owned());
    }

    /// A person's PUT: past the network and every condition.
    pub fn put_at_once(&self, by: ProcessId, key: &str, body: Bytes) {
        // Without a condition nothing can fail.
        let _ = self.commit((by, self.0.world.now()), 0, key, body, &Condition::Always, None);
    }

    /// A person's DELETE. `false`: there is no such object.
    pub fn remove_at_once(&self, by: ProcessId, key: &str) -> bool {
        let is_there = self.inner().objects.contains_key(key);
        self.remove(by, self.0.world.now(), key.to_owned());
        is_there
    }

    /// The objects below a prefix, as they are at this moment.
    pub fn objects(&self, prefix: &str) -> Vec<(String, Bytes)> {
        let inner = self.inner();
        let below = inner.objects.range(prefix.to_owned()..).take_while(|(key, _)| key.starts_with(prefix));
        below.map(|(key, stored)| (key.clone(), stored.body.clone())).collect()
    }

    /// What lies under a key now.
    pub fn holds(&self, key: &str) -> Option<Bytes> {
        self.inner().objects.get(key).map(|stored| stored.body.clone())
    }

    /// The most segments of a namespace that lay there at one time.
    pub fn most_segments(&self, namespace: &str) -> u64 {
        self.inner().segments.get(&prefix_of(namespace)).map_or(0, |(_, most)| *most)
    }

    /// From now on a write by `process` is a breach of what it was told.
    pub fn forbid_writes(&self, process: ProcessId) {
        self.inner().read_only.insert(process);
    }

    pub fn set_interference(&self, interference: Option<Interference>) {
        self.inner().interference = interference;
    }

    /// Sets the clocks of the nodes anew, within S.
    pub fn set_clocks(&self) {
        let mut inner = self.inner();
        let inner = &mut *inner;
        for node in &mut inner.nodes {
            node.offset = offset(&mut inner.clocks, self.0.character.skew);
        }
    }

    /// Sets the clocks of all nodes right.
    pub fn mend_clocks(&self) {
        self.inner().nodes.iter_mut().for_each(|node| node.offset = 0);
    }

    /// When the last request that is on its way now will have arrived.
    pub fn last_arrival(&self) -> Time {
        self.inner().last_arrival
    }

    pub fn history(&self) -> Vec<Change> {
        self.inner().history.clone()
    }

    pub fn counts(&self) -> Counts {
        let inner = self.inner();
        let mut counts = inner.counts.clone();
        inner.injector.count_in(&mut counts);
        counts
    }

    /// Calls that the contract of `Store` does not allow.
    pub fn breaches(&self) -> Vec<String> {
        self.inner().breaches.clone()
    }

    /// When the latest LIST that `process` has an answer to was sent.
    pub fn listed(&self, process: ProcessId) -> Option<Time> {
        self.inner().listed.get(&process).copied()
    }

    /// What a process asked so far, but for the test of the store.
    pub fn asked(&self, process: ProcessId) -> Requests {
        self.inner().asked.get(&process).copied().unwrap_or_default()
    }

    /// How many pages a LIST of a namespace has now.
    pub fn pages(&self, namespace: &str) -> u64 {
        let prefix = prefix_of(namespace);
        let objects = self.inner().objects.range(prefix.clone()..).take_while(|(key, _)| key.starts_with(&prefix)).count();
        let character = &self.0.character;
        let is_empty_last = character.trailing_page && objects > 0 && objects.is_multiple_of(character.page);
        (objects.div_ceil(character.page).max(1) + usize::from(is_empty_last)) as u64
    }

    /// The segments that a process was given more than once.
    pub fn fetched_again(&self) -> Vec<(ProcessId, String)> {
        self.inner().fetched.iter().filter(|(_, times)| **times > 1).map(|(fetch, _)| fetch.clone()).collect()
    }

    /// The process begins anew with a namespace, and has no body of it.
    pub fn forget_fetched(&self, process: ProcessId) {
        self.inner().fetched.retain(|(by, _), _| *by != process);
    }

    fn note(&self, line: impl FnOnce() -> String) {
        self.0.world.note(line);
    }

    /// Sends one request, once.
    async fn send(&self, process: &Process, request: Request) -> Result<Answer, Failure> {
        let (world, id) = (&self.0.world, process.id());
        if request.changes() && self.inner().read_only.contains(&id) {
            self.inner().breaches.push(format!("{}, which may only read, sends {}", process.name(), request.describe()));
        }
        let (interference, traffic) = (self.inner().interference.clone(), request.traffic());
        if let Some(interference) = &interference {
            interference(id, traffic, Step::Sending);
        }
        // A process that was frozen or ended just now must not get to send.
        world.sleep_until(world.now() + MICROSECOND).await;
        let sent = world.now();
        let (sender, wait) = oneshot::channel();
        let (stream, passage, is_dateless) = {
            let mut inner = self.inner();
            let asked = inner.asked.entry(id).or_default();
            match &request {
                // A store may be tested at any time, by who wants to write to it first.
                request if request.is_test() => asked.tests += 1,
                Request::List { .. } => asked.lists += 1,
                Request::Get { .. } => asked.gets += 1,
                Request::Put { .. } | Request::Delete { .. } => asked.writes += 1,
            }
            let stream = inner.stream_of(process.name(), &request);
            inner.dice = Dice::new(self.0.seed ^ stream, "passage");
            let passage = inner.passage(&self.0.character, sent, process, &request);
            let rate = inner.faults.no_date;
            let is_dateless = inner.dice.chance(rate) && !request.is_test();
            let hit = || format!("{}: {}", process.name(), request.describe());
            let is_answered = matches!(passage.fate, Fate::Answered);
            (stream, passage, is_dateless && is_answered && inner.injector.strikes(Fault::NoDate, sent, hit))
        };
        let reply = Reply { traffic, is_dateless, sender };
        self.note(|| {
            let fate = match &passage.fate {
                Fate::Answered => "",
                Fate::Fails(_) => ", answer lost",
                Fate::Hangs => ", hangs",
            };
            let arrivals: Vec<String> = passage.arrivals.iter().map(|when| clock(*when)).collect();
            format!(
                "{} -> {}{fate}, arrives {}",
                process.name(),
                request.describe(),
                if arrivals.is_empty() { "never".to_owned() } else { arrivals.join(" and ") }
            )
        });
        if let (Some(interference), Fate::Answered, Some(first)) = (&interference, &passage.fate, passage.arrivals.first())
            && *first > sent + SECOND
        {
            interference(id, traffic, Step::Delayed { until: *first });
        }
        let listing = matches!(&request, Request::List { after: None, .. });
        let mut reply = match passage.fate {
            Fate::Answered => Some(reply),
            Fate::Fails(failure) => {
                world.at(sent + passage.back, move || reply.send(Err(failure)));
                None
            }
            Fate::Hangs => {
                self.inner().hung.push(Box::new(reply));
                None
            }
        };
        for (copy, arrival) in passage.arrivals.into_iter().enumerate() {
            let stream = stream ^ copy as u64;
            let (bucket, request, reply, back) = (self.clone(), request.clone(), reply.take(), passage.back);
            world.at(arrival, move || bucket.arrive(request, stream, id, sent, reply, back));
        }
        let answer = wait.await.unwrap_or_else(|_| Err(Failure::new(Kind::Unavailable, "the connection was closed")));
        self.note(|| {
            let text = match &answer {
                Ok(answer) => answer.describe(),
                Err(failure) => format!("{:?} {}", failure.kind, failure.message),
            };
            format!("{} <- {}: {text}", process.name(), request.describe())
        });
        if let (Request::Get { key, .. }, Traffic::ReadSegment, Ok(_)) = (&request, traffic, &answer) {
            *self.inner().fetched.entry((id, key.clone())).or_default() += 1;
        }
        if listing && answer.is_ok() {
            let mut inner = self.inner();
            let latest = inner.listed.entry(id).or_insert(sent);
            *latest = sent.max(*latest);
        }
        answer
    }
}

impl Inner {
    /// Names the stream of a request that is about to be sent.
    fn stream_of(&mut self, sender: &str, request: &Request) -> u64 {
        let (method, key) = match request {
            Request::Put { key, .. } => ("PUT", key.as_str()),
            Request::Get { key, .. } => ("GET", key.as_str()),
            Request::List { prefix, .. } => ("LIST", prefix.as_str()),
            Request::Delete { keys } => ("DELETE", keys.first().map_or("", String::as_str)),
        };
        let rollup = if key.ends_with("rollup.json") { "rollup" } else { "" };
        let directory = &key[..key.rfind('/').unwrap_or(0)];
        // FNV-1a, which is the same on every machine and for ever.
        let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let texts = [sender, method, directory, rollup];
        let kind = texts.iter().flat_map(|text| text.bytes().chain([0xff])).fold(0xcbf2_9ce4_8422_2325, mix);
        let number = self.requests.entry(kind).or_default();
        *number += 1;
        // The lowest bit tells the copies of a request apart.
        kind.rotate_left(32).wrapping_add(*number).wrapping_mul(0x9e37_79b9_7f4a_7c15) & !1
    }
}

/// Where the objects of a namespace lie.
pub fn prefix_of(namespace: &str) -> String {
    if namespace.is_empty() { ".metadata/.root/".to_owned() } else { format!(".metadata/{namespace}/") }
}

/// Seconds since the world began, for the trace.
pub fn clock(when: Time) -> String {
    format!("{}.{:06}", when / SECOND, when % SECOND / MICROSECOND)
}

/// Within half of the skew of true time, so that no two nodes are further apart than that.
fn offset(dice: &mut Dice, skew: Time) -> i128 {
    i128::from(dice.within(0..skew + 1)) - i128::from(skew / 2)
}
