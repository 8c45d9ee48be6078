//! Queries: questions to one state, as JSON, answered as canonical JSON. `docs/state.md` lists every query with the shape of
//! its answer and its cost.

mod page;
mod request;

use crate::error::Error;
use crate::json::{spelling, unescape, write_string};
use crate::state::{Item, MapRef, NameRef, State, ValueRef, write_integer};
use request::{Kind, Request, Requests};

/// What a query may ask for that is not in the state.
pub trait QueryContext {
    /// Appends the mark as canonical JSON: `{"key":"segment-....json","lm":"2026-03-07T06:35:06.42Z"}`.
    fn write_mark(&self, out: &mut Vec<u8>);

    /// How long ago this replica last saw the whole bucket, in milliseconds.
    fn age_ms(&self) -> u64;

    /// The figures of the journal, as Prometheus reads them.
    fn metrics(&self) -> String;

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
        Kind::Age => {
            out.push(b'{');
            write_age(context, out);
            out.push(b'}');
        }
        Kind::Metrics => write_string(out, &context.metrics()),
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
    out.push(b'{');
    write_age(context, out);
    out.extend_from_slice(b",\"sha256\":\"");
    out.extend_from_slice(state.sha256().as_bytes());
    out.extend_from_slice(b"\"}");
}

/// As members of an object.
fn write_age(context: &dyn QueryContext, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"age_ms\":");
    write_integer(out, context.age_ms());
    out.extend_from_slice(b",\"mark\":");
    context.write_mark(out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    struct Context;

    impl QueryContext for Context {
        fn write_mark(&self, out: &mut Vec<u8>) {
            out.extend_from_slice(br#"{"key":"","lm":"0001-01-01T00:00:00Z"}"#);
        }

        fn age_ms(&self) -> u64 {
            42
        }

        fn metrics(&self) -> String {
            String::new()
        }

        fn outcome(&self, segment: &str) -> &'static str {
            if segment == "segment-\u{e9}.json" { "applied" } else { "unknown" }
        }
    }

    fn state() -> State {
        let text = r#"{"i":7,"l":[1,"two",[3]],"m":{"\"a\"":1,"\"b\"":"x","2":null,"null":0,"raw":5},"s":"text"}"#;
        State::read(Bytes::from_static(text.as_bytes()), 128).expect("a state")
    }

    fn ask(request: &str) -> String {
        let mut out = b"before".to_vec();
        answer(request.as_bytes(), &state(), &Context, &mut out).unwrap_or_else(|error| panic!("{request}: {error}"));
        String::from_utf8(out).expect("UTF-8")
    }

    fn refusal(request: impl AsRef<[u8]>) -> (Option<usize>, Option<String>, String) {
        let mut out = b"before".to_vec();
        let error = answer(request.as_ref(), &state(), &Context, &mut out).expect_err("refused");
        assert!(out.is_empty());
        (error.query, error.field, error.message)
    }

    #[test]
    fn every_shape_of_result() {
        for (request, result) in [
            (
                r#"{"op":"Names"}"#,
                r#"[{"len":0,"name":"i","shape":"int"},{"len":3,"name":"l","shape":"list"},{"len":5,"name":"m","shape":"map"},{"len":0,"name":"s","shape":"scalar"}]"#,
            ),
            (
                r#"{"op":"Names","Limit":2}"#,
                r#"{"items":[{"len":0,"name":"i","shape":"int"},{"len":3,"name":"l","shape":"list"}],"next":"l"}"#,
            ),
            (r#"{"op":"Names","After":"l","Prefix":"s"}"#, r#"{"items":[{"len":0,"name":"s","shape":"scalar"}]}"#),
            (r#"{"op":"MapKeys","Key":"m"}"#, r#"["a","b",2,null,"raw"]"#),
            (r#"{"op":"MapEntries","Key":"m","Limit":1}"#, r#"{"items":[["a",1]],"next":"a"}"#),
            (r#"{"op":"IntMapEntries","Key":"m","After":"a","Limit":9}"#, r#"{"items":[["b",0],[2,0],[null,0],["raw",5]]}"#),
            (r#"{"op":"SetMembers","Key":"m","After":2,"Limit":1}"#, r#"{"items":[null],"next":{"":"null"}}"#),
            (r#"{"op":"SetMembers","Key":"m","After":{"":"null"},"Limit":1}"#, r#"{"items":["raw"]}"#),
            (r#"{"op":"SetMembers","Key":"m","After":null}"#, r#"{"items":["raw"]}"#),
            (r#"{"op":"MapKeys","Key":"m","Prefix":""}"#, r#"{"items":["a","b"]}"#),
            (r#"{"op":"MapKeys","Key":"i","Limit":1}"#, r#"{"items":[]}"#),
            (r#"{"op":"ListEntries","Key":"l","Limit":2}"#, r#"{"items":[1,"two"],"next":1}"#),
            (r#"{"op":"ListEntries","Key":"l","After":1}"#, r#"{"items":[[3]]}"#),
            (r#"{"op":"ListEntries","Key":"l","After":9223372036854775807}"#, r#"{"items":[]}"#),
            (r#"{"op":"MapLen","Key":"m"}"#, "5"),
            (r#"{"op":"SetLen","Key":"l"}"#, "0"),
            (r#"{"op":"MapGet","Key":"m","MapKey":1.50}"#, r#"{"found":false}"#),
            (r#"{"op":"Age"}"#, r#"{"age_ms":42,"mark":{"key":"","lm":"0001-01-01T00:00:00Z"}}"#),
            (r#"{"op":"Outcome","Segment":"segment-\u00e9.json"}"#, "\"applied\""),
            ("[]", "[]"),
            (r#" [ {"op":"IntGet","Key":"i"} , {"op":"ListLen","Key":"l"} ] "#, "[7,3]"),
        ] {
            assert_eq!(ask(request), result, "{request}");
        }
        let digest = r#"{"age_ms":42,"mark":{"key":"","lm":"0001-01-01T00:00:00Z"},"sha256":"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}"#;
        let mut out = Vec::new();
        answer(br#"{"op":"Digest"}"#, &State::empty(), &Context, &mut out).expect("an answer");
        assert_eq!(String::from_utf8_lossy(&out), digest, "the SHA-256 of {{}}");
    }

    #[test]
    fn a_refusal_is_not_as_long_as_what_it_is_about() {
        let long = "x".repeat(crate::error::LONG_WORDS);
        for text in [format!(r#"{{"op":"{long}"}}"#), format!(r#"{{"op":"State","{long}":1}}"#)] {
            let (_, field, message) = refusal(text);
            assert!(field.is_some_and(|field| field.len() < 1_000) && message.len() < 3_000);
        }
    }

    #[test]
    fn each_refusal_names_the_place() {
        let at = |query: usize, field: &str, message: &str| (Some(query), Some(field.to_owned()), message.to_owned());
        for (query, field, message) in [
            (r#"{"op":"MapGot","Key":"m"}"#, "op", "query 1, field \"op\": \"MapGot\" is no known query; did you mean \"MapGet\"?"),
            (r#"{"Key":"m"}"#, "op", "query 1, field \"op\": is missing"),
            (r#"{"op":1}"#, "op", "query 1, field \"op\": is no string"),
            (
                r#"{"op":"MapGet","Key":"m","Mapkey":1}"#,
                "Mapkey",
                "query 1 (MapGet), field \"Mapkey\": is unknown; did you mean \"MapKey\"?",
            ),
            (r#"{"op":"MapGet","Key":"m"}"#, "MapKey", "query 1 (MapGet), field \"MapKey\": is missing"),
            (r#"{"op":"MapGet","Key":5,"MapKey":1}"#, "Key", "query 1 (MapGet), field \"Key\": is no string"),
            (
                r#"{"op":"IntGet","Key":"i","Limit":1}"#,
                "Limit",
                "query 1 (IntGet), field \"Limit\": does not belong to this query, whose fields are Key",
            ),
            (r#"{"op":"State","Key":"i"}"#, "Key", "query 1 (State), field \"Key\": does not belong to this query, which has no fields"),
            (
                r#"{"op":"ListEntries","Key":"l","Prefix":"a"}"#,
                "Prefix",
                "query 1 (ListEntries), field \"Prefix\": does not belong to this query, whose fields are Key, Limit, After",
            ),
            (r#"{"op":"MapKeys","Key":"m","Limit":0}"#, "Limit", "query 1 (MapKeys), field \"Limit\": is no integer of at least 1"),
            (r#"{"op":"MapKeys","Key":"i","Limit":"1"}"#, "Limit", "query 1 (MapKeys), field \"Limit\": is no integer of at least 1"),
            (
                r#"{"op":"ListEntries","Key":"l","After":-1}"#,
                "After",
                "query 1 (ListEntries), field \"After\": is no index (an integer of at least 0)",
            ),
            (r#"{"op":"Names","After":1}"#, "After", "query 1 (Names), field \"After\": is no string"),
            (r#"{"op":"MapKeys","Key":"m","Prefix":1}"#, "Prefix", "query 1 (MapKeys), field \"Prefix\": is no string"),
            (r#"{"op":"IntGet","Key":"i","Key":"i"}"#, "Key", "query 1, field \"Key\": stands twice"),
            (r#"{"op":"Outcome"}"#, "Segment", "query 1 (Outcome), field \"Segment\": is missing"),
        ] {
            assert_eq!(refusal(format!(r#"[{{"op":"State"}},{query}]"#)), at(1, field, message));
        }
        assert_eq!(refusal("7").2, "a request is a query (a JSON object) or an array of queries");
        assert_eq!(refusal("[7]").2, "query 0: a query is a JSON object");
        assert_eq!(refusal(r#"{"op":"State"}x"#).2, "text after the end of the value at byte 14");
        assert_eq!(refusal(b"{\"op\":\"IntGet\",\"Key\":\"\xff\"}").2, "query 0, field \"Key\": invalid UTF-8 at byte 22");
        let deep = format!(r#"{{"op":"MapGet","Key":"m","MapKey":{}1"#, "[".repeat(if cfg!(miri) { 1_000 } else { 1_000_000 }));
        assert_eq!(refusal(deep).2, "query 0, field \"MapKey\": nested too deeply at byte 161");
        let error = crate::Error::from(answer(b"[{}]", &state(), &Context, &mut Vec::new()).expect_err("refused"));
        assert_eq!((error.status, &error.details["query"], &error.details["field"]), (crate::Status::Invalid, &0.into(), &"op".into()));
    }
}
