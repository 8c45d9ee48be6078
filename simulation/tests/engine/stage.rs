//! A world with one bucket, replicas on it, and the words that scenarios are written in.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt;
use opjournal::config::{Compaction, Settings};
use opjournal::environment::Environment;
use opjournal::error::{Error, Status};
use opjournal::store::{Condition, Deleted, Failure, Get, GetOptions, Page, Put, Store};
use opjournal::time::Reading;
use opjournal::{Journal, Namespace};
use opjournal_simulation::store::{Bucket, Character};
use opjournal_simulation::world::{Process, SECOND, Scheduling, World};
use serde_json::Value;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

pub const NS: &str = "ns";
pub const ROLLUP: &str = ".metadata/ns/rollup.json";

/// A world with one bucket.
#[derive(Clone)]
pub struct Stage {
    pub world: World,
    pub bucket: Bucket,
}

/// A replica, alone in its process.
pub struct Replica {
    pub process: Arc<Process>,
    pub journal: Journal,
}

/// Plays a scenario to its end.
pub fn play<F: Future<Output = ()> + Send + 'static>(character: Character, scenario: impl FnOnce(Stage) -> F) {
    let world = World::new(7, Scheduling { shuffled: true, timer_slack: 0, compute: 0, drift_ppm: 0 });
    let stage = Stage { bucket: Bucket::new(&world, 7, character), world: world.clone() };
    let process = world.process("scenario");
    let (sender, mut receiver) = tokio::sync::oneshot::channel();
    let task = scenario(stage);
    process.spawn(
        "scenario",
        Box::pin(async move {
            task.await;
            sender.send(()).expect("the stage waits");
        }),
    );
    world.run_until(4 * 3600 * SECOND);
    let panics = world.panics();
    assert!(panics.is_empty(), "{panics:#?}");
    receiver.try_recv().expect("the scenario came to its end");
    world.end();
}

/// Small enough to fold soon.
pub fn settings() -> Settings {
    Settings {
        sync_interval: Duration::from_secs(2),
        compaction: Compaction { segment_threshold: 4, age_threshold: Duration::from_secs(6), max_age: None },
        ..Settings::default()
    }
}

impl Stage {
    pub async fn replica(&self, name: &str, settings: Settings) -> Replica {
        let process = self.world.process(name);
        let journal = Journal::open(settings, self.bucket.client(&process), process.clone(), None).await.expect("the bucket is there");
        Replica { process, journal }
    }

    /// A replica that reaches the bucket through `proxy`.
    pub async fn replica_behind(&self, proxy: impl Proxy, name: &str, settings: Settings) -> Replica {
        let process = self.world.process(name);
        self.replica_in(process.clone(), process, proxy, settings).await
    }

    /// The same, in an `environment` that is `process` but for what a scenario changes in it.
    pub async fn replica_in(
        &self,
        process: Arc<Process>,
        environment: Arc<dyn Environment>,
        proxy: impl Proxy,
        settings: Settings,
    ) -> Replica {
        let store = Arc::new(Behind { proxy, bucket: self.bucket.client(&process) });
        let journal = Journal::open(settings, store, environment, None).await.expect("the bucket is there");
        Replica { process, journal }
    }

    /// A replica that wrote six segments and folded them.
    pub async fn replica_that_folded(&self) -> (Replica, Namespace) {
        let replica = self.replica("a", settings()).await;
        let namespace = replica.open(NS).await;
        add_often(&namespace, 6).await;
        self.pause(30).await;
        assert_eq!(replica.figure("namespaces.ns.folds"), 1);
        (replica, namespace)
    }

    /// The bucket, past every replica.
    pub fn store(&self) -> Arc<dyn Store> {
        self.bucket.client(&self.world.process("person"))
    }

    pub async fn put(&self, key: &str, body: &str) {
        self.store().put(key, Bytes::from(body.to_owned()), Condition::Always).await.expect("stored");
    }

    pub async fn keys(&self) -> Vec<String> {
        self.store().list("", None).await.expect("listed").objects.into_iter().map(|object| object.key).collect()
    }

    /// The object's text as JSON.
    pub async fn read(&self, key: &str) -> Value {
        let Ok(Get::Found(object)) = self.store().get(key, GetOptions::default()).await else { panic!("{key} is there") };
        let text: Vec<Bytes> = object.body.try_collect().await.expect("read");
        serde_json::from_slice(&text.concat()).expect("JSON")
    }

    /// The segments of the namespace, each without its prefix.
    pub async fn segments(&self) -> Vec<String> {
        let prefix = format!(".metadata/{NS}/");
        let names = self.keys().await.into_iter().filter_map(|key| key.strip_prefix(&prefix).map(str::to_owned));
        names.filter(|name| name.starts_with("segment-")).collect()
    }

    pub async fn has(&self, key: &str) -> bool {
        matches!(self.store().get(key, GetOptions::default()).await, Ok(Get::Found(_)))
    }

    pub async fn pause(&self, seconds: u64) {
        self.world.sleep_until(self.world.now() + seconds * SECOND).await;
    }
}

/// What lies between a replica and the bucket. All passes through, but for what a scenario overrides.
#[async_trait]
pub trait Proxy: Send + Sync + 'static {
    async fn put(&self, bucket: &dyn Store, key: &str, body: Bytes, condition: Condition) -> Result<Put, Failure> {
        bucket.put(key, body, condition).await
    }

    async fn get(&self, bucket: &dyn Store, key: &str, options: GetOptions) -> Result<Get, Failure> {
        bucket.get(key, options).await
    }

    async fn list(&self, bucket: &dyn Store, prefix: &str, after: Option<&str>) -> Result<Page, Failure> {
        bucket.list(prefix, after).await
    }
}

struct Behind<P> {
    proxy: P,
    bucket: Arc<dyn Store>,
}

#[async_trait]
impl<P: Proxy> Store for Behind<P> {
    async fn put(&self, key: &str, body: Bytes, condition: Condition) -> Result<Put, Failure> {
        self.proxy.put(&*self.bucket, key, body, condition).await
    }

    async fn get(&self, key: &str, options: GetOptions) -> Result<Get, Failure> {
        self.proxy.get(&*self.bucket, key, options).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, Failure> {
        self.proxy.list(&*self.bucket, prefix, after).await
    }

    async fn delete(&self, keys: &[String]) -> Result<Deleted, Failure> {
        self.bucket.delete(keys).await
    }

    fn url(&self) -> &str {
        self.bucket.url()
    }

    fn is_trusted(&self) -> bool {
        true
    }
}

impl Replica {
    pub async fn open(&self, name: &str) -> Namespace {
        self.journal.namespace(name, None).await.expect("the namespace opens")
    }

    pub fn after(&self, seconds: u64) -> Option<Reading> {
        Some(self.process.now() + Duration::from_secs(seconds))
    }

    /// A figure of the replica's statistics: `requests.list`, `namespaces.ns.tail`.
    pub fn figure(&self, path: &str) -> u64 {
        let stats = self.journal.stats();
        let value = path.split('.').fold(&stats, |value, member| &value[member]);
        value.as_u64().unwrap_or_else(|| panic!("{path} is {value}"))
    }
}

pub async fn add(namespace: &Namespace, delta: i64) -> Result<String, Error> {
    let ops = format!(r#"{{"op":"IntAdd","Key":"n","Delta":{delta}}}"#);
    namespace.submit(ops.as_bytes(), None)?.outcome().await.map(|applied| applied.segment.to_string())
}

/// Adds one, in so many batches.
pub async fn add_often(namespace: &Namespace, times: usize) {
    for _ in 0..times {
        add(namespace, 1).await.expect("applied");
    }
}

/// An append of a value large enough that rollups are not read whole.
pub async fn append(namespace: &Namespace, number: usize) {
    let ops = format!(r#"{{"op":"ListAppend","Key":"l","Value":"{number:04}{}"}}"#, "x".repeat(2000));
    namespace.submit(ops.as_bytes(), None).expect("accepted").outcome().await.expect("applied");
}

pub fn ask(namespace: &Namespace, query: &str) -> Value {
    let mut out = Vec::new();
    namespace.query(query.as_bytes(), &mut out).expect("ready");
    serde_json::from_slice(&out).expect("JSON")
}

pub fn n(namespace: &Namespace) -> i64 {
    ask(namespace, r#"{"op":"IntGet","Key":"n"}"#).as_i64().expect("an integer")
}

pub fn digest(namespace: &Namespace) -> Value {
    ask(namespace, r#"{"op":"Digest"}"#)["sha256"].clone()
}

pub fn status<T>(result: Result<T, Error>) -> Status {
    result.err().expect("refused").status
}
