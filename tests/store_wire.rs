//! What the S3 store sends, and what it makes of every kind of answer, or of none.
#![cfg(feature = "s3")]

mod reading;
mod servers;

use opjournal::config::S3Config;
use opjournal::store::s3::S3Store;
use opjournal::store::{Condition, ETag, Failure, GetOptions, Kind, Store};
use opjournal::time::Stamp;
use servers::wire::{Relay, Scripted, Step, answer, answer_of};
use servers::{BUCKET, Product, config_for, free_port};
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

const KEYS: (&str, &str) = ("an-access-key", "a-secret-key");
const KEY: &str = ".metadata/a/segment-1.json";

fn block_on<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime").block_on(test)
}

async fn store_at(config: &S3Config, root: &str) -> S3Store {
    S3Store::open(config, BUCKET, root).await.expect("a store")
}

fn error(code: &str) -> String {
    format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>As the server says.</Message></Error>")
}

async fn read(store: &S3Store, options: GetOptions) -> Result<Vec<u8>, Failure> {
    reading::body(reading::open(store, KEY, options).await?).await
}

/// What a GET makes of `step`; and it asks only once.
fn get_after(step: Step) -> Result<Vec<u8>, Failure> {
    block_on(async {
        let server = Scripted::start(vec![step]);
        let store = store_at(&config_for(server.address, KEYS), "").await;
        let result = read(&store, GetOptions::default()).await;
        assert_eq!(server.requests().len(), 1, "asked once");
        result
    })
}

/// What a PUT makes of `step`; and it is sent only once.
fn put_after(step: Step) -> Failure {
    block_on(async {
        let server = Scripted::start(vec![step]);
        let store = store_at(&config_for(server.address, KEYS), "").await;
        let failure = store.put(KEY, "{}".into(), Condition::Absent).await.expect_err("a failure");
        assert_eq!(server.requests().len(), 1, "sent once");
        failure
    })
}

#[test]
fn a_large_conditional_put_is_one_request_with_its_condition() {
    const SIZE: usize = 40 << 20;
    block_on(async {
        let relay = Relay::start(tokio::task::spawn_blocking(|| Product::Minio.shared().address()).await.expect("a server"));
        let config = S3Config { endpoint: Some(format!("http://{}", relay.address)), ..Product::Minio.shared().config() };
        let store = store_at(&config, "wire").await;
        let send = async |byte: u8, condition: Condition| {
            relay.take_requests();
            let result = store.put(KEY, vec![byte; SIZE].into(), condition).await;
            let requests = relay.take_requests();
            assert_eq!(requests.len(), 1, "{requests:?}");
            let request = requests.into_iter().next().expect("a request");
            assert!(request.line().starts_with(&format!("PUT /{BUCKET}/wire/{KEY}")), "{request:?}");
            assert!(!request.line().contains("uploads") && !request.line().contains("partNumber"), "{request:?}");
            assert_eq!(request.header("content-length"), Some(SIZE.to_string().as_str()));
            assert_eq!(request.header("x-amz-trailer"), None);
            (result, request)
        };
        let (created, request) = send(b'a', Condition::Absent).await;
        assert_eq!(request.header("if-none-match"), Some("*"));
        let first = created.expect("created").etag.expect("a tag");

        let (refused, _) = send(b'b', Condition::Absent).await;
        assert_eq!(refused.expect_err("it is there").kind, Kind::ConditionFailed);

        let (swapped, request) = send(b'c', Condition::Matches(first.clone())).await;
        assert_eq!(request.header("if-match"), Some(first.0.as_str()));
        swapped.expect("swapped");

        let (refused, request) = send(b'd', Condition::Matches(first.clone())).await;
        assert_eq!(request.header("if-match"), Some(first.0.as_str()));
        assert_eq!(refused.expect_err("it changed").kind, Kind::ConditionFailed);

        assert!(read(&store, GetOptions::default()).await.expect("a GET") == vec![b'c'; SIZE]);
        let listed = store_at(&config, "").await.list("wire/", None).await.expect("a LIST").objects;
        assert_eq!(listed.len(), 1);
        assert_eq!((listed[0].key.as_str(), listed[0].size), (format!("wire/{KEY}").as_str(), SIZE as u64));
    });
}

#[test]
fn connections_are_used_again() {
    block_on(async {
        let relay = Relay::start(tokio::task::spawn_blocking(|| Product::Minio.shared().address()).await.expect("a server"));
        let config = S3Config { endpoint: Some(format!("http://{}", relay.address)), ..Product::Minio.shared().config() };
        let store = store_at(&config, "reuse").await;
        for number in 0..10 {
            store.put(&format!(".metadata/a/{number}.json"), "{}".into(), Condition::Absent).await.expect("a PUT");
            store.list(".metadata/a/", None).await.expect("a LIST");
        }
        assert_eq!(relay.take_requests().len(), 20);
        // A connection is free again a moment after its answer: the next request may come before that.
        assert!(relay.connections() <= 5, "{} connections for 20 requests one after another", relay.connections());
    });
}

#[test]
fn what_is_configured_is_sent() {
    block_on(async {
        let server = Scripted::start(vec![Step::Answer(answer("200 OK", "ETag: \"1\"\r\n", ""))]);
        let config = S3Config {
            session_token: Some("a-token".into()),
            expected_bucket_owner: Some("123456789012".into()),
            sse: Some("aws:kms".into()),
            kms_key_id: Some("a-key".into()),
            ..config_for(server.address, KEYS)
        };
        let put = store_at(&config, "/root/").await.put(KEY, "{}".into(), Condition::Always).await.expect("a PUT");
        assert_eq!(put.etag, Some(ETag("\"1\"".into())));
        assert_eq!(put.date, Stamp::parse("2026-11-22T12:00:00Z"));
        let request = server.requests().remove(0);
        assert!(request.line().starts_with(&format!("PUT /{BUCKET}/root/{KEY}")), "{request:?}");
        for (name, value) in [
            ("x-amz-security-token", "a-token"),
            ("x-amz-expected-bucket-owner", "123456789012"),
            ("x-amz-server-side-encryption", "aws:kms"),
            ("x-amz-server-side-encryption-aws-kms-key-id", "a-key"),
        ] {
            assert_eq!(request.header(name), Some(value), "{name}");
        }
        assert!(!request.0.contains(KEYS.1), "the secret itself is never sent");
    });
}

#[test]
fn errors_are_told_apart_and_never_repeated() {
    for (status, code, kind) in [
        ("412 Precondition Failed", "PreconditionFailed", Kind::ConditionFailed),
        ("409 Conflict", "ConditionalRequestConflict", Kind::Conflict),
        ("404 Not Found", "NoSuchBucket", Kind::NoSuchStore),
        ("403 Forbidden", "AccessDenied", Kind::Denied),
        ("403 Forbidden", "RequestTimeTooSkewed", Kind::Unavailable),
        ("400 Bad Request", "InvalidRequest", Kind::Refused),
        ("500 Internal Server Error", "InternalError", Kind::Unavailable),
        ("501 Not Implemented", "NotImplemented", Kind::Refused),
        ("503 Service Unavailable", "SlowDown", Kind::Unavailable),
        ("429 Too Many Requests", "TooManyRequests", Kind::Unavailable),
    ] {
        let failure = put_after(Step::Answer(answer(status, "", &error(code))));
        assert_eq!(failure.kind, kind, "{status} {code}: {failure}");
        assert!(failure.message.contains(code) && failure.message.contains(KEY), "{failure}");
        assert_eq!(failure.date, Stamp::parse("2026-11-22T12:00:00Z"), "{code}");
    }
}

#[test]
fn a_bucket_elsewhere_is_named() {
    let text = answer("301 Moved Permanently", "x-amz-bucket-region: eu-central-1\r\n", &error("PermanentRedirect"));
    let failure = put_after(Step::Answer(text));
    assert_eq!(failure.kind, Kind::Refused);
    assert!(failure.message.contains("eu-central-1") && failure.message.contains("`region`"), "{failure}");
}

#[test]
fn only_the_words_of_an_s3_server_prove_that_an_object_is_absent() {
    let absent = |step| get_after(step).expect_err("a failure").kind;
    assert_eq!(absent(Step::Answer(answer("404 Not Found", "", &error("NoSuchKey")))), Kind::NotFound);
    assert_eq!(absent(Step::Answer(answer("404 Not Found", "", "<html>Nothing here</html>"))), Kind::Unavailable);
    assert_eq!(absent(Step::Answer(answer("404 Not Found", "", ""))), Kind::Unavailable);
    let text = error("NoSuchKey");
    assert_eq!(absent(Step::AnswerAndClose(answer_of("404 Not Found", "", &text[..30], text.len()))), Kind::Unavailable);
}

#[test]
fn a_body_that_breaks_off_is_no_body() {
    let headers = "ETag: \"1\"\r\nLast-Modified: Sun, 22 Nov 2026 12:00:00 GMT\r\n";
    assert_eq!(get_after(Step::AnswerAndClose(answer("200 OK", headers, "{\"ops\":[]}"))).expect("whole"), b"{\"ops\":[]}");
    for announced in [11, 1_000_000] {
        let text = answer_of("200 OK", headers, "{\"ops\":[]}", announced);
        let failure = get_after(Step::AnswerAndClose(text)).expect_err("cut");
        assert_eq!(failure.kind, Kind::Unavailable, "{failure}");
    }
    let chunked = format!("HTTP/1.1 200 OK\r\n{headers}Transfer-Encoding: chunked\r\n\r\n5\r\n{{\"op");
    assert_eq!(get_after(Step::AnswerAndClose(chunked)).expect_err("cut").kind, Kind::Unavailable);
    let unlimited = format!("HTTP/1.1 200 OK\r\n{headers}\r\n{{}}");
    assert_eq!(get_after(Step::AnswerAndClose(unlimited)).expect_err("no length").kind, Kind::Unavailable);
}

#[test]
fn a_range_that_was_not_asked_for_is_not_taken() {
    let options = || GetOptions { range: Some((2, 3)), matches: Some(ETag("\"1\"".into())), unless: None };
    let part = |status: &str, headers: &str, body: &str| {
        block_on(async {
            let server = Scripted::start(vec![Step::Answer(answer(status, &format!("ETag: \"1\"\r\n{headers}"), body))]);
            let result = read(&store_at(&config_for(server.address, KEYS), "").await, options()).await;
            let request = server.requests().remove(0);
            assert_eq!(request.header("range"), Some("bytes=2-4"));
            assert_eq!(request.header("if-match"), Some("\"1\""));
            result
        })
    };
    assert_eq!(part("206 Partial Content", "Content-Range: bytes 2-4/9\r\n", "cde").expect("the part"), b"cde");
    assert_eq!(part("206 Partial Content", "Content-Range: bytes 0-2/9\r\n", "abc").expect_err("another").kind, Kind::Unavailable);
    assert_eq!(part("200 OK", "", "abcdefghi").expect_err("everything").kind, Kind::Unavailable);
}

#[test]
fn no_answer_is_no_outcome_and_is_not_tried_again() {
    let failure = put_after(Step::Close);
    assert_eq!(failure.kind, Kind::Unavailable, "{failure}");
    block_on(async {
        // On a connection that served before, a client could think that the request was never read.
        let server = Scripted::start(vec![Step::Answer(answer("200 OK", "ETag: \"1\"\r\n", "")), Step::Close]);
        let store = store_at(&config_for(server.address, KEYS), "").await;
        store.put(KEY, "{}".into(), Condition::Absent).await.expect("a PUT");
        let failure = store.put(KEY, "{}".into(), Condition::Absent).await.expect_err("no answer");
        assert_eq!(failure.kind, Kind::Unavailable, "{failure}");
        assert_eq!(server.requests().len(), 2);

        let nobody = store_at(&config_for(([127, 0, 0, 1], free_port()).into(), KEYS), "").await;
        assert_eq!(nobody.list("", None).await.expect_err("nobody is there").kind, Kind::Unavailable);
    });
}

#[test]
fn giving_a_request_up_closes_its_connection() {
    for size in [2, 3 << 20] {
        block_on(async {
            let server = Scripted::start(vec![Step::Hang]);
            let store = store_at(&config_for(server.address, KEYS), "").await;
            let request = store.put(KEY, vec![b'x'; size].into(), Condition::Absent);
            let asked = async {
                let begun = Instant::now();
                while server.requests().is_empty() {
                    assert!(begun.elapsed() < Duration::from_secs(30), "nothing arrives");
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            tokio::select! {
                result = request => panic!("an answer: {result:?}"),
                () = asked => {}
            }
            let closed = tokio::task::spawn_blocking(move || server.hung_up.recv_timeout(Duration::from_secs(20)));
            closed.await.expect("a look").expect("the connection was closed");
        });
    }
}

#[test]
fn credentials_and_buckets_are_told_apart_on_a_real_server() {
    block_on(async {
        let config = tokio::task::spawn_blocking(|| Product::Minio.shared().config()).await.expect("a server");
        let wrong = S3Config { secret_access_key: Some("not-the-secret".into()), ..config.clone() };
        let failure = store_at(&wrong, "").await.list("", None).await.expect_err("the wrong secret");
        assert_eq!(failure.kind, Kind::Denied, "{failure}");
        assert!(!failure.message.contains("not-the-secret") && failure.date.is_some(), "{failure}");

        let missing = S3Store::open(&config, "no-such-bucket", "").await.expect("a store");
        assert_eq!(missing.list("", None).await.expect_err("no bucket").kind, Kind::NoSuchStore);
        assert_eq!(missing.put(KEY, "{}".into(), Condition::Absent).await.expect_err("no bucket").kind, Kind::NoSuchStore);
        assert_eq!(missing.delete(&[KEY.to_owned()]).await.expect_err("no bucket").kind, Kind::NoSuchStore);
        assert!(matches!(missing.get(KEY, GetOptions::default()).await, Err(failure) if failure.kind == Kind::NoSuchStore));
    });
}

#[test]
fn a_bundle_of_certificates_is_trusted_and_needed() {
    block_on(async {
        let config = tokio::task::spawn_blocking(|| Product::MinioTls.shared().config()).await.expect("a server");
        let store = store_at(&config, "tls").await;
        store.put(KEY, "{}".into(), Condition::Absent).await.expect("a PUT over TLS");
        assert_eq!(read(&store, GetOptions::default()).await.expect("a GET over TLS"), b"{}");

        let without = S3Config { ca_bundle: None, ..config };
        let failure = store_at(&without, "tls").await.list("", None).await.expect_err("the certificate is unknown");
        assert_eq!(failure.kind, Kind::Unavailable);
        assert!(failure.message.contains("certificate"), "{failure}");
    });
}

/// This program again, for one test that needs other variables.
fn with_proxy(proxy: SocketAddr, except: &str, server: SocketAddr) {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", "the_role_of_a_process_behind_a_proxy", "--nocapture"]);
    command.env("OPJOURNAL_TEST_SERVER", server.to_string()).env("HTTP_PROXY", format!("http://{proxy}"));
    for name in ["http_proxy", "ALL_PROXY", "all_proxy", "no_proxy"] {
        command.env_remove(name);
    }
    let output = command.env("NO_PROXY", except).output().expect("a child");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("role: done"), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

/// Not a test of its own: what the process behind a proxy does.
#[test]
fn the_role_of_a_process_behind_a_proxy() {
    let Ok(server) = std::env::var("OPJOURNAL_TEST_SERVER") else { return };
    block_on(async {
        let config = config_for(server.parse().expect("an address"), ("opjournal", "opjournal-secret"));
        store_at(&config, "proxied").await.list("", None).await.expect("a LIST");
        println!("role: done");
    });
}

#[test]
fn the_usual_variables_name_the_proxy() {
    let server = Product::Minio.shared().address();
    let proxy = Relay::start(server);
    with_proxy(proxy.address, "", server);
    let requests = proxy.take_requests();
    assert_eq!(requests.len(), 1);
    assert!(requests[0].line().starts_with(&format!("GET http://{server}/{BUCKET}")), "{requests:?}");
    with_proxy(proxy.address, "127.0.0.1", server);
    assert!(proxy.take_requests().is_empty(), "NO_PROXY is heeded");
}
