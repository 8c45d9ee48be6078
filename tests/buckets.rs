//! Whole buckets: from the objects of each case of `fixtures/buckets.jsonl` a fresh replica must reach the state that an existing implementation of
//! the bucket format reached, or refuse to open.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use opjournal::Journal;
use opjournal::config::Settings;
use opjournal::environment::{Environment, Process};
use opjournal::error::Status;
use opjournal::store::{Condition, Deleted, ETag, Failure, Get, GetOptions, Kind, Listed, Object, Page, Put, Store};
use opjournal::time::Stamp;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

#[derive(Deserialize)]
struct Case {
    name: String,
    namespace: String,
    objects: Vec<StoredObject>,
    state: Option<String>,
    #[serde(default)]
    refused: bool,
}

#[derive(Deserialize)]
struct StoredObject {
    key: String,
    stamp: String,
    body: String,
}

/// A bucket that nobody writes to, with the stamps that a case gives.
struct FrozenBucket {
    objects: BTreeMap<String, (Stamp, Bytes)>,
    date: Stamp,
}

#[async_trait]
impl Store for FrozenBucket {
    async fn put(&self, key: &str, _: Bytes, _: Condition) -> Result<Put, Failure> {
        panic!("reading never writes, but {key} was put");
    }

    async fn get(&self, key: &str, options: GetOptions) -> Result<Get, Failure> {
        let Some((_, body)) = self.objects.get(key) else { return Err(Failure::new(Kind::NotFound, format!("GET {key}: no such object"))) };
        if options.unless.as_ref() == Some(&ETag(key.to_owned())) {
            return Ok(Get::NotModified { date: Some(self.date) });
        }
        assert!(options.range.is_none(), "the rollups of the cases are small");
        Ok(Get::Found(Object {
            etag: ETag(key.to_owned()),
            size: body.len() as u64,
            date: Some(self.date),
            body: stream::iter([Ok(body.clone())]).boxed(),
        }))
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, Failure> {
        // Small pages, so that a LIST takes several.
        let mut objects: Vec<Listed> = self
            .objects
            .iter()
            .filter(|(key, _)| key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after))
            .map(|(key, (stamp, body))| Listed { key: key.clone(), etag: ETag(key.clone()), stamp: *stamp, size: body.len() as u64 })
            .take(6)
            .collect();
        let next = if objects.len() == 6 { objects.pop().and(objects.last().map(|last| last.key.clone())) } else { None };
        Ok(Page { objects, next, date: Some(self.date) })
    }

    async fn delete(&self, keys: &[String]) -> Result<Deleted, Failure> {
        panic!("reading never deletes, but {keys:?} were");
    }

    fn url(&self) -> &str {
        "memory:frozen"
    }
}

fn cases() -> Vec<Case> {
    let text = include_str!("fixtures/buckets.jsonl");
    text.lines().map(|line| serde_json::from_str(line).expect("a case")).collect()
}

#[tokio::test]
async fn a_fresh_replica_reaches_the_same_state() {
    let environment: Arc<dyn Environment> = Arc::new(Process::new(tokio::runtime::Handle::current()));
    let (mut reached, mut refused) = (0, 0);
    for case in cases() {
        let objects: BTreeMap<String, (Stamp, Bytes)> = case
            .objects
            .into_iter()
            .map(|object| (object.key, (Stamp::parse(&object.stamp).expect("a stamp"), Bytes::from(object.body))))
            .collect();
        let latest = objects.values().map(|(stamp, _)| *stamp).max().unwrap_or(Stamp::ZERO);
        let store = Arc::new(FrozenBucket { objects, date: latest + Duration::from_secs(3600) });
        let settings = Settings { read_only: true, ..Settings::default() };
        let journal = Journal::open(settings, store, environment.clone(), None).await.expect("the bucket is there");
        match journal.namespace(&case.namespace, None).await {
            Ok(namespace) => {
                assert!(!case.refused, "{}: had to be refused", case.name);
                let mut state = Vec::new();
                namespace.query(br#"{"op":"State"}"#, &mut state).expect("ready");
                assert_eq!(String::from_utf8(state).expect("UTF-8"), case.state.expect("a state"), "{}", case.name);
                reached += 1;
            }
            Err(error) => {
                assert!(case.refused, "{}: {error}", case.name);
                assert_eq!(error.status, Status::Unreadable, "{}: {error}", case.name);
                assert!(error.details.contains_key("object"), "{}: the message names the object", case.name);
                refused += 1;
            }
        }
        journal.close(None).await.expect("nothing is open");
    }
    assert_eq!((reached, refused), (58, 22));
}
