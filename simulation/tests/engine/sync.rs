//! Ticks and Flush: what they show, and what they ask of the store.

use super::stage::{NS, add, add_often, digest, n, play, settings, status};
use futures_util::future::join_all;
use opjournal::config::Settings;
use opjournal::error::Status;
use opjournal_simulation::store::Character;

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
fn namespaces_share_a_list_again_when_the_store_is_back() {
    play(Character::plain(), |stage| async move {
        let a = stage.replica("a", settings()).await;
        let mut namespaces = Vec::new();
        for number in 0..20 {
            namespaces.push(a.open(&format!("n{number}")).await);
        }
        stage.pause(10).await;
        stage.bucket.cut_off(a.process.id(), true);
        stage.pause(60).await;
        assert!(a.figure("namespaces.n7.failed_ticks") > 0);
        stage.bucket.cut_off(a.process.id(), false);
        // The last of those that failed tries again, and one LIST for all comes after that.
        stage.pause(20).await;
        let lists = a.figure("requests.list");
        stage.pause(20).await;
        let lists = a.figure("requests.list") - lists;
        assert!(lists <= 12, "20 s are 10 ticks, and {lists} LISTs were sent");
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
fn read_only_never_writes() {
    play(Character::plain(), |stage| async move {
        let a = stage.replica("a", settings()).await;
        let on_a = a.open(NS).await;
        let reader = stage.replica("reader", Settings { read_only: true, ..settings() }).await;
        let on_reader = reader.open(NS).await;
        add_often(&on_a, 6).await;
        a.journal.close(None).await.expect("nothing is open");
        assert_eq!(add(&on_reader, 1).await.expect_err("refused").status, Status::ReadOnly);
        assert_eq!(status(on_reader.quarantine("segment-x.json", None).await), Status::ReadOnly);
        stage.pause(60).await;
        assert_eq!(n(&on_reader), 6);
        assert_eq!((reader.figure("requests.put"), reader.figure("requests.delete")), (0, 0));
    });
}
