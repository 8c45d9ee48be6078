//! Folds and rollups: what is folded, followed, deleted, lost and put back.

use super::stage::{NS, ROLLUP, add, add_often, append, digest, n, play, settings, status};
use opjournal::error::Status;
use opjournal_simulation::store::Character;
use std::time::Duration;

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
fn few_segments_are_folded_when_they_are_old() {
    play(Character::plain(), |stage| async move {
        let mut patient = settings();
        patient.compaction.max_age = Some(Duration::from_secs(100));
        let a = stage.replica("a", patient).await;
        let on_a = a.open(NS).await;
        add(&on_a, 1).await.expect("applied");
        stage.pause(95).await;
        assert!(!stage.has(ROLLUP).await, "a hundred seconds are not over");
        // Each namespace waits up to an eighth longer, and two ticks have to see it.
        stage.pause(5 + 13 + 4 + 1).await;
        assert_eq!(a.figure("namespaces.ns.folds"), 1);
        stage.pause(30).await;
        assert_eq!(stage.keys().await, [ROLLUP], "nothing else is listed from then on");

        // Each MiB of the rollup is uploaded anew by a fold: a rollup of between two and three waits three times as long.
        for key in 0..3 {
            let ops = format!(r#"{{"op":"ScalarSet","Key":"k{key}","Value":"{}"}}"#, "x".repeat(900_000));
            on_a.submit(ops.as_bytes(), None).expect("accepted").outcome().await.expect("applied");
        }
        add(&on_a, 1).await.expect("applied");
        stage.pause(30).await;
        assert_eq!(a.figure("namespaces.ns.folds"), 2, "four segments are folded at once");
        add(&on_a, 1).await.expect("applied");
        stage.pause(290).await;
        assert_eq!(a.figure("namespaces.ns.folds"), 2);
        stage.pause(10 + 38 + 4 + 1).await;
        assert_eq!(a.figure("namespaces.ns.folds"), 3);
    });
}

#[test]
fn a_rollup_that_a_person_deletes_is_put_back() {
    play(Character::plain(), |stage| async move {
        let (a, _on_a) = stage.replica_that_folded().await;
        stage.store().delete(&[ROLLUP.to_owned()]).await.expect("deleted");
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
        stage.store().delete(&[ROLLUP.to_owned()]).await.expect("deleted");
        let b = stage.replica("b", settings()).await;
        let error = b.journal.namespace(NS, b.after(60)).await.err().expect("refused");
        assert_eq!(error.status, Status::RollupLost);
        assert!(error.message.contains(ROLLUP) && error.message.contains('6'), "{error}");
        assert!(!stage.has(ROLLUP).await);
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
        add_often(&on_a, 6).await;
        stage.pause(30).await;
        assert!(stage.has(ROLLUP).await);
        let b = stage.replica("b", settings()).await;
        assert_eq!(n(&b.open(NS).await), 47);
    });
}

#[test]
fn a_state_at_its_limit_is_folded_still() {
    play(Character::plain(), |stage| async move {
        let mut small = settings();
        small.limits.state_bytes = 13_000;
        let (a, b) = (stage.replica("a", small.clone()).await, stage.replica("b", small).await);
        let (on_a, on_b) = (a.open(NS).await, b.open(NS).await);
        // Both write within the limit, and pass it together.
        for round in 0..3 {
            append(&on_a, round).await;
            append(&on_b, round).await;
        }
        append(&on_a, 3).await;
        append(&on_b, 3).await;
        on_a.flush(None).await.expect("flushed");
        assert!(a.figure("namespaces.ns.state_bytes") > 13_000);
        assert_eq!(status(add(&on_a, 1).await), Status::TooLarge);
        stage.pause(40).await;
        assert_eq!(a.figure("namespaces.ns.folds") + b.figure("namespaces.ns.folds"), 1);
        assert_eq!(stage.segments().await, Vec::<String>::new());
        let c = stage.replica("c", settings()).await;
        assert_eq!(digest(&c.open(NS).await), digest(&on_b));
    });
}

#[test]
fn a_late_copy_of_a_folded_segment_is_no_loss_to_its_writer() {
    play(Character::plain(), |stage| async move {
        let (a, b) = (stage.replica("a", settings()).await, stage.replica("b", settings()).await);
        let (on_a, on_b) = (a.open(NS).await, b.open(NS).await);
        add_often(&on_b, 5).await;
        let key = format!(".metadata/{NS}/{}", add(&on_a, 1).await.expect("applied"));
        let body = stage.read(&key).await.to_string();
        stage.world.freeze(a.process.id());
        stage.pause(40).await;
        assert!(!stage.has(&key).await, "folded and deleted");
        add_often(&on_b, 5).await;
        stage.pause(40).await;
        // Its name has left the proof with the second fold.
        // A repetition of its PUT arrives, long after it expired, and finds the place empty.
        stage.put(&key, &body).await;
        stage.world.thaw(a.process.id());
        stage.pause(5).await;
        on_a.flush(None).await.expect("flushed");
        assert_eq!((n(&on_a), n(&on_b)), (11, 11));
        assert_eq!(a.figure("namespaces.ns.void_own"), 0);
        // So does a repetition of the DELETE.
        stage.store().delete(&[key]).await.expect("deleted");
        on_a.flush(None).await.expect("flushed");
        assert_eq!((n(&on_a), a.figure("namespaces.ns.vanished")), (11, 0));
    });
}
