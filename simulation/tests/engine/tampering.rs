//! A person deletes the rollup, or puts an old one back.

use super::stage::{NS, Proxy, ROLLUP, Replica, Stage, add, add_often, ask, digest, n, play, settings};
use async_trait::async_trait;
use bytes::Bytes;
use opjournal::Namespace;
use opjournal::store::{Condition, Failure, Kind, Put, Store};
use opjournal_simulation::store::{Bucket, Character};
use opjournal_simulation::world::ProcessId;
use serde_json::json;

/// The first PUT of a segment is done, and then nothing comes through any more.
struct CutOffAfterPut(Bucket, ProcessId);

#[async_trait]
impl Proxy for CutOffAfterPut {
    async fn put(&self, bucket: &dyn Store, key: &str, body: Bytes, condition: Condition) -> Result<Put, Failure> {
        let done = bucket.put(key, body, condition).await;
        if !key.contains("segment-") {
            return done;
        }
        self.0.cut_off(self.1, true);
        Err(Failure::new(Kind::Unavailable, "the connection broke before the answer"))
    }
}

/// A replica that is cut off, with a write whose outcome is open, and the query that asks for it.
async fn cut_off_with_an_open_segment(stage: &Stage) -> (Replica, Namespace, String) {
    let process = stage.world.process("b");
    let proxy = CutOffAfterPut(stage.bucket.clone(), process.id());
    let b = stage.replica_in(process.clone(), process.clone(), proxy, settings()).await;
    let on_b = b.open(NS).await;
    let write = on_b.submit(br#"{"op":"IntAdd","Key":"n","Delta":100}"#, b.after(1)).expect("accepted");
    let error = write.outcome().await.expect_err("nothing comes through");
    let segment = error.details["segment"].as_str().expect("an unknown outcome names its segment");
    let outcome = json!({"op": "Outcome", "Segment": segment}).to_string();
    (b, on_b, outcome)
}

#[test]
fn nothing_is_settled_as_failed_by_a_rollup_that_is_behind() {
    play(Character::plain(), |stage| async move {
        let (b, on_b, outcome) = cut_off_with_an_open_segment(&stage).await;

        // It is folded and deleted by another replica, of which nobody is left to put back what the person takes away.
        let a = stage.replica("a", settings()).await;
        let on_a = a.open(NS).await;
        add_often(&on_a, 5).await;
        stage.pause(40).await;
        assert_eq!((a.figure("namespaces.ns.folds"), stage.segments().await.len()), (1, 0));
        add(&on_a, 1).await.expect("applied");
        a.journal.close(None).await.expect("closed");
        let rollup = stage.read(ROLLUP).await;
        stage.store().delete(&[ROLLUP.to_owned()]).await.expect("deleted");

        stage.bucket.cut_off(b.process.id(), false);
        stage.pause(20).await;
        assert_eq!(b.journal.stats()["namespaces"]["ns"]["rollup_behind"], true);
        assert_eq!(ask(&on_b, &outcome), "unknown");
        stage.put(ROLLUP, &rollup.to_string()).await;
        stage.pause(10).await;
        assert_eq!(ask(&on_b, &outcome), "applied");
        assert_eq!(n(&on_b), 106);
    });
}

#[test]
fn nothing_is_settled_as_failed_once_something_that_was_listed_is_missed() {
    play(Character::plain(), |stage| async move {
        let a = stage.replica("a", settings()).await;
        let on_a = a.open(NS).await;
        add_often(&on_a, 4).await;
        let (b, on_b, outcome) = cut_off_with_an_open_segment(&stage).await;

        // All of it is folded and deleted, and nobody is left who knows of the rollup that is taken away then.
        stage.pause(40).await;
        assert_eq!((a.figure("namespaces.ns.folds"), stage.segments().await.len()), (1, 0));
        a.journal.close(None).await.expect("closed");
        stage.store().delete(&[ROLLUP.to_owned()]).await.expect("deleted");

        stage.bucket.cut_off(b.process.id(), false);
        stage.pause(20).await;
        assert_eq!(b.figure("namespaces.ns.vanished"), 4);
        assert_eq!(ask(&on_b, &outcome), "unknown");
        let stats = b.journal.stats();
        assert!(stats["namespaces"]["ns"]["open_segment"].is_null(), "later writes do not wait for what nobody can tell");
    });
}

#[test]
fn what_was_listed_and_is_in_no_rollup_any_more_is_missed_aloud() {
    play(Character::plain(), |stage| async move {
        let a = stage.replica("a", settings()).await;
        let on_a = a.open(NS).await;
        let b = stage.replica("b", settings()).await;
        let on_b = b.open(NS).await;
        add_often(&on_a, 4).await;
        on_b.flush(None).await.expect("flushed");
        assert_eq!(n(&on_b), 4);

        // It never held a rollup, and nothing that is left tells that there was one.
        stage.bucket.cut_off(b.process.id(), true);
        stage.pause(40).await;
        assert_eq!((a.figure("namespaces.ns.folds"), stage.segments().await.len()), (1, 0));
        a.journal.close(None).await.expect("closed");
        stage.store().delete(&[ROLLUP.to_owned()]).await.expect("deleted");
        stage.bucket.cut_off(b.process.id(), false);
        on_b.flush(None).await.expect("flushed");
        assert_eq!((n(&on_b), b.figure("namespaces.ns.vanished")), (0, 4));
    });
}

/// A replica that folded 14 segments, and the rollup of the first 6.
async fn fourteen_folded(stage: &Stage) -> (Replica, Namespace, serde_json::Value) {
    let (a, on_a) = stage.replica_that_folded().await;
    let six = stage.read(ROLLUP).await;
    add_often(&on_a, 8).await;
    stage.pause(60).await;
    assert_eq!((folded(stage).await, stage.segments().await.len()), (14, 0));
    (a, on_a, six)
}

/// Opens after an older rollup was restored, and folds four segments onto that.
async fn fold_onto_it(stage: &Stage) -> (Replica, Namespace) {
    let b = stage.replica("b", settings()).await;
    let on_b = b.open(NS).await;
    for _ in 0..4 {
        add(&on_b, 100).await.expect("applied");
    }
    while folded(stage).await < 10 {
        stage.pause(1).await;
    }
    assert_eq!(stage.segments().await.len(), 4, "folded, and not deleted yet");
    (b, on_b)
}

async fn folded(stage: &Stage) -> u64 {
    stage.read(ROLLUP).await["proof"]["count"].as_u64().expect("a count")
}

#[test]
fn a_rollup_that_folded_less_up_to_a_later_mark_gives_way_once_and_for_all() {
    play(Character::plain(), |stage| async move {
        let (a, on_a, six) = fourteen_folded(&stage).await;
        stage.bucket.cut_off(a.process.id(), true);
        stage.put(ROLLUP, &six.to_string()).await;
        let (b, on_b) = fold_onto_it(&stage).await;
        let mark = stage.read(ROLLUP).await["mark"].clone();

        // What it folded is not deleted before the other one comes back.
        stage.bucket.cut_off(b.process.id(), true);
        stage.bucket.cut_off(a.process.id(), false);
        on_a.flush(None).await.expect("flushed");
        stage.bucket.cut_off(b.process.id(), false);
        on_b.flush(None).await.expect("flushed");
        assert_eq!((n(&on_a), n(&on_b)), (414, 414), "what was folded onto the older one is listed still, and counts");
        assert_eq!(stage.read(ROLLUP).await["mark"], mark, "the later mark");
        stage.pause(60).await;
        let forward = a.figure("namespaces.ns.written_forward") + b.figure("namespaces.ns.written_forward");
        assert_eq!((forward, folded(&stage).await, digest(&on_a)), (1, 18, digest(&on_b)), "nobody puts anything back again");
    });
}

#[test]
fn a_rollup_that_folded_more_up_to_an_earlier_mark_is_taken_over() {
    play(Character::plain(), |stage| async move {
        let (a, _, six) = fourteen_folded(&stage).await;
        let fourteen = stage.read(ROLLUP).await;
        a.journal.close(None).await.expect("closed");
        stage.put(ROLLUP, &six.to_string()).await;
        let (b, on_b) = fold_onto_it(&stage).await;
        assert_eq!(n(&on_b), 406);

        stage.put(ROLLUP, &fourteen.to_string()).await;
        stage.pause(60).await;
        let c = stage.replica("c", settings()).await;
        let on_c = c.open(NS).await;
        assert_eq!((n(&on_b), b.figure("namespaces.ns.written_forward")), (414, 0));
        assert_eq!((digest(&on_c), folded(&stage).await), (digest(&on_b), 18));
    });
}
