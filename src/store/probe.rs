//! A store is tested, not trusted: one that ignores conditions loses data without a word.
//!
//! Everything happens with throw-away objects below `.metadata/.probe/`, which are deleted at the end. Those of a probe
//! that was broken off are deleted by a later one.

use super::{Condition, ETag, Failure, Get, GetOptions, Kind, Listed, PAGE, Page, Put, Store};
use crate::environment::{Elapsed, Environment, within};
use crate::error::{Error, Status};
use crate::time::Stamp;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::{join_all, try_join_all};
use std::sync::Arc;
use std::time::Duration;

/// Under this prefix lie the throw-away objects of all probes.
pub const PREFIX: &str = ".metadata/.probe/";
/// How long one request may take.
const REQUEST: Duration = Duration::from_secs(10);
/// How often the requests that come one after another are begun anew where the store does not answer.
const ATTEMPTS: usize = 3;
/// Objects that are raced for: each once to create it and once to replace it. A store that lets two win in one race of
/// twelve passes both by in one probe of thirty.
const RACES: usize = 20;
/// Of which so many go on at once, so that the races cost a few round trips and not `RACES` of them.
const RACES_AT_ONCE: usize = 4;
const RACERS: usize = 8;
/// A LIST of throw-away objects is followed for so many more pages.
const MOST_PAGES: usize = 100;
/// How far a stamp may be from `Date`: 2 s between two clocks, and each cut to a whole second.
const SKEW: Duration = Duration::from_secs(4);
/// What other probes left is deleted when it is this old.
pub const LEFTOVER: Duration = Duration::from_secs(3600);

/// What a probe proves, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Proven {
    /// A LIST shows an object that was just put.
    ListAfterPut,
    /// An object's stamp and the `Date` of answers are of one clock.
    Stamps,
    /// PUT and LIST name an object's content alike.
    ETags,
    /// An object that is there is not created again.
    CreateOnce,
    /// An object is replaced where it did not change, and not where it did or is not there.
    CompareAndSwap,
    /// All of that among clients that race; and all answers carried `Date`.
    Races,
}

/// Proves that `store` refuses what it should, sequentially and in races, that LIST shows a PUT at once, with a stamp,
/// and that answers carry `Date`. Fails with [`Status::UnsafeStore`], naming what does not hold; with another status
/// where the store does not let itself be tested.
pub async fn probe(store: &dyn Store, environment: &Arc<dyn Environment>) -> Result<(), Error> {
    probe_below(&throw_away(environment), store, environment, &mut |_| {}).await
}

/// A prefix for throw-away objects that nobody else uses.
pub fn throw_away(environment: &Arc<dyn Environment>) -> String {
    format!("{PREFIX}{:016x}{:016x}/", environment.random(), environment.random())
}

/// The same with objects below `prefix`, which [`throw_away`] made, saying what is proven as soon as it is: perhaps several times, where a store
/// that did not answer is tried again.
pub async fn probe_below(
    prefix: &str,
    store: &dyn Store,
    environment: &Arc<dyn Environment>,
    proven: &mut (dyn FnMut(Proven) + Send),
) -> Result<(), Error> {
    let probe = Probe { store, environment, prefix: prefix.to_owned() };
    let result = probe.run(proven).await;
    let cleaned = probe.clean().await;
    result?;
    cleaned.map_err(|failure| probe.error(failure))
}

struct Probe<'a> {
    store: &'a dyn Store,
    environment: &'a Arc<dyn Environment>,
    prefix: String,
}

/// Why a step of the probe ended.
enum Stop {
    Unsafe(Error),
    Failed(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Stop {
        Stop::Failed(failure)
    }
}

impl Probe<'_> {
    async fn run(&self, proven: &mut (dyn FnMut(Proven) + Send)) -> Result<(), Error> {
        let mut attempt = 1;
        loop {
            match self.one_after_another(attempt, proven).await {
                Ok(()) => break,
                Err(Stop::Failed(failure)) if failure.kind == Kind::Unavailable && attempt < ATTEMPTS => attempt += 1,
                Err(stop) => return Err(self.stopped(stop)),
            }
        }
        let mut decided = 0;
        for first in (0..RACES).step_by(RACES_AT_ONCE) {
            let races = (first..RACES.min(first + RACES_AT_ONCE)).map(|number| self.race_for(number));
            let outcomes = try_join_all(races).await.map_err(|stop| self.stopped(stop))?;
            decided += outcomes.into_iter().filter(|is_decided| *is_decided).count();
        }
        if decided * 2 < RACES {
            let message = format!("{}: only {decided} of {RACES} races for an object had an outcome", self.store.url());
            return Err(Error::new(Status::Unavailable, message));
        }
        proven(Proven::Races);
        Ok(())
    }

    /// What must hold without any other client. `attempt` makes keys that no attempt before used.
    async fn one_after_another(&self, attempt: usize, proven: &mut (dyn FnMut(Proven) + Send)) -> Result<(), Stop> {
        let key = format!("{}{attempt}", self.prefix);
        let begun = self.environment.now();
        let created = match self.put(&key, "created", Condition::Absent).await {
            Err(failure) if failure.kind == Kind::Refused => {
                // Is it the condition that the store refuses, or the PUT?
                self.put(&key, "created", Condition::Always).await?;
                return Err(self.ignores("If-None-Match", &format!("it refuses it ({failure})")));
            }
            other => other?,
        };
        let put_took = self.environment.now().since(begun);
        let put_date = self.dated("a PUT", created.date)?;

        let page = self.list(&self.prefix).await?;
        let list_date = self.dated("a LIST", page.date)?;
        let Some(listed) = page.objects.iter().find(|listed| listed.key == key) else {
            return Err(self.ignores("LIST after PUT", "a LIST does not show an object that was just put"));
        };
        proven(Proven::ListAfterPut);
        if listed.stamp > list_date + SKEW || listed.stamp + SKEW + put_took < put_date {
            let message = format!("LastModified is {} where Date was {put_date} to {list_date}", listed.stamp);
            return Err(self.ignores("LastModified", &message));
        }
        proven(Proven::Stamps);
        let first = created.etag.unwrap_or_else(|| listed.etag.clone());
        if first != listed.etag {
            // The two are compared at every tick.
            let message = format!("a PUT answers with {}, and LIST shows {}", first.0, listed.etag.0);
            return Err(self.ignores("ETag", &message));
        }
        proven(Proven::ETags);

        match self.put(&key, "created again", Condition::Absent).await {
            Ok(_) => return Err(self.ignores("If-None-Match", "an object was created that was there")),
            Err(failure) => self.refused("If-None-Match", failure)?,
        }
        proven(Proven::CreateOnce);
        match self.put(&key, "replaced", Condition::Matches(first.clone())).await {
            Ok(_) => {}
            // A request that the network repeated: its first copy did what the second was refused.
            Err(failure) if failure.kind == Kind::ConditionFailed && self.get(&key).await?.1 == b"replaced" => {}
            Err(failure) if matches!(failure.kind, Kind::Refused | Kind::ConditionFailed | Kind::NotFound) => {
                return Err(self.ignores("If-Match", &format!("it is refused with the object's own ETag ({failure})")));
            }
            Err(failure) => return Err(failure.into()),
        }
        match self.put(&key, "replaced again", Condition::Matches(first.clone())).await {
            Ok(_) => return Err(self.ignores("If-Match", "an object was replaced that had changed")),
            Err(failure) => self.refused("If-Match", failure)?,
        }
        match self.put(&format!("{key}-absent"), "replaced", Condition::Matches(first)).await {
            Ok(_) => return Err(self.ignores("If-Match", "an object was replaced that was not there")),
            Err(failure) => self.refused("If-Match", failure)?,
        }
        proven(Proven::CompareAndSwap);
        Ok(())
    }

    /// Several clients create one object, and then replace it: whether both times it was clear who won.
    async fn race_for(&self, number: usize) -> Result<bool, Stop> {
        let key = format!("{}race-{number}", self.prefix);
        let Some(created) = self.race(&key, "If-None-Match", Condition::Absent).await? else { return Ok(false) };
        Ok(self.race(&key, "If-Match", Condition::Matches(created)).await?.is_some())
    }

    /// The tag of the winner's content, where it is clear who won.
    async fn race(&self, key: &str, header: &str, condition: Condition) -> Result<Option<ETag>, Stop> {
        let bodies: Vec<String> = (0..RACERS).map(|racer| format!("{header}: {racer}")).collect();
        let results = join_all(bodies.iter().map(|body| self.put(key, body, condition.clone()))).await;
        let (mut winners, mut is_clear) = (Vec::new(), true);
        for (body, result) in bodies.iter().zip(results) {
            match result {
                Ok(_) => winners.push(body),
                Err(failure) => match failure.kind {
                    Kind::ConditionFailed | Kind::Conflict | Kind::NotFound => {}
                    // Lost on the way, or the loser of a race on a server that answers so: it may have won all the
                    // same.
                    Kind::Unavailable => is_clear = false,
                    Kind::NoSuchStore | Kind::Denied | Kind::Refused => return Err(failure.into()),
                },
            }
        }
        match winners[..] {
            [winner] => {
                let (etag, body) = self.get(key).await?;
                if body == winner.as_bytes() {
                    Ok(Some(etag))
                } else if is_clear {
                    Err(self.ignores(header, "the content of a PUT that was refused was written"))
                } else {
                    Err(self.ignores(header, "two racing PUTs were done"))
                }
            }
            [] => Ok(None),
            _ => Err(self.ignores(header, &format!("{} of {RACERS} racing PUTs were done", winners.len()))),
        }
    }

    /// Deletes what this probe made, and what others left.
    async fn clean(&self) -> Result<(), Failure> {
        let page = self.list(PREFIX).await?;
        let is_old = |listed: &Listed| page.date.is_some_and(|date| date.since(listed.stamp) > LEFTOVER);
        let keys: Vec<String> = page
            .objects
            .iter()
            .filter(|listed| listed.key.starts_with(&self.prefix) || is_old(listed))
            .map(|listed| listed.key.clone())
            .collect();
        for keys in keys.chunks(PAGE) {
            self.bounded("DELETE", self.store.delete(keys)).await?;
        }
        Ok(())
    }

    /// A request that the store refused as it should.
    fn refused(&self, header: &str, failure: Failure) -> Result<(), Stop> {
        match failure.kind {
            // Some servers answer a condition on an object that is not there with 404.
            Kind::ConditionFailed | Kind::NotFound => self.dated("a refused PUT", failure.date).map(|_| ()),
            Kind::Conflict => Err(Failure { kind: Kind::Unavailable, ..failure }.into()),
            Kind::Refused => Err(self.ignores(header, &format!("it refuses it ({failure})"))),
            Kind::NoSuchStore | Kind::Denied | Kind::Unavailable => Err(failure.into()),
        }
    }

    fn dated(&self, answer: &str, date: Option<Stamp>) -> Result<Stamp, Stop> {
        date.ok_or_else(|| self.ignores("Date", &format!("the answer to {answer} carries none")))
    }

    fn ignores(&self, what: &str, how: &str) -> Stop {
        let message = format!("{} cannot be written to safely: {what}: {how}", self.store.url());
        Stop::Unsafe(Error::new(Status::UnsafeStore, message).with("ignored", what).with("store", self.store.url()))
    }

    fn stopped(&self, stop: Stop) -> Error {
        match stop {
            Stop::Unsafe(error) => error,
            Stop::Failed(failure) => self.error(failure),
        }
    }

    fn error(&self, failure: Failure) -> Error {
        let mut error = failure.into_error();
        error.message = format!("{} could not be tested: {}", self.store.url(), error.message);
        error
    }

    async fn put(&self, key: &str, body: &str, condition: Condition) -> Result<Put, Failure> {
        self.bounded("PUT", self.store.put(key, Bytes::copy_from_slice(body.as_bytes()), condition)).await
    }

    /// Everything under `prefix`, as one page with the `Date` of the last one. A page may hold fewer objects than there
    /// is room for.
    async fn list(&self, prefix: &str) -> Result<Page, Failure> {
        let mut all = self.bounded("LIST", self.store.list(prefix, None)).await?;
        for _ in 0..MOST_PAGES {
            let Some(next) = all.next.take() else { break };
            let page = self.bounded("LIST", self.store.list(prefix, Some(&next))).await?;
            all.objects.extend(page.objects);
            all.next = page.next;
            all.date = page.date;
        }
        Ok(all)
    }

    async fn get(&self, key: &str) -> Result<(ETag, Vec<u8>), Failure> {
        let read = async {
            let Get::Found(mut object) = self.store.get(key, GetOptions::default()).await? else {
                return Err(Failure::new(Kind::Unavailable, format!("GET {key}: not modified, though nothing is held")));
            };
            let mut body = Vec::new();
            while let Some(chunk) = object.body.next().await {
                body.extend_from_slice(&chunk?);
            }
            Ok((object.etag, body))
        };
        self.bounded("GET", read).await
    }

    async fn bounded<T>(&self, what: &str, request: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        match within(self.environment, REQUEST, request).await {
            Ok(result) => result,
            Err(Elapsed) => Err(Failure::new(Kind::Unavailable, format!("{what}: no answer within {} s", REQUEST.as_secs()))),
        }
    }
}
