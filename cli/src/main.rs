//! `opjournal`, the command: looks into a store, checks it, and changes what is in it, by the same engine as the library.
//!
//! [`arguments`] is what can be asked for, [`commands`] does it, one file each; [`site`] is the store that a command works on, [`output`] how it
//! answers, [`failure`] how it fails.

mod arguments;
mod commands;
mod ending;
mod failure;
mod objects;
mod observed;
mod output;
mod site;

use arguments::{Arguments, Color};
use clap::{ColorChoice, CommandFactory, FromArgMatches};
use failure::Failure;
use output::Output;
use std::process::ExitCode;

fn main() -> ExitCode {
    let matches = match Arguments::command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => error.exit(),
    };
    let arguments = match Arguments::from_arg_matches(&matches) {
        Ok(arguments) => arguments,
        Err(error) => error.exit(),
    };
    let color = match arguments.color {
        Color::Auto => ColorChoice::Auto,
        Color::Always => ColorChoice::Always,
        Color::Never => ColorChoice::Never,
    };
    let output = Output::new(arguments.json, color);
    log_to_stderr(arguments.verbose, output.is_colored());
    match run(&arguments, &output) {
        Ok(code) => code,
        // Whoever read the answer has seen enough.
        Err(failure) if failure.is_broken_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            output.failed(&failure);
            failure.code()
        }
    }
}

fn run(arguments: &Arguments, output: &Output) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let done = runtime.block_on(async {
        tokio::select! {
            biased;
            done = commands::run(arguments, output) => done,
            () = ending::asked(), if !arguments.command.ends_itself() => Err(Failure::Interrupted),
        }
    });
    // What a command gave up, such as a request that got no answer, is not waited for.
    runtime.shutdown_background();
    done
}

/// The library's own messages: warnings and errors, or with `-v` more.
fn log_to_stderr(verbose: u8, is_colored: bool) {
    use tracing_subscriber::filter::{LevelFilter, Targets};
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::util::SubscriberInitExt;
    let level = match verbose {
        0 => LevelFilter::ERROR,
        1 => LevelFilter::WARN,
        2 => LevelFilter::INFO,
        3 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(is_colored);
    tracing_subscriber::registry().with(Targets::new().with_target("opjournal", level)).with(layer).init();
}
