//! A replica of the existing implementation of the bucket format ("the peer"), as far as others can tell one: what it asks of the
//! store, and what it writes. Shares nothing with the engine.
//!
//! Where its description is silent, it does what an ordinary S3 client would: a tick LISTs first and reads the rollup then; the first
//! rollup is written with `If-None-Match: *`, a fold with `If-Match`; an attempt is given up after a third of the time that all of
//! them have; a 412 is another's success, whatever became of an earlier attempt; bodies are kept only from a tick that was good.

use super::model::Model;
use super::store::EPOCH;
use super::world::{MILLISECOND, Process, Time};
use bytes::Bytes;
use futures_util::TryStreamExt;
use futures_util::future::BoxFuture;
use opjournal::environment::Environment;
use opjournal::store::{Condition, ETag, Failure, Get, GetOptions, Kind, Put, Store};
use opjournal::time::Stamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How a peer is configured. Its constants shrink with F as those of the library do.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub interval: Time,
    /// How many aged segments it folds.
    pub threshold: usize,
    /// A segment is aged when the newest listed stamp is this far past its own.
    pub aged_after: Time,
    /// How long its client repeats a request that failed.
    pub patience: Time,
    /// How far its wall clock, which goes into keys, is ahead.
    pub clock_ahead: Time,
}

/// How often a request is sent at most.
const ATTEMPTS: usize = 10;
/// The longest pause before a fold, in which another may be faster.
const LONGEST_JITTER: Time = 500 * MILLISECOND;

/// Its stamp, and its name in the namespace: the canonical order.
type Place = (i128, String);

struct Rollup {
    etag: ETag,
    mark: Place,
    state: Model,
}

/// What a good tick did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    pub created: bool,
    pub folded: usize,
    /// A fold that another one was faster than, or that got no answer.
    pub lost: bool,
    pub deleted: usize,
    /// An empty segment was put, so that a full tail gets older.
    pub pushed: bool,
}

/// One namespace of a peer.
pub struct Peer {
    requests: Requests,
    settings: Settings,
    namespace: String,
    bodies: BTreeMap<String, Vec<Value>>,
    /// At how many ticks in a row enough segments were aged.
    was_due: u32,
    /// The newest stamp, and since when it is that.
    newest: Option<(i128, Time)>,
    /// The state of the last good tick, as canonical JSON.
    pub state: Option<String>,
    /// Is told how long each LIST took, before anything is done with what it showed.
    pub listed: Box<dyn Fn(Time) + Send + Sync>,
}

/// Writes the segments of one namespace of a peer.
pub struct Writer {
    requests: Requests,
    settings: Settings,
    namespace: String,
    last_key: u128,
}

/// Its client of the store.
#[derive(Clone)]
struct Requests {
    process: Arc<Process>,
    store: Arc<dyn Store>,
    patience: Time,
}

fn prefix(namespace: &str) -> String {
    if namespace.is_empty() { ".metadata/.root/".to_owned() } else { format!(".metadata/{namespace}/") }
}

impl Peer {
    pub fn new(process: Arc<Process>, store: Arc<dyn Store>, namespace: &str, settings: Settings) -> (Peer, Writer) {
        let requests = Requests { process, store, patience: settings.patience };
        let writer = Writer { requests: requests.clone(), settings, namespace: namespace.to_owned(), last_key: 0 };
        let peer = Peer {
            requests,
            settings,
            namespace: namespace.to_owned(),
            bodies: BTreeMap::new(),
            was_due: 0,
            newest: None,
            state: None,
            listed: Box::new(|_| ()),
        };
        (peer, writer)
    }

    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    pub fn interval(&self) -> Time {
        self.settings.interval
    }

    /// LIST, the rollup, the segments above its mark; then the deletes and the fold that are due. A failure ends it where it stands.
    pub async fn tick(&mut self, writer: &mut Writer) -> Result<Done, String> {
        let result = self.try_tick(writer).await;
        if result.is_err() {
            self.bodies.clear();
            self.was_due = 0;
        }
        result
    }

    async fn try_tick(&mut self, writer: &mut Writer) -> Result<Done, String> {
        let mut done = Done::default();
        let begun = self.requests.process.world().now();
        let listed = self.requests.list(&prefix(&self.namespace)).await?;
        (self.listed)(self.requests.process.world().now() - begun);
        let rollup = match self.read_rollup().await? {
            Some(rollup) => rollup,
            None => {
                done.created = self.create_rollup().await?;
                self.read_rollup().await?.ok_or("the rollup is gone")?
            }
        };
        let tail: Vec<Place> = listed.iter().filter(|place| **place > rollup.mark).cloned().collect();
        self.bodies.retain(|name, _| tail.iter().any(|(_, other)| other == name));
        let mut state = rollup.state.clone();
        for (_, name) in &tail {
            if !self.bodies.contains_key(name) {
                let ops = self.read_segment(name).await?;
                self.bodies.insert(name.clone(), ops);
            }
            apply(&mut state, &self.bodies[name]).map_err(|reason| format!("{name} cannot be applied: {reason}"))?;
        }
        self.state = Some(state.text());

        let newest = listed.last().map_or(0, |(stamp, _)| *stamp);
        let is_aged = |place: &&Place| newest - place.0 >= i128::from(self.settings.aged_after);
        let folded: Vec<String> =
            listed.iter().filter(|place| **place <= rollup.mark).filter(is_aged).map(|(_, name)| name.clone()).collect();
        if !folded.is_empty() {
            let prefix = prefix(&self.namespace);
            let keys: Vec<String> = folded.iter().take(1000).map(|name| format!("{prefix}{name}")).collect();
            self.requests.delete(&keys).await?;
            done.deleted = keys.len();
        }
        let due: Vec<Place> = tail.iter().take_while(is_aged).cloned().collect();
        self.was_due = if due.len() >= self.settings.threshold { self.was_due + 1 } else { 0 };
        if self.was_due >= 2 {
            self.was_due = 0;
            let jitter = self.requests.process.random() % LONGEST_JITTER;
            self.requests.process.pause(jitter).await;
            done.lost = !self.fold(rollup, &due).await?;
            done.folded = due.len();
        } else if tail.len() >= self.settings.threshold && due.len() < self.settings.threshold && self.stands_still(newest) {
            // A failure is as good as a success: it is the next tick that looks.
            done.pushed = writer.put(&[]).await.is_ok();
        }
        Ok(done)
    }

    /// Whether the newest stamp has been the newest for so long that what is below would be aged by a new one.
    fn stands_still(&mut self, newest: i128) -> bool {
        let now = self.requests.process.world().now();
        let since = self.newest.filter(|(stamp, _)| *stamp == newest).map_or(now, |(_, since)| since);
        self.newest = Some((newest, since));
        now - since >= self.settings.aged_after
    }

    async fn fold(&self, rollup: Rollup, due: &[Place]) -> Result<bool, String> {
        let mut state = rollup.state;
        for (_, name) in due {
            apply(&mut state, &self.bodies[name])?;
        }
        let mark = due.last().ok_or("nothing is due")?;
        self.requests.put_rollup(&self.namespace, mark, &state, Condition::Matches(rollup.etag)).await
    }

    /// The first rollup holds what the legacy object does, or nothing.
    async fn create_rollup(&self) -> Result<bool, String> {
        let legacy = match self.namespace.as_str() {
            "" => ".metadata/.json".to_owned(),
            name => format!(".metadata/{name}.json"),
        };
        let state = match self.requests.get(&legacy).await? {
            Some((_, body)) => read_state(&serde_json::from_slice(&body).map_err(|error| error.to_string())?)?,
            None => Model::default(),
        };
        let zero = (Stamp::ZERO.as_nanos(), String::new());
        self.requests.put_rollup(&self.namespace, &zero, &state, Condition::Absent).await
    }

    async fn read_rollup(&self) -> Result<Option<Rollup>, String> {
        let Some((etag, body)) = self.requests.get(&format!("{}rollup.json", prefix(&self.namespace))).await? else { return Ok(None) };
        let body: Value = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
        let stamp = body["mark"]["lm"].as_str().and_then(Stamp::parse).ok_or("a mark without a time")?;
        let key = body["mark"]["key"].as_str().ok_or("a mark without a key")?;
        Ok(Some(Rollup { etag, mark: (stamp.as_nanos(), key.to_owned()), state: read_state(&body["state"])? }))
    }

    async fn read_segment(&self, name: &str) -> Result<Vec<Value>, String> {
        let found = self.requests.get(&format!("{}{name}", prefix(&self.namespace))).await?;
        let (_, body) = found.ok_or_else(|| format!("{name} is gone"))?;
        let body: Value = serde_json::from_slice(&body).map_err(|error| format!("{name}: {error}"))?;
        match &body["ops"] {
            Value::Null => Ok(Vec::new()),
            Value::Array(ops) => Ok(ops.clone()),
            other => Err(format!("{name} holds {other} where ops are due")),
        }
    }
}

impl Writer {
    /// Puts a segment of these ops, and returns its name; or the name of one of which nobody can tell whether it was put.
    pub async fn put(&mut self, ops: &[Value]) -> Result<String, String> {
        let name = self.next_name();
        let body = Bytes::from(json!({ "ops": ops }).to_string());
        let key = format!("{}{name}", prefix(&self.namespace));
        match self.requests.put(&key, body, Condition::Always).await {
            Ok(_) => Ok(name),
            Err(_) => Err(name),
        }
    }

    /// A UUIDv7 by its own wall clock, greater than the one before.
    fn next_name(&mut self) -> String {
        let process = &self.requests.process;
        let millis = (EPOCH + i128::from(process.world().now() + self.settings.clock_ahead)) / i128::from(MILLISECOND);
        let (counter, random) = (u128::from(process.random() & 0xfff), u128::from(process.random() >> 2));
        let fields = 7 << 76 | counter << 64 | 2 << 62 | random;
        self.last_key = ((millis as u128) << 80 | fields).max(self.last_key + 1);
        format!("segment-{}.json", uuid::Uuid::from_u128(self.last_key))
    }
}

impl Requests {
    /// Sends a request until it is answered, up to ten times within the time that there is.
    async fn repeated<'a, T>(&self, send: impl Fn() -> BoxFuture<'a, Result<T, Failure>>) -> Result<T, Failure> {
        let environment: Arc<dyn Environment> = self.process.clone();
        let end = self.process.after(self.patience);
        let mut pause = 100 * MILLISECOND;
        let mut last = Failure::new(Kind::Unavailable, "nothing was sent");
        for _ in 0..ATTEMPTS {
            let limit = self.process.after(self.patience / 3).min(end);
            match opjournal::environment::until(&environment, Some(limit), send()).await {
                Ok(Err(failure)) if matches!(failure.kind, Kind::Unavailable | Kind::Conflict) => last = failure,
                Ok(result) => return result,
                Err(_) => last = Failure::new(Kind::Unavailable, "no answer in time"),
            }
            if self.process.now() >= end {
                break;
            }
            self.process.pause(pause).await;
            pause *= 2;
        }
        Err(last)
    }

    async fn put(&self, key: &str, body: Bytes, condition: Condition) -> Result<Put, Failure> {
        self.repeated(|| self.store.put(key, body.clone(), condition.clone())).await
    }

    /// `false`: the condition did not hold.
    async fn put_rollup(&self, namespace: &str, mark: &Place, state: &Model, condition: Condition) -> Result<bool, String> {
        let stamp = Stamp::from_nanos(mark.0);
        let body = format!("{{\"mark\":{{\"lm\":\"{stamp}\",\"key\":\"{}\"}},\"state\":{}}}", mark.1, state.text());
        match self.put(&format!("{}rollup.json", prefix(namespace)), body.into(), condition).await {
            Ok(_) => Ok(true),
            Err(failure) if matches!(failure.kind, Kind::ConditionFailed | Kind::NotFound) => Ok(false),
            Err(failure) => Err(failure.message),
        }
    }

    async fn get(&self, key: &str) -> Result<Option<(ETag, Bytes)>, String> {
        let read = || async {
            match self.store.get(key, GetOptions::default()).await {
                Ok(Get::Found(object)) => {
                    let body: Vec<Bytes> = object.body.try_collect().await?;
                    Ok(Some((object.etag, Bytes::from(body.concat()))))
                }
                Ok(Get::NotModified { .. }) => Err(Failure::new(Kind::Refused, "304 without a condition")),
                Err(failure) if failure.kind == Kind::NotFound => Ok(None),
                Err(failure) => Err(failure),
            }
        };
        self.repeated(|| Box::pin(read())).await.map_err(|failure| failure.message)
    }

    /// The segments of a namespace, in canonical order.
    async fn list(&self, prefix: &str) -> Result<Vec<Place>, String> {
        let mut places = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.repeated(|| self.store.list(prefix, after.as_deref())).await.map_err(|failure| failure.message)?;
            for object in page.objects {
                let name = object.key.strip_prefix(prefix).unwrap_or_default();
                if name.starts_with("segment-") && name.ends_with(".json") {
                    places.push((object.stamp.as_nanos(), name.to_owned()));
                }
            }
            after = page.next;
            if after.is_none() {
                places.sort();
                return Ok(places);
            }
        }
    }

    async fn delete(&self, keys: &[String]) -> Result<(), String> {
        self.repeated(|| self.store.delete(keys)).await.map(drop).map_err(|failure| failure.message)
    }
}

fn apply(state: &mut Model, ops: &[Value]) -> Result<(), String> {
    ops.iter().try_for_each(|op| state.apply(op))
}

fn read_state(text: &Value) -> Result<Model, String> {
    Model::read(text).ok_or_else(|| format!("{text} is no state"))
}
