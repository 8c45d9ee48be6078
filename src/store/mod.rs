//! Where objects are kept: one narrow trait, its contract in words, and three stores that keep it.

use crate::config::{Config, StoreUrl};
use crate::error::{Error, Status};
use crate::time::Stamp;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use std::fmt;
use std::sync::Arc;

pub mod local;
pub mod memory;
pub mod probe;
#[cfg(feature = "s3")]
pub mod s3;

/// How many objects a page of a LIST and one DELETE hold at most.
pub const PAGE: usize = 1000;

/// The store that `config` names. Asks nothing of the store itself: that it is there, and may be read, shows at the
/// first request. Must be called within a tokio runtime, which then carries the store's I/O.
pub async fn open(config: &Config) -> Result<Arc<dyn Store>, Error> {
    match &config.store {
        StoreUrl::Memory { name } => Ok(Arc::new(memory::MemoryStore::open(name))),
        StoreUrl::File { directory } => Ok(Arc::new(local::LocalStore::open(directory, tokio::runtime::Handle::current()))),
        #[cfg(feature = "s3")]
        StoreUrl::S3 { bucket, root } => Ok(Arc::new(s3::S3Store::open(&config.s3, bucket, root).await?)),
        #[cfg(not(feature = "s3"))]
        StoreUrl::S3 { .. } => {
            Err(Error::invalid("this build of the library has no S3 store (cargo feature `s3`)").with("member", "store"))
        }
    }
}

/// An object store, as the journal needs it.
///
/// # Contract
///
/// Every store passes `tests/store_conformance.rs`, which holds it to this text.
///
/// 1. **Linearizable for each request.** A request sees everything that ended before it began. Each page of a LIST is a
///    request of its own; a LIST of several pages is no single moment.
/// 2. **Create-once and compare-and-swap are atomic**, against every other client of the store. A PUT whose condition
///    does not hold changes nothing and fails with [`Kind::ConditionFailed`].
/// 3. **All or nothing.** An object is never seen in part. A successful PUT is durable.
/// 4. **Stamps.** LIST shows each object's time of its last change (`LastModified`) and every answer, failures included
///    where the store sent one, carries the store's `Date`. Both come from the store's clocks. A stamp never changes
///    while the object stays.
/// 5. **Order.** A LIST shows keys in ascending order of their bytes, each once.
/// 6. **One attempt.** A method sends one request and does not repeat it: retries belong to the engine, which knows
///    what they mean. PUT is one request for any size: an upload in parts would drop its condition.
/// 7. **Dropping the future gives the request up** and closes its connection; what was already sent may still take
///    effect.
/// 8. **Errors tell what is certain.** See [`Kind`]: `Unavailable` means that the request may have taken effect;
///    `ConditionFailed`, `NotFound`, `NoSuchStore`, `Denied` and `Refused` mean that *this* request did not.
///
/// Keys are relative to the store's root, use `/` as separator, and hold only ASCII letters, digits, `-`, `_`, `.` and
/// `/`. Methods are free of deadlines but for connection set-up: the engine bounds every wait.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Writes an object, whole.
    async fn put(&self, key: &str, body: Bytes, condition: Condition) -> Result<Put, Failure>;

    /// Reads an object, or the part of it that `options` asks for.
    async fn get(&self, key: &str, options: GetOptions) -> Result<Get, Failure>;

    /// One page (at most 1,000 objects) of the objects whose key starts with `prefix`, in order, after the key or token
    /// `after` that the page before gave as `next`.
    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, Failure>;

    /// Deletes at most 1,000 objects. One that is not there is no failure. Fails if any could not be deleted.
    async fn delete(&self, keys: &[String]) -> Result<Deleted, Failure>;

    /// Where this store is, as a URL without secrets: for messages.
    fn url(&self) -> &str;

    /// Whether the store proves by construction that it keeps the contract (this library wrote it), so that a journal
    /// need not test it with throw-away objects before its first write.
    fn is_trusted(&self) -> bool {
        false
    }

    /// The journal on this store has ended. What the store has in common with others is let go now: tasks that have yet to hear of the end keep
    /// the store itself for a moment.
    fn release(&self) {}
}

/// What must hold for a PUT to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    Always,
    /// No object has the key (`If-None-Match: *`).
    Absent,
    /// The object is still the one with this tag (`If-Match`).
    Matches(ETag),
}

/// Names one content of one object, as the store spells it (with the quotes, where the store sends quotes). Opaque.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ETag(pub String);

/// A PUT that was done.
#[derive(Clone, Debug)]
pub struct Put {
    /// The tag of the new content, where the store says it.
    pub etag: Option<ETag>,
    pub date: Option<Stamp>,
}

/// What to read of an object.
#[derive(Clone, Debug, Default)]
pub struct GetOptions {
    /// Answer [`Get::NotModified`] if the object still is this one (`If-None-Match`).
    pub unless: Option<ETag>,
    /// Fail with [`Kind::ConditionFailed`] unless the object is this one (`If-Match`).
    pub matches: Option<ETag>,
    /// Only these bytes: first, and how many at most.
    pub range: Option<(u64, u64)>,
}

/// The answer to a GET.
pub enum Get {
    /// The object still is the one that `unless` named.
    NotModified {
        date: Option<Stamp>,
    },
    Found(Object),
}

/// An object that is being read.
pub struct Object {
    pub etag: ETag,
    /// The size of the whole object in bytes, also where a range was asked for.
    pub size: u64,
    pub date: Option<Stamp>,
    /// The bytes, in chunks. Ends with an item `Err` unless every byte that was announced arrived.
    pub body: BoxStream<'static, Result<Bytes, Failure>>,
}

/// One page of a LIST.
#[derive(Clone, Debug)]
pub struct Page {
    pub objects: Vec<Listed>,
    /// Give this to [`Store::list`] for the next page; absent at the end.
    pub next: Option<String>,
    pub date: Option<Stamp>,
}

/// An object as a LIST shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Relative to the store's root.
    pub key: String,
    pub etag: ETag,
    pub stamp: Stamp,
    pub size: u64,
}

/// A DELETE that was done.
#[derive(Clone, Debug)]
pub struct Deleted {
    pub date: Option<Stamp>,
}

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// No such object (404).
    NotFound,
    /// No such bucket or directory.
    NoSuchStore,
    /// The condition of the request does not hold (412).
    ConditionFailed,
    /// Another conditional request on the same key was on its way (409): this one was not done, but may be tried again.
    Conflict,
    /// The credentials or rights do not suffice (401, 403).
    Denied,
    /// The store refused the request for another reason that a retry does not change (400, a full disk, ...).
    Refused,
    /// No answer, a broken one, or one that says "later" (5xx, 429): the request may or may not have taken effect.
    Unavailable,
}

/// A failed request.
#[derive(Clone, Debug)]
pub struct Failure {
    pub kind: Kind,
    /// For people: what was asked, what the store said. Holds no secrets.
    pub message: String,
    /// The `Date` of the answer, where there was one.
    pub date: Option<Stamp>,
}

impl Failure {
    pub fn new(kind: Kind, message: impl Into<String>) -> Failure {
        Failure { kind, message: message.into(), date: None }
    }

    /// The failure as a caller of the journal is told of it.
    pub fn into_error(self) -> Error {
        let status = match self.kind {
            Kind::NoSuchStore => Status::NoSuchStore,
            Kind::Denied => Status::Denied,
            Kind::NotFound | Kind::ConditionFailed | Kind::Conflict | Kind::Refused | Kind::Unavailable => Status::Unavailable,
        };
        let mut error = Error::new(status, self.message);
        // A full disk or a request that the store calls wrong stays so until someone acts.
        error.retryable = status == Status::Unavailable && self.kind != Kind::Refused;
        error
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}
