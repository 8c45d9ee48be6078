//! `diff`: what two states differ in, wherever they are.

use super::export;
use crate::arguments::{Access, StoreArguments};
use crate::failure::Failure;
use crate::objects;
use crate::output::{Output, count};
use crate::site::{Site, name_of, shown};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::ExitCode;

/// So much of a value is shown to people.
const SHOWN: usize = 60;

/// One of the two that are compared.
enum Side {
    Store(Box<Site>),
    /// An exported state, and what to call it.
    State(String, Vec<u8>),
}

impl Side {
    async fn open(place: &str, access: &Access, output: &Output) -> Result<Side, Failure> {
        if place == "-" || Path::new(place).is_file() {
            let (name, text) = export::read(Some(Path::new(place)))?;
            return Ok(Side::State(name, text));
        }
        let arguments = StoreArguments { store: place.to_owned(), access: access.clone() };
        Ok(Side::Store(Box::new(Site::open(&arguments, output).await?)))
    }

    /// The names of its namespaces; nothing where it is one state, whatever its name.
    async fn namespaces(&self, output: &Output) -> Result<Option<BTreeSet<String>>, Failure> {
        let Side::Store(site) = self else { return Ok(None) };
        let progress = output.progress("objects", 0);
        let all = objects::summaries(site, &progress).await?;
        progress.finish_and_clear();
        Ok(Some(all.into_iter().map(|summary| summary.name).collect()))
    }

    /// The state of a namespace; nothing where it is not there.
    async fn state(&self, name: &str) -> Result<Option<Vec<u8>>, Failure> {
        match self {
            Side::State(_, text) => Ok(Some(text.clone())),
            Side::Store(site) if !objects::exists(site, name).await? => Ok(None),
            Side::Store(site) => {
                let journal = site.reader().await?;
                let state = export::state(site, &journal, name).await;
                site.close(&journal).await?;
                state.map(Some)
            }
        }
    }

    fn name(&self) -> &str {
        match self {
            Side::Store(site) => site.url(),
            Side::State(name, _) => name,
        }
    }
}

/// A place in which two states differ: the name, and the entry or index in it.
struct Difference {
    name: String,
    within: Option<String>,
    left: Option<String>,
    right: Option<String>,
}

pub async fn diff(
    left: &str,
    right: &str,
    namespace: Option<&str>,
    access: &Access,
    right_config: Option<&Path>,
    output: &Output,
) -> Result<ExitCode, Failure> {
    if left == "-" && right == "-" {
        return Err(Failure::Usage("only one of the two can be standard input".to_owned()));
    }
    let right_access = match right_config {
        Some(file) => Access { config: Some(file.to_owned()), timeout: access.timeout, ..Access::default() },
        None => access.clone(),
    };
    let (left, right) = (Side::open(left, access, output).await?, Side::open(right, &right_access, output).await?);
    let names = match namespace {
        Some(name) => BTreeSet::from([name_of(name).to_owned()]),
        None => match (left.namespaces(output).await?, right.namespaces(output).await?) {
            (Some(left), Some(right)) => left.union(&right).cloned().collect(),
            (None, None) => BTreeSet::from([String::new()]),
            _ => return Err(Failure::Usage("an export is one namespace: name the one of the store that it is held against".to_owned())),
        },
    };
    let is_one = names.len() == 1;
    let mut found = 0;
    for name in names {
        let (one, other) = (left.state(&name).await?, right.state(&name).await?);
        let (one, other) = match (one, other) {
            (Some(one), Some(other)) => (one, other),
            (None, None) => {
                return Err(Failure::Found(format!(
                    "there is no namespace {:?} in {}, nor in {}",
                    shown(&name),
                    left.name(),
                    right.name()
                )));
            }
            (one, _) => {
                found += 1;
                let here = if one.is_some() { left.name() } else { right.name() };
                output
                    .answer(json!({ "namespace": name, "only_in": here }), || output.line(format!("{} is only in {here}", shown(&name))))?;
                continue;
            }
        };
        let differences = compare(&members(&left, &one)?, &members(&right, &other)?)?;
        found += differences.len();
        for difference in &differences {
            show(&name, is_one, difference, output)?;
        }
    }
    if !output.is_json() {
        output.note(if found == 0 { "no difference".to_owned() } else { format!("{} differences", count(found as u64)) });
    }
    Ok(if found == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

type Members<'t> = BTreeMap<String, &'t RawValue>;

fn members<'t>(side: &Side, state: &'t [u8]) -> Result<Members<'t>, Failure> {
    serde_json::from_slice(state).map_err(|error| Failure::Usage(format!("{} is no exported state: {error}", side.name())))
}

fn compare(left: &Members<'_>, right: &Members<'_>) -> Result<Vec<Difference>, Failure> {
    let mut all = Vec::new();
    for name in left.keys().chain(right.keys().filter(|name| !left.contains_key(*name))).collect::<BTreeSet<_>>() {
        match (left.get(name), right.get(name)) {
            (Some(one), Some(other)) if one.get() == other.get() => {}
            (Some(one), Some(other)) => within(name, one, other, &mut all),
            (one, other) => all.push(difference(name, None, one.copied(), other.copied())),
        }
    }
    Ok(all)
}

/// Two values of one name that are not the same: entry by entry where both are maps or lists.
fn within(name: &str, left: &RawValue, right: &RawValue, all: &mut Vec<Difference>) {
    if let (Ok(one), Ok(other)) = (serde_json::from_str::<Members>(left.get()), serde_json::from_str::<Members>(right.get())) {
        for key in one.keys().chain(other.keys()).collect::<BTreeSet<_>>() {
            let (one, other) = (one.get(key).copied(), other.get(key).copied());
            if one.map(RawValue::get) != other.map(RawValue::get) {
                all.push(difference(name, Some(key.clone()), one, other));
            }
        }
        return;
    }
    type Elements<'t> = Vec<&'t RawValue>;
    if let (Ok(one), Ok(other)) = (serde_json::from_str::<Elements>(left.get()), serde_json::from_str::<Elements>(right.get())) {
        for index in 0..one.len().max(other.len()) {
            let (one, other) = (one.get(index).copied(), other.get(index).copied());
            if one.map(RawValue::get) != other.map(RawValue::get) {
                all.push(difference(name, Some(index.to_string()), one, other));
            }
        }
        return;
    }
    all.push(difference(name, None, Some(left), Some(right)));
}

fn difference(name: &str, within: Option<String>, left: Option<&RawValue>, right: Option<&RawValue>) -> Difference {
    let text = |value: Option<&RawValue>| value.map(|value| value.get().to_owned());
    Difference { name: name.to_owned(), within, left: text(left), right: text(right) }
}

fn show(namespace: &str, is_one: bool, difference: &Difference, output: &Output) -> Result<(), Failure> {
    let Difference { name, within, left, right } = difference;
    // Taken as they stand, because a number may be longer than any type of this program.
    let raw = |value: &Option<String>| value.as_ref().map(|value| RawValue::from_string(value.clone()).ok());
    if output.is_json() {
        let place = json!({ "namespace": namespace, "name": name, "within": within });
        let text = |value: &Option<String>| raw(value).flatten().map_or_else(|| "null".to_owned(), |value| value.get().to_owned());
        let place = place.to_string();
        return output.line(format!(
            "{},\"left\":{},\"right\":{},\"is_left\":{},\"is_right\":{}}}",
            &place[..place.len() - 1],
            text(left),
            text(right),
            Value::from(left.is_some()),
            Value::from(right.is_some()),
        ));
    }
    let place = if is_one { String::new() } else { format!("{} ", shown(namespace)) };
    let place = match within {
        Some(within) => format!("{place}{name}[{within}]"),
        None => format!("{place}{name}"),
    };
    match (left, right) {
        (Some(left), Some(right)) => output.line(format!("~ {place}  {}  ->  {}", short(left), short(right))),
        (Some(left), None) => output.line(format!("- {place}  {}", short(left))),
        (None, right) => output.line(format!("+ {place}  {}", short(right.as_deref().unwrap_or_default()))),
    }
}

fn short(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
