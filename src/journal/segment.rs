//! Segments: committed batches, as they lie in the bucket.

use super::key::SegmentKey;
use super::rollup::Count;
use crate::config::Limits;
use crate::mutant::{self, Mutant};
use crate::ops::{self, Op, SegmentBody};
use crate::time::Stamp;
use std::sync::Arc;

/// A segment's place in the canonical order of its namespace: by stamp as LIST showed it, then by key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub stamp: Stamp,
    pub key: SegmentKey,
}

/// The body of a segment, decoded once. Immutable, and shared by everything that replays it.
pub struct Segment {
    pub key: SegmentKey,
    pub content: Content,
}

/// What a body turned out to be.
pub enum Content {
    Readable(SegmentBody),
    Unreadable { reason: String, newer_format: bool },
}

impl Segment {
    /// Decodes a body. Own segments are decoded from what was sent as well, so that a writer applies what everybody
    /// else reads.
    pub fn read(key: SegmentKey, body: &[u8], limits: &Limits) -> Arc<Segment> {
        let content = match ops::read_segment(body, limits) {
            Ok(body) => Content::Readable(body),
            Err(failure) => Content::Unreadable { reason: failure.reason, newer_format: failure.newer_format },
        };
        Arc::new(Segment { key, content })
    }

    /// A segment whose object is larger than anything this library reads.
    pub fn oversized(key: SegmentKey, size: u64, limit: usize) -> Arc<Segment> {
        let reason = format!("it is {size} bytes long, over the limit of {limit} bytes (limits.object_bytes)");
        Arc::new(Segment { key, content: Content::Unreadable { reason, newer_format: false } })
    }

    fn body(&self) -> Option<&SegmentBody> {
        match &self.content {
            Content::Readable(body) => Some(body),
            Content::Unreadable { .. } => None,
        }
    }

    pub fn is_readable(&self) -> bool {
        self.body().is_some()
    }

    /// The ops that everyone applies for this segment where LIST shows it with `stamp`: none where it is void, which it
    /// is when it was stamped after its writer had given it up.
    pub fn effective_ops(&self, stamp: Stamp) -> &[Op] {
        match self.body() {
            Some(body) if !self.is_void(stamp) => &body.ops,
            _ => &[],
        }
    }

    /// The ops, whatever the stamp: for own segments that no LIST has shown yet, acknowledged and thus in time.
    pub fn ops(&self) -> &[Op] {
        self.body().map_or(&[], |body| &body.ops)
    }

    pub fn is_void(&self, stamp: Stamp) -> bool {
        let nothing_is = mutant::is_on(Mutant::NothingIsVoid) || mutant::is_on(Mutant::LatePutsCount);
        !nothing_is && self.expires().is_some_and(|expires| stamp > expires)
    }

    /// The latest stamp that is in time. Nothing where it cannot be read, or the peer wrote it.
    pub fn expires(&self) -> Option<Stamp> {
        self.body()?.expires
    }

    pub fn writer(&self) -> Option<&str> {
        self.body()?.writer.as_deref()
    }

    /// How many folded segments its writer knew of.
    pub fn folded(&self) -> Count {
        let Some(body) = self.body() else { return Count::ZERO };
        Count { since: body.since.unwrap_or(Stamp::ZERO), folded: body.folded.unwrap_or(0) }
    }
}

/// What is around the ops of a segment takes less than this.
pub const ENVELOPE: usize = 256;

/// The body of a new segment. `batches` are its batches' ops, each encoded and comma separated.
pub fn encode<'a>(batches: impl Iterator<Item = &'a [u8]> + Clone, writer: &str, expires: Stamp, folded: Count) -> Vec<u8> {
    let size: usize = batches.clone().map(|batch| batch.len() + 1).sum();
    let mut body = Vec::with_capacity(size + ENVELOPE);
    body.extend_from_slice(b"{\"ops\":[");
    let mut is_first = true;
    for batch in batches.filter(|batch| !batch.is_empty()) {
        if !std::mem::take(&mut is_first) {
            body.push(b',');
        }
        body.extend_from_slice(batch);
    }
    body.extend_from_slice(format!("],\"writer\":\"{writer}\",\"expires\":\"{expires}\",\"folded\":{}", folded.folded).as_bytes());
    if folded.since != Stamp::ZERO {
        body.extend_from_slice(format!(",\"since\":\"{}\"", folded.since).as_bytes());
    }
    body.push(b'}');
    debug_assert!(body.len() <= size + ENVELOPE);
    body
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::key::KeyMaker;

    #[test]
    fn what_is_encoded_is_read_again() {
        let expires = Stamp::from_millis(1_800_000_000_500);
        let batches = [br#"{"op":"IntAdd","Key":"a","Delta":1}"#.to_vec(), Vec::new(), br#"{"op":"IntAdd","Key":"b","Delta":2}"#.to_vec()];
        let body = encode(batches.iter().map(Vec::as_slice), "0123", expires, Count { since: expires, folded: 42 });
        let key = KeyMaker::default().next(Stamp::from_millis(1_800_000_000_000), 1);
        let segment = Segment::read(key, &body, &Limits::default());
        assert_eq!(segment.ops().len(), 2);
        assert_eq!(segment.writer(), Some("0123"));
        assert_eq!(segment.folded(), Count { since: expires, folded: 42 });
        assert!(!segment.is_void(expires), "a stamp at its end is in time");
        assert!(segment.is_void(Stamp::from_millis(1_800_000_000_501)));
        assert!(segment.effective_ops(Stamp::from_millis(1_800_000_000_501)).is_empty());
    }
}
