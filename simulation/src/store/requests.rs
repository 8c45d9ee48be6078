//! Requests and answers, as they travel.

use bytes::Bytes;
use opjournal::store::{Condition, Deleted, ETag, Failure, GetOptions, Page, Put};
use opjournal::time::Stamp;
use tokio::sync::oneshot;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    List,
    ReadRollup,
    ReadSegment,
    WriteRollup,
    WriteSegment,
    Delete,
    Other,
}

#[derive(Clone)]
pub(super) enum Request {
    Put { key: String, body: Bytes, condition: Condition },
    Get { key: String, options: GetOptions },
    List { prefix: String, after: Option<String> },
    Delete { keys: Vec<String> },
}

pub(super) enum Answer {
    Put(Put),
    NotModified(Option<Stamp>),
    Found { etag: ETag, size: u64, date: Option<Stamp>, body: Bytes },
    List(Page),
    Delete(Deleted),
}

/// Where the sender of a request waits for its answer.
pub(super) struct Reply {
    pub(super) traffic: Traffic,
    /// It comes without a `Date`.
    pub(super) is_dateless: bool,
    pub(super) sender: oneshot::Sender<Result<Answer, Failure>>,
}

impl Reply {
    pub(super) fn send(self, mut answer: Result<Answer, Failure>) {
        if self.is_dateless {
            match &mut answer {
                Ok(answer) => *answer.date_mut() = None,
                Err(failure) => failure.date = None,
            }
        }
        // Whoever gave up does not wait any more.
        let _ = self.sender.send(answer);
    }
}

impl Request {
    /// It belongs to the test of the store.
    pub(super) fn is_test(&self) -> bool {
        let key = match self {
            Request::Put { key, .. } | Request::Get { key, .. } | Request::List { prefix: key, .. } => Some(key),
            Request::Delete { keys } => keys.first(),
        };
        key.is_some_and(|key| key.starts_with(".metadata/.probe/"))
    }

    pub(super) fn changes(&self) -> bool {
        matches!(self, Request::Put { .. } | Request::Delete { .. })
    }

    pub(super) fn traffic(&self) -> Traffic {
        let is_rollup = |key: &str| key.ends_with("/rollup.json");
        let is_segment = |key: &str| key.contains("/segment-");
        match self {
            Request::List { .. } => Traffic::List,
            Request::Delete { .. } => Traffic::Delete,
            Request::Get { key, .. } if is_rollup(key) => Traffic::ReadRollup,
            Request::Get { key, .. } if is_segment(key) => Traffic::ReadSegment,
            Request::Put { key, .. } if is_rollup(key) => Traffic::WriteRollup,
            Request::Put { key, .. } if is_segment(key) => Traffic::WriteSegment,
            Request::Get { .. } | Request::Put { .. } => Traffic::Other,
        }
    }

    pub(super) fn describe(&self) -> String {
        match self {
            Request::Put { key, body, condition } => format!("PUT {key} ({} bytes, {condition:?})", body.len()),
            Request::Get { key, options } => format!("GET {key}{}", if options.range.is_some() { " (range)" } else { "" }),
            Request::List { prefix, after } => {
                format!("LIST {prefix}{}", after.as_ref().map_or(String::new(), |after| format!(" after {after}")))
            }
            Request::Delete { keys } => format!("DELETE {}", keys.join(" ")),
        }
    }
}

impl Answer {
    fn date_mut(&mut self) -> &mut Option<Stamp> {
        match self {
            Answer::Put(put) => &mut put.date,
            Answer::NotModified(date) | Answer::Found { date, .. } => date,
            Answer::List(page) => &mut page.date,
            Answer::Delete(deleted) => &mut deleted.date,
        }
    }

    pub(super) fn describe(&self) -> String {
        match self {
            Answer::Put(put) => format!("done, {}", put.etag.as_ref().map_or("", |tag| tag.0.as_str())),
            Answer::NotModified(_) => "not modified".to_owned(),
            Answer::Found { etag, size, .. } => format!("{size} bytes, {}", etag.0),
            Answer::List(page) => {
                format!("{} keys, {}, Date {:?}", page.objects.len(), if page.next.is_some() { "more" } else { "the end" }, page.date)
            }
            Answer::Delete(_) => "done".to_owned(),
        }
    }
}
