//! Single values: what a map entry or a list element holds, and what a name holds that is neither map nor list.

use std::io::Write;
use std::sync::Arc;

/// An immutable JSON value. Its canonical text is all that can be asked of it, but for integers.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// A number whose text is an int64 as integers are printed.
    Integer(i64),
    /// What every member of a set holds.
    True,
    /// Canonical text.
    Text(Arc<[u8]>),
}

impl Value {
    pub(crate) fn from_canonical(text: &[u8]) -> Value {
        if text == b"true" {
            return Value::True;
        }
        match integer_literal(text) {
            // `-0` is an integer too, but its text must stay.
            Some(integer) if text != b"-0" => Value::Integer(integer),
            _ => Value::Text(text.into()),
        }
    }

    pub(crate) fn as_ref(&self) -> ValueRef<'_> {
        match self {
            Value::Integer(integer) => ValueRef::Integer(*integer),
            Value::True => ValueRef::Text(b"true"),
            Value::Text(text) => ValueRef::Text(text),
        }
    }

    /// The length of the canonical text in bytes.
    pub(crate) fn len(&self) -> usize {
        self.as_ref().len()
    }
}

/// A value, wherever it lies.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ValueRef<'a> {
    Integer(i64),
    /// Canonical text.
    Text(&'a [u8]),
}

impl ValueRef<'_> {
    pub(crate) fn len(self) -> usize {
        match self {
            ValueRef::Integer(integer) => {
                let digits = integer.unsigned_abs().checked_ilog10().unwrap_or(0) as usize + 1;
                digits + usize::from(integer < 0)
            }
            ValueRef::Text(text) => text.len(),
        }
    }

    /// The value as an integer: 0 if it is no number, truncated toward zero if it has a fraction, saturated if it is too large.
    pub(crate) fn as_integer(self) -> i64 {
        match self {
            ValueRef::Integer(integer) => integer,
            ValueRef::Text(text) => integer_of(text),
        }
    }

    pub(crate) fn is_number(self) -> bool {
        match self {
            ValueRef::Integer(_) => true,
            ValueRef::Text(text) => matches!(text.first(), Some(b'-' | b'0'..=b'9')),
        }
    }

    pub(crate) fn write(self, out: &mut Vec<u8>) {
        match self {
            ValueRef::Integer(integer) => write_integer(out, integer),
            ValueRef::Text(text) => out.extend_from_slice(text),
        }
    }
}

pub(crate) fn write_integer(out: &mut Vec<u8>, integer: impl std::fmt::Display) {
    // Writing to a vector cannot fail.
    let _ = write!(out, "{integer}");
}

/// Reads a JSON number that is an int64 without fraction or exponent.
pub(crate) fn integer_literal(text: &[u8]) -> Option<i64> {
    if !matches!(text.first()?, b'-' | b'0'..=b'9') || text.len() > 20 {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn integer_of(text: &[u8]) -> i64 {
    if !matches!(text.first(), Some(b'-' | b'0'..=b'9')) {
        return 0;
    }
    integer_literal(text).unwrap_or_else(|| {
        let float: f64 = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or(0.0);
        // The conversion truncates and saturates.
        float as i64
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_those_of_the_text() {
        for integer in [0, 1, 9, 10, 99, 100, -1, -9, -10, i64::MAX, i64::MIN] {
            let mut text = Vec::new();
            ValueRef::Integer(integer).write(&mut text);
            assert_eq!(text, integer.to_string().as_bytes());
            assert_eq!(ValueRef::Integer(integer).len(), text.len());
            assert!(matches!(Value::from_canonical(&text), Value::Integer(read) if read == integer));
        }
    }

    #[test]
    fn any_number_reads_as_an_integer_and_nothing_else_does() {
        for (text, integer) in [
            ("1.5", 1),
            ("-2.9", -2),
            ("1e3", 1000),
            ("1E-3", 0),
            ("-0", 0),
            ("-0.0", 0),
            ("9223372036854775808", i64::MAX),
            ("-9223372036854775809", i64::MIN),
            ("123456789012345678901234567890", i64::MAX),
            ("-1e400", i64::MIN),
            ("\"5\"", 0),
            ("true", 0),
            ("null", 0),
            ("[1]", 0),
        ] {
            let value = Value::from_canonical(text.as_bytes());
            assert_eq!(value.as_ref().as_integer(), integer, "{text}");
            let mut written = Vec::new();
            value.as_ref().write(&mut written);
            assert_eq!(written, text.as_bytes());
        }
    }
}
