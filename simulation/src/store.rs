//! A simulated object store that keeps the contract of `opjournal::store` and uses every liberty that it leaves: several nodes
//! with clocks of their own, stamps taken at arrival or at completion, objects that become visible up to D after their stamp,
//! LIST pages that are moments of their own, and requests and answers that are lost, repeated or late.

mod character;
mod network;

pub use character::Character;

use super::dice::Dice;
use super::faults::{Counts, Fault, Faults, Injector, Weather};
use super::world::{MICROSECOND, Process, ProcessId, SECOND, Time, World};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use network::Fate;
use opjournal::store::{Condition, Deleted, ETag, Failure, Get, GetOptions, Kind, Listed, Object, Page, Put, Store};
use opjournal::time::Stamp;
use sha2::{Digest, Sha256};
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

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    List,
    ReadRollup,
    ReadSegment,
    WriteRollup,
    WriteSegment,
    Delete,
    Other,
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

#[derive(Clone)]
enum Request {
    Put { key: String, body: Bytes, condition: Condition },
    Get { key: String, options: GetOptions },
    List { prefix: String, after: Option<String> },
    Delete { keys: Vec<String> },
}

enum Answer {
    Put(Put),
    NotModified(Option<Stamp>),
    Found { etag: ETag, size: u64, date: Option<Stamp>, body: Bytes },
    List(Page),
    Delete(Deleted),
}

/// Where the sender of a request waits for its answer.
struct Reply {
    traffic: Traffic,
    sender: oneshot::Sender<Result<Answer, Failure>>,
}

impl Reply {
    fn send(self, answer: Result<Answer, Failure>) {
        // Whoever gave up does not wait any more.
        let _ = self.sender.send(answer);
    }
}

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
        let reply = Reply { traffic, sender };
        let (stream, passage) = {
            let mut inner = self.inner();
            let stream = inner.stream_of(process.name(), &request);
            inner.dice = Dice::new(self.0.seed ^ stream, "passage");
            (stream, inner.passage(&self.0.character, sent, process, &request))
        };
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

    /// A request reaches a node.
    fn arrive(&self, request: Request, stream: u64, process: ProcessId, sent: Time, reply: Option<Reply>, back: Time) {
        let world = self.0.world.clone();
        let now = world.now();
        let mut inner = self.inner();
        inner.dice = Dice::new(self.0.seed ^ stream, "arrival");
        let node = inner.dice.within(0..self.0.character.nodes as u64) as usize;
        if let Some(failure) = inner.refusal(now, node, &request) {
            let hangs = inner.dice.chance(0.5);
            if inner.weather == Weather::Outage && hangs {
                inner.hung.push(Box::new(reply));
                return;
            }
            drop(inner);
            self.answer(process, reply, now + back, Err(failure));
            return;
        }
        let character = &self.0.character;
        let work = inner.dice.around(character.latency / 2);
        match request {
            Request::Put { key, body, condition } => {
                let early = inner.dice.chance(character.stamped_at_arrival);
                let stamp = early.then(|| inner.stamp(character, node, now));
                let slow = inner.dice.chance(character.slow_commits);
                let mut end = now + work;
                if slow {
                    inner.counts.add("store: slow to become visible");
                    end += inner.dice.within(0..character.visibility);
                }
                if let Some(stamp) = stamp {
                    // No later than D after the stamp, by the clock that gave it, counted from the stamp's own text.
                    let age = inner.clock(character.skewed_stamps, node, now) - stamp;
                    end = end.min(now + character.visibility.saturating_sub(age.max(0) as Time));
                }
                drop(inner);
                let bucket = self.clone();
                world.at(end, move || {
                    let answer = bucket.commit((process, sent), node, &key, body, &condition, stamp);
                    bucket.answer(process, reply, bucket.0.world.now() + back, answer);
                });
            }
            Request::Get { key, options } => {
                drop(inner);
                let bucket = self.clone();
                world.at(now + work, move || {
                    let answer = bucket.inner().read(node, bucket.0.world.now(), &key, &options);
                    bucket.answer(process, reply, bucket.0.world.now() + back, answer);
                });
            }
            Request::List { prefix, after } => {
                // `Date` is read at any moment of the page, before or after the keys are.
                let early = inner.dice.chance(0.5).then(|| inner.date(node, now));
                drop(inner);
                let bucket = self.clone();
                world.at(now + work, move || {
                    let now = bucket.0.world.now();
                    let mut inner = bucket.inner();
                    let mut page = inner.page(&bucket.0.character, &prefix, after.as_deref());
                    let leaves = now + inner.dice.around(bucket.0.character.latency / 4);
                    page.date = Some(early.unwrap_or_else(|| inner.date(node, leaves)));
                    drop(inner);
                    bucket.answer(process, reply, leaves + back, Ok(Answer::List(page)));
                });
            }
            Request::Delete { keys } => self.arrive_delete(inner, keys, process, sent, node, reply, back),
        }
    }

    /// Each key goes at a moment of its own.
    #[expect(clippy::too_many_arguments, reason = "the parts of one request")]
    fn arrive_delete(
        &self,
        mut inner: MutexGuard<'_, Inner>,
        keys: Vec<String>,
        process: ProcessId,
        sent: Time,
        node: usize,
        reply: Option<Reply>,
        back: Time,
    ) {
        let now = self.0.world.now();
        let rate = inner.faults.partial_delete;
        let partial = inner.dice.chance(rate)
            && keys.len() > 1
            && inner.injector.strikes(Fault::PartialDelete, now, || format!("DELETE of {} keys", keys.len()));
        let mut end = now;
        let mut moments = Vec::new();
        for key in keys {
            let is_left = inner.dice.chance(0.5);
            let when = now + inner.dice.around(self.0.character.latency / 2);
            if partial && is_left {
                continue;
            }
            end = end.max(when);
            moments.push((key, when));
        }
        let date = inner.date(node, now);
        drop(inner);
        for (key, when) in moments {
            let bucket = self.clone();
            self.0.world.at(when, move || bucket.remove(process, sent, key));
        }
        let answer = if partial {
            Err(Failure { date: Some(date), ..Failure::new(Kind::Unavailable, "some keys could not be deleted") })
        } else {
            Ok(Answer::Delete(Deleted { date: Some(date) }))
        };
        self.answer(process, reply, end + back, answer);
    }

    /// Checks the condition and makes the object visible, in one moment.
    fn commit(
        &self,
        (by, sent): (ProcessId, Time),
        node: usize,
        key: &str,
        body: Bytes,
        condition: &Condition,
        stamp: Option<i128>,
    ) -> Result<Answer, Failure> {
        let now = self.0.world.now();
        let mut inner = self.inner();
        let inner = &mut *inner;
        let date = Some(inner.date(node, now));
        let present = inner.objects.get(key).map(|stored| &stored.etag);
        let failure = match (condition, present) {
            (Condition::Always, _) | (Condition::Absent, None) => None,
            (Condition::Matches(wanted), Some(present)) if wanted == present => None,
            (Condition::Matches(_), None) => Some(Failure { date, ..Failure::new(Kind::NotFound, "no such key") }),
            _ => Some(Failure { date, ..Failure::new(Kind::ConditionFailed, "the condition does not hold") }),
        };
        if let Some(failure) = failure {
            inner.counts.add("store: condition refused");
            return Err(failure);
        }
        inner.puts += 1;
        let mut hash = Sha256::new_with_prefix(&body);
        if !self.0.character.tags_of_content {
            hash.update(inner.puts.to_le_bytes());
        }
        let etag = ETag(format!("\"{}\"", hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect::<String>()));
        let stamp = stamp.unwrap_or_else(|| inner.stamp(&self.0.character, node, now));
        let stored = Stored { body: body.clone(), etag: etag.clone(), stamp };
        if inner.objects.insert(key.to_owned(), stored).is_none() {
            inner.count_segment(key, true);
        }
        let kind = ChangeKind::Put { body, stamp, condition: condition.clone() };
        inner.history.push(Change { at: now, key: key.to_owned(), by, sent, kind });
        self.0.world.mix(now ^ stamp as u64);
        self.note(|| format!("store: {key} is visible, stamp {}", Stamp::from_nanos(stamp)));
        Ok(Answer::Put(Put { etag: Some(etag), date }))
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

    fn remove(&self, by: ProcessId, sent: Time, key: String) {
        let mut inner = self.inner();
        if inner.objects.remove(&key).is_some() {
            inner.count_segment(&key, false);
            let at = self.0.world.now();
            self.0.world.mix(at);
            self.note(|| format!("store: {key} is gone"));
            inner.history.push(Change { at, key, by, sent, kind: ChangeKind::Deleted });
        }
    }

    /// Delivers an answer, where somebody waits for one.
    fn answer(&self, process: ProcessId, reply: Option<Reply>, when: Time, answer: Result<Answer, Failure>) {
        let Some(reply) = reply else { return };
        let bucket = self.clone();
        self.0.world.at(when, move || {
            let interference = bucket.inner().interference.clone();
            if let Some(interference) = interference {
                interference(process, reply.traffic, Step::Answered);
            }
            reply.send(answer);
        });
    }

    /// The chunks in which a body arrives.
    fn body(&self, body: Bytes) -> futures_util::stream::BoxStream<'static, Result<Bytes, Failure>> {
        let mut inner = self.inner();
        let rate = inner.faults.broken_body;
        let broken = inner.dice.chance(rate);
        let stalls = inner.dice.chance(0.3);
        let cut = inner.dice.within(0..body.len() as u64 + 1) as usize;
        let pause = inner.dice.around(self.0.character.latency / 4);
        let fault = if stalls { Fault::BodyStalls } else { Fault::BodyTruncated };
        let broken = broken && inner.injector.strikes(fault, self.0.world.now(), || format!("a body of {} bytes", body.len()));
        drop(inner);
        let (head, tail) = (body.slice(..cut), body.slice(cut..));
        let world = self.0.world.clone();
        let rest = async move {
            world.sleep_until(world.now() + pause).await;
            match (broken, stalls) {
                (false, _) => Ok(tail),
                (true, false) => Err(Failure::new(Kind::Unavailable, "the connection broke inside the body")),
                (true, true) => std::future::pending().await,
            }
        };
        futures_util::stream::iter([Ok(head)]).chain(futures_util::stream::once(rest)).boxed()
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

    fn clock(&self, skewed: bool, node: usize, now: Time) -> i128 {
        EPOCH + i128::from(now) + if skewed { self.nodes[node].offset } else { 0 }
    }

    fn count_segment(&mut self, key: &str, comes: bool) {
        let Some((prefix, _)) = key.rsplit_once('/').filter(|(_, name)| name.starts_with("segment-")) else { return };
        let (now, most) = self.segments.entry(format!("{prefix}/")).or_default();
        *now = if comes { *now + 1 } else { now.saturating_sub(1) };
        *most = (*most).max(*now);
    }

    fn date(&self, node: usize, now: Time) -> Stamp {
        Stamp::from_nanos(whole(self.clock(true, node, now), SECOND))
    }

    fn stamp(&self, character: &Character, node: usize, now: Time) -> i128 {
        whole(self.clock(character.skewed_stamps, node, now), character.granularity)
    }

    fn read(&mut self, node: usize, now: Time, key: &str, options: &GetOptions) -> Result<Answer, Failure> {
        let date = Some(self.date(node, now));
        let failure = |kind, message| Failure { date, ..Failure::new(kind, message) };
        let stored = self.objects.get(key).ok_or_else(|| failure(Kind::NotFound, "no such key"))?;
        if options.matches.as_ref().is_some_and(|wanted| *wanted != stored.etag) {
            return Err(failure(Kind::ConditionFailed, "another content"));
        }
        if options.unless.as_ref() == Some(&stored.etag) {
            return Ok(Answer::NotModified(date));
        }
        let size = stored.body.len() as u64;
        let body = match options.range {
            None => stored.body.clone(),
            Some((first, most)) if first < size => stored.body.slice(first as usize..first.saturating_add(most).min(size) as usize),
            Some(_) => return Err(failure(Kind::Refused, "416 Range Not Satisfiable")),
        };
        Ok(Answer::Found { etag: stored.etag.clone(), size, date, body })
    }

    fn page(&mut self, character: &Character, prefix: &str, after: Option<&str>) -> Page {
        let rest = self
            .objects
            .range(prefix.to_owned()..)
            .take_while(|(key, _)| key.starts_with(prefix))
            .filter(|(key, _)| after.is_none_or(|after| key.as_str() > after));
        let mut objects: Vec<Listed> = rest
            .take(character.page + 1)
            .map(|(key, stored)| Listed {
                key: key.clone(),
                etag: stored.etag.clone(),
                stamp: Stamp::from_nanos(stored.stamp),
                size: stored.body.len() as u64,
            })
            .collect();
        let more = objects.len() > character.page;
        objects.truncate(character.page);
        let names_next = more || (character.trailing_page && objects.len() == character.page);
        if after.is_some() {
            self.counts.add("store: LIST of several pages");
        }
        Page { next: objects.last().filter(|_| names_next).map(|last| last.key.clone()), objects, date: None }
    }
}

/// The bucket, seen from one process.
struct Client {
    bucket: Bucket,
    process: Arc<Process>,
}

impl Client {
    fn expect_key(&self, key: &str) {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
        if key.is_empty() || !key.bytes().all(allowed) {
            self.bucket.inner().breaches.push(format!("a key that the contract does not allow: {key:?}"));
        }
    }
}

#[async_trait]
impl Store for Client {
    async fn put(&self, key: &str, body: Bytes, condition: Condition) -> Result<Put, Failure> {
        self.expect_key(key);
        match self.bucket.send(&self.process, Request::Put { key: key.to_owned(), body, condition }).await? {
            Answer::Put(put) => Ok(put),
            _ => unreachable!("a PUT is answered as one"),
        }
    }

    async fn get(&self, key: &str, options: GetOptions) -> Result<Get, Failure> {
        self.expect_key(key);
        match self.bucket.send(&self.process, Request::Get { key: key.to_owned(), options }).await? {
            Answer::NotModified(date) => Ok(Get::NotModified { date }),
            Answer::Found { etag, size, date, body } => Ok(Get::Found(Object { etag, size, date, body: self.bucket.body(body) })),
            _ => unreachable!("a GET is answered as one"),
        }
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, Failure> {
        match self.bucket.send(&self.process, Request::List { prefix: prefix.to_owned(), after: after.map(str::to_owned) }).await? {
            Answer::List(page) => Ok(page),
            _ => unreachable!("a LIST is answered as one"),
        }
    }

    async fn delete(&self, keys: &[String]) -> Result<Deleted, Failure> {
        keys.iter().for_each(|key| self.expect_key(key));
        if keys.is_empty() || keys.len() > 1000 {
            self.bucket.inner().breaches.push(format!("a DELETE of {} keys", keys.len()));
        }
        match self.bucket.send(&self.process, Request::Delete { keys: keys.to_vec() }).await? {
            Answer::Delete(deleted) => Ok(deleted),
            _ => unreachable!("a DELETE is answered as one"),
        }
    }

    fn url(&self) -> &str {
        "simulated:bucket"
    }

    fn is_trusted(&self) -> bool {
        self.bucket.0.character.trusted
    }
}

impl Request {
    fn changes(&self) -> bool {
        matches!(self, Request::Put { .. } | Request::Delete { .. })
    }

    fn traffic(&self) -> Traffic {
        let is_rollup = |key: &str| key.ends_with("/rollup.json");
        let is_segment = |key: &str| key.contains("/segment-");
        match self {
            Request::List { .. } => Traffic::List,
            Request::Delete { .. } => Traffic::Delete,
            Request::Get { key, .. } if is_rollup(key) => Traffic::ReadRollup,
            Request::Get { key, .. } if is_segment(key) => Traffic::ReadSegment,
            Request::Put { key, .. } if is_rollup(key) => Traffic::WriteRollup,
            Request::Put { key, .. } if is_segment(key) => Traffic::WriteSegment,
            Request::Get { .. } | Request::Put { .. } => Traffic::Other,
        }
    }

    fn describe(&self) -> String {
        match self {
            Request::Put { key, body, condition } => format!("PUT {key} ({} bytes, {condition:?})", body.len()),
            Request::Get { key, options } => format!("GET {key}{}", if options.range.is_some() { " (range)" } else { "" }),
            Request::List { prefix, after } => {
                format!("LIST {prefix}{}", after.as_ref().map_or(String::new(), |after| format!(" after {after}")))
            }
            Request::Delete { keys } => format!("DELETE {}", keys.join(" ")),
        }
    }
}

impl Answer {
    fn describe(&self) -> String {
        match self {
            Answer::Put(put) => format!("done, {}", put.etag.as_ref().map_or("", |tag| tag.0.as_str())),
            Answer::NotModified(_) => "not modified".to_owned(),
            Answer::Found { etag, size, .. } => format!("{size} bytes, {}", etag.0),
            Answer::List(page) => {
                format!("{} keys, {}, Date {:?}", page.objects.len(), if page.next.is_some() { "more" } else { "the end" }, page.date)
            }
            Answer::Delete(_) => "done".to_owned(),
        }
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

fn whole(time: i128, granularity: Time) -> i128 {
    time - time.rem_euclid(i128::from(granularity))
}
