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
    names: &[&str; N],
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
        match index_of_name(names, name) {
            Some(index) if known.values[index].is_some() => return Err(refuse("stands twice".to_owned())),
            Some(index) => known.values[index] = Some(value),
            None => known.unknown = known.unknown.or_else(|| Some(told())),
        }
        more = reader.next_member().map_err(outside)?;
    }
    Ok(known)
}

/// Which of the names stands between these quotes, in whatever spelling. None of them has to be escaped, and who writes one hardly ever does.
pub(crate) fn index_of_name(names: &[&str], content: &[u8]) -> Option<usize> {
    let find = |name: &[u8]| names.iter().position(|known| known.as_bytes() == name);
    find(content).or_else(|| find(&unescape_bytes(content)))
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
