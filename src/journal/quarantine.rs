//! Moving an unreadable segment aside, when a person says so.
//!
//! Nothing is lost: the object is copied before it is deleted, and the copy is create-once, beside another content that
//! was moved aside under the same name. Two replicas that do it at once end with one copy. A segment of a newer format
//! stays: a newer version of the library reads it.

use super::core::{Core, count};
use super::key::SegmentKey;
use super::requests::upload_limit;
use super::segment::Content;
use super::sync;
use crate::environment::until;
use crate::error::{Error, Status, shortened};
use crate::store::{Condition, Failure, Kind};
use crate::time::Reading;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// Moves `key` (the segment's name or its whole object key) to `.metadata/.quarantine/`, and returns its new place.
pub async fn quarantine(core: &Arc<Core>, key: &str, deadline: Option<Reading>) -> Result<String, Error> {
    let environment = &core.replica.requests.environment;
    match until(environment, deadline, carry_out(core, key, deadline)).await {
        Ok(result) => result,
        Err(_) => {
            Err(Error::new(Status::TimedOut, format!("the time is over before {} was moved aside; doing it again is safe", shortened(key))))
        }
    }
}

async fn carry_out(core: &Arc<Core>, key: &str, deadline: Option<Reading>) -> Result<String, Error> {
    let requests = &core.replica.requests;
    if core.replica.settings.read_only {
        return Err(Error::new(Status::ReadOnly, "the journal was opened with read_only"));
    }
    let name = key.strip_prefix(&core.places.prefix).unwrap_or(key);
    let invalid = |why: &str| Error::invalid(format!("{:?} {why}", shortened(key))).with("segment", shortened(key));
    let key = SegmentKey::parse(name).ok_or_else(|| invalid("is no name of a segment"))?;
    sync::tick_from_now(core, deadline).await?;
    let segment = core.memory().listed().iter().find(|listed| listed.place.key == key).map(|listed| listed.segment.clone());
    let segment = segment.ok_or_else(|| invalid("is not listed, or is folded already"))?;
    match &segment.content {
        Content::Readable(_) => return Err(invalid("can be read, and is applied: only an unreadable segment is moved aside")),
        Content::Unreadable { newer_format: true, .. } => {
            return Err(invalid("is of a newer format: a newer version of the library reads it, and it stays where it is"));
        }
        Content::Unreadable { .. } => {}
    }
    core.replica.ensure_safe().await?;
    let from = core.object(&key);
    let limit = core.replica.settings.limits.object_bytes as u64;
    let to = match requests.read_whole(&from, limit).await {
        Ok(body) => {
            let to = copy(core, core.places.quarantined(&key), body).await?;
            let deleted = requests.delete(std::slice::from_ref(&from)).await;
            deleted.map_err(|failure| Failure::into_error(failure).with("object", from.clone()))?;
            to
        }
        // Another replica was faster.
        Err(failure) if failure.kind == Kind::NotFound => core.places.quarantined(&key),
        Err(failure) if failure.kind == Kind::Refused => {
            return Err(Error::new(Status::TooLarge, format!("{from} is not moved aside: {}", failure.message)).with("object", from));
        }
        Err(failure) => return Err(failure.into_error().with("object", from)),
    };
    count(&core.figures.quarantined);
    tracing::warn!(namespace = core.name, object = from, moved_to = to, "an unreadable segment was moved aside");
    sync::tick_from_now(core, deadline).await?;
    Ok(to)
}

/// Puts `body` at `to`, or where that holds another content, beside it under a name made of the content. Returns the
/// place that holds it.
async fn copy(core: &Arc<Core>, to: String, body: Bytes) -> Result<String, Error> {
    let requests = &core.replica.requests;
    let digest: String = Sha256::digest(&body).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let beside = format!("{}-{digest}.json", to.strip_suffix(".json").unwrap_or(&to));
    for place in [to, beside] {
        let told = |failure: Failure| failure.into_error().with("object", place.clone());
        match requests.put(&place, body.clone(), Condition::Absent, upload_limit(body.len())).await {
            Ok(_) => return Ok(place),
            // Another replica or an earlier try copied it, or something else was moved aside under this name.
            Err(failure) if failure.kind == Kind::ConditionFailed => {
                let limit = core.replica.settings.limits.object_bytes as u64;
                if requests.read_whole(&place, limit).await.map_err(told)? == body {
                    return Ok(place);
                }
            }
            Err(failure) => return Err(told(failure)),
        }
    }
    Err(Error::new(Status::Internal, "two contents have one digest; nothing was moved aside"))
}
