//! Writing a rollup: one conditional PUT, and taking over what was written. Folding, seeding from a legacy object and
//! putting a lost rollup back all end here.

use super::core::Core;
use super::memory::HeldRollup;
use super::requests::upload_limit;
use super::rollup::{self, Head, Proof};
use crate::environment::compute;
use crate::error::{Error, Status};
use crate::mutant::{self, Mutant};
use crate::reached::reached;
use crate::store::{Condition, ETag, Kind};
use crate::time::Stamp;
use std::sync::Arc;

/// Store time now, for what a rollup says of itself.
pub fn store_time(core: &Core) -> Result<Stamp, Error> {
    core.replica.requests.store_time().ok_or_else(|| Error::new(Status::Unavailable, "no answer tells the store's time"))
}

/// Writes the held state and mark under `proof` in place of the rollup `onto` (absent: the store has none), and takes
/// it over. Nothing where another replica was faster.
pub async fn rewrite(core: &Arc<Core>, onto: Option<ETag>, held: HeldRollup, proof: Proof) -> Result<Option<ETag>, Error> {
    let head = Head { proof: Some(proof.clone()), mark: held.head.mark.clone() };
    let (mark, state) = (held.head.mark.clone(), held.state.clone());
    let body = compute(&core.replica.requests.environment, move || rollup::encode(&proof, &mark, &state)).await;
    let body = body.ok_or_else(|| Error::new(Status::Internal, "the computation that writes the rollup was given up"))?;
    let Some(etag) = put(core, body, onto).await? else { return Ok(None) };
    let read_at = core.replica.requests.now();
    adopt(core, held.etag.as_ref(), HeldRollup { etag: Some(etag.clone()), head, state: held.state, read_at });
    Ok(Some(etag))
}

/// One conditional PUT of the rollup. Nothing where the condition did not hold, or where the store does not say what it
/// stored: then the next tick reads the rollup again, and finds out.
pub async fn put(core: &Arc<Core>, body: Vec<u8>, onto: Option<ETag>) -> Result<Option<ETag>, Error> {
    let limit = upload_limit(body.len());
    let mut condition = onto.map_or(Condition::Absent, Condition::Matches);
    if mutant::is_on(Mutant::RollupPutsDropTheirCondition) {
        condition = Condition::Always;
    }
    match core.replica.requests.put(&core.places.rollup, body.into(), condition, limit).await {
        Ok(put) => Ok(put.etag),
        Err(failure) if matches!(failure.kind, Kind::ConditionFailed | Kind::Conflict | Kind::NotFound) => Ok(None),
        Err(failure) => {
            reached("answer to a rollup's PUT lost");
            Err(failure.into_error().with("object", core.places.rollup.clone()))
        }
    }
}

/// Takes an own rollup over, where nothing replaced the one, `made_from`, that it was made from.
pub fn adopt(core: &Arc<Core>, made_from: Option<&ETag>, rollup: HeldRollup) {
    let mut memory = core.memory();
    if memory.rollup().etag.as_ref() == made_from {
        memory.adopt(rollup);
        core.publish(&memory);
    }
}
