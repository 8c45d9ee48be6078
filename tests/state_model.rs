//! The state against a plain model of it: random ops, new bases at random points, clones that must not change, and every query.

use bytes::Bytes;
use opjournal::config::Limits;
use opjournal::ops::read_segment;
use opjournal::query::{QueryContext, answer};
use opjournal::state::State;
use proptest::prelude::*;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

const DEPTH: usize = 128;

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

#[derive(Clone, Debug)]
enum Step {
    /// Kind, name, key, value, integer: indexes.
    Op(usize, usize, usize, usize, usize),
    /// Gives a name this many entries or elements at once, so that it gets an index of its own.
    FillMap(usize, usize),
    FillList(usize, usize),
    /// Makes this many names.
    FillNames(usize),
    /// Everything into a new base.
    Compact,
    /// The same by way of its text, spelled differently.
    ReadAgain,
    /// Keeps a clone, to be looked at in the end.
    Keep,
    /// Compares everything.
    Check(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => (0..16usize, 0..NAMES.len(), 0..KEYS.len(), 0..VALUES.len(), 0..INTEGERS.len())
            .prop_map(|(kind, name, key, value, integer)| Step::Op(kind, name, key, value, integer)),
        1 => (0..NAMES.len(), 0..90usize).prop_map(|(name, count)| Step::FillMap(name, count)),
        1 => (0..NAMES.len(), 0..200usize).prop_map(|(name, count)| Step::FillList(name, count)),
        1 => (0..60usize).prop_map(Step::FillNames),
        2 => Just(Step::Compact),
        1 => Just(Step::ReadAgain),
        1 => Just(Step::Keep),
        1 => (1..9usize).prop_map(Step::Check),
    ]
}

/// What a name holds. Everything in it is canonical text; a map's names are unescaped.
#[derive(Clone, Debug, PartialEq)]
enum Held {
    Scalar(String),
    Map(BTreeMap<String, String>),
    List(Vec<String>),
}

impl Held {
    fn of(value: &str) -> Held {
        let raw = |text: &str| text.to_owned();
        match value.as_bytes()[0] {
            b'{' => {
                let members: BTreeMap<String, Box<RawValue>> = serde_json::from_str(value).expect("an object");
                Held::Map(members.into_iter().map(|(name, value)| (name, raw(value.get()))).collect())
            }
            b'[' => {
                let elements: Vec<Box<RawValue>> = serde_json::from_str(value).expect("an array");
                Held::List(elements.iter().map(|value| raw(value.get())).collect())
            }
            _ => Held::Scalar(raw(value)),
        }
    }

    fn text(&self) -> String {
        match self {
            Held::Scalar(text) => text.clone(),
            Held::Map(entries) => {
                let entries: Vec<String> = entries.iter().map(|(name, value)| format!("{}:{value}", quoted(name))).collect();
                format!("{{{}}}", entries.join(","))
            }
            Held::List(elements) => format!("[{}]", elements.join(",")),
        }
    }
}

type Model = BTreeMap<String, Held>;

/// A canonical string, by way of another encoder.
fn quoted(text: &str) -> String {
    let plain = serde_json::to_string(text).expect("a string");
    plain
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

fn integer(text: &str) -> i64 {
    match text.parse::<i64>() {
        Ok(integer) => integer,
        Err(_) if text.starts_with(|first: char| first == '-' || first.is_ascii_digit()) => text.parse::<f64>().expect("a number") as i64,
        Err(_) => 0,
    }
}

fn model_text(model: &Model) -> String {
    let names: Vec<String> = model.iter().map(|(name, held)| format!("{}:{}", quoted(name), held.text())).collect();
    format!("{{{}}}", names.join(","))
}

/// Applies one op to the model, and returns its text.
fn model_op(model: &mut Model, kind: usize, name: usize, key: usize, value: usize, number: usize) -> String {
    let (name, key, value, number) = (NAMES[name], KEYS[key], VALUES[value], INTEGERS[number]);
    let arithmetic = |kind: usize, before: i64| match kind {
        0 => before.wrapping_add(number),
        1 => before.wrapping_mul(number),
        _ => before.wrapping_div(number),
    };
    let fields = match kind {
        0 => {
            model.insert(name.to_owned(), Held::of(value));
            format!("\"op\":\"ScalarSet\",\"Value\":{value}")
        }
        1 => {
            model.remove(name);
            "\"op\":\"ScalarDelete\"".to_owned()
        }
        2 => {
            model.insert(name.to_owned(), Held::Scalar(number.to_string()));
            format!("\"op\":\"IntSet\",\"Value\":{number}")
        }
        3..=5 => {
            let before = if let Some(Held::Scalar(text)) = model.get(name) { integer(text) } else { 0 };
            if kind != 5 || number != 0 {
                model.insert(name.to_owned(), Held::Scalar(arithmetic(kind - 3, before).to_string()));
            }
            let (op, field) = [("IntAdd", "Delta"), ("IntMul", "Factor"), ("IntDiv", "Divisor")][kind - 3];
            format!("\"op\":\"{op}\",\"{field}\":{number}")
        }
        6 | 8 | 9 => {
            let (op, field, set) = match kind {
                6 => ("SetAdd", "\"Member\"".to_owned(), "true".to_owned()),
                8 => ("IntMapSet", format!("\"Value\":{number},\"MapKey\""), number.to_string()),
                _ => ("MapSet", format!("\"Value\":{value},\"MapKey\""), value.to_owned()),
            };
            map_of(model, name).insert(key.to_owned(), set);
            format!("\"op\":\"{op}\",{field}:{key}")
        }
        7 | 13 | 14 => {
            if let Some(Held::Map(entries)) = model.get_mut(name) {
                entries.remove(key);
            }
            let (op, field) = [("SetRemove", "Member"), ("MapDelete", "MapKey"), ("IntMapDelete", "MapKey")][kind.saturating_sub(12)];
            format!("\"op\":\"{op}\",\"{field}\":{key}")
        }
        10..=12 => {
            let is_map = matches!(model.get(name), Some(Held::Map(_)));
            if kind != 12 || (number != 0 && is_map) {
                let entries = map_of(model, name);
                let before = entries.get(key).map_or(0, |text| integer(text));
                entries.insert(key.to_owned(), arithmetic(kind - 10, before).to_string());
            }
            let (op, field) = [("IntMapAdd", "Delta"), ("IntMapMul", "Factor"), ("IntMapDiv", "Divisor")][kind - 10];
            format!("\"op\":\"{op}\",\"MapKey\":{key},\"{field}\":{number}")
        }
        _ => {
            list_of(model, name).push(value.to_owned());
            format!("\"op\":\"ListAppend\",\"Value\":{value}")
        }
    };
    format!("{{\"Key\":{},{fields}}}", quoted(name))
}

fn map_of<'m>(model: &'m mut Model, name: &str) -> &'m mut BTreeMap<String, String> {
    let held = model.entry(name.to_owned()).or_insert_with(|| Held::Map(BTreeMap::new()));
    if !matches!(held, Held::Map(_)) {
        *held = Held::Map(BTreeMap::new());
    }
    if let Held::Map(entries) = held { entries } else { unreachable!() }
}

fn list_of<'m>(model: &'m mut Model, name: &str) -> &'m mut Vec<String> {
    let held = model.entry(name.to_owned()).or_insert_with(|| Held::List(Vec::new()));
    if !matches!(held, Held::List(_)) {
        *held = Held::List(Vec::new());
    }
    if let Held::List(elements) = held { elements } else { unreachable!() }
}

struct Context;

impl QueryContext for Context {
    fn write_mark(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"key\":\"k\"}");
    }

    fn age_ms(&self) -> u64 {
        7
    }

    fn outcome(&self, _segment: &str) -> &'static str {
        "failed"
    }
}

fn ask(state: &State, query: &str) -> String {
    let mut out = Vec::new();
    answer(query.as_bytes(), state, &Context, &mut out).unwrap_or_else(|error| panic!("{query}: {error}"));
    String::from_utf8(out).expect("UTF-8")
}

fn apply(state: &mut State, ops: &str) {
    let body = format!("{{\"ops\":[{ops}]}}");
    state.apply(&read_segment(body.as_bytes(), &Limits::default()).unwrap_or_else(|error| panic!("{body}: {error}")).ops);
}

fn text(state: &State) -> String {
    let mut out = Vec::new();
    state.write_canonical(&mut out);
    String::from_utf8(out).expect("UTF-8")
}

/// How the name of an entry is shown as a key.
fn shown(name: &str) -> String {
    match name {
        "[1, 2]" => "[1,2]".to_owned(),
        _ if serde_json::from_str::<&RawValue>(name).is_ok() => name.to_owned(),
        _ => quoted(name),
    }
}

/// Asks for page after page, and returns all items. Checks that each page but the last is full.
fn all_pages(state: &State, query: &str, limit: usize) -> Vec<String> {
    #[derive(serde::Deserialize)]
    struct Page {
        items: Vec<Box<RawValue>>,
        next: Option<Box<RawValue>>,
    }
    let mut items = Vec::new();
    let mut after = String::new();
    loop {
        let page = ask(state, &format!("{{{query},\"Limit\":{limit}{after}}}"));
        let page: Page = serde_json::from_str(&page).unwrap_or_else(|error| panic!("{page}: {error}"));
        assert!(page.items.len() <= limit && items.len() < 10_000, "pages without end: {query}");
        items.extend(page.items.iter().map(|item| item.get().to_owned()));
        let Some(next) = page.next else { return items };
        assert_eq!(page.items.len(), limit, "{query}");
        after = format!(",\"After\":{}", next.get());
    }
}

fn array(items: &[String]) -> String {
    format!("[{}]", items.join(","))
}

/// Compares the text and everything that can be asked.
fn compare(state: &State, model: &Model, limit: usize) {
    let expected = model_text(model);
    assert_eq!(text(state), expected);
    assert_eq!(state.canonical_len(), expected.len());
    assert_eq!(ask(state, r#"{"op":"State"}"#), expected);
    let hash: String = Sha256::digest(expected.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(ask(state, r#"{"op":"Digest"}"#), format!(r#"{{"age_ms":7,"mark":{{"key":"k"}},"sha256":"{hash}"}}"#));
    for name in NAMES.iter().copied().chain(["absent", "name/3"]) {
        compare_name(state, model.get(name), &quoted(name), limit);
    }
    let names: Vec<(&String, String)> = model
        .iter()
        .map(|(name, held)| {
            let (len, shape) = match held {
                Held::Scalar(text) => {
                    (0, if text.starts_with(|first: char| first == '-' || first.is_ascii_digit()) { "int" } else { "scalar" })
                }
                Held::Map(entries) => (entries.len(), "map"),
                Held::List(elements) => (elements.len(), "list"),
            };
            (name, format!(r#"{{"len":{len},"name":{},"shape":"{shape}"}}"#, quoted(name)))
        })
        .collect();
    let items =
        |prefix: &str| -> Vec<String> { names.iter().filter(|(name, _)| name.starts_with(prefix)).map(|(_, item)| item.clone()).collect() };
    assert_eq!(ask(state, r#"{"op":"Names"}"#), array(&items("")));
    assert_eq!(all_pages(state, r#""op":"Names""#, limit), items(""));
    for prefix in ["", "name/1", "m", "\u{2028}"] {
        let query = format!(r#""op":"Names","Prefix":{}"#, quoted(prefix));
        assert_eq!(all_pages(state, &query, limit), items(prefix));
    }
}

fn compare_name(state: &State, held: Option<&Held>, name: &str, limit: usize) {
    let one = |op: &str| ask(state, &format!(r#"{{"op":"{op}","Key":{name}}}"#));
    let found =
        |value: Option<String>| value.map_or(r#"{"found":false}"#.to_owned(), |value| format!(r#"{{"found":true,"value":{value}}}"#));
    assert_eq!(one("ScalarGet"), found(held.map(Held::text)));
    assert_eq!(one("IntGet"), if let Some(Held::Scalar(text)) = held { integer(text) } else { 0 }.to_string());
    let (no_entries, no_elements) = (BTreeMap::new(), Vec::new());
    let entries = if let Some(Held::Map(entries)) = held { entries } else { &no_entries };
    let elements = if let Some(Held::List(elements)) = held { elements } else { &no_elements };
    for op in ["SetLen", "MapLen", "IntMapLen"] {
        assert_eq!(one(op), entries.len().to_string());
    }
    assert_eq!(one("ListLen"), elements.len().to_string());
    for key in KEYS.iter().copied().chain(["\"key/33\"", "\"none\""]) {
        let entry = |op: &str, field: &str| ask(state, &format!(r#"{{"op":"{op}","Key":{name},"{field}":{key}}}"#));
        assert_eq!(entry("MapGet", "MapKey"), found(entries.get(key).cloned()));
        assert_eq!(entry("IntMapGet", "MapKey"), entries.get(key).map_or(0, |text| integer(text)).to_string());
        assert_eq!(entry("SetContains", "Member"), entries.contains_key(key).to_string());
    }
    let keys: Vec<String> = entries.keys().map(|name| shown(name)).collect();
    let pairs: Vec<String> = entries.iter().map(|(name, value)| format!("[{},{value}]", shown(name))).collect();
    let integers: Vec<String> = entries.iter().map(|(name, value)| format!("[{},{}]", shown(name), integer(value))).collect();
    for (op, items) in [
        ("SetMembers", &keys),
        ("MapKeys", &keys),
        ("IntMapKeys", &keys),
        ("MapEntries", &pairs),
        ("IntMapEntries", &integers),
        ("ListEntries", elements),
    ] {
        assert_eq!(one(op), array(items), "{op}");
        assert_eq!(&all_pages(state, &format!(r#""op":"{op}","Key":{name}"#), limit), items, "{op}");
    }
    for prefix in ["", "a", "a&", "key/7", "\"", "\u{2028}"] {
        let start = quoted(prefix);
        let is_asked_for =
            |name: &String| serde_json::from_str::<String>(name).is_ok_and(|key| key.starts_with(prefix) && quoted(&key) == *name);
        let items: Vec<String> = entries.keys().filter(|name| is_asked_for(name)).cloned().collect();
        let query = format!(r#""op":"MapKeys","Key":{name},"Prefix":{start}"#);
        assert_eq!(all_pages(state, &query, limit), items, "{query}");
    }
    let after: Vec<String> = elements.iter().skip(3).cloned().collect();
    assert_eq!(ask(state, &format!(r#"{{"op":"ListEntries","Key":{name},"After":2}}"#)), format!(r#"{{"items":{}}}"#, array(&after)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 160, ..ProptestConfig::default() })]

    #[test]
    fn the_state_is_what_the_model_is(steps in proptest::collection::vec(step(), 1..60)) {
        let mut state = State::empty();
        let mut model = Model::new();
        let mut kept: Vec<(State, Model)> = Vec::new();
        for step in steps {
            match step {
                Step::Op(kind, name, key, value, integer) => {
                    let op = model_op(&mut model, kind, name, key, value, integer);
                    apply(&mut state, &op);
                }
                Step::FillMap(name, count) => {
                    let entries = map_of(&mut model, NAMES[name]);
                    let ops: Vec<String> = (0..count).map(|number| {
                        let key = format!("\"key/{number}\"");
                        let op = format!(r#"{{"op":"MapSet","Key":{},"MapKey":{key},"Value":"value {number}"}}"#, quoted(NAMES[name]));
                        entries.insert(key, format!("\"value {number}\""));
                        op
                    }).collect();
                    if count == 0 {
                        entries.insert("0".into(), "true".into());
                        apply(&mut state, &format!(r#"{{"op":"SetAdd","Key":{},"Member":0}}"#, quoted(NAMES[name])));
                    }
                    apply(&mut state, &ops.join(","));
                }
                Step::FillList(name, count) => {
                    let elements: Vec<String> = (0..count).map(|number| number.to_string()).collect();
                    apply(&mut state, &format!(r#"{{"op":"ScalarSet","Key":{},"Value":{}}}"#, quoted(NAMES[name]), array(&elements)));
                    model.insert(NAMES[name].to_owned(), Held::List(elements));
                }
                Step::FillNames(count) => {
                    let ops: Vec<String> = (0..count).map(|number| {
                        model.insert(format!("name/{number}"), Held::Scalar(number.to_string()));
                        format!(r#"{{"op":"IntSet","Key":"name/{number}","Value":{number}}}"#)
                    }).collect();
                    apply(&mut state, &ops.join(","));
                }
                Step::Compact => {
                    state = state.compact();
                    prop_assert_eq!(state.overlay_len(), 0);
                    let entries: usize = model.values().map(|held| 1 + match held {
                        Held::Scalar(_) => 0,
                        Held::Map(entries) => entries.len(),
                        Held::List(elements) => elements.len(),
                    }).sum();
                    prop_assert_eq!(state.base_len(), entries);
                }
                Step::ReadAgain => {
                    let spaced = format!(" {} \n", text(&state));
                    state = State::read(Bytes::from(spaced), DEPTH).expect("a state");
                }
                Step::Keep => kept.push((state.clone(), model.clone())),
                Step::Check(limit) => compare(&state, &model, limit),
            }
        }
        kept.push((state, model));
        for (state, model) in &kept {
            compare(state, model, 7);
            compare(&state.compact(), model, 1);
        }
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
