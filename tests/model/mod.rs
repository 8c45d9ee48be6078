//! A plain model of a namespace's state: maps and vectors of canonical text, in the simplest code that can say what ops and
//! queries do. Shares nothing with the library but the store's time stamps. Used by the tests and by the fuzz targets.

// Each user needs its own part of it.
#![allow(dead_code)]

mod json;

pub use json::{Json, quoted};

use bytes::Bytes;
use opjournal::config::Limits;
use opjournal::ops::read_segment;
use opjournal::query::{QueryContext, answer};
use opjournal::state::State;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

pub const DEPTH: usize = 128;

/// What a name holds. Everything in it is canonical text; a map's names are unescaped.
#[derive(Clone, Debug, PartialEq)]
pub enum Held {
    Scalar(String),
    Map(BTreeMap<String, String>),
    List(Vec<String>),
}

impl Held {
    fn of(value: &Json) -> Held {
        match value {
            Json::Object(members) => Held::Map(members.iter().map(|(name, value)| (name.clone(), value.text())).collect()),
            Json::Array(elements) => Held::List(elements.iter().map(Json::text).collect()),
            scalar => Held::Scalar(scalar.text()),
        }
    }

    fn text(&self) -> String {
        match self {
            Held::Scalar(text) => text.clone(),
            Held::Map(entries) => {
                let entries: Vec<String> = entries.iter().map(|(name, value)| format!("{}:{value}", quoted(name))).collect();
                format!("{{{}}}", entries.join(","))
            }
            Held::List(elements) => array(elements),
        }
    }

    /// How many entries or elements there are.
    fn len(&self) -> usize {
        match self {
            Held::Scalar(_) => 0,
            Held::Map(entries) => entries.len(),
            Held::List(elements) => elements.len(),
        }
    }

    fn shape(&self) -> &'static str {
        match self {
            Held::Scalar(text) if is_number(text) => "int",
            Held::Scalar(_) => "scalar",
            Held::Map(_) => "map",
            Held::List(_) => "list",
        }
    }
}

fn array(items: &[String]) -> String {
    format!("[{}]", items.join(","))
}

fn is_number(text: &str) -> bool {
    text.starts_with(|first: char| first == '-' || first.is_ascii_digit())
}

fn integer(text: &str) -> i64 {
    match text.parse::<i64>() {
        Ok(integer) => integer,
        Err(_) if is_number(text) => text.parse::<f64>().expect("a number") as i64,
        Err(_) => 0,
    }
}

/// A namespace's state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Model(BTreeMap<String, Held>);

impl Model {
    /// The state that this JSON object is; nothing for any other text.
    pub fn read(text: &[u8]) -> Option<Model> {
        match Json::read_lossy(text, DEPTH)? {
            Json::Object(members) => Some(Model(members.iter().map(|(name, value)| (name.clone(), Held::of(value))).collect())),
            _ => None,
        }
    }

    /// The canonical text.
    pub fn text(&self) -> String {
        let names: Vec<String> = self.0.iter().map(|(name, held)| format!("{}:{}", quoted(name), held.text())).collect();
        format!("{{{}}}", names.join(","))
    }

    /// Names, and the entries and elements directly below them.
    fn entries(&self) -> usize {
        self.0.values().map(|held| 1 + held.len()).sum()
    }

    /// Applies the ops of a segment's body. False where the body is unreadable: then nothing was applied.
    pub fn replay(&mut self, body: &[u8]) -> bool {
        let Some(body) = Json::read_lossy(body, DEPTH) else { return false };
        if !matches!(body, Json::Null | Json::Object(_)) {
            return false;
        }
        let is_known_format = match body.get("format") {
            None | Some(Json::Null) => true,
            Some(Json::Number(format)) => format.parse::<i64>().is_ok_and(|format| format <= 1),
            Some(_) => false,
        };
        let mut after = self.clone();
        let is_readable = match body.get("ops") {
            None | Some(Json::Null) => true,
            Some(Json::Array(ops)) => ops.iter().all(|op| after.apply(op).is_some()),
            Some(_) => false,
        };
        if is_known_format && is_readable {
            *self = after;
        }
        is_known_format && is_readable
    }

    /// Applies an op as it is read in a bucket. Nothing where it cannot be read.
    pub fn apply(&mut self, op: &Json) -> Option<()> {
        let text = |field: &str| match op.get(field) {
            None | Some(Json::Null) => Some(String::new()),
            Some(Json::String(text)) => Some(text.clone()),
            Some(_) => None,
        };
        let number = |field: &str| match op.get(field) {
            None | Some(Json::Null) => Some(0),
            Some(Json::Number(text)) => text.parse::<i64>().ok(),
            Some(_) => None,
        };
        let any = |field: &str| op.get(field).unwrap_or(&Json::Null);
        let key = |field: &str| any(field).text();
        let Some(Json::String(kind)) = op.get("op") else { return None };
        let name = text("Key")?;
        match kind.as_str() {
            "ScalarSet" => {
                self.0.insert(name, Held::of(any("Value")));
            }
            "ScalarDelete" => {
                self.0.remove(&name);
            }
            "IntSet" => {
                self.0.insert(name, Held::Scalar(number("Value")?.to_string()));
            }
            "IntAdd" | "IntMul" | "IntDiv" => {
                let before = if let Some(Held::Scalar(text)) = self.0.get(&name) { integer(text) } else { 0 };
                let number = number(operand(kind))?;
                if let Some(after) = compute(kind, before, number) {
                    self.0.insert(name, Held::Scalar(after.to_string()));
                }
            }
            "SetAdd" => {
                self.map(name).insert(key("Member"), "true".to_owned());
            }
            "IntMapSet" => {
                let value = number("Value")?.to_string();
                self.map(name).insert(key("MapKey"), value);
            }
            "MapSet" => {
                self.map(name).insert(key("MapKey"), any("Value").text());
            }
            "IntMapAdd" | "IntMapMul" | "IntMapDiv" => {
                let number = number(operand(kind))?;
                let is_map = matches!(self.0.get(&name), Some(Held::Map(_)));
                if kind != "IntMapDiv" || (is_map && number != 0) {
                    let entries = self.map(name);
                    let before = entries.get(&key("MapKey")).map_or(0, |text| integer(text));
                    entries.extend(compute(kind, before, number).map(|after| (key("MapKey"), after.to_string())));
                }
            }
            "SetRemove" | "MapDelete" | "IntMapDelete" => {
                if let Some(Held::Map(entries)) = self.0.get_mut(&name) {
                    entries.remove(&key(if kind == "SetRemove" { "Member" } else { "MapKey" }));
                }
            }
            "ListAppend" => {
                let held = self.0.entry(name).or_insert_with(|| Held::List(Vec::new()));
                let mut elements = if let Held::List(elements) = held { std::mem::take(elements) } else { Vec::new() };
                elements.push(any("Value").text());
                *held = Held::List(elements);
            }
            _ => return None,
        }
        Some(())
    }

    /// The map that a name holds, or holds from now on.
    fn map(&mut self, name: String) -> &mut BTreeMap<String, String> {
        let held = self.0.entry(name).or_insert_with(|| Held::Map(BTreeMap::new()));
        if !matches!(held, Held::Map(_)) {
            *held = Held::Map(BTreeMap::new());
        }
        if let Held::Map(entries) = held { entries } else { unreachable!("it was made a map") }
    }
}

fn operand(kind: &str) -> &'static str {
    match &kind[kind.len() - 3..] {
        "Add" => "Delta",
        "Mul" => "Factor",
        _ => "Divisor",
    }
}

/// Nothing for a division by zero.
fn compute(kind: &str, before: i64, number: i64) -> Option<i64> {
    match operand(kind) {
        "Delta" => Some(before.wrapping_add(number)),
        "Factor" => Some(before.wrapping_mul(number)),
        _ => (number != 0).then(|| before.wrapping_div(number)),
    }
}

/// What an op needs beside its name.
#[derive(Clone, Copy)]
pub enum Needs {
    Value,
    Integer,
    /// A key of a map, or a member of a set.
    Key,
}

/// One op of each kind, with its fields.
pub const KINDS: [(&str, &[(&str, Needs)]); 16] = [
    ("ScalarSet", &[("Value", Needs::Value)]),
    ("ScalarDelete", &[]),
    ("IntSet", &[("Value", Needs::Integer)]),
    ("IntAdd", &[("Delta", Needs::Integer)]),
    ("IntMul", &[("Factor", Needs::Integer)]),
    ("IntDiv", &[("Divisor", Needs::Integer)]),
    ("SetAdd", &[("Member", Needs::Key)]),
    ("SetRemove", &[("Member", Needs::Key)]),
    ("IntMapSet", &[("MapKey", Needs::Key), ("Value", Needs::Integer)]),
    ("MapSet", &[("MapKey", Needs::Key), ("Value", Needs::Value)]),
    ("IntMapAdd", &[("MapKey", Needs::Key), ("Delta", Needs::Integer)]),
    ("IntMapMul", &[("MapKey", Needs::Key), ("Factor", Needs::Integer)]),
    ("IntMapDiv", &[("MapKey", Needs::Key), ("Divisor", Needs::Integer)]),
    ("MapDelete", &[("MapKey", Needs::Key)]),
    ("IntMapDelete", &[("MapKey", Needs::Key)]),
    ("ListAppend", &[("Value", Needs::Value)]),
];

/// What happens to a state.
#[derive(Clone, Debug)]
pub enum Step {
    /// An op, as JSON.
    Op(String),
    /// Gives a name this many entries or elements at once, so that it gets an index of its own.
    FillMap(String, usize),
    FillList(String, usize),
    /// Makes this many names.
    FillNames(usize),
    /// Everything into a new base.
    Compact,
    /// The same by way of its text, spelled differently.
    ReadAgain,
    /// Keeps a clone, to be looked at in the end.
    Keep,
    /// Compares everything, with pages of so many items.
    Check(usize),
}

impl Step {
    /// An op of a kind, with what `fill` gives for each field, as JSON.
    pub fn op<E>(kind: usize, name: &str, mut fill: impl FnMut(Needs) -> Result<String, E>) -> Result<Step, E> {
        let (kind, fields) = KINDS[kind];
        let mut op = format!(r#"{{"op":"{kind}","Key":{}"#, quoted(name));
        for (field, needs) in fields {
            op.push_str(&format!(r#","{field}":{}"#, fill(*needs)?));
        }
        Ok(Step::Op(op + "}"))
    }
}

/// Takes the steps with a state and with the model, and compares the two, and all clones on the way, in the end. `keys` are asked
/// for in every map, besides those that it has.
pub fn play(steps: impl IntoIterator<Item = Step>, keys: &[String]) {
    let mut state = State::empty();
    let mut model = Model::default();
    let mut kept: Vec<(State, Model)> = Vec::new();
    for step in steps {
        let mut ops = Vec::new();
        match step {
            Step::Op(op) => ops.push(op),
            Step::FillMap(name, count) => {
                ops.push(format!(r#"{{"op":"SetAdd","Key":{},"Member":0}}"#, quoted(&name)));
                ops.extend((0..count).map(|number| {
                    format!(r#"{{"op":"MapSet","Key":{},"MapKey":"key/{number}","Value":"value {number}"}}"#, quoted(&name))
                }));
            }
            Step::FillList(name, count) => {
                let elements: Vec<String> = (0..count).map(|number| number.to_string()).collect();
                ops.push(format!(r#"{{"op":"ScalarSet","Key":{},"Value":{}}}"#, quoted(&name), array(&elements)));
            }
            Step::FillNames(count) => {
                ops.extend((0..count).map(|number| format!(r#"{{"op":"IntSet","Key":"name/{number}","Value":{number}}}"#)));
            }
            Step::Compact => {
                state = state.compact();
                assert_eq!((state.overlay_len(), state.base_len()), (0, model.entries()));
            }
            Step::ReadAgain => {
                let spaced = format!(" {} \n", text(&state));
                state = State::read(Bytes::from(spaced), DEPTH).expect("a state");
            }
            Step::Keep => kept.push((state.clone(), model.clone())),
            Step::Check(limit) => compare(&state, &model, keys, limit),
        }
        if !ops.is_empty() {
            let body = format!("{{\"ops\":[{}]}}", ops.join(","));
            assert!(model.replay(body.as_bytes()), "{body}");
            apply(&mut state, &body);
        }
    }
    kept.push((state, model));
    for (state, model) in &kept {
        compare(state, model, keys, 7);
        compare(&state.compact(), model, keys, 1);
    }
}

/// Applies a segment's body, which must be readable.
pub fn apply(state: &mut State, body: &str) {
    state.apply(&read_segment(body.as_bytes(), &Limits::default()).unwrap_or_else(|error| panic!("{body}: {error}")).ops);
}

/// The canonical text of a state.
pub fn text(state: &State) -> String {
    let mut out = Vec::new();
    state.write_canonical(&mut out);
    assert_eq!(state.canonical_len(), out.len());
    String::from_utf8(out).expect("UTF-8")
}

/// What is not in a state.
pub struct Context;

impl QueryContext for Context {
    fn write_mark(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"key\":\"k\"}");
    }

    fn age_ms(&self) -> u64 {
        7
    }

    fn metrics(&self) -> String {
        String::new()
    }

    fn outcome(&self, _segment: &str) -> &'static str {
        "failed"
    }
}

/// The answer to a query that must be answered.
pub fn ask(state: &State, query: &str) -> String {
    let mut out = Vec::new();
    answer(query.as_bytes(), state, &Context, &mut out).unwrap_or_else(|error| panic!("{query}: {error}"));
    String::from_utf8(out).expect("UTF-8")
}

/// How the name of an entry is shown as a key.
fn shown(name: &str) -> String {
    Json::read(name, DEPTH).map_or_else(|| quoted(name), |key| key.text())
}

/// Asks for page after page of a query (its members, without braces), and returns all items. Checks that each page but the
/// last is full.
pub fn all_pages(state: &State, query: &str, limit: usize) -> Vec<String> {
    let mut items = Vec::new();
    let mut after = String::new();
    loop {
        let text = ask(state, &format!("{{{query},\"Limit\":{limit}{after}}}"));
        let page = Json::read(&text, DEPTH + 3).unwrap_or_else(|| panic!("no JSON: {text}"));
        let Some(Json::Array(found)) = page.get("items") else { panic!("no page: {text}") };
        assert!(found.len() <= limit && items.len() < 100_000, "pages without end: {query}");
        items.extend(found.iter().map(Json::text));
        let Some(next) = page.get("next") else { return items };
        assert_eq!(found.len(), limit, "{query}");
        after = format!(",\"After\":{}", next.text());
    }
}

/// Compares the text and everything that can be asked.
pub fn compare(state: &State, model: &Model, keys: &[String], limit: usize) {
    let expected = model.text();
    assert_eq!(text(state), expected);
    assert_eq!(ask(state, r#"{"op":"State"}"#), expected);
    let hash: String = Sha256::digest(expected.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(ask(state, r#"{"op":"Age"}"#), r#"{"age_ms":7,"mark":{"key":"k"}}"#);
    assert_eq!(ask(state, r#"{"op":"Digest"}"#), format!(r#"{{"age_ms":7,"mark":{{"key":"k"}},"sha256":"{hash}"}}"#));
    for (name, held) in &model.0 {
        compare_name(state, Some(held), name, keys, limit);
    }
    let absent = (0..).map(|number| format!("absent {number}")).find(|name| !model.0.contains_key(name)).expect("some name");
    compare_name(state, None, &absent, keys, limit);
    let items = |prefix: &str| -> Vec<String> {
        let names = model.0.iter().filter(|(name, _)| name.starts_with(prefix));
        names.map(|(name, held)| format!(r#"{{"len":{},"name":{},"shape":"{}"}}"#, held.len(), quoted(name), held.shape())).collect()
    };
    assert_eq!(ask(state, r#"{"op":"Names"}"#), array(&items("")));
    assert_eq!(all_pages(state, r#""op":"Names""#, limit), items(""));
    for prefix in ["", "name/1", "m", "\u{2028}"].map(str::to_owned).into_iter().chain(beginnings(model.0.keys())) {
        let query = format!(r#""op":"Names","Prefix":{}"#, quoted(&prefix));
        assert_eq!(all_pages(state, &query, limit), items(&prefix));
    }
}

/// What the first and the last of some texts begin with.
fn beginnings<'n>(mut texts: impl DoubleEndedIterator<Item = &'n String>) -> impl Iterator<Item = String> {
    let ends = [texts.next(), texts.next_back()];
    let beginnings: Vec<String> =
        ends.into_iter().flatten().map(|text| text.chars().take(text.chars().count().div_ceil(2)).collect()).collect();
    beginnings.into_iter()
}

fn compare_name(state: &State, held: Option<&Held>, name: &str, keys: &[String], limit: usize) {
    let name = quoted(name);
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
    // The names that are encoded keys, and others.
    let own = entries.keys().filter(|name| Json::read(name, DEPTH - 2).is_some());
    for key in own.chain(keys).collect::<BTreeSet<_>>() {
        let entry = |op: &str, field: &str| ask(state, &format!(r#"{{"op":"{op}","Key":{name},"{field}":{key}}}"#));
        let encoded = shown(key);
        assert_eq!(entry("MapGet", "MapKey"), found(entries.get(&encoded).cloned()));
        assert_eq!(entry("IntMapGet", "MapKey"), entries.get(&encoded).map_or(0, |text| integer(text)).to_string());
        assert_eq!(entry("SetContains", "Member"), entries.contains_key(&encoded).to_string());
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
    let strings: BTreeMap<String, &String> = entries
        .keys()
        .filter_map(|name| match Json::read(name, DEPTH) {
            Some(Json::String(key)) if quoted(&key) == *name => Some((key, name)),
            _ => None,
        })
        .collect();
    let prefixes = ["", "a", "a&", "key/7", "\"", "\u{2028}"].map(str::to_owned);
    for prefix in prefixes.into_iter().chain(beginnings(strings.keys())) {
        let mut items: Vec<&String> = strings.iter().filter(|(key, _)| key.starts_with(&prefix)).map(|(_, name)| *name).collect();
        items.sort_unstable();
        let query = format!(r#""op":"MapKeys","Key":{name},"Prefix":{}"#, quoted(&prefix));
        assert_eq!(all_pages(state, &query, limit).iter().collect::<Vec<_>>(), items, "{query}");
    }
    let after: Vec<String> = elements.iter().skip(3).cloned().collect();
    assert_eq!(ask(state, &format!(r#"{{"op":"ListEntries","Key":{name},"After":2}}"#)), format!(r#"{{"items":{}}}"#, array(&after)));
}
