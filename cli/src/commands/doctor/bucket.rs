//! What can be wrong with a bucket: its region, and settings that delete, keep or copy what a journal works with.

use super::Report;
use crate::failure::Failure;
use crate::site::Site;
use opjournal::config::StoreUrl;
use opjournal::store::Kind;
use opjournal::store::s3::{Asked, BucketSettings, Expiry, S3Store};

/// The bucket itself, where the store is one.
pub async fn open(site: &Site) -> Result<Option<S3Store>, Failure> {
    match &site.place {
        StoreUrl::S3 { bucket, root } => Ok(Some(S3Store::open(&site.s3, bucket, root).await?)),
        StoreUrl::File { .. } | StoreUrl::Memory { .. } => Ok(None),
    }
}

pub async fn settings(s3: &S3Store, is_read_only: bool, report: &mut Report<'_>) -> Result<(), Failure> {
    let settings = s3.bucket_settings().await;
    region(&settings, report)?;
    if is_read_only {
        // They are the business of whoever writes.
        return Ok(());
    }
    let is_versioned = versioning(&settings, report)?;
    lifecycle(&settings, is_versioned, report)?;
    object_lock(&settings, report)?;
    replication(&settings, report)
}

fn region(settings: &BucketSettings, report: &mut Report<'_>) -> Result<(), Failure> {
    let signed = settings.configured_region.as_deref().unwrap_or("none");
    match &settings.region {
        Ok(Some(region)) if region != signed => report.warning(
            "region",
            format!("the bucket is in {region}, requests are signed for {signed}"),
            "set --region, AWS_REGION or the profile's region to the bucket's",
        ),
        Ok(Some(region)) => report.ok("region", region),
        Ok(None) | Err(_) => report.ok("region", format!("{signed}, as configured; the store does not say where the bucket is")),
    }
}

/// Whether the bucket is versioned, as far as it tells.
fn versioning(settings: &BucketSettings, report: &mut Report<'_>) -> Result<Option<bool>, Failure> {
    let Some(versioning) = asked(&settings.versioning, "versioning", "s3:GetBucketVersioning", "get-bucket-versioning", report)? else {
        return Ok(None);
    };
    match versioning {
        Some(versioning) if versioning.is_enabled && versioning.is_mfa_delete => report.warning(
            "versioning",
            "on, with MFA delete",
            "turn MFA delete off: it guards only versions, and allows no lifecycle rule, so that old versions pile up",
        )?,
        Some(versioning) if versioning.is_enabled => report.ok("versioning", "on: a deleted or overwritten rollup can be restored")?,
        _ => report.ok("versioning", "off: switch it on if the data matters, with a rule that expires noncurrent versions")?,
    }
    Ok(Some(versioning.is_some_and(|versioning| versioning.is_enabled)))
}

fn lifecycle(settings: &BucketSettings, is_versioned: Option<bool>, report: &mut Report<'_>) -> Result<(), Failure> {
    let right = "s3:GetLifecycleConfiguration";
    let Some(rules) = asked(&settings.lifecycle, "lifecycle", right, "get-bucket-lifecycle-configuration", report)? else { return Ok(()) };
    let rules = rules.unwrap_or_default();
    let mut is_harmless = true;
    for Expiry { name, expires, moves, .. } in &rules {
        if *expires {
            is_harmless = false;
            report.bad(
                "lifecycle",
                format!("rule {name} deletes objects of journals"),
                "take .metadata/ out of it: it deletes the rollup of a quiet namespace, and acknowledged data is lost",
            )?;
        } else if *moves {
            is_harmless = false;
            report.bad(
                "lifecycle",
                format!("rule {name} moves objects of journals to another class"),
                "take .metadata/ out of it: an archived rollup cannot be read, and cheaper classes charge for small objects",
            )?;
        }
    }
    let expires_noncurrent = rules.iter().any(|rule| rule.expires_noncurrent);
    if is_versioned == Some(true) && !expires_noncurrent {
        return report.warning(
            "lifecycle",
            "noncurrent versions are never deleted",
            "expire noncurrent versions after some days, and expired delete markers: each fold leaves a whole copy of the state",
        );
    }
    if is_harmless { report.ok("lifecycle", "no rule deletes or moves objects of journals") } else { Ok(()) }
}

fn object_lock(settings: &BucketSettings, report: &mut Report<'_>) -> Result<(), Failure> {
    let right = "s3:GetBucketObjectLockConfiguration";
    let Some(lock) = asked(&settings.object_lock, "object lock", right, "get-object-lock-configuration", report)? else { return Ok(()) };
    match lock {
        Some(lock) if lock.is_default => report.warning(
            "object lock",
            "new objects are kept for a default time",
            "take the default retention away: nothing that was folded would leave the bucket",
        ),
        Some(_) => report.ok("object lock", "allowed, without a default retention"),
        None => report.ok("object lock", "off"),
    }
}

fn replication(settings: &BucketSettings, report: &mut Report<'_>) -> Result<(), Failure> {
    let right = "s3:GetReplicationConfiguration";
    let Some(replication) = asked(&settings.replication, "replication", right, "get-bucket-replication", report)? else { return Ok(()) };
    let copies = replication.unwrap_or_default();
    if copies.is_empty() {
        return report.ok("replication", "off");
    }
    report.warning(
        "replication",
        format!("to {}", copies.join(", ")),
        "see that nothing is replicated back, and that nobody writes there: two buckets would overwrite each other's rollups",
    )
}

/// An answer, or nothing where there was none, which is told.
fn asked<T: Clone>(
    answer: &Asked<T>,
    check: &str,
    right: &str,
    command: &str,
    report: &mut Report<'_>,
) -> Result<Option<Option<T>>, Failure> {
    let failure = match answer {
        Ok(answer) => return Ok(Some(answer.clone())),
        Err(failure) => failure,
    };
    match failure.kind {
        Kind::Denied => {
            let change = format!("grant {right} for a moment, or have its owner look: aws s3api {command}");
            report.warning(check, "these credentials may not ask", &change)?;
        }
        // Servers other than AWS do not have all of them.
        Kind::Refused => report.ok(check, "this server does not have it")?,
        _ => report.warning(check, &failure.message, &format!("look at it by hand: aws s3api {command}"))?,
    }
    Ok(None)
}
