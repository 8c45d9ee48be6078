//! When ticks run: one task per namespace, on its interval, at once where somebody waits, soon again after a failure.
//!
//! Invariants: ticks of a namespace never overlap; a waiter is answered by a tick whose LIST began after its call, and
//! all that wait share one; after a tick the next regular one is due an interval later, however many were asked for in
//! between.

use super::core::{Core, Ticks, count};
use super::key::{METADATA, SegmentKey};
use super::listing::{Listing, list_shared};
use super::maintenance;
use super::replica::Replica;
use super::tick::tick;
use crate::environment::{fraction, until};
use crate::error::{Error, Status};
use crate::mutant::{self, Mutant};
use crate::reached::reached;
use crate::time::Reading;
use std::sync::Arc;
use std::time::Duration;

const FIRST_RETRY: Duration = Duration::from_millis(250);
/// While a segment is open, somebody waits for a tick that settles it.
const WHILE_OPEN: Duration = Duration::from_secs(2);
/// When another namespace's tick is taking a LIST for all, this is long enough to get it.
const UNTIL_GIVEN: Duration = Duration::from_secs(1);

/// Runs ticks until the namespace ends.
pub async fn run(core: Arc<Core>) {
    // Without ticks a namespace is no use: where this task panics, the namespace ends, and who waits is told.
    let _ending = core.ends_with("the task that runs ticks");
    core.until_end(run_ticks(&core)).await;
}

async fn run_ticks(core: &Arc<Core>) {
    let requests = &core.replica.requests;
    let interval = core.replica.settings.sync_interval;
    let mut failures = 0_u32;
    // The first tick is due at once.
    let mut due = requests.now();
    let mut is_first = true;
    loop {
        let was_wanted = until(&requests.environment, Some(due), core.tick_wanted.notified()).await.is_ok();
        let mut given = core.take_given();
        if !was_wanted && given.is_none() && !is_first && failures == 0 {
            match Box::pin(share_listing(core)).await {
                Shared::Taken(listing) => given = Some(listing),
                Shared::UnderWay => {
                    due = requests.now() + UNTIL_GIVEN;
                    continue;
                }
                Shared::Dearer => {}
            }
        }
        core.ticks.send_modify(|ticks| ticks.begun += 1);
        // Who called after that LIST began waits for a later one.
        let given = given.filter(|given| core.is_after_calls(given.began));
        // In a box: a namespace between two ticks, as most are at most times, needs no room for one.
        let began = requests.now();
        let result = Box::pin(tick(core, given)).await;
        count(&core.figures.ticks);
        let now = requests.now();
        match result {
            Ok(listing) => {
                failures = 0;
                core.replica.ticks.record(now.since(began));
                due = now + next_after(core, interval, &mut is_first);
                core.ticks.send_modify(|ticks| *ticks = Ticks { begun: ticks.begun, ended: ticks.begun, good: ticks.begun, error: None });
                maintenance::consider(core, listing);
            }
            Err(error) => {
                count(&core.figures.failed_ticks);
                failures += 1;
                let wait = (FIRST_RETRY * 2_u32.pow(failures.min(16) - 1)).min(interval.max(FIRST_RETRY));
                due = now + jittered(core, wait);
                // At the first failure, and ever more rarely after it: a store that is down should not fill a disk with
                // messages.
                if failures.is_power_of_two() {
                    tracing::warn!(namespace = core.name, error = %error, failures, "a tick failed; what is held is served on, and the next tick follows");
                }
                core.ticks.send_modify(|ticks| {
                    ticks.ended = ticks.begun;
                    ticks.error = Some(error);
                });
            }
        }
    }
}

/// The time to the next regular tick. After the first one it is a random part of the interval, so that the phases of a
/// fleet that starts at once are spread.
fn next_after(core: &Core, interval: Duration, is_first: &mut bool) -> Duration {
    if core.memory().open_segment().is_some() {
        return WHILE_OPEN.min(interval);
    }
    if std::mem::take(is_first) { jittered(core, interval) } else { interval }
}

/// Between a half and the whole of `length`.
fn jittered(core: &Core, length: Duration) -> Duration {
    length / 2 + (length / 2).mul_f64(fraction(&core.replica.requests.environment))
}

enum Shared {
    /// The LIST was taken, and the other namespaces were given their parts; this is the caller's.
    Taken(Listing),
    /// Another namespace's tick is taking it.
    UnderWay,
    /// One LIST for each namespace takes fewer requests.
    Dearer,
}

/// Takes one LIST for all open namespaces, where that takes fewer requests than one each.
async fn share_listing(core: &Arc<Core>) -> Shared {
    let replica: &Arc<Replica> = &core.replica;
    let Ok(mut sharing) = replica.sharing.try_lock() else { return Shared::UnderWay };
    let cores = replica.open_cores();
    if cores.len() < 2 || sharing.is_dearer(cores.len()) {
        return Shared::Dearer;
    }
    // At most one request fewer than one each.
    match list_shared(&replica.requests, METADATA, cores.len() - 1).await {
        Ok(Some(shared)) => {
            reached("LIST shared by namespaces");
            sharing.was_cheaper();
            for other in cores.iter().filter(|other| !Arc::ptr_eq(other, core)) {
                other.give(shared.of(&other.places));
            }
            Shared::Taken(shared.of(&core.places))
        }
        // Too long; or failed, and the namespace's own LIST will tell what is wrong.
        Ok(None) | Err(_) => {
            reached("LIST too long to share");
            sharing.is_too_long(cores.len());
            Shared::Dearer
        }
    }
}

/// What is known of the LIST of everything.
#[derive(Default)]
pub struct Sharing {
    /// It took more requests than this.
    more_than: usize,
    /// How often it is not tried again.
    pause: u32,
}

/// After a LIST that was too long, so many ticks go by before the next try.
const TICKS_BETWEEN_TRIES: u32 = 20;

impl Sharing {
    fn is_dearer(&mut self, namespaces: usize) -> bool {
        if namespaces > self.more_than + 1 || self.pause == 0 {
            return false;
        }
        self.pause -= 1;
        true
    }

    fn is_too_long(&mut self, namespaces: usize) {
        self.more_than = namespaces - 1;
        self.pause = TICKS_BETWEEN_TRIES;
    }

    fn was_cheaper(&mut self) {
        *self = Sharing::default();
    }
}

/// Whether waiting for another tick may help.
fn is_passing(error: &Error) -> bool {
    error.status == Status::Unavailable && error.retryable
}

/// Waits for a good tick whose LIST began after this call, until `deadline`. A failure that another tick does not mend
/// ends the wait.
pub async fn tick_from_now(core: &Arc<Core>, deadline: Option<Reading>) -> Result<(), Error> {
    let mut ticks = core.ticks.subscribe();
    core.note_call();
    let running = ticks.borrow_and_update().begun;
    let wanted = if mutant::is_on(Mutant::FlushSharesARunningTick) { running } else { running + 1 };
    core.want_tick();
    wait_for(core, &mut ticks, wanted, deadline).await
}

/// Waits for the first good tick, until `deadline`.
pub async fn first_tick(core: &Arc<Core>, deadline: Option<Reading>) -> Result<(), Error> {
    let mut ticks = core.ticks.subscribe();
    let is_ready = ticks.borrow_and_update().good > 0 || mutant::is_on(Mutant::EmptyBeforeTheFirstTick);
    let wanted = if is_ready { 0 } else { ticks.borrow().begun.max(1) };
    wait_for(core, &mut ticks, wanted, deadline).await
}

async fn wait_for(
    core: &Arc<Core>,
    ticks: &mut tokio::sync::watch::Receiver<Ticks>,
    wanted: u64,
    deadline: Option<Reading>,
) -> Result<(), Error> {
    let requests = &core.replica.requests;
    let mut last = None;
    loop {
        {
            let now = ticks.borrow_and_update();
            if now.good >= wanted {
                return Ok(());
            }
            if now.ended >= wanted
                && let Some(error) = &now.error
            {
                if !is_passing(error) {
                    return Err(error.clone());
                }
                last = Some(error.clone());
            }
        }
        if core.has_ended() {
            return Err(closed(core));
        }
        let changed = async {
            tokio::select! {
                biased;
                () = core.until_ended() => {}
                // The sender lives in the core.
                _ = ticks.changed() => {}
            }
        };
        if until(&requests.environment, deadline, changed).await.is_err() {
            return Err(last.unwrap_or_else(|| {
                Error::new(Status::TimedOut, format!("the time is over before a tick of namespace {:?} was done", core.name))
            }));
        }
    }
}

pub fn closed(core: &Core) -> Error {
    Error::new(Status::Closed, format!("namespace {:?} was closed", core.name))
}

/// Flush: returns once everything that was acknowledged anywhere before the call is visible, and what was in doubt is
/// settled.
pub async fn flush(core: &Arc<Core>, deadline: Option<Reading>) -> Result<(), Error> {
    let in_doubt = core.in_doubt();
    tick_from_now(core, deadline).await?;
    if let Some(key) = in_doubt {
        reached("flush waited for a segment in doubt");
        until_settled(core, &key, deadline).await?;
    }
    check_readable(core)
}

/// Waits until a segment is no longer in doubt: an answer to its PUT settles it, or a tick. Ends as well where ticks
/// fail in a way that waiting does not mend.
async fn until_settled(core: &Arc<Core>, key: &SegmentKey, deadline: Option<Reading>) -> Result<(), Error> {
    let mut ticks = core.ticks.subscribe();
    loop {
        // Made before the look, so that no settling can fall between the two.
        let settled = core.sent_settled.notified();
        if core.in_doubt().as_ref() != Some(key) {
            // A namespace that ends settles nothing.
            return if core.has_ended() { Err(closed(core)) } else { Ok(()) };
        }
        let wanted = ticks.borrow_and_update().begun + 1;
        tokio::select! {
            biased;
            () = settled => {}
            tick = wait_for(core, &mut ticks, wanted, deadline) => tick.map_err(|error| match error.status {
                Status::TimedOut => Error { message: format!("{}; {key} is not settled yet", error.message), ..error },
                _ => error,
            })?,
        }
    }
}

/// Fails where a segment of the namespace cannot be read.
pub fn check_readable(core: &Core) -> Result<(), Error> {
    let memory = core.memory();
    let Some((key, reason)) = memory.first_unreadable() else { return Ok(()) };
    let object = core.object(key);
    let count = memory.unreadable().count();
    let others = if count > 1 { format!(" (and {} more)", count - 1) } else { String::new() };
    let message = format!("{object}{others} cannot be read: {reason}; everything else is applied, and quarantine moves it aside");
    Err(Error::new(Status::Unreadable, message).with("object", object).with("segment", key.as_str()))
}
