//! `export` and `import`.

use super::get::ask;
use crate::arguments::StoreArguments;
use crate::failure::Failure;
use crate::objects;
use crate::output::{Output, size};
use crate::site::{Site, name_of, shown};
use bytes::Bytes;
use opjournal::Namespace;
use opjournal::environment::within;
use opjournal::journal::objects::{Mark, Places, Proof, encode};
use opjournal::state::State;
use opjournal::store::{Condition, Kind, probe};
use serde_json::json;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

pub async fn export(store: &StoreArguments, name: &str, file: Option<&Path>, output: &Output) -> Result<(), Failure> {
    let site = Site::open(store, output).await?;
    let journal = site.reader().await?;
    let namespace = site.existing(&journal, name).await?;
    let state = state(&site, &namespace).await?;
    match file.filter(|file| *file != Path::new("-")) {
        None => output.bytes(&state),
        Some(file) => {
            replace(file, &state).map_err(|error| Failure::file(file.display().to_string(), error))?;
            output.note(format!("{} of {} in {}", size(state.len() as u64), shown(name_of(name)), file.display()));
            Ok(())
        }
    }
}

/// The state of a namespace as it is now. Whatever cannot be read is missing in it: then it is an error.
pub async fn state(site: &Site, namespace: &Namespace) -> Result<Vec<u8>, Failure> {
    namespace.flush(site.deadline()).await?;
    ask(namespace, &json!({ "op": "State" }))
}

/// Writes a file whole, or leaves what was there.
fn replace(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = file.with_file_name(name);
    let written = File::create(&new).and_then(|mut out| out.write_all(bytes).and_then(|()| out.sync_all()));
    written.and_then(|()| fs::rename(&new, file)).inspect_err(|_| drop(fs::remove_file(&new)))
}

pub async fn import(store: &StoreArguments, name: &str, file: Option<&Path>, output: &Output) -> Result<(), Failure> {
    let name = name_of(name);
    let places = Places::of(name)?;
    let (from, text) = read(file)?;
    let site = Site::open(store, output).await?;
    let limits = &site.settings.limits;
    let length = text.len();
    let state = State::read(Bytes::from(text), limits.depth - 1)
        .map_err(|error| Failure::Usage(format!("{from} is no exported state: {error}")))?;
    if state.canonical_len() > limits.state_bytes {
        return Err(Failure::Usage(format!("{from} has {length} bytes; the limit is {} (limits.state_bytes)", limits.state_bytes)));
    }
    if objects::exists(&site, name).await? {
        return Err(Failure::Found(format!("namespace {:?} is in {} already", shown(name), site.url())));
    }
    if !site.store.is_trusted() {
        let testing = output.progress("testing that the store keeps its conditions", 0);
        probe::probe(&*site.store, &site.environment).await?;
        testing.finish_and_clear();
    }
    let body = encode(&Proof::empty(), &Mark::zero(), &state);
    let bytes = body.len() as u64;
    let put = site.store.put(&places.rollup, body.into(), Condition::Absent);
    let limit = Duration::from_secs(store.timeout + bytes / (256 << 10));
    match within(&site.environment, limit, put).await {
        Ok(Ok(_)) => {}
        Ok(Err(failure)) if matches!(failure.kind, Kind::ConditionFailed | Kind::Conflict) => {
            return Err(Failure::Found(format!("somebody made namespace {:?} in {} just now", shown(name), site.url())));
        }
        Ok(Err(failure)) => return Err(failure.into()),
        Err(_) => {
            return Err(Failure::Found(format!(
                "{} gave no answer in time; `opjournal ls` tells whether the namespace is there",
                site.url()
            )));
        }
    }
    output.answer(json!({ "namespace": name, "object": places.rollup, "bytes": bytes }), || {
        output.line(format!("namespace {:?} has {}", shown(name), size(state.canonical_len() as u64)))
    })
}

/// The text of an export, and what to call it.
pub fn read(file: Option<&Path>) -> Result<(String, Vec<u8>), Failure> {
    match file.filter(|file| *file != Path::new("-")) {
        Some(file) => {
            let name = file.display().to_string();
            let text = fs::read(file).map_err(|error| Failure::file(name.clone(), error))?;
            Ok((name, text))
        }
        None => {
            let mut text = Vec::new();
            std::io::stdin().read_to_end(&mut text).map_err(|error| Failure::file("standard input", error))?;
            Ok(("standard input".to_owned(), text))
        }
    }
}
