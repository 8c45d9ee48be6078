//! Any bytes as JSON: the canonical text against a slow reader of its own, members whole and cut off, and states.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use opjournal::json::{canonical, leading_members, members};
use opjournal::state::State;
use opjournal_fuzz::model::{Context, DEPTH, Json, Model, text};
use opjournal_fuzz::place_in;

fuzz_target!(|data: &[u8]| {
    for depth in [DEPTH, 1 + data.len() % 6] {
        check_canonical(data, depth);
        check_members(data, depth);
    }
    check_state(data);
});

fn check_canonical(data: &[u8], depth: usize) {
    let value = std::str::from_utf8(data).ok().and_then(|text| Json::read(text, depth));
    match canonical(data, depth) {
        Ok(text) => {
            assert_eq!(Some(String::from_utf8_lossy(&text).into_owned()), value.map(|value| value.text()));
            assert_eq!(canonical(&text, depth).as_ref(), Ok(&text), "canonical text is its own canonical text");
        }
        Err(error) => {
            assert_eq!(value, None, "{error}");
            assert!(error.offset <= data.len());
        }
    }
}

fn check_members(data: &[u8], depth: usize) {
    let found = members(data, depth);
    if let Ok(text) = std::str::from_utf8(data) {
        let expected = match Json::read(text, depth) {
            Some(Json::Object(members)) => Some(members),
            _ => None,
        };
        let values = found.as_ref().ok().map(|members| {
            let value = |range: &std::ops::Range<usize>| Json::read(&text[range.clone()], depth).expect("a value was found");
            members.iter().map(|(name, range)| (name.clone(), value(range))).collect::<Vec<_>>()
        });
        assert_eq!(values, expected);
    }
    let cut = place_in(data);
    let (leading, is_complete) = leading_members(&data[..cut], depth);
    if let Ok(all) = found {
        assert!(all.starts_with(&leading));
        let rest_is_space = data[cut..].iter().all(|byte| b" \n\r\t".contains(byte));
        assert_eq!(is_complete, rest_is_space);
        assert!(!is_complete || all == leading);
    }
}

fn check_state(data: &[u8]) {
    let model = Model::read(data);
    match State::read(Bytes::copy_from_slice(data), DEPTH) {
        Ok(state) => {
            let model = model.expect("the model reads it as well");
            assert_eq!(text(&state), model.text());
            let again = State::read(Bytes::from(text(&state)), DEPTH).expect("what is written can be read");
            assert_eq!(text(&again), text(&state));
            // Every query of the model would take too long here: one that touches every name will do.
            let mut names = Vec::new();
            opjournal::query::answer(br#"{"op":"Names"}"#, &again, &Context, &mut names).expect("an answer");
            assert_eq!(canonical(&names, DEPTH).as_ref(), Ok(&names));
        }
        Err(error) => assert!(model.is_none(), "{error}"),
    }
}
