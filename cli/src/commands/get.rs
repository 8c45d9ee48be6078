//! `get` and `query`.

use crate::arguments::StoreArguments;
use crate::failure::Failure;
use crate::output::{Output, suggestion};
use crate::site::{Site, shown};
use opjournal::Namespace;
use serde_json::{Value, json};
use std::io::Read;

/// Asks one query.
pub fn ask(namespace: &Namespace, query: &Value) -> Result<Vec<u8>, Failure> {
    let mut answer = Vec::new();
    namespace.query(query.to_string().as_bytes(), &mut answer)?;
    Ok(answer)
}

/// Asks one query, whose answer is small.
pub fn ask_value(namespace: &Namespace, query: &Value) -> Result<Value, Failure> {
    let answer = ask(namespace, query)?;
    serde_json::from_slice(&answer).map_err(|error| Failure::Found(format!("an answer of the library is no JSON: {error}")))
}

pub async fn get(store: &StoreArguments, name: &str, held: &str, key: Option<&str>, output: &Output) -> Result<(), Failure> {
    let site = Site::open(store, output).await?;
    let journal = site.reader().await?;
    let namespace = site.existing(&journal, name).await?;
    let query = match key {
        None => json!({ "op": "ScalarGet", "Key": held }),
        Some(key) => {
            let key = serde_json::from_str(key).unwrap_or_else(|_| Value::from(key));
            json!({ "op": "MapGet", "Key": held, "MapKey": key })
        }
    };
    let answer = ask(&namespace, &query)?;
    // Taken as it stands, because a number may be longer than any type of this program.
    let value = answer.strip_prefix(br#"{"found":true,"value":"#).and_then(|rest| rest.strip_suffix(b"}"));
    match value {
        Some(value) => {
            output.bytes(value)?;
            output.line("")
        }
        None => Err(missing(&namespace, held, key)?),
    }
}

fn missing(namespace: &Namespace, held: &str, key: Option<&str>) -> Result<Failure, Failure> {
    let names = ask_value(namespace, &json!({ "op": "Names" }))?;
    let names: Vec<&str> = names.as_array().into_iter().flatten().filter_map(|item| item["name"].as_str()).collect();
    let place = shown(namespace.name());
    Ok(Failure::Found(match key {
        Some(key) if names.contains(&held) => format!("{held:?} in namespace {place:?} has no entry {key}"),
        _ => format!("there is no {held:?} in namespace {place:?}{}", suggestion(held, names)),
    }))
}

pub async fn query(store: &StoreArguments, name: &str, queries: &[String], output: &Output) -> Result<(), Failure> {
    let queries = texts("query", queries)?;
    let site = Site::open(store, output).await?;
    let journal = site.reader().await?;
    let namespace = site.existing(&journal, name).await?;
    let mut answer = Vec::new();
    for query in queries {
        namespace.query(query.as_bytes(), &mut answer)?;
        output.bytes(&answer)?;
        output.line("")?;
    }
    Ok(())
}

/// The JSON values that a command is given: its arguments, one each, or one after the other on standard input.
pub fn texts(what: &str, arguments: &[String]) -> Result<Vec<String>, Failure> {
    if !arguments.is_empty() {
        return Ok(arguments.to_vec());
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map_err(|error| Failure::file("standard input", error))?;
    let values = serde_json::Deserializer::from_str(&text).into_iter::<&serde_json::value::RawValue>();
    let texts: Result<Vec<String>, _> = values.map(|value| value.map(|value| value.get().to_owned())).collect();
    let texts = texts.map_err(|error| Failure::Usage(format!("standard input is no JSON: {error}")))?;
    if texts.is_empty() {
        return Err(Failure::Usage(format!("there is no {what}: give it as an argument or on standard input")));
    }
    Ok(texts)
}
