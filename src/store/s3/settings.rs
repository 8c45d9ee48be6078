//! How a bucket is set up, as far as that can hurt a journal: for whoever looks after it. The engine never asks.

use super::S3Store;
use super::failure::Answer;
use crate::store::Failure;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::types::{BucketVersioningStatus, ExpirationStatus, LifecycleRule, MfaDeleteStatus, ReplicationRuleStatus};
use std::error::Error;

/// What a bucket answers about one of its settings: nothing where it is not set. [`crate::store::Kind::Denied`]: these credentials may not ask.
pub type Asked<T> = Result<Option<T>, Failure>;

/// How a bucket is set up.
#[derive(Clone, Debug)]
pub struct BucketSettings {
    /// The region that requests are signed for.
    pub configured_region: Option<String>,
    /// The region that the bucket says it is in (HeadBucket). Some servers do not say.
    pub region: Asked<String>,
    /// GetBucketVersioning.
    pub versioning: Asked<Versioning>,
    /// GetBucketLifecycleConfiguration: the rules in force that can meet an object of a journal in this store.
    pub lifecycle: Asked<Vec<Expiry>>,
    /// GetObjectLockConfiguration.
    pub object_lock: Asked<Retention>,
    /// GetBucketReplication: where the rules in force copy objects to.
    pub replication: Asked<Vec<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versioning {
    pub is_enabled: bool,
    pub is_mfa_delete: bool,
}

/// A rule of a lifecycle.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expiry {
    /// Its ID, or the prefix that it is for.
    pub name: String,
    /// Deletes current objects.
    pub expires: bool,
    /// Moves current objects to another class.
    pub moves: bool,
    /// Deletes versions that are no longer current.
    pub expires_noncurrent: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// New objects are kept for a time that nobody asked for.
    pub is_default: bool,
}

impl S3Store {
    /// Where the credentials were found, as far as the SDK tells.
    pub fn credentials(&self) -> &'static str {
        self.credentials
    }

    /// Asks the bucket how it is set up. Needs rights that a journal does not: each answer fails for itself.
    pub async fn bucket_settings(&self) -> BucketSettings {
        let (region, versioning, lifecycle, object_lock, replication) =
            futures_util::join!(self.region(), self.versioning(), self.lifecycle(), self.object_lock(), self.replication());
        let configured_region = self.client.config().region().map(ToString::to_string);
        BucketSettings { configured_region, region, versioning, lifecycle, object_lock, replication }
    }

    async fn region(&self) -> Asked<String> {
        let answer = Answer::default();
        let request = self.client.head_bucket().bucket(&self.bucket).set_expected_bucket_owner(self.expected_bucket_owner.clone());
        let head = request.customize().interceptor(answer.clone()).send().await;
        Ok(self.told("HeadBucket", &answer, head, None)?.and_then(|head| head.bucket_region))
    }

    async fn versioning(&self) -> Asked<Versioning> {
        let answer = Answer::default();
        let request =
            self.client.get_bucket_versioning().bucket(&self.bucket).set_expected_bucket_owner(self.expected_bucket_owner.clone());
        let versioning = request.customize().interceptor(answer.clone()).send().await;
        Ok(self.told("GetBucketVersioning", &answer, versioning, None)?.map(|versioning| Versioning {
            is_enabled: versioning.status == Some(BucketVersioningStatus::Enabled),
            is_mfa_delete: versioning.mfa_delete == Some(MfaDeleteStatus::Enabled),
        }))
    }

    async fn lifecycle(&self) -> Asked<Vec<Expiry>> {
        let answer = Answer::default();
        let request = self
            .client
            .get_bucket_lifecycle_configuration()
            .bucket(&self.bucket)
            .set_expected_bucket_owner(self.expected_bucket_owner.clone());
        let lifecycle = request.customize().interceptor(answer.clone()).send().await;
        let lifecycle = self.told("GetBucketLifecycleConfiguration", &answer, lifecycle, Some("NoSuchLifecycleConfiguration"))?;
        let objects = self.full_key(crate::journal::objects::METADATA);
        Ok(lifecycle.map(|lifecycle| lifecycle.rules().iter().filter_map(|rule| expiry(rule, &objects)).collect()))
    }

    async fn object_lock(&self) -> Asked<Retention> {
        let answer = Answer::default();
        let request =
            self.client.get_object_lock_configuration().bucket(&self.bucket).set_expected_bucket_owner(self.expected_bucket_owner.clone());
        let lock = request.customize().interceptor(answer.clone()).send().await;
        let lock = self.told("GetObjectLockConfiguration", &answer, lock, Some("ObjectLockConfigurationNotFoundError"))?;
        let lock = lock.and_then(|lock| lock.object_lock_configuration);
        Ok(lock.map(|lock| Retention { is_default: lock.rule().is_some_and(|rule| rule.default_retention().is_some()) }))
    }

    async fn replication(&self) -> Asked<Vec<String>> {
        let answer = Answer::default();
        let request =
            self.client.get_bucket_replication().bucket(&self.bucket).set_expected_bucket_owner(self.expected_bucket_owner.clone());
        let replication = request.customize().interceptor(answer.clone()).send().await;
        let replication = self.told("GetBucketReplication", &answer, replication, Some("ReplicationConfigurationNotFoundError"))?;
        let Some(replication) = replication.and_then(|replication| replication.replication_configuration) else { return Ok(None) };
        let rules = replication.rules().iter().filter(|rule| rule.status() == &ReplicationRuleStatus::Enabled);
        Ok(Some(rules.filter_map(|rule| rule.destination()).map(|destination| destination.bucket().to_owned()).collect()))
    }

    /// An answer, or nothing where its code says that there is no such setting.
    fn told<T, E>(&self, what: &str, answer: &Answer, result: Result<T, SdkError<E, HttpResponse>>, unset: Option<&str>) -> Asked<T>
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        match result {
            Ok(told) => Ok(Some(told)),
            Err(error) if unset.is_some() && error.code() == unset => Ok(None),
            Err(error) => Err(answer.failure(&format!("{what} of {}", self.place), &error)),
        }
    }
}

/// What a rule does to objects whose keys begin with `objects`; nothing where it cannot meet one. The objects of a journal have no tags.
fn expiry(rule: &LifecycleRule, objects: &str) -> Option<Expiry> {
    let filter = rule.filter();
    let and = filter.and_then(|filter| filter.and());
    #[allow(deprecated)] // Old rules still have it.
    let old = rule.prefix();
    let prefix = filter.and_then(|filter| filter.prefix()).or(and.and_then(|and| and.prefix())).or(old).unwrap_or_default();
    let is_tagged = filter.is_some_and(|filter| filter.tag().is_some()) || and.is_some_and(|and| !and.tags().is_empty());
    let meets = objects.starts_with(prefix) || prefix.starts_with(objects);
    if rule.status() != &ExpirationStatus::Enabled || is_tagged || !meets {
        return None;
    }
    let expiration = rule.expiration();
    Some(Expiry {
        name: rule.id().filter(|id| !id.is_empty()).map_or_else(|| format!("for {prefix:?}"), |id| format!("{id:?}")),
        expires: expiration.is_some_and(|expiration| expiration.days().is_some() || expiration.date().is_some()),
        moves: !rule.transitions().is_empty(),
        expires_noncurrent: rule.noncurrent_version_expiration().is_some(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_s3::types::{LifecycleExpiration, LifecycleRuleAndOperator, LifecycleRuleFilter, Tag};

    #[test]
    fn a_rule_concerns_a_journal_only_where_it_can_meet_its_objects() {
        let rule = |filter: LifecycleRuleFilter, status: ExpirationStatus| {
            let expiration = LifecycleExpiration::builder().days(30).build();
            let rule = LifecycleRule::builder().id("old").filter(filter).status(status).expiration(expiration).build().expect("a rule");
            expiry(&rule, "root/.metadata/")
        };
        let prefixed = |prefix: &str| LifecycleRuleFilter::builder().prefix(prefix).build();
        let expires = Some(Expiry { name: "\"old\"".into(), expires: true, ..Expiry::default() });
        for prefix in ["", "root/", "root/.metadata/orders/", "ro"] {
            assert_eq!(rule(prefixed(prefix), ExpirationStatus::Enabled), expires, "{prefix:?}");
        }
        assert_eq!(rule(prefixed("root"), ExpirationStatus::Disabled), None);
        assert_eq!(rule(prefixed("logs/"), ExpirationStatus::Enabled), None);
        let tag = Tag::builder().key("temporary").value("yes").build().expect("a tag");
        assert_eq!(rule(LifecycleRuleFilter::builder().tag(tag.clone()).build(), ExpirationStatus::Enabled), None);
        let and = LifecycleRuleAndOperator::builder().prefix("root/").tags(tag).build();
        assert_eq!(rule(LifecycleRuleFilter::builder().and(and).build(), ExpirationStatus::Enabled), None);
        let and = LifecycleRuleAndOperator::builder().prefix("root/").object_size_greater_than(5).build();
        assert_eq!(rule(LifecycleRuleFilter::builder().and(and).build(), ExpirationStatus::Enabled), expires);
    }
}
