//! The collection queries: everything at once, or page by page.
//!
//! A page begins behind `After`, is found by search, and costs what it holds, however long the collection is. What was removed
//! since the base was read still takes a step.

use super::QueryError;
use super::request::{AFTER, PREFIX, Request};
use crate::json::{Reader, canonical, compare_names, escape_into, members, recode_into, spelling, string_content, unescape};
use crate::state::{Item, ListRef, MapRef, NameRef, State, ValueRef, integer_literal, write_integer};
use std::cmp::Ordering;
use std::ops::Bound;

/// How deep a key may be nested that is shown as a JSON value.
const KEY_DEPTH: usize = 128;

/// Writes the items as an array, or, where a page is asked for, as `{"items":[...],"next":...}`; `next` stands there if more items
/// follow and is written by `cursor` from the page's last item.
fn write_page<T>(
    request: &Request<'_>,
    items: impl Iterator<Item = T>,
    out: &mut Vec<u8>,
    mut item: impl FnMut(&mut Vec<u8>, &T),
    cursor: impl FnOnce(&mut Vec<u8>, &T),
) -> Result<(), QueryError> {
    let limit = request.limit()?.unwrap_or(usize::MAX);
    let is_paged = request.is_paged();
    if is_paged {
        out.extend_from_slice(b"{\"items\":");
    }
    out.push(b'[');
    let mut last = None;
    let mut next = None;
    for (written, value) in items.enumerate() {
        if written == limit {
            next = last;
            break;
        }
        if written > 0 {
            out.push(b',');
        }
        item(out, &value);
        last = Some(value);
    }
    out.push(b']');
    if let Some(last) = next {
        out.extend_from_slice(b",\"next\":");
        cursor(out, &last);
    }
    if is_paged {
        out.push(b'}');
    }
    Ok(())
}

/// Writes the entries of a map, those asked for, each by `item` from the spelling of its name and its value.
pub(super) fn write_entries(
    request: &Request<'_>,
    map: Option<MapRef<'_>>,
    out: &mut Vec<u8>,
    item: impl Fn(&mut Vec<u8>, &[u8], ValueRef<'_>),
) -> Result<(), QueryError> {
    let after = match request.get(AFTER) {
        Some(value) => Some(match verbatim(value) {
            Some(spelling) => spelling,
            None => request.key(AFTER)?,
        }),
        None => None,
    };
    let prefix = match request.get(PREFIX) {
        Some(_) => {
            // The encoded key of every string with this prefix begins with a quote and the escaped prefix.
            let mut key = vec![b'"'];
            recode_into(&mut key, request.string(PREFIX)?);
            let mut spelling = Vec::with_capacity(key.len() + 8);
            escape_into(&mut spelling, &key);
            Some(spelling)
        }
        None => None,
    };
    let is_asked_for = |name: &[u8]| prefix.is_none() || is_canonical_key(unescape(name).as_bytes());
    let entries = map.into_iter().flat_map(|map| map.entries(start(after.as_deref(), prefix.as_deref())));
    let entries = entries.take_while(|(name, _)| prefix.as_deref().is_none_or(|prefix| name.starts_with(prefix)));
    let entries = entries.filter(|(name, _)| is_asked_for(name));
    write_page(request, entries, out, |out, (name, value)| item(out, name, *value), |out, (name, _)| write_cursor(out, name))
}

/// Writes the elements of a list, those asked for. `After` and `next` are indexes.
pub(super) fn write_elements(request: &Request<'_>, list: Option<ListRef<'_>>, out: &mut Vec<u8>) -> Result<(), QueryError> {
    let first = match request.get(AFTER) {
        Some(value) => match integer_literal(value).map(usize::try_from) {
            Some(Ok(after)) => after.saturating_add(1),
            _ => return Err(request.error(AFTER, "is no index (an integer of at least 0)")),
        },
        None => 0,
    };
    let elements = list.into_iter().flat_map(|list| list.from(first)).zip(first..);
    write_page(request, elements, out, |out, (value, _)| value.write(out), |out, (_, index)| write_integer(out, index))
}

/// Writes the names of a state, those asked for. `After`, `Prefix` and `next` are names.
pub(super) fn write_names(request: &Request<'_>, state: &State, out: &mut Vec<u8>) -> Result<(), QueryError> {
    let named = |field| request.get(field).map(|_| request.string(field).map(spelling)).transpose();
    let (after, prefix) = (named(AFTER)?, named(PREFIX)?);
    let names = state.items(start(after.as_deref(), prefix.as_deref()));
    let names = names.take_while(|(name, _)| prefix.as_deref().is_none_or(|prefix| name.starts_with(prefix)));
    write_page(request, names, out, write_name, |out, (name, _)| write_quoted(out, name))
}

/// Writes what `Names` tells of a name: `{"len":...,"name":...,"shape":...}`.
fn write_name(out: &mut Vec<u8>, (name, item): &(&[u8], Item<'_>)) {
    let (len, shape) = match item {
        Item::Value(value) => (0, if value.is_number() { "int" } else { "scalar" }),
        Item::Map(map) => (map.len(), "map"),
        Item::List(list) => (list.len(), "list"),
    };
    out.extend_from_slice(b"{\"len\":");
    write_integer(out, len);
    out.extend_from_slice(b",\"name\":");
    write_quoted(out, name);
    out.extend_from_slice(b",\"shape\":\"");
    out.extend_from_slice(shape.as_bytes());
    out.extend_from_slice(b"\"}");
}

/// Where a page begins that is behind `after` and not before `prefix`.
fn start<'n>(after: Option<&'n [u8]>, prefix: Option<&'n [u8]>) -> Bound<NameRef<'n>> {
    match (after, prefix) {
        (Some(after), Some(prefix)) if compare_names(after, prefix) == Ordering::Less => Bound::Included(NameRef(prefix)),
        (Some(after), _) => Bound::Excluded(NameRef(after)),
        (None, Some(prefix)) => Bound::Included(NameRef(prefix)),
        (None, None) => Bound::Unbounded,
    }
}

fn write_quoted(out: &mut Vec<u8>, spelling: &[u8]) {
    out.push(b'"');
    out.extend_from_slice(spelling);
    out.push(b'"');
}

/// Writes the key of a map entry: the JSON value that its name encodes, or the name as a string if it encodes none.
pub(super) fn write_key(out: &mut Vec<u8>, name: &[u8], _value: ValueRef<'_>) {
    let key = unescape(name);
    if is_canonical_key(key.as_bytes()) {
        out.extend_from_slice(key.as_bytes());
    } else if let Ok(text) = canonical(key.as_bytes(), KEY_DEPTH) {
        out.extend_from_slice(&text);
    } else {
        write_quoted(out, name);
    }
}

/// Writes `[key,value]`.
pub(super) fn write_pair(out: &mut Vec<u8>, name: &[u8], value: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'[');
    write_key(out, name, ValueRef::Text(b""));
    out.push(b',');
    value(out);
    out.push(b']');
}

/// Whether a name is how a key is encoded. Others come from objects that were set as plain values.
fn is_canonical_key(key: &[u8]) -> bool {
    let mut reader = Reader::new(key, KEY_DEPTH);
    reader.skip_canonical(0).is_ok_and(|read| read.end == key.len())
}

/// Writes what `After` must be to go on behind this entry: its key; or `{"":NAME}` with the name itself, where the key would not
/// lead back to the name, or is `null`, which many a reader of JSON does not tell from an absent `next`.
fn write_cursor(out: &mut Vec<u8>, name: &[u8]) {
    let start = out.len();
    write_key(out, name, ValueRef::Text(b""));
    let key = &out[start..];
    if key == b"null" || verbatim(key).is_some() || !is_canonical_key(unescape(name).as_bytes()) {
        out.truncate(start);
        out.extend_from_slice(b"{\"\":");
        write_quoted(out, name);
        out.push(b'}');
    }
}

/// The spelling of the name in an `After` of the form `{"":NAME}`.
fn verbatim(value: &[u8]) -> Option<Vec<u8>> {
    if value.first() != Some(&b'{') {
        return None;
    }
    let members = members(value, KEY_DEPTH).ok()?;
    let [(name, range)] = members.as_slice() else { return None };
    if !name.is_empty() {
        return None;
    }
    Some(spelling(string_content(&value[range.clone()])?).into_owned())
}
