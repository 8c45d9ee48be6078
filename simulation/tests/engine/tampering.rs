//! A person deletes the rollup, or puts an old one back.

use super::stage::{NS, Proxy, add, ask, n, play, settings};
use async_trait::async_trait;
use bytes::Bytes;
use opjournal::store::{Condition, Failure, Kind, Put, Store};
use opjournal_simulation::store::{Bucket, Character};
use opjournal_simulation::world::ProcessId;
use serde_json::json;

const ROLLUP: &str = ".metadata/ns/rollup.json";

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

#[test]
fn nothing_is_settled_as_failed_by_a_rollup_that_is_behind() {
    play(Character::plain(), |stage| async move {
        let process = stage.world.process("b");
        let proxy = CutOffAfterPut(stage.bucket.clone(), process.id());
        let b = stage.replica_in(process.clone(), process.clone(), proxy, settings()).await;
        let on_b = b.open(NS).await;
        let write = on_b.submit(br#"{"op":"IntAdd","Key":"n","Delta":100}"#, b.after(1)).expect("accepted");
        let error = write.outcome().await.expect_err("nothing comes through");
        let segment = error.details["segment"].as_str().expect("an unknown outcome names its segment").to_owned();
        let outcome = json!({"op": "Outcome", "Segment": segment}).to_string();

        // It is folded and deleted by another replica, of which nobody is left to put back what the person takes away.
        let a = stage.replica("a", settings()).await;
        let on_a = a.open(NS).await;
        for _ in 0..5 {
            add(&on_a, 1).await.expect("applied");
        }
        stage.pause(40).await;
        assert_eq!((a.figure("namespaces.ns.folds"), stage.segments().await.len()), (1, 0));
        add(&on_a, 1).await.expect("applied");
        a.journal.close(None).await.expect("closed");
        let rollup = stage.read(ROLLUP).await;
        stage.store().delete(&[ROLLUP.to_owned()]).await.expect("deleted");

        stage.bucket.cut_off(process.id(), false);
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
fn what_was_listed_and_is_in_no_rollup_any_more_is_missed_aloud() {
    play(Character::plain(), |stage| async move {
        let a = stage.replica("a", settings()).await;
        let on_a = a.open(NS).await;
        let b = stage.replica("b", settings()).await;
        let on_b = b.open(NS).await;
        for _ in 0..4 {
            add(&on_a, 1).await.expect("applied");
        }
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
