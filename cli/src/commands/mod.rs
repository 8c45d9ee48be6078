//! What the command does, one file for each thing that can be asked for.

mod bench;
mod diff;
mod doctor;
mod export;
mod get;
mod list;
mod tail;
mod verify;
mod watch;
mod write;

use crate::arguments::{Arguments, Command};
use crate::failure::Failure;
use crate::output::Output;
use clap::CommandFactory;
use std::path::Path;
use std::process::ExitCode;
pub use tail::Since;
use tail::Wanted;

pub async fn run(arguments: &Arguments, output: &Output) -> Result<ExitCode, Failure> {
    match &arguments.command {
        Command::Ls { store, namespace: None } => list::namespaces(store, output).await?,
        Command::Ls { store, namespace: Some(namespace) } => list::namespace(store, namespace, output).await?,
        Command::Get { store, namespace, name, key } => get::get(store, namespace, name, key.as_deref(), output).await?,
        Command::Query { store, namespace, queries } => get::query(store, namespace, queries, output).await?,
        Command::Apply { store, namespace, batches } => write::apply(store, namespace, batches, output).await?,
        Command::Flush { store, namespace } => write::flush(store, namespace, output).await?,
        Command::Export { store, namespace, output: file } => export::export(store, namespace, file.as_deref(), output).await?,
        Command::Import { store, namespace, input } => export::import(store, namespace, input.as_deref(), output).await?,
        Command::Tail { store, namespace, follow, every, since, last } => {
            let wanted = Wanted { follow: follow.then_some(*every), since: *since, last: *last };
            tail::tail(store, namespace, &wanted, output).await?;
        }
        Command::Diff { left, right, namespace, access, right_config } => {
            return diff::diff(left, right, namespace.as_deref(), access, right_config.as_deref(), output).await;
        }
        Command::Verify { store, namespace, repair } => return verify::verify(store, namespace.as_deref(), *repair, output).await,
        Command::Doctor { store, read_only } => return doctor::doctor(store, *read_only, output).await,
        Command::Bench { store, bench } => bench::bench(store, bench, output).await?,
        Command::Watch { store, namespaces, every, count, prices } => {
            watch::watch(store, namespaces, *every, *count, prices, output).await?;
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Arguments::command(), "opjournal", &mut script);
            output.bytes(&script)?;
        }
        Command::Manual { directory } => manual(directory)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn manual(directory: &Path) -> Result<(), Failure> {
    clap_mangen::generate_to(Arguments::command(), directory).map_err(|error| Failure::file(directory.display().to_string(), error))
}
