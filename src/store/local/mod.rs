//! The store behind `file:///DIR`: shared by the processes of a machine. `docs/stores.md` tells how its guarantees come
//! about.
//!
//! Every method does its work on a thread where it may block; this file is the way there and back.

mod directory;
mod publication;
mod walk;

pub use publication::Clock;

use super::{Condition, Deleted, ETag, Failure, Get, GetOptions, Kind, Object, Page, Put, Store};
use async_trait::async_trait;
use bytes::Bytes;
use directory::{Directory, Opened};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use std::fs::Metadata;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::runtime::Handle;

/// The directory below `DIR` that holds no objects: the lock, and what is not yet published.
const OWN: &str = ".opjournal";

/// Objects as files below a directory. Clones share their bookkeeping.
#[derive(Clone)]
pub struct LocalStore {
    directory: Arc<Directory>,
    runtime: Handle,
}

impl LocalStore {
    /// The store in `directory`, which must exist when the first request is made. Its I/O runs on the blocking threads of
    /// `runtime`.
    pub fn open(directory: &Path, runtime: Handle) -> LocalStore {
        LocalStore::with_clock(directory, runtime, Clock::of_this_machine())
    }

    /// The same with other clocks than the machine's: for tests.
    pub fn with_clock(directory: &Path, runtime: Handle, clock: Clock) -> LocalStore {
        LocalStore { directory: Arc::new(Directory::new(directory, clock)), runtime }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Directory, &Wanted) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let directory = self.directory.clone();
        let caller = Caller::default();
        let wanted = Wanted(caller.0.clone());
        on_blocking_thread(&self.runtime, move || work(&directory, &wanted)).await
    }
}

/// The side of a request that waits. Dropped with the future, it tells the other side to stop.
#[derive(Default)]
struct Caller(Arc<AtomicBool>);

impl Drop for Caller {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Whether anybody still waits for a request.
struct Wanted(Arc<AtomicBool>);

impl Wanted {
    /// Fails if the caller has given the request up. Asked just before a change is made.
    fn check(&self, what: &str) -> Result<(), Failure> {
        if self.0.load(Ordering::Acquire) {
            return Err(Failure::new(Kind::Unavailable, format!("{what}: given up by the caller")));
        }
        Ok(())
    }
}

async fn on_blocking_thread<T: Send + 'static>(
    runtime: &Handle,
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    match runtime.spawn_blocking(work).await {
        Ok(result) => result,
        Err(failure) => match failure.try_into_panic() {
            // A bug must not look like a failure of the disk.
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Failure::new(Kind::Unavailable, "the runtime is shutting down")),
        },
    }
}

/// Names one content: no two published files have the same stamp.
fn etag(metadata: &Metadata) -> ETag {
    ETag(format!("\"{:x}-{:x}\"", walk::stamp(metadata).as_nanos(), metadata.len()))
}

/// The rest of an opened object, a chunk at a time.
fn chunks(opened: Opened, runtime: Handle) -> BoxStream<'static, Result<Bytes, Failure>> {
    futures_util::stream::unfold(Some((opened, runtime)), |state| async {
        let (mut opened, runtime) = state?;
        if let Some(first) = opened.first.take() {
            return Some((Ok(first), Some((opened, runtime))));
        }
        if opened.is_at_end() {
            return None;
        }
        let read = on_blocking_thread(&runtime, move || opened.read_chunk().map(|chunk| (chunk, opened))).await;
        Some(match read {
            Ok((chunk, opened)) => (Ok(chunk), Some((opened, runtime))),
            Err(failure) => (Err(failure), None),
        })
    })
    .boxed()
}

#[async_trait]
impl Store for LocalStore {
    async fn put(&self, key: &str, body: Bytes, condition: Condition) -> Result<Put, Failure> {
        let key = key.to_owned();
        self.blocking(move |directory, wanted| directory.put(&key, &body, &condition, wanted)).await
    }

    async fn get(&self, key: &str, options: GetOptions) -> Result<Get, Failure> {
        let key = key.to_owned();
        let opened = self.blocking(move |directory, _| directory.get(&key, &options)).await?;
        Ok(match opened {
            Ok(opened) => {
                let (etag, size, date) = (opened.etag.clone(), opened.size, Some(opened.date));
                Get::Found(Object { etag, size, date, body: chunks(opened, self.runtime.clone()) })
            }
            Err(date) => Get::NotModified { date: Some(date) },
        })
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, Failure> {
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        self.blocking(move |directory, _| directory.list(&prefix, after.as_deref())).await
    }

    async fn delete(&self, keys: &[String]) -> Result<Deleted, Failure> {
        let keys = keys.to_vec();
        self.blocking(move |directory, wanted| directory.delete(&keys, wanted)).await
    }

    fn url(&self) -> &str {
        self.directory.url()
    }

    fn is_trusted(&self) -> bool {
        true
    }
}
