//! Any bytes as a batch: what is accepted, and how it is encoded, against a second reading of the rules; and what is accepted does
//! the same whether it is read as it was handed in or as it was encoded.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use opjournal::config::Limits;
use opjournal::ops::{read_segment, submit};
use opjournal::state::State;
use opjournal_fuzz::check_error;
use opjournal_fuzz::model::{Json, Model, quoted, text};

const BASE: &[u8] = br#"{"i":7,"l":[1,"two"],"m":{"\"a\"":1,"\"b\"":2.5,"3":true},"s":"text"}"#;

/// Each op with its fields in the order in which they are written.
const OPS: [(&str, &[&str]); 16] = [
    ("ScalarSet", &["Key", "Value"]),
    ("ScalarDelete", &["Key"]),
    ("IntSet", &["Key", "Value"]),
    ("IntAdd", &["Key", "Delta"]),
    ("IntMul", &["Key", "Factor"]),
    ("IntDiv", &["Key", "Divisor"]),
    ("SetAdd", &["Key", "Member"]),
    ("SetRemove", &["Key", "Member"]),
    ("IntMapSet", &["Key", "MapKey", "Value"]),
    ("IntMapAdd", &["Key", "MapKey", "Delta"]),
    ("IntMapMul", &["Key", "MapKey", "Factor"]),
    ("IntMapDiv", &["Key", "MapKey", "Divisor"]),
    ("IntMapDelete", &["Key", "MapKey"]),
    ("MapSet", &["Key", "MapKey", "Value"]),
    ("MapDelete", &["Key", "MapKey"]),
    ("ListAppend", &["Key", "Value"]),
];

fuzz_target!(|data: &[u8]| {
    check(data, &Limits::default());
    check(data, &Limits { batch_bytes: 120, depth: 6, ..Limits::default() });
});

fn check(data: &[u8], limits: &Limits) {
    let expected = encode(data, limits);
    match submit(data, limits) {
        Ok(batch) => {
            let encoded = String::from_utf8(batch.encoded).expect("UTF-8");
            let (text, count) = expected.unwrap_or_else(|| panic!("accepted: {encoded}"));
            assert_eq!((&encoded, batch.count), (&text, count));
            let again = submit(format!("[{encoded}]").as_bytes(), &Limits { batch_bytes: usize::MAX, ..limits.clone() });
            assert_eq!(again.expect("what was encoded is accepted").encoded, encoded.as_bytes());
            check_effect(data, &encoded, limits);
        }
        Err(error) => {
            assert!(expected.is_none(), "refused: {error}");
            if let Some(op) = error.op {
                assert!(error.message.starts_with(&format!("op {op}")), "{error}");
            }
            assert!(error.field.is_none() || error.op.is_some(), "{error}");
            let converted = opjournal::Error::from(error.clone());
            assert_eq!(converted.details.get("op").and_then(|op| op.as_u64()), error.op.map(|op| op as u64));
            check_error(&converted);
        }
    }
}

/// How the rules say that a batch is encoded, and how many ops it has; nothing where it is to be refused.
fn encode(data: &[u8], limits: &Limits) -> Option<(String, usize)> {
    let whole = (data.len() <= limits.batch_bytes).then_some(std::str::from_utf8(data).ok()?)?;
    let ops = match Json::read(whole, limits.depth)? {
        Json::Array(ops) if !ops.is_empty() => ops,
        op @ Json::Object(_) => vec![op],
        _ => return None,
    };
    let texts = ops.iter().map(|op| encode_op(op, limits)).collect::<Option<Vec<_>>>()?;
    let text = texts.join(",");
    (text.len() <= limits.batch_bytes).then_some((text, ops.len()))
}

fn encode_op(op: &Json, limits: &Limits) -> Option<String> {
    let Json::Object(members) = op else { return None };
    let Some(Json::String(kind)) = op.get("op") else { return None };
    let (_, fields) = OPS.iter().find(|(known, _)| known == kind)?;
    if members.len() != fields.len() + 1 {
        return None;
    }
    let mut text = format!("{{\"op\":\"{kind}\"");
    for &field in *fields {
        let value = op.get(field)?;
        // Three objects and arrays are around it in a segment.
        if value.has_double_members() || Json::read(&value.text(), limits.depth - 3).is_none() {
            return None;
        }
        let value = match (field, value) {
            ("Key", Json::String(name)) => quoted(name),
            ("Key", _) => return None,
            ("Value", value) if !kind.starts_with("Int") => value.text(),
            ("MapKey" | "Member", key) if numbers_are_plain(key) => key.text(),
            ("MapKey" | "Member", _) => return None,
            (_, Json::Number(number)) => number.parse::<i64>().ok()?.to_string(),
            _ => return None,
        };
        text.push_str(&format!(",\"{field}\":{value}"));
    }
    text.push('}');
    Some(text)
}

/// Whether every number in a key is spelled `0` or `-?[1-9][0-9]*`.
fn numbers_are_plain(key: &Json) -> bool {
    match key {
        Json::Number(text) => text == "0" || text.trim_start_matches('-').bytes().all(|digit| digit.is_ascii_digit()) && text != "-0",
        Json::Array(elements) => elements.iter().all(numbers_are_plain),
        Json::Object(members) => members.iter().all(|(_, value)| numbers_are_plain(value)),
        _ => true,
    }
}

fn check_effect(data: &[u8], encoded: &str, limits: &Limits) {
    let whole = String::from_utf8_lossy(data);
    let handed_in = whole.trim();
    let handed_in = if handed_in.starts_with('[') { handed_in.to_owned() } else { format!("[{handed_in}]") };
    let mut model = Model::read(BASE).expect("a state");
    assert!(model.replay(format!("{{\"ops\":[{encoded}]}}").as_bytes()));
    for ops in [handed_in, format!("[{encoded}]")] {
        let body = format!("{{\"ops\":{ops}}}");
        let mut state = State::read(Bytes::from_static(BASE), limits.depth).expect("a state");
        state.apply(&read_segment(body.as_bytes(), limits).unwrap_or_else(|error| panic!("{body}: {error}")).ops);
        assert_eq!(text(&state), model.text());
        assert_eq!(text(&state.compact()), model.text());
        let rollup = format!("{{\"state\":{}}}", text(&state));
        assert!(opjournal::json::members(rollup.as_bytes(), limits.depth).is_ok(), "a rollup with it can be read");
    }
}
