//! Reading a segment's body as it stands in the bucket, whoever wrote it: what is not known is passed over, what is
//! missing is zero, and what cannot be understood makes the whole body unreadable rather than being guessed at.

use super::{Action, Arithmetic, Field, Holds, Kind, LEVELS_AROUND_VALUE, MEMBER_COUNT, MEMBERS, OP, Op};
use crate::config::Limits;
use crate::error::shortened;
use crate::json::{JsonError, Reader, recode_into, repair_utf8, string_content, unescape, write_checked_value, write_key_name};
use crate::state::{Entry, Name, Value, integer_literal};
use crate::time::Stamp;
use std::borrow::Cow;
use std::ops::Range;

/// The greatest `format` that this version reads.
const FORMAT: i64 = 1;

/// A segment's body, read. Members that the other implementation does not write, and that do not hold what they should,
/// count as absent: it passes them over, so that anything may stand there.
#[derive(Clone, Debug, Default)]
pub struct SegmentBody {
    /// Applied in this order, all or none.
    pub ops: Vec<Op>,
    /// Who wrote it.
    pub writer: Option<String>,
    /// Stamped after this, the segment is void.
    pub expires: Option<Stamp>,
    /// How many segments the rollup that the writer held had taken in.
    pub folded: Option<u64>,
    /// When the chain began that `folded` counts in; absent where it goes back to the first segment.
    pub since: Option<Stamp>,
}

/// A count that no namespace reaches (a million folded segments a second for 285 years) is no count.
pub const MOST_FOLDED: u64 = 1 << 53;

/// Why a segment's body cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadableBody {
    pub reason: String,
    /// The body says that it has a format that this version does not know, so that a newer version may read it.
    pub newer_format: bool,
}

impl UnreadableBody {
    fn new(reason: impl Into<String>) -> UnreadableBody {
        UnreadableBody { reason: reason.into(), newer_format: false }
    }
}

impl From<JsonError> for UnreadableBody {
    fn from(error: JsonError) -> UnreadableBody {
        UnreadableBody::new(error.to_string())
    }
}

impl std::fmt::Display for UnreadableBody {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.reason)
    }
}

impl std::error::Error for UnreadableBody {}

/// Reads a segment's body. Bytes that are no UTF-8 read as U+FFFD. Of several members of the same name the last one
/// counts.
pub fn read_segment(body: &[u8], limits: &Limits) -> Result<SegmentBody, UnreadableBody> {
    if body.len() > limits.object_bytes {
        return Err(UnreadableBody::new(format!("{} bytes are more than the limit of {}", body.len(), limits.object_bytes)));
    }
    let text = repair_utf8(body);
    let mut reader = Reader::new(&text, limits.depth);
    if reader.peek_token() == Some(b'n') {
        reader.skip(0)?;
        reader.end()?;
        return Ok(SegmentBody::default());
    }
    let mut segment = SegmentBody::default();
    // Ops of a newer format need not make sense to this version, so that the format is told first, wherever it stands.
    let mut ops = Ok(Vec::new());
    let mut newer_format = None;
    let mut more = reader.open_object(0)?;
    while more {
        let name = reader.name()?;
        let name = unescape(&text[name]);
        reader.peek_token();
        let start = reader.position();
        if name == "ops" {
            ops = read_ops(&mut reader);
            if ops.is_err() {
                reader.seek(start);
                reader.skip(1)?;
            }
        } else {
            let value = reader.skip(1)?;
            let value = &text[value];
            match name.as_ref() {
                "writer" => segment.writer = string(value).map(Cow::into_owned),
                "expires" => segment.expires = string(value).and_then(|text| Stamp::parse(&text)),
                "folded" => {
                    segment.folded = integer_literal(value).and_then(|count| count.try_into().ok()).filter(|count| *count <= MOST_FOLDED)
                }
                "since" => segment.since = string(value).and_then(|text| Stamp::parse(&text)),
                "format" => newer_format = format_beyond(value),
                _ => {}
            }
        }
        more = reader.next_member()?;
    }
    reader.end()?;
    if let Some(format) = newer_format {
        return Err(UnreadableBody {
            reason: format!("format {format} is newer than {FORMAT}, the newest that is known"),
            newer_format: true,
        });
    }
    segment.ops = ops?;
    Ok(segment)
}

/// The text of a `format` that this version does not know, as messages repeat it.
fn format_beyond(value: &[u8]) -> Option<String> {
    let known = value == b"null" || integer_literal(value).is_some_and(|format| format <= FORMAT);
    (!known).then(|| shortened(&String::from_utf8_lossy(value)).into_owned())
}

/// The content of a value that is a string.
fn string(value: &[u8]) -> Option<Cow<'_, str>> {
    string_content(value).map(unescape)
}

fn read_ops(reader: &mut Reader<'_>) -> Result<Vec<Op>, UnreadableBody> {
    let mut ops = Vec::new();
    if reader.peek_token() == Some(b'n') {
        reader.skip(1)?;
        return Ok(ops);
    }
    let mut scratch = Vec::new();
    let mut more = reader.open_array(1)?;
    while more {
        let op = read_op(reader, ops.last(), &mut scratch);
        ops.push(op.map_err(|error| UnreadableBody { reason: format!("op {}: {}", ops.len(), error.reason), ..error })?);
        more = reader.next_element()?;
    }
    Ok(ops)
}

/// The values of an op's known members, as they stand in the text.
struct Fields<'a> {
    text: &'a [u8],
    values: [Option<Range<usize>>; MEMBER_COUNT],
}

/// Reads one op. `last` is the one before: what comes in a row for one name shares it.
fn read_op(reader: &mut Reader<'_>, last: Option<&Op>, scratch: &mut Vec<u8>) -> Result<Op, UnreadableBody> {
    let text = reader.text();
    let mut members = [const { None }; MEMBER_COUNT];
    let mut more = reader.open_object(2)?;
    while more {
        let name = reader.name()?;
        let value = reader.skip(LEVELS_AROUND_VALUE)?;
        if let Some(member) = MEMBERS.index_of(&text[name]) {
            members[member] = Some(value);
        }
        more = reader.next_member()?;
    }
    let op = members[OP].clone().and_then(|op| string_content(&text[op])).ok_or_else(|| UnreadableBody::new("names no op"))?;
    let kind = Kind::named(op).ok_or_else(|| UnreadableBody::new(format!("\"{}\" is no known op", shortened(&unescape(op)))))?;
    let fields = Fields { text, values: members };
    let name = fields.name(last, scratch)?;
    Ok(Op { name, action: fields.action(kind, scratch)? })
}

impl Fields<'_> {
    /// The text of a field that may be missing. `null` where a string or an integer is due is as good as missing.
    fn get(&self, field: Field, holds: Holds) -> Option<&[u8]> {
        let value = &self.text[self.values[field as usize].clone()?];
        let counts = matches!(holds, Holds::Any | Holds::Key) || value != b"null";
        counts.then_some(value)
    }

    fn name(&self, last: Option<&Op>, scratch: &mut Vec<u8>) -> Result<Name, UnreadableBody> {
        let Some(value) = self.get(Field::Key, Holds::Name) else { return Ok(Name::from_spelling(b"")) };
        let content = string_content(value).ok_or_else(|| UnreadableBody::new("Key is no string"))?;
        scratch.clear();
        recode_into(scratch, content);
        match last {
            Some(last) if last.name.spelling() == scratch.as_slice() => Ok(last.name.clone()),
            _ => Ok(Name::from_spelling(scratch)),
        }
    }

    fn int64(&self, field: Field) -> Result<i64, UnreadableBody> {
        match self.get(field, Holds::Int64) {
            None => Ok(0),
            Some(value) => integer_literal(value).ok_or_else(|| UnreadableBody::new(format!("{} is no int64", field.name()))),
        }
    }

    /// The canonical text of any JSON value.
    fn any<'s>(&self, field: Field, scratch: &'s mut Vec<u8>) -> Result<&'s [u8], UnreadableBody> {
        scratch.clear();
        write_checked_value(self.get(field, Holds::Any).unwrap_or(b"null"), scratch)?;
        Ok(scratch)
    }

    fn key(&self, field: Field, scratch: &mut Vec<u8>) -> Result<Name, UnreadableBody> {
        write_key_name(self.get(field, Holds::Key).unwrap_or(b"null"), scratch)?;
        Ok(Name::from_spelling(scratch))
    }

    fn action(&self, kind: Kind, scratch: &mut Vec<u8>) -> Result<Action, UnreadableBody> {
        Ok(match kind {
            Kind::ScalarSet => Action::Set(Entry::from_canonical(self.any(Field::Value, scratch)?)),
            Kind::ScalarDelete => Action::Remove,
            Kind::IntSet => Action::Set(Entry::Value(Value::Integer(self.int64(Field::Value)?))),
            Kind::IntAdd => Action::Compute(Arithmetic::Add(self.int64(Field::Delta)?)),
            Kind::IntMul => Action::Compute(Arithmetic::Multiply(self.int64(Field::Factor)?)),
            Kind::IntDiv => match self.int64(Field::Divisor)? {
                0 => Action::Nothing,
                divisor => Action::Compute(Arithmetic::Divide(divisor)),
            },
            Kind::SetAdd => Action::SetEntry(self.key(Field::Member, scratch)?, Value::True),
            Kind::SetRemove => Action::RemoveEntry(self.key(Field::Member, scratch)?),
            Kind::IntMapSet => {
                let key = self.key(Field::MapKey, scratch)?;
                Action::SetEntry(key, Value::Integer(self.int64(Field::Value)?))
            }
            Kind::IntMapAdd => self.compute_entry(Arithmetic::Add(self.int64(Field::Delta)?), true, scratch)?,
            Kind::IntMapMul => self.compute_entry(Arithmetic::Multiply(self.int64(Field::Factor)?), true, scratch)?,
            Kind::IntMapDiv => match self.int64(Field::Divisor)? {
                0 => Action::Nothing,
                divisor => self.compute_entry(Arithmetic::Divide(divisor), false, scratch)?,
            },
            Kind::IntMapDelete | Kind::MapDelete => Action::RemoveEntry(self.key(Field::MapKey, scratch)?),
            Kind::MapSet => {
                let key = self.key(Field::MapKey, scratch)?;
                Action::SetEntry(key, Value::from_canonical(self.any(Field::Value, scratch)?))
            }
            Kind::ListAppend => Action::Append(Value::from_canonical(self.any(Field::Value, scratch)?)),
        })
    }

    fn compute_entry(&self, arithmetic: Arithmetic, creates: bool, scratch: &mut Vec<u8>) -> Result<Action, UnreadableBody> {
        Ok(Action::ComputeEntry { key: self.key(Field::MapKey, scratch)?, arithmetic, creates })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<SegmentBody, UnreadableBody> {
        read_segment(body.as_bytes(), &Limits::default())
    }

    fn reason(body: &str) -> String {
        let error = read(body).expect_err(body);
        assert!(!error.newer_format, "{body}");
        error.reason
    }

    #[test]
    fn members_that_do_not_hold_what_they_should_are_absent() {
        let body = read(r#"{"ops":[],"writer":"w","expires":"2026-03-07T06:35:06.42Z","folded":7,"more":[{}]}"#).expect("readable");
        assert_eq!((body.writer.as_deref(), body.folded), (Some("w"), Some(7)));
        assert_eq!(body.expires, Stamp::parse("2026-03-07T06:35:06.42Z"));
        let body = read(r#"{"expires":"tomorrow","writer":5,"folded":-1}"#).expect("readable");
        assert!(body.writer.is_none() && body.expires.is_none() && body.folded.is_none() && body.ops.is_empty());
        for empty in ["{}", " null ", r#"{"ops":[]}"#, r#"{"ops":null}"#, r#"{"format":1}"#, r#"{"format":null}"#] {
            assert!(read(empty).expect(empty).ops.is_empty());
        }
    }

    #[test]
    fn a_newer_format_is_told_before_anything_else() {
        for body in [
            r#"{"format":2,"ops":[]}"#,
            r#"{"ops":[{"op":"NotYetInvented"}],"format":2}"#,
            r#"{"ops":{"another":"shape"},"format":2}"#,
            r#"{"format":"2026"}"#,
            r#"{"format":99999999999999999999}"#,
        ] {
            assert!(read(body).expect_err(body).newer_format, "{body}");
        }
    }

    #[test]
    fn what_cannot_be_understood_says_why() {
        for (body, expected) in [
            (r#"{"ops":[{"op":"IntAdd"},{"op":"SetTTL","Key":"a"}]}"#, "op 1: \"SetTTL\" is no known op"),
            (r#"{"ops":[{"Key":"a"}]}"#, "op 0: names no op"),
            (r#"{"ops":[{"op":null}]}"#, "op 0: names no op"),
            (r#"{"ops":[{"op":"IntAdd","Delta":1.0}]}"#, "op 0: Delta is no int64"),
            (r#"{"ops":[{"op":"IntSet","Key":5}]}"#, "op 0: Key is no string"),
            (r#"{"ops":[null]}"#, "op 0: not a JSON object at byte 8"),
            (r#"{"ops":{}}"#, "not a JSON array at byte 7"),
            ("[]", "not a JSON object at byte 0"),
            ("", "not a JSON object at byte 0"),
            (r#"{"ops":[]} x"#, "text after the end of the value at byte 11"),
            (r#"{"ops":[{"op":"IntAdd","Key":"a""#, "the text ends too early at byte 32"),
        ] {
            assert_eq!(reason(body), expected);
        }
        let limits = Limits { object_bytes: 9, ..Limits::default() };
        let error = read_segment(br#"{"ops":[]}"#, &limits).expect_err("too long");
        assert_eq!(error.reason, "10 bytes are more than the limit of 9");
    }

    #[test]
    fn a_reason_is_not_as_long_as_what_it_is_about() {
        let long = "7".repeat(crate::error::LONG_WORDS);
        for body in [format!(r#"{{"ops":[{{"op":"{long}"}}]}}"#), format!(r#"{{"format":{long}}}"#)] {
            assert!(read(&body).expect_err("unreadable").reason.len() < 3_000);
        }
    }

    #[test]
    fn nesting_is_bounded_for_the_whole_body() {
        let body = |depth: usize| format!(r#"{{"ops":[{{"op":"ScalarSet","Value":{}{}}}]}}"#, "[".repeat(depth), "]".repeat(depth));
        assert!(read(&body(125)).is_ok());
        assert_eq!(reason(&body(126)), "nested too deeply at byte 159");
    }
}
