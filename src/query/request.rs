//! Reading a request: one query, or an array of them. Strict about what is asked, but any key may be asked for.

use super::QueryError;
use crate::error::shortened;
use crate::json::{
    Known, Names, Reader, describe, invalid_utf8, not_utf8, read_known, string_content, suggestion, unescape, write_key_name,
};
use crate::state::integer_literal;

/// How deep a request may be nested.
const DEPTH: usize = 128;

/// The members that a query may have.
static MEMBERS: Names<MEMBER_COUNT> = Names::new(["op", "Key", "MapKey", "Member", "Limit", "After", "Prefix", "Segment"]);
const MEMBER_COUNT: usize = 8;

pub(super) type Field = usize;
const OP: Field = 0;
pub(super) const KEY: Field = 1;
pub(super) const MAP_KEY: Field = 2;
pub(super) const MEMBER: Field = 3;
pub(super) const LIMIT: Field = 4;
pub(super) const AFTER: Field = 5;
pub(super) const PREFIX: Field = 6;
pub(super) const SEGMENT: Field = 7;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    ScalarGet,
    IntGet,
    MapGet,
    IntMapGet,
    SetContains,
    SetMembers,
    MapKeys,
    IntMapKeys,
    MapEntries,
    IntMapEntries,
    ListEntries,
    SetLen,
    MapLen,
    IntMapLen,
    ListLen,
    Names,
    State,
    Digest,
    Age,
    Metrics,
    Outcome,
}

impl Kind {
    const ALL: [(Kind, &'static str); 21] = [
        (Kind::MapGet, "MapGet"),
        (Kind::ScalarGet, "ScalarGet"),
        (Kind::IntGet, "IntGet"),
        (Kind::IntMapGet, "IntMapGet"),
        (Kind::SetContains, "SetContains"),
        (Kind::SetMembers, "SetMembers"),
        (Kind::MapKeys, "MapKeys"),
        (Kind::IntMapKeys, "IntMapKeys"),
        (Kind::MapEntries, "MapEntries"),
        (Kind::IntMapEntries, "IntMapEntries"),
        (Kind::ListEntries, "ListEntries"),
        (Kind::SetLen, "SetLen"),
        (Kind::MapLen, "MapLen"),
        (Kind::IntMapLen, "IntMapLen"),
        (Kind::ListLen, "ListLen"),
        (Kind::Names, "Names"),
        (Kind::State, "State"),
        (Kind::Digest, "Digest"),
        (Kind::Age, "Age"),
        (Kind::Metrics, "Metrics"),
        (Kind::Outcome, "Outcome"),
    ];

    /// The kind whose name stands between these quotes.
    fn named(content: &[u8]) -> Option<Kind> {
        static NAMES: Names<{ Kind::ALL.len() }> = Names::new({
            let mut names = [""; Kind::ALL.len()];
            let mut index = 0;
            while index < names.len() {
                names[index] = Kind::ALL[index].1;
                index += 1;
            }
            names
        });
        NAMES.index_of(content).map(|index| Kind::ALL[index].0)
    }

    fn name(self) -> &'static str {
        Kind::ALL.iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }

    /// The members that this query must have, and those that it may have.
    fn fields(self) -> (&'static [Field], &'static [Field]) {
        match self {
            Kind::ScalarGet | Kind::IntGet | Kind::SetLen | Kind::MapLen | Kind::IntMapLen | Kind::ListLen => (&[KEY], &[]),
            Kind::MapGet | Kind::IntMapGet => (&[KEY, MAP_KEY], &[]),
            Kind::SetContains => (&[KEY, MEMBER], &[]),
            Kind::SetMembers | Kind::MapKeys | Kind::IntMapKeys | Kind::MapEntries | Kind::IntMapEntries => {
                (&[KEY], &[LIMIT, AFTER, PREFIX])
            }
            Kind::ListEntries => (&[KEY], &[LIMIT, AFTER]),
            Kind::Names => (&[], &[LIMIT, AFTER, PREFIX]),
            Kind::State | Kind::Digest | Kind::Age | Kind::Metrics => (&[], &[]),
            Kind::Outcome => (&[SEGMENT], &[]),
        }
    }
}

/// One query, its members where they should be.
pub(super) struct Request<'a> {
    pub(super) kind: Kind,
    index: usize,
    text: &'a [u8],
    members: Known<MEMBER_COUNT>,
}

impl<'a> Request<'a> {
    /// An error at one of the members.
    pub(super) fn error(&self, field: Field, message: impl std::fmt::Display) -> QueryError {
        refuse(Some(self.index), Some(self.kind), Some(MEMBERS.name(field)), message)
    }

    pub(super) fn get(&self, field: Field) -> Option<&'a [u8]> {
        self.members.values[field].clone().map(|range| &self.text[range])
    }

    /// What stands between the quotes of a member that must be a string.
    pub(super) fn string(&self, field: Field) -> Result<&'a [u8], QueryError> {
        // Which members are there was checked before.
        let value = self.get(field).unwrap_or(b"");
        string_content(value).ok_or_else(|| self.error(field, "is no string"))
    }

    /// The spelling of the name of the map entry that a member, any JSON value, names.
    pub(super) fn key(&self, field: Field) -> Result<Vec<u8>, QueryError> {
        let mut name = Vec::new();
        write_key_name(self.get(field).unwrap_or(b"null"), &mut name).map_err(|error| self.error(field, error))?;
        Ok(name)
    }

    /// The value of `Limit`.
    pub(super) fn limit(&self) -> Result<Option<usize>, QueryError> {
        let Some(value) = self.get(LIMIT) else { return Ok(None) };
        match integer_literal(value) {
            Some(limit @ 1..) => Ok(Some(usize::try_from(limit).unwrap_or(usize::MAX))),
            _ => Err(self.error(LIMIT, "is no integer of at least 1")),
        }
    }

    /// Whether a page is asked for, rather than everything.
    pub(super) fn is_paged(&self) -> bool {
        [LIMIT, AFTER, PREFIX].iter().any(|&field| self.members.values[field].is_some())
    }
}

/// The queries of a request, one after the other.
pub(super) struct Requests<'a> {
    reader: Reader<'a>,
    invalid: Option<usize>,
    is_array: bool,
    index: usize,
    more: bool,
}

impl<'a> Requests<'a> {
    pub(super) fn new(text: &'a [u8]) -> Result<Requests<'a>, QueryError> {
        let mut requests =
            Requests { reader: Reader::new(text, DEPTH), invalid: invalid_utf8(text), is_array: false, index: 0, more: true };
        match requests.reader.peek_token() {
            Some(b'{') => {}
            Some(b'[') => {
                requests.is_array = true;
                requests.more = requests.reader.open_array(0).map_err(|error| refuse(None, None, None, error))?;
            }
            _ => return Err(refuse(None, None, None, "a request is a query (a JSON object) or an array of queries")),
        }
        Ok(requests)
    }

    pub(super) fn is_array(&self) -> bool {
        self.is_array
    }

    /// The next query, checked but for the types of its members. `None` at the end, which is checked to be one.
    pub(super) fn next(&mut self) -> Result<Option<Request<'a>>, QueryError> {
        if !self.more {
            self.reader.end().map_err(|error| refuse(None, None, None, describe(&error, self.invalid)))?;
            return match self.invalid {
                Some(offset) => Err(refuse(None, None, None, not_utf8(offset))),
                None => Ok(None),
            };
        }
        let index = self.index;
        let request = self.read(index)?;
        self.more =
            self.is_array && self.reader.next_element().map_err(|error| refuse(Some(index), None, None, describe(&error, self.invalid)))?;
        self.index += 1;
        Ok(Some(request))
    }

    fn read(&mut self, index: usize) -> Result<Request<'a>, QueryError> {
        if self.reader.peek_token() != Some(b'{') {
            return Err(refuse(Some(index), None, None, "a query is a JSON object"));
        }
        let members = read_known(&mut self.reader, usize::from(self.is_array), &MEMBERS, self.invalid)
            .map_err(|refused| refuse(Some(index), None, refused.field.as_deref(), refused.message))?;
        let text = self.reader.text();
        let at_op = |message: &dyn std::fmt::Display| refuse(Some(index), None, Some("op"), message);
        let op = members.values[OP].clone().ok_or_else(|| at_op(&"is missing"))?;
        let op = string_content(&text[op]).ok_or_else(|| at_op(&"is no string"))?;
        let kind = Kind::named(op).ok_or_else(|| {
            let names = Kind::ALL.iter().map(|(_, name)| *name);
            let op = unescape(op);
            let op = shortened(&op);
            at_op(&format_args!("\"{op}\" is no known query{}", suggestion(&op, names)))
        })?;
        check_members(kind, &members, index)?;
        Ok(Request { kind, index, text, members })
    }
}

/// Checks that a query has the members that it must have, and none that it may not have.
#[inline]
fn check_members(kind: Kind, members: &Known<MEMBER_COUNT>, index: usize) -> Result<(), QueryError> {
    let (required, optional) = kind.fields();
    let is_there = |field: &Field| members.values[*field].is_some();
    let there = members.values.iter().filter(|value| value.is_some()).count();
    let known = 1 + required.len() + optional.iter().filter(|field| is_there(field)).count();
    // The numbers tell that there is no other one.
    if members.unknown.is_none() && required.iter().all(is_there) && there == known {
        return Ok(());
    }
    blame_a_member(kind, members, index)
}

#[cold]
fn blame_a_member(kind: Kind, members: &Known<MEMBER_COUNT>, index: usize) -> Result<(), QueryError> {
    let (required, optional) = kind.fields();
    let own = || required.iter().chain(optional).map(|&field| MEMBERS.name(field));
    let at = |field: &str, message: &dyn std::fmt::Display| Err(refuse(Some(index), Some(kind), Some(field), message));
    if let Some(unknown) = &members.unknown {
        return at(unknown, &format_args!("is unknown{}", suggestion(unknown, own().chain(["op"]))));
    }
    for (field, value) in members.values.iter().enumerate().skip(OP + 1) {
        let is_required = required.contains(&field);
        if value.is_none() && is_required {
            return at(MEMBERS.name(field), &"is missing");
        }
        if value.is_some() && !is_required && !optional.contains(&field) {
            let names: Vec<&str> = own().collect();
            return at(
                MEMBERS.name(field),
                &match names.is_empty() {
                    true => "does not belong to this query, which has no fields".to_owned(),
                    false => format!("does not belong to this query, whose fields are {}", names.join(", ")),
                },
            );
        }
    }
    Ok(())
}

fn refuse(query: Option<usize>, kind: Option<Kind>, field: Option<&str>, message: impl std::fmt::Display) -> QueryError {
    let mut place = String::new();
    if let Some(query) = query {
        place = format!("query {query}");
        if let Some(kind) = kind {
            place = format!("{place} ({})", kind.name());
        }
        if let Some(field) = field {
            place = format!("{place}, field \"{field}\"");
        }
        place.push_str(": ");
    }
    QueryError { query, field: field.map(str::to_owned), message: format!("{place}{message}") }
}
