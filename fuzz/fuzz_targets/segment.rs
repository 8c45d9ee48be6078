//! Any bytes as a segment's body: what is readable and what it does, against the model; reading is the same every time, and members
//! that nobody knows change nothing.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use opjournal::config::Limits;
use opjournal::ops::{SegmentBody, read_segment};
use opjournal::state::State;
use opjournal::time::Stamp;
use opjournal_fuzz::model::{DEPTH, Json, Model, text};

const BASE: &[u8] = br#"{"i":7,"l":[1,"two"],"m":{"\"a\"":1,"\"b\"":2.5,"3":true,"raw":[]},"s":"text"}"#;

fuzz_target!(|data: &[u8]| {
    let limits = Limits::default();
    let read = read_segment(data, &limits);
    match (&read, read_segment(data, &limits)) {
        (Ok(body), Ok(again)) => assert_eq!((text(&replayed(body)), envelope(body)), (text(&replayed(&again)), envelope(&again))),
        (read, again) => assert_eq!(read.as_ref().err(), again.err().as_ref(), "reading twice gives the same"),
    }
    let mut model = Model::read(BASE).expect("a state");
    let is_readable = model.replay(data);
    match read {
        Ok(body) => {
            assert!(is_readable, "the model cannot read it");
            let reached = replayed(&body);
            assert_eq!(text(&reached), model.text());
            assert_eq!(text(&reached.compact()), model.text());
            check_unknown_members(data, &body);
            assert!(data.is_empty() || read_segment(data, &Limits { object_bytes: data.len() - 1, ..limits }).is_err());
        }
        Err(error) => {
            assert!(!is_readable, "the model can read it: {error}");
            // What is wrong is told in a message, together with the segment's name.
            assert!(!error.reason.is_empty() && error.reason.len() < 4096, "{:.1000}", error.reason);
        }
    }
});

fn replayed(body: &SegmentBody) -> State {
    let mut state = State::read(Bytes::from_static(BASE), DEPTH).expect("a state");
    state.apply(&body.ops);
    state
}

/// The same body with more members, around and in every op, reads the same.
fn check_unknown_members(data: &[u8], body: &SegmentBody) {
    let Some(Json::Object(mut members)) = Json::read_lossy(data, DEPTH) else { return };
    let unknown =
        || ("not yet invented".to_owned(), Json::Array(vec![Json::Null, Json::Object(vec![("op".to_owned(), Json::Bool(true))])]));
    for (name, value) in &mut members {
        if let ("ops", Json::Array(ops)) = (name.as_str(), value) {
            for op in ops {
                if let Json::Object(members) = op {
                    members.insert(0, unknown());
                    members.push(unknown());
                }
            }
        }
    }
    members.insert(0, unknown());
    members.push(unknown());
    // Double members stay: `text` would drop them.
    let inner: Vec<String> = members.iter().map(|(name, value)| Json::Object(vec![(name.clone(), value.clone())]).text()).collect();
    let inner: Vec<&str> = inner.iter().map(|member| &member[1..member.len() - 1]).collect();
    let more = format!("{{{}}}", inner.join(","));
    let again = read_segment(more.as_bytes(), &Limits::default()).unwrap_or_else(|error| panic!("{more}: {error}"));
    assert_eq!(text(&replayed(&again)), text(&replayed(body)));
    assert_eq!(envelope(&again), envelope(body));
}

/// What is around the ops.
fn envelope(body: &SegmentBody) -> (Option<&str>, Option<Stamp>, Option<u64>, Option<Stamp>) {
    (body.writer.as_deref(), body.expires, body.folded, body.since)
}
