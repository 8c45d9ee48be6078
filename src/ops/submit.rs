//! Checking what a caller hands in, strictly: whatever is doubtful is refused before anything is written.

use super::{Field, Holds, Kind, LEVELS_AROUND_VALUE, MEMBER_COUNT, MEMBERS, OP, OpError, OpErrorKind};
use crate::config::Limits;
use crate::error::shortened;
use crate::json::{
    JsonError, Known, Reader, describe, invalid_utf8, nearest, not_utf8, read_known, recode_into, string_content, suggestion, unescape,
    write_checked_value,
};
use crate::mutant::{self, Mutant};
use crate::state::{integer_literal, write_integer};
use std::borrow::Cow;

/// The members of an op as they stand in the text.
type Members = Known<MEMBER_COUNT>;

/// An accepted submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The ops as canonical text, comma separated: what goes between `"ops":[` and `]` of a segment.
    pub encoded: Vec<u8>,
    /// How many ops.
    pub count: usize,
}

/// Checks and encodes a submission: one op, or an array of at least one.
///
/// Refused are, beside text that is no JSON: unknown ops and members, members that another op has, missing and duplicate members
/// (within values, too), what is no int64 where one is due, bytes that are no UTF-8, nesting with which the segment or a later
/// rollup would be deeper than `limits.depth`, more than `limits.batch_bytes`, and a number within a key that is not spelled `0` or
/// `-?[1-9][0-9]*`: languages print floats differently, so that the same key would get two names.
pub fn submit(text: &[u8], limits: &Limits) -> Result<Batch, OpError> {
    check_size(text.len(), limits)?;
    if mutant::is_on(Mutant::OpsAreNotChecked) {
        let ops = text.strip_prefix(b"[").and_then(|ops| ops.strip_suffix(b"]")).unwrap_or(text);
        return Ok(Batch { encoded: ops.to_vec(), count: 1 });
    }
    let mut submission = Submission {
        reader: Reader::new(text, limits.depth),
        // Where bytes are no UTF-8 is found at once, and told when it is known which op and field they stand in.
        invalid: invalid_utf8(text),
        op: None,
        field: None,
        kind: None,
        encoded: Vec::with_capacity(text.len()),
    };
    let count = submission.read()?;
    check_size(submission.encoded.len(), limits)?;
    Ok(Batch { encoded: submission.encoded, count })
}

fn check_size(bytes: usize, limits: &Limits) -> Result<(), OpError> {
    if bytes <= limits.batch_bytes {
        return Ok(());
    }
    let message = format!("the batch has {bytes} bytes, more than the limit of {} (batch_bytes)", limits.batch_bytes);
    Err(OpError { op: None, field: None, kind: OpErrorKind::TooLarge, message })
}

struct Submission<'t> {
    reader: Reader<'t>,
    invalid: Option<usize>,
    /// What is being read, for messages.
    op: Option<usize>,
    field: Option<Cow<'static, str>>,
    kind: Option<Kind>,
    encoded: Vec<u8>,
}

impl Submission<'_> {
    /// An error at what is being read.
    fn error(&self, message: impl std::fmt::Display) -> OpError {
        let mut place = String::new();
        if let Some(op) = self.op {
            place = format!("op {op}");
            if let Some(kind) = self.kind {
                place = format!("{place} ({})", kind.name());
            }
            if let Some(field) = &self.field {
                place = format!("{place}, field \"{field}\"");
            }
            place.push_str(": ");
        }
        OpError {
            op: self.op,
            field: self.field.clone().map(Cow::into_owned),
            kind: OpErrorKind::Invalid,
            message: format!("{place}{message}"),
        }
    }

    fn json(&self, error: JsonError) -> OpError {
        self.error(describe(&error, self.invalid))
    }

    fn read(&mut self) -> Result<usize, OpError> {
        let mut count = 0;
        match self.reader.peek_token() {
            Some(b'{') => {
                self.op = Some(0);
                self.read_op()?;
                count = 1;
            }
            Some(b'[') => {
                let mut more = self.reader.open_array(0).map_err(|error| self.json(error))?;
                while more {
                    self.op = Some(count);
                    if count > 0 {
                        self.encoded.push(b',');
                    }
                    self.read_op()?;
                    more = self.reader.next_element().map_err(|error| self.json(error))?;
                    count += 1;
                }
            }
            _ => return Err(self.error("a batch is an op (a JSON object) or an array of ops")),
        }
        self.op = None;
        self.reader.end().map_err(|error| self.json(error))?;
        if let Some(offset) = self.invalid {
            return Err(self.error(not_utf8(offset)));
        }
        if count == 0 {
            return Err(self.error("the batch is empty"));
        }
        Ok(count)
    }

    fn read_op(&mut self) -> Result<(), OpError> {
        if self.reader.peek_token() != Some(b'{') {
            return Err(self.error("an op is a JSON object"));
        }
        let members = read_known(&mut self.reader, LEVELS_AROUND_VALUE - 1, &MEMBERS, self.invalid).map_err(|refused| {
            self.field = refused.field.map(Cow::Owned);
            self.error(refused.message)
        })?;
        let kind = self.kind(&members)?;
        self.kind = Some(kind);
        self.check_members(kind, &members)?;
        self.encode(kind, &members)?;
        self.kind = None;
        Ok(())
    }

    /// Which op it is.
    fn kind(&mut self, members: &Members) -> Result<Kind, OpError> {
        self.field = Some(Cow::Borrowed("op"));
        let Some(value) = members.values[OP].clone() else {
            // A misspelt "op" is better told than that it is missing.
            if let Some(unknown) = &members.unknown
                && nearest(unknown, ["op"]).is_some()
            {
                self.field = Some(Cow::Owned(unknown.clone()));
                return Err(self.error("is unknown; did you mean \"op\"?"));
            }
            return Err(self.error("is missing"));
        };
        let content = string_content(&self.reader.text()[value]).ok_or_else(|| self.error("is no string"))?;
        let kind = Kind::named(content).ok_or_else(|| {
            let name = unescape(content);
            let name = shortened(&name);
            self.error(format_args!("\"{name}\" is no known op{}", suggestion(&name, Kind::ALL.map(Kind::name))))
        })?;
        self.field = None;
        Ok(kind)
    }

    /// Checks that the op has the members that it should, and no others.
    fn check_members(&mut self, kind: Kind, members: &Members) -> Result<(), OpError> {
        let fields = kind.fields().iter().map(|(field, _)| field.name());
        if let Some(unknown) = &members.unknown {
            self.field = Some(Cow::Owned(unknown.clone()));
            return Err(self.error(format_args!("is unknown{}", suggestion(unknown, fields.chain(["op"])))));
        }
        for field in Field::ALL {
            let belongs = kind.fields().iter().any(|(own, _)| *own == field);
            if members.values[field as usize].is_some() != belongs {
                self.field = Some(Cow::Borrowed(field.name()));
                return Err(self.error(match belongs {
                    true => "is missing".to_owned(),
                    false => format!("does not belong to this op, whose fields are {}", fields.collect::<Vec<_>>().join(", ")),
                }));
            }
        }
        Ok(())
    }

    fn encode(&mut self, kind: Kind, members: &Members) -> Result<(), OpError> {
        let text = self.reader.text();
        self.encoded.extend_from_slice(b"{\"op\":\"");
        self.encoded.extend_from_slice(kind.name().as_bytes());
        self.encoded.push(b'"');
        for &(field, holds) in kind.fields() {
            // `check_members` has seen that every field is there.
            let Some(range) = members.values[field as usize].clone() else { continue };
            let value = &text[range.clone()];
            self.field = Some(Cow::Borrowed(field.name()));
            self.encoded.extend_from_slice(b",\"");
            self.encoded.extend_from_slice(field.name().as_bytes());
            self.encoded.extend_from_slice(b"\":");
            match holds {
                Holds::Name => {
                    let content = string_content(value).ok_or_else(|| self.error("is no string"))?;
                    self.encoded.push(b'"');
                    recode_into(&mut self.encoded, content);
                    self.encoded.push(b'"');
                }
                Holds::Int64 => {
                    let integer = integer_literal(value).ok_or_else(|| self.error("is no int64"))?;
                    write_integer(&mut self.encoded, integer);
                }
                Holds::Any | Holds::Key => {
                    let start = self.encoded.len();
                    match write_checked_value(value, &mut self.encoded) {
                        Ok(None) => {}
                        Ok(Some(offset)) => {
                            return Err(self.error(format_args!("a member stands twice in an object, at byte {}", range.start + offset)));
                        }
                        Err(error) => return Err(self.error(error)),
                    }
                    if holds == Holds::Key
                        && let Some(number) = odd_number(&self.encoded[start..])
                    {
                        let message = format!("the number {number} in a key must be spelled 0 or -?[1-9][0-9]*");
                        return Err(self.error(message));
                    }
                }
            }
        }
        self.field = None;
        self.encoded.push(b'}');
        Ok(())
    }
}

/// The first number in canonical text that is not spelled `0` or `-?[1-9][0-9]*`, as messages repeat it.
fn odd_number(text: &[u8]) -> Option<String> {
    let mut rest = text;
    while let Some(&byte) = rest.first() {
        let length = match byte {
            b'"' => string_length(rest),
            b'-' | b'0'..=b'9' => {
                let length = rest.iter().position(|byte| matches!(byte, b',' | b']' | b'}')).unwrap_or(rest.len());
                let number = &rest[..length];
                let digits = number.strip_prefix(b"-").unwrap_or(number);
                let is_integer = digits.iter().all(u8::is_ascii_digit);
                if !is_integer || number == b"-0" {
                    return Some(shortened(&String::from_utf8_lossy(number)).into_owned());
                }
                length
            }
            _ => 1,
        };
        rest = &rest[length..];
    }
    None
}

/// The length of the string that canonical text begins with, quotes included.
fn string_length(text: &[u8]) -> usize {
    let mut length = 1;
    while length < text.len() {
        match text[length] {
            b'"' => return length + 1,
            b'\\' => length += 2,
            _ => length += 1,
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: impl AsRef<[u8]>) -> (Option<usize>, Option<String>, String) {
        let error = submit(text.as_ref(), &Limits::default()).expect_err("refused");
        assert_eq!(error.kind, OpErrorKind::Invalid);
        (error.op, error.field, error.message)
    }

    #[test]
    fn ops_are_encoded_canonically() {
        let text = r#" [ {"Key":"a<","Value":{"b":1.50,"a":"\u0041"},"op":"ScalarSet"}, {"op":"MapSet","Value":[ ],"MapKey":{"y":-1,"x":"1.0"},"Key":"m"},
            {"op":"IntMapAdd","Key":"","MapKey":0,"Delta":-9223372036854775808} , {"op":"ScalarDelete","Key":"k"}] "#;
        let batch = submit(text.as_bytes(), &Limits::default()).expect("accepted");
        let expected = concat!(
            r#"{"op":"ScalarSet","Key":"a\u003c","Value":{"a":"A","b":1.50}},"#,
            r#"{"op":"MapSet","Key":"m","MapKey":{"x":"1.0","y":-1},"Value":[]},"#,
            r#"{"op":"IntMapAdd","Key":"","MapKey":0,"Delta":-9223372036854775808},"#,
            r#"{"op":"ScalarDelete","Key":"k"}"#,
        );
        assert_eq!((String::from_utf8_lossy(&batch.encoded).as_ref(), batch.count), (expected, 4));
        let one = submit(br#"{"op":"IntSet","Key":"i","Value":-0}"#, &Limits::default()).expect("accepted");
        assert_eq!((one.encoded.as_slice(), one.count), (br#"{"op":"IntSet","Key":"i","Value":0}"#.as_slice(), 1));
    }

    #[test]
    fn every_kind_of_op_is_accepted_as_the_reader_reads_it() {
        for kind in Kind::ALL {
            let mut op = format!(r#"{{"op":"{}""#, kind.name());
            for (field, holds) in kind.fields() {
                let value = if *holds == Holds::Name { "\"k\"" } else { "1" };
                op = format!(r#"{op},"{}":{value}"#, field.name());
            }
            op.push('}');
            let batch = submit(op.as_bytes(), &Limits::default()).expect(&op);
            assert_eq!(String::from_utf8_lossy(&batch.encoded), op);
            let body = format!(r#"{{"ops":[{op}]}}"#);
            assert_eq!(super::super::read_segment(body.as_bytes(), &Limits::default()).expect(&op).ops.len(), 1);
        }
    }

    #[test]
    fn each_refusal_names_the_place() {
        let at = |op: usize, field: &str, message: &str| (Some(op), Some(field.to_owned()), message.to_owned());
        let good = r#"{"op":"IntAdd","Key":"a","Delta":1}"#;
        for (op, field, message) in [
            (r#"{"op":"IntAd","Key":"a","Delta":1}"#, "op", "op 1, field \"op\": \"IntAd\" is no known op; did you mean \"IntAdd\"?"),
            (r#"{"op":"Qwertz"}"#, "op", "op 1, field \"op\": \"Qwertz\" is no known op"),
            (r#"{"op":7}"#, "op", "op 1, field \"op\": is no string"),
            (r#"{"Key":"a","Delta":1}"#, "op", "op 1, field \"op\": is missing"),
            (r#"{"Op":"IntAdd","Key":"a","Delta":1}"#, "Op", "op 1, field \"Op\": is unknown; did you mean \"op\"?"),
            (r#"{"op":"IntAdd","Key":"a","Dleta":1}"#, "Dleta", "op 1 (IntAdd), field \"Dleta\": is unknown; did you mean \"Delta\"?"),
            (r#"{"op":"IntAdd","Key":"a","Delta":1,"zzz":1}"#, "zzz", "op 1 (IntAdd), field \"zzz\": is unknown"),
            (
                r#"{"op":"IntAdd","Key":"a","Delta":1,"Value":1}"#,
                "Value",
                "op 1 (IntAdd), field \"Value\": does not belong to this op, whose fields are Key, Delta",
            ),
            (r#"{"op":"IntAdd","Key":"a"}"#, "Delta", "op 1 (IntAdd), field \"Delta\": is missing"),
            (r#"{"op":"IntAdd","Delta":1}"#, "Key", "op 1 (IntAdd), field \"Key\": is missing"),
            (r#"{"op":"IntAdd","Key":null,"Delta":1}"#, "Key", "op 1 (IntAdd), field \"Key\": is no string"),
            (r#"{"op":"IntAdd","Key":"a","Delta":1.0}"#, "Delta", "op 1 (IntAdd), field \"Delta\": is no int64"),
            (r#"{"op":"IntAdd","Key":"a","Delta":9223372036854775808}"#, "Delta", "op 1 (IntAdd), field \"Delta\": is no int64"),
            (r#"{"op":"IntAdd","Key":"a","Delta":"1"}"#, "Delta", "op 1 (IntAdd), field \"Delta\": is no int64"),
            (r#"{"op":"IntAdd","Key":"a","Delta":null}"#, "Delta", "op 1 (IntAdd), field \"Delta\": is no int64"),
            (r#"{"op":"IntAdd","Key":"a","Key":"b","Delta":1}"#, "Key", "op 1, field \"Key\": stands twice"),
            (r#"{"op":"IntAdd","op":"IntAdd"}"#, "op", "op 1, field \"op\": stands twice"),
            (
                r#"{"op":"ScalarSet","Key":"a","Value":[{"x":1,"x":2}]}"#,
                "Value",
                "op 1 (ScalarSet), field \"Value\": a member stands twice in an object, at byte 81",
            ),
            (
                r#"{"op":"SetAdd","Key":"a","Member":[1.0]}"#,
                "Member",
                "op 1 (SetAdd), field \"Member\": the number 1.0 in a key must be spelled 0 or -?[1-9][0-9]*",
            ),
            (
                r#"{"op":"MapDelete","Key":"a","MapKey":-0}"#,
                "MapKey",
                "op 1 (MapDelete), field \"MapKey\": the number -0 in a key must be spelled 0 or -?[1-9][0-9]*",
            ),
            (
                r#"{"op":"MapSet","Key":"a","MapKey":{"\"1.5":1e3},"Value":1.5}"#,
                "MapKey",
                "op 1 (MapSet), field \"MapKey\": the number 1e3 in a key must be spelled 0 or -?[1-9][0-9]*",
            ),
            (r#"{"op":"IntAdd","Key":"a","Delta":tru}"#, "Delta", "op 1, field \"Delta\": not a JSON value at byte 70"),
        ] {
            assert_eq!(refusal(format!("[{good},{op}]")), at(1, field, message));
        }
        assert_eq!(refusal("[1]").2, "op 0: an op is a JSON object");
        assert_eq!(refusal("7").2, "a batch is an op (a JSON object) or an array of ops");
        assert_eq!(refusal("[]").2, "the batch is empty");
        assert_eq!(refusal(format!("{good},{good}")).2, "text after the end of the value at byte 35");
        assert_eq!(refusal(format!("[{good}")).2, "op 0: the text ends too early at byte 36");
    }

    #[test]
    fn bytes_that_are_no_utf8_are_refused_with_their_place() {
        let mut text = br#"[{"op":"ScalarDelete","Key":"a"},{"op":"ScalarSet","Key":"b","Value":["?"]}]"#.to_vec();
        let place = text.iter().position(|&byte| byte == b'?').expect("a mark");
        text[place] = 0xff;
        assert_eq!(refusal(&text), (Some(1), Some("Value".to_owned()), format!("op 1, field \"Value\": invalid UTF-8 at byte {place}")));
        assert_eq!(refusal(b"\xff").2, "a batch is an op (a JSON object) or an array of ops");
        assert_eq!(refusal(b"{\"op\":\"ScalarDelete\",\"Key\":\"a\"}\xff").2, "invalid UTF-8 at byte 31");
    }

    #[test]
    fn what_is_accepted_fits_every_object_under_the_same_limit() {
        let limits = Limits { depth: 10, ..Limits::default() };
        let op = |depth: usize| format!(r#"{{"op":"MapSet","Key":"k","MapKey":"m","Value":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
        let batch = submit(op(7).as_bytes(), &limits).expect("accepted");
        let body = [br#"{"ops":["#.as_slice(), &batch.encoded, b"]}"].concat();
        let ops = super::super::read_segment(&body, &limits).expect("readable").ops;
        let mut state = crate::state::State::empty();
        state.apply(&ops);
        let mut rollup = br#"{"state":"#.to_vec();
        state.write_canonical(&mut rollup);
        rollup.push(b'}');
        assert!(crate::json::members(&rollup, limits.depth).is_ok());
        let error = submit(op(8).as_bytes(), &limits).expect_err("too deep");
        assert_eq!(error.message, "op 0, field \"Value\": nested too deeply at byte 53");
    }

    #[test]
    fn size_is_bounded_as_given_and_as_encoded() {
        let limits = Limits { batch_bytes: 64, ..Limits::default() };
        let op = |value: &str| format!(r#"{{"op":"ScalarSet","Key":"k","Value":"{value}"}}"#);
        assert!(submit(op("x").as_bytes(), &limits).is_ok());
        for value in ["x".repeat(64), "<".repeat(10)] {
            let error = submit(op(&value).as_bytes(), &limits).expect_err("too large");
            assert_eq!(error.kind, OpErrorKind::TooLarge);
            assert!(error.message.contains("more than the limit of 64 (batch_bytes)"), "{}", error.message);
            let error = crate::Error::from(error);
            assert_eq!(error.status, crate::Status::TooLarge);
        }
    }

    #[test]
    fn an_error_is_not_as_long_as_what_it_is_about() {
        let long = "x".repeat(crate::error::LONG_WORDS);
        let digits = "1".repeat(crate::error::LONG_WORDS);
        for text in [
            format!(r#"{{"op":"{long}"}}"#),
            format!(r#"{{"op":"IntAdd","Key":"a","Delta":1,"{long}":1}}"#),
            format!(r#"{{"op":"IntAdd","{long}":tru}}"#),
            format!(r#"{{"op":"SetAdd","Key":"a","Member":{digits}.5}}"#),
        ] {
            let error = crate::Error::from(submit(text.as_bytes(), &Limits::default()).expect_err("refused"));
            assert!(error.to_json().to_string().len() < 3_000, "{}", error.message);
        }
    }

    #[test]
    fn errors_carry_the_place_for_programs() {
        let error = submit(br#"{"op":"IntAdd","Key":"a"}"#, &Limits::default()).expect_err("refused");
        let error = crate::Error::from(error);
        assert_eq!(error.status, crate::Status::Invalid);
        assert_eq!(error.details["op"], 0);
        assert_eq!(error.details["field"], "Delta");
    }
}
