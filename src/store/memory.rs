//! The store behind `memory:NAME`: shared by everything in this process that opens the same name, and gone when the last of
//! it was released or dropped.

use super::{Condition, Deleted, ETag, Failure, Get, GetOptions, Kind, Listed, Object, PAGE, Page, Put, Store};
use crate::environment::boot_time;
use crate::time::{Reading, Stamp};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::SystemTime;

/// Objects in memory. Clones share them, and are released together.
#[derive(Clone)]
pub struct MemoryStore {
    url: String,
    shared: Arc<Shared>,
    claim: Arc<Mutex<Option<Arc<Claim>>>>,
}

/// What a name stands for, as long as there is one.
struct Claim(Arc<Shared>);

struct Shared {
    objects: Mutex<Objects>,
    clock: Box<dyn Fn() -> Stamp + Send + Sync>,
}

struct Objects {
    by_key: BTreeMap<String, Version>,
    /// The latest time that this store told anyone: what it tells next is never earlier.
    latest: Stamp,
}

struct Version {
    bytes: Bytes,
    stamp: Stamp,
}

impl Version {
    fn etag(&self) -> ETag {
        // Stamps are strictly increasing, so a stamp names one content.
        ETag(format!("\"{:x}\"", self.stamp.as_nanos()))
    }
}

impl MemoryStore {
    /// The store of this process that is called `name`; a new and empty one where all that were opened are released or dropped.
    pub fn open(name: &str) -> MemoryStore {
        static BY_NAME: Mutex<Option<HashMap<String, Weak<Claim>>>> = Mutex::new(None);
        let mut guard = BY_NAME.lock().unwrap_or_else(PoisonError::into_inner);
        let by_name = guard.get_or_insert_default();
        let claim = by_name.get(name).and_then(Weak::upgrade).unwrap_or_else(|| {
            by_name.retain(|_, claim| claim.strong_count() > 0);
            let claim = Arc::new(Claim(Arc::new(Shared::new(Box::new(steady_clock)))));
            by_name.insert(name.to_owned(), Arc::downgrade(&claim));
            claim
        });
        MemoryStore { url: format!("memory:{name}"), shared: claim.0.clone(), claim: Arc::new(Mutex::new(Some(claim))) }
    }

    /// A store of its own, under no name, whose time is `clock`: for tests. Where the clock steps back, the store's time
    /// stands still.
    pub fn with_clock(clock: impl Fn() -> Stamp + Send + Sync + 'static) -> MemoryStore {
        MemoryStore { url: "memory:".to_owned(), shared: Arc::new(Shared::new(Box::new(clock))), claim: Arc::default() }
    }

    /// The objects, and the time of this request.
    fn begin(&self) -> (MutexGuard<'_, Objects>, Stamp) {
        // No holder of the lock leaves the objects half changed, not even in a panic.
        let mut objects = self.shared.objects.lock().unwrap_or_else(PoisonError::into_inner);
        objects.latest = objects.latest.max((self.shared.clock)());
        let date = objects.latest;
        (objects, date)
    }
}

impl Shared {
    fn new(clock: Box<dyn Fn() -> Stamp + Send + Sync>) -> Shared {
        Shared { objects: Mutex::new(Objects { by_key: BTreeMap::new(), latest: Stamp::ZERO }), clock }
    }
}

/// The wall clock as it was at the first call, and what has passed since: it neither steps nor stops.
fn steady_clock() -> Stamp {
    static ORIGIN: OnceLock<(Stamp, Reading)> = OnceLock::new();
    let (wall, reading) = *ORIGIN.get_or_init(|| {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        (Stamp::from_nanos(since_epoch.as_nanos() as i128), boot_time())
    });
    wall + boot_time().since(reading)
}

fn failure(kind: Kind, date: Stamp, message: String) -> Failure {
    Failure { kind, message, date: Some(date) }
}

#[async_trait]
impl Store for MemoryStore {
    async fn put(&self, key: &str, body: Bytes, condition: Condition) -> Result<Put, Failure> {
        let (mut objects, date) = self.begin();
        let held = objects.by_key.get(key).map(Version::etag);
        let allowed = match &condition {
            Condition::Always => true,
            Condition::Absent => held.is_none(),
            Condition::Matches(etag) => held.as_ref() == Some(etag),
        };
        if !allowed {
            return Err(failure(Kind::ConditionFailed, date, format!("PUT {key}: the condition does not hold")));
        }
        // One nanosecond is the least step, so that stamps do not run ahead of the clock however fast the store is used.
        let stamp = date + std::time::Duration::from_nanos(1);
        objects.latest = stamp;
        let version = Version { bytes: body, stamp };
        let etag = version.etag();
        objects.by_key.insert(key.to_owned(), version);
        Ok(Put { etag: Some(etag), date: Some(stamp) })
    }

    async fn get(&self, key: &str, options: GetOptions) -> Result<Get, Failure> {
        let (objects, date) = self.begin();
        let Some(version) = objects.by_key.get(key) else {
            return Err(failure(Kind::NotFound, date, format!("GET {key}: no such object")));
        };
        let etag = version.etag();
        if options.matches.is_some_and(|wanted| wanted != etag) {
            return Err(failure(Kind::ConditionFailed, date, format!("GET {key}: the object was replaced")));
        }
        if options.unless.is_some_and(|held| held == etag) {
            return Ok(Get::NotModified { date: Some(date) });
        }
        let size = version.bytes.len() as u64;
        let bytes = match options.range {
            None => version.bytes.clone(),
            Some((first, count)) if first < size && count > 0 => {
                // Both ends are at most `size`, which is a usize.
                version.bytes.slice(first as usize..first.saturating_add(count).min(size) as usize)
            }
            Some((first, count)) => {
                return Err(failure(Kind::Refused, date, format!("GET {key}: {count} bytes from {first} of {size} are no range")));
            }
        };
        let body = futures_util::stream::once(async move { Ok(bytes) }).boxed();
        Ok(Get::Found(Object { etag, size, date: Some(date), body }))
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, Failure> {
        let (objects, date) = self.begin();
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let mut found = objects.by_key.range::<str, _>((start, Bound::Unbounded)).take_while(|(key, _)| key.starts_with(prefix));
        let listed: Vec<Listed> = found
            .by_ref()
            .take(PAGE)
            .map(|(key, version)| Listed { key: key.clone(), etag: version.etag(), stamp: version.stamp, size: version.bytes.len() as u64 })
            .collect();
        let next = found.next().and_then(|_| listed.last().map(|last| last.key.clone()));
        Ok(Page { objects: listed, next, date: Some(date) })
    }

    async fn delete(&self, keys: &[String]) -> Result<Deleted, Failure> {
        let (mut objects, date) = self.begin();
        if keys.len() > PAGE {
            return Err(failure(Kind::Refused, date, format!("DELETE of {} keys: at most {PAGE} at once", keys.len())));
        }
        for key in keys {
            objects.by_key.remove(key);
        }
        Ok(Deleted { date: Some(date) })
    }

    fn url(&self) -> &str {
        &self.url
    }

    fn is_trusted(&self) -> bool {
        true
    }

    fn release(&self) {
        self.claim.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicI64, Ordering};

    fn wait<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
    }

    #[test]
    fn one_name_is_one_store_until_nobody_holds_it() {
        wait(async {
            let (one, two, other) = (MemoryStore::open("a name"), MemoryStore::open("a name"), MemoryStore::open("another"));
            one.put("key", Bytes::from_static(b"value"), Condition::Always).await.expect("a PUT");
            assert_eq!(two.list("", None).await.expect("a LIST").objects.len(), 1);
            assert_eq!(other.list("", None).await.expect("a LIST").objects.len(), 0);
            drop((one, two));
            assert_eq!(MemoryStore::open("a name").list("", None).await.expect("a LIST").objects.len(), 0);
        });
    }

    #[test]
    fn a_name_is_free_once_all_are_released_though_someone_still_holds_the_store() {
        wait(async {
            let (one, two) = (MemoryStore::open("released"), MemoryStore::open("released"));
            let held = one.clone();
            one.put("key", Bytes::from_static(b"value"), Condition::Always).await.expect("a PUT");
            one.release();
            assert_eq!(MemoryStore::open("released").list("", None).await.expect("a LIST").objects.len(), 1, "the other one is open");
            two.release();
            assert_eq!(MemoryStore::open("released").list("", None).await.expect("a LIST").objects.len(), 0);
            assert_eq!(held.list("", None).await.expect("a LIST").objects.len(), 1, "who is at work is not disturbed");
        });
    }

    #[test]
    fn time_never_goes_back_though_the_clock_does() {
        wait(async {
            let millis = Arc::new(AtomicI64::new(5_000));
            let clock = millis.clone();
            let store = MemoryStore::with_clock(move || Stamp::from_millis(clock.load(Ordering::Relaxed)));
            let first = store.put("a", Bytes::new(), Condition::Always).await.expect("a PUT").date;
            millis.store(1_000, Ordering::Relaxed);
            let second = store.put("b", Bytes::new(), Condition::Always).await.expect("a PUT").date;
            assert!(second > first);
            assert_eq!(store.list("", None).await.expect("a LIST").date, second);
        });
    }
}
