//! Writes: what their callers are told, and what waits.

use super::stage::{NS, Proxy, add, append, ask, n, play, settings};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::join;
use opjournal::config::{Limits, Settings};
use opjournal::error::{Outcome, Status};
use opjournal::store::{Condition, Failure, Kind, Page, Put, Store};
use opjournal_simulation::store::Character;
use opjournal_simulation::world::{SECOND, World};
use serde_json::Value;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// An append of so many bytes of JSON to the list `l`.
fn append_of(bytes: usize) -> String {
    let around = r#"{"op":"ListAppend","Key":"l","Value":""}"#.len();
    format!(r#"{{"op":"ListAppend","Key":"l","Value":"{}"}}"#, "x".repeat(bytes - around))
}

#[test]
fn a_write_of_a_replica_that_is_cut_off_is_settled_when_it_is_back() {
    play(Character::plain(), |stage| async move {
        let a = stage.replica("a", settings()).await;
        let on_a = a.open(NS).await;
        add(&on_a, 1).await.expect("applied");
        stage.bucket.cut_off(a.process.id(), true);
        let write = on_a.submit(br#"{"op":"IntAdd","Key":"n","Delta":100}"#, a.after(5)).expect("accepted");
        stage.pause(1).await;
        let behind = on_a.submit(br#"{"op":"IntAdd","Key":"n","Delta":1000}"#, a.after(5)).expect("accepted");
        let error = write.outcome().await.expect_err("too late");
        assert_eq!((error.status, error.outcome), (Status::TimedOut, Outcome::Unknown));
        assert!(!error.retryable);
        let segment = error.details["segment"].as_str().expect("named").to_owned();
        let error = behind.outcome().await.expect_err("too late");
        assert_eq!((error.status, error.outcome), (Status::TimedOut, Outcome::None));
        let outcome = format!(r#"{{"op":"Outcome","Segment":"{segment}"}}"#);
        assert_eq!(ask(&on_a, &outcome), "unknown");
        stage.pause(20).await;
        stage.bucket.cut_off(a.process.id(), false);
        on_a.flush(None).await.expect("flushed");
        let told = ask(&on_a, &outcome);
        let expected = if told == "applied" { 101 } else { 1 };
        assert!(told == "applied" || told == "failed", "flush waits until the outcome is told, and it is {told}");
        assert_eq!(n(&on_a), expected);
        add(&on_a, 10).await.expect("later writes go on");
        assert_eq!(n(&on_a), expected + 10);
    });
}

#[test]
fn flush_waits_for_a_write_that_was_given_up_while_it_is_still_tried() {
    play(Character::plain(), |stage| async move {
        // D is 10 s: the write is given up by its caller long before its PUT is.
        let a = stage.replica("a", Settings::default()).await;
        let on_a = a.open(NS).await;
        add(&on_a, 1).await.expect("applied");
        stage.bucket.cut_off(a.process.id(), true);
        let write = on_a.submit(br#"{"op":"IntAdd","Key":"n","Delta":100}"#, a.after(1)).expect("accepted");
        let error = write.outcome().await.expect_err("too late");
        let segment = error.details["segment"].as_str().expect("named").to_owned();
        stage.bucket.cut_off(a.process.id(), false);
        on_a.flush(None).await.expect("flushed");
        assert_eq!(ask(&on_a, &format!(r#"{{"op":"Outcome","Segment":"{segment}"}}"#)), "applied");
        assert_eq!(n(&on_a), 101);
    });
}

#[test]
fn each_write_ends_at_its_own_deadline() {
    play(Character::plain(), |stage| async move {
        let a = stage.replica("a", Settings::default()).await;
        let on_a = a.open(NS).await;
        add(&on_a, 1).await.expect("applied");
        stage.bucket.cut_off(a.process.id(), true);
        let begun = stage.world.now();
        let ended = Arc::new(Mutex::new(Vec::new()));
        // The first is sent, the others wait behind it. The later ones are due earlier, and two of them are due nearly at once.
        for deadline in [7000, 5000, 3002, 3000, 6000].map(|millis| a.process.after(millis * (SECOND / 1000))) {
            let write = on_a.submit(br#"{"op":"IntAdd","Key":"n","Delta":100}"#, Some(deadline)).expect("accepted");
            let (ended, world) = (ended.clone(), stage.world.clone());
            write.listen(move |result| {
                let error = result.expect_err("nothing comes through");
                ended.lock().expect("no panic").push(((world.now() - begun) / (SECOND / 1000), error.status, error.outcome));
            });
            stage.world.sleep_until(stage.world.now() + SECOND / 1000).await;
        }
        stage.pause(8).await;
        let ended = ended.lock().expect("no panic").clone();
        let late = |millis, outcome| (millis, Status::TimedOut, outcome);
        let rest = [late(3000, Outcome::None), late(3005, Outcome::None), late(5000, Outcome::None), late(6000, Outcome::None)];
        assert_eq!(ended[..4], rest);
        assert_eq!(ended[4..], [late(7000, Outcome::Unknown)]);
    });
}

#[test]
fn what_waits_is_bounded_and_can_be_withdrawn() {
    play(Character::plain(), |stage| async move {
        // Room for five batches of 35 bytes, each of which counts 256 bytes beside its ops.
        let limits = Limits { waiting_bytes: 1500, ..Limits::default() };
        let a = stage.replica("a", Settings { limits, ..settings() }).await;
        let on_a = a.open(NS).await;
        stage.bucket.cut_off(a.process.id(), true);
        let ops = br#"{"op":"IntAdd","Key":"n","Delta":1}"#;
        let mut accepted = Vec::new();
        let busy = loop {
            match on_a.submit(ops, None) {
                Ok(write) => accepted.push(write),
                Err(error) => break error,
            }
            stage.world.sleep_until(stage.world.now() + SECOND / 100).await;
        };
        assert_eq!((busy.status, busy.retryable), (Status::Busy, true));
        assert_eq!(accepted.len(), 6, "one is on its way, five wait");
        let last = accepted.pop().expect("accepted");
        last.cancel();
        let error = last.outcome().await.expect_err("withdrawn");
        assert_eq!((error.status, error.outcome), (Status::Cancelled, Outcome::None));
        accepted.push(on_a.submit(ops, None).expect("there is room again"));
        stage.bucket.cut_off(a.process.id(), false);
        let outcomes = join_all(accepted.iter().map(|write| write.outcome())).await;
        let applied = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        assert_eq!(n(&on_a), applied as i64);
        assert!(applied + 1 >= outcomes.len(), "only the first was ever on its way while the store was away");
    });
}

#[test]
fn bad_names_and_batches_are_refused_with_their_place() {
    play(Character::plain(), |stage| async move {
        let a = stage.replica("a", settings()).await;
        for name in ["-a", "a/b", "a.b", ".root"] {
            let error = a.journal.namespace(name, None).await.err().expect("refused");
            assert_eq!(error.status, Status::Invalid);
            assert_eq!(error.details["namespace"], name);
        }
        let on_a = a.open("").await;
        let batch = br#"[{"op":"IntAdd","Key":"n","Delta":1},{"op":"IntAdd","Key":"n","Delta":"1"}]"#;
        let error = on_a.submit(batch, None).err().expect("refused");
        assert_eq!(error.status, Status::Invalid);
        assert_eq!((&error.details["op"], &error.details["field"]), (&Value::from(1), &Value::from("Delta")));
        assert_eq!(n(&on_a), 0, "a batch is refused whole");
        assert_eq!(a.figure("requests.put"), 0);
    });
}

#[test]
fn a_full_segment_is_no_longer_than_what_its_readers_take() {
    play(Character::plain(), |stage| async move {
        let limits = Limits { batch_bytes: 2000, segment_bytes: 4000, object_bytes: 4000, ..Limits::default() };
        let a = stage.replica("a", Settings { limits, ..settings() }).await;
        let on_a = a.open(NS).await;
        // With the commas between them 3,960 bytes of ops: there is room in a segment, but not for what is around them.
        let batches = [1200, 1200, 1200, 357].map(append_of);
        let writes = batches.each_ref().map(|ops| on_a.submit(ops.as_bytes(), None).expect("accepted"));
        for write in &writes {
            write.outcome().await.expect("applied");
        }
        on_a.flush(None).await.expect("nothing is unreadable");
        assert_eq!(ask(&on_a, r#"{"op":"ListLen","Key":"l"}"#), 4);
    });
}

#[test]
fn a_segment_that_nobody_could_read_is_not_written() {
    play(Character::plain(), |stage| async move {
        // A configuration as text is refused where an object may be smaller than a segment.
        let limits = Limits { batch_bytes: 2000, segment_bytes: 4000, object_bytes: 1000, ..Limits::default() };
        let a = stage.replica("a", Settings { limits, ..settings() }).await;
        let on_a = a.open(NS).await;
        let write = on_a.submit(append_of(1500).as_bytes(), None).expect("accepted");
        let error = write.outcome().await.expect_err("refused");
        assert_eq!((error.status, error.outcome), (Status::Internal, Outcome::None));
        add(&on_a, 1).await.expect("what follows goes on");
        assert_eq!(stage.segments().await.len(), 1);
    });
}

/// An uplink that carries one byte in each so many nanoseconds, and a store that takes its time for each PUT.
struct Uplink {
    world: World,
    each_byte: u64,
    each_put: u64,
}

#[async_trait]
impl Proxy for Uplink {
    async fn put(&self, bucket: &dyn Store, key: &str, body: Bytes, condition: Condition) -> Result<Put, Failure> {
        self.world.sleep_until(self.world.now() + self.each_put + self.each_byte * body.len() as u64).await;
        bucket.put(key, body, condition).await
    }
}

#[test]
fn an_attempt_has_time_for_its_bytes() {
    play(Character::plain(), |stage| async move {
        // 1 MB/s, and segments of 4 MiB.
        let uplink = Uplink { world: stage.world.clone(), each_byte: 1000, each_put: 0 };
        let a = stage.replica_behind(uplink, "a", Settings::default()).await;
        let on_a = a.open(NS).await;
        let ops = append_of(1_000_000);
        let writes: Vec<_> = (0..5).map(|_| on_a.submit(ops.as_bytes(), None).expect("accepted")).collect();
        for write in &writes {
            write.outcome().await.expect("applied");
        }
        assert_eq!(a.figure("requests.put"), 2, "a full segment and the rest, each at its first attempt");
    });
}

#[test]
fn the_second_attempt_has_all_the_time_that_is_left() {
    play(Character::plain(), |stage| async move {
        let slow = Uplink { world: stage.world.clone(), each_byte: 0, each_put: 5 * SECOND };
        let a = stage.replica_behind(slow, "a", Settings::default()).await;
        let on_a = a.open(NS).await;
        add(&on_a, 1).await.expect("applied");
        assert_eq!(a.figure("requests.put"), 2);
    });
}

/// The network sends the first PUT twice: one copy is done, the other meets it under way. Every later one is refused.
#[derive(Default)]
struct DoneAndRefused {
    was_sent: AtomicBool,
}

#[async_trait]
impl Proxy for DoneAndRefused {
    async fn put(&self, bucket: &dyn Store, key: &str, body: Bytes, condition: Condition) -> Result<Put, Failure> {
        if self.was_sent.swap(true, Ordering::SeqCst) {
            return Err(Failure::new(Kind::Denied, "the token has expired"));
        }
        bucket.put(key, body, condition).await?;
        Err(Failure::new(Kind::Conflict, "another request for this key is on its way"))
    }
}

#[test]
fn a_refusal_after_a_conflict_is_no_certain_failure() {
    play(Character::plain(), |stage| async move {
        let a = stage.replica_behind(DoneAndRefused::default(), "a", settings()).await;
        let on_a = a.open(NS).await;
        add(&on_a, 1).await.expect("a LIST shows that it was applied");
        assert_eq!((n(&on_a), a.figure("namespaces.ns.settled_applied")), (1, 1));
    });
}

/// Refuses everything from some time on, without a `Date`.
struct Refusing(Arc<AtomicBool>);

impl Refusing {
    fn check(&self) -> Result<(), Failure> {
        if self.0.load(Ordering::SeqCst) { Err(Failure::new(Kind::Denied, "there are no credentials")) } else { Ok(()) }
    }
}

#[async_trait]
impl Proxy for Refusing {
    async fn put(&self, bucket: &dyn Store, key: &str, body: Bytes, condition: Condition) -> Result<Put, Failure> {
        self.check()?;
        bucket.put(key, body, condition).await
    }

    async fn list(&self, bucket: &dyn Store, prefix: &str, after: Option<&str>) -> Result<Page, Failure> {
        let page = bucket.list(prefix, after).await;
        self.check()?;
        page
    }
}

#[test]
fn a_write_without_store_time_is_refused_with_what_ticks_end_with() {
    play(Character::plain(), |stage| async move {
        let refuses = Arc::new(AtomicBool::new(false));
        let a = stage.replica_behind(Refusing(refuses.clone()), "a", settings()).await;
        let on_a = a.open(NS).await;
        refuses.store(true, Ordering::SeqCst);
        // Ten minutes later no sample of store time is young enough.
        stage.pause(700).await;
        let before = a.figure("requests.list");
        let write = on_a.submit(br#"{"op":"IntAdd","Key":"n","Delta":1}"#, a.after(30)).expect("accepted");
        let error = write.outcome().await.expect_err("refused");
        assert_eq!((error.status, error.outcome), (Status::Denied, Outcome::None));
        assert!(a.figure("requests.list") - before <= 2);
        refuses.store(false, Ordering::SeqCst);
        on_a.flush(None).await.expect("flushed");
        add(&on_a, 1).await.expect("applied");
        assert_eq!(n(&on_a), 1);
    });
}

/// A store whose clocks are further apart than is assumed: LIST shows segments with a stamp a minute ahead of the `Date` of answers. The
/// answer to the first PUT is lost, and the next one comes once a tick has seen what the first one did.
struct ClocksApart {
    world: World,
    was_sent: AtomicBool,
    /// LISTs that showed it. The second one tells that a tick is done with the first.
    lists: AtomicUsize,
}

#[async_trait]
impl Proxy for ClocksApart {
    async fn put(&self, bucket: &dyn Store, key: &str, body: Bytes, condition: Condition) -> Result<Put, Failure> {
        if !self.was_sent.swap(true, Ordering::SeqCst) {
            bucket.put(key, body, condition).await?;
            return Err(Failure::new(Kind::Unavailable, "the connection broke before the answer"));
        }
        while self.lists.load(Ordering::SeqCst) < 2 {
            self.world.sleep_until(self.world.now() + SECOND / 100).await;
        }
        bucket.put(key, body, condition).await
    }

    async fn list(&self, bucket: &dyn Store, prefix: &str, after: Option<&str>) -> Result<Page, Failure> {
        let mut page = bucket.list(prefix, after).await?;
        for object in &mut page.objects {
            object.stamp = object.stamp + Duration::from_secs(60);
        }
        self.lists.fetch_add(page.objects.len(), Ordering::SeqCst);
        Ok(page)
    }
}

#[test]
fn what_a_list_shows_as_void_is_not_acknowledged() {
    play(Character::plain(), |stage| async move {
        let clocks = ClocksApart { world: stage.world.clone(), was_sent: AtomicBool::new(false), lists: AtomicUsize::new(0) };
        let often = Settings { sync_interval: Duration::from_millis(200), ..settings() };
        let a = stage.replica_behind(clocks, "a", often).await;
        let on_a = a.open(NS).await;
        let error = add(&on_a, 1).await.expect_err("it counts nowhere");
        assert_eq!((error.status, error.outcome), (Status::Unavailable, Outcome::None));
        assert_eq!((n(&on_a), a.figure("namespaces.ns.settled_failed")), (0, 1));
    });
}

/// A LIST of two pages: the first is older than the first segment, the second shows the next one, whose PUT goes on until somebody looked.
#[derive(Clone)]
struct TwoPages {
    world: World,
    first: Arc<Mutex<Option<String>>>,
    is_second_there: Arc<AtomicBool>,
    was_looked_at: Arc<AtomicBool>,
}

impl TwoPages {
    async fn until(&self, flag: &AtomicBool) {
        while !flag.load(Ordering::SeqCst) {
            self.world.sleep_until(self.world.now() + SECOND / 1000).await;
        }
    }
}

#[async_trait]
impl Proxy for TwoPages {
    async fn put(&self, bucket: &dyn Store, key: &str, body: Bytes, condition: Condition) -> Result<Put, Failure> {
        let is_first = self.first.lock().expect("no panic").get_or_insert_with(|| key.to_owned()) == key;
        let put = bucket.put(key, body, condition).await;
        if !is_first {
            self.is_second_there.store(true, Ordering::SeqCst);
            self.until(&self.was_looked_at).await;
        }
        put
    }

    async fn list(&self, bucket: &dyn Store, prefix: &str, after: Option<&str>) -> Result<Page, Failure> {
        if self.was_looked_at.load(Ordering::SeqCst) {
            return bucket.list(prefix, after).await;
        }
        self.until(&self.is_second_there).await;
        let mut page = bucket.list(prefix, after).await?;
        let first = self.first.lock().expect("no panic").clone();
        page.objects.retain(|object| Some(&object.key) != first.as_ref());
        Ok(page)
    }
}

#[test]
fn what_is_on_its_way_stays_behind_what_was_acknowledged() {
    play(Character::plain(), |stage| async move {
        let pages = TwoPages {
            world: stage.world.clone(),
            first: Arc::default(),
            is_second_there: Arc::default(),
            was_looked_at: Arc::new(AtomicBool::new(true)),
        };
        let a = stage.replica_behind(pages.clone(), "a", settings()).await;
        let on_a = a.open(NS).await;
        pages.was_looked_at.store(false, Ordering::SeqCst);
        let flush = on_a.flush(None);
        let writes = async {
            append(&on_a, 1).await;
            append(&on_a, 2).await;
        };
        let numbers = || {
            let entries = ask(&on_a, r#"{"op":"ListEntries","Key":"l"}"#);
            entries.as_array().expect("a list").iter().map(|entry| entry.as_str().expect("a string")[..4].to_owned()).collect::<Vec<_>>()
        };
        let look = async {
            flush.await.expect("flushed");
            assert_eq!(numbers(), ["0001", "0002"]);
            pages.was_looked_at.store(true, Ordering::SeqCst);
        };
        join!(look, writes);
        assert_eq!(numbers(), ["0001", "0002"]);
    });
}

#[test]
fn a_write_keeps_the_interval_though_another_was_withdrawn_before_it() {
    play(Character::plain(), |stage| async move {
        let slow = Settings { commit_interval: Duration::from_secs(60), ..settings() };
        let a = stage.replica("a", slow).await;
        let on_a = a.open(NS).await;
        let add = || on_a.submit(br#"{"op":"IntAdd","Key":"n","Delta":1}"#, None).expect("accepted");
        // After a segment of several batches the next one waits a moment for their callers.
        for write in [add(), add(), add()] {
            write.outcome().await.expect("applied");
        }
        let segments = a.figure("namespaces.ns.segments");
        let withdrawn = add();
        stage.pause(1).await;
        withdrawn.cancel();
        stage.world.sleep_until(stage.world.now() + 100_000).await;
        let kept = add();
        stage.pause(40).await;
        assert_eq!(a.figure("namespaces.ns.segments"), segments, "the interval is not over");
        kept.outcome().await.expect("applied");
    });
}
