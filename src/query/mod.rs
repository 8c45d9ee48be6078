//! Queries: questions to one state, as JSON, answered as canonical JSON. `docs/state.md` lists every query with the shape of
//! its answer and its cost.

mod page;
mod request;

use crate::error::Error;
use crate::json::{spelling, unescape, write_string};
use crate::state::{Hashing, Item, MapRef, NameRef, State, ValueRef, write_integer};
use request::{Kind, Request, Requests};
use sha2::{Digest, Sha256};

/// What a query may ask for that is not in the state.
pub trait QueryContext {
    /// Appends the mark as canonical JSON: `{"key":"segment-....json","lm":"2026-03-07T06:35:06.42Z"}`.
    fn write_mark(&self, out: &mut Vec<u8>);

    /// How long ago this replica last saw the whole bucket, in milliseconds.
    fn age_ms(&self) -> u64;

    /// `"applied"`, `"failed"` or `"unknown"`, for a segment of this process.
    fn outcome(&self, segment: &str) -> &'static str;
}

/// A refused query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryError {
    /// The index of the query in the request, where one is to blame.
    pub query: Option<usize>,
    /// The member of the query, where one is to blame.
    pub field: Option<String>,
    /// For people; names query and field.
    pub message: String,
}

impl From<QueryError> for Error {
    fn from(error: QueryError) -> Error {
        let mut converted = Error::invalid(error.message);
        if let Some(query) = error.query {
            converted = converted.with("query", query);
        }
        if let Some(field) = error.field {
            converted = converted.with("field", field);
        }
        converted
    }
}

impl std::fmt::Display for QueryError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for QueryError {}

/// Answers one query, or an array of them by an array, all from `state`. `out` is cleared first, and is empty after an error.
///
/// An array is checked and answered one query after the other; the first that is refused refuses the whole request.
pub fn answer(request: &[u8], state: &State, context: &dyn QueryContext, out: &mut Vec<u8>) -> Result<(), QueryError> {
    out.clear();
    let answered = answer_into(request, state, context, out);
    if answered.is_err() {
        out.clear();
    }
    answered
}

fn answer_into(request: &[u8], state: &State, context: &dyn QueryContext, out: &mut Vec<u8>) -> Result<(), QueryError> {
    let mut requests = Requests::new(request)?;
    let is_array = requests.is_array();
    if is_array {
        out.push(b'[');
    }
    let mut separator: &[u8] = b"";
    while let Some(request) = requests.next()? {
        out.extend_from_slice(separator);
        answer_one(&request, state, context, out)?;
        separator = b",";
    }
    if is_array {
        out.push(b']');
    }
    Ok(())
}

fn answer_one(request: &Request<'_>, state: &State, context: &dyn QueryContext, out: &mut Vec<u8>) -> Result<(), QueryError> {
    match request.kind {
        Kind::ScalarGet => match item(request, state)? {
            Some(item) => found(out, |out| item.write_to(out)),
            None => not_found(out),
        },
        Kind::IntGet => {
            let integer = match item(request, state)? {
                Some(Item::Value(value)) => value.as_integer(),
                _ => 0,
            };
            write_integer(out, integer);
        }
        Kind::MapGet => match entry(request, state)? {
            Some(value) => found(out, |out| value.write(out)),
            None => not_found(out),
        },
        Kind::IntMapGet => write_integer(out, entry(request, state)?.map_or(0, ValueRef::as_integer)),
        Kind::SetContains => {
            let contains = entry(request, state)?.is_some();
            out.extend_from_slice(if contains { b"true" } else { b"false" });
        }
        Kind::SetMembers | Kind::MapKeys | Kind::IntMapKeys => {
            page::write_entries(request, map(request, state)?, out, page::write_key)?;
        }
        Kind::MapEntries => page::write_entries(request, map(request, state)?, out, |out, name, value| {
            page::write_pair(out, name, |out| value.write(out));
        })?,
        Kind::IntMapEntries => page::write_entries(request, map(request, state)?, out, |out, name, value| {
            page::write_pair(out, name, |out| write_integer(out, value.as_integer()));
        })?,
        Kind::ListEntries => {
            let list = if let Some(Item::List(list)) = item(request, state)? { Some(list) } else { None };
            page::write_elements(request, list, out)?;
        }
        Kind::SetLen | Kind::MapLen | Kind::IntMapLen => write_integer(out, map(request, state)?.map_or(0, MapRef::len)),
        Kind::ListLen => {
            let len = if let Some(Item::List(list)) = item(request, state)? { list.len() } else { 0 };
            write_integer(out, len);
        }
        Kind::Names => page::write_names(request, state, out)?,
        Kind::State => state.write_canonical(out),
        Kind::Digest => write_digest(state, context, out),
        Kind::Outcome => {
            let segment = request.string(request::SEGMENT)?;
            write_string(out, context.outcome(&unescape(segment)));
        }
    }
    Ok(())
}

/// What the name that is asked for holds.
fn item<'s>(request: &Request<'_>, state: &'s State) -> Result<Option<Item<'s>>, QueryError> {
    let name = spelling(request.string(request::KEY)?);
    Ok(state.get(NameRef(&name)))
}

/// The map that the name holds.
fn map<'s>(request: &Request<'_>, state: &'s State) -> Result<Option<MapRef<'s>>, QueryError> {
    Ok(if let Some(Item::Map(map)) = item(request, state)? { Some(map) } else { None })
}

/// The entry of the map that is asked for.
fn entry<'s>(request: &Request<'_>, state: &'s State) -> Result<Option<ValueRef<'s>>, QueryError> {
    let map = map(request, state)?;
    let field = if request.kind == Kind::SetContains { request::MEMBER } else { request::MAP_KEY };
    let name = request.key(field)?;
    Ok(map.and_then(|map| map.get(NameRef(&name))))
}

fn found(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(b"{\"found\":true,\"value\":");
    write(out);
    out.push(b'}');
}

fn not_found(out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"found\":false}");
}

fn write_digest(state: &State, context: &dyn QueryContext, out: &mut Vec<u8>) {
    let mut hashing = Hashing(Sha256::new());
    state.write_to(&mut hashing);
    out.extend_from_slice(b"{\"age_ms\":");
    write_integer(out, context.age_ms());
    out.extend_from_slice(b",\"mark\":");
    context.write_mark(out);
    out.extend_from_slice(b",\"sha256\":\"");
    for byte in hashing.0.finalize() {
        for digit in [byte >> 4, byte & 15] {
            out.push(if digit < 10 { b'0' + digit } else { b'a' + digit - 10 });
        }
    }
    out.extend_from_slice(b"\"}");
}
