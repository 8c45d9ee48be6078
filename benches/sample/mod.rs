//! Made-up states and ops, the same in every run.

use bytes::Bytes;
use opjournal::config::Limits;
use opjournal::ops::{Op, read_segment};
use opjournal::state::State;
use std::fmt::Write;

/// A map of this many entries, as the text of a state has it.
pub fn map(entries: usize) -> String {
    let mut text = String::with_capacity(entries * 72 + 16);
    text.push('{');
    for number in 0..entries {
        let separator = if number == 0 { "" } else { "," };
        let _ = write!(text, "{separator}\"\\\"object/{number:08}\\\"\":\"{number:046}\"");
    }
    text.push('}');
    text
}

/// This many names, each an integer, as the text of a state has them between its braces.
pub fn names(names: usize) -> String {
    (0..names).map(|number| format!("\"name/{number:08}\":{number}")).collect::<Vec<_>>().join(",")
}

/// A list of this many elements.
pub fn list(elements: usize) -> String {
    let elements: Vec<String> = (0..elements).map(|number| format!("\"{number:046}\"")).collect();
    format!("[{}]", elements.join(","))
}

pub fn read(text: Bytes) -> State {
    State::read(text, 128).expect("a state")
}

/// Numbers below `below` in an order that no cache foresees.
pub fn scattered(below: usize) -> impl Iterator<Item = usize> {
    let mut number = 1u64;
    std::iter::repeat_with(move || {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((number >> 33) as usize) % below
    })
}

pub fn ops(texts: &[String]) -> Vec<Op> {
    read_segment(segment_body(texts).as_bytes(), &Limits::default()).expect("readable").ops
}

/// The body of a segment.
pub fn segment_body(texts: &[String]) -> String {
    format!("{{\"ops\":[{}]}}", texts.join(","))
}

pub fn map_set(number: usize) -> String {
    format!(r#"{{"op":"MapSet","Key":"m","MapKey":"object/{number:08}","Value":"changed {number:038}"}}"#)
}
