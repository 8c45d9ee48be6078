//! The state against a plain model of it: random ops, new bases at random points, clones that must not change, and every query.

mod model;

use bytes::Bytes;
use model::{DEPTH, Json, KINDS, Needs, Step, play, text};
use opjournal::state::State;
use proptest::prelude::*;
use std::convert::Infallible;

/// Names of values, as they are. Some escape, some are prefixes of others, some sort differently escaped.
const NAMES: [&str; 9] = ["a", "b", "", "m<&>", "m", "q\"\\", "é", "\u{2028}", "name/7"];

/// Keys as canonical JSON.
const KEYS: [&str; 14] = [
    "\"a\"",
    "\"\"",
    "\"a\\u0026b\"",
    "\"a\\\"b\"",
    "\"a\\\\\"",
    "\"key/7\"",
    "\"key/70\"",
    "\"\u{e9}\"",
    "\"\\u2028\"",
    "0",
    "-12",
    "null",
    "[1,\"a\"]",
    // A key of the form in which a page's `next` names an entry that no key leads to.
    "{\"\":\"raw\"}",
];

/// Values as canonical JSON. The objects also become maps, most of whose names are not encoded keys.
const VALUES: [&str; 14] = [
    "1.50",
    "-7",
    "9223372036854775807",
    "123456789012345678901234567890",
    "-0",
    "\"text \\u003c\"",
    "true",
    "null",
    "[]",
    "[1,[2],{\"x\":3}]",
    "{}",
    "{\"\\\"a\\\"\":5,\"\\\"open\":6,\"2\":7,\"[1, 2]\":8,\"raw\":\"x\",\"raw\\u003c\":1.9}",
    "{\"\\\"a\":1,\"\\\"key/7\\\"\":2,\"raw\":3,\"{\\\"\\\":\\\"raw\\\"}\":4}",
    "{\"\\\"key/7\\\"\":{\"deep\":[{}]}}",
];

const INTEGERS: [i64; 9] = [0, 1, -1, 2, 7, -3, i64::MAX, i64::MIN, 1 << 62];

fn op() -> impl Strategy<Value = Step> {
    let any = (0..KINDS.len(), 0..NAMES.len(), 0..KEYS.len(), 0..VALUES.len(), 0..INTEGERS.len());
    any.prop_map(|(kind, name, key, value, integer)| {
        let fill = |needs| match needs {
            Needs::Value => VALUES[value].to_owned(),
            Needs::Integer => INTEGERS[integer].to_string(),
            Needs::Key => KEYS[key].to_owned(),
        };
        let Ok(op) = Step::op(kind, NAMES[name], |needs| Ok::<_, Infallible>(fill(needs)));
        op
    })
}

fn step() -> impl Strategy<Value = Step> {
    let name = || (0..NAMES.len()).prop_map(|name| NAMES[name].to_owned());
    prop_oneof![
        20 => op(),
        1 => (name(), 0..90usize).prop_map(|(name, count)| Step::FillMap(name, count)),
        1 => (name(), 0..200usize).prop_map(|(name, count)| Step::FillList(name, count)),
        1 => (0..60usize).prop_map(Step::FillNames),
        2 => Just(Step::Compact),
        1 => Just(Step::ReadAgain),
        1 => Just(Step::Keep),
        1 => (1..9usize).prop_map(Step::Check),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 160, ..ProptestConfig::default() })]

    #[test]
    fn the_state_is_what_the_model_is(steps in proptest::collection::vec(step(), 1..60)) {
        let keys = KEYS.iter().copied().chain(["\"key/33\"", "\"none\""]).map(str::to_owned).collect::<Vec<_>>();
        play(steps, &keys);
    }
}

/// Applies ops.
fn apply(state: &mut State, ops: &str) {
    model::apply(state, &format!("{{\"ops\":[{ops}]}}"));
}

#[test]
fn the_model_says_what_canonical_text_is() {
    for (text, canonical) in [
        (r#" { "b" : [ 1.50 , -0 , 1E+2 ] , "a" : "\u003c\/\ud83d\ude00\ud83d" } "#, r#"{"a":"\u003c/😀\ufffd","b":[1.50,-0,1E+2]}"#),
        (r#"{"a":1,"b":2,"a":3}"#, r#"{"a":3,"b":2}"#),
    ] {
        let canonical = canonical.replace("\\ufffd", "\u{fffd}");
        assert_eq!(Json::read(text, 2).expect(text).text(), canonical);
    }
    for wrong in ["", "01", "1.", "[1,]", "{\"a\"}", "\"\\x\"", "\"\n\"", "nul", "1 2", "[[]]", "\"\\u12g4\""] {
        assert!(Json::read(wrong, 1).is_none(), "{wrong}");
    }
}

#[test]
fn what_is_removed_leaves_no_trace_in_the_overlay() {
    let mut state = State::read(Bytes::from_static(br#"{"l":[1],"m":{"\"a\"":1},"n":1}"#), DEPTH).expect("a state");
    assert_eq!((state.base_len(), state.overlay_len()), (5, 0));
    apply(
        &mut state,
        r#"{"op":"MapDelete","Key":"m","MapKey":"none"},{"op":"ScalarDelete","Key":"none"},{"op":"IntDiv","Key":"x","Divisor":0}"#,
    );
    assert_eq!(state.overlay_len(), 0, "nothing was changed");
    apply(&mut state, r#"{"op":"IntSet","Key":"new","Value":1},{"op":"ScalarDelete","Key":"new"}"#);
    assert_eq!(state.overlay_len(), 0, "what the base never had needs no mark");
    apply(
        &mut state,
        r#"{"op":"ScalarDelete","Key":"n"},{"op":"MapSet","Key":"m","MapKey":"b","Value":1},{"op":"ListAppend","Key":"l","Value":2}"#,
    );
    assert_eq!(state.overlay_len(), 5, "one name gone, one map with a change, one list with an element");
    assert_eq!(state.base_len(), 5);
    assert_eq!(text(&state), r#"{"l":[1,2],"m":{"\"a\"":1,"\"b\"":1}}"#);
}

#[test]
fn canonical_text_is_used_where_it_lies() {
    let text = Bytes::from(r#"{"a":{"\"k\"":"v"},"b":[1,2,3]}"#.to_owned());
    let before = text.clone();
    let state = State::read(text, DEPTH).expect("a state");
    assert!(!before.is_unique(), "the state holds the same bytes");
    drop(state);
    assert!(before.is_unique());
}

#[test]
fn only_an_object_is_a_state() {
    for refused in ["null", "42", "[1,2]", "\"a\"", "", "{", "{}x", "{\"a\":}"] {
        assert!(State::read(Bytes::from(refused), DEPTH).is_err(), "{refused}");
    }
    let error = State::read(Bytes::from_static(b"[1]"), DEPTH).expect_err("an array");
    assert_eq!(error.to_string(), "not a JSON object at byte 0");
    assert!(State::read(Bytes::from_static(b"{\"a\":[[]]}"), 3).is_ok());
    assert!(State::read(Bytes::from_static(b"{\"a\":[[]]}"), 2).is_err());
    let state = State::read(Bytes::from_static(b"{\"a\":\"\xff\"}"), DEPTH).expect("repaired");
    assert_eq!(text(&state), "{\"a\":\"\u{fffd}\"}");
}
