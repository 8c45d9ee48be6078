//! What a node of the store does with a request that reached it: its clocks and stamps, what it shows, and the moment at which
//! something becomes visible.

use super::requests::{Answer, Reply, Request};
use super::{Bucket, Change, ChangeKind, Character, EPOCH, Inner, Step, Stored};
use crate::dice::Dice;
use crate::faults::{Fault, Weather};
use crate::world::{ProcessId, SECOND, Time};
use bytes::Bytes;
use futures_util::StreamExt;
use opjournal::store::{Condition, Deleted, ETag, Failure, GetOptions, Kind, Listed, Page, Put};
use opjournal::time::Stamp;
use sha2::{Digest, Sha256};
use std::sync::MutexGuard;

impl Bucket {
    /// A request reaches a node.
    pub(super) fn arrive(&self, request: Request, stream: u64, process: ProcessId, sent: Time, reply: Option<Reply>, back: Time) {
        let world = self.0.world.clone();
        let now = world.now();
        let mut inner = self.inner();
        inner.dice = Dice::new(self.0.seed ^ stream, "arrival");
        let node = inner.dice.within(0..self.0.character.nodes as u64) as usize;
        if let Some(failure) = inner.refusal(now, node, &request) {
            let hangs = inner.dice.chance(0.5);
            if inner.weather == Weather::Outage && hangs {
                inner.hung.push(Box::new(reply));
                return;
            }
            drop(inner);
            self.answer(process, reply, now + back, Err(failure));
            return;
        }
        let character = &self.0.character;
        let work = inner.dice.around(character.latency / 2);
        match request {
            Request::Put { key, body, condition } => {
                let early = inner.dice.chance(character.stamped_at_arrival);
                let stamp = early.then(|| inner.stamp(character, node, now));
                let slow = inner.dice.chance(character.slow_commits);
                let mut end = now + work;
                if slow {
                    inner.counts.add("store: slow to become visible");
                    end += inner.dice.within(0..character.visibility);
                }
                if let Some(stamp) = stamp {
                    // No later than D after the stamp, by the clock that gave it, counted from the stamp's own text.
                    let age = inner.clock(character.skewed_stamps, node, now) - stamp;
                    end = end.min(now + character.visibility.saturating_sub(age.max(0) as Time));
                }
                drop(inner);
                let bucket = self.clone();
                world.at(end, move || {
                    let answer = bucket.commit((process, sent), node, &key, body, &condition, stamp);
                    bucket.answer(process, reply, bucket.0.world.now() + back, answer);
                });
            }
            Request::Get { key, options } => {
                drop(inner);
                let bucket = self.clone();
                world.at(now + work, move || {
                    let answer = bucket.inner().read(node, bucket.0.world.now(), &key, &options);
                    bucket.answer(process, reply, bucket.0.world.now() + back, answer);
                });
            }
            Request::List { prefix, after } => {
                // `Date` is read at any moment of the page, before or after the keys are.
                let early = inner.dice.chance(0.5).then(|| inner.date(node, now));
                drop(inner);
                let bucket = self.clone();
                world.at(now + work, move || {
                    let now = bucket.0.world.now();
                    let mut inner = bucket.inner();
                    let mut page = inner.page(&bucket.0.character, &prefix, after.as_deref());
                    let leaves = now + inner.dice.around(bucket.0.character.latency / 4);
                    page.date = Some(early.unwrap_or_else(|| inner.date(node, leaves)));
                    drop(inner);
                    bucket.answer(process, reply, leaves + back, Ok(Answer::List(page)));
                });
            }
            Request::Delete { keys } => self.arrive_delete(inner, keys, process, sent, node, reply, back),
        }
    }

    /// Each key goes at a moment of its own.
    #[expect(clippy::too_many_arguments, reason = "the parts of one request")]
    fn arrive_delete(
        &self,
        mut inner: MutexGuard<'_, Inner>,
        keys: Vec<String>,
        process: ProcessId,
        sent: Time,
        node: usize,
        reply: Option<Reply>,
        back: Time,
    ) {
        let now = self.0.world.now();
        let rate = inner.faults.partial_delete;
        let partial = inner.dice.chance(rate)
            && keys.len() > 1
            && inner.injector.strikes(Fault::PartialDelete, now, || format!("DELETE of {} keys", keys.len()));
        let mut end = now;
        let mut moments = Vec::new();
        for key in keys {
            let is_left = inner.dice.chance(0.5);
            let when = now + inner.dice.around(self.0.character.latency / 2);
            if partial && is_left {
                continue;
            }
            end = end.max(when);
            moments.push((key, when));
        }
        let date = inner.date(node, now);
        drop(inner);
        for (key, when) in moments {
            let bucket = self.clone();
            self.0.world.at(when, move || bucket.remove(process, sent, key));
        }
        let answer = if partial {
            Err(Failure { date: Some(date), ..Failure::new(Kind::Unavailable, "some keys could not be deleted") })
        } else {
            Ok(Answer::Delete(Deleted { date: Some(date) }))
        };
        self.answer(process, reply, end + back, answer);
    }

    /// Checks the condition and makes the object visible, in one moment.
    pub(super) fn commit(
        &self,
        (by, sent): (ProcessId, Time),
        node: usize,
        key: &str,
        body: Bytes,
        condition: &Condition,
        stamp: Option<i128>,
    ) -> Result<Answer, Failure> {
        let now = self.0.world.now();
        let mut inner = self.inner();
        let inner = &mut *inner;
        let date = Some(inner.date(node, now));
        let present = inner.objects.get(key).map(|stored| &stored.etag);
        let failure = match (condition, present) {
            (Condition::Always, _) | (Condition::Absent, None) => None,
            (Condition::Matches(wanted), Some(present)) if wanted == present => None,
            (Condition::Matches(_), None) => Some(Failure { date, ..Failure::new(Kind::NotFound, "no such key") }),
            _ => Some(Failure { date, ..Failure::new(Kind::ConditionFailed, "the condition does not hold") }),
        };
        if let Some(failure) = failure {
            inner.counts.add("store: condition refused");
            return Err(failure);
        }
        inner.puts += 1;
        let mut hash = Sha256::new_with_prefix(&body);
        if !self.0.character.tags_of_content {
            hash.update(inner.puts.to_le_bytes());
        }
        let etag = ETag(format!("\"{}\"", hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect::<String>()));
        let stamp = stamp.unwrap_or_else(|| inner.stamp(&self.0.character, node, now));
        let stored = Stored { body: body.clone(), etag: etag.clone(), stamp };
        if inner.objects.insert(key.to_owned(), stored).is_none() {
            inner.count_segment(key, true);
        }
        let kind = ChangeKind::Put { body, stamp, condition: condition.clone() };
        inner.history.push(Change { at: now, key: key.to_owned(), by, sent, kind });
        self.0.world.mix(now ^ stamp as u64);
        self.note(|| format!("store: {key} is visible, stamp {}", Stamp::from_nanos(stamp)));
        Ok(Answer::Put(Put { etag: Some(etag), date }))
    }

    pub(super) fn remove(&self, by: ProcessId, sent: Time, key: String) {
        let mut inner = self.inner();
        if inner.objects.remove(&key).is_some() {
            inner.count_segment(&key, false);
            let at = self.0.world.now();
            self.0.world.mix(at);
            self.note(|| format!("store: {key} is gone"));
            inner.history.push(Change { at, key, by, sent, kind: ChangeKind::Deleted });
        }
    }

    /// Delivers an answer, where somebody waits for one.
    fn answer(&self, process: ProcessId, reply: Option<Reply>, when: Time, answer: Result<Answer, Failure>) {
        let Some(reply) = reply else { return };
        let bucket = self.clone();
        self.0.world.at(when, move || {
            let interference = bucket.inner().interference.clone();
            if let Some(interference) = interference {
                interference(process, reply.traffic, Step::Answered);
            }
            reply.send(answer);
        });
    }

    /// The chunks in which a body arrives.
    pub(super) fn body(&self, body: Bytes) -> futures_util::stream::BoxStream<'static, Result<Bytes, Failure>> {
        let mut inner = self.inner();
        let rate = inner.faults.broken_body;
        let broken = inner.dice.chance(rate);
        let stalls = inner.dice.chance(0.3);
        let cut = inner.dice.within(0..body.len() as u64 + 1) as usize;
        let pause = inner.dice.around(self.0.character.latency / 4);
        let fault = if stalls { Fault::BodyStalls } else { Fault::BodyTruncated };
        let broken = broken && inner.injector.strikes(fault, self.0.world.now(), || format!("a body of {} bytes", body.len()));
        drop(inner);
        let (head, tail) = (body.slice(..cut), body.slice(cut..));
        let world = self.0.world.clone();
        let rest = async move {
            world.sleep_until(world.now() + pause).await;
            match (broken, stalls) {
                (false, _) => Ok(tail),
                (true, false) => Err(Failure::new(Kind::Unavailable, "the connection broke inside the body")),
                (true, true) => std::future::pending().await,
            }
        };
        futures_util::stream::iter([Ok(head)]).chain(futures_util::stream::once(rest)).boxed()
    }
}

impl Inner {
    fn clock(&self, skewed: bool, node: usize, now: Time) -> i128 {
        EPOCH + i128::from(now) + if skewed { self.nodes[node].offset } else { 0 }
    }

    fn count_segment(&mut self, key: &str, comes: bool) {
        let Some((prefix, _)) = key.rsplit_once('/').filter(|(_, name)| name.starts_with("segment-")) else { return };
        let (now, most) = self.segments.entry(format!("{prefix}/")).or_default();
        *now = if comes { *now + 1 } else { now.saturating_sub(1) };
        *most = (*most).max(*now);
    }

    pub(super) fn date(&self, node: usize, now: Time) -> Stamp {
        Stamp::from_nanos(whole(self.clock(true, node, now), SECOND))
    }

    fn stamp(&self, character: &Character, node: usize, now: Time) -> i128 {
        whole(self.clock(character.skewed_stamps, node, now), character.granularity)
    }

    fn read(&mut self, node: usize, now: Time, key: &str, options: &GetOptions) -> Result<Answer, Failure> {
        let date = Some(self.date(node, now));
        let failure = |kind, message| Failure { date, ..Failure::new(kind, message) };
        let stored = self.objects.get(key).ok_or_else(|| failure(Kind::NotFound, "no such key"))?;
        if options.matches.as_ref().is_some_and(|wanted| *wanted != stored.etag) {
            return Err(failure(Kind::ConditionFailed, "another content"));
        }
        if options.unless.as_ref() == Some(&stored.etag) {
            return Ok(Answer::NotModified(date));
        }
        let size = stored.body.len() as u64;
        let body = match options.range {
            None => stored.body.clone(),
            Some((first, most)) if first < size => stored.body.slice(first as usize..first.saturating_add(most).min(size) as usize),
            Some(_) => return Err(failure(Kind::Refused, "416 Range Not Satisfiable")),
        };
        Ok(Answer::Found { etag: stored.etag.clone(), size, date, body })
    }

    fn page(&mut self, character: &Character, prefix: &str, after: Option<&str>) -> Page {
        let rest = self
            .objects
            .range(prefix.to_owned()..)
            .take_while(|(key, _)| key.starts_with(prefix))
            .filter(|(key, _)| after.is_none_or(|after| key.as_str() > after));
        let mut objects: Vec<Listed> = rest
            .take(character.page + 1)
            .map(|(key, stored)| Listed {
                key: key.clone(),
                etag: stored.etag.clone(),
                stamp: Stamp::from_nanos(stored.stamp),
                size: stored.body.len() as u64,
            })
            .collect();
        let more = objects.len() > character.page;
        objects.truncate(character.page);
        let names_next = more || (character.trailing_page && objects.len() == character.page);
        if after.is_some() {
            self.counts.add("store: LIST of several pages");
        }
        Page { next: objects.last().filter(|_| names_next).map(|last| last.key.clone()), objects, date: None }
    }
}

fn whole(time: i128, granularity: Time) -> i128 {
    time - time.rem_euclid(i128::from(granularity))
}
