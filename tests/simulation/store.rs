//! A simulated object store that keeps the contract of `opjournal::store` and uses every liberty that it leaves: several nodes
//! with clocks of their own, stamps taken at arrival or at completion, objects that become visible up to D after their stamp,
//! LIST pages that are moments of their own, and requests and answers that are lost, repeated or late.

use super::dice::Dice;
use super::faults::{Counts, Faults, Weather};
use super::world::{MICROSECOND, MILLISECOND, Process, ProcessId, SECOND, Time, World};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use opjournal::store::{Condition, Deleted, ETag, Failure, Get, GetOptions, Kind, Listed, Object, Page, Put, Store};
use opjournal::time::Stamp;
use sha2::{Digest, Sha256};
use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::oneshot;

/// The moment of store time at which every world begins: 2026-03-01T00:00:00Z.
pub const EPOCH: i128 = 1_772_323_200 * SECOND as i128;

/// What kind of store it is; a seed draws it.
#[derive(Clone, Copy, Debug)]
pub struct Character {
    pub nodes: usize,
    /// S: how far apart the clocks of two nodes may be.
    pub skew: Time,
    /// Whether stamps come from those clocks as well, or only `Date` does.
    pub skewed_stamps: bool,
    /// D: the most that an object becomes visible after its stamp.
    pub visibility: Time,
    /// How many PUTs take long to become visible.
    pub slow_commits: f64,
    /// Stamps are whole multiples of this.
    pub granularity: Time,
    /// How many PUTs are stamped as they arrive; the others as they complete.
    pub stamped_at_arrival: f64,
    /// Keys on one page of a LIST.
    pub page: usize,
    /// A full last page names a next one, which is empty.
    pub trailing_page: bool,
    /// A tag names a content (as S3's do), or a PUT.
    pub tags_of_content: bool,
    /// The mean time that a request takes.
    pub latency: Time,
    /// `Store::is_trusted`.
    pub trusted: bool,
    /// The longest that a late or repeated request stays on its way.
    pub lateness: Time,
}

/// One change of the bucket, in the order of the changes.
#[derive(Clone, Debug)]
pub struct Change {
    pub at: Time,
    pub key: String,
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
    /// The answer is there and not yet seen.
    Answered,
}

/// Told of every step of every request; may freeze or crash the process.
pub type Interference = Arc<dyn Fn(ProcessId, Step) + Send + Sync>;

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
    dice: Dice,
    nodes: Vec<Node>,
    faults: Faults,
    weather: Weather,
    cut_off: BTreeSet<ProcessId>,
    history: Vec<Change>,
    counts: Counts,
    breaches: Vec<String>,
    puts: u64,
    /// When the last request that is on its way arrives.
    last_arrival: Time,
    /// For each process, the sending of the latest LIST that it has an answer to.
    listed: BTreeMap<ProcessId, Time>,
    /// Ends of connections on which nothing will ever come.
    hung: Vec<Box<dyn Any + Send>>,
    interference: Option<Interference>,
}

struct Shared {
    world: World,
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

type Reply = oneshot::Sender<Result<Answer, Failure>>;

/// What becomes of one request.
struct Passage {
    /// When it arrives, and again, and again.
    arrivals: Vec<Time>,
    fate: Fate,
    /// How long the answer travels.
    back: Time,
}

enum Fate {
    /// The first arrival is answered.
    Answered,
    /// Done or not, the sender sees this failure.
    Fails(Failure),
    /// Nothing ever comes.
    Hangs,
}

impl Bucket {
    pub fn new(world: &World, seed: u64, character: Character) -> Bucket {
        let mut dice = Dice::new(seed, "store");
        let nodes = (0..character.nodes).map(|_| Node { offset: offset(&mut dice, character.skew) }).collect();
        Bucket(Arc::new(Shared {
            world: world.clone(),
            character,
            inner: Mutex::new(Inner {
                objects: BTreeMap::new(),
                dice,
                nodes,
                faults: Faults::default(),
                weather: Weather::Fair,
                cut_off: BTreeSet::new(),
                history: Vec::new(),
                counts: Counts::default(),
                breaches: Vec::new(),
                puts: 0,
                last_arrival: 0,
                listed: BTreeMap::new(),
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

    pub fn set_weather(&self, weather: Weather) {
        self.note(|| format!("store: {weather:?}"));
        let mut inner = self.inner();
        inner.weather = weather;
        inner.counts.add(match weather {
            Weather::Fair => "weather: fair again",
            Weather::SlowDown => "fault: slow-down storm",
            Weather::Outage => "fault: outage",
        });
    }

    /// Cuts one process off from the store, or joins it again.
    pub fn cut_off(&self, process: ProcessId, off: bool) {
        self.note(|| format!("store: {} {}", self.0.world.name(process), if off { "is cut off" } else { "is joined again" }));
        let mut inner = self.inner();
        if off {
            inner.cut_off.insert(process);
            inner.counts.add("fault: process cut off");
        } else {
            inner.cut_off.remove(&process);
        }
    }

    pub fn set_interference(&self, interference: Option<Interference>) {
        self.inner().interference = interference;
    }

    /// Sets the clocks of the nodes anew, within S.
    pub fn set_clocks(&self) {
        let mut inner = self.inner();
        let inner = &mut *inner;
        for node in &mut inner.nodes {
            node.offset = offset(&mut inner.dice, self.0.character.skew);
        }
    }

    /// When the last request that is on its way now will have arrived.
    pub fn last_arrival(&self) -> Time {
        self.inner().last_arrival
    }

    pub fn history(&self) -> Vec<Change> {
        self.inner().history.clone()
    }

    pub fn counts(&self) -> Counts {
        self.inner().counts.clone()
    }

    /// Calls that the contract of `Store` does not allow.
    pub fn breaches(&self) -> Vec<String> {
        self.inner().breaches.clone()
    }

    /// When the latest LIST that `process` has an answer to was sent.
    pub fn listed(&self, process: ProcessId) -> Option<Time> {
        self.inner().listed.get(&process).copied()
    }

    fn note(&self, line: impl FnOnce() -> String) {
        self.0.world.note(line);
    }

    /// Sends one request, once.
    async fn send(&self, process: &Process, request: Request) -> Result<Answer, Failure> {
        let (world, id) = (&self.0.world, process.id());
        let interference = self.inner().interference.clone();
        if let Some(interference) = &interference {
            interference(id, Step::Sending);
        }
        // A process that was frozen or ended just now must not get to send.
        world.sleep_until(world.now() + MICROSECOND).await;
        let sent = world.now();
        let (reply, wait) = oneshot::channel();
        let passage = self.inner().passage(&self.0.character, sent, id, &request);
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
        let listing = matches!(&request, Request::List { after: None, .. });
        let mut reply = match passage.fate {
            Fate::Answered => Some(reply),
            Fate::Fails(failure) => {
                world.at(sent + passage.back, move || drop(reply.send(Err(failure))));
                None
            }
            Fate::Hangs => {
                self.inner().hung.push(Box::new(reply));
                None
            }
        };
        for arrival in passage.arrivals {
            let (bucket, request, reply, back) = (self.clone(), request.clone(), reply.take(), passage.back);
            world.at(arrival, move || bucket.arrive(request, id, sent, reply, back));
        }
        let answer = wait.await.unwrap_or_else(|_| Err(Failure::new(Kind::Unavailable, "the connection was closed")));
        self.note(|| {
            let text = match &answer {
                Ok(answer) => answer.describe(),
                Err(failure) => format!("{:?} {}", failure.kind, failure.message),
            };
            format!("{} <- {}: {text}", process.name(), request.describe())
        });
        if listing && answer.is_ok() {
            let mut inner = self.inner();
            let latest = inner.listed.entry(id).or_insert(sent);
            *latest = sent.max(*latest);
        }
        answer
    }

    /// A request reaches a node.
    fn arrive(&self, request: Request, process: ProcessId, sent: Time, reply: Option<Reply>, back: Time) {
        let world = self.0.world.clone();
        let now = world.now();
        let mut inner = self.inner();
        let node = inner.dice.within(0..self.0.character.nodes as u64) as usize;
        if let Some(failure) = inner.refusal(now, node, &request) {
            if inner.weather == Weather::Outage && inner.dice.chance(0.5) {
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
                    let answer = bucket.commit(sent, node, &key, body, &condition, stamp);
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
        let partial = inner.dice.chance(rate) && keys.len() > 1;
        let mut end = now;
        let mut moments = Vec::new();
        for key in keys {
            if partial && inner.dice.chance(0.5) {
                continue;
            }
            let when = now + inner.dice.around(self.0.character.latency / 2);
            end = end.max(when);
            moments.push((key, when));
        }
        let date = inner.date(node, now);
        if partial {
            inner.counts.add("fault: delete done in part");
        }
        drop(inner);
        for (key, when) in moments {
            let bucket = self.clone();
            self.0.world.at(when, move || bucket.remove(sent, key));
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
        sent: Time,
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
        inner.objects.insert(key.to_owned(), stored);
        let kind = ChangeKind::Put { body, stamp, condition: condition.clone() };
        inner.history.push(Change { at: now, key: key.to_owned(), sent, kind });
        self.0.world.mix(now ^ stamp as u64);
        self.note(|| format!("store: {key} is visible, stamp {}", Stamp::from_nanos(stamp)));
        Ok(Answer::Put(Put { etag: Some(etag), date }))
    }

    fn remove(&self, sent: Time, key: String) {
        let mut inner = self.inner();
        if inner.objects.remove(&key).is_some() {
            let at = self.0.world.now();
            self.0.world.mix(at);
            self.note(|| format!("store: {key} is gone"));
            inner.history.push(Change { at, key, sent, kind: ChangeKind::Deleted });
        }
    }

    /// Delivers an answer, where somebody waits for one.
    fn answer(&self, process: ProcessId, reply: Option<Reply>, when: Time, answer: Result<Answer, Failure>) {
        let Some(reply) = reply else { return };
        let bucket = self.clone();
        self.0.world.at(when, move || {
            let interference = bucket.inner().interference.clone();
            if let Some(interference) = interference {
                interference(process, Step::Answered);
            }
            let _ = reply.send(answer);
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
        if broken {
            inner.counts.add(if stalls { "fault: body stalls" } else { "fault: body truncated" });
        }
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
    /// What the network does with a request.
    fn passage(&mut self, character: &Character, now: Time, process: ProcessId, request: &Request) -> Passage {
        let dice = &mut self.dice;
        let there = dice.around(character.latency / 2).max(MICROSECOND);
        let mut back = dice.around(character.latency / 2).max(MICROSECOND);
        let changes = matches!(request, Request::Put { .. } | Request::Delete { .. });
        let hangs = dice.chance(0.5);
        let gives_up_after = dice.around(2 * SECOND);
        let lost = |message: &str| if hangs { Fate::Hangs } else { Fate::Fails(Failure::new(Kind::Unavailable, message)) };
        let faults = self.faults;
        if self.cut_off.contains(&process) {
            self.counts.add("fault: request without a network");
            return Passage { arrivals: Vec::new(), fate: lost("no route"), back: gives_up_after };
        }
        if dice.chance(faults.hung) {
            self.counts.add("fault: hung connection");
            return Passage { arrivals: Vec::new(), fate: Fate::Hangs, back };
        }
        if dice.chance(faults.lost_request) {
            self.counts.add("fault: request lost");
            return Passage { arrivals: Vec::new(), fate: lost("the connection broke"), back: gives_up_after };
        }
        // Evenly over orders of magnitude: what matters happens around a second, around F and past it.
        let late = |dice: &mut Dice| {
            let most = *dice.pick(&[character.lateness / 64, character.lateness / 16, character.lateness / 4, character.lateness]);
            dice.within(0..most.max(2))
        };
        if changes && dice.chance(faults.late_put) {
            self.counts.add("fault: request late");
            let arrival = now + there + late(dice);
            self.last_arrival = self.last_arrival.max(arrival);
            return Passage { arrivals: vec![arrival], fate: lost("the connection broke"), back: gives_up_after };
        }
        let mut arrivals = vec![now + there];
        if changes && dice.chance(faults.repeated) {
            self.counts.add("fault: request repeated");
            arrivals.push(now + there + late(dice));
        }
        if dice.chance(faults.slow_answer) {
            self.counts.add("fault: answer slow");
            back += late(dice).min(60 * SECOND);
        }
        self.last_arrival = arrivals.iter().copied().fold(self.last_arrival, Time::max);
        let fate = if dice.chance(faults.lost_answer) {
            self.counts.add("fault: answer lost");
            back = there + gives_up_after;
            lost("the connection broke before the answer")
        } else {
            Fate::Answered
        };
        Passage { arrivals, fate, back }
    }

    /// The answer of a node that does not do the request.
    fn refusal(&mut self, now: Time, node: usize, request: &Request) -> Option<Failure> {
        let date = Some(self.date(node, now));
        let conditional = matches!(request, Request::Put { condition: Condition::Absent | Condition::Matches(_), .. });
        let busy = match self.weather {
            Weather::Fair => false,
            Weather::SlowDown => self.dice.chance(0.8),
            Weather::Outage => true,
        };
        if busy {
            self.counts.add("fault: request in a storm or outage");
            let date = date.filter(|_| self.weather == Weather::SlowDown);
            return Some(Failure { date, ..Failure::new(Kind::Unavailable, "503 Slow Down") });
        }
        if self.dice.chance(self.faults.server_error) {
            self.counts.add("fault: server error");
            let date = date.filter(|_| self.dice.chance(0.5));
            return Some(Failure { date, ..Failure::new(Kind::Unavailable, "500 Internal Error") });
        }
        if conditional && self.dice.chance(self.faults.conflict) {
            self.counts.add("fault: conflict");
            return Some(Failure { date, ..Failure::new(Kind::Conflict, "409 Conditional Request Conflict") });
        }
        None
    }

    fn clock(&self, skewed: bool, node: usize, now: Time) -> i128 {
        EPOCH + i128::from(now) + if skewed { self.nodes[node].offset } else { 0 }
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

impl Character {
    /// A store without a peculiarity.
    pub fn plain() -> Character {
        Character {
            nodes: 1,
            skew: 0,
            skewed_stamps: false,
            visibility: 10 * SECOND,
            slow_commits: 0.0,
            granularity: MILLISECOND,
            stamped_at_arrival: 0.0,
            page: 1000,
            trailing_page: false,
            tags_of_content: true,
            latency: 20 * MILLISECOND,
            trusted: true,
            lateness: 180 * SECOND,
        }
    }

    pub fn draw(dice: &mut Dice, visibility: Time, skew: Time) -> Character {
        Character {
            nodes: dice.within(1..4) as usize,
            skew: *dice.pick(&[0, skew / 2, skew]),
            skewed_stamps: dice.chance(0.4),
            visibility,
            slow_commits: *dice.pick(&[0.0, 0.02, 0.1, 0.3]),
            granularity: *dice.pick(&[MILLISECOND, SECOND]),
            stamped_at_arrival: *dice.pick(&[0.0, 0.5, 1.0]),
            page: *dice.pick(&[2, 3, 5, 10, 1000]),
            trailing_page: dice.chance(0.3),
            tags_of_content: dice.chance(0.7),
            latency: *dice.pick(&[2 * MILLISECOND, 20 * MILLISECOND, 80 * MILLISECOND]),
            trusted: dice.chance(0.7),
            lateness: *dice.pick(&[20 * SECOND, 60 * SECOND, 240 * SECOND]),
        }
    }
}
