//! Texts that a caller hands in.

use super::stage::{ADD_ONE, AMPLE, NS, Place, ask, detail, n, play, told};
use opjournal::config::Config;
use opjournal::error::{Error, Outcome, Status};
use serde_json::{Value, json};

/// Far more than any stack or any limit allows.
fn nested(levels: usize) -> String {
    "[".repeat(levels) + &"]".repeat(levels)
}

#[test]
fn configurations_are_refused_with_their_member() {
    let refused = |text: &[u8], member: &str, named: &[&str]| {
        let wrong = Config::parse(text).expect_err("refused");
        let text = String::from_utf8_lossy(&text[..text.len().min(100)]);
        assert_eq!(wrong.member, member, "{text}: {wrong}");
        let error = Error::from(wrong);
        told(&error, Status::Invalid, named);
        assert_eq!(detail(&error, "member").as_str().unwrap_or_default(), member, "{text}");
        assert!(!error.retryable);
    };
    let whole = |text: &str, named: &[&str]| refused(text.as_bytes(), "", named);
    whole("", &["no JSON"]);
    whole("{\"store\":\"memory:x\"", &["no JSON", "line 1"]);
    whole("{\"store\":\"memory:x\"} {}", &["no JSON", "column 22"]);
    whole("[]", &["an object is expected"]);
    whole("null", &["an object is expected"]);
    whole(&nested(100_000), &["no JSON"]);
    refused(b"{\"store\":\"memory:\xff\"}", "", &["no JSON"]);
    refused(b"{}", "store", &["store", "missing"]);

    let member =
        |more: &str, member: &str, named: &[&str]| refused(format!(r#"{{"store":"s3://bucket",{more}}}"#).as_bytes(), member, named);
    for (unknown, nearest) in [
        ("sync_intervall_ms", "sync_interval_ms"),
        ("readonly", "read_only"),
        ("end_point", "endpoint"),
        ("secret_key", "secret_access_key"),
        ("Region", "region"),
        ("compactions", "compaction"),
    ] {
        member(&format!(r#""{unknown}":1"#), unknown, &[unknown, "unknown", nearest]);
    }
    member(r#""limits":{"batch_byte":1}"#, "limits.batch_byte", &["limits.batch_bytes"]);
    member(r#""compaction":{"segment_treshold":1}"#, "compaction.segment_treshold", &["compaction.segment_threshold"]);
    for (value, said) in
        [("1.5", "1.5"), ("-1", "-1"), ("1e3", "1000"), ("18446744073709551616", "integer"), ("\"15\"", "a string"), ("null", "null")]
    {
        member(&format!(r#""sync_interval_ms":{value}"#), "sync_interval_ms", &[said, "an integer from 1 to 86400000"]);
    }
    member(r#""read_only":"yes""#, "read_only", &["true or false"]);
    member(r#""read_only":0"#, "read_only", &["true or false"]);
    member(r#""limits":7"#, "limits", &["an object is expected"]);
    member(r#""limits":{"depth":129}"#, "limits.depth", &["1 to 128"]);
    member(r#""limits":{"batch_bytes":5000000}"#, "limits.batch_bytes", &["limits.segment_bytes"]);
    member(r#""compaction":{"age_threshold_ms":5999}"#, "compaction.age_threshold_ms", &["from 6000"]);
    member(r#""store":"memory:x""#, "store", &["twice"]);
    member(r#""region":"""#, "region", &["empty"]);
    member(r#""endpoint":"localhost:9000""#, "endpoint", &["http://"]);
    // A secret is told by its name alone.
    member(r#""secret_access_key":"opjournal-secret""#, "secret_access_key", &["access_key_id"]);
    member(r#""access_key_id":"id","secret_access_key":{"opjournal-secret":1}"#, "secret_access_key", &["a string is expected"]);
    for (url, said) in
        [("ftp://x", "\"ftp\""), ("file:x", "file:///"), ("s3://B", "lower-case"), ("memory:", "1 to 255"), ("bucket", "no scheme")]
    {
        refused(format!(r#"{{"store":"{url}"}}"#).as_bytes(), "store", &[said]);
    }
}

#[test]
fn batches_are_refused_whole_with_op_and_field() {
    play(async {
        for place in Place::all().await {
            let (replica, namespace) = place.open(json!({ "limits": { "batch_bytes": 4096 } })).await;
            replica.add_one(&namespace).await.expect("applied");
            let (before, puts) = (place.contents().await, replica.requests("put"));

            let refuse = |text: &[u8], status: Status, op: Value, field: Value, named: &[&str]| {
                let error = namespace.submit(text, None).err().expect("refused");
                told(&error, status, named);
                assert_eq!((detail(&error, "op"), detail(&error, "field")), (&op, &field), "{error}");
                assert!(!error.retryable, "{error}");
            };
            let whole = |text: &str, named: &str| refuse(text.as_bytes(), Status::Invalid, Value::Null, Value::Null, &[named]);
            whole("", "a batch is an op");
            whole("7", "a batch is an op");
            whole("[]", "empty");
            whole(&format!("{ADD_ONE} {ADD_ONE}"), "byte");
            refuse(&[b' '; 4097], Status::TooLarge, Value::Null, Value::Null, &["4097", "4096", "batch_bytes"]);
            // Control characters grow when they are escaped: what is written counts as well.
            let grows = format!(r#"{{"op":"ScalarSet","Key":"k","Value":"{}"}}"#, "<".repeat(4000));
            refuse(grows.as_bytes(), Status::TooLarge, Value::Null, Value::Null, &["batch_bytes"]);

            // The second op of a batch whose first is good.
            let second = |op: &str, field: &str, named: &[&str]| {
                let text = [b"[", ADD_ONE.as_bytes(), b",", op.as_bytes(), b"]"].concat();
                let field = if field.is_empty() { Value::Null } else { json!(field) };
                refuse(&text, Status::Invalid, json!(1), field, &[&["op 1"], named].concat());
            };
            second("7", "", &["an op is a JSON object"]);
            second(r#"{"op":"IntAdd""#, "", &["byte"]);
            second(r#"{"op":"IntAd","Key":"n","Delta":1}"#, "op", &["IntAd", "did you mean \"IntAdd\"?"]);
            second(r#"{"op":null,"Key":"n"}"#, "op", &["no string"]);
            second(r#"{"Key":"n","Delta":1}"#, "op", &["missing"]);
            second(r#"{"op":"IntAdd","Key":"n","Delat":1}"#, "Delat", &["did you mean \"Delta\"?"]);
            second(r#"{"op":"IntAdd","Key":"n","Value":1}"#, "Value", &["Key, Delta"]);
            second(r#"{"op":"IntAdd","Key":"n"}"#, "Delta", &["missing"]);
            second(r#"{"op":"IntAdd","Key":"n","Delta":1,"Delta":2}"#, "Delta", &["twice"]);
            second(r#"{"op":"IntAdd","Key":7,"Delta":1}"#, "Key", &["no string"]);
            for wrong in ["1.0", "1e2", "\"1\"", "true", "null", "[1]", "9223372036854775808", "-9223372036854775809"] {
                second(&format!(r#"{{"op":"IntSet","Key":"n","Value":{wrong}}}"#), "Value", &["IntSet", "no int64"]);
            }
            for wrong in ["1.0", "-0", "1e2", "[[1.5]]", "{\"a\":1E1}"] {
                second(&format!(r#"{{"op":"SetAdd","Key":"s","Member":{wrong}}}"#), "Member", &["SetAdd", "must be spelled"]);
            }
            second(r#"{"op":"ScalarSet","Key":"k","Value":{"a":1,"a":2}}"#, "Value", &["twice"]);
            second(&format!(r#"{{"op":"ScalarSet","Key":"k","Value":{}}}"#, nested(1_000)), "Value", &["deep"]);
            for text in [
                &b"{\"op\":\"ScalarSet\",\"Key\":\"k\",\"Value\":\"a\xc3(\"}"[..],
                b"{\"op\":\"ScalarSet\",\"Key\":\"k\",\"Value\":\"\xed\xa0\x80\"}",
            ] {
                refuse(text, Status::Invalid, json!(0), json!("Value"), &["UTF-8", "byte 3"]);
            }

            assert_eq!(replica.requests("put"), puts, "nothing was sent");
            assert_eq!(place.contents().await, before);
            replica.add_one(&namespace).await.expect("the next one is as good as ever");
            assert_eq!(ask(&namespace, r#"{"op":"State"}"#), json!({ "n": 2 }));
        }
    });
}

#[test]
fn queries_are_refused_with_index_and_field() {
    play(async {
        let place = Place::memory().await;
        let (_replica, namespace) = place.open(json!({})).await;
        let refuse = |text: &[u8], query: Value, field: Value, named: &[&str]| {
            let mut out = b"what was there".to_vec();
            let error = namespace.query(text, &mut out).expect_err("refused");
            told(&error, Status::Invalid, named);
            assert_eq!((detail(&error, "query"), detail(&error, "field")), (&query, &field), "{error}");
            assert!(out.is_empty(), "no half of an answer");
        };
        refuse(b"", Value::Null, Value::Null, &[]);
        refuse(b"7", Value::Null, Value::Null, &[]);
        let second = |query: &str, field: &str, named: &[&str]| {
            let text = format!(r#"[{{"op":"State"}},{query}]"#);
            let field = if field.is_empty() { Value::Null } else { json!(field) };
            refuse(text.as_bytes(), json!(1), field, &[&["query 1"], named].concat());
        };
        second("7", "", &["JSON object"]);
        second(r#"{"op":"IntGett","Key":"n"}"#, "op", &["did you mean \"IntGet\"?"]);
        second(r#"{"op":"IntGet"}"#, "Key", &["missing"]);
        second(r#"{"op":"IntGet","Key":7}"#, "Key", &["no string"]);
        second(r#"{"op":"IntGet","Key":"n","Limit":7}"#, "Limit", &["does not belong"]);
        second(r#"{"op":"MapKeys","Key":"n","Limti":7}"#, "Limti", &["did you mean \"Limit\"?"]);
        for wrong in ["-1", "1.5", "\"7\"", "null", "99999999999999999999"] {
            second(&format!(r#"{{"op":"MapKeys","Key":"n","Limit":{wrong}}}"#), "Limit", &["MapKeys"]);
        }
        second(&format!(r#"{{"op":"SetContains","Key":"n","Member":{}}}"#, nested(100_000)), "Member", &["deep"]);
        refuse(b"{\"op\":\"IntGet\",\"Key\":\"\xff\"}", json!(0), json!("Key"), &["UTF-8", "byte 22"]);
    });
}

#[test]
fn names_of_namespaces_are_refused_and_nothing_opens() {
    play(async {
        for place in [Place::memory().await, Place::directory().await] {
            let replica = place.journal(json!({})).await;
            let long = "a".repeat(513);
            for name in ["-a", "_a", ".root", "..", "a/b", "a b", "a.json", "ä", "a\0", "a\n", &long] {
                let error = replica.namespace(name).await.err().expect("refused");
                told(&error, Status::Invalid, &["^[A-Za-z0-9][A-Za-z0-9_-]*$"]);
                assert_eq!(detail(&error, "namespace"), name);
            }
            assert_eq!(replica.journal.stats()["namespaces"], json!({}));
            assert_eq!(place.keys().await, [""; 0]);
        }
    });
}

/// The first write goes out at once; the next ones wait for an hour.
const SLOW: u64 = 3_600_000;

#[test]
fn what_waits_is_bounded_and_what_is_refused_is_lost_for_nobody() {
    play(async {
        for place in Place::all().await {
            let limits = json!({ "waiting_bytes": 600 });
            let (replica, namespace) = place.open(json!({ "limits": limits, "commit_interval_ms": SLOW })).await;
            replica.add_one(&namespace).await.expect("applied");
            let before = place.contents().await;
            let waiting: Vec<_> = (0..2).map(|_| namespace.submit(ADD_ONE.as_bytes(), None).expect("accepted")).collect();
            let error = namespace.submit(ADD_ONE.as_bytes(), None).err().expect("no room");
            told(&error, Status::Busy, &["limits.waiting_bytes", "600"]);
            assert!(error.retryable);
            // A deadline withdraws what waits, and so does its caller.
            let late = replica.apply(&namespace, ADD_ONE, 1).await.expect_err("no room either");
            told(&late, Status::Busy, &[]);
            waiting[0].cancel();
            let error = waiting[0].outcome().await.expect_err("withdrawn");
            told(&error, Status::Cancelled, &["never takes effect"]);
            let late = replica.apply(&namespace, ADD_ONE, 1).await.expect_err("too late");
            told(&late, Status::TimedOut, &["never takes effect"]);
            let closed = replica.journal.close(replica.after(1)).await.expect("nothing is open");
            assert_eq!(closed.unknown, [""; 0]);
            let error = waiting[1].outcome().await.expect_err("never sent");
            told(&error, Status::Closed, &["never takes effect"]);
            assert_eq!(place.contents().await, before);
            assert_eq!(n(&place.open(json!({})).await.1), 1);
        }
    });
}

#[test]
fn a_state_over_its_limit_takes_no_more() {
    play(async {
        for place in [Place::memory().await, Place::directory().await] {
            let (replica, namespace) = place.open(json!({ "limits": { "state_bytes": 1000 } })).await;
            let long = format!(r#"{{"op":"ScalarSet","Key":"long","Value":"{}"}}"#, "x".repeat(800));
            replica.apply(&namespace, &long, AMPLE).await.expect("applied");
            let before = place.contents().await;
            let error = replica.apply(&namespace, &long, AMPLE).await.expect_err("refused");
            told(&error, Status::TooLarge, &["\"ns\"", "limits.state_bytes", "1000"]);
            assert_eq!(place.contents().await, before);
            replica.apply(&namespace, r#"{"op":"ScalarDelete","Key":"long"}"#, AMPLE).await.expect("what makes it smaller is taken");
        }
    });
}

#[test]
fn handles_that_were_closed_answer_nothing() {
    play(async {
        for place in Place::all().await {
            let (replica, first) = place.open(json!({})).await;
            let second = replica.namespace(NS).await.expect("another handle");
            first.close();
            first.close();
            let closed = |error: Option<Error>| told(&error.expect("closed"), Status::Closed, &["closed"]);
            let all_closed = async |namespace: &opjournal::Namespace| {
                closed(namespace.submit(ADD_ONE.as_bytes(), None).err());
                closed(namespace.query(br#"{"op":"State"}"#, &mut Vec::new()).err());
                closed(replica.flush(namespace).await.err());
                closed(namespace.quarantine("segment-x.json", None).await.err());
            };
            all_closed(&first).await;
            replica.add_one(&second).await.expect("the other handle goes on");

            // A flush and an open that wait when the journal closes end with it.
            let write = second.submit(ADD_ONE.as_bytes(), None).expect("accepted");
            let waits = async { (second.flush(None).await, write.outcome().await) };
            let (closing, (flushed, written)) = tokio::join!(replica.journal.close(replica.after(AMPLE)), waits);
            closing.expect("nothing is open");
            written.expect("what was accepted is finished");
            if let Err(error) = flushed {
                assert_eq!((error.status, error.outcome), (Status::Closed, Outcome::None));
            }
            all_closed(&second).await;
            closed(replica.namespace(NS).await.err());
            replica.journal.close(None).await.expect("closing twice is fine");
            assert_eq!(n(&place.open(json!({})).await.1), 2);
        }
    });
}
