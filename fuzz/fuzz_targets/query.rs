//! Any bytes as a query (the first byte chooses the state): an answer is canonical JSON of the right shape, the same alone and in an
//! array, and pages cover everything once; a refusal names the place.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use opjournal::query::answer;
use opjournal::state::State;
use opjournal_fuzz::check_error;
use opjournal_fuzz::model::{Context, DEPTH, Json, all_pages, apply, ask};
use std::sync::OnceLock;

const PAGED: [&str; 7] = ["SetMembers", "MapKeys", "IntMapKeys", "MapEntries", "IntMapEntries", "ListEntries", "Names"];

/// A base alone, a base with changes above it, one large enough for indexes, and nothing.
fn states() -> &'static [State] {
    static STATES: OnceLock<Vec<State>> = OnceLock::new();
    STATES.get_or_init(|| {
        let text = br#"{"":{},"i":7,"l":[1,"two",[3],{"4":5}],"m":{"\"a\"":1,"\"a\\u0026b\"":"x","2":null,"[1, 2]":0,"null":0,"raw":5,"{\"\":\"raw\"}":1.5},"s":"text \u003c"}"#;
        let base = State::read(Bytes::from_static(text), DEPTH).expect("a state");
        let mut changed = base.clone();
        apply(
            &mut changed,
            r#"{"ops":[{"op":"MapSet","Key":"m","MapKey":"aa","Value":{"z":1}},{"op":"MapDelete","Key":"m","MapKey":"a"},{"op":"ListAppend","Key":"l","Value":9},
               {"op":"SetAdd","Key":"set","Member":[1]},{"op":"SetAdd","Key":"set","Member":"\u2028"},{"op":"ScalarDelete","Key":"s"}]}"#,
        );
        let mut large = State::empty();
        for number in 0..100 {
            let op = format!(r#"{{"ops":[{{"op":"MapSet","Key":"m","MapKey":"key/{number}","Value":{number}}},{{"op":"ListAppend","Key":"l","Value":"{number}"}}]}}"#);
            apply(&mut large, &op);
        }
        vec![base, changed, large.compact(), State::empty()]
    })
}

fuzz_target!(|data: &[u8]| {
    let Some((&first, request)) = data.split_first() else { return };
    let state = &states()[usize::from(first) % states().len()];
    let mut out = b"what was there before".to_vec();
    match answer(request, state, &Context, &mut out) {
        Ok(()) => {
            let text = String::from_utf8(out).expect("UTF-8");
            let answered = Json::read(&text, 3 * DEPTH).unwrap_or_else(|| panic!("no JSON: {text}"));
            assert_eq!(answered.text(), text, "answers are canonical");
            let request = Json::read(std::str::from_utf8(request).expect("UTF-8"), DEPTH).expect("what is answered is JSON");
            match (&request, answered) {
                (Json::Array(requests), Json::Array(answers)) => {
                    assert_eq!(requests.len(), answers.len());
                    for (request, answer) in requests.iter().zip(answers) {
                        assert_eq!(ask(state, &request.text()), answer.text(), "alone and in an array");
                        check_pages(state, request);
                    }
                }
                (request, answer) => {
                    assert_eq!(ask(state, &request.text()), answer.text());
                    check_pages(state, request);
                }
            }
        }
        Err(error) => {
            assert!(out.is_empty(), "no half of an answer");
            if let Some(query) = error.query {
                assert!(error.message.starts_with(&format!("query {query}")), "{error}");
            }
            assert!(error.field.is_none() || error.query.is_some(), "{error}");
            check_error(&error.into());
        }
    }
});

/// What a collection query gives page by page is what it gives at once, with `Prefix` and without.
fn check_pages(state: &State, request: &Json) {
    let Json::Object(members) = request else { panic!("a query is an object") };
    let Some(Json::String(op)) = request.get("op") else { panic!("a query has a name") };
    if !PAGED.contains(&op.as_str()) {
        return;
    }
    let kept: Vec<(String, Json)> = members.iter().filter(|(name, _)| name != "Limit" && name != "After").cloned().collect();
    let query = Json::Object(kept).text();
    let whole = Json::read(&ask(state, &query), DEPTH + 3).expect("JSON");
    let Some(Json::Array(items)) = whole.get("items").cloned().or(Some(whole)) else { panic!("no items") };
    let items: Vec<String> = items.iter().map(Json::text).collect();
    let limit = match request.get("Limit") {
        Some(Json::Number(limit)) => limit.parse().unwrap_or(usize::MAX),
        _ => 3,
    };
    assert_eq!(all_pages(state, &query[1..query.len() - 1], limit), items);
}
