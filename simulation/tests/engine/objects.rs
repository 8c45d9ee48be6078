//! Objects that are damaged, hostile, or from a newer version.

use super::stage::{NS, Proxy, ROLLUP, add, add_often, ask, digest, n, play, settings, status};
use async_trait::async_trait;
use opjournal::config::Settings;
use opjournal::error::Status;
use opjournal::store::{Failure, Get, GetOptions, Kind, Page, Store};
use opjournal_simulation::store::Character;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const ODD: &str = ".metadata/ns/segment-01999999-0000-7000-8000-000000000009.json";

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
        add_often(&on_a, 8).await;
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
        stage.put(ROLLUP, r#"{"format":9,"state":{}}"#).await;
        assert_eq!(status(on_a.flush(None).await), Status::Unreadable);
        assert_eq!(n(&on_a), 6);
        let b = stage.replica("b", settings()).await;
        let error = b.journal.namespace(NS, None).await.err().expect("refused");
        assert_eq!(error.status, Status::Unreadable);
        assert_eq!(error.details["object"], ROLLUP);
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
fn a_segment_whose_name_needs_escaping_is_folded_like_any_other() {
    play(Character::plain(), |stage| async move {
        let a = stage.replica("a", settings()).await;
        let on_a = a.open(NS).await;
        let segment = r#"{"ops":[{"op":"IntAdd","Key":"n","Delta":10}],"writer":"w\"\\"}"#;
        stage.put(r#".metadata/ns/segment-a"b\c.json"#, segment).await;
        add_often(&on_a, 6).await;
        stage.pause(60).await;
        assert_eq!(a.figure("namespaces.ns.folds"), 1);
        on_a.flush(None).await.expect("the rollup can be read");
        assert_eq!(stage.segments().await, Vec::<String>::new());
        let b = stage.replica("b", settings()).await;
        assert_eq!(n(&b.open(NS).await), 16);
    });
}

#[test]
fn a_rollup_with_a_count_that_no_namespace_reaches_is_unreadable() {
    play(Character::plain(), |stage| async move {
        let (a, on_a) = stage.replica_that_folded().await;
        let mut rollup = stage.read(ROLLUP).await;
        rollup["proof"]["count"] = u64::MAX.into();
        stage.put(ROLLUP, &rollup.to_string()).await;
        assert_eq!(status(on_a.flush(None).await), Status::Unreadable);
        add_often(&on_a, 6).await;
        stage.pause(60).await;
        assert_eq!((n(&on_a), a.figure("namespaces.ns.folds")), (12, 1), "what is open serves on, and nothing is folded");
        let b = stage.replica("b", settings()).await;
        let error = b.journal.namespace(NS, None).await.err().expect("refused");
        assert_eq!(error.status, Status::Unreadable);
        assert!(error.message.contains("18446744073709551615"), "{error}");
    });
}

#[test]
fn a_segment_with_a_count_that_no_namespace_reaches_is_no_sign_of_a_loss() {
    play(Character::plain(), |stage| async move {
        let (a, on_a) = stage.replica_that_folded().await;
        stage.put(ODD, r#"{"ops":[{"op":"IntAdd","Key":"n","Delta":10}],"folded":9223372036854775807}"#).await;
        on_a.flush(None).await.expect("flushed");
        let b = stage.replica("b", settings()).await;
        let on_b = b.open(NS).await;
        assert_eq!(n(&on_b), 16);
        add_often(&on_a, 6).await;
        stage.pause(60).await;
        assert_eq!(a.figure("namespaces.ns.folds") + b.figure("namespaces.ns.folds"), 2);
        assert_eq!(stage.read(ROLLUP).await["proof"]["count"], 13);
    });
}

/// While it is on, the bodies of segments are refused, or never come.
struct Bodies {
    are_kept: Arc<AtomicBool>,
    refusal: Option<Kind>,
}

#[async_trait]
impl Proxy for Bodies {
    async fn get(&self, bucket: &dyn Store, key: &str, options: GetOptions) -> Result<Get, Failure> {
        if !key.contains("segment-01999999") || !self.are_kept.load(Ordering::SeqCst) {
            return bucket.get(key, options).await;
        }
        match self.refusal {
            Some(kind) => Err(Failure::new(kind, "InvalidObjectState")),
            None => std::future::pending().await,
        }
    }
}

#[test]
fn a_body_that_the_store_does_not_give_is_named() {
    for (kind, expected) in [(Kind::Denied, Status::Denied), (Kind::Refused, Status::Unavailable)] {
        play(Character::plain(), move |stage| async move {
            let are_kept = Arc::new(AtomicBool::new(true));
            let bodies = Bodies { are_kept: are_kept.clone(), refusal: Some(kind) };
            let a = stage.replica_behind(bodies, "a", settings()).await;
            let on_a = a.open(NS).await;
            add(&on_a, 1).await.expect("applied");
            stage.put(ODD, r#"{"ops":[{"op":"IntAdd","Key":"n","Delta":10}]}"#).await;
            let error = on_a.flush(None).await.expect_err("a tick cannot pass over it");
            assert_eq!((error.status, &error.details["object"]), (expected, &ODD.into()));
            add(&on_a, 1).await.expect("applied");
            assert_eq!(n(&on_a), 2, "what is open serves on");
            are_kept.store(false, Ordering::SeqCst);
            on_a.flush(None).await.expect("flushed");
            assert_eq!(n(&on_a), 12);
        });
    }
}

#[test]
fn a_store_that_gives_no_body_is_not_asked_for_all_of_them() {
    play(Character::plain(), |stage| async move {
        let are_kept = Arc::new(AtomicBool::new(true));
        let bodies = Bodies { are_kept: are_kept.clone(), refusal: None };
        let a = stage.replica_behind(bodies, "a", settings()).await;
        let on_a = a.open(NS).await;
        for number in 0..200 {
            let key = format!(".metadata/ns/segment-01999999-0000-7000-8000-{number:012}.json");
            stage.put(&key, r#"{"ops":[{"op":"IntAdd","Key":"n","Delta":1}]}"#).await;
        }
        let gets = a.figure("requests.get");
        // A request is given up after ten seconds.
        stage.pause(15).await;
        assert!(a.figure("namespaces.ns.failed_ticks") >= 1);
        assert!(a.figure("requests.get") - gets < 100, "{} GETs", a.figure("requests.get") - gets);
        are_kept.store(false, Ordering::SeqCst);
        on_a.flush(None).await.expect("flushed");
        assert_eq!(n(&on_a), 200);
    });
}

/// Shows the first page of a LIST again and again.
struct SamePage(Arc<AtomicBool>);

#[async_trait]
impl Proxy for SamePage {
    async fn list(&self, bucket: &dyn Store, prefix: &str, after: Option<&str>) -> Result<Page, Failure> {
        let after = after.filter(|_| !self.0.load(Ordering::SeqCst));
        bucket.list(prefix, after).await
    }
}

#[test]
fn a_list_that_shows_the_same_page_again_ends_the_tick() {
    let small_pages = Character { page: 3, ..Character::plain() };
    play(small_pages, |stage| async move {
        let repeats = Arc::new(AtomicBool::new(false));
        let a = stage.replica_behind(SamePage(repeats.clone()), "a", settings()).await;
        // The second namespace makes it a LIST of all.
        let (on_a, _other) = (a.open(NS).await, a.open("other").await);
        add_often(&on_a, 5).await;
        repeats.store(true, Ordering::SeqCst);
        let lists = a.figure("requests.list");
        stage.pause(30).await;
        assert!(a.figure("namespaces.ns.failed_ticks") >= 5);
        assert!(a.figure("requests.list") - lists < 200, "{} LISTs", a.figure("requests.list") - lists);
        let error = on_a.flush(a.after(5)).await.expect_err("no LIST comes to its end");
        assert_eq!(error.status, Status::Unavailable);
        assert!(error.message.contains("is shown after"), "{error}");
        repeats.store(false, Ordering::SeqCst);
        on_a.flush(None).await.expect("flushed");
        assert_eq!(n(&on_a), 5);
    });
}
