//! How a command fails, and with which exit status.

use opjournal::{Error, Outcome, Status};
use serde_json::{Value, json};
use std::io;
use std::process::ExitCode;

/// The exit statuses, as `--help` and the manual list them.
pub const EXIT_STATUSES: &str = "\
Exit status:
  0    done; nothing is wrong
  1    done, and something was found: two states differ, a store is not safe, something is damaged or not there
  2    asked for in a wrong way: an argument, an op, a query, a file
  3    the store could not be reached, or refused it; nothing was changed
  4    a write was sent, and it is unknown whether it took effect
  5    a bug
  130  ended by Ctrl-C or SIGTERM; what was already done is done";

/// Why a command did not do what it was asked for.
#[derive(Debug)]
pub enum Failure {
    /// What the library says.
    Library(Box<Error>),
    /// What was asked for makes no sense.
    Usage(String),
    /// It was looked for, and is not there or not as it should be.
    Found(String),
    /// A file, or the answer's way out.
    File {
        what: String,
        error: io::Error,
    },
    Interrupted,
}

impl Failure {
    pub fn file(what: impl Into<String>, error: io::Error) -> Failure {
        Failure::File { what: what.into(), error }
    }

    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Failure::File { error, .. } if error.kind() == io::ErrorKind::BrokenPipe)
    }

    pub fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Failure::Library(error) if error.outcome == Outcome::Unknown => 4,
            Failure::Library(error) => match error.status {
                Status::Invalid | Status::TooLarge => 2,
                Status::Unreadable | Status::RollupLost | Status::UnsafeStore => 1,
                Status::Internal => 5,
                _ => 3,
            },
            Failure::Usage(_) => 2,
            Failure::Found(_) => 1,
            Failure::File { .. } => 2,
            Failure::Interrupted => 130,
        })
    }

    /// For people, and for `--json`: an object as the library's own errors are.
    pub fn to_json(&self) -> Value {
        match self {
            Failure::Library(error) => error.to_json(),
            Failure::Usage(message) => json!({ "code": "INVALID", "message": message }),
            Failure::Found(message) => json!({ "code": "FOUND", "message": message }),
            Failure::File { what, error } => json!({ "code": "FILE", "message": format!("{what}: {error}") }),
            Failure::Interrupted => json!({ "code": "INTERRUPTED", "message": "ended by Ctrl-C" }),
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Library(error) => {
                write!(formatter, "{}", error.message)?;
                match error.outcome {
                    Outcome::Unknown => write!(formatter, " (it may or may not have taken effect)"),
                    _ => Ok(()),
                }
            }
            Failure::Usage(message) | Failure::Found(message) => formatter.write_str(message),
            Failure::File { what, error } => write!(formatter, "{what}: {error}"),
            Failure::Interrupted => formatter.write_str("ended by Ctrl-C"),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Library(Box::new(error))
    }
}

impl From<opjournal::store::Failure> for Failure {
    fn from(failure: opjournal::store::Failure) -> Failure {
        Failure::from(failure.into_error())
    }
}

/// Of writing the answer.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::file("the answer", error)
    }
}
