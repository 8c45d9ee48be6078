//! The probe catches every way in which a store can break what the journal stands on. A right store (in memory) is made
//! wrong in one point at a time; `tests/store_conformance.rs` has the real servers, right and wrong.

use async_trait::async_trait;
use bytes::Bytes;
use opjournal::environment::{Environment, Process};
use opjournal::store::memory::MemoryStore;
use opjournal::store::probe::{Proven, probe, probe_below, throw_away};
use opjournal::store::{Condition, Deleted, Failure, Get, GetOptions, Kind, Page, Put, Store};
use opjournal::{Error, Status};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    /// The header has no effect.
    IgnoresIfNoneMatch,
    IgnoresIfMatch,
    /// The store answers that it does not know the header.
    RefusesIfNoneMatch,
    RefusesIfMatch,
    /// Looks first, and writes a moment later, in one race of twelve.
    LooksThenCreates,
    LooksThenReplaces,
    /// Says that the condition does not hold, and writes all the same.
    WritesWhatItRefuses,
    /// LIST shows an object a while after it was put.
    ListsLate,
    /// Stamps are an hour off.
    StampsElsewhere,
    PutsHaveNoDate,
    RefusalsHaveNoDate,
    ListsHaveNoDate,
    /// The answer to one PUT of 29 is lost, as any network lets happen.
    LosesAnswers,
    DeniesPut,
    DeniesDelete,
}

struct Faulty {
    store: MemoryStore,
    fault: Fault,
    puts: AtomicUsize,
}

impl Faulty {
    fn new(fault: Fault) -> Faulty {
        let store = MemoryStore::with_clock(|| opjournal::time::Stamp::from_millis(1_800_000_000_000));
        Faulty { store, fault, puts: AtomicUsize::new(0) }
    }

    /// Whether the key belongs to the races in which a store that is seldom wrong is wrong.
    fn is_unlucky(key: &str) -> bool {
        key.ends_with("race-7")
    }

    async fn holds(&self, key: &str, condition: &Condition) -> bool {
        let held = match self.store.get(key, GetOptions::default()).await {
            Ok(Get::Found(object)) => Some(object.etag),
            _ => None,
        };
        match condition {
            Condition::Always => true,
            Condition::Absent => held.is_none(),
            Condition::Matches(etag) => held.as_ref() == Some(etag),
        }
    }
}

#[async_trait]
impl Store for Faulty {
    async fn put(&self, key: &str, body: Bytes, condition: Condition) -> Result<Put, Failure> {
        let number = self.puts.fetch_add(1, Ordering::Relaxed);
        let (creates, replaces) = (condition == Condition::Absent, matches!(condition, Condition::Matches(_)));
        let not_implemented = || Err(Failure::new(Kind::Refused, "501 NotImplemented"));
        match self.fault {
            Fault::RefusesIfNoneMatch if creates => return not_implemented(),
            Fault::RefusesIfMatch if replaces => return not_implemented(),
            Fault::DeniesPut => return Err(Failure::new(Kind::Denied, "403 AccessDenied")),
            Fault::IgnoresIfNoneMatch if creates => return self.store.put(key, body, Condition::Always).await,
            Fault::IgnoresIfMatch if replaces => return self.store.put(key, body, Condition::Always).await,
            Fault::LooksThenCreates if creates && Faulty::is_unlucky(key) && self.holds(key, &condition).await => {
                tokio::task::yield_now().await;
                return self.store.put(key, body, Condition::Always).await;
            }
            Fault::LooksThenReplaces if replaces && Faulty::is_unlucky(key) && self.holds(key, &condition).await => {
                tokio::task::yield_now().await;
                return self.store.put(key, body, Condition::Always).await;
            }
            _ => {}
        }
        let mut result = self.store.put(key, body.clone(), condition).await;
        match (&mut result, self.fault) {
            (Ok(put), Fault::PutsHaveNoDate) => put.date = None,
            (Err(failure), Fault::RefusalsHaveNoDate) => failure.date = None,
            (Err(_), Fault::WritesWhatItRefuses) => drop(self.store.put(key, body, Condition::Always).await),
            (_, Fault::LosesAnswers) if number % 29 == 3 => result = Err(Failure::new(Kind::Unavailable, "503 SlowDown")),
            _ => {}
        }
        result
    }

    async fn get(&self, key: &str, options: GetOptions) -> Result<Get, Failure> {
        self.store.get(key, options).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, Failure> {
        let mut page = self.store.list(prefix, after).await?;
        match self.fault {
            Fault::ListsLate => page.objects.clear(),
            Fault::ListsHaveNoDate => page.date = None,
            Fault::StampsElsewhere => page.objects.iter_mut().for_each(|listed| listed.stamp = listed.stamp - Duration::from_secs(3600)),
            _ => {}
        }
        Ok(page)
    }

    async fn delete(&self, keys: &[String]) -> Result<Deleted, Failure> {
        if self.fault == Fault::DeniesDelete {
            return Err(Failure::new(Kind::Denied, "403 AccessDenied"));
        }
        self.store.delete(keys).await
    }

    fn url(&self) -> &str {
        "s3://bucket/root"
    }
}

/// The verdict on a store with this fault, and how many objects are left in it.
fn verdict(fault: Fault) -> (Result<(), Error>, usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let environment: Arc<dyn Environment> = Arc::new(Process::new(Handle::current()));
        let store = Faulty::new(fault);
        let result = probe(&store, &environment).await;
        (result, store.store.list("", None).await.expect("a LIST").objects.len())
    })
}

#[test]
fn a_right_store_is_accepted_although_its_network_is_not() {
    for fault in [Fault::None, Fault::LosesAnswers] {
        let (result, left) = verdict(fault);
        result.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        assert_eq!(left, 0, "{fault:?}");
    }
}

#[test]
fn every_fault_is_named() {
    for (fault, ignored) in [
        (Fault::IgnoresIfNoneMatch, "If-None-Match"),
        (Fault::IgnoresIfMatch, "If-Match"),
        (Fault::RefusesIfNoneMatch, "If-None-Match"),
        (Fault::RefusesIfMatch, "If-Match"),
        (Fault::LooksThenCreates, "If-None-Match"),
        (Fault::LooksThenReplaces, "If-Match"),
        (Fault::WritesWhatItRefuses, "If-None-Match"),
        (Fault::ListsLate, "LIST after PUT"),
        (Fault::StampsElsewhere, "LastModified"),
        (Fault::PutsHaveNoDate, "Date"),
        (Fault::RefusalsHaveNoDate, "Date"),
        (Fault::ListsHaveNoDate, "Date"),
    ] {
        let (result, left) = verdict(fault);
        let error = result.err().unwrap_or_else(|| panic!("{fault:?} was accepted"));
        assert_eq!(error.status, Status::UnsafeStore, "{fault:?}: {error}");
        assert_eq!(error.details["ignored"], ignored, "{fault:?}: {error}");
        assert!(error.message.contains("s3://bucket/root") && !error.retryable, "{fault:?}: {error}");
        // What no LIST shows cannot be deleted.
        assert!(left == 0 || fault == Fault::ListsLate, "{fault:?} leaves {left} objects");
    }
}

#[test]
fn a_store_that_cannot_be_tested_is_not_called_unsafe() {
    for (fault, status) in [(Fault::DeniesPut, Status::Denied), (Fault::DeniesDelete, Status::Denied)] {
        let error = verdict(fault).0.expect_err("not accepted");
        assert_eq!(error.status, status, "{fault:?}: {error}");
        assert!(error.message.contains("could not be tested") && error.message.contains("403"), "{error}");
    }
}

#[test]
fn what_is_proven_is_told_as_far_as_it_goes() {
    use Proven::{CompareAndSwap, CreateOnce, ETags, ListAfterPut, Races, Stamps};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let proven = |fault| {
        runtime.block_on(async {
            let environment: Arc<dyn Environment> = Arc::new(Process::new(Handle::current()));
            let mut proven = Vec::new();
            let result = probe_below(&throw_away(&environment), &Faulty::new(fault), &environment, &mut |step| proven.push(step)).await;
            assert_eq!(result.is_ok(), fault == Fault::None, "{fault:?}");
            proven
        })
    };
    let all = [ListAfterPut, Stamps, ETags, CreateOnce, CompareAndSwap, Races];
    assert!(all.is_sorted());
    for (fault, steps) in [
        (Fault::None, 6),
        (Fault::ListsLate, 0),
        (Fault::StampsElsewhere, 1),
        (Fault::IgnoresIfNoneMatch, 3),
        (Fault::IgnoresIfMatch, 4),
        (Fault::LooksThenReplaces, 5),
    ] {
        assert_eq!(proven(fault), all[..steps], "{fault:?}");
    }
}
