//! Writes: what their callers are told, and what waits.

use super::stage::{NS, add, ask, n, play, settings};
use crate::simulation::store::Character;
use crate::simulation::world::SECOND;
use futures_util::future::join_all;
use opjournal::config::{Limits, Settings};
use opjournal::error::{Outcome, Status};
use serde_json::Value;

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
