//! Together with the other implementation of the bucket format, the peer: it folds without a proof, and the next fold here
//! begins a new chain, whose count may be smaller than that of the chain before it.

use super::stage::{NS, ROLLUP, Replica, Stage, add, add_often, digest, n, play, settings};
use opjournal::Namespace;
use opjournal::config::{Compaction, Settings};
use opjournal::error::Status;
use opjournal_simulation::store::Character;
use serde_json::{Value, json};

const PEERS: &str = ".metadata/ns/segment-01999999-0000-7000-8000-000000000001.json";

/// The peer adds 10 to `n`, and folds everything that is listed, which makes `n` what is given.
async fn peer_folds(stage: &Stage, n: i64) {
    stage.put(PEERS, r#"{"ops":[{"op":"IntAdd","Key":"n","Delta":10}]}"#).await;
    let listed = stage.store().list(".metadata/ns/segment-", None).await.expect("listed").objects;
    let last = listed.iter().max_by_key(|segment| (segment.stamp, &segment.key)).expect("one at least");
    let mark = json!({ "lm": last.stamp.to_string(), "key": last.key.trim_start_matches(".metadata/ns/") });
    stage.put(ROLLUP, &json!({ "state": { "n": n }, "mark": mark }).to_string()).await;
}

/// The peer deletes what it folded.
async fn peer_deletes(stage: &Stage) {
    let keys: Vec<String> = stage.segments().await.iter().map(|name| format!(".metadata/ns/{name}")).collect();
    stage.store().delete(&keys).await.expect("deleted");
}

/// The peer folds and deletes the six that were there, and a replica that never saw their count folds four of its own.
async fn a_chain_that_begins_at_four(stage: &Stage) -> (Replica, Namespace) {
    peer_folds(stage, 16).await;
    peer_deletes(stage).await;
    let b = stage.replica("b", settings()).await;
    let on_b = b.open(NS).await;
    assert_eq!(n(&on_b), 16);
    add_often(&on_b, 4).await;
    stage.pause(40).await;
    assert_eq!(stage.read(ROLLUP).await["proof"]["count"], 4);
    (b, on_b)
}

#[test]
fn a_fold_by_the_peer_is_taken_over_and_the_next_own_fold_begins_a_chain() {
    play(Character::plain(), |stage| async move {
        let (a, on_a) = stage.replica_that_folded().await;
        assert_eq!(stage.read(ROLLUP).await["proof"]["since"], Value::Null, "this chain began with the namespace");
        add_often(&on_a, 3).await;
        peer_folds(&stage, 19).await;
        on_a.flush(None).await.expect("flushed");
        assert_eq!(n(&on_a), 19);
        assert_eq!(stage.segments().await.len(), 4, "the peer left what it folded listed");

        // Which chain the next fold will count in is not known yet.
        let segment = stage.read(&format!(".metadata/ns/{}", add(&on_a, 1).await.expect("applied"))).await;
        assert_eq!((&segment["folded"], &segment["since"]), (&json!(6), &Value::Null));
        add_often(&on_a, 3).await;
        while a.figure("namespaces.ns.folds") < 2 {
            stage.pause(1).await;
            assert_eq!(n(&on_a), 23);
        }
        let proof = stage.read(ROLLUP).await["proof"].clone();
        assert_eq!(proof["count"], 10, "the count goes on");
        assert!(proof["since"].is_string());
        let names =
            proof["folded"].as_array().expect("folds").iter().map(|fold| fold["keys"].as_array().expect("keys").len()).sum::<usize>();
        assert_eq!(names, 8, "what the peer folded is named as well, for it is listed still");
        for _ in 0..15 {
            on_a.flush(None).await.expect("flushed");
            assert_eq!((n(&on_a), a.figure("namespaces.ns.strays")), (23, 0));
            stage.pause(2).await;
        }
        assert_eq!(stage.segments().await, Vec::<String>::new(), "all that was folded is deleted");

        let segment = stage.read(&format!(".metadata/ns/{}", add(&on_a, 1).await.expect("applied"))).await;
        assert_eq!((&segment["folded"], &segment["since"]), (&json!(10), &proof["since"]));
        let b = stage.replica("b", settings()).await;
        let on_b = b.open(NS).await;
        assert_eq!(n(&on_b), 24);
        on_a.flush(None).await.expect("flushed");
        assert_eq!(digest(&on_a), digest(&on_b));
    });
}

#[test]
fn a_replica_that_was_away_takes_over_a_chain_that_began_at_a_smaller_count() {
    play(Character::plain(), |stage| async move {
        let (a, on_a) = stage.replica_that_folded().await;
        stage.bucket.cut_off(a.process.id(), true);
        let (b, _) = a_chain_that_begins_at_four(&stage).await;
        b.journal.close(None).await.expect("closed");
        stage.bucket.cut_off(a.process.id(), false);
        on_a.flush(None).await.expect("flushed");
        assert_eq!((n(&on_a), a.figure("namespaces.ns.written_forward")), (20, 0));
        let c = stage.replica("c", settings()).await;
        assert_eq!(n(&c.open(NS).await), 20);
    });
}

#[test]
fn replicas_that_saw_the_chain_before_follow_the_one_that_began_at_a_smaller_count() {
    play(Character::plain(), |stage| async move {
        let (folded, _) = stage.replica_that_folded().await;
        let never = Compaction { segment_threshold: 100_000, ..settings().compaction };
        let a = stage.replica("a1", Settings { compaction: never, ..settings() }).await;
        let on_a = a.open(NS).await;
        folded.journal.close(None).await.expect("closed");
        peer_folds(&stage, 16).await;
        peer_deletes(&stage).await;
        on_a.flush(None).await.expect("flushed");
        let b = stage.replica("b", settings()).await;
        let on_b = b.open(NS).await;
        add_often(&on_b, 4).await;
        on_a.flush(None).await.expect("flushed");
        for _ in 0..40 {
            stage.pause(1).await;
            assert_eq!((n(&on_a), n(&on_b)), (20, 20));
        }
        assert_eq!(stage.read(ROLLUP).await["proof"]["count"], 4);
        assert_eq!(stage.segments().await, Vec::<String>::new());
        assert_eq!(a.figure("namespaces.ns.written_forward") + b.figure("namespaces.ns.written_forward"), 0);
    });
}

#[test]
fn a_greater_count_of_the_chain_before_is_no_sign_of_a_loss() {
    play(Character::plain(), |stage| async move {
        let (a, _) = stage.replica_that_folded().await;
        a.journal.close(None).await.expect("closed");
        let (b, on_b) = a_chain_that_begins_at_four(&stage).await;
        // By a replica that knew the first chain, and not yet the second.
        let late = r#"{"ops":[{"op":"IntAdd","Key":"n","Delta":10}],"writer":"old","folded":6}"#;
        stage.put(".metadata/ns/segment-01999999-0000-7000-8000-000000000002.json", late).await;
        let c = stage.replica("c", settings()).await;
        assert_eq!(n(&c.open(NS).await), 30);
        add_often(&on_b, 4).await;
        stage.pause(60).await;
        assert_eq!(b.journal.stats()["namespaces"]["ns"]["rollup_behind"], false);
        assert_eq!((b.figure("namespaces.ns.folds"), n(&on_b)), (2, 34));
        let d = stage.replica("d", settings()).await;
        assert_eq!(n(&d.open(NS).await), 34);
    });
}

#[test]
fn a_rollup_of_the_chain_before_is_noticed_though_its_count_is_greater() {
    play(Character::plain(), |stage| async move {
        let (a, _) = stage.replica_that_folded().await;
        a.journal.close(None).await.expect("closed");
        let before = stage.read(ROLLUP).await;
        assert_eq!(before["proof"]["count"], 6);
        let (b, on_b) = a_chain_that_begins_at_four(&stage).await;
        add(&on_b, 1).await.expect("applied");
        b.journal.close(None).await.expect("closed");
        stage.put(ROLLUP, &before.to_string()).await;
        let c = stage.replica("c", settings()).await;
        let error = c.journal.namespace(NS, c.after(60)).await.err().expect("refused");
        assert_eq!(error.status, Status::RollupLost);
        assert_eq!(stage.read(ROLLUP).await, before);
    });
}
