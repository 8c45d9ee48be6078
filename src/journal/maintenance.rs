//! What follows a good tick, beside it: deleting what was folded long enough ago, folding, and compacting the held
//! base. Ticks and flushes never wait for it.

use super::core::{Core, count};
use super::fold::{self, Plan};
use super::key::SegmentKey;
use super::listing::Listing;
use super::memory::HeldRollup;
use super::requests::Read;
use super::rewrite;
use super::rollup::{self, Proof};
use crate::environment::{compute, fraction};
use crate::error::{Error, Status};
use crate::mutant::{self, Mutant};
use crate::reached::reached;
use crate::state::State;
use crate::store::{ETag, Failure, GetOptions, Kind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The most objects that one DELETE names.
const DELETES_A_REQUEST: usize = 1000;
/// The longest pause before a fold, in which another replica may be faster.
const LONGEST_JITTER: Duration = Duration::from_millis(500);
/// The base is compacted when an eighth of its entries changed, but not for fewer changes than the first, and in any
/// case for more than the second: every lookup searches the changes first.
const CHANGES: (usize, usize) = (4096, 16384);

/// Starts what a good tick's LIST makes due, unless the last of it is still at work.
pub fn consider(core: &Arc<Core>, listing: Listing) {
    let settings = &core.replica.settings;
    if core.is_maintained.swap(true, Ordering::SeqCst) {
        return;
    }
    let (deletable, plan, needs_compaction) = {
        let mut memory = core.memory();
        let may_write = !settings.read_only;
        let timing = &core.replica.timing;
        let deletable = if may_write { memory.deletable(&listing, timing) } else { Vec::new() };
        let plan = if may_write { fold::plan(&memory, &listing, timing, &core.fold_due) } else { None };
        // A fold waits until it was due at two ticks: another replica may have been about to do it.
        let stood = memory.fold_is_due(plan.is_some());
        let base = &memory.rollup().state;
        let needs_compaction = base.overlay_len() > (base.base_len() / 8).clamp(CHANGES.0, CHANGES.1);
        (deletable, plan.filter(|_| stood >= 2), needs_compaction)
    };
    if deletable.is_empty() && plan.is_none() && !needs_compaction {
        core.is_maintained.store(false, Ordering::SeqCst);
        return;
    }
    let task = core.clone();
    core.replica.requests.environment.spawn(
        "maintenance",
        Box::pin(async move {
            let _at_work = AtWork(&task);
            task.until_end(maintain(&task, deletable, plan, needs_compaction)).await;
        }),
    );
}

/// Maintenance is at work until this is dropped, also by a panic.
struct AtWork<'a>(&'a Core);

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.is_maintained.store(false, Ordering::SeqCst);
    }
}

async fn maintain(core: &Arc<Core>, deletable: Vec<SegmentKey>, plan: Option<Plan>, needs_compaction: bool) {
    match delete(core, &deletable).await {
        Ok(()) => core.failed_deletes.over(),
        Err(failure) => {
            reached("delete failed");
            if let Some(failures) = core.failed_deletes.again() {
                tracing::warn!(namespace = core.name, error = %failure, failures, "folded segments could not be deleted; the next tick tries again");
            }
        }
    }
    if let Some(plan) = plan {
        let requests = &core.replica.requests;
        let began = requests.now();
        match fold(core, plan).await {
            Ok(true) => {
                core.failed_folds.over();
                core.replica.folds.record(requests.now().since(began));
                count(&core.figures.folds);
            }
            Ok(false) => count(&core.figures.lost_folds),
            Err(error) => {
                if let Some(failures) = core.failed_folds.again() {
                    tracing::warn!(namespace = core.name, error = %error, failures, "a fold failed; a later tick tries again");
                }
            }
        }
    }
    if needs_compaction {
        compact(core).await;
    }
}

/// Deletes folded segments. Until then they kept a repeated PUT out, and every stale reader saw the same.
async fn delete(core: &Arc<Core>, keys: &[SegmentKey]) -> Result<(), Failure> {
    for keys in keys.chunks(DELETES_A_REQUEST) {
        let objects: Vec<String> = keys.iter().map(|key| core.object(key)).collect();
        core.replica.requests.delete(&objects).await?;
        core.figures.deleted.fetch_add(objects.len() as u64, Ordering::Relaxed);
    }
    Ok(())
}

/// Carries a fold out. `false`: another replica was faster, or may have been.
async fn fold(core: &Arc<Core>, plan: Plan) -> Result<bool, Error> {
    let requests = &core.replica.requests;
    let environment = &requests.environment;
    core.replica.ensure_safe().await?;
    environment.sleep_until(requests.now() + LONGEST_JITTER.mul_f64(fraction(environment))).await;
    if !is_unchanged(core, plan.onto.as_ref()).await? {
        reached("fold lost: another was faster");
        core.want_tick();
        return Ok(false);
    }
    let at = rewrite::store_time(core)?;
    let held = core.memory().rollup().clone();
    if held.etag != plan.onto {
        reached("fold lost: a tick brought another rollup");
        return Ok(false);
    }
    // The legacy state is pinned down before anything is folded onto it; who loses that race adopts the winner's.
    let onto = match plan.onto.clone() {
        None if held.state.canonical_len() > 2 => match seed(core, &held).await? {
            Some(etag) => {
                reached("legacy object taken over");
                Some(etag)
            }
            None => {
                reached("legacy object taken over by another");
                core.want_tick();
                return Ok(false);
            }
        },
        onto => onto,
    };
    let greatest_count = core.memory().greatest_count();
    let folding = compute(environment, move || {
        let mut state: State = held.state.clone();
        for listed in &plan.folded {
            let ops = listed.segment.effective_ops(listed.place.stamp);
            state.apply(if mutant::is_on(Mutant::BatchesAreTorn) { &ops[..ops.len() / 2] } else { ops });
        }
        let head = fold::head_after(&plan, &held.head, greatest_count, at);
        let body = head.proof.as_ref().map(|proof| rollup::encode(proof, &head.mark, &state));
        (state, head, body, held.head.proof.is_none())
    });
    let folded = folding.await.ok_or_else(|| Error::new(Status::Internal, "the computation of the fold was given up"))?;
    let (state, head, Some(body), begins_chain) = folded else {
        return Err(Error::new(Status::Internal, "a fold made a rollup without proof"));
    };
    // A larger one could not be read again.
    if body.len() > rollup::most_bytes(&core.replica.settings.limits) {
        let message = format!("the rollup would be {} bytes long, too far over limits.state_bytes; nothing is folded any more", body.len());
        return Err(Error::new(Status::TooLarge, message).with("object", core.places.rollup.clone()));
    }
    if begins_chain {
        reached("chain begins anew");
        tracing::warn!(
            namespace = core.name,
            object = core.places.rollup,
            "the rollup had no proof (another implementation wrote it); a new chain begins"
        );
    }
    match rewrite::put(core, body, onto.clone()).await? {
        Some(etag) => {
            reached("fold committed");
            rewrite::adopt(core, onto.as_ref(), HeldRollup { etag: Some(etag), head, state, read_at: requests.now() });
            Ok(true)
        }
        None => {
            reached("fold lost: its condition did not hold");
            core.want_tick();
            Ok(false)
        }
    }
}

/// A look whether another replica was faster.
async fn is_unchanged(core: &Arc<Core>, etag: Option<&ETag>) -> Result<bool, Error> {
    let options = GetOptions { unless: etag.cloned(), matches: None, range: Some((0, 1)) };
    match core.replica.requests.read(&core.places.rollup, options, 1).await {
        Ok(Read::NotModified) => Ok(true),
        Ok(Read::Found { .. }) => Ok(false),
        Err(failure) if failure.kind == Kind::NotFound => Ok(etag.is_none()),
        Err(failure) => Err(failure.into_error()),
    }
}

/// Writes the legacy state as the first rollup. Nothing where another replica did.
async fn seed(core: &Arc<Core>, held: &HeldRollup) -> Result<Option<ETag>, Error> {
    let etag = rewrite::rewrite(core, None, held.clone(), Proof::empty()).await?;
    if etag.is_some() {
        tracing::info!(namespace = core.name, object = core.places.rollup, "the legacy object was taken over as the first rollup");
    }
    Ok(etag)
}

/// Makes a fresh base of the held one and its changes, so that lookups and memory stay those of a small overlay.
async fn compact(core: &Arc<Core>) {
    let (etag, state) = {
        let memory = core.memory();
        (memory.rollup().etag.clone(), memory.rollup().state.clone())
    };
    let compacted = compute(&core.replica.requests.environment, move || state.compact()).await;
    if let Some(compacted) = compacted {
        let mut memory = core.memory();
        memory.replace_base(etag.as_ref(), compacted);
        core.publish(&memory);
    }
}
