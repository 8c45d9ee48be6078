//! Objects in the store that are damaged, too large, lost, or written by another version.

use super::stage::{AMPLE, NS, Place, ask, detail, n, play, told};
use opjournal::config::Limits;
use opjournal::error::Status;
use serde_json::{Value, json};

const ROLLUP: &str = ".metadata/ns/rollup.json";
const LEGACY: &str = ".metadata/ns.json";
const GOOD: &str = ".metadata/ns/segment-01999999-0000-7000-8000-000000000000.json";
const BAD_NAME: &str = "segment-01999999-0000-7000-8000-000000000001.json";
const BAD: &str = ".metadata/ns/segment-01999999-0000-7000-8000-000000000001.json";
const LATER: &str = ".metadata/ns/segment-01999999-0000-7000-8000-000000000002.json";
const PLUS_ONE: &str = r#"{"ops":[{"op":"IntAdd","Key":"n","Delta":1}]}"#;

/// A rollup as the peer writes it.
fn rollup(state: &str) -> String {
    format!(r#"{{"mark":{{"lm":"0001-01-01T00:00:00Z","key":""}},"state":{state}}}"#)
}

#[test]
fn an_unreadable_segment_is_named_and_moved_aside_only_when_told() {
    let deep = format!(r#"{{"ops":[{{"op":"ScalarSet","Key":"k","Value":{}{}}}]}}"#, "[".repeat(200), "]".repeat(200));
    let large = format!(r#"{{"ops":[],"writer":"{}"}}"#, "x".repeat(6000));
    let bodies = [
        ("", "byte 0"),
        ("{\"ops\":[", "byte 8"),
        ("\0\0\0\0", "byte 0"),
        ("[]", "byte 0"),
        ("<Error><Code>SlowDown</Code></Error>", "byte 0"),
        (r#"{"ops":[{"op":"SetTTL","Key":"a","Seconds":5}]}"#, "op 0: \"SetTTL\" is no known op"),
        (r#"{"ops":[{"op":"IntAdd","Key":"n","Delta":1},{"op":"IntAdd","Key":"n","Delta":1.5}]}"#, "op 1: Delta is no int64"),
        (r#"{"ops":{}}"#, "byte 7"),
        (deep.as_str(), "deep"),
        (large.as_str(), "limits.object_bytes"),
    ];
    play(async move {
        let limits = json!({ "batch_bytes": 1000, "segment_bytes": 2000, "object_bytes": 5000 });
        for place in Place::all().await {
            let (open, on_open) = place.open(json!({ "limits": limits })).await;
            for (number, (body, reason)) in (0..).zip(&bodies) {
                place.put(GOOD, PLUS_ONE).await;
                place.put(BAD, body).await;
                place.put(LATER, PLUS_ONE).await;
                let before = place.contents().await;

                let error = place.refusal(json!({ "limits": limits })).await;
                told(&error, Status::Unreadable, &[BAD, reason]);
                assert_eq!((detail(&error, "object"), detail(&error, "segment")), (&json!(BAD), &json!(BAD_NAME)));
                let error = open.flush(&on_open).await.expect_err("what is open is told");
                told(&error, Status::Unreadable, &[BAD, reason]);
                assert_eq!(n(&on_open), 2 + number, "everything else is applied, and nothing of it");
                let degraded = json!({ "limits": limits, "allow_degraded": true });
                assert_eq!(n(&place.open(degraded.clone()).await.1), 2 + number);
                let reader = json!({ "limits": limits, "allow_degraded": true, "read_only": true });
                let (reader, on_reader) = place.open(reader).await;
                let error = on_reader.quarantine(BAD_NAME, reader.after(AMPLE)).await.expect_err("refused");
                told(&error, Status::ReadOnly, &["read_only"]);
                assert_eq!(place.contents().await, before, "looking changes nothing");

                // What is open writes on; then a person moves the segment aside.
                open.add_one(&on_open).await.expect("applied");
                if body.len() <= 5000 {
                    let aside = on_open.quarantine(BAD_NAME, open.after(AMPLE)).await.expect("moved aside");
                    assert_eq!(aside, format!(".metadata/.quarantine/ns/{BAD_NAME}"));
                    assert_eq!(place.get(&aside).await, body.as_bytes(), "not a byte is lost");
                    assert!(!place.keys().await.iter().any(|key| key == BAD));
                    place.store.delete(&[aside]).await.expect("deleted");
                } else {
                    let before = place.contents().await;
                    let error = on_open.quarantine(BAD_NAME, open.after(AMPLE)).await.expect_err("too large to be copied");
                    told(&error, Status::TooLarge, &[BAD, "limits.object_bytes"]);
                    assert_eq!(place.contents().await, before);
                    place.store.delete(&[BAD.to_owned()]).await.expect("deleted");
                }
                open.flush(&on_open).await.expect("healed");
                assert_eq!(n(&place.open(json!({ "limits": limits })).await.1), n(&on_open));
            }
        }
    });
}

#[test]
fn only_what_is_listed_and_unreadable_is_moved_aside() {
    play(async {
        for place in Place::all().await {
            place.put(GOOD, PLUS_ONE).await;
            place.put(ROLLUP, rollup("{}")).await;
            let (replica, namespace) = place.open(json!({})).await;
            let before = place.contents().await;
            let absent = "segment-01999999-0000-7000-8000-00000000ffff.json";
            let good = GOOD.rsplit('/').next().expect("a name");
            for (key, named) in
                [(good, "can be read"), (absent, "not listed"), ("rollup.json", "no name"), ("../ns.json", "no name"), ("", "no name")]
            {
                let error = namespace.quarantine(key, replica.after(AMPLE)).await.expect_err("refused");
                told(&error, Status::Invalid, &[key, named]);
                assert_eq!(detail(&error, "segment"), key);
            }
            assert_eq!(place.contents().await, before);
        }
    });
}

/// Somebody repairs a segment by hand, in vain.
#[test]
fn what_is_moved_aside_twice_is_kept_twice() {
    play(async {
        for place in Place::all().await {
            let (replica, namespace) = place.open(json!({})).await;
            let mut aside = Vec::new();
            for body in ["damaged", "damaged again", "damaged"] {
                place.put(BAD, body).await;
                let to = namespace.quarantine(BAD_NAME, replica.after(AMPLE)).await.expect("moved aside");
                assert_eq!(place.get(&to).await, body.as_bytes(), "not a byte is lost");
                aside.push(to);
            }
            aside.sort();
            aside.dedup();
            assert_eq!(place.keys().await, aside, "what is there already is not kept again");
            assert_eq!(aside.len(), 2);
        }
    });
}

#[test]
fn a_segment_of_a_newer_format_is_left_to_newer_versions() {
    play(async {
        for place in Place::all().await {
            place.put(GOOD, PLUS_ONE).await;
            place.put(BAD, r#"{"ops":[{"op":"Merge","Keys":[1]}],"writer":7,"format":2}"#).await;
            let error = place.refusal(json!({})).await;
            told(&error, Status::Unreadable, &[BAD, "format 2", "newer"]);
            let (replica, namespace) = place.open(json!({ "allow_degraded": true })).await;
            let before = place.contents().await;
            let error = namespace.quarantine(BAD, replica.after(AMPLE)).await.expect_err("refused");
            told(&error, Status::Invalid, &[BAD, "newer"]);
            assert_eq!(place.contents().await, before);
            assert_eq!(n(&namespace), 1);
        }
    });
}

#[test]
fn members_that_are_not_known_are_passed_over() {
    play(async {
        for place in Place::all().await {
            let state = r#"{"n":40}"#;
            let proof = r#"{"count":0,"chain":"0000000000000000000000000000000000000000000000000000000000000000","folded":[],"writers":{},"new":1}"#;
            let mark = r#"{"lm":"0001-01-01T00:00:00Z","key":"","new":{}}"#;
            place.put(ROLLUP, format!(r#"{{"new":[1],"format":1,"proof":{proof},"mark":{mark},"state":{state},"newer":null}}"#)).await;
            place
                .put(GOOD, r#"{"new":{"ops":[]},"ops":[{"op":"IntAdd","Key":"n","Delta":1,"Reason":"a word"}],"format":1,"expires":7,"folded":null}"#)
                .await;
            place.put(BAD, r#"{"ops":null}"#).await;
            place.put(LATER, b"{\"ops\":[{\"op\":\"ScalarSet\",\"Key\":\"s\",\"Value\":\"\xff\"}]}").await;
            // Neither segments nor rollups.
            place.put(".metadata/ns/notes.txt", "somebody's").await;
            place.put(".metadata/ns/sub/segment-1.json", "not read").await;
            let before = place.contents().await;
            let (_replica, namespace) = place.open(json!({})).await;
            assert_eq!(ask(&namespace, r#"{"op":"State"}"#), json!({ "n": 41, "s": "\u{fffd}" }));
            assert_eq!(place.contents().await, before);
        }
    });
}

#[test]
fn an_unreadable_rollup_opens_nothing_and_what_is_open_serves_on() {
    let long = rollup(&format!(r#"{{"s":"{}"}}"#, "x".repeat(6000)));
    let bodies = [
        ("", "byte 0"),
        ("{", "byte 1"),
        ("[]", "byte 0"),
        (r#"{"state":{}}"#, "no mark"),
        (r#"{"mark":{"lm":"0001-01-01T00:00:00Z","key":""}}"#, "no state"),
        (r#"{"mark":{"lm":"yesterday","key":""},"state":{}}"#, "\"yesterday\""),
        (r#"{"mark":7,"state":{}}"#, "mark"),
        (&rollup("[]"), "state"),
        (&rollup(r#"{"a":{"b":"#), "byte"),
        (r#"{"format":2,"mark":{"lm":"0001-01-01T00:00:00Z","key":""},"state":{}}"#, "format 2"),
        (r#"{"proof":{"count":1,"chain":"zz"},"mark":{"lm":"0001-01-01T00:00:00Z","key":""},"state":{}}"#, "chain"),
        (r#"{"proof":{"count":-1},"mark":{"lm":"0001-01-01T00:00:00Z","key":""},"state":{}}"#, "proof"),
        (&long, "limits.object_bytes"),
    ]
    .map(|(body, reason)| (body.to_owned(), reason));
    play(async move {
        let limits = json!({ "batch_bytes": 1000, "segment_bytes": 2000, "object_bytes": 5000 });
        for place in Place::all().await {
            place.put(ROLLUP, rollup(r#"{"n":40}"#)).await;
            let (open, on_open) = place.open(json!({ "limits": limits })).await;
            for (number, (body, reason)) in (0..).zip(&bodies) {
                place.put(ROLLUP, body).await;
                let before = place.contents().await;
                for allow_degraded in [false, true] {
                    let error = place.refusal(json!({ "limits": limits, "allow_degraded": allow_degraded })).await;
                    told(&error, Status::Unreadable, &[ROLLUP, reason]);
                    assert_eq!(detail(&error, "object"), ROLLUP);
                }
                let error = open.flush(&on_open).await.expect_err("what is open is told");
                told(&error, Status::Unreadable, &[ROLLUP, reason]);
                assert_eq!(n(&on_open), 40 + number, "and serves on");
                assert_eq!(place.contents().await, before, "looking changes nothing");
                open.add_one(&on_open).await.expect("its writes are acknowledged");
            }
            place.put(ROLLUP, rollup(r#"{"n":40}"#)).await;
            open.flush(&on_open).await.expect("healed");
            let expected = 40 + bodies.len() as i64;
            assert_eq!(n(&on_open), expected);
            assert_eq!(n(&place.open(json!({ "limits": limits })).await.1), expected);
        }
    });
}

#[test]
fn a_lost_rollup_is_not_begun_anew() {
    let knows_of_5 = r#"{"ops":[],"writer":"w","expires":"2030-01-01T00:00:00Z","folded":5}"#;
    play(async move {
        for place in Place::all().await {
            place.put(GOOD, PLUS_ONE).await;
            place.put(BAD, knows_of_5).await;
            let before = place.contents().await;
            for more in [json!({}), json!({ "allow_degraded": true }), json!({ "read_only": true })] {
                let error = place.refusal(more).await;
                told(&error, Status::RollupLost, &[ROLLUP, BAD, "5 segments"]);
            }
            assert_eq!(place.contents().await, before);
            // An older one that was restored is no better.
            let proof = r#"{"count":4,"chain":"0000000000000000000000000000000000000000000000000000000000000000"}"#;
            place.put(ROLLUP, format!(r#"{{"proof":{proof},"mark":{{"lm":"0001-01-01T00:00:00Z","key":""}},"state":{{}}}}"#)).await;
            let before = place.contents().await;
            told(&place.refusal(json!({})).await, Status::RollupLost, &[ROLLUP, BAD, "5", "4"]);
            assert_eq!(place.contents().await, before);
        }
    });
}

#[test]
fn a_damaged_legacy_object_counts_as_absent_and_stays() {
    play(async {
        for place in Place::all().await {
            for body in ["", "{", "[]", "null", "7", "{\"n\":4", "{\"n\":40} x"] {
                place.put(LEGACY, body).await;
                let before = place.contents().await;
                let (replica, namespace) = place.open(json!({})).await;
                assert_eq!(ask(&namespace, r#"{"op":"State"}"#), json!({}), "{body:?}");
                assert_eq!(place.contents().await, before);
                replica.journal.close(None).await.expect("closed");
            }
            place.put(LEGACY, r#"{"n":40}"#).await;
            assert_eq!(n(&place.open(json!({})).await.1), 40);
        }
    });
}

#[test]
fn a_legacy_object_that_cannot_be_read_whole_counts_as_unread() {
    play(async {
        for place in Place::all().await {
            place.put(LEGACY, format!(r#"{{"s":"{}"}}"#, "x".repeat(6000))).await;
            let before = place.contents().await;
            let limits = json!({ "batch_bytes": 1000, "segment_bytes": 2000, "object_bytes": 5000 });
            let error = place.refusal(json!({ "limits": limits })).await;
            // Nothing is begun without it, and no retry helps.
            told(&error, Status::Unreadable, &[LEGACY, "limits.object_bytes"]);
            assert!(!error.retryable, "{error}");
            assert_eq!(detail(&error, "object"), LEGACY);
            assert_eq!(place.contents().await, before);
        }
    });
}

/// The objects of one namespace say nothing about another.
#[test]
fn other_namespaces_do_not_suffer() {
    play(async {
        for place in Place::all().await {
            place.put(BAD, "damaged").await;
            place.put(".metadata/lost/rollup.json", "damaged").await;
            let replica = place.journal(json!({})).await;
            let good = replica.namespace("good").await.expect("opens");
            replica.add_one(&good).await.expect("applied");
            assert_eq!(replica.namespace(NS).await.err().map(|error| error.status), Some(Status::Unreadable));
            assert_eq!(replica.namespace("lost").await.err().map(|error| error.status), Some(Status::Unreadable));
            replica.flush(&good).await.expect("flushed");
            assert_eq!(n(&good), 1);
            let open = replica.journal.stats()["namespaces"].clone();
            assert_eq!(open.as_object().map(|open| open.keys().map(String::as_str).collect::<Vec<_>>()), Some(vec!["good"]), "{open}");
        }
    });
}

/// The depth that a submission may have is the depth that every reader takes.
#[test]
fn what_was_accepted_can_be_read() {
    play(async {
        let place = Place::memory().await;
        let (replica, namespace) = place.open(json!({})).await;
        let deepest = (1..=Limits::default().depth)
            .rev()
            .find(|levels| {
                let ops = format!(r#"{{"op":"MapSet","Key":"m","MapKey":"k","Value":{}{}}}"#, "[".repeat(*levels), "]".repeat(*levels));
                namespace.submit(ops.as_bytes(), None).is_ok()
            })
            .expect("some depth is accepted");
        assert!(deepest > 100, "{deepest}");
        replica.flush(&namespace).await.expect("readable");
        let value = ask(&place.open(json!({})).await.1, r#"{"op":"MapGet","Key":"m","MapKey":"k"}"#);
        assert_eq!(value["found"], Value::Bool(true));
    });
}
