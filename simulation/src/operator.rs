//! A person at the bucket: deletes a rollup, or puts an old one back, at any moment and past all conditions.

use super::store::{Bucket, ChangeKind};
use super::world::ProcessId;
use bytes::Bytes;
use serde_json::Value;
use std::collections::BTreeSet;

/// The prefix of a namespace's objects.
pub fn prefix(namespace: &str) -> String {
    if namespace.is_empty() { ".metadata/.root/".to_owned() } else { format!(".metadata/{namespace}/") }
}

/// A person. Its requests are done at once: when they arrive is when it acts.
#[derive(Clone)]
pub struct Operator {
    bucket: Bucket,
    process: ProcessId,
}

impl Operator {
    pub fn new(bucket: &Bucket, process: ProcessId) -> Operator {
        Operator { bucket: bucket.clone(), process }
    }

    fn rollup(namespace: &str) -> String {
        format!("{}rollup.json", prefix(namespace))
    }

    /// Every rollup that there ever was, the oldest first.
    pub fn versions(&self, namespace: &str) -> Vec<Bytes> {
        let key = Operator::rollup(namespace);
        let changes = self.bucket.history().into_iter().filter(|change| change.key == key);
        changes.filter_map(|change| if let ChangeKind::Put { body, .. } = change.kind { Some(body) } else { None }).collect()
    }

    /// The one that folded most; the latest of several.
    pub fn greatest(&self, namespace: &str) -> Option<Bytes> {
        let count = |body: &Bytes| serde_json::from_slice::<Value>(body).ok().and_then(|body| body["proof"]["count"].as_u64()).unwrap_or(0);
        self.versions(namespace).into_iter().max_by_key(count)
    }

    /// `false` where there is none.
    pub fn delete(&self, namespace: &str) -> bool {
        self.bucket.remove_at_once(self.process, &Operator::rollup(namespace))
    }

    pub fn restore(&self, namespace: &str, body: Bytes) {
        self.bucket.put_at_once(self.process, &Operator::rollup(namespace), body);
    }

    /// The listed segments that say that something was folded.
    pub fn telling(&self, namespace: &str) -> BTreeSet<String> {
        let tells =
            |body: &[u8]| serde_json::from_slice::<Value>(body).is_ok_and(|body| body["folded"].as_u64().is_some_and(|folded| folded > 0));
        let segments = self.bucket.objects(&format!("{}segment-", prefix(namespace)));
        segments.into_iter().filter(|(_, body)| tells(body)).map(|(key, _)| key).collect()
    }
}
