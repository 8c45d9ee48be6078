//! The engine's behaviour, one scenario at a time, in the simulated world: what a replica does, what it asks of the store, and what it
//! says when an object is bad. `tests/simulation.rs` is the other half: random fleets under faults.

#[allow(dead_code)]
mod simulation {
    pub mod dice;
    pub mod faults;
    pub mod store;
    pub mod world;
}

use bytes::Bytes;
use futures_util::future::join_all;
use opjournal::config::{Compaction, Limits, Settings};
use opjournal::environment::Environment;
use opjournal::error::{Error, Outcome, Status};
use opjournal::store::{Condition, Get, GetOptions, Store};
use opjournal::time::Reading;
use opjournal::{Journal, Namespace};
use serde_json::Value;
use simulation::store::{Bucket, Character};
use simulation::world::{Process, SECOND, Scheduling, World};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

const NS: &str = "ns";

/// A world with one bucket.
#[derive(Clone)]
struct Stage {
    world: World,
    bucket: Bucket,
}

/// A replica, alone in its process.
struct Replica {
    process: Arc<Process>,
    journal: Journal,
}

/// Plays a scenario to its end.
fn play<F: Future<Output = ()> + Send + 'static>(character: Character, scenario: impl FnOnce(Stage) -> F) {
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
fn settings() -> Settings {
    Settings {
        sync_interval: Duration::from_secs(2),
        compaction: Compaction { segment_threshold: 4, age_threshold: Duration::from_secs(6) },
        ..Settings::default()
    }
}

impl Stage {
    async fn replica(&self, name: &str, settings: Settings) -> Replica {
        let process = self.world.process(name);
        let journal = Journal::open(settings, self.bucket.client(&process), process.clone(), None).await.expect("the bucket is there");
        Replica { process, journal }
    }

    /// A replica that wrote six segments and folded them.
    async fn replica_that_folded(&self) -> (Replica, Namespace) {
        let replica = self.replica("a", settings()).await;
        let namespace = replica.open(NS).await;
        for _ in 0..6 {
            add(&namespace, 1).await.expect("applied");
        }
        self.pause(30).await;
        assert_eq!(replica.figure("namespaces.ns.folds"), 1);
        (replica, namespace)
    }

    /// The bucket, past every replica.
    fn store(&self) -> Arc<dyn Store> {
        self.bucket.client(&self.world.process("person"))
    }

    async fn put(&self, key: &str, body: &str) {
        self.store().put(key, Bytes::from(body.to_owned()), Condition::Always).await.expect("stored");
    }

    async fn keys(&self) -> Vec<String> {
        self.store().list("", None).await.expect("listed").objects.into_iter().map(|object| object.key).collect()
    }

    async fn has(&self, key: &str) -> bool {
        matches!(self.store().get(key, GetOptions::default()).await, Ok(Get::Found(_)))
    }

    async fn pause(&self, seconds: u64) {
        self.world.sleep_until(self.world.now() + seconds * SECOND).await;
    }
}

impl Replica {
    async fn open(&self, name: &str) -> Namespace {
        self.journal.namespace(name, None).await.expect("the namespace opens")
    }

    fn after(&self, seconds: u64) -> Option<Reading> {
        Some(self.process.now() + Duration::from_secs(seconds))
    }

    /// A figure of the replica's statistics: `requests.list`, `namespaces.ns.tail`.
    fn figure(&self, path: &str) -> u64 {
        let stats = self.journal.stats();
        let value = path.split('.').fold(&stats, |value, member| &value[member]);
        value.as_u64().unwrap_or_else(|| panic!("{path} is {value}"))
    }
}

async fn add(namespace: &Namespace, delta: i64) -> Result<String, Error> {
    let ops = format!(r#"{{"op":"IntAdd","Key":"n","Delta":{delta}}}"#);
    namespace.submit(ops.as_bytes(), None)?.outcome().await.map(|applied| applied.segment)
}

/// An append of a value large enough that rollups are not read whole.
async fn append(namespace: &Namespace, number: usize) {
    let ops = format!(r#"{{"op":"ListAppend","Key":"l","Value":"{number:04}{}"}}"#, "x".repeat(2000));
    namespace.submit(ops.as_bytes(), None).expect("accepted").outcome().await.expect("applied");
}

fn ask(namespace: &Namespace, query: &str) -> Value {
    let mut out = Vec::new();
    namespace.query(query.as_bytes(), &mut out).expect("ready");
    serde_json::from_slice(&out).expect("JSON")
}

fn n(namespace: &Namespace) -> i64 {
    ask(namespace, r#"{"op":"IntGet","Key":"n"}"#).as_i64().expect("an integer")
}

fn digest(namespace: &Namespace) -> Value {
    ask(namespace, r#"{"op":"Digest"}"#)["sha256"].clone()
}

fn status<T>(result: Result<T, Error>) -> Status {
    result.err().expect("refused").status
}

#[test]
fn flush_shows_what_was_acknowledged_anywhere() {
    play(Character::plain(), |stage| async move {
        let (a, b) = (stage.replica("a", settings()).await, stage.replica("b", settings()).await);
        let (on_a, on_b) = (a.open(NS).await, b.open(NS).await);
        for _ in 0..5 {
            add(&on_a, 1).await.expect("applied");
            add(&on_b, 10).await.expect("applied");
        }
        on_a.flush(None).await.expect("flushed");
        on_b.flush(None).await.expect("flushed");
        assert_eq!((n(&on_a), n(&on_b)), (55, 55));
        assert_eq!(digest(&on_a), digest(&on_b));
    });
}

#[test]
fn a_quiet_tick_is_one_list() {
    play(Character::plain(), |stage| async move {
        let a = stage.replica("a", settings()).await;
        let namespace = a.open(NS).await;
        add(&namespace, 1).await.expect("applied");
        namespace.flush(None).await.expect("flushed");
        let (lists, gets) = (a.figure("requests.list"), a.figure("requests.get"));
        for _ in 0..10 {
            namespace.flush(None).await.expect("flushed");
        }
        assert_eq!((a.figure("requests.list") - lists, a.figure("requests.get") - gets), (10, 0));
    });
}

#[test]
fn flushes_that_wait_together_share_a_tick() {
    play(Character::plain(), |stage| async move {
        let a = stage.replica("a", settings()).await;
        let namespace = a.open(NS).await;
        let lists = a.figure("requests.list");
        let flushes = join_all((0..64).map(|_| namespace.flush(None))).await;
        assert!(flushes.iter().all(Result::is_ok));
        assert!(a.figure("requests.list") - lists <= 2);
    });
}

#[test]
fn namespaces_share_a_list_where_that_is_cheaper() {
    play(Character::plain(), |stage| async move {
        let a = stage.replica("a", settings()).await;
        let mut namespaces = Vec::new();
        for number in 0..50 {
            namespaces.push(a.open(&format!("n{number}")).await);
        }
        add(&namespaces[7], 1).await.expect("applied");
        stage.pause(10).await;
        let (lists, gets) = (a.figure("requests.list"), a.figure("requests.get"));
        stage.pause(60).await;
        let lists = a.figure("requests.list") - lists;
        assert!((25..=35).contains(&lists), "60 s are 30 ticks, and {lists} LISTs were sent");
        assert_eq!(a.figure("requests.get"), gets);
        let b = stage.replica("b", settings()).await;
        let elsewhere = b.open("n7").await;
        add(&elsewhere, 5).await.expect("applied");
        stage.pause(5).await;
        assert_eq!(n(&namespaces[7]), 6, "what others write arrives through the shared LIST");
    });
}

#[test]
fn segments_are_folded_and_deleted_and_followed_without_a_download() {
    play(Character::plain(), |stage| async move {
        let (a, b) = (stage.replica("a", settings()).await, stage.replica("b", settings()).await);
        let (on_a, on_b) = (a.open(NS).await, b.open(NS).await);
        for round in 0..12 {
            append(&on_a, round).await;
            stage.pause(2).await;
        }
        stage.pause(30).await;
        let folds = a.figure("namespaces.ns.folds") + b.figure("namespaces.ns.folds");
        assert!(folds >= 2, "{folds} folds");
        let rest = stage.keys().await.into_iter().filter(|key| key.contains("segment-")).count();
        assert!(rest < 4, "{rest} segments are left");
        // The first rollup is downloaded by who did not write it: a legacy object that only the other saw may be in it.
        assert_eq!(a.figure("namespaces.ns.downloaded") + b.figure("namespaces.ns.downloaded"), 1);
        assert_eq!(a.figure("namespaces.ns.advanced") + b.figure("namespaces.ns.advanced"), folds - 1);
        assert_eq!(digest(&on_a), digest(&on_b));
        let c = stage.replica("c", settings()).await;
        let on_c = c.open(NS).await;
        assert_eq!(digest(&on_c), digest(&on_a));
        assert_eq!(c.figure("namespaces.ns.downloaded"), 1);
    });
}

#[test]
fn a_rollup_that_a_person_deletes_is_put_back() {
    play(Character::plain(), |stage| async move {
        let (a, _on_a) = stage.replica_that_folded().await;
        stage.store().delete(&[".metadata/ns/rollup.json".into()]).await.expect("deleted");
        stage.pause(5).await;
        assert_eq!(a.figure("namespaces.ns.written_forward"), 1);
        let b = stage.replica("b", settings()).await;
        assert_eq!(n(&b.open(NS).await), 6);
    });
}

#[test]
fn a_lost_rollup_is_noticed_by_who_starts_anew() {
    play(Character::plain(), |stage| async move {
        let (a, on_a) = stage.replica_that_folded().await;
        add(&on_a, 1).await.expect("applied");
        a.journal.close(None).await.expect("nothing is open");
        stage.store().delete(&[".metadata/ns/rollup.json".into()]).await.expect("deleted");
        let b = stage.replica("b", settings()).await;
        let error = b.journal.namespace(NS, b.after(60)).await.err().expect("refused");
        assert_eq!(error.status, Status::RollupLost);
        assert!(error.message.contains(".metadata/ns/rollup.json") && error.message.contains('6'), "{error}");
        assert!(!stage.has(".metadata/ns/rollup.json").await);
    });
}

#[test]
fn an_unreadable_segment_degrades_and_quarantine_heals() {
    play(Character::plain(), |stage| async move {
        let a = stage.replica("a", settings()).await;
        let on_a = a.open(NS).await;
        add(&on_a, 1).await.expect("applied");
        let bad = "segment-01999999-0000-7000-8000-000000000000.json";
        stage.put(&format!(".metadata/ns/{bad}"), r#"{"ops":[{"op":"SetTTL","Key":"a"}]}"#).await;
        let error = on_a.flush(None).await.expect_err("degraded");
        assert_eq!(error.status, Status::Unreadable);
        assert!(error.message.contains(bad) && error.message.contains("SetTTL"), "{error}");
        // What is open goes on.
        for _ in 0..8 {
            add(&on_a, 1).await.expect("applied");
        }
        assert_eq!(n(&on_a), 9);
        stage.pause(40).await;
        assert_eq!(a.figure("namespaces.ns.folds"), 0, "no fold passes it");
        let b = stage.replica("b", settings()).await;
        assert_eq!(status(b.journal.namespace(NS, None).await), Status::Unreadable);
        let degraded = stage.replica("d", Settings { allow_degraded: true, ..settings() }).await;
        assert_eq!(n(&degraded.open(NS).await), 9);
        let good = add(&on_a, 0).await.expect("applied");
        assert_eq!(status(on_a.quarantine(&good, None).await), Status::Invalid);
        let place = on_a.quarantine(bad, None).await.expect("moved");
        assert_eq!(place, format!(".metadata/.quarantine/ns/{bad}"));
        assert!(stage.has(&place).await && !stage.has(&format!(".metadata/ns/{bad}")).await);
        on_a.flush(None).await.expect("healed");
        let on_b = b.open(NS).await;
        assert_eq!(n(&on_b), 9);
        stage.pause(40).await;
        assert!(a.figure("namespaces.ns.folds") + b.figure("namespaces.ns.folds") > 0);
        assert_eq!(digest(&on_a), digest(&on_b));
    });
}

#[test]
fn a_newer_format_is_told_and_never_moved() {
    play(Character::plain(), |stage| async move {
        let a = stage.replica("a", Settings { allow_degraded: true, ..settings() }).await;
        let newer = "segment-01999999-0000-7000-8000-000000000000.json";
        stage.put(&format!(".metadata/ns/{newer}"), r#"{"format":2,"ops":[]}"#).await;
        let on_a = a.open(NS).await;
        let error = on_a.quarantine(newer, None).await.expect_err("refused");
        assert!(error.message.contains("newer"), "{error}");
        assert!(stage.has(&format!(".metadata/ns/{newer}")).await);
    });
}

#[test]
fn an_unreadable_rollup_serves_on_and_opens_nothing() {
    play(Character::plain(), |stage| async move {
        let (_a, on_a) = stage.replica_that_folded().await;
        stage.put(".metadata/ns/rollup.json", r#"{"format":9,"state":{}}"#).await;
        assert_eq!(status(on_a.flush(None).await), Status::Unreadable);
        assert_eq!(n(&on_a), 6);
        let b = stage.replica("b", settings()).await;
        let error = b.journal.namespace(NS, None).await.err().expect("refused");
        assert_eq!(error.status, Status::Unreadable);
        assert_eq!(error.details["object"], ".metadata/ns/rollup.json");
    });
}

#[test]
fn a_legacy_object_is_read_and_pinned_when_there_is_something_to_fold() {
    play(Character::plain(), |stage| async move {
        stage.put(".metadata/ns.json", r#"{"n": 41}"#).await;
        let a = stage.replica("a", settings()).await;
        let on_a = a.open(NS).await;
        assert_eq!(n(&on_a), 41);
        stage.pause(20).await;
        assert_eq!(stage.keys().await, [".metadata/ns.json"], "reading writes nothing");
        for _ in 0..6 {
            add(&on_a, 1).await.expect("applied");
        }
        stage.pause(30).await;
        assert!(stage.has(".metadata/ns/rollup.json").await);
        let b = stage.replica("b", settings()).await;
        assert_eq!(n(&b.open(NS).await), 47);
    });
}

#[test]
fn a_damaged_legacy_object_counts_as_absent() {
    for damage in ["", "42", "null", r#"{"n": 4"#] {
        play(Character::plain(), move |stage| async move {
            stage.put(".metadata/ns.json", damage).await;
            let a = stage.replica("a", settings()).await;
            assert_eq!(ask(&a.open(NS).await, r#"{"op":"State"}"#), serde_json::json!({}));
        });
    }
}

#[test]
fn read_only_never_writes() {
    play(Character::plain(), |stage| async move {
        let a = stage.replica("a", settings()).await;
        let on_a = a.open(NS).await;
        let reader = stage.replica("reader", Settings { read_only: true, ..settings() }).await;
        let on_reader = reader.open(NS).await;
        for _ in 0..6 {
            add(&on_a, 1).await.expect("applied");
        }
        a.journal.close(None).await.expect("nothing is open");
        assert_eq!(add(&on_reader, 1).await.expect_err("refused").status, Status::ReadOnly);
        assert_eq!(status(on_reader.quarantine("segment-x.json", None).await), Status::ReadOnly);
        stage.pause(60).await;
        assert_eq!(n(&on_reader), 6);
        assert_eq!((reader.figure("requests.put"), reader.figure("requests.delete")), (0, 0));
    });
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
fn what_waits_is_bounded_and_can_be_withdrawn() {
    play(Character::plain(), |stage| async move {
        let limits = Limits { waiting_bytes: 200, ..Limits::default() };
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
fn close_lets_writes_finish_and_tells_what_stays_open() {
    play(Character::plain(), |stage| async move {
        let a = stage.replica("a", settings()).await;
        let on_a = a.open(NS).await;
        let writes: Vec<_> = (0..10).map(|_| on_a.submit(br#"{"op":"IntAdd","Key":"n","Delta":1}"#, None).expect("accepted")).collect();
        a.journal.close(None).await.expect("all finished");
        for write in &writes {
            write.outcome().await.expect("applied");
        }
        assert_eq!(add(&on_a, 1).await.expect_err("closed").status, Status::Closed);
        assert_eq!(status(a.journal.namespace(NS, None).await), Status::Closed);
        a.journal.close(None).await.expect("closing twice is fine");

        let b = stage.replica("b", settings()).await;
        let on_b = b.open(NS).await;
        assert_eq!(n(&on_b), 10);
        stage.bucket.cut_off(b.process.id(), true);
        let sent = on_b.submit(br#"{"op":"IntAdd","Key":"n","Delta":1}"#, None).expect("accepted");
        stage.pause(1).await;
        let waiting = on_b.submit(br#"{"op":"IntAdd","Key":"n","Delta":1}"#, None).expect("accepted");
        let error = b.journal.close(b.after(3)).await.expect_err("one stays open");
        assert_eq!((error.status, error.outcome), (Status::TimedOut, Outcome::Unknown));
        let told = sent.outcome().await.expect_err("nobody waits any more");
        assert_eq!((told.status, told.outcome), (Status::Closed, Outcome::Unknown));
        let segment = told.details["segment"].as_str().expect("named");
        assert_eq!(error.details["unknown"][0], format!("ns/{segment}"));
        let told = waiting.outcome().await.expect_err("never sent");
        assert_eq!((told.status, told.outcome), (Status::Closed, Outcome::None));
    });
}

#[test]
fn a_namespace_that_is_opened_again_while_it_closes_goes_on() {
    play(Character::plain(), |stage| async move {
        let a = stage.replica("a", settings()).await;
        let first = a.open(NS).await;
        let write = first.submit(br#"{"op":"IntAdd","Key":"n","Delta":1}"#, None).expect("accepted");
        first.close();
        first.close();
        assert_eq!(add(&first, 1).await.expect_err("closed").status, Status::Closed);
        let again = a.open(NS).await;
        write.outcome().await.expect("accepted writes finish");
        add(&again, 1).await.expect("applied");
        assert_eq!(n(&again), 2);
    });
}

#[test]
fn a_namespace_opens_when_the_store_is_back() {
    play(Character::plain(), |stage| async move {
        let a = stage.replica("a", settings()).await;
        stage.bucket.cut_off(a.process.id(), true);
        let error = a.journal.namespace(NS, a.after(30)).await.err().expect("no answer");
        assert_eq!(error.status, Status::Unavailable);
        stage.bucket.cut_off(a.process.id(), false);
        let namespace = a.open(NS).await;
        assert_eq!(n(&namespace), 0);
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
