//! What can go wrong, as every layer above the store tells it: a [`Status`] that a program can act on, a sentence that
//! a person can act on, and whether anything may have been written.

use serde_json::{Map, Value};
use std::borrow::Cow;
use std::fmt;

/// The most bytes of somebody else's words that a message repeats: whoever writes a name of a megabyte need not get it back.
const MOST_REPEATED: usize = 600;

/// How long the words are that tests of this write. Miri takes minutes for the longer ones.
#[cfg(test)]
pub(crate) const LONG_WORDS: usize = if cfg!(miri) { 5_000 } else { 100_000 };

/// What somebody else wrote, as a message repeats it: its beginning, where it is long.
pub(crate) fn shortened(text: &str) -> Cow<'_, str> {
    if text.len() <= MOST_REPEATED {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("{}...", &text[..text.floor_char_boundary(MOST_REPEATED)]))
}

/// The result of a call. The numbers are part of the C ABI: never renumbered, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Status {
    Ok = 0,
    /// The caller's text or argument is wrong; the message names the place.
    Invalid = 1,
    /// The handle is zero, foreign, or of something that is gone.
    BadHandle = 2,
    /// The journal, namespace or queue was closed.
    Closed = 3,
    /// A limit on what may wait is reached; try again later.
    Busy = 4,
    /// The caller's time is over.
    TimedOut = 5,
    /// The caller withdrew the call.
    Cancelled = 6,
    /// The namespace had no good tick yet.
    NotReady = 7,
    /// The bucket or directory does not exist.
    NoSuchStore = 8,
    /// The store refuses the credentials or the right.
    Denied = 9,
    /// The store cannot be reached or answers with errors.
    Unavailable = 10,
    /// The store ignores conditions that the journal stands on.
    UnsafeStore = 11,
    /// An object in the bucket cannot be read by this version.
    Unreadable = 12,
    /// The bucket's segments say that a rollup existed which is gone.
    RollupLost = 13,
    /// The journal was opened with `read_only`.
    ReadOnly = 14,
    /// A text or an object is over its limit.
    TooLarge = 15,
    /// The process was forked after the library was used.
    Forked = 16,
    /// A bug in the library.
    Internal = 17,
}

impl Status {
    /// Every status, in the order of its number.
    pub const ALL: [Status; 18] = [
        Status::Ok,
        Status::Invalid,
        Status::BadHandle,
        Status::Closed,
        Status::Busy,
        Status::TimedOut,
        Status::Cancelled,
        Status::NotReady,
        Status::NoSuchStore,
        Status::Denied,
        Status::Unavailable,
        Status::UnsafeStore,
        Status::Unreadable,
        Status::RollupLost,
        Status::ReadOnly,
        Status::TooLarge,
        Status::Forked,
        Status::Internal,
    ];

    /// The name as the C header spells it, without its prefix `OPJOURNAL_`.
    pub fn name(self) -> &'static str {
        match self {
            Status::Ok => "OK",
            Status::Invalid => "INVALID",
            Status::BadHandle => "BAD_HANDLE",
            Status::Closed => "CLOSED",
            Status::Busy => "BUSY",
            Status::TimedOut => "TIMED_OUT",
            Status::Cancelled => "CANCELLED",
            Status::NotReady => "NOT_READY",
            Status::NoSuchStore => "NO_SUCH_STORE",
            Status::Denied => "DENIED",
            Status::Unavailable => "UNAVAILABLE",
            Status::UnsafeStore => "UNSAFE_STORE",
            Status::Unreadable => "UNREADABLE",
            Status::RollupLost => "ROLLUP_LOST",
            Status::ReadOnly => "READ_ONLY",
            Status::TooLarge => "TOO_LARGE",
            Status::Forked => "FORKED",
            Status::Internal => "INTERNAL",
        }
    }

    /// Whether the same call may succeed later without anyone changing anything.
    pub fn is_retryable(self) -> bool {
        matches!(self, Status::Busy | Status::TimedOut | Status::NotReady | Status::Unavailable)
    }
}

/// Whether a failed call may have written something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Certainly not.
    None,
    /// Perhaps: the query `Outcome` answers for the segment that the error names, once it is settled.
    Unknown,
}

/// A failed call.
#[derive(Clone, Debug)]
pub struct Error {
    pub status: Status,
    pub message: String,
    pub outcome: Outcome,
    pub retryable: bool,
    /// Members that name the place, for programs: `op`, `field`, `object`, `segment` and the like.
    pub details: Map<String, Value>,
}

impl Error {
    pub fn new(status: Status, message: impl Into<String>) -> Error {
        Error { status, message: message.into(), outcome: Outcome::None, retryable: status.is_retryable(), details: Map::new() }
    }

    pub fn invalid(message: impl Into<String>) -> Error {
        Error::new(Status::Invalid, message)
    }

    /// Adds a member that names the place.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Error {
        self.details.insert(name.to_owned(), value.into());
        self
    }

    /// Marks the write as perhaps done, in `segment`.
    pub fn unknown_in(mut self, segment: &str) -> Error {
        self.outcome = Outcome::Unknown;
        // A write that may have happened must not be repeated by the caller before it is settled.
        self.retryable = false;
        self.with("segment", segment)
    }

    /// The JSON object that the C ABI returns on failure.
    pub fn to_json(&self) -> Value {
        let mut members = Map::new();
        members.insert("code".into(), self.status.name().into());
        members.insert("message".into(), self.message.clone().into());
        members.insert("outcome".into(), if self.outcome == Outcome::Unknown { "unknown" } else { "none" }.into());
        members.insert("retryable".into(), self.retryable.into());
        members.extend(self.details.clone());
        Value::Object(members)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.status.name(), self.message)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_words_are_repeated_in_part() {
        let short = "x".repeat(MOST_REPEATED);
        assert_eq!(shortened(&short), short);
        let long = format!("x{}", "é".repeat(MOST_REPEATED));
        let part = shortened(&long);
        let beginning = part.strip_suffix("...").expect("cut");
        assert!(long.starts_with(beginning) && beginning.len() == MOST_REPEATED - 1, "cut between two characters");
    }
}
