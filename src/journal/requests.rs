//! The engine's way to the store: each request under a deadline, counted, and its `Date` taken in as a sample of store
//! time.

use super::clock::StoreClock;
use super::histogram::Histogram;
use crate::environment::{Environment, within};
use crate::mutant::{self, Mutant};
use crate::store::{Condition, ETag, Failure, Get, GetOptions, Kind, Page, Put, Store};
use crate::time::{Reading, Stamp};
use bytes::Bytes;
use futures_util::StreamExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long the head of an answer, or the next chunk of a body, may take.
const NO_PROGRESS: Duration = Duration::from_secs(10);
/// A body that trickles slower than this over its whole length is given up as well: 64 KiB a second.
const SLOWEST_BODY: u64 = 64 << 10;
/// At most this much is set aside for a body before its bytes arrive: the size is only the store's word.
const LARGEST_RESERVE: u64 = 256 << 20;

/// A replica's requests to its store.
pub struct Requests {
    pub store: Arc<dyn Store>,
    pub environment: Arc<dyn Environment>,
    clock: Mutex<StoreClock>,
    pub counters: Counters,
    pub durations: Durations,
}

/// Requests by kind, and failures, since the journal was opened.
#[derive(Default)]
pub struct Counters {
    pub list: AtomicU64,
    pub get: AtomicU64,
    pub put: AtomicU64,
    pub delete: AtomicU64,
    pub failed: AtomicU64,
    pub bytes_read: AtomicU64,
    pub bytes_written: AtomicU64,
}

/// How long requests took until the end of their answers, good or not.
#[derive(Default)]
pub struct Durations {
    pub list: Histogram,
    pub get: Histogram,
    pub put: Histogram,
    pub delete: Histogram,
}

/// The answer to a conditional read.
pub enum Read {
    NotModified,
    /// The object has `size` bytes; `body` holds all of them or those of the range.
    Found {
        etag: ETag,
        size: u64,
        body: Bytes,
    },
}

impl Requests {
    pub fn new(store: Arc<dyn Store>, environment: Arc<dyn Environment>) -> Requests {
        Requests { store, environment, clock: Mutex::default(), counters: Counters::default(), durations: Durations::default() }
    }

    pub fn now(&self) -> Reading {
        self.environment.now()
    }

    /// Store time now; nothing where no answer is young enough to tell.
    pub fn store_time(&self) -> Option<Stamp> {
        let now = self.now();
        self.clock.lock().unwrap_or_else(PoisonError::into_inner).at(now)
    }

    fn sample(&self, date: Option<Stamp>) {
        if let Some(date) = date {
            let arrived = self.now();
            self.clock.lock().unwrap_or_else(PoisonError::into_inner).sample(date, arrived);
        }
    }

    async fn timed<T>(&self, durations: &Histogram, request: impl Future<Output = T>) -> T {
        let began = self.now();
        let answer = request.await;
        durations.record(self.now().since(began));
        answer
    }

    /// Waits for an answer for at most `limit`, and takes in what every answer tells.
    async fn answer<T>(
        &self,
        counter: &AtomicU64,
        limit: Duration,
        what: &str,
        request: impl Future<Output = Result<T, Failure>>,
        date_of: impl Fn(&T) -> Option<Stamp>,
    ) -> Result<T, Failure> {
        counter.fetch_add(1, Ordering::Relaxed);
        let result = match within(&self.environment, patience(limit), request).await {
            Ok(result) => result,
            Err(_) => {
                let message = format!("{what} in {}: no answer within {} ms", self.store.url(), limit.as_millis());
                Err(Failure::new(Kind::Unavailable, message))
            }
        };
        match &result {
            Ok(answer) => self.sample(date_of(answer)),
            Err(failure) => {
                self.sample(failure.date);
                if !matches!(failure.kind, Kind::NotFound | Kind::ConditionFailed) {
                    self.counters.failed.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        result
    }

    pub async fn list_page(&self, prefix: &str, after: Option<&str>) -> Result<Page, Failure> {
        let what = format!("LIST {prefix}");
        let request = self.answer(&self.counters.list, NO_PROGRESS, &what, self.store.list(prefix, after), |page| page.date);
        self.timed(&self.durations.list, request).await
    }

    /// One attempt to write an object.
    pub async fn put(&self, key: &str, body: Bytes, condition: Condition, limit: Duration) -> Result<Put, Failure> {
        self.counters.bytes_written.fetch_add(body.len() as u64, Ordering::Relaxed);
        let what = format!("PUT {key}");
        let request = self.answer(&self.counters.put, limit, &what, self.store.put(key, body, condition), |put| put.date);
        self.timed(&self.durations.put, request).await
    }

    pub async fn delete(&self, keys: &[String]) -> Result<(), Failure> {
        let what = format!("DELETE of {} objects", keys.len());
        let request = self.answer(&self.counters.delete, NO_PROGRESS, &what, self.store.delete(keys), |deleted| deleted.date);
        self.timed(&self.durations.delete, request).await.map(|_| ())
    }

    /// Reads an object of at most `largest` bytes, or the range that `options` asks for. A larger one fails with
    /// [`Kind::Refused`].
    pub async fn read(&self, key: &str, options: GetOptions, largest: u64) -> Result<Read, Failure> {
        self.timed(&self.durations.get, self.read_body(key, options, largest)).await
    }

    async fn read_body(&self, key: &str, options: GetOptions, largest: u64) -> Result<Read, Failure> {
        let what = format!("GET {key}");
        let range = options.range;
        let answer = self
            .answer(&self.counters.get, NO_PROGRESS, &what, self.store.get(key, options), |answer| match answer {
                Get::NotModified { date } => *date,
                Get::Found(object) => object.date,
            })
            .await?;
        let mut object = match answer {
            Get::NotModified { .. } => return Ok(Read::NotModified),
            Get::Found(object) => object,
        };
        let expected = range.map_or(object.size, |(_, length)| length.min(object.size));
        if expected > largest {
            let message = format!("{what}: {expected} bytes are over the limit of {largest} bytes (limits.object_bytes)");
            return Err(Failure::new(Kind::Refused, message));
        }
        let deadline = self.now() + NO_PROGRESS + Duration::from_secs(expected / SLOWEST_BODY);
        let mut body = Vec::with_capacity(expected.min(LARGEST_RESERVE) as usize);
        loop {
            let limit = patience(NO_PROGRESS.min(deadline.since(self.now())));
            let chunk = match within(&self.environment, limit, object.body.next()).await {
                Ok(None) => break,
                Ok(Some(Ok(chunk))) => chunk,
                Ok(Some(Err(failure))) => {
                    self.counters.failed.fetch_add(1, Ordering::Relaxed);
                    return Err(failure);
                }
                Err(_) => {
                    self.counters.failed.fetch_add(1, Ordering::Relaxed);
                    let message = format!("{what} in {}: the body stopped after {} of {expected} bytes", self.store.url(), body.len());
                    return Err(Failure::new(Kind::Unavailable, message));
                }
            };
            if (body.len() + chunk.len()) as u64 > largest {
                let message = format!("{what}: the body is over the limit of {largest} bytes (limits.object_bytes)");
                return Err(Failure::new(Kind::Refused, message));
            }
            body.extend_from_slice(&chunk);
        }
        self.counters.bytes_read.fetch_add(body.len() as u64, Ordering::Relaxed);
        Ok(Read::Found { etag: object.etag, size: object.size, body: Bytes::from(body) })
    }

    /// Reads a whole object without condition.
    pub async fn read_whole(&self, key: &str, largest: u64) -> Result<Bytes, Failure> {
        match self.read(key, GetOptions::default(), largest).await? {
            Read::Found { body, .. } => Ok(body),
            Read::NotModified => {
                Err(Failure::new(Kind::Unavailable, format!("GET {key}: the store answered 304 to a request without condition")))
            }
        }
    }
}

fn patience(limit: Duration) -> Duration {
    if mutant::is_on(Mutant::NoDeadlines) { Duration::from_secs(1 << 30) } else { limit }
}

/// How long a PUT of `size` bytes may take: ten seconds, and one more for each 256 KiB.
pub fn upload_limit(size: usize) -> Duration {
    NO_PROGRESS + Duration::from_secs(size as u64 / (256 << 10))
}
