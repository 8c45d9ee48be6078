//! The simulated store keeps the contract of `opjournal::store` and the assumptions of docs/guarantees.md, whatever its character and faults.

use super::dice::Dice;
use super::faults::{Counts, Faults};
use super::store::{Bucket, ChangeKind, Character, EPOCH};
use super::world::{Process, SECOND, Scheduling, World};
use futures_util::StreamExt;
use opjournal::store::{Condition, Failure, Get, GetOptions, Kind, Store};
use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use tokio::sync::oneshot;

/// A world, a bucket, and one process that uses it.
fn with_store<F, T>(seed: u64, character: Character, faults: Faults, run: impl FnOnce(Arc<dyn Store>, Arc<Process>) -> F) -> (Bucket, T)
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    use opjournal::environment::Environment;
    let world = World::new(seed, Scheduling { shuffled: true, timer_slack: 0, compute: 0, drift_ppm: 0 });
    let bucket = Bucket::new(&world, seed, character);
    bucket.set_faults(faults);
    let process = world.process("client");
    let (sender, mut receiver) = oneshot::channel();
    let task = run(bucket.client(&process), process.clone());
    process.spawn("test", Box::pin(async move { drop(sender.send(task.await)) }));
    world.run_until(3600 * SECOND);
    assert!(world.panics().is_empty(), "{:?}", world.panics());
    let result = receiver.try_recv().expect("the client has ended");
    world.end();
    (bucket, result)
}

async fn text(get: Get) -> Result<Vec<u8>, Failure> {
    let Get::Found(mut object) = get else { return Ok(b"not modified".to_vec()) };
    let mut text = Vec::new();
    while let Some(chunk) = object.body.next().await {
        text.extend_from_slice(&chunk?);
    }
    Ok(text)
}

fn key(number: u64) -> String {
    format!("a/{number:03}")
}

#[test]
fn conditions_hold_and_objects_are_read_as_they_were_written() {
    with_store(1, Character::plain(), Faults::default(), |store, _| async move {
        let put = store.put("a/1", "one".into(), Condition::Absent).await.expect("absent");
        assert_eq!(store.put("a/1", "two".into(), Condition::Absent).await.expect_err("present").kind, Kind::ConditionFailed);
        assert_eq!(text(store.get("a/1", GetOptions::default()).await.expect("there")).await.expect("whole"), b"one");
        let tag = put.etag.expect("a tag");
        let unless = GetOptions { unless: Some(tag.clone()), ..GetOptions::default() };
        assert!(matches!(store.get("a/1", unless).await, Ok(Get::NotModified { .. })));
        store.put("a/1", "three".into(), Condition::Matches(tag.clone())).await.expect("still this one");
        assert_eq!(
            store.put("a/1", "four".into(), Condition::Matches(tag.clone())).await.expect_err("another").kind,
            Kind::ConditionFailed
        );
        let matches = GetOptions { matches: Some(tag), ..GetOptions::default() };
        assert_eq!(store.get("a/1", matches).await.err().expect("another").kind, Kind::ConditionFailed);
        let range = GetOptions { range: Some((1, 3)), ..GetOptions::default() };
        assert_eq!(text(store.get("a/1", range).await.expect("there")).await.expect("whole"), b"hre");
        store.delete(&["a/1".to_owned(), "a/2".to_owned()]).await.expect("deleted");
        assert_eq!(store.get("a/1", GetOptions::default()).await.err().expect("gone").kind, Kind::NotFound);
    });
}

#[test]
fn create_once_has_one_winner() {
    for seed in 0..50 {
        let character = Character { slow_commits: 0.5, ..Character::plain() };
        let (bucket, done) = with_store(seed, character, Faults::default(), |store, _| async move {
            let puts = (0..8).map(|number| store.put("a/1", format!("{number}").into(), Condition::Absent));
            futures_util::future::join_all(puts).await.into_iter().filter(Result::is_ok).count()
        });
        assert_eq!((done, bucket.history().len()), (1, 1));
    }
}

#[test]
fn a_list_has_pages_and_each_is_a_moment_of_its_own() {
    let mut moved = 0;
    for seed in 0..30 {
        let mut dice = Dice::new(seed, "character");
        let character = Character { page: 3, ..Character::draw(&mut dice, 10 * SECOND, 2 * SECOND) };
        let (_, between) = with_store(seed, character, Faults::default(), |store, _| async move {
            for number in [1, 3, 5, 7, 9, 11] {
                store.put(&key(number), "x".into(), Condition::Absent).await.expect("absent");
            }
            let listing = async {
                let (mut keys, mut after) = (Vec::new(), None);
                loop {
                    let page = store.list("a/", after.as_deref()).await.expect("listed");
                    assert!(page.objects.len() <= 3 && page.date.is_some());
                    keys.extend(page.objects.into_iter().map(|listed| listed.key));
                    match page.next {
                        Some(next) => after = Some(next),
                        None => return keys,
                    }
                }
            };
            let writing = async {
                store.put(&key(0), "x".into(), Condition::Absent).await.expect("absent");
                store.put(&key(10), "x".into(), Condition::Absent).await.expect("absent");
            };
            let (keys, ()) = futures_util::future::join(listing, writing).await;
            assert!(keys.is_sorted() && [1, 3, 5, 7, 9, 11].iter().all(|number| keys.contains(&key(*number))));
            // The second write can be shown and the first one not: no single moment looked like that.
            (keys.contains(&key(10)) && !keys.contains(&key(0))) as usize
        });
        moved += between;
    }
    assert!(moved > 0);
}

#[test]
fn stamps_and_dates_keep_to_the_assumptions() {
    for seed in 0..60 {
        let mut dice = Dice::new(seed, "character");
        let character = Character { slow_commits: 0.5, ..Character::draw(&mut dice, 10 * SECOND, 2 * SECOND) };
        let (bucket, ()) = with_store(seed, character, Faults::default(), |store, process| async move {
            for number in 0..20 {
                let before = EPOCH + i128::from(process.world().now());
                let put = store.put(&key(number), "x".into(), Condition::Absent).await.expect("absent");
                let after = EPOCH + i128::from(process.world().now());
                let date = put.date.expect("a date").as_nanos();
                assert!(date >= before - i128::from(2 * SECOND) && date <= after + i128::from(SECOND));
                let page = store.list(&key(number), None).await.expect("listed");
                assert_eq!(page.objects.len(), 1, "what was answered is listed at once");
            }
        });
        for change in bucket.history() {
            let ChangeKind::Put { stamp, .. } = change.kind else { continue };
            let behind = EPOCH + i128::from(change.at) - stamp;
            let skew = i128::from(if character.skewed_stamps { character.skew / 2 } else { 0 });
            assert!(behind <= i128::from(10 * SECOND) + skew, "visible {behind} ns after its stamp");
            assert!(behind >= -skew, "stamped after it was visible");
        }
    }
}

#[test]
fn every_fault_occurs_and_none_breaks_a_condition() {
    let mut counts = Counts::default();
    for seed in 0..80 {
        let mut dice = Dice::new(seed, "faults");
        let faults = Faults::draw(&mut dice);
        let character = Character::draw(&mut dice, 10 * SECOND, 2 * SECOND);
        let (bucket, applied) = with_store(seed, character, faults, |store, process| async move {
            let mut applied = Vec::new();
            for number in 0..40 {
                let name = key(number);
                let put = store.put(&name, format!("{number}").into(), Condition::Absent);
                tokio::select! {
                    biased;
                    done = put => if done.is_ok() { applied.push(key(number)) },
                    () = process.pause(10 * SECOND) => {}
                }
                let get = async { text(store.get(&key(number), GetOptions::default()).await?).await };
                tokio::select! {
                    biased;
                    got = get => assert!(got.is_err() || got.is_ok_and(|text| text == number.to_string().as_bytes())),
                    () = process.pause(10 * SECOND) => {}
                }
                let keys = [key(number), key(number + 1)];
                let both = store.delete(if number % 10 == 9 { &keys } else { &keys[..0] });
                tokio::select! { biased; _ = both => {}, () = process.pause(10 * SECOND) => {} }
            }
            applied
        });
        let mut written = BTreeSet::new();
        let mut live = BTreeSet::new();
        for change in bucket.history() {
            match change.kind {
                ChangeKind::Put { .. } => {
                    assert!(live.insert(change.key.clone()), "created once while it is there");
                    written.insert(change.key);
                }
                ChangeKind::Deleted => assert!(live.remove(&change.key)),
            }
        }
        assert!(applied.iter().all(|key| written.contains(key)), "an answered PUT was done");
        counts.add_all(&bucket.counts());
    }
    for fault in
        ["hung connection", "request lost", "request late", "request repeated", "answer slow", "answer lost", "server error", "conflict"]
    {
        assert!(counts.of(&format!("fault: {fault}")) > 0, "{fault} never occurred: {counts:?}");
    }
    for fault in ["body stalls", "body truncated", "delete done in part"] {
        assert!(counts.of(&format!("fault: {fault}")) > 0, "{fault} never occurred: {counts:?}");
    }
}

#[test]
fn the_same_seed_makes_the_same_history() {
    let run = |seed| {
        let mut dice = Dice::new(seed, "faults");
        let faults = Faults::draw(&mut dice);
        let (bucket, ()) = with_store(seed, Character::plain(), faults, |store, process| async move {
            for number in 0..20 {
                let name = key(number);
                let put = store.put(&name, "x".into(), Condition::Absent);
                tokio::select! { biased; _ = put => {}, () = process.pause(10 * SECOND) => {} }
            }
        });
        bucket.history().into_iter().map(|change| (change.at, change.key)).collect::<Vec<_>>()
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5), run(6));
}
