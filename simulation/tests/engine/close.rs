//! Closing: what still finishes, and what those who wait are told.

use super::stage::{NS, Proxy, add, n, play, settings, status};
use async_trait::async_trait;
use bytes::Bytes;
use opjournal::config::Settings;
use opjournal::environment::Environment;
use opjournal::error::{Outcome, Status};
use opjournal::store::{Condition, Failure, Put, Store};
use opjournal_simulation::store::Character;
use opjournal_simulation::world::SECOND;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

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

/// PUTs are never answered.
struct NoPuts;

#[async_trait]
impl Proxy for NoPuts {
    async fn put(&self, _bucket: &dyn Store, _key: &str, _body: Bytes, _condition: Condition) -> Result<Put, Failure> {
        std::future::pending().await
    }
}

#[test]
fn a_flush_that_waits_for_a_write_in_doubt_is_told_of_a_close() {
    play(Character::plain(), |stage| async move {
        let a = stage.replica_behind(NoPuts, "a", Settings::default()).await;
        let on_a = a.open(NS).await;
        let write = on_a.submit(br#"{"op":"IntAdd","Key":"n","Delta":1}"#, a.after(1)).expect("accepted");
        assert_eq!(write.outcome().await.expect_err("no answer").outcome, Outcome::Unknown);
        // In tasks of their own, so that some of them run after the committer has given up, and some before.
        let on_a = Arc::new(on_a);
        let flushes: Vec<_> = (0..20)
            .map(|_| {
                let (sender, receiver) = oneshot::channel();
                let on_a = on_a.clone();
                let flush = async move { drop(sender.send(on_a.flush(None).await)) };
                a.process.spawn("flush", Box::pin(flush));
                receiver
            })
            .collect();
        stage.pause(1).await;
        assert_eq!(status(a.journal.close(a.after(3)).await), Status::TimedOut);
        for flush in flushes {
            assert_eq!(status(flush.await.expect("told")), Status::Closed);
        }
    });
}

#[test]
fn close_does_not_sit_out_the_commit_interval_for_what_was_withdrawn() {
    play(Character::plain(), |stage| async move {
        let slow = Settings { commit_interval: Duration::from_secs(3600), ..settings() };
        let a = stage.replica("a", slow).await;
        let on_a = a.open(NS).await;
        add(&on_a, 1).await.expect("applied");
        let write = on_a.submit(br#"{"op":"IntAdd","Key":"n","Delta":1}"#, None).expect("accepted");
        stage.pause(1).await;
        write.cancel();
        let begun = stage.world.now();
        a.journal.close(None).await.expect("nothing is open");
        assert!(stage.world.now() - begun < SECOND);
    });
}
