//! `diff`: what two states differ in, wherever they are.

use super::export;
use crate::arguments::{Access, StoreArguments};
use crate::failure::Failure;
use crate::objects;
use crate::output::{Output, count};
use crate::site::{Site, name_of, shown};
use opjournal::Journal;
use serde_json::json;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::ExitCode;

/// So much of a value is shown to people.
const SHOWN: usize = 60;

/// One of the two that are compared.
enum Side {
    Store(Box<Site>, Journal),
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
        let site = Site::open(&arguments, output).await?;
        let journal = site.reader().await?;
        Ok(Side::Store(Box::new(site), journal))
    }

    /// The names of its namespaces; nothing where it is one state, whatever its name.
    async fn namespaces(&self, output: &Output) -> Result<Option<BTreeSet<String>>, Failure> {
        let Side::Store(site, _) = self else { return Ok(None) };
        let progress = output.progress("objects", 0);
        let (all, _) = objects::summaries(site, &progress).await?;
        progress.finish_and_clear();
        Ok(Some(all.into_iter().map(|summary| summary.name).collect()))
    }

    /// The state of a namespace; nothing where it is not there.
    async fn state(&self, name: &str) -> Result<Option<Vec<u8>>, Failure> {
        match self {
            Side::State(_, text) => Ok(Some(text.clone())),
            Side::Store(site, _) if !objects::exists(site, name).await? => Ok(None),
            Side::Store(site, journal) => {
                let namespace = journal.namespace(name, site.deadline()).await?;
                export::state(site, &namespace).await.map(Some)
            }
        }
    }

    fn name(&self) -> &str {
        match self {
            Side::Store(site, _) => site.url(),
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
        let differences = compare(&members(&left, &one)?, &members(&right, &other)?);
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

fn compare(left: &Members<'_>, right: &Members<'_>) -> Vec<Difference> {
    let mut all = Vec::new();
    for (name, one, other) in unlike_members(left, right) {
        match (one, other) {
            (Some(one), Some(other)) => within(name, one, other, &mut all),
            (one, other) => all.push(difference(name, None, one, other)),
        }
    }
    all
}

/// Two values of one name that are not the same: entry by entry where both are maps or lists.
fn within(name: &str, left: &RawValue, right: &RawValue, all: &mut Vec<Difference>) {
    type Elements<'t> = Vec<&'t RawValue>;
    let (left, right) = (left.get(), right.get());
    if let (Ok(one), Ok(other)) = (serde_json::from_str::<Members>(left), serde_json::from_str::<Members>(right)) {
        let unlike = unlike_members(&one, &other);
        all.extend(unlike.map(|(key, one, other)| difference(name, Some(key.to_owned()), one, other)));
    } else if let (Ok(one), Ok(other)) = (serde_json::from_str::<Elements>(left), serde_json::from_str::<Elements>(right)) {
        let elements = (0..one.len().max(other.len())).map(|index| (index, one.get(index).copied(), other.get(index).copied()));
        let unlike = elements.filter(|(_, one, other)| are_unlike(*one, *other));
        all.extend(unlike.map(|(index, one, other)| difference(name, Some(index.to_string()), one, other)));
    } else {
        all.push(Difference { name: name.to_owned(), within: None, left: Some(left.to_owned()), right: Some(right.to_owned()) });
    }
}

/// The members in which two objects differ, with their values.
fn unlike_members<'m, 't>(
    left: &'m Members<'t>,
    right: &'m Members<'t>,
) -> impl Iterator<Item = (&'m str, Option<&'t RawValue>, Option<&'t RawValue>)> {
    let names: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    let members = names.into_iter().map(|name| (name.as_str(), left.get(name).copied(), right.get(name).copied()));
    members.filter(|(_, one, other)| are_unlike(*one, *other))
}

fn are_unlike(left: Option<&RawValue>, right: Option<&RawValue>) -> bool {
    left.map(RawValue::get) != right.map(RawValue::get)
}

fn difference(name: &str, within: Option<String>, left: Option<&RawValue>, right: Option<&RawValue>) -> Difference {
    let text = |value: Option<&RawValue>| value.map(|value| value.get().to_owned());
    Difference { name: name.to_owned(), within, left: text(left), right: text(right) }
}

fn show(namespace: &str, is_one: bool, difference: &Difference, output: &Output) -> Result<(), Failure> {
    let Difference { name, within, left, right } = difference;
    if output.is_json() {
        let place = json!({ "namespace": namespace, "name": name, "within": within }).to_string();
        // Values are taken as they stand, because a number may be longer than any type of this program.
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "null".to_owned());
        return output.line(format!(
            "{},\"left\":{},\"right\":{},\"is_left\":{},\"is_right\":{}}}",
            &place[..place.len() - 1],
            text(left),
            text(right),
            left.is_some(),
            right.is_some(),
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
