//! Objects that are damaged, hostile, or from a newer version.

use super::stage::{NS, add, ask, digest, n, play, settings, status};
use crate::simulation::store::Character;
use opjournal::config::Settings;
use opjournal::error::Status;

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
fn a_damaged_legacy_object_counts_as_absent() {
    for damage in ["", "42", "null", r#"{"n": 4"#] {
        play(Character::plain(), move |stage| async move {
            stage.put(".metadata/ns.json", damage).await;
            let a = stage.replica("a", settings()).await;
            assert_eq!(ask(&a.open(NS).await, r#"{"op":"State"}"#), serde_json::json!({}));
        });
    }
}
