//! Ops: what a batch and a segment are made of.

use crate::config::Limits;

/// One decoded op, immutable, cheap to clone.
#[derive(Clone, Debug)]
pub struct Op {}

/// Why a submission was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpErrorKind {
    Invalid,
    TooLarge,
}

/// A refused submission. `message` names op and field by itself.
#[derive(Clone, Debug)]
pub struct OpError {
    pub op: Option<usize>,
    pub field: Option<String>,
    pub kind: OpErrorKind,
    pub message: String,
}

impl From<OpError> for crate::Error {
    fn from(_error: OpError) -> crate::Error {
        todo!()
    }
}

/// An accepted submission.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The ops as compact JSON, comma separated: what goes between `"ops":[` and `]` of a segment.
    pub encoded: Vec<u8>,
    pub count: usize,
}

pub fn submit(_text: &[u8], _limits: &Limits) -> Result<Batch, OpError> {
    todo!()
}

/// A segment's body, read.
#[derive(Clone, Debug, Default)]
pub struct SegmentBody {
    pub ops: Vec<Op>,
    pub writer: Option<String>,
    pub expires: Option<crate::time::Stamp>,
    pub folded: Option<u64>,
}

/// A segment's body that cannot be read.
#[derive(Clone, Debug)]
pub struct UnreadableBody {
    pub reason: String,
    /// The body says that it is in a format that this version does not know.
    pub newer_format: bool,
}

pub fn read_segment(_body: &[u8], _limits: &Limits) -> Result<SegmentBody, UnreadableBody> {
    todo!()
}
