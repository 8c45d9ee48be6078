//! One list of checks that every store passes: the contract of `opjournal::store::Store`, point by point.

mod reading;
#[cfg(feature = "s3")]
mod servers;

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
#[cfg(feature = "s3")]
use opjournal::Status;
use opjournal::environment::{Environment, Process};
use opjournal::store::local::LocalStore;
use opjournal::store::memory::MemoryStore;
use opjournal::store::probe::probe;
use opjournal::store::{Condition, ETag, Failure, Get, GetOptions, Kind, PAGE, Store};
use opjournal::time::Stamp;
use reading::{kind, list_all, open};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;

type Shared = Arc<dyn Store>;

/// An empty store, and what must stay as long as it is used.
struct Fresh {
    store: Shared,
    _directory: Option<tempfile::TempDir>,
}

fn block_on(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime").block_on(test);
}

/// Runs every check on every store, as a test of its own.
macro_rules! conformance {
    ($($store:ident: $fresh:expr;)*) => { $(
        mod $store {
            use super::*;

            async fn fresh() -> Fresh {
                $fresh.await
            }

            checks! {
                create_once_refuses_what_is_there, compare_and_swap_refuses_what_changed, one_of_many_creates,
                swaps_lose_nothing, pages_show_every_key_once_in_order, keys_come_in_the_order_of_their_bytes,
                ranges_are_parts_of_one_content, a_get_can_be_conditional, a_delete_of_what_is_not_there_is_none,
                failures_carry_the_date, large_bodies_go_through_whole, readers_see_whole_contents, stamps_and_tags_stay,
                an_empty_object_is_an_object, a_request_that_is_given_up_leaves_the_store_usable, the_probe_accepts_it,
            }
        }
    )* };
}

macro_rules! checks {
    ($($check:ident,)*) => { $(
        #[test]
        fn $check() {
            block_on(async {
                let fresh = fresh().await;
                super::$check(fresh.store.clone()).await;
            });
        }
    )* };
}

async fn memory() -> Fresh {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let name = format!("conformance {}", COUNT.fetch_add(1, Ordering::Relaxed));
    Fresh { store: Arc::new(MemoryStore::open(&name)), _directory: None }
}

async fn local() -> Fresh {
    let directory = tempfile::tempdir().expect("a directory");
    Fresh { store: Arc::new(LocalStore::open(directory.path(), Handle::current())), _directory: Some(directory) }
}

#[cfg(feature = "s3")]
async fn s3(product: servers::Product) -> Fresh {
    let server = tokio::task::spawn_blocking(move || product.shared()).await.expect("a server");
    Fresh { store: Arc::new(server.store().await), _directory: None }
}

conformance! {
    memory_store: memory();
    local_store: local();
}

#[cfg(feature = "s3")]
conformance! {
    s3_on_minio: s3(servers::Product::Minio);
    s3_on_moto: s3(servers::Product::Moto);
    s3_on_ministack: s3(servers::Product::Ministack);
}

async fn put(store: &Shared, key: &str, body: impl Into<Bytes>, condition: Condition) -> Result<Option<ETag>, Failure> {
    store.put(key, body.into(), condition).await.map(|put| put.etag)
}

async fn get(store: &Shared, key: &str) -> (ETag, Vec<u8>) {
    reading::get(&**store, key).await.expect("a GET")
}

async fn create_once_refuses_what_is_there(store: Shared) {
    let etag = put(&store, ".metadata/a/1.json", "one", Condition::Absent).await.expect("created");
    assert_eq!(kind(put(&store, ".metadata/a/1.json", "two", Condition::Absent).await), Kind::ConditionFailed);
    // The same content again is refused as well: the second PUT of a segment must not give it a second stamp.
    assert_eq!(kind(put(&store, ".metadata/a/1.json", "one", Condition::Absent).await), Kind::ConditionFailed);
    let (held, body) = get(&store, ".metadata/a/1.json").await;
    assert_eq!(body, b"one");
    assert!(etag.is_none_or(|etag| etag == held));
    store.delete(&[".metadata/a/1.json".to_owned()]).await.expect("deleted");
    put(&store, ".metadata/a/1.json", "three", Condition::Absent).await.expect("created again");
    assert_eq!(get(&store, ".metadata/a/1.json").await.1, b"three");
}

async fn compare_and_swap_refuses_what_changed(store: Shared) {
    put(&store, ".metadata/a.json", "one", Condition::Always).await.expect("a PUT");
    let (first, _) = get(&store, ".metadata/a.json").await;
    put(&store, ".metadata/a.json", "two", Condition::Matches(first.clone())).await.expect("swapped");
    assert_eq!(kind(put(&store, ".metadata/a.json", "three", Condition::Matches(first.clone())).await), Kind::ConditionFailed);
    let (second, body) = get(&store, ".metadata/a.json").await;
    assert_eq!(body, b"two");
    assert_ne!(first, second);
    let missing = put(&store, ".metadata/none.json", "x", Condition::Matches(second)).await;
    assert!(matches!(kind(missing), Kind::ConditionFailed | Kind::NotFound));
    assert_eq!(list_all(&*store, ".metadata/none").await, []);
}

async fn one_of_many_creates(store: Shared) {
    for round in 0..4 {
        let key = format!(".metadata/a/{round}.json");
        let bodies: Vec<String> = (0..32).map(|racer| format!("racer {racer}")).collect();
        let racers = bodies.iter().map(|body| put(&store, &key, body.clone(), Condition::Absent));
        let results = join_all(racers).await;
        let (_, held) = get(&store, &key).await;
        for (body, result) in bodies.iter().zip(results) {
            match result {
                Ok(_) => assert_eq!(body.as_bytes(), held, "who won is what is there"),
                Err(failure) => assert!(matches!(failure.kind, Kind::ConditionFailed | Kind::Conflict), "{failure}"),
            }
        }
    }
}

async fn swaps_lose_nothing(store: Shared) {
    const CLIENTS: usize = 8;
    const ROUNDS: usize = 8;
    let key = ".metadata/counter.json";
    put(&store, key, "0", Condition::Absent).await.expect("created");
    join_all((0..CLIENTS).map(|_| async {
        for _ in 0..ROUNDS {
            loop {
                let (etag, body) = get(&store, key).await;
                let count: usize = String::from_utf8(body).expect("text").parse().expect("a number");
                match put(&store, key, (count + 1).to_string(), Condition::Matches(etag)).await {
                    Ok(_) => break,
                    Err(failure) => assert!(matches!(failure.kind, Kind::ConditionFailed | Kind::Conflict), "{failure}"),
                }
            }
        }
    }))
    .await;
    assert_eq!(get(&store, key).await.1, (CLIENTS * ROUNDS).to_string().into_bytes());
}

async fn pages_show_every_key_once_in_order(store: Shared) {
    let expected: BTreeSet<String> = (0..2 * PAGE + 5).map(|number| format!(".metadata/many/{number:05}.json")).collect();
    put(&store, ".metadata/many.json", "before", Condition::Absent).await.expect("a PUT");
    put(&store, ".metadata/manz/x.json", "after", Condition::Absent).await.expect("a PUT");
    let written = stream::iter(&expected).map(|key| put(&store, key, "x", Condition::Absent)).buffer_unordered(16);
    written.for_each(|result| async { drop(result.expect("a PUT")) }).await;

    let listed = list_all(&*store, ".metadata/many/").await;
    assert!(listed.iter().map(|listed| &listed.key).eq(&expected));
    let first = store.list(".metadata/many/", None).await.expect("a LIST");
    assert_eq!(first.objects.len(), PAGE);
    assert_eq!(list_all(&*store, ".metadata/").await.len(), expected.len() + 2);

    let keys: Vec<String> = expected.into_iter().collect();
    for keys in keys.chunks(PAGE) {
        assert!(store.delete(keys).await.expect("deleted").date.is_some());
    }
    assert_eq!(list_all(&*store, ".metadata/many/").await, []);
    assert_eq!(list_all(&*store, ".metadata/").await.len(), 2, "nothing else was deleted");
}

async fn keys_come_in_the_order_of_their_bytes(store: Shared) {
    let mut keys = [
        ".metadata/.json",
        ".metadata/.root/segment-1.json",
        ".metadata/A.json",
        ".metadata/a-b/1.json",
        ".metadata/a.json",
        ".metadata/a/1.json",
        ".metadata/a/1/2.json",
        ".metadata/a/10.json",
        ".metadata/a/Z.json",
        ".metadata/a0/1.json",
        ".metadata/a_b/1.json",
        "other/x",
    ];
    for key in keys.iter().rev() {
        put(&store, key, *key, Condition::Absent).await.expect(key);
    }
    keys.sort_unstable();
    let listed = |prefix: &'static str| {
        let store = store.clone();
        async move { list_all(&*store, prefix).await.into_iter().map(|listed| listed.key).collect::<Vec<_>>() }
    };
    for prefix in ["", ".metadata/", ".metadata/a", ".metadata/a/", ".metadata/a/1", ".metadata/a/1/", ".metadata/b/", "x"] {
        let expected: Vec<_> = keys.iter().filter(|key| key.starts_with(prefix)).collect();
        assert_eq!(listed(prefix).await.iter().collect::<Vec<_>>(), expected, "under {prefix:?}");
    }
    for key in keys {
        assert_eq!(get(&store, key).await.1, key.as_bytes());
    }
}

async fn ranges_are_parts_of_one_content(store: Shared) {
    let body: Vec<u8> = (0..200_000u32).map(|number| (number % 251) as u8).collect();
    put(&store, ".metadata/a/rollup.json", body.clone(), Condition::Absent).await.expect("a PUT");
    let (etag, _) = get(&store, ".metadata/a/rollup.json").await;
    for (first, count) in [(0, 10), (5, 100_000), (199_990, 10), (199_990, 1_000), (0, 1_000_000)] {
        let options = GetOptions { range: Some((first, count)), matches: Some(etag.clone()), unless: None };
        let object = open(&*store, ".metadata/a/rollup.json", options).await.expect("a part");
        assert_eq!(object.size, 200_000);
        assert_eq!(object.etag, etag);
        let end = (first + count).min(200_000) as usize;
        assert_eq!(reading::body(object).await.expect("a body"), body[first as usize..end], "{count} bytes from {first}");
    }
    let beyond = GetOptions { range: Some((200_000, 1)), ..GetOptions::default() };
    assert_eq!(kind(open(&*store, ".metadata/a/rollup.json", beyond).await), Kind::Refused);
    put(&store, ".metadata/a/rollup.json", "new", Condition::Always).await.expect("a PUT");
    let of_old = GetOptions { range: Some((0, 2)), matches: Some(etag), unless: None };
    assert_eq!(kind(open(&*store, ".metadata/a/rollup.json", of_old).await), Kind::ConditionFailed);
}

async fn a_get_can_be_conditional(store: Shared) {
    put(&store, ".metadata/a/rollup.json", "one", Condition::Absent).await.expect("a PUT");
    let (etag, _) = get(&store, ".metadata/a/rollup.json").await;
    let unless = || GetOptions { unless: Some(etag.clone()), ..GetOptions::default() };
    match store.get(".metadata/a/rollup.json", unless()).await.expect("a GET") {
        Get::NotModified { date } => assert!(date.is_some()),
        Get::Found(_) => panic!("found, though it was not modified"),
    }
    put(&store, ".metadata/a/rollup.json", "two", Condition::Always).await.expect("a PUT");
    let object = open(&*store, ".metadata/a/rollup.json", unless()).await.expect("modified");
    assert!(object.date.is_some());
    assert_eq!(reading::body(object).await.expect("a body"), b"two");
}

async fn a_delete_of_what_is_not_there_is_none(store: Shared) {
    put(&store, ".metadata/a/1.json", "x", Condition::Absent).await.expect("a PUT");
    let keys = [".metadata/a/0.json", ".metadata/a/1.json", ".metadata/b/2.json"].map(str::to_owned);
    store.delete(&keys).await.expect("deleted");
    store.delete(&keys).await.expect("deleted again");
    assert_eq!(list_all(&*store, "").await, []);
    assert_eq!(kind(open(&*store, ".metadata/a/1.json", GetOptions::default()).await), Kind::NotFound);
}

async fn failures_carry_the_date(store: Shared) {
    let date = store.put(".metadata/a/1.json", Bytes::from_static(b"x"), Condition::Absent).await.expect("a PUT").date;
    let date = date.expect("a date");
    let refused = store.put(".metadata/a/1.json", Bytes::from_static(b"x"), Condition::Absent).await.expect_err("it is there");
    let absent = match store.get(".metadata/a/2.json", GetOptions::default()).await {
        Ok(_) => panic!("found, though it is not there"),
        Err(failure) => failure,
    };
    for failure in [refused, absent] {
        assert!(failure.date.is_some_and(|later| later >= date), "{failure}: {:?}", failure.date);
        assert!(!failure.message.contains("secret"));
    }
}

async fn large_bodies_go_through_whole(store: Shared) {
    let body: Vec<u8> = (0..8u32 << 20).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let etag = put(&store, ".metadata/a/rollup.json", body.clone(), Condition::Absent).await.expect("a PUT");
    let (held, read) = get(&store, ".metadata/a/rollup.json").await;
    assert!(read == body);
    assert!(etag.is_none_or(|etag| etag == held));
    let refused = put(&store, ".metadata/a/rollup.json", body.clone(), Condition::Absent).await;
    assert_eq!(kind(refused), Kind::ConditionFailed);
    let other = Condition::Matches(ETag("\"00000000000000000000000000000000\"".to_owned()));
    assert_eq!(kind(put(&store, ".metadata/a/rollup.json", body, other).await), Kind::ConditionFailed);
    assert_eq!(list_all(&*store, "").await[0].size, 8 << 20);
}

async fn readers_see_whole_contents(store: Shared) {
    const SIZE: usize = 300_000;
    put(&store, ".metadata/a.json", vec![0; SIZE], Condition::Absent).await.expect("a PUT");
    let write = async {
        for content in 1..=20 {
            put(&store, ".metadata/a.json", vec![content; SIZE], Condition::Always).await.expect("a PUT");
        }
    };
    let readers = join_all((0..3).map(|_| async {
        let mut last = 0;
        while last < 20 {
            let (_, body) = get(&store, ".metadata/a.json").await;
            assert_eq!(body.len(), SIZE);
            assert!(body.iter().all(|byte| *byte == body[0]), "two contents in one body");
            assert!(body[0] >= last, "an older content after a newer one");
            last = body[0];
        }
    }));
    tokio::join!(write, readers);
}

async fn stamps_and_tags_stay(store: Shared) {
    let mut dates: Vec<Stamp> = Vec::new();
    for number in 0..5 {
        let put = store.put(&format!(".metadata/a/{number}.json"), Bytes::from_static(b"x"), Condition::Absent).await.expect("a PUT");
        dates.push(put.date.expect("a date"));
    }
    let listed = list_all(&*store, ".metadata/").await;
    assert_eq!(listed.len(), 5);
    assert!(listed.is_sorted_by_key(|listed| listed.stamp), "stamps follow the order of the PUTs");
    for (listed, date) in listed.iter().zip(dates) {
        // A stamp is cut to a millisecond or a second at most, a `Date` to a second.
        let second = Duration::from_secs(1);
        assert!(listed.stamp <= date + second && listed.stamp + second + Duration::from_secs(10) >= date, "{listed:?} at {date}");
        assert_eq!(get(&store, &listed.key).await.0, listed.etag);
    }
    put(&store, ".metadata/b.json", "new", Condition::Absent).await.expect("a PUT");
    put(&store, ".metadata/b.json", "newer", Condition::Always).await.expect("a PUT");
    assert_eq!(list_all(&*store, ".metadata/a/").await, listed, "nothing changes a stamp but a change of the object");
    let page = store.list(".metadata/b", None).await.expect("a LIST");
    assert!(page.objects[0].stamp >= listed[4].stamp);
}

async fn an_empty_object_is_an_object(store: Shared) {
    put(&store, ".metadata/a/1.json", "", Condition::Absent).await.expect("a PUT");
    assert_eq!(get(&store, ".metadata/a/1.json").await.1, b"");
    assert_eq!(list_all(&*store, "").await[0].size, 0);
    assert_eq!(kind(put(&store, ".metadata/a/1.json", "", Condition::Absent).await), Kind::ConditionFailed);
}

async fn a_request_that_is_given_up_leaves_the_store_usable(store: Shared) {
    for size in [10, 3 << 20] {
        let key = format!(".metadata/a/{size}.json");
        for _ in 0..5 {
            let request = store.put(&key, vec![b'x'; size].into(), Condition::Absent);
            tokio::select! {
                biased;
                _ = request => {}
                () = tokio::task::yield_now() => {}
            }
        }
        // It was done or it was not, and nothing of it is in the way.
        match put(&store, &key, "mine", Condition::Absent).await {
            Ok(_) => assert_eq!(get(&store, &key).await.1, b"mine"),
            Err(failure) => {
                assert!(matches!(failure.kind, Kind::ConditionFailed | Kind::Conflict), "{failure}");
                if failure.kind == Kind::ConditionFailed {
                    assert_eq!(get(&store, &key).await.1, vec![b'x'; size]);
                }
            }
        }
    }
}

fn environment() -> Arc<dyn Environment> {
    Arc::new(Process::new(Handle::current()))
}

async fn the_probe_accepts_it(store: Shared) {
    put(&store, ".metadata/a.json", "mine", Condition::Absent).await.expect("a PUT");
    let begun = std::time::Instant::now();
    probe(&*store, &environment()).await.expect("accepted");
    println!("the probe of {} took {:?}", store.url(), begun.elapsed());
    let left: Vec<String> = list_all(&*store, "").await.into_iter().map(|listed| listed.key).collect();
    assert_eq!(left, [".metadata/a.json"], "the probe leaves nothing behind");
}

/// s3rver ignores conditions on a PUT.
#[cfg(feature = "s3")]
#[test]
fn the_probe_refuses_a_store_that_ignores_conditions() {
    block_on(async {
        let fresh = s3(servers::Product::S3rver).await;
        let error = probe(&*fresh.store, &environment()).await.expect_err("refused");
        assert_eq!(error.status, Status::UnsafeStore, "{error}");
        assert_eq!(error.details["ignored"], "If-None-Match");
        assert!(error.message.contains("If-None-Match") && error.message.contains(fresh.store.url()), "{error}");
        assert_eq!(list_all(&*fresh.store, "").await, [], "the probe leaves nothing behind");
    });
}
