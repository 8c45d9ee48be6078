//! A store to misuse, a replica on it, and how a refusal is looked at.

use crate::reading;
use bytes::Bytes;
use opjournal::config::Config;
use opjournal::environment::{Environment, Process};
use opjournal::error::{Error, Outcome, Status};
use opjournal::journal::{Applied, Journal, Namespace};
use opjournal::store::{self, Condition, Listed, Store};
use opjournal::time::Reading;
use serde_json::{Value, json};
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub const NS: &str = "ns";
/// Stands in every configuration of a bucket, and in no message.
pub const SECRET: &str = "opjournal-secret";
/// What the calls of these tests get where they are to succeed, in milliseconds.
pub const AMPLE: u64 = 60_000;
/// A call that has not come back by then hangs, whatever its own deadline was.
const HANGS: Duration = Duration::from_secs(150);

/// Runs a test on a runtime of its own, and fails where it hangs.
pub fn play(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(HANGS, test).await.expect("comes to its end") });
    runtime.shutdown_background();
}

/// A store that nobody else uses.
pub struct Place {
    config: Value,
    /// The way to it past every journal.
    pub store: Arc<dyn Store>,
    directory: Option<tempfile::TempDir>,
}

impl Place {
    /// One of each kind.
    pub async fn all() -> Vec<Place> {
        Vec::from([
            Place::memory().await,
            Place::directory().await,
            #[cfg(feature = "s3")]
            Place::bucket().await,
        ])
    }

    pub async fn memory() -> Place {
        Place::of(json!({ "store": format!("memory:bad-input-{}", number()) }), None).await
    }

    pub async fn directory() -> Place {
        let directory = tempfile::tempdir().expect("a directory");
        let url = format!("file://{}", directory.path().display());
        Place::of(json!({ "store": url }), Some(directory)).await
    }

    /// A root of its own in the bucket of a MinIO.
    #[cfg(feature = "s3")]
    pub async fn bucket() -> Place {
        let server = tokio::task::spawn_blocking(|| crate::servers::Product::Minio.shared()).await.expect("a server");
        Place::on(server).await
    }

    #[cfg(feature = "s3")]
    pub async fn on(server: &crate::servers::Server) -> Place {
        let s3 = server.config();
        let config = json!({
            "store": format!("s3://{}/bad-input-{}", crate::servers::BUCKET, number()),
            "endpoint": s3.endpoint,
            "region": s3.region,
            "force_path_style": s3.force_path_style,
            "access_key_id": s3.access_key_id,
            "secret_access_key": s3.secret_access_key,
        });
        Place::of(config, None).await
    }

    async fn of(config: Value, directory: Option<tempfile::TempDir>) -> Place {
        let (parsed, _) = Config::parse(config.to_string().as_bytes()).expect("a configuration");
        Place { config, store: store::open(&parsed).await.expect("a store"), directory }
    }

    /// The directory behind a store of that kind.
    pub fn path(&self) -> &Path {
        self.directory.as_ref().expect("the store is a directory").path()
    }

    /// The configuration, with `more` members or others.
    pub fn config(&self, more: Value) -> Value {
        let mut config = self.config.clone();
        let members = config.as_object_mut().expect("an object");
        members.extend(more.as_object().expect("an object").clone());
        config
    }

    /// A journal that must open.
    pub async fn journal(&self, more: Value) -> Replica {
        open(&self.config(more), AMPLE).await.expect("the journal opens")
    }

    /// A replica that must open.
    pub async fn open(&self, more: Value) -> (Replica, Namespace) {
        let replica = self.journal(more).await;
        let namespace = replica.namespace(NS).await.expect("the namespace opens");
        (replica, namespace)
    }

    /// Why the namespace does not open.
    pub async fn refusal(&self, more: Value) -> Error {
        self.journal(more).await.namespace(NS).await.err().expect("the namespace is refused")
    }

    /// Writes an object as somebody else would.
    pub async fn put(&self, key: &str, body: impl AsRef<[u8]>) {
        let body = Bytes::copy_from_slice(body.as_ref());
        self.store.put(key, body, Condition::Always).await.expect("written");
    }

    pub async fn get(&self, key: &str) -> Vec<u8> {
        reading::get(&*self.store, key).await.expect("read").1
    }

    /// Every object with its tag and stamp: equal lists are equal stores, in which nothing was even rewritten.
    pub async fn contents(&self) -> Vec<Listed> {
        reading::list_all(&*self.store, "").await
    }

    pub async fn keys(&self) -> Vec<String> {
        self.contents().await.into_iter().map(|object| object.key).collect()
    }
}

fn number() -> u64 {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    COUNT.fetch_add(1, Ordering::Relaxed)
}

/// An open journal.
pub struct Replica {
    pub journal: Journal,
    environment: Arc<Process>,
}

/// Opens a journal as the C ABI does: from the text of a configuration, within `limit` milliseconds.
pub async fn open(config: &Value, limit: u64) -> Result<Replica, Error> {
    let (config, _) = Config::parse(config.to_string().as_bytes())?;
    let environment = Arc::new(Process::new(tokio::runtime::Handle::current()));
    let deadline = environment.now() + Duration::from_millis(limit);
    let store = store::open(&config).await?;
    let journal = Journal::open(config.settings, store, environment.clone(), Some(deadline)).await?;
    Ok(Replica { journal, environment })
}

impl Replica {
    pub fn after(&self, milliseconds: u64) -> Option<Reading> {
        Some(self.environment.now() + Duration::from_millis(milliseconds))
    }

    pub async fn namespace(&self, name: &str) -> Result<Namespace, Error> {
        self.journal.namespace(name, self.after(AMPLE)).await
    }

    /// A write with a deadline of `limit` milliseconds.
    pub async fn apply(&self, namespace: &Namespace, ops: impl AsRef<[u8]>, limit: u64) -> Result<Applied, Error> {
        namespace.submit(ops.as_ref(), self.after(limit))?.outcome().await
    }

    /// Adds one to the integer `n`.
    pub async fn add_one(&self, namespace: &Namespace) -> Result<Applied, Error> {
        self.apply(namespace, ADD_ONE, AMPLE).await
    }

    pub async fn flush(&self, namespace: &Namespace) -> Result<(), Error> {
        namespace.flush(self.after(AMPLE)).await
    }

    /// How many requests of a kind were sent.
    pub fn requests(&self, kind: &str) -> u64 {
        self.journal.stats()["requests"][kind].as_u64().expect("a figure")
    }
}

pub const ADD_ONE: &str = r#"{"op":"IntAdd","Key":"n","Delta":1}"#;

pub fn ask(namespace: &Namespace, query: &str) -> Value {
    let mut out = Vec::new();
    namespace.query(query.as_bytes(), &mut out).expect("an answer");
    serde_json::from_slice(&out).expect("JSON")
}

pub fn n(namespace: &Namespace) -> i64 {
    ask(namespace, r#"{"op":"IntGet","Key":"n"}"#).as_i64().expect("an integer")
}

/// Looks at a refusal after which certainly nothing was written: its status, what its message must name, and that it says
/// the same to programs and keeps secrets.
pub fn told(error: &Error, status: Status, named: &[&str]) {
    assert_eq!(error.status, status, "{error}");
    assert_eq!(error.outcome, Outcome::None, "{error}");
    for name in named {
        assert!(error.message.contains(name), "{error} does not name {name:?}");
    }
    let json = error.to_json();
    assert_eq!((&json["code"], &json["outcome"]), (&json!(status.name()), &json!("none")));
    assert!(!json.to_string().contains(SECRET), "{error}");
}

/// A member of the error's JSON.
pub fn detail<'a>(error: &'a Error, name: &str) -> &'a Value {
    error.details.get(name).unwrap_or(&Value::Null)
}
