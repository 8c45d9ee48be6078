//! `apply` and `flush`.

use super::get::{ask_value, texts};
use crate::arguments::StoreArguments;
use crate::failure::Failure;
use crate::output::{Output, age};
use crate::site::{Site, name_of};
use opjournal::Namespace;
use serde_json::json;
use std::time::Duration;

/// Writes batches one after the other. Ctrl-C withdraws what was not sent, and tells what is not known.
pub async fn apply(store: &StoreArguments, name: &str, batches: &[String], output: &Output) -> Result<(), Failure> {
    let batches = texts("op", batches)?;
    let site = Site::open(store, output).await?;
    let journal = site.writer().await?;
    // A namespace begins with its first write.
    let namespace = journal.namespace(name_of(name), site.deadline()).await?;
    let written = write_all(&site, &namespace, &batches, output).await;
    let closed = site.close(&journal).await;
    written.and(closed)
}

async fn write_all(site: &Site, namespace: &Namespace, batches: &[String], output: &Output) -> Result<(), Failure> {
    for (index, batch) in batches.iter().enumerate() {
        let write = namespace.submit(batch.as_bytes(), site.deadline()).map_err(|error| numbered(error, index, batches.len()))?;
        let mut is_interrupted = false;
        let outcome = tokio::select! {
            outcome = write.outcome() => outcome,
            () = crate::ending::asked() => {
                is_interrupted = true;
                write.cancel();
                write.outcome().await
            }
        };
        match outcome {
            Ok(applied) => output.answer(json!({ "segment": &*applied.segment }), || output.line(&*applied.segment))?,
            Err(error) if is_interrupted && error.outcome != opjournal::Outcome::Unknown => return Err(Failure::Interrupted),
            Err(error) => return Err(numbered(error, index, batches.len())),
        }
        if is_interrupted {
            return Err(Failure::Interrupted);
        }
    }
    Ok(())
}

/// Says which of several batches an error is about.
fn numbered(mut error: opjournal::Error, index: usize, all: usize) -> Failure {
    if all > 1 {
        error.message = format!("batch {} of {all}: {}", index + 1, error.message);
    }
    Failure::from(error)
}

pub async fn flush(store: &StoreArguments, name: &str, output: &Output) -> Result<(), Failure> {
    let site = Site::open(store, output).await?;
    let journal = site.reader().await?;
    let namespace = site.existing(&journal, name).await?;
    namespace.flush(site.deadline()).await?;
    let digest = ask_value(&namespace, &json!({ "op": "Digest" }))?;
    output.answer(digest.clone(), || {
        output.line(format!("sha256  {}", digest["sha256"].as_str().unwrap_or_default()))?;
        output.line(format!(
            "mark    {} {}",
            digest["mark"]["lm"].as_str().unwrap_or_default(),
            digest["mark"]["key"].as_str().unwrap_or_default()
        ))?;
        output.line(format!("seen    {}", age(Duration::from_millis(digest["age_ms"].as_u64().unwrap_or_default()))))
    })
}
