//! Reading what a caller wrote: nothing is passed over, and every refusal names the member that is to blame.

use super::JsonError;
use super::scan::Reader;
use super::string::{unescape, unescape_bytes};
use crate::error::shortened;
use std::ops::Range;

/// The members of an object, by the index of their name among those that are known, as ranges of the text.
pub(crate) struct Known<const N: usize> {
    pub(crate) values: [Option<Range<usize>>; N],
    /// The first member that is not known, as messages repeat it.
    pub(crate) unknown: Option<String>,
}

/// Why an object was refused.
pub(crate) struct Refused {
    pub(crate) field: Option<String>,
    pub(crate) message: String,
}

/// Where a text is no UTF-8.
pub(crate) fn invalid_utf8(text: &[u8]) -> Option<usize> {
    std::str::from_utf8(text).err().map(|error| error.valid_up_to())
}

/// The message for a text that cannot be read on, of which `invalid` is the first byte that is no UTF-8.
pub(crate) fn describe(error: &JsonError, invalid: Option<usize>) -> String {
    match invalid {
        Some(offset) if offset <= error.offset => not_utf8(offset),
        _ => error.to_string(),
    }
}

pub(crate) fn not_utf8(offset: usize) -> String {
    format!("invalid UTF-8 at byte {offset}")
}

/// Reads the object that is next, inside of `level` others. No known name may stand twice.
pub(crate) fn read_known<const N: usize>(
    reader: &mut Reader<'_>,
    level: usize,
    names: &Names<N>,
    invalid: Option<usize>,
) -> Result<Known<N>, Refused> {
    let text = reader.text();
    let mut known = Known { values: [const { None }; N], unknown: None };
    let outside = |error: JsonError| Refused { field: None, message: describe(&error, invalid) };
    let start = reader.position();
    let mut more = reader.open_object(level).map_err(outside)?;
    while more {
        let name = reader.name().map_err(outside)?;
        let name = &text[name];
        let told = || shortened(&unescape(name)).into_owned();
        let refuse = |message: String| Refused { field: Some(told()), message };
        let value = reader.skip(level + 1).map_err(|error| refuse(describe(&error, invalid)))?;
        if let Some(offset) = invalid
            && (start..value.end).contains(&offset)
        {
            return Err(refuse(not_utf8(offset)));
        }
        match names.index_of(name) {
            Some(index) if known.values[index].is_some() => return Err(refuse("stands twice".to_owned())),
            Some(index) => known.values[index] = Some(value),
            None => known.unknown = known.unknown.or_else(|| Some(told())),
        }
        more = reader.next_member().map_err(outside)?;
    }
    Ok(known)
}

/// Names that are known, of at most 16 bytes each, so that a name is found by comparing one number with each.
pub(crate) struct Names<const N: usize> {
    names: [&'static str; N],
    packed: [u128; N],
}

impl<const N: usize> Names<N> {
    pub(crate) const fn new(names: [&'static str; N]) -> Names<N> {
        let mut packed = [0; N];
        let mut index = 0;
        while index < N {
            let name = names[index].as_bytes();
            assert!(!name.is_empty() && name.len() <= 16, "a name has at most as many bytes as a u128");
            let mut at = 0;
            while at < name.len() {
                packed[index] |= (name[at] as u128) << (8 * at);
                at += 1;
            }
            index += 1;
        }
        Names { names, packed }
    }

    pub(crate) const fn name(&self, index: usize) -> &'static str {
        self.names[index]
    }

    /// Which of them stands between these quotes, in whatever spelling. None of them has to be escaped, and who writes one hardly ever does.
    pub(crate) fn index_of(&self, content: &[u8]) -> Option<usize> {
        let find = |name: &[u8]| {
            let wanted = packed(name)?;
            let index = self.packed.iter().position(|known| *known == wanted)?;
            // Zero bytes at its end do not show.
            (self.names[index].len() == name.len()).then_some(index)
        };
        find(content).or_else(|| content.contains(&b'\\').then(|| find(&unescape_bytes(content))).flatten())
    }
}

/// The bytes of a name as a number, the first one the lowest.
#[inline]
fn packed(name: &[u8]) -> Option<u128> {
    let shift = |kept: usize| 8 * (name.len() - kept);
    // The two halves may share bytes.
    if let (Some(first), Some(last)) = (name.first_chunk::<8>(), name.last_chunk::<8>()) {
        let (first, last) = (u64::from_le_bytes(*first), u64::from_le_bytes(*last));
        return (name.len() <= 16).then(|| u128::from(first) | u128::from(last) << shift(8));
    }
    if let (Some(first), Some(last)) = (name.first_chunk::<4>(), name.last_chunk::<4>()) {
        let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
        return Some(u128::from(first) | u128::from(last) << shift(4));
    }
    Some(name.iter().rev().fold(0, |number, byte| number << 8 | u128::from(*byte)))
}

/// What stands between the quotes of a value that is a string.
pub(crate) fn string_content(value: &[u8]) -> Option<&[u8]> {
    value.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

/// `; did you mean "..."?`, where a known name is near.
pub(crate) fn suggestion<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    match nearest(name, known) {
        Some(near) => format!("; did you mean \"{near}\"?"),
        None => String::new(),
    }
}

/// The known name that `name` is most likely meant to be.
pub(crate) fn nearest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    const LEAST: f64 = 0.7;
    let lower = name.to_ascii_lowercase();
    let similarity = |candidate: &str| strsim::jaro_winkler(&lower, &candidate.to_ascii_lowercase());
    let candidates = known.into_iter().map(|candidate| (similarity(candidate), candidate));
    candidates.filter(|(similarity, _)| *similarity >= LEAST).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_however_long_they_are_and_however_they_are_spelled() {
        const ALL: [&str; 8] = ["a", "ab", "abc", "abcd", "abcdefg", "abcdefgh", "abcdefghijklmno", "abcdefghijklmnop"];
        const NAMES: Names<8> = Names::new(ALL);
        for (index, name) in ALL.into_iter().enumerate() {
            assert_eq!((NAMES.index_of(name.as_bytes()), NAMES.name(index)), (Some(index), name));
            let escaped = format!("{}\\u{:04x}", &name[..name.len() - 1], u32::from(name.as_bytes()[name.len() - 1]));
            assert_eq!(NAMES.index_of(escaped.as_bytes()), Some(index), "{escaped}");
        }
        for unknown in ["", "b", "abd", "abcde", "abcdefgi", "abcdefghijklmnoq", "abcdefghijklmnopq", "a\\u0000", "abcd\\u0000", "\\u0000"]
        {
            assert_eq!(NAMES.index_of(unknown.as_bytes()), None, "{unknown}");
        }
    }
}
