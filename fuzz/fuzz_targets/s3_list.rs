//! What the store on S3 makes of the answer to a LIST. The first byte says which: any status, headers and body; or a page that is
//! written as a server writes it, and read whole and cut off.

#![no_main]

use arbitrary::{Result, Unstructured};
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use libfuzzer_sys::fuzz_target;
use opjournal::config::S3Config;
use opjournal::store::s3::S3Store;
use opjournal::store::{Failure, Page, Store};
use opjournal_fuzz::{check_error, place_in};
use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock};
use tokio::runtime::Runtime;

/// The answer that the next request gets: status, `Date`, body.
static ANSWER: Mutex<(u16, String, Vec<u8>)> = Mutex::new((200, String::new(), Vec::new()));

#[derive(Debug)]
struct Answering;

impl HttpConnector for Answering {
    fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
        let (status, date, body) = ANSWER.lock().expect("one thread").clone();
        let mut response = HttpResponse::new(StatusCode::try_from(status).expect("a status"), SdkBody::from(body));
        if http::HeaderValue::try_from(&date).is_ok() {
            response.headers_mut().insert("date", date);
        }
        HttpConnectorFuture::ready(Ok(response))
    }
}

fn store() -> &'static (Runtime, S3Store) {
    static STORE: OnceLock<(Runtime, S3Store)> = OnceLock::new();
    STORE.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let http: SharedHttpClient = http_client_fn(|_, _| SharedHttpConnector::new(Answering));
        let config = S3Config {
            region: Some("us-east-1".to_owned()),
            endpoint: Some("http://127.0.0.1:9".to_owned()),
            force_path_style: true,
            access_key_id: Some("id".to_owned()),
            secret_access_key: Some("secret".to_owned()),
            ..S3Config::default()
        };
        let store = runtime.block_on(S3Store::open_over(http, &config, "bucket", "root")).expect("a store");
        (runtime, store)
    })
}

fn list(status: u16, date: &str, body: &[u8]) -> std::result::Result<Page, Failure> {
    *ANSWER.lock().expect("one thread") = (status, date.to_owned(), body.to_vec());
    let (runtime, store) = store();
    let listed = runtime.block_on(store.list(".metadata/", None));
    match &listed {
        Ok(page) => {
            assert!(page.objects.is_sorted_by(|one, other| one.key < other.key), "in order, each once");
            assert!(page.objects.iter().all(|listed| listed.etag.0.len() >= 2));
        }
        Err(failure) => check_error(&failure.clone().into_error()),
    }
    listed
}

fuzz_target!(|data: &[u8]| {
    match data.split_first() {
        Some((b'w', rest)) => {
            // What runs out of bytes is no page.
            let _ = check_written(&mut Unstructured::new(rest));
        }
        Some((_, rest)) => {
            // A line of status and `Date`, and the body; without the line, the body alone.
            let text = String::from_utf8_lossy(rest);
            let head = text.split_once('\n').and_then(|(line, _)| line.split_once(' '));
            let status = head.and_then(|(status, _)| status.parse().ok()).filter(|status| (100..1000).contains(status));
            match (status, head) {
                (Some(status), Some((code, date))) => drop(list(status, date, &rest[(code.len() + 1 + date.len() + 1).min(rest.len())..])),
                _ => drop(list(200, "Sat, 07 Mar 2026 06:35:06 GMT", rest)),
            }
        }
        None => {}
    }
});

fn check_written(u: &mut Unstructured) -> Result<()> {
    let mut objects = BTreeMap::new();
    for _ in 0..u.int_in_range(0..=5)? {
        let name: String = u.arbitrary()?;
        // What XML can carry, and a key cannot begin or end with.
        let name: String = name.chars().filter(|character| !character.is_control() && *character < '\u{fffe}').collect();
        objects.insert(format!("segment-{}", name.trim()), (u.int_in_range(0..=999)?, u.arbitrary::<u32>()?));
    }
    let token = if u.arbitrary()? { Some("a token") } else { None };
    let prefix = if u.ratio(1, 4)? { "s3:" } else { "" };
    let mut body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{prefix}ListBucketResult xmlns{}=\"http://s3.amazonaws.com/doc/2006-03-01/\">",
        if prefix.is_empty() { "" } else { ":s3" }
    );
    let element =
        |name: &str, text: &str| format!("<{name}>{}</{name}>", text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"));
    body.push_str(&element("IsTruncated", if token.is_some() { "true" } else { "false" }));
    for (key, (millis, size)) in &objects {
        let modified = format!("2026-03-07T06:35:06.{millis:03}Z");
        let inner = [
            element("Key", &format!("root/{key}")),
            element("LastModified", &modified),
            element("ETag", "\"e\""),
            element("Size", &size.to_string()),
        ];
        body.push_str(&format!("<Contents>{}</Contents>", inner.concat()));
    }
    body.extend(token.map(|token| element("NextContinuationToken", token)));
    body.push_str(&format!("</{prefix}ListBucketResult>"));

    let page = list(200, "Sat, 07 Mar 2026 06:35:06 GMT", body.as_bytes());
    if prefix.is_empty() {
        let page = page.expect("what a server writes is read");
        let found: Vec<(&str, u64, i64)> =
            page.objects.iter().map(|listed| (listed.key.as_str(), listed.size, listed.stamp.as_millis() % 1000)).collect();
        let expected: Vec<(&str, u64, i64)> =
            objects.iter().map(|(key, (millis, size))| (key.as_str(), u64::from(*size), i64::from(*millis))).collect();
        assert_eq!((found, page.next.as_deref()), (expected, token));
    }
    let cut = place_in(body.as_bytes()).min(body.len() - 1);
    assert!(list(200, "Sat, 07 Mar 2026 06:35:06 GMT", &body.as_bytes()[..cut]).is_err(), "a page that breaks off is none");
    Ok(())
}
