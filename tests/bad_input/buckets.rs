//! Buckets that cannot be reached, that refuse credentials or rights, or that must not be written to.

use super::gate::{Gate, Way};
use super::role::assume;
use super::stage::{ADD_ONE, AMPLE, NS, Place, Replica, SECRET, ask, detail, n, open, play, told};
use crate::servers::wire::{Scripted, Step, answer, answer_of};
use crate::servers::{BUCKET, Product, Server, free_port};
use opjournal::Namespace;
use opjournal::error::{Error, Outcome, Status};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

async fn minio() -> &'static Server {
    tokio::task::spawn_blocking(|| Product::Minio.shared()).await.expect("a server")
}

fn at(endpoint: &str) -> Value {
    json!({
        "store": format!("s3://{BUCKET}/some-root"), "endpoint": endpoint, "region": "us-east-1", "force_path_style": true,
        "access_key_id": "opjournal", "secret_access_key": SECRET,
    })
}

/// Why a journal does not open within `limit` milliseconds.
async fn refusal(config: &Value, limit: u64) -> Error {
    open(config, limit).await.err().expect("refused")
}

/// What is only found when the store is set up names the member as well.
#[test]
fn what_a_member_points_to_is_looked_at() {
    play(async {
        let s3 = json!({ "store": "s3://bucket", "endpoint": "http://127.0.0.1:1", "access_key_id": "id", "secret_access_key": SECRET });
        let place = tempfile::tempdir().expect("a directory");
        let (absent, empty) = (place.path().join("absent.pem"), place.path().join("empty.pem"));
        std::fs::write(&empty, "no certificate").expect("written");
        for (name, value, named) in [
            ("ca_bundle", absent.to_str(), "absent.pem"),
            ("ca_bundle", empty.to_str(), "empty.pem"),
            ("endpoint", Some("http://id:opjournal-secret@127.0.0.1:1"), "credentials"),
            ("endpoint", Some("http://127.0.0.1:1/?x=1"), "host"),
        ] {
            let mut config = s3.clone();
            config[name] = json!(value);
            let error = open(&config, AMPLE).await.err().expect("refused");
            told(&error, Status::Invalid, &[name, named]);
            assert_eq!(detail(&error, "member"), name, "{error}");
        }
    });
}

#[test]
fn a_bucket_that_is_out_of_reach_is_named_within_the_deadline() {
    play(async {
        // Nobody listens.
        let endpoint = format!("http://127.0.0.1:{}", free_port());
        let error = refusal(&at(&endpoint), AMPLE).await;
        told(&error, Status::Unavailable, &["s3://opjournal/some-root", &endpoint, "refused"]);
        assert!(error.retryable);

        // Somebody listens and never answers; or does not even take the connection.
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let endpoint = format!("http://{}", taken.local_addr().expect("its address"));
        for limit in [1, 500] {
            let error = refusal(&at(&endpoint), limit).await;
            told(&error, Status::Unavailable, &["s3://opjournal/some-root", "in time"]);
            assert!(error.retryable);
        }

        // A name that cannot be looked up: one of its parts is longer than names can be, so that nobody is even asked.
        let endpoint = format!("http://{}.invalid:9000", "a".repeat(64));
        let error = refusal(&at(&endpoint), AMPLE).await;
        told(&error, Status::Unavailable, &["s3://opjournal/some-root", &endpoint]);
        assert!(error.retryable);

        // Somebody answers, but it is no S3 server.
        for text in
            [answer("200 OK", "Content-Type: text/html\r\n", "<html>Welcome!</html>"), answer("200 OK", "", ""), "SSH-2.0-x\r\n".into()]
        {
            let server = Scripted::start(vec![Step::Answer(text.clone()); 4]);
            let endpoint = format!("http://{}", server.address);
            let error = refusal(&at(&endpoint), AMPLE).await;
            told(&error, Status::Unavailable, &["s3://opjournal/some-root", &endpoint]);
        }
    });
}

#[test]
fn a_missing_bucket_and_wrong_credentials_are_told_apart() {
    play(async {
        let place = Place::bucket().await;
        let endpoint = format!("http://{}", minio().await.address());
        let error = refusal(&place.config(json!({ "store": "s3://no-such-bucket/x" })), AMPLE).await;
        told(&error, Status::NoSuchStore, &["s3://no-such-bucket/x", &endpoint]);
        assert_eq!(detail(&error, "store"), "s3://no-such-bucket/x");

        let wrong_key = json!({ "access_key_id": "somebody", "secret_access_key": "wrong-secret" });
        let wrong_secret = json!({ "secret_access_key": "wrong-secret" });
        let wrong_token = json!({ "session_token": "wrong-token" });
        for wrong in [wrong_key, wrong_secret, wrong_token] {
            let error = refusal(&place.config(wrong.clone()), AMPLE).await;
            told(&error, Status::Denied, &["LIST .metadata/", "s3://opjournal/bad-input-", &endpoint]);
            assert!(!error.retryable && !error.to_json().to_string().contains("wrong-"), "{error}");
        }
        assert_eq!(place.keys().await, [""; 0]);
    });
}

/// May list the bucket and read, and also do `actions` to the objects `objects`.
fn policy(actions: &[&str], objects: &[&str]) -> Value {
    let mut statements = vec![
        json!({ "Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": [format!("arn:aws:s3:::{BUCKET}")] }),
        json!({ "Effect": "Allow", "Action": ["s3:GetObject"], "Resource": [format!("arn:aws:s3:::{BUCKET}/*")] }),
    ];
    if !actions.is_empty() {
        let objects: Vec<_> = objects.iter().map(|object| format!("arn:aws:s3:::{BUCKET}/*{object}")).collect();
        statements.push(json!({ "Effect": "Allow", "Action": actions, "Resource": objects }));
    }
    json!({ "Version": "2012-10-17", "Statement": statements })
}

/// A bucket in which `n` is 1, and a replica with the rights of `policy`.
async fn with_rights(policy: Value, more: Value) -> (Place, Replica, Namespace) {
    let place = Place::bucket().await;
    let (owner, namespace) = place.open(json!({})).await;
    owner.add_one(&namespace).await.expect("applied");
    let mut config = tokio::task::spawn_blocking(move || assume(Product::Minio.shared(), &policy)).await.expect("a role");
    config.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    let (replica, namespace) = place.open(config).await;
    (place, replica, namespace)
}

#[test]
fn who_may_only_read_the_bucket_reads() {
    play(async {
        let (place, replica, namespace) = with_rights(policy(&[], &[]), json!({})).await;
        let before = place.contents().await;
        assert_eq!(n(&namespace), 1);
        for _ in 0..2 {
            let error = replica.add_one(&namespace).await.expect_err("refused");
            told(&error, Status::Denied, &["PUT .metadata/.probe/", "AccessDenied", "s3://opjournal/bad-input-"]);
            assert!(!error.retryable);
        }
        replica.flush(&namespace).await.expect("reading goes on");
        assert_eq!(n(&namespace), 1, "what was refused is not shown");
        assert_eq!(place.contents().await, before);

        let (place, replica, namespace) = with_rights(policy(&[], &[]), json!({ "read_only": true })).await;
        let before = place.contents().await;
        told(&replica.add_one(&namespace).await.expect_err("refused"), Status::ReadOnly, &["read_only"]);
        replica.flush(&namespace).await.expect("flushed");
        assert_eq!((n(&namespace), replica.requests("put"), replica.requests("delete")), (1, 0, 0));
        assert_eq!(place.contents().await, before);
    });
}

#[test]
fn who_may_not_list_is_told_at_once() {
    play(async {
        let place = Place::bucket().await;
        let all = json!({ "Version": "2012-10-17", "Statement": [
            { "Effect": "Allow", "Action": ["s3:GetObject"], "Resource": [format!("arn:aws:s3:::{BUCKET}/*")] }] });
        let role = tokio::task::spawn_blocking(move || assume(Product::Minio.shared(), &all)).await.expect("a role");
        let error = refusal(&place.config(role), AMPLE).await;
        told(&error, Status::Denied, &["LIST .metadata/", "AccessDenied", "s3://opjournal/bad-input-"]);
    });
}

#[test]
fn who_may_write_elsewhere_only_is_told_which_object_was_refused() {
    play(async {
        // The test of the store succeeds, and the segment itself is refused.
        let rights = policy(&["s3:PutObject", "s3:DeleteObject"], &["/.metadata/.probe/*"]);
        let (place, replica, namespace) = with_rights(rights, json!({})).await;
        let before = place.contents().await;
        for _ in 0..2 {
            let error = replica.add_one(&namespace).await.expect_err("refused");
            told(&error, Status::Denied, &["PUT .metadata/ns/segment-", "AccessDenied", "s3://opjournal/bad-input-"]);
        }
        assert_eq!(n(&namespace), 1);
        assert_eq!(place.contents().await, before);
    });
}

#[test]
fn who_may_not_delete_is_told_before_anything_that_matters_is_written() {
    play(async {
        let (place, replica, namespace) = with_rights(policy(&["s3:PutObject"], &["/*"]), json!({})).await;
        let before = place.contents().await;
        let error = replica.add_one(&namespace).await.expect_err("refused");
        told(&error, Status::Denied, &["DELETE", "AccessDenied", "s3://opjournal/bad-input-"]);
        let left = |place: Vec<opjournal::store::Listed>| -> Vec<_> {
            place.into_iter().filter(|object| !object.key.starts_with(".metadata/.probe/")).collect()
        };
        assert_eq!(left(place.contents().await), before);
    });
}

#[test]
fn a_store_without_conditional_writes_is_refused_before_anything_that_matters_is_written() {
    play(async {
        let server = tokio::task::spawn_blocking(|| Product::S3rver.shared()).await.expect("a server");
        let place = Place::on(server).await;
        let degraded = ".metadata/degraded/segment-01999999-0000-7000-8000-000000000000.json";
        place.put(".metadata/ns.json", r#"{"n":40}"#).await;
        place.put(degraded, "damaged").await;
        let before = place.contents().await;
        // Who reads is not concerned.
        let (replica, namespace) = place.open(json!({ "allow_degraded": true })).await;
        assert_eq!(n(&namespace), 40);
        for _ in 0..2 {
            let error = replica.add_one(&namespace).await.expect_err("refused");
            told(&error, Status::UnsafeStore, &["s3://opjournal/bad-input-", "If-None-Match"]);
            assert!(!error.retryable);
            assert_eq!(detail(&error, "ignored"), "If-None-Match");
        }
        // A batch does not wait for a verdict that is there, whatever its deadline.
        let waiting: Vec<_> = (0..8).map(|_| namespace.submit(ADD_ONE.as_bytes(), None).expect("accepted")).collect();
        for write in waiting {
            told(&write.outcome().await.expect_err("refused"), Status::UnsafeStore, &["If-None-Match"]);
        }
        let other = replica.namespace("degraded").await.expect("opens");
        let error = other.quarantine(degraded, replica.after(AMPLE)).await.expect_err("refused");
        told(&error, Status::UnsafeStore, &["If-None-Match"]);
        replica.flush(&namespace).await.expect("reading goes on");
        assert_eq!(n(&namespace), 40);
        assert_eq!(place.contents().await, before, "not even the throw-away objects are left");
    });
}

/// A replica whose way to the bucket can be shut. Its times are as short as they may be.
async fn behind_a_gate() -> (Gate, Place, Replica, Namespace) {
    let gate = Gate::start(minio().await.address(), Way::Open);
    let place = Place::bucket().await;
    let (replica, namespace) = place
        .open(json!({
            "endpoint": format!("http://{}", gate.address), "compaction": { "age_threshold_ms": 6_000 }, "sync_interval_ms": 1_000,
        }))
        .await;
    replica.add_one(&namespace).await.expect("applied");
    (gate, place, replica, namespace)
}

async fn while_the_way_is(way: Way) {
    let (gate, place, replica, namespace) = behind_a_gate().await;
    gate.set(way);
    let write = namespace.submit(ADD_ONE.as_bytes(), replica.after(1_500)).expect("accepted");
    let flushed = namespace.flush(replica.after(500)).await.expect_err("no answer");
    told(&flushed, Status::TimedOut, &["\"ns\""]);
    assert!(flushed.retryable);
    let error = replica.journal.namespace("another", replica.after(500)).await.err().expect("no answer");
    told(&error, Status::TimedOut, &["\"another\""]);
    let behind = namespace.submit(ADD_ONE.as_bytes(), replica.after(500)).expect("accepted");
    told(&behind.outcome().await.expect_err("too late"), Status::TimedOut, &["never takes effect"]);
    let error = write.outcome().await.expect_err("too late");
    assert_eq!((error.status, error.outcome, error.retryable), (Status::TimedOut, Outcome::Unknown, false), "{error}");
    let segment = detail(&error, "segment").as_str().expect("named").to_owned();
    assert!(error.message.contains(&segment), "{error}");
    let outcome = format!(r#"{{"op":"Outcome","Segment":"{segment}"}}"#);
    assert_eq!(ask(&namespace, &outcome), "unknown");
    assert_eq!(n(&namespace), 1, "what is held is served on");

    gate.set(Way::Open);
    replica.flush(&namespace).await.expect("flushed");
    let told = ask(&namespace, &outcome);
    assert!(told == "applied" || (told == "failed" && way == Way::Silent), "flush waits until it is told, and it is {told}");
    let expected = if told == "applied" { 2 } else { 1 };
    replica.add_one(&namespace).await.expect("later writes go on");
    assert_eq!(n(&namespace), expected + 1);
    assert_eq!(n(&place.open(json!({})).await.1), expected + 1, "everybody agrees");
}

#[test]
fn a_bucket_that_falls_silent_leaves_one_outcome_open_until_it_is_back() {
    play(while_the_way_is(Way::Silent));
}

#[test]
fn a_write_whose_answers_are_lost_is_found_when_they_are_back() {
    play(while_the_way_is(Way::AnswersAreLost));
}

#[test]
fn closing_ends_whatever_waits() {
    play(async {
        let (gate, place, replica, namespace) = behind_a_gate().await;
        gate.set(Way::Silent);
        let write = namespace.submit(ADD_ONE.as_bytes(), None).expect("accepted");
        let waits = async { tokio::join!(namespace.flush(None), replica.journal.namespace("another", None), write.outcome()) };
        let (closed, (flushed, opened, written)) = tokio::join!(replica.journal.close(replica.after(500)), waits);
        told(&flushed.expect_err("closed"), Status::Closed, &["\"ns\""]);
        told(&opened.err().expect("closed"), Status::Closed, &["closed"]);
        // The write was sent, or it was not; close and its caller are told the same.
        let error = written.expect_err("closed");
        assert_eq!(error.status, Status::Closed, "{error}");
        match closed {
            Ok(closed) => assert_eq!((closed.unknown.len(), error.outcome), (0, Outcome::None)),
            Err(closed) => {
                assert_eq!((closed.status, error.outcome), (Status::TimedOut, Outcome::Unknown));
                let segment = detail(&error, "segment").as_str().expect("named").to_owned();
                assert_eq!(detail(&closed, "unknown"), &json!([format!("{NS}/{segment}")]));
            }
        }
        let state = n(&place.open(json!({})).await.1);
        assert_eq!(state, 1, "nothing of it arrived");
    });
}

/// What is read of the object from before the journal is read whole, or counts as not read: it may be all there is.
#[test]
fn a_legacy_object_that_breaks_off_is_not_taken_for_absent() {
    play(async {
        let list =
            format!("<ListBucketResult><Name>{BUCKET}</Name><KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>");
        let list = Step::Answer(answer("200 OK", "Content-Type: application/xml\r\n", &list));
        let absent = Step::Answer(answer("404 Not Found", "", "<Error><Code>NoSuchKey</Code></Error>"));
        let cut = Step::AnswerAndClose(answer_of("200 OK", "ETag: \"1\"\r\n", "{}", 7));
        let tick = [list.clone(), absent, cut];
        let steps = [list].into_iter().chain(tick.into_iter().cycle().take(60)).collect();
        let server = Scripted::start(steps);
        let replica = open(&at(&format!("http://{}", server.address)), AMPLE).await.expect("opens");
        let error = replica.journal.namespace("", replica.after(2_000)).await.err().expect("not read");
        told(&error, Status::Unavailable, &["GET .metadata/.json", "s3://opjournal/some-root"]);
        assert_eq!(detail(&error, "object"), ".metadata/.json");
        assert!(error.retryable);
        replica.journal.close(replica.after(AMPLE)).await.expect("closed");
        assert!(server.requests().iter().all(|request| request.line().starts_with("GET ")), "nothing is written");
    });
}

/// The server of a bucket goes away for good: what is open serves on, and closing ends.
#[test]
fn a_server_that_is_gone_holds_up_nobody() {
    play(async {
        let server = tokio::task::spawn_blocking(|| Server::start(Product::Minio)).await.expect("a server");
        let place = Place::on(&server).await;
        let (replica, namespace) = place.open(json!({})).await;
        replica.add_one(&namespace).await.expect("applied");
        let address: SocketAddr = server.address();
        tokio::task::spawn_blocking(move || drop(server)).await.expect("stopped");
        let error = namespace.flush(replica.after(1_000)).await.expect_err("gone");
        told(&error, Status::Unavailable, &["LIST .metadata/", &format!("http://{address}")]);
        let error = replica.apply(&namespace, ADD_ONE, 1_000).await.expect_err("gone");
        assert_eq!((error.status, error.outcome), (Status::TimedOut, Outcome::Unknown), "{error}");
        assert_eq!(n(&namespace), 1);
        let error = replica.journal.close(replica.after(1_000)).await.expect_err("one stays open");
        assert_eq!((error.status, error.outcome), (Status::TimedOut, Outcome::Unknown), "{error}");
        let segment = detail(&error, "unknown")[0].as_str().expect("named").to_owned();
        assert!(segment.starts_with(&format!("{NS}/segment-")) && error.message.contains(&segment), "{error}");
    });
}
