//! Reading JSON text in one pass, without a tree and without recursion.

use super::JsonError;
use super::string::compare_names;
use std::cmp::Ordering;
use std::ops::Range;
use wide::u8x16;

/// What a byte within a string means to the reader.
const PLAIN: u8 = 0;
/// Must be escaped in canonical text only: `<`, `>`, `&`.
const ESCAPED: u8 = 1;
/// May begin U+2028 or U+2029, which must be escaped in canonical text.
const SEPARATOR: u8 = 2;
/// From here on, the byte is never plain.
const QUOTE: u8 = 3;
const BACKSLASH: u8 = 4;
const CONTROL: u8 = 5;

const CLASSES: [u8; 256] = {
    let mut classes = [PLAIN; 256];
    let mut byte = 0;
    while byte < 0x20 {
        classes[byte] = CONTROL;
        byte += 1;
    }
    classes[b'"' as usize] = QUOTE;
    classes[b'\\' as usize] = BACKSLASH;
    classes[b'<' as usize] = ESCAPED;
    classes[b'>' as usize] = ESCAPED;
    classes[b'&' as usize] = ESCAPED;
    classes[0xe2] = SEPARATOR;
    classes
};

/// How many bytes at the front of `text` stand for themselves in a canonical string, whatever surrounds them. Most of what is read are such
/// bytes, so they are looked at sixteen at a time.
#[inline]
pub(super) fn plain_length(text: &[u8]) -> usize {
    let (chunks, rest) = text.as_chunks::<16>();
    for (index, chunk) in chunks.iter().enumerate() {
        let special = special_bytes(u8x16::new(*chunk));
        if special != 0 {
            return index * 16 + special.trailing_zeros() as usize;
        }
    }
    let before = text.len() - rest.len();
    before + rest.iter().position(|&byte| CLASSES[byte as usize] != PLAIN).unwrap_or(rest.len())
}

/// Whether every byte stands for itself in a canonical string, whatever surrounds it.
#[inline]
pub(super) fn is_plain(text: &[u8]) -> bool {
    let has_none = |bytes: [u8; 16]| special_bytes(u8x16::new(bytes)) == 0;
    // The last ones may be looked at twice.
    if let Some(last) = text.last_chunk::<16>() {
        return text.as_chunks::<16>().0.iter().all(|chunk| has_none(*chunk)) && has_none(*last);
    }
    if let (Some(first), Some(last)) = (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        let halves = u128::from(u64::from_ne_bytes(*first)) << 64 | u128::from(u64::from_ne_bytes(*last));
        return has_none(halves.to_ne_bytes());
    }
    text.iter().all(|&byte| CLASSES[byte as usize] == PLAIN)
}

/// A bit for each byte that is not plain, the first byte's being the lowest.
#[inline]
fn special_bytes(bytes: u8x16) -> u32 {
    let all = |byte: u8| u8x16::splat(byte);
    let is_control = bytes.min(all(0x1f)).cmp_eq(bytes);
    // Two pairs differ in one bit each.
    let is_quote_or_and = (bytes | all(b'"' ^ b'&')).cmp_eq(all(b'"' | b'&'));
    let is_angle = (bytes | all(b'<' ^ b'>')).cmp_eq(all(b'<' | b'>'));
    let is_special = is_control | is_quote_or_and | is_angle | bytes.cmp_eq(all(b'\\')) | bytes.cmp_eq(all(0xe2));
    is_special.move_mask().cast_unsigned()
}

const NOT_CANONICAL: &str = "not canonical";

/// An object or array that was opened and not yet closed.
struct Open {
    is_object: bool,
    /// The name before, where names must ascend.
    last: Option<Range<usize>>,
}

/// Reads one text from front to back.
pub(crate) struct Reader<'a> {
    text: &'a [u8],
    position: usize,
    depth: usize,
    open: Vec<Open>,
}

impl<'a> Reader<'a> {
    /// `depth` is how many objects and arrays may enclose each other.
    pub(crate) fn new(text: &'a [u8], depth: usize) -> Reader<'a> {
        Reader { text, position: 0, depth, open: Vec::new() }
    }

    pub(crate) fn text(&self) -> &'a [u8] {
        self.text
    }

    pub(crate) fn position(&self) -> usize {
        self.position
    }

    /// Goes back (or forth) to a place that was read before.
    pub(crate) fn seek(&mut self, position: usize) {
        self.position = position;
        self.open.clear();
    }

    pub(crate) fn fail<T>(&self, message: &'static str) -> Result<T, JsonError> {
        Err(JsonError { offset: self.position, message })
    }

    #[inline]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.text.get(self.position).copied()
    }

    /// Passes over white space, and shows what follows.
    #[inline]
    pub(crate) fn peek_token(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.peek() {
            self.position += 1;
        }
        self.peek()
    }

    #[inline]
    pub(crate) fn advance(&mut self) {
        self.position += 1;
    }

    /// Checks that nothing but white space is left.
    pub(crate) fn end(&mut self) -> Result<(), JsonError> {
        match self.peek_token() {
            None => Ok(()),
            Some(_) => self.fail("text after the end of the value"),
        }
    }

    /// Checks that one more object or array may be opened inside of `level` others.
    #[inline]
    pub(crate) fn check_depth(&self, level: usize) -> Result<(), JsonError> {
        if level >= self.depth { self.fail("nested too deeply") } else { Ok(()) }
    }

    /// Opens the object that stands inside of `level` objects and arrays. True: a member follows, its name is next.
    pub(crate) fn open_object(&mut self, level: usize) -> Result<bool, JsonError> {
        if self.peek_token() != Some(b'{') {
            return self.fail("not a JSON object");
        }
        self.check_depth(level)?;
        self.advance();
        if self.peek_token() == Some(b'}') {
            self.advance();
            return Ok(false);
        }
        Ok(true)
    }

    /// Opens an array. True: an element follows.
    pub(crate) fn open_array(&mut self, level: usize) -> Result<bool, JsonError> {
        if self.peek_token() != Some(b'[') {
            return self.fail("not a JSON array");
        }
        self.check_depth(level)?;
        self.advance();
        if self.peek_token() == Some(b']') {
            self.advance();
            return Ok(false);
        }
        Ok(true)
    }

    /// Reads a member's name and the colon. The range is the name without its quotes, as it is written.
    #[inline]
    pub(crate) fn name(&mut self) -> Result<Range<usize>, JsonError> {
        if self.peek_token() != Some(b'"') {
            return self.fail("a member's name is missing");
        }
        let name = self.string::<false>()?;
        if self.peek_token() != Some(b':') {
            return self.fail("a colon is missing");
        }
        self.advance();
        Ok(name)
    }

    /// After a member's value. True: another member follows; false: the object is closed.
    #[inline]
    pub(crate) fn next_member(&mut self) -> Result<bool, JsonError> {
        self.next_or(b'}')
    }

    /// After an element. True: another follows; false: the array is closed.
    #[inline]
    pub(crate) fn next_element(&mut self) -> Result<bool, JsonError> {
        self.next_or(b']')
    }

    #[inline]
    fn next_or(&mut self, close: u8) -> Result<bool, JsonError> {
        match self.peek_token() {
            Some(b',') => {
                self.advance();
                Ok(true)
            }
            Some(byte) if byte == close => {
                self.advance();
                Ok(false)
            }
            Some(_) => self.fail("a comma is missing"),
            None => self.fail("the text ends too early"),
        }
    }

    /// Passes over one value that stands inside of `level` objects and arrays, checking it. The range has no white space around it.
    #[inline]
    pub(crate) fn skip(&mut self, level: usize) -> Result<Range<usize>, JsonError> {
        let is_string = self.peek_token() == Some(b'"');
        let start = self.position;
        if is_string {
            self.string::<false>()?;
        } else {
            self.skip_value::<false>(level)?;
        }
        Ok(start..self.position)
    }

    /// As [`Reader::skip`], of a value that must be canonical.
    #[inline]
    pub(crate) fn skip_canonical(&mut self, level: usize) -> Result<Range<usize>, JsonError> {
        let start = self.position;
        self.skip_value::<true>(level)?;
        Ok(start..self.position)
    }

    fn skip_value<const CANONICAL: bool>(&mut self, level: usize) -> Result<(), JsonError> {
        let bottom = self.open.len();
        loop {
            match if CANONICAL { self.peek() } else { self.peek_token() } {
                Some(byte @ (b'{' | b'[')) => {
                    self.check_depth(level + self.open.len() - bottom)?;
                    self.advance();
                    let is_object = byte == b'{';
                    let close = if is_object { b'}' } else { b']' };
                    if (if CANONICAL { self.peek() } else { self.peek_token() }) == Some(close) {
                        self.advance();
                    } else {
                        self.open.push(Open { is_object, last: None });
                        if is_object {
                            self.inner_name::<CANONICAL>()?;
                        }
                        continue;
                    }
                }
                _ => self.scalar::<CANONICAL>()?,
            }
            loop {
                if self.open.len() == bottom {
                    return Ok(());
                }
                // `open` is longer than `bottom`, so there is a last one.
                let Some(Open { is_object, .. }) = self.open.last() else { return Ok(()) };
                let is_object = *is_object;
                if CANONICAL && !matches!(self.peek(), Some(b',' | b'}' | b']')) {
                    return self.fail(NOT_CANONICAL);
                }
                let close = if is_object { b'}' } else { b']' };
                if self.next_or(close)? {
                    if is_object {
                        self.inner_name::<CANONICAL>()?;
                    }
                    break;
                }
                self.open.pop();
            }
        }
    }

    /// A member's name inside of a value that is passed over.
    fn inner_name<const CANONICAL: bool>(&mut self) -> Result<(), JsonError> {
        if !CANONICAL {
            self.name()?;
            return Ok(());
        }
        let previous = self.open.last_mut().and_then(|open| open.last.take());
        let name = self.canonical_name(previous)?;
        if let Some(open) = self.open.last_mut() {
            open.last = Some(name);
        }
        Ok(())
    }

    /// Reads a member's name and the colon in canonical text; it must sort after the name before it in the same object.
    #[inline]
    pub(crate) fn canonical_name(&mut self, previous: Option<Range<usize>>) -> Result<Range<usize>, JsonError> {
        if self.peek() != Some(b'"') {
            return self.fail(NOT_CANONICAL);
        }
        // Most are names of entries of maps, which begin and end with `\"`.
        let start = self.position + 1;
        let name = self.rest_of_string::<true>(start, start)?;
        if self.peek() != Some(b':') {
            return self.fail(NOT_CANONICAL);
        }
        if let Some(previous) = previous
            && compare_names(&self.text[previous], &self.text[name.clone()]) != Ordering::Less
        {
            return self.fail(NOT_CANONICAL);
        }
        self.advance();
        Ok(name)
    }

    fn scalar<const CANONICAL: bool>(&mut self) -> Result<(), JsonError> {
        match self.peek() {
            Some(b'"') => self.string::<CANONICAL>().map(|_| ()),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word(b"true"),
            Some(b'f') => self.word(b"false"),
            Some(b'n') => self.word(b"null"),
            Some(_) => self.fail("not a JSON value"),
            None => self.fail("the text ends too early"),
        }
    }

    fn word(&mut self, word: &'static [u8]) -> Result<(), JsonError> {
        if !self.text[self.position..].starts_with(word) {
            return self.fail("not a JSON value");
        }
        self.position += word.len();
        Ok(())
    }

    fn number(&mut self) -> Result<(), JsonError> {
        if self.peek() == Some(b'-') {
            self.advance();
        }
        if self.peek() == Some(b'0') {
            self.advance();
            if let Some(b'0'..=b'9') = self.peek() {
                return self.fail("a number begins with 0");
            }
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.advance();
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.advance();
            if let Some(b'+' | b'-') = self.peek() {
                self.advance();
            }
            self.digits()?;
        }
        Ok(())
    }

    /// At least one digit.
    fn digits(&mut self) -> Result<(), JsonError> {
        let start = self.position;
        while let Some(b'0'..=b'9') = self.peek() {
            self.position += 1;
        }
        if self.position == start { self.fail("a digit is missing") } else { Ok(()) }
    }

    /// Reads a string whose opening quote is next. The range is what stands between the quotes, as it is written.
    #[inline(always)]
    pub(crate) fn string<const CANONICAL: bool>(&mut self) -> Result<Range<usize>, JsonError> {
        // Most strings are short, and plain up to the quote that ends them.
        let start = self.position + 1;
        let mut plain = 0;
        if let Some(chunk) = self.text.get(start..).and_then(<[u8]>::first_chunk::<16>) {
            plain = (special_bytes(u8x16::new(*chunk)).trailing_zeros() as usize).min(chunk.len());
            if chunk.get(plain) == Some(&b'"') {
                self.position = start + plain + 1;
                return Ok(start..start + plain);
            }
        }
        self.rest_of_string::<CANONICAL>(start, start + plain)
    }

    /// Reads on in a string that begins at `start`, from `position`.
    #[inline(never)]
    fn rest_of_string<const CANONICAL: bool>(&mut self, start: usize, mut position: usize) -> Result<Range<usize>, JsonError> {
        let text = self.text;
        loop {
            let Some(&byte) = text.get(position) else {
                self.position = text.len();
                return self.fail("the text ends too early");
            };
            match CLASSES[byte as usize] {
                PLAIN => position += plain_length(&text[position..]),
                QUOTE => {
                    self.position = position + 1;
                    return Ok(start..position);
                }
                BACKSLASH if matches!(text.get(position + 1), Some(b'"' | b'\\')) => position += 2,
                BACKSLASH => {
                    let length = if CANONICAL { canonical_escape(&text[position..]) } else { escape(&text[position..]) };
                    match length {
                        Some(length) => position += length,
                        None => {
                            self.position = position;
                            return self.fail(if CANONICAL { NOT_CANONICAL } else { "not a JSON escape" });
                        }
                    }
                }
                CONTROL => {
                    self.position = position;
                    return self.fail("a control character in a string");
                }
                class if CANONICAL => {
                    if class == ESCAPED || matches!(text.get(position + 1..position + 3), Some([0x80, 0xa8 | 0xa9])) {
                        self.position = position;
                        return self.fail(NOT_CANONICAL);
                    }
                    position += 1;
                }
                _ => position += 1,
            }
        }
    }
}

/// The length of the escape that `text` begins with, if JSON knows it.
fn escape(text: &[u8]) -> Option<usize> {
    match text.get(1)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(2),
        b'u' if text.get(2..6)?.iter().all(u8::is_ascii_hexdigit) => Some(6),
        _ => None,
    }
}

/// The length of the escape that `text` begins with, if it is the canonical spelling of its character.
fn canonical_escape(text: &[u8]) -> Option<usize> {
    match text.get(1)? {
        b'"' | b'\\' | b'b' | b'f' | b'n' | b'r' | b't' => Some(2),
        b'u' => match text.get(2..6)? {
            b"003c" | b"003e" | b"0026" | b"2028" | b"2029" => Some(6),
            [b'0', b'0', b'0', b'0'..=b'7' | b'b' | b'e' | b'f'] => Some(6),
            [b'0', b'0', b'1', b'0'..=b'9' | b'a'..=b'f'] => Some(6),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_told_from_plain_ones_at_every_place() {
        let lengths: &[usize] = if cfg!(miri) { &[0, 1, 17] } else { &[0, 1, 15, 16, 17, 31, 32, 40] };
        for &length in lengths {
            assert_eq!(plain_length(&vec![b'x'; length]), length);
            for place in 0..length {
                for byte in 0..=u8::MAX {
                    let mut text = vec![b'x'; length];
                    text[place] = byte;
                    let expected = if CLASSES[byte as usize] == PLAIN { length } else { place };
                    assert_eq!(plain_length(&text), expected, "{byte:#x} at {place} of {length}");
                    // The first one counts, whatever follows.
                    if place > 0 {
                        text[place - 1] = b'"';
                        assert_eq!(plain_length(&text), place - 1);
                    }
                }
            }
        }
    }
}
