//! The store behind `s3://BUCKET[/ROOT]`: any server that speaks S3 with conditional writes.

mod client;
mod failure;
mod settings;

pub use settings::{Asked, BucketSettings, Expiry, Retention, Versioning};

use super::{Condition, Deleted, ETag, Failure, Get, GetOptions, Kind, Listed, Object, PAGE, Page, Put, Store};
use crate::config::S3Config;
use crate::error::Error;
use crate::time::Stamp;
use async_trait::async_trait;
use aws_sdk_s3::Client;
#[cfg(any(test, feature = "fuzzing"))]
use aws_sdk_s3::config::SharedHttpClient;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{Delete, ObjectIdentifier, ServerSideEncryption};
use bytes::Bytes;
use client::Connected;
use failure::{Answer, meaning_for_one};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;

/// A body larger than this is sent from a thread of its own: its signature takes a hash over all of it, which would hold up
/// whatever else the runtime's threads have to do.
const LARGE: usize = 1 << 20;

/// Objects in a bucket, below a root. Clones share their connections.
#[derive(Clone)]
pub struct S3Store {
    client: Client,
    bucket: String,
    /// What comes before every key: empty, or the root and a slash.
    before: String,
    url: String,
    /// The same, and at which endpoint where that is not AWS's own: for messages about requests.
    place: String,
    expected_bucket_owner: Option<String>,
    sse: Option<ServerSideEncryption>,
    kms_key_id: Option<String>,
    /// Where they were found.
    credentials: &'static str,
}

impl S3Store {
    /// Finds credentials and sets up a client. The bucket itself is not asked for anything.
    pub async fn open(config: &S3Config, bucket: &str, root: &str) -> Result<S3Store, Error> {
        Ok(S3Store::over(client::connect(config).await?, config, bucket, root))
    }

    /// The same, asking another HTTP client: for tests that make up the answers.
    #[cfg(any(test, feature = "fuzzing"))]
    pub async fn open_over(http: SharedHttpClient, config: &S3Config, bucket: &str, root: &str) -> Result<S3Store, Error> {
        Ok(S3Store::over(client::connect_over(http, config).await?, config, bucket, root))
    }

    fn over(connected: Connected, config: &S3Config, bucket: &str, root: &str) -> S3Store {
        let Connected { client, endpoint, credentials } = connected;
        let root = root.trim_matches('/');
        let (before, url) = match root {
            "" => (String::new(), format!("s3://{bucket}")),
            root => (format!("{root}/"), format!("s3://{bucket}/{root}")),
        };
        let place = endpoint.map_or_else(|| url.clone(), |endpoint| format!("{url} at {endpoint}"));
        S3Store {
            client,
            bucket: bucket.to_owned(),
            before,
            url,
            place,
            expected_bucket_owner: config.expected_bucket_owner.clone(),
            sse: config.sse.as_deref().map(ServerSideEncryption::from),
            kms_key_id: config.kms_key_id.clone(),
            credentials,
        }
    }

    fn full_key(&self, key: &str) -> String {
        format!("{}{key}", self.before)
    }

    /// A request, as messages name it.
    fn request(&self, method: &str, of: &str) -> String {
        format!("{method} {of} in {}", self.place)
    }

    async fn put_here(self, key: String, body: Bytes, condition: Condition) -> Result<Put, Failure> {
        let what = self.request("PUT", &key);
        let answer = Answer::default();
        let request = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(self.full_key(&key))
            .set_expected_bucket_owner(self.expected_bucket_owner)
            .set_server_side_encryption(self.sse)
            .set_ssekms_key_id(self.kms_key_id)
            .content_type("application/json")
            .body(ByteStream::from(body));
        let request = match condition {
            Condition::Always => request,
            Condition::Absent => request.if_none_match("*"),
            Condition::Matches(etag) => request.if_match(etag.0),
        };
        match request.customize().interceptor(answer.clone()).send().await {
            Ok(put) => Ok(Put { etag: put.e_tag.map(etag), date: answer.date() }),
            Err(error) => Err(answer.failure(&what, &error)),
        }
    }
}

/// The tag in one spelling: a few servers leave the quotes out of a LIST.
fn etag(text: String) -> ETag {
    if text.starts_with('"') || text.starts_with("W/") { ETag(text) } else { ETag(format!("\"{text}\"")) }
}

/// The size of the whole object, from `bytes 0-99/1234`, and where the part begins.
fn parse_content_range(text: &str) -> Option<(u64, u64)> {
    let (part, size) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, _) = part.split_once('-')?;
    Some((first.trim().parse().ok()?, size.trim().parse().ok()?))
}

/// A body of which `length` bytes were announced.
struct Body {
    stream: ByteStream,
    what: String,
    left: u64,
}

impl Body {
    fn into_stream(self) -> BoxStream<'static, Result<Bytes, Failure>> {
        futures_util::stream::unfold(Some(self), |body| async {
            let mut body = body?;
            match body.stream.next().await {
                Some(Ok(chunk)) if chunk.len() as u64 <= body.left => {
                    body.left -= chunk.len() as u64;
                    Some((Ok(chunk), Some(body)))
                }
                Some(Ok(_)) => Some((Err(body.broken("is longer than announced")), None)),
                Some(Err(error)) => Some((Err(body.broken(&format!("breaks off: {}", client::chain(&error)))), None)),
                None if body.left > 0 => Some((Err(body.broken(&format!("ends {} bytes early", body.left))), None)),
                None => None,
            }
        })
        .boxed()
    }

    fn broken(&self, how: &str) -> Failure {
        Failure::new(Kind::Unavailable, format!("{}: the body {how}", self.what))
    }
}

#[async_trait]
impl Store for S3Store {
    async fn put(&self, key: &str, body: Bytes, condition: Condition) -> Result<Put, Failure> {
        let is_large = body.len() > LARGE;
        let request = self.clone().put_here(key.to_owned(), body, condition);
        if !is_large {
            return request.await;
        }
        let runtime = tokio::runtime::Handle::current();
        // Dropped with this future, which ends the request and closes its connection.
        let (_caller, gone) = tokio::sync::oneshot::channel::<()>();
        let sent = runtime.clone().spawn_blocking(move || {
            runtime.block_on(async {
                tokio::select! {
                    biased;
                    _ = gone => Err(Failure::new(Kind::Unavailable, "given up by the caller")),
                    result = request => result,
                }
            })
        });
        match sent.await {
            Ok(result) => result,
            Err(failure) => match failure.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(Failure::new(Kind::Unavailable, format!("PUT {key}: the runtime is shutting down"))),
            },
        }
    }

    async fn get(&self, key: &str, options: GetOptions) -> Result<Get, Failure> {
        let what = self.request("GET", key);
        let answer = Answer::default();
        let range = match options.range {
            None => None,
            Some((first, count)) if count > 0 => Some(format!("bytes={first}-{}", first.saturating_add(count - 1))),
            Some(_) => return Err(Failure::new(Kind::Refused, format!("{what}: no bytes are no range"))),
        };
        let request = self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(self.full_key(key))
            .set_expected_bucket_owner(self.expected_bucket_owner.clone())
            .set_if_none_match(options.unless.map(|etag| etag.0))
            .set_if_match(options.matches.map(|etag| etag.0))
            .set_range(range);
        let found = match request.customize().interceptor(answer.clone()).send().await {
            Ok(found) => found,
            Err(_) if answer.status() == Some(304) => return Ok(Get::NotModified { date: answer.date() }),
            Err(error) => return Err(answer.failure(&what, &error)),
        };
        let broken = |why: &str| Failure { kind: Kind::Unavailable, message: format!("{what}: {why}"), date: answer.date() };
        let etag = found.e_tag.map(etag).ok_or_else(|| broken("the answer names no ETag"))?;
        let length = found.content_length.and_then(|length| u64::try_from(length).ok());
        let length = length.ok_or_else(|| broken("the answer does not say how long it is"))?;
        let size = match (options.range, found.content_range.as_deref().map(parse_content_range)) {
            (None, _) => length,
            (Some((wanted, count)), Some(Some((first, size)))) if first == wanted && length <= count => size,
            // A server may answer with everything, which will do where that is what was asked for.
            (Some((0, count)), None) if length <= count => length,
            _ => return Err(broken("the answer is not the range that was asked for")),
        };
        let body = Body { stream: found.body, what, left: length }.into_stream();
        Ok(Get::Found(Object { etag, size, date: answer.date(), body }))
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, Failure> {
        let what = self.request("LIST", prefix);
        let answer = Answer::default();
        let request = self
            .client
            .list_objects_v2()
            .bucket(&self.bucket)
            .prefix(self.full_key(prefix))
            .set_expected_bucket_owner(self.expected_bucket_owner.clone())
            .set_continuation_token(after.map(str::to_owned))
            .max_keys(PAGE as i32);
        let page = request.customize().interceptor(answer.clone()).send().await;
        let page = page.map_err(|error| answer.failure(&what, &error))?;
        let broken = |kind, why: String| Failure { kind, message: format!("{what}: {why}"), date: answer.date() };
        if !answer.ends_with("ListBucketResult") {
            return Err(broken(Kind::Unavailable, "the answer breaks off".to_owned()));
        }
        let mut objects = Vec::with_capacity(page.contents().len());
        for object in page.contents.unwrap_or_default() {
            let full = object.key.ok_or_else(|| broken(Kind::Unavailable, "an object has no key".to_owned()))?;
            let Some(key) = full.strip_prefix(&self.before) else { continue };
            let (Some(tag), Some(modified)) = (object.e_tag, object.last_modified) else {
                return Err(broken(Kind::Refused, format!("{key} has no ETag or no LastModified")));
            };
            let size = object.size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0);
            objects.push(Listed { key: key.to_owned(), etag: etag(tag), stamp: Stamp::from_nanos(modified.as_nanos()), size });
        }
        if !objects.is_sorted_by(|one, other| one.key < other.key) {
            return Err(broken(Kind::Refused, "the keys are not in ascending order: this is no general purpose bucket".to_owned()));
        }
        let next = match (page.is_truncated, page.next_continuation_token) {
            (Some(true) | None, Some(token)) => Some(token),
            (Some(true), None) => return Err(broken(Kind::Unavailable, "there is more, but the answer does not say where".to_owned())),
            _ => None,
        };
        Ok(Page { objects, next, date: answer.date() })
    }

    async fn delete(&self, keys: &[String]) -> Result<Deleted, Failure> {
        let what = self.request("DELETE", &format!("of {} objects", keys.len()));
        if keys.is_empty() {
            return Ok(Deleted { date: None });
        }
        let answer = Answer::default();
        let mut wanted = Delete::builder().quiet(true);
        for key in keys {
            let object = ObjectIdentifier::builder().key(self.full_key(key)).build();
            wanted = wanted.objects(object.map_err(|error| Failure::new(Kind::Refused, format!("{what}: {error}")))?);
        }
        let wanted = wanted.build().map_err(|error| Failure::new(Kind::Refused, format!("{what}: {error}")))?;
        let request =
            self.client.delete_objects().bucket(&self.bucket).set_expected_bucket_owner(self.expected_bucket_owner.clone()).delete(wanted);
        let deleted = request.customize().interceptor(answer.clone()).send().await;
        let deleted = deleted.map_err(|error| answer.failure(&what, &error))?;
        let failed = deleted.errors().iter().find(|error| error.code() != Some("NoSuchKey"));
        if let Some(failed) = failed {
            let (key, code) = (failed.key().unwrap_or("?"), failed.code().unwrap_or("?"));
            let message = format!("{what}: {key}: {code}: {}", failed.message().unwrap_or_default());
            return Err(Failure { kind: meaning_for_one(code), message, date: answer.date() });
        }
        Ok(Deleted { date: answer.date() })
    }

    fn url(&self) -> &str {
        &self.url
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn};
    use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
    use aws_smithy_runtime_api::http::StatusCode;
    use aws_smithy_types::body::SdkBody;

    /// Answers every request with the same.
    #[derive(Clone, Debug)]
    struct Answering(Vec<u8>);

    impl HttpConnector for Answering {
        fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
            let mut response = HttpResponse::new(StatusCode::try_from(200).expect("a status"), SdkBody::from(self.0.clone()));
            response.headers_mut().insert("date", "Sat, 07 Mar 2026 06:35:06 GMT");
            HttpConnectorFuture::ready(Ok(response))
        }
    }

    /// What a LIST makes of this body.
    async fn listed(body: &[u8]) -> Result<Page, Failure> {
        let answering = Answering(body.to_vec());
        let http = http_client_fn(move |_, _| SharedHttpConnector::new(answering.clone()));
        let config = S3Config {
            region: Some("us-east-1".to_owned()),
            access_key_id: Some("id".to_owned()),
            secret_access_key: Some("secret".to_owned()),
            ..S3Config::default()
        };
        S3Store::open_over(http, &config, "bucket", "root").await.expect("a store").list("", None).await
    }

    #[tokio::test]
    async fn a_list_that_breaks_off_anywhere_is_no_list() {
        let object = |key: &str| {
            format!(
                "<Contents><Key>root/{key}</Key><LastModified>2026-03-07T06:35:06.420Z</LastModified><ETag>&quot;e&quot;</ETag><Size>7</Size></Contents>"
            )
        };
        let whole = format!(
            "<?xml version=\"1.0\"?><ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>bucket</Name><IsTruncated>false</IsTruncated>{}{}</ListBucketResult>",
            object("a.json"),
            object("b.json"),
        );
        let page = listed(whole.as_bytes()).await.expect("a page");
        let keys: Vec<&str> = page.objects.iter().map(|listed| listed.key.as_str()).collect();
        assert_eq!((keys, page.next, page.date), (vec!["a.json", "b.json"], None, Stamp::parse("2026-03-07T06:35:06Z")));
        assert_eq!(page.objects[0].stamp, Stamp::parse("2026-03-07T06:35:06.42Z").expect("a stamp"));
        for cut in 0..whole.len() {
            let failure = listed(&whole.as_bytes()[..cut]).await.expect_err(&whole[..cut]);
            assert_eq!(failure.kind, Kind::Unavailable, "{failure}");
        }
    }

    #[test]
    fn a_content_range_names_start_and_size() {
        assert_eq!(parse_content_range("bytes 5-9/1234"), Some((5, 1234)));
        assert_eq!(parse_content_range("bytes */1234"), None);
        assert_eq!(parse_content_range("bytes 0-9/*"), None);
    }

    #[test]
    fn tags_have_one_spelling() {
        assert_eq!(etag("abc".into()), etag("\"abc\"".into()));
    }
}
