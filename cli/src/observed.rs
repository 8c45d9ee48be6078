//! A store that is looked at while it is used: how often it was asked for what, and what its clocks showed.

use crate::arguments::Prices;
use async_trait::async_trait;
use bytes::Bytes;
use opjournal::environment::Environment;
use opjournal::store::{Condition, Deleted, Failure, Get, GetOptions, Page, Put, Store};
use opjournal::time::{Reading, Stamp};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Requests by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    pub list: u64,
    pub get: u64,
    pub put: u64,
    pub delete: u64,
}

impl Requests {
    /// Those that a journal counts.
    pub fn of(stats: &Value) -> Requests {
        let read = |kind: &str| stats["requests"][kind].as_u64().unwrap_or_default();
        Requests { list: read("list"), get: read("get"), put: read("put"), delete: read("delete") }
    }

    pub fn total(&self) -> u64 {
        self.list + self.get + self.put + self.delete
    }

    pub fn since(&self, earlier: &Requests) -> Requests {
        Requests {
            list: self.list.saturating_sub(earlier.list),
            get: self.get.saturating_sub(earlier.get),
            put: self.put.saturating_sub(earlier.put),
            delete: self.delete.saturating_sub(earlier.delete),
        }
    }

    /// Each kind with its number and its price in USD.
    pub fn priced(&self, prices: &Prices) -> [(&'static str, u64, f64); 4] {
        [
            ("PUT", self.put, prices.put_price),
            ("LIST", self.list, prices.list_price),
            ("GET", self.get, prices.get_price),
            ("DELETE", self.delete, prices.delete_price),
        ]
        .map(|(kind, number, price)| (kind, number, number as f64 * price / 1000.0))
    }

    pub fn usd(&self, prices: &Prices) -> f64 {
        self.priced(prices).iter().map(|(_, _, usd)| usd).sum()
    }

    pub fn to_json(self) -> Value {
        json!({ "list": self.list, "get": self.get, "put": self.put, "delete": self.delete })
    }
}

/// What the store's clocks may show when the local clock that only measures durations stands at zero, in nanoseconds: every answer narrows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The greatest that some answer tells to be the least.
    pub least: i128,
    /// The least that some answer tells to be the greatest.
    pub greatest: i128,
}

impl Origin {
    /// Of one answer. A `Date` of a whole second may be any moment of that second.
    fn of(sent: Reading, arrived: Reading, date: Stamp) -> Origin {
        let date = date.as_nanos();
        let cut = if date % 1_000_000_000 == 0 { 1_000_000_000 } else { 0 };
        Origin { least: date - i128::from(arrived.0), greatest: date + cut - i128::from(sent.0) }
    }

    fn and(self, other: Origin) -> Origin {
        Origin { least: self.least.max(other.least), greatest: self.greatest.min(other.greatest) }
    }

    /// By how much two answers contradict each other: they are from clocks that differ by at least so much.
    pub fn contradiction(&self) -> Duration {
        nanos(self.least - self.greatest)
    }

    /// How far a clock that stands at `other` at the same origin is from it, at least.
    pub fn distance(&self, other: i128) -> Duration {
        let (least, greatest) = (self.least.min(self.greatest), self.greatest.max(self.least));
        nanos(least - other).max(nanos(other - greatest))
    }
}

fn nanos(difference: i128) -> Duration {
    Duration::from_nanos(u64::try_from(difference.max(0)).unwrap_or(u64::MAX))
}

/// Passes everything on.
pub struct Observed {
    store: Arc<dyn Store>,
    environment: Arc<dyn Environment>,
    list: AtomicU64,
    get: AtomicU64,
    put: AtomicU64,
    delete: AtomicU64,
    origin: Mutex<Option<Origin>>,
}

impl Observed {
    pub fn new(store: Arc<dyn Store>, environment: Arc<dyn Environment>) -> Observed {
        Observed {
            store,
            environment,
            list: AtomicU64::new(0),
            get: AtomicU64::new(0),
            put: AtomicU64::new(0),
            delete: AtomicU64::new(0),
            origin: Mutex::new(None),
        }
    }

    pub fn requests(&self) -> Requests {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Requests { list: read(&self.list), get: read(&self.get), put: read(&self.put), delete: read(&self.delete) }
    }

    /// Nothing before the first answer with `Date`.
    pub fn origin(&self) -> Option<Origin> {
        *self.origin.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn watch<T>(
        &self,
        counter: &AtomicU64,
        request: impl Future<Output = Result<T, Failure>>,
        date_of: impl Fn(&T) -> Option<Stamp>,
    ) -> Result<T, Failure> {
        counter.fetch_add(1, Ordering::Relaxed);
        let sent = self.environment.now();
        let result = request.await;
        let arrived = self.environment.now();
        let date = match &result {
            Ok(answer) => date_of(answer),
            Err(failure) => failure.date,
        };
        if let Some(date) = date {
            let told = Origin::of(sent, arrived, date);
            let mut origin = self.origin.lock().unwrap_or_else(PoisonError::into_inner);
            *origin = Some(origin.map_or(told, |origin| origin.and(told)));
        }
        result
    }
}

#[async_trait]
impl Store for Observed {
    async fn put(&self, key: &str, body: Bytes, condition: Condition) -> Result<Put, Failure> {
        self.watch(&self.put, self.store.put(key, body, condition), |put| put.date).await
    }

    async fn get(&self, key: &str, options: GetOptions) -> Result<Get, Failure> {
        let date = |answer: &Get| match answer {
            Get::NotModified { date } => *date,
            Get::Found(object) => object.date,
        };
        self.watch(&self.get, self.store.get(key, options), date).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, Failure> {
        self.watch(&self.list, self.store.list(prefix, after), |page| page.date).await
    }

    async fn delete(&self, keys: &[String]) -> Result<Deleted, Failure> {
        self.watch(&self.delete, self.store.delete(keys), |deleted| deleted.date).await
    }

    fn url(&self) -> &str {
        self.store.url()
    }

    fn is_trusted(&self) -> bool {
        self.store.is_trusted()
    }

    fn release(&self) {
        self.store.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_one_clock_agree_and_those_of_two_contradict_each_other() {
        let second = 1_000_000_000;
        let answer = |sent: u64, arrived: u64, date: i64| Origin::of(Reading(sent), Reading(arrived), Stamp::from_millis(date));
        // The clock stands at 100 s at the origin.
        let one = answer(5 * second, 5 * second + 100, 105_000).and(answer(7 * second + 900, 8 * second, 107_000));
        assert_eq!((one.contradiction(), one.distance(100 * i128::from(second))), (Duration::ZERO, Duration::ZERO));
        assert_eq!(one.distance(90 * i128::from(second)), Duration::from_nanos(10 * second - 100));
        let two = one.and(answer(9 * second, 9 * second + 100, 114_000));
        assert!(two.contradiction() >= Duration::from_secs(3), "{two:?}");
        let exact = answer(5 * second, 5 * second + 1000, 105_001);
        assert_eq!(exact.distance(100 * i128::from(second)), Duration::from_nanos(1_000_000 - 1000));
    }

    #[test]
    fn a_price_is_for_a_thousand() {
        let prices = Prices { put_price: 0.005, list_price: 0.004, get_price: 0.0004, delete_price: 0.0 };
        let requests = Requests { list: 1000, get: 5000, put: 2000, delete: 7 };
        assert!((requests.usd(&prices) - 0.016).abs() < 1e-12);
        assert_eq!(requests.total(), 8007);
    }
}
