//! JSON text: the one canonical encoding, and reading members without building a tree.
//!
//! Canonical JSON has no white space, sorts the members of an object by the UTF-8 bytes of their names, lets the last of
//! several members of the same name win, keeps a number's text, and escapes as [`write_string`] does. Equal values with equal
//! number texts are equal bytes.
//!
//! Every reader here is iterative, so that no text, however deeply nested, can exhaust the stack of a host's thread.

mod canonical;
mod scan;
mod strict;
mod string;

pub(crate) use canonical::{write_checked_value, write_key_name, write_value};
pub(crate) use scan::Reader;
pub(crate) use strict::{Known, Names, describe, invalid_utf8, nearest, not_utf8, read_known, string_content, suggestion};
pub(crate) use string::{compare_names, escape_into, recode_into, repair_utf8, spelling, unescape};

use std::fmt;
use std::ops::Range;

/// What is wrong with a JSON text, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonError {
    /// The byte at which it was noticed.
    pub offset: usize,
    pub message: &'static str,
}

impl fmt::Display for JsonError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} at byte {}", self.message, self.offset)
    }
}

impl std::error::Error for JsonError {}

/// The members of an object: each name unescaped, and the bytes of the text that hold the value.
pub type Members = Vec<(String, Range<usize>)>;

/// Rewrites one JSON value canonically.
///
/// `depth` is how many objects and arrays may enclose each other. The text must be UTF-8; an escaped surrogate without its
/// partner reads as U+FFFD.
pub fn canonical(text: &[u8], depth: usize) -> Result<Vec<u8>, JsonError> {
    if let Err(error) = std::str::from_utf8(text) {
        return Err(JsonError { offset: error.valid_up_to(), message: "invalid UTF-8" });
    }
    let mut reader = Reader::new(text, depth);
    let mut out = Vec::with_capacity(text.len());
    write_value(&mut reader, 0, &mut out)?;
    reader.end()?;
    Ok(out)
}

/// Writes `s` as a canonical JSON string, with its quotes.
pub fn write_string(out: &mut Vec<u8>, s: &str) {
    out.push(b'"');
    escape_into(out, s.as_bytes());
    out.push(b'"');
}

/// The members of a JSON object in the order of the text. Where a name stands twice, which one counts is the caller's business.
///
/// One pass: the values are checked to be JSON nested no deeper than `depth` (the object itself counts as 1), and left as they
/// are. Bytes within strings of a value that are no UTF-8 are not noticed; in a name they read as U+FFFD.
pub fn members(text: &[u8], depth: usize) -> Result<Members, JsonError> {
    let mut found = Vec::new();
    read_members(text, depth, &mut found)?;
    Ok(found)
}

/// As [`members`], of a text that may be cut off anywhere: the members that are complete, and whether the text was.
pub fn leading_members(text: &[u8], depth: usize) -> (Members, bool) {
    let mut found = Vec::new();
    let complete = read_members(text, depth, &mut found).is_ok();
    (found, complete)
}

fn read_members(text: &[u8], depth: usize, found: &mut Members) -> Result<(), JsonError> {
    let mut reader = Reader::new(text, depth);
    let mut more = reader.open_object(0)?;
    while more {
        let name = reader.name()?;
        let name = unescape(&text[name]).into_owned();
        let value = reader.skip(1)?;
        // Only what follows a value says that it is complete: a number may have been cut off.
        more = reader.next_member()?;
        found.push((name, value));
    }
    reader.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical_text(text: &str) -> String {
        String::from_utf8(canonical(text.as_bytes(), 128).expect("JSON")).expect("UTF-8")
    }

    #[test]
    fn one_encoding() {
        for (text, expected) in [
            (" { \"b\" : 1 , \"a\" : [ 1.50 , -0 , 1E+2 ] } ", r#"{"a":[1.50,-0,1E+2],"b":1}"#),
            (r#"{"a":1,"b":2,"a":3}"#, r#"{"a":3,"b":2}"#),
            (r#"{"z":{"y":1,"x":{"b":1,"a":2}},"a":{"d":1,"c":2}}"#, r#"{"a":{"c":2,"d":1},"z":{"x":{"a":2,"b":1},"y":1}}"#),
            ("\"\\u0041\\/<>&\u{2028}\u{2029}\u{7f}\"", "\"A/\\u003c\\u003e\\u0026\\u2028\\u2029\u{7f}\""),
            (r#""\u0000\u0008\u0009\u000a\u000c\u000D\u001F\"\\""#, r#""\u0000\b\t\n\f\r\u001f\"\\""#),
            (
                r#""\ud83d\ude00 \ud83d \ude00 \ud83dx \ud83d\n \ud83d\ud83d\ude00""#,
                "\"😀 \u{fffd} \u{fffd} \u{fffd}x \u{fffd}\\n \u{fffd}😀\"",
            ),
            (r#"{"\u0061":1,"a":2}"#, r#"{"a":2}"#),
            (
                "{\"\u{e9}\":1,\"z\":2,\"\":3,\"<\":4,\"=\":5,\"\\u2028\":6,\"\u{2027}\":7}",
                "{\"\":3,\"\\u003c\":4,\"=\":5,\"z\":2,\"\u{e9}\":1,\"\u{2027}\":7,\"\\u2028\":6}",
            ),
            ("null", "null"),
            ("[]", "[]"),
            ("[{ }]", "[{}]"),
        ] {
            assert_eq!(canonical_text(text), expected, "{text}");
            assert_eq!(canonical_text(expected), expected, "canonical text is its own canonical text");
        }
    }

    #[test]
    fn what_is_no_json_is_refused_with_its_place() {
        for (text, offset) in [
            ("", 0),
            (" ", 1),
            ("nul", 0),
            ("[1,]", 3),
            ("{\"a\":1,}", 7),
            ("{\"a\" 1}", 5),
            ("{a:1}", 1),
            ("01", 1),
            ("-", 1),
            ("1.", 2),
            ("1e", 2),
            ("+1", 0),
            ("\"a", 2),
            ("\"\\x\"", 1),
            ("\"\\u12g4\"", 1),
            ("\"\n\"", 1),
            ("1 2", 2),
            ("[1", 2),
            ("[1}", 2),
            ("\u{fffd}", 0),
        ] {
            assert_eq!(canonical(text.as_bytes(), 128).expect_err(text).offset, offset, "{text}");
            assert!(members(format!("{{\"v\":{text}}}").as_bytes(), 128).is_err(), "{text}");
        }
        assert_eq!(canonical(b"\"\xff\"", 128), Err(JsonError { offset: 1, message: "invalid UTF-8" }));
    }

    #[test]
    fn nesting_is_bounded_at_the_limit_exactly() {
        for depth in [1, 2, 128] {
            let text = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
            assert!(canonical(text.as_bytes(), depth).is_ok());
            assert_eq!(canonical(text.as_bytes(), depth - 1).expect_err("too deep").message, "nested too deeply");
            let object = format!("{{\"a\":{text}}}");
            assert!(members(object.as_bytes(), depth + 1).is_ok());
            assert!(members(object.as_bytes(), depth).is_err());
        }
        let bottomless = "[".repeat(if cfg!(miri) { 1_000 } else { 1_000_000 });
        assert!(canonical(bottomless.as_bytes(), usize::MAX).is_err());
    }

    #[test]
    fn members_are_found_in_a_text_that_was_cut_off_anywhere() {
        let text = "{ \"proof\" : {\"count\":2} , \"m\\u0061rk\":\"\u{e9}\", \"n\":12,\"state\":{} } ".as_bytes();
        let all = members(text, 128).expect("an object");
        let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["proof", "mark", "n", "state"]);
        assert_eq!(&text[all[0].1.clone()], b"{\"count\":2}");
        assert_eq!(&text[all[2].1.clone()], b"12");
        for cut in 0..text.len() - 1 {
            let (found, complete) = leading_members(&text[..cut], 128);
            assert!(!complete, "cut at {cut}");
            let expected: Vec<_> = all
                .iter()
                .filter(|(_, value)| text[value.end..cut.max(value.end)].iter().any(|byte| b",}".contains(byte)))
                .cloned()
                .collect();
            assert_eq!(found, expected, "cut at {cut}");
        }
        assert_eq!(leading_members(text, 128), (all, true));
    }

    #[test]
    fn only_an_object_has_members() {
        for text in ["null", "[1]", "1", "\"a\"", ""] {
            assert_eq!(members(text.as_bytes(), 128).expect_err(text).message, "not a JSON object");
        }
        assert_eq!(members(b" {} ", 128), Ok(vec![]));
    }
}
