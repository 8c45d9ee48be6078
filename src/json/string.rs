//! What stands between the quotes of a JSON string: escaping, unescaping, and the order of names without either.

use super::scan::{is_plain, plain_length};
use std::borrow::Cow;
use std::cmp::Ordering;

const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

/// Writes UTF-8 text as it stands between the quotes of a canonical string.
pub(crate) fn escape_into(out: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    loop {
        let plain = plain_length(rest);
        out.extend_from_slice(&rest[..plain]);
        rest = &rest[plain..];
        match rest {
            [] => return,
            [0xe2, 0x80, last @ (0xa8 | 0xa9), ..] => {
                out.extend_from_slice(if *last == 0xa8 { b"\\u2028" } else { b"\\u2029" });
                rest = &rest[3..];
            }
            [byte, ..] => {
                escape_byte(out, *byte);
                rest = &rest[1..];
            }
        }
    }
}

/// Writes one byte that is not always plain.
fn escape_byte(out: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match byte {
        b'"' => out.extend_from_slice(b"\\\""),
        b'\\' => out.extend_from_slice(b"\\\\"),
        0x08 => out.extend_from_slice(b"\\b"),
        0x09 => out.extend_from_slice(b"\\t"),
        0x0a => out.extend_from_slice(b"\\n"),
        0x0c => out.extend_from_slice(b"\\f"),
        0x0d => out.extend_from_slice(b"\\r"),
        b'<' | b'>' | b'&' | 0..0x20 => {
            out.extend_from_slice(b"\\u00");
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 15)]);
        }
        _ => out.push(byte),
    }
}

/// What stands between the quotes of a string that the reader has checked, as text. Bytes that are no UTF-8 read as U+FFFD.
pub(crate) fn unescape(content: &[u8]) -> Cow<'_, str> {
    match unescape_bytes(content) {
        Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
        Cow::Owned(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Cow::Owned(text),
            Err(error) => Cow::Owned(String::from_utf8_lossy(error.as_bytes()).into_owned()),
        },
    }
}

/// The same as it is, for who only compares.
pub(crate) fn unescape_bytes(content: &[u8]) -> Cow<'_, [u8]> {
    if !content.contains(&b'\\') {
        return Cow::Borrowed(content);
    }
    let mut out = Vec::with_capacity(content.len());
    decode(content, |bytes| out.extend_from_slice(bytes));
    Cow::Owned(out)
}

/// The canonical spelling of what stands between the quotes of a string that the reader has checked.
pub(crate) fn spelling(content: &[u8]) -> Cow<'_, [u8]> {
    if is_plain(content) {
        return Cow::Borrowed(content);
    }
    let mut out = Vec::with_capacity(content.len() + 8);
    decode(content, |bytes| escape_into(&mut out, bytes));
    Cow::Owned(out)
}

/// Appends the [`spelling`].
pub(crate) fn recode_into(out: &mut Vec<u8>, content: &[u8]) {
    if is_plain(content) {
        out.extend_from_slice(content);
    } else {
        decode(content, |bytes| escape_into(out, bytes));
    }
}

/// Gives out the text of a string piece by piece, each piece being whole characters.
fn decode(content: &[u8], mut emit: impl FnMut(&[u8])) {
    let mut rest = content;
    while !rest.is_empty() {
        let plain = rest.iter().position(|&byte| byte == b'\\').unwrap_or(rest.len());
        if plain > 0 {
            emit(&rest[..plain]);
            rest = &rest[plain..];
            continue;
        }
        let short = match rest.get(1) {
            Some(b'b') => 0x08,
            Some(b'f') => 0x0c,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => {
                let (character, length) = decode_unit(rest);
                emit(character.encode_utf8(&mut [0; 4]).as_bytes());
                rest = &rest[length..];
                continue;
            }
            Some(&byte) => byte,
            // The reader has checked that something follows a backslash.
            None => return,
        };
        emit(&[short]);
        rest = &rest[2..];
    }
}

/// The character of a `\uXXXX`, or of two that are a pair, and how many bytes that takes.
fn decode_unit(text: &[u8]) -> (char, usize) {
    let first = hex(text);
    let second = if text.get(6..8) == Some(b"\\u") { hex(&text[6..]) } else { None };
    match (first, second) {
        (Some(high @ 0xd800..0xdc00), Some(low @ 0xdc00..0xe000)) => {
            let code = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
            (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 12)
        }
        (Some(code), _) => (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 6),
        (None, _) => (char::REPLACEMENT_CHARACTER, text.len().min(6)),
    }
}

/// The four hexadecimal digits behind a `\u`.
fn hex(text: &[u8]) -> Option<u32> {
    let digits = std::str::from_utf8(text.get(2..6)?).ok()?;
    u32::from_str_radix(digits, 16).ok()
}

/// Compares two names by the UTF-8 bytes that they stand for, given what stands between the quotes of their canonical strings.
///
/// Either slice may run on past its closing quote: an unescaped quote ends it. Nothing is unescaped but the one character in
/// which the two differ, which is what makes a search in a text cheap: a canonical spelling is a code without prefixes, so
/// equal beginnings are equal characters.
#[inline]
pub(crate) fn compare_names(a: &[u8], b: &[u8]) -> Ordering {
    let common = common_length(a, b);
    if let (Some(&x), Some(&y)) = (a.get(common), b.get(common))
        && x > b'"'
        && y > b'"'
        && x != b'\\'
        && y != b'\\'
        && !a[common.saturating_sub(5)..common].contains(&b'\\')
    {
        // By far the most names differ in a character that is not escaped.
        return x.cmp(&y);
    }
    let start = character_start(a, common);
    rank(&a[start..]).cmp(&rank(&b[start..]))
}

/// How many bytes are the same from the front, found eight at a time.
#[inline]
fn common_length(a: &[u8], b: &[u8]) -> usize {
    let (a_words, b_words) = (a.as_chunks::<8>().0, b.as_chunks::<8>().0);
    let mut length = 0;
    for (x, y) in a_words.iter().zip(b_words) {
        let difference = u64::from_le_bytes(*x) ^ u64::from_le_bytes(*y);
        if difference != 0 {
            return length + difference.trailing_zeros() as usize / 8;
        }
        length += 8;
    }
    length + a[length..].iter().zip(&b[length..]).take_while(|(x, y)| x == y).count()
}

/// Where the character begins that the byte at `position` belongs to, as far as escapes go: UTF-8 compares like its bytes.
#[inline]
fn character_start(text: &[u8], position: usize) -> usize {
    // Is the backslash at `at` the first byte of an escape? Then the run of backslashes that it ends is odd.
    let begins_escape = |at: usize| text[..=at].iter().rev().take_while(|&&byte| byte == b'\\').count() % 2 == 1;
    if position >= 1 && text[position - 1] == b'\\' && begins_escape(position - 1) {
        return position - 1;
    }
    for back in 2..=5.min(position) {
        let at = position - back;
        if text[at] == b'\\' && text[at + 1] == b'u' && begins_escape(at) {
            return at;
        }
    }
    position
}

/// A number that orders the character that `text` begins with: 0 for the end of the name, otherwise its (first three) bytes.
#[inline]
fn rank(text: &[u8]) -> u32 {
    let bytes = |first: u8, second: u8, third: u8| 1 + u32::from_be_bytes([0, first, second, third]);
    match text {
        [] | [b'"', ..] => 0,
        [b'\\', b'u', digits @ ..] => match digits.get(..4) {
            Some(b"2028") => bytes(0xe2, 0x80, 0xa8),
            Some(b"2029") => bytes(0xe2, 0x80, 0xa9),
            _ => bytes(hex(text).unwrap_or(0) as u8, 0, 0),
        },
        [b'\\', letter, ..] => bytes(
            match letter {
                b'b' => 0x08,
                b'f' => 0x0c,
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                other => *other,
            },
            0,
            0,
        ),
        [first, rest @ ..] => bytes(*first, rest.first().copied().unwrap_or(0), rest.get(1).copied().unwrap_or(0)),
    }
}

/// A text in which every byte that is no UTF-8 is replaced by U+FFFD, as the other implementation of the bucket format reads it.
pub(crate) fn repair_utf8(text: &[u8]) -> Cow<'_, [u8]> {
    if std::str::from_utf8(text).is_ok() {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len() + 16);
    for chunk in text.utf8_chunks() {
        out.extend_from_slice(chunk.valid().as_bytes());
        for _ in chunk.invalid() {
            out.extend_from_slice(REPLACEMENT);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn escaped(text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        escape_into(&mut out, text.as_bytes());
        out
    }

    /// Text in which everything that escaping treats in its own way is frequent.
    fn tricky() -> impl Strategy<Value = String> {
        let character = prop_oneof![
            Just('"'),
            Just('\\'),
            Just('u'),
            Just('0'),
            Just('2'),
            Just('8'),
            Just('c'),
            Just('e'),
            Just('\n'),
            Just('\0'),
            Just('\u{1f}'),
            Just('<'),
            Just('>'),
            Just('&'),
            Just('\u{2028}'),
            Just('\u{2029}'),
            Just('\u{2027}'),
            Just('\u{7f}'),
            Just('é'),
            Just('😀'),
            any::<char>(),
        ];
        proptest::collection::vec(character, 0..8).prop_map(|characters| characters.into_iter().collect())
    }

    proptest! {
        #[test]
        fn names_compare_as_the_bytes_they_stand_for(stem in tricky(), a in tricky(), b in tricky()) {
            let (a, b) = (stem.clone() + &a, stem + &b);
            let expected = a.as_bytes().cmp(b.as_bytes());
            prop_assert_eq!(compare_names(&escaped(&a), &escaped(&b)), expected);
            let mut running_on = escaped(&a);
            running_on.extend_from_slice(b"\":1,\"next\":2}");
            prop_assert_eq!(compare_names(&running_on, &escaped(&b)), expected);
        }

        #[test]
        fn escaping_and_back_is_the_same_text(text in tricky()) {
            let content = escaped(&text);
            prop_assert_eq!(unescape(&content), text.as_str());
            let mut again = Vec::new();
            recode_into(&mut again, &content);
            prop_assert_eq!(again, content);
        }
    }

    #[test]
    fn each_byte_that_is_no_utf8_is_replaced() {
        assert_eq!(repair_utf8(b"a\xe2\x80\"\xff").as_ref(), "a\u{fffd}\u{fffd}\"\u{fffd}".as_bytes());
        assert!(matches!(repair_utf8("é".as_bytes()), Cow::Borrowed(_)));
    }
}
