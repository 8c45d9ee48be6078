//! A task of the engine that panics: those who wait for it are told.
//!
//! No input that is known makes one panic; here the store does. The world stops at a panic, so these scenarios catch it at
//! the task, as tokio does.

use super::stage::{NS, Proxy, Replica, Stage, add, add_often, n, play, settings, status};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use opjournal::environment::{Environment, until};
use opjournal::error::{Outcome, Status};
use opjournal::store::{Condition, Failure, Page, Put, Store};
use opjournal::time::Reading;
use opjournal_simulation::store::Character;
use opjournal_simulation::world::Process;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A process in which a panic ends its task, and nothing else.
struct AsInTokio(Arc<Process>);

impl Environment for AsInTokio {
    fn now(&self) -> Reading {
        self.0.now()
    }

    fn sleep_until(&self, when: Reading) -> BoxFuture<'static, ()> {
        self.0.sleep_until(when)
    }

    fn random(&self) -> u64 {
        self.0.random()
    }

    fn spawn(&self, name: &'static str, task: BoxFuture<'static, ()>) {
        self.0.spawn(name, Box::pin(AssertUnwindSafe(task).catch_unwind().map(drop)));
    }

    fn compute(&self, job: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        self.0.compute(job)
    }
}

/// Panics at the next so many requests of a kind.
#[derive(Clone, Default)]
struct Panics {
    at_segment: Arc<AtomicU32>,
    at_rollup: Arc<AtomicU32>,
    at_list: Arc<AtomicU32>,
}

fn panic_where_due(times: &AtomicU32) {
    let is_due = times.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |times| times.checked_sub(1)).is_ok();
    assert!(!is_due, "the scenario wants it");
}

#[async_trait]
impl Proxy for Panics {
    async fn put(&self, bucket: &dyn Store, key: &str, body: Bytes, condition: Condition) -> Result<Put, Failure> {
        panic_where_due(if key.ends_with("/rollup.json") { &self.at_rollup } else { &self.at_segment });
        bucket.put(key, body, condition).await
    }

    async fn list(&self, bucket: &dyn Store, prefix: &str, after: Option<&str>) -> Result<Page, Failure> {
        panic_where_due(&self.at_list);
        bucket.list(prefix, after).await
    }
}

async fn replica(stage: &Stage, panics: &Panics) -> Replica {
    let process = stage.world.process("a");
    let environment = Arc::new(AsInTokio(process.clone()));
    stage.replica_in(process, environment, panics.clone(), settings()).await
}

/// Waits for something that is to end, but not for ever.
async fn within_a_minute<T>(replica: &Replica, what: impl Future<Output = T>) -> T {
    let environment: Arc<dyn Environment> = replica.process.clone();
    until(&environment, replica.after(60), what).await.expect("it comes to its end")
}

#[test]
fn who_waits_for_a_write_is_told_where_its_task_panics() {
    play(Character::plain(), |stage| async move {
        let panics = Panics::default();
        let a = replica(&stage, &panics).await;
        let on_a = a.open(NS).await;
        panics.at_segment.store(1, Ordering::SeqCst);
        let write = on_a.submit(br#"{"op":"IntAdd","Key":"n","Delta":1}"#, None).expect("accepted");
        let error = within_a_minute(&a, write.outcome()).await.expect_err("nobody can tell");
        assert_eq!((error.status, error.outcome), (Status::Closed, Outcome::Unknown));
        assert_eq!(status(on_a.submit(br#"{"op":"IntAdd","Key":"n","Delta":1}"#, None)), Status::Closed);
        let again = a.open(NS).await;
        drop(on_a);
        add(&again, 1).await.expect("the namespace was opened anew, and the handle from before does not close it");
        within_a_minute(&a, a.journal.close(None)).await.expect("closed");
    });
}

#[test]
fn a_namespace_whose_ticks_have_stopped_is_closed() {
    play(Character::plain(), |stage| async move {
        let panics = Panics::default();
        let a = replica(&stage, &panics).await;
        let on_a = a.open(NS).await;
        add(&on_a, 1).await.expect("applied");
        panics.at_list.store(1, Ordering::SeqCst);
        assert_eq!(status(within_a_minute(&a, on_a.flush(None)).await), Status::Closed);
        assert_eq!(status(on_a.submit(br#"{"op":"IntAdd","Key":"n","Delta":1}"#, None)), Status::Closed);
        assert_eq!(n(&a.open(NS).await), 1);
        within_a_minute(&a, a.journal.close(None)).await.expect("closed");
    });
}

#[test]
fn folds_go_on_after_one_that_panicked() {
    play(Character::plain(), |stage| async move {
        let panics = Panics::default();
        let a = replica(&stage, &panics).await;
        let on_a = a.open(NS).await;
        panics.at_rollup.store(1, Ordering::SeqCst);
        add_often(&on_a, 6).await;
        stage.pause(60).await;
        assert_eq!(panics.at_rollup.load(Ordering::SeqCst), 0, "one fold panicked");
        assert_eq!((a.figure("namespaces.ns.folds"), n(&on_a)), (1, 6));
    });
}
