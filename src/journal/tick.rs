//! One tick: LIST, then the rollup, then the unseen segments, then the new state, swapped in at once.
//!
//! The LIST comes first, so a rollup is never older than the tail it is joined with. A failed tick changes nothing and
//! loses nothing: bodies that were fetched stay in memory for the next one.

use super::core::{Core, count};
use super::key::SegmentKey;
use super::listing::{Listing, list};
use super::memory::{HeldRollup, Joined, Refusal};
use super::requests::Read;
use super::rewrite;
use super::rollup::{self, Head};
use super::segment::{Place, Segment};
use super::settle::Verdict;
use crate::environment::compute;
use crate::error::{Error, Status};
use crate::mutant::{self, Mutant};
use crate::reached::reached;
use crate::state::State;
use crate::store::{ETag, Failure, GetOptions, Kind};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How many bodies are fetched at once.
const FETCHES_AT_ONCE: usize = 16;
/// How often a tick starts over because the store changed under it, before it is given up as failed.
const MOST_ROUNDS: usize = 12;
/// How much of a rollup is read to see what was folded, and how much where that was not enough.
const HEAD_BYTES: [u64; 2] = [8 << 10, 256 << 10];

/// What reading the rollup brought.
enum News {
    /// It is the one that is known.
    Same,
    /// Another one.
    Found(Box<HeldRollup>),
    /// It changed between two requests, or was written back: everything has to be looked at again.
    Changed,
}

/// Runs one tick, with `given` as its first LIST where another tick took it along. Returns the LIST that it joined.
pub async fn tick(core: &Arc<Core>, given: Option<Listing>) -> Result<Listing, Error> {
    let requests = &core.replica.requests;
    let timing = &core.replica.timing;
    let is_overtaken = given.as_ref().is_some_and(|given| core.memory().has_overtaken(given));
    if is_overtaken {
        reached("LIST again: another overtook it");
    }
    let mut listing = match given.filter(|given| !is_overtaken && given.is_young(requests.now(), timing)) {
        Some(listing) => listing,
        None => new_listing(core).await?,
    };
    // A newer rollup, kept from round to round.
    let mut news: Option<HeldRollup> = None;
    let mut must_read = false;
    let mut read_under = core.memory().rollup().etag.clone();
    for _ in 0..MOST_ROUNDS {
        let held = core.memory().rollup().etag.clone();
        if held != read_under {
            // An own fold replaced the held rollup: what was read before may be older.
            news = None;
            read_under = held;
        }
        let may_skip = news.is_none() && !must_read && core.memory().may_leave_rollup_unread(&listing, timing);
        if may_skip {
            reached("rollup left unread");
            count(&core.figures.elided);
        } else {
            match read_rollup(core, &listing, news.as_ref()).await? {
                News::Same => {}
                News::Found(found) => {
                    core.was_loss_told.store(false, Ordering::Relaxed);
                    news = Some(*found);
                }
                News::Changed => {
                    listing = new_listing(core).await?;
                    continue;
                }
            }
        }
        match join(core, &listing, read_under.as_ref(), news.as_ref(), !may_skip).await? {
            Ok(joined) => {
                report(core, joined);
                return Ok(listing);
            }
            Err(Refusal::ReadRollup) => must_read = true,
            Err(Refusal::RollupLost { key, folded, count }) => {
                let message = format!(
                    "{} says that {folded} segments were folded, but {} knows of {count}: a rollup was deleted or replaced by an older one; restore it (docs/operating.md)",
                    core.object(&key),
                    core.places.rollup
                );
                return Err(Error::new(Status::RollupLost, message)
                    .with("object", core.places.rollup.clone())
                    .with("segment", key.as_str()));
            }
            Err(Refusal::ListAgain | Refusal::Fetch(_)) => {
                must_read = true;
                listing = new_listing(core).await?;
            }
        }
    }
    Err(out_of_rounds(core, &listing))
}

/// Why no round of a tick came to its end.
fn out_of_rounds(core: &Core, listing: &Listing) -> Error {
    let (took, limit) = (listing.ended.since(listing.began), core.replica.timing.list_is_young);
    let name = &core.name;
    let message = if took >= limit / 2 {
        format!(
            "a LIST of namespace {name:?} took {} s for {} segments, and what it shows is too old after {} s: let fewer segments pile up (docs/operating.md)",
            took.as_secs(),
            listing.segments.len(),
            limit.as_secs()
        )
    } else {
        format!("namespace {name:?} changed faster than {MOST_ROUNDS} LISTs could follow")
    };
    Error::new(Status::Unavailable, message)
}

async fn new_listing(core: &Arc<Core>) -> Result<Listing, Error> {
    list(&core.replica.requests, &core.places).await.map_err(Failure::into_error)
}

/// Joins, fetching the bodies that are due. A refusal other than for bodies is handed back; `Fetch` is, where one of
/// them is gone.
async fn join(
    core: &Arc<Core>,
    listing: &Listing,
    read_under: Option<&ETag>,
    news: Option<&HeldRollup>,
    was_read: bool,
) -> Result<Result<Joined, Refusal>, Error> {
    let requests = &core.replica.requests;
    loop {
        let refusal = {
            let mut memory = core.memory();
            match memory.join(listing, read_under, news, was_read, requests.now(), &core.replica.timing) {
                Ok(joined) => {
                    observe_keys(core, listing);
                    core.publish(&memory);
                    return Ok(Ok(joined));
                }
                Err(refusal) => refusal,
            }
        };
        match refusal {
            Refusal::Fetch(places) => {
                core.memory().forget_bodies(Some(listing));
                if !fetch(core, listing, &places).await? {
                    reached("segment vanished in a tick");
                    if mutant::is_on(Mutant::A404EndsTheTick) {
                        core.memory().forget_bodies(None);
                        return Err(Error::new(Status::Unavailable, "a segment has vanished"));
                    }
                    // One vanished: a fold and its deletes were faster. The bodies that came are kept.
                    return Ok(Err(Refusal::Fetch(places)));
                }
            }
            other => return Ok(Err(other)),
        }
    }
}

/// New keys must sort above all that were listed.
fn observe_keys(core: &Core, listing: &Listing) {
    let Some(store_time) = core.replica.requests.store_time() else { return };
    let mut keys = core.keys();
    for key in listing.segments.keys() {
        if !keys.observe(key, store_time) {
            tracing::warn!(namespace = core.name, segment = %key, "the time in this segment's key is more than an hour ahead; new keys do not follow it");
        }
    }
}

/// Fetches bodies, several at once. `false` where one is gone.
async fn fetch(core: &Arc<Core>, listing: &Listing, places: &[Place]) -> Result<bool, Error> {
    let limits = &core.replica.settings.limits;
    let size_of = |key: &SegmentKey| listing.segments.get(key).map_or(0, |listed| listed.size);
    let fetches: Vec<_> = places.iter().map(|place| fetch_one(core.clone(), place.key.clone(), size_of(&place.key))).collect();
    let mut fetches = stream::iter(fetches).buffer_unordered(FETCHES_AT_ONCE);
    let mut none_is_gone = true;
    while let Some((key, result)) = fetches.next().await {
        match result {
            Ok(body) => {
                let segment = Segment::read(key, &body, limits);
                if mutant::is_on(Mutant::UnreadableEndsTheTick) && !segment.is_readable() {
                    return Err(Error::new(Status::Unavailable, "a segment cannot be read"));
                }
                core.memory().keep_body(segment);
            }
            Err(failure) if failure.kind == Kind::NotFound => none_is_gone = false,
            Err(failure) if failure.kind == Kind::Refused && size_of(&key) > limits.object_bytes as u64 => {
                core.memory().keep_body(Segment::oversized(key.clone(), size_of(&key), limits.object_bytes));
            }
            // What came is kept; the rest would only wait for a store that does not answer.
            Err(failure) => {
                reached("a body that did not come ended the tick");
                return Err(failure.into_error().with("object", core.object(&key)));
            }
        }
    }
    Ok(none_is_gone)
}

async fn fetch_one(core: Arc<Core>, key: SegmentKey, size: u64) -> (SegmentKey, Result<Bytes, Failure>) {
    let limit = core.replica.settings.limits.object_bytes as u64;
    let object = core.object(&key);
    if size > limit {
        let message = format!("{object} is {size} bytes long, over the limit of {limit} bytes (limits.object_bytes)");
        return (key, Err(Failure::new(Kind::Refused, message)));
    }
    let result = core.replica.requests.read_whole(&object, limit).await;
    (key, result)
}

/// Reads the rollup, or as much of it as is needed. `newest` is what this tick has read already.
async fn read_rollup(core: &Arc<Core>, listing: &Listing, newest: Option<&HeldRollup>) -> Result<News, Error> {
    let held = core.memory().rollup().clone();
    let known = newest.unwrap_or(&held).etag.clone();
    let size = listing.rollup.as_ref().map_or(0, |rollup| rollup.size);
    let may_advance = newest.is_none() && held.etag.is_some() && held.head.proof.is_some();
    if may_advance && size > HEAD_BYTES[0] {
        for bytes in HEAD_BYTES {
            let options = GetOptions { unless: known.clone(), matches: None, range: Some((0, bytes)) };
            match read(core, options).await? {
                None => return missing(core, listing).await,
                Some(Read::NotModified) => return Ok(News::Same),
                Some(Read::Found { etag, size, body }) => {
                    let head = rollup::read_head(&body, core.replica.settings.limits.depth)
                        .map_err(|reason| unreadable(&core.places.rollup, &reason))?;
                    if let Some(head) = head {
                        return advance(core, listing, etag, head, &body, size).await;
                    }
                }
            }
        }
    }
    let options = GetOptions { unless: known, matches: None, range: None };
    match read(core, options).await? {
        None => missing(core, listing).await,
        Some(Read::NotModified) => Ok(News::Same),
        Some(Read::Found { etag, body, .. }) => found(core, listing, etag, body).await,
    }
}

/// GETs the rollup; nothing where there is none.
async fn read(core: &Arc<Core>, options: GetOptions) -> Result<Option<Read>, Error> {
    let limit = core.replica.settings.limits.object_bytes as u64;
    match core.replica.requests.read(&core.places.rollup, options, limit).await {
        Ok(read) => Ok(Some(read)),
        Err(failure) if failure.kind == Kind::NotFound => Ok(None),
        Err(failure) if failure.kind == Kind::Refused => Err(unreadable(&core.places.rollup, &failure.message)),
        Err(failure) => Err(failure.into_error()),
    }
}

fn unreadable(object: &str, reason: &str) -> Error {
    Error::new(Status::Unreadable, format!("{object} cannot be read: {reason}")).with("object", object)
}

/// Another rollup, of which the head was read: where this replica holds everything that it folded, the state is known
/// without downloading it.
async fn advance(core: &Arc<Core>, listing: &Listing, etag: ETag, head: Head, start: &Bytes, size: u64) -> Result<News, Error> {
    if core.memory().is_older_than_held(Some(&head)) {
        return write_forward(core, listing, Some(etag)).await;
    }
    let folded = core.memory().folded_since(listing, &head);
    if let Some(folded) = folded {
        let missing = core.memory().without_body(&folded);
        if fetch(core, listing, &missing).await? {
            let state = core.memory().fold_state(&folded);
            if let Some(state) = state {
                reached("advanced without download");
                count(&core.figures.advanced);
                let read_at = core.replica.requests.now();
                return Ok(take_over(core, HeldRollup { etag: Some(etag), head, state, read_at }));
            }
        }
    }
    reached("rollup downloaded after its head");
    if start.len() as u64 == size {
        return found(core, listing, etag, start.clone()).await;
    }
    let options = GetOptions { unless: None, matches: Some(etag.clone()), range: None };
    let limit = core.replica.settings.limits.object_bytes as u64;
    match core.replica.requests.read(&core.places.rollup, options, limit).await {
        Ok(Read::Found { etag, body, .. }) => found(core, listing, etag, body).await,
        Ok(Read::NotModified) => Ok(News::Changed),
        // It was replaced between the two requests.
        Err(failure) if matches!(failure.kind, Kind::ConditionFailed | Kind::NotFound) => {
            reached("rollup replaced between two reads");
            Ok(News::Changed)
        }
        Err(failure) if failure.kind == Kind::Refused => Err(unreadable(&core.places.rollup, &failure.message)),
        Err(failure) => Err(failure.into_error()),
    }
}

/// Another rollup, read whole.
async fn found(core: &Arc<Core>, listing: &Listing, etag: ETag, body: Bytes) -> Result<News, Error> {
    let read_at = core.replica.requests.now();
    let limits = &core.replica.settings.limits;
    if body.len() > rollup::most_bytes(limits) {
        let reason = format!("it is {} bytes long, over the limit of {} bytes (limits.state_bytes)", body.len(), limits.state_bytes);
        return Err(unreadable(&core.places.rollup, &reason));
    }
    let depth = limits.depth;
    let rollup = compute(&core.replica.requests.environment, move || rollup::read(body, depth)).await;
    let rollup = rollup.ok_or_else(|| Error::new(Status::Internal, "the computation that reads the rollup was given up"))?;
    let rollup = rollup.map_err(|reason| unreadable(&core.places.rollup, &reason))?;
    if core.memory().is_older_than_held(Some(&rollup.head)) {
        return write_forward(core, listing, Some(etag)).await;
    }
    if let Some(now) = core.replica.requests.store_time()
        && core.memory().lost_with(&rollup.head, now)
    {
        reached("another chain taken over");
        tracing::error!(
            namespace = core.name,
            object = core.places.rollup,
            "the rollup lacks segments that the one held here had folded: an older one was restored and folded on; what it lacks and is not listed is lost"
        );
    }
    reached("rollup downloaded");
    count(&core.figures.downloaded);
    Ok(take_over(core, HeldRollup { etag: Some(etag), head: rollup.head, state: rollup.state, read_at }))
}

/// A rollup that is at least as new as the held one, under the later mark of the two (see `Memory::is_older_than_held`).
fn take_over(core: &Core, mut rollup: HeldRollup) -> News {
    let held = core.memory().mark().clone();
    if rollup.head.mark < held {
        reached("newer rollup taken over under a later mark");
        rollup.head.mark = held;
    }
    News::Found(Box::new(rollup))
}

/// There is no rollup.
async fn missing(core: &Arc<Core>, listing: &Listing) -> Result<News, Error> {
    if core.memory().is_older_than_held(None) {
        return write_forward(core, listing, None).await;
    }
    let knows_legacy = core.memory().is_ready();
    if knows_legacy {
        return Ok(News::Same);
    }
    let legacy = read_legacy(core).await?;
    Ok(News::Found(Box::new(HeldRollup::none(legacy, core.replica.requests.now()))))
}

/// The state from before the journal, where there is one. It is read once, before the first good tick.
async fn read_legacy(core: &Arc<Core>) -> Result<Option<State>, Error> {
    let limits = &core.replica.settings.limits;
    let body = match core.replica.requests.read_whole(&core.places.legacy, limits.object_bytes as u64).await {
        Ok(body) => body,
        Err(failure) if failure.kind == Kind::NotFound => return Ok(None),
        Err(failure) if failure.kind == Kind::Refused => return Err(unreadable(&core.places.legacy, &failure.message)),
        Err(failure) => return Err(failure.into_error().with("object", core.places.legacy.clone())),
    };
    match State::read(body, limits.depth) {
        Ok(state) => {
            reached("legacy object read");
            Ok(Some(state))
        }
        Err(error) => {
            reached("legacy object is no JSON object");
            tracing::error!(
                namespace = core.name,
                object = core.places.legacy,
                error = %error,
                "the legacy object is no JSON object, and counts as absent"
            );
            Ok(None)
        }
    }
}

/// The store's rollup is older than the held one, or gone: a person deleted or restored it. Puts the held one back.
async fn write_forward(core: &Arc<Core>, listing: &Listing, found: Option<ETag>) -> Result<News, Error> {
    if core.replica.settings.read_only {
        if core.was_loss_told.swap(true, Ordering::Relaxed) {
            return Ok(News::Same);
        }
        tracing::error!(
            namespace = core.name,
            object = core.places.rollup,
            "the rollup is gone or older than the one held here; a replica that may write has to put it back"
        );
        return Ok(News::Same);
    }
    core.replica.ensure_safe().await?;
    let held = core.memory().rollup().clone();
    let proof = match &held.head.proof {
        Some(proof) => proof.clone(),
        // What the peer wrote last is put back as the beginning of a chain, which names what the peer folded and left
        // listed.
        None => {
            let now = rewrite::store_time(core)?;
            let count = core.memory().greatest_count();
            rollup::Proof::anew(
                count,
                listing.places().into_iter().filter(|place| held.head.mark.covers(place)).map(|place| place.key),
                now,
            )
        }
    };
    // Where an own fold replaced the held one meanwhile, it is not taken over, and the next look decides.
    if rewrite::rewrite(core, found, held, proof).await?.is_some() {
        reached("written forward");
        count(&core.figures.written_forward);
        tracing::error!(
            namespace = core.name,
            object = core.places.rollup,
            "the rollup was gone or older than the one held here, and was put back: somebody deleted or restored it"
        );
    }
    Ok(News::Changed)
}

/// How many unreadable segments one tick names in the log. Where a fleet is updated, one that was left behind may meet thousands.
const UNREADABLE_IN_THE_LOG: usize = 10;

/// Tells the committer and the log what a join brought.
fn report(core: &Arc<Core>, joined: Joined) {
    for place in joined.void_own {
        reached("own acknowledged segment is void");
        count(&core.figures.void_own);
        tracing::error!(
            namespace = core.name,
            segment = %place.key,
            stamp = %place.stamp,
            "an acknowledged segment was stamped after it expired, and no replica applies it: the store's clocks are outside what the journal assumes"
        );
    }
    for key in joined.unseen_own {
        tracing::debug!(namespace = core.name, segment = %key, "an acknowledged segment was folded and deleted before a LIST showed it here");
    }
    for key in joined.vanished {
        reached("listed segment vanished unfolded");
        count(&core.figures.vanished);
        tracing::error!(
            namespace = core.name,
            object = core.object(&key),
            "a segment is gone, and the rollup does not hold it: somebody deleted it, or the rollup that held it"
        );
    }
    for key in joined.newly_unreadable.iter().take(UNREADABLE_IN_THE_LOG) {
        reached("unreadable segment");
        tracing::error!(
            namespace = core.name,
            object = core.object(key),
            "a segment cannot be read; it is not applied, and nothing is folded past it"
        );
    }
    let more = joined.newly_unreadable.len().saturating_sub(UNREADABLE_IN_THE_LOG);
    if more > 0 {
        tracing::error!(namespace = core.name, more, "more segments cannot be read; the statistics name them all");
    }
    if joined.newly_behind {
        reached("rollup behind its segments");
        tracing::error!(
            namespace = core.name,
            object = core.places.rollup,
            "segments say that more was folded than the rollup knows: an older one was restored; nothing is folded on it"
        );
    }
    if let Some((open, verdict)) = joined.settled {
        debug_assert!(verdict != Verdict::Open);
        let waiting = core.settling().take();
        if let Some(waiting) = waiting {
            // The committer is gone only where the namespace ends.
            let _ = waiting.send(verdict);
        }
        tracing::debug!(namespace = core.name, segment = %open.key, verdict = ?verdict, "settled");
    }
    let strays = core.memory().stray_count();
    core.figures.strays.store(strays as u64, Ordering::Relaxed);
}
