//! The bucket, seen from one process.

use super::Bucket;
use super::requests::{Answer, Request};
use crate::world::Process;
use async_trait::async_trait;
use bytes::Bytes;
use opjournal::store::{Condition, Deleted, Failure, Get, GetOptions, Object, Page, Put, Store};
use std::sync::Arc;

/// The bucket, seen from one process.
pub(super) struct Client {
    pub(super) bucket: Bucket,
    pub(super) process: Arc<Process>,
}

impl Client {
    fn expect_key(&self, key: &str) {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
        if key.is_empty() || !key.bytes().all(allowed) {
            self.bucket.inner().breaches.push(format!("a key that the contract does not allow: {key:?}"));
        }
    }
}

#[async_trait]
impl Store for Client {
    async fn put(&self, key: &str, body: Bytes, condition: Condition) -> Result<Put, Failure> {
        self.expect_key(key);
        match self.bucket.send(&self.process, Request::Put { key: key.to_owned(), body, condition }).await? {
            Answer::Put(put) => Ok(put),
            _ => unreachable!("a PUT is answered as one"),
        }
    }

    async fn get(&self, key: &str, options: GetOptions) -> Result<Get, Failure> {
        self.expect_key(key);
        match self.bucket.send(&self.process, Request::Get { key: key.to_owned(), options }).await? {
            Answer::NotModified(date) => Ok(Get::NotModified { date }),
            Answer::Found { etag, size, date, body } => Ok(Get::Found(Object { etag, size, date, body: self.bucket.body(body) })),
            _ => unreachable!("a GET is answered as one"),
        }
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, Failure> {
        match self.bucket.send(&self.process, Request::List { prefix: prefix.to_owned(), after: after.map(str::to_owned) }).await? {
            Answer::List(page) => Ok(page),
            _ => unreachable!("a LIST is answered as one"),
        }
    }

    async fn delete(&self, keys: &[String]) -> Result<Deleted, Failure> {
        keys.iter().for_each(|key| self.expect_key(key));
        if keys.is_empty() || keys.len() > 1000 {
            self.bucket.inner().breaches.push(format!("a DELETE of {} keys", keys.len()));
        }
        match self.bucket.send(&self.process, Request::Delete { keys: keys.to_vec() }).await? {
            Answer::Delete(deleted) => Ok(deleted),
            _ => unreachable!("a DELETE is answered as one"),
        }
    }

    fn url(&self) -> &str {
        "simulated:bucket"
    }

    fn is_trusted(&self) -> bool {
        self.bucket.0.character.trusted
    }
}
