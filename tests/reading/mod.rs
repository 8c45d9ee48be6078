//! Reads of a store to their end: whole bodies, all pages.

#![allow(dead_code)] // Every test program uses its own part.

use futures_util::StreamExt;
use opjournal::store::{ETag, Failure, Get, GetOptions, Kind, Listed, Object, PAGE, Store};

/// A GET that is not to end with "not modified".
pub async fn open(store: &dyn Store, key: &str, options: GetOptions) -> Result<Object, Failure> {
    match store.get(key, options).await? {
        Get::Found(object) => Ok(object),
        Get::NotModified { .. } => panic!("{key}: not modified"),
    }
}

pub async fn body(mut object: Object) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(chunk) = object.body.next().await {
        body.extend_from_slice(&chunk?);
    }
    Ok(body)
}

/// All of an object, and the tag that it had.
pub async fn get(store: &dyn Store, key: &str) -> Result<(ETag, Vec<u8>), Failure> {
    let object = open(store, key, GetOptions::default()).await?;
    Ok((object.etag.clone(), body(object).await?))
}

pub async fn list_all(store: &dyn Store, prefix: &str) -> Vec<Listed> {
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let page = store.list(prefix, after.as_deref()).await.expect("a LIST");
        assert!(page.objects.len() <= PAGE);
        assert!(page.date.is_some());
        listed.extend(page.objects);
        match page.next {
            Some(next) => after = Some(next),
            None => return listed,
        }
    }
}

/// Of what must fail.
pub fn kind<T>(result: Result<T, Failure>) -> Kind {
    match result {
        Ok(_) => panic!("done, though it should have been refused"),
        Err(failure) => failure.kind,
    }
}
