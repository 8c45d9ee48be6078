//! Every case that another implementation of the bucket format answered: base, segments, state and queries, byte for byte.

use bytes::Bytes;
use opjournal::config::Limits;
use opjournal::ops::read_segment;
use opjournal::query::{QueryContext, answer};
use opjournal::state::State;
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    name: String,
    base: String,
    segments: Vec<String>,
    state: Option<String>,
    #[serde(default)]
    queries: Vec<Asked>,
    #[serde(default)]
    refused: bool,
}

#[derive(Deserialize)]
struct Asked {
    query: String,
    result: String,
}

/// Nothing here asks for what is not in the state.
struct NoContext;

impl QueryContext for NoContext {
    fn write_mark(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{}");
    }

    fn age_ms(&self) -> u64 {
        0
    }

    fn metrics(&self) -> String {
        String::new()
    }

    fn outcome(&self, _segment: &str) -> &'static str {
        "unknown"
    }
}

fn cases() -> Vec<Case> {
    let text = include_str!("fixtures/replay.jsonl");
    text.lines().map(|line| serde_json::from_str(line).expect("a case")).collect()
}

/// The state that the case reaches, `compact`ed after every segment or not; or why not.
fn replay(case: &Case, compact: bool) -> Result<State, String> {
    let limits = Limits::default();
    let mut state = State::read(Bytes::from(case.base.clone()), limits.depth).map_err(|error| error.to_string())?;
    for segment in &case.segments {
        let body = read_segment(segment.as_bytes(), &limits).map_err(|error| error.to_string())?;
        state.apply(&body.ops);
        if compact {
            state = state.compact();
        }
    }
    Ok(state)
}

fn ask(state: &State, query: &str) -> String {
    let mut out = b"what was there before".to_vec();
    answer(query.as_bytes(), state, &NoContext, &mut out).unwrap_or_else(|error| panic!("{query}: {error}"));
    String::from_utf8(out).expect("UTF-8")
}

fn check(compact: bool) {
    let cases = cases();
    assert_eq!(cases.len(), 227);
    for case in &cases {
        let reached = replay(case, compact);
        let Some(expected) = &case.state else {
            assert!(case.refused && reached.is_err(), "{}: should be refused", case.name);
            continue;
        };
        let state = reached.unwrap_or_else(|error| panic!("{}: {error}", case.name));
        let mut text = Vec::new();
        state.write_canonical(&mut text);
        assert_eq!(&String::from_utf8_lossy(&text), expected, "{}", case.name);
        assert_eq!(state.canonical_len(), expected.len(), "{}", case.name);
        for Asked { query, result } in &case.queries {
            assert_eq!(&ask(&state, query), result, "{}: {query}", case.name);
        }
        let all: Vec<&str> = case.queries.iter().map(|asked| asked.query.as_str()).collect();
        let results: Vec<&str> = case.queries.iter().map(|asked| asked.result.as_str()).collect();
        assert_eq!(ask(&state, &format!("[{}]", all.join(" , "))), format!("[{}]", results.join(",")), "{}", case.name);
    }
}

#[test]
fn every_case_is_answered_as_it_was() {
    check(false);
}

#[test]
fn and_from_a_new_base_after_every_segment() {
    check(true);
}

#[test]
fn what_a_batch_encodes_is_what_the_case_says() {
    // Every segment that the strict reading accepts must have the same effect as the lenient reading of the same ops.
    let limits = Limits::default();
    let mut accepted = 0;
    for case in cases().iter().filter(|case| !case.refused) {
        for segment in &case.segments {
            let Ok(body) = serde_json::from_str::<Option<std::collections::HashMap<String, &serde_json::value::RawValue>>>(segment) else {
                continue;
            };
            let Some(ops) = body.and_then(|body| body.get("ops").map(|ops| ops.get().to_owned())) else { continue };
            let Ok(batch) = opjournal::ops::submit(ops.as_bytes(), &limits) else { continue };
            accepted += 1;
            let encoded = [br#"{"ops":["#.as_slice(), &batch.encoded, b"]}"].concat();
            let states = [segment.as_bytes(), &encoded].map(|body| {
                let mut state = State::read(Bytes::from(case.base.clone()), limits.depth).expect("a base");
                state.apply(&read_segment(body, &limits).expect("readable").ops);
                let mut text = Vec::new();
                state.write_canonical(&mut text);
                text
            });
            assert_eq!(states[0], states[1], "{}", case.name);
        }
    }
    assert!(accepted > 300, "only {accepted} segments were accepted");
}
