//! Ops: what batches and segments are made of. [`submit()`] checks what a caller hands in, strictly, and encodes it;
//! [`read_segment`] reads what stands in a bucket, leniently. What is applied is always what was read back, never what a
//! caller's program held, so that the writer and everybody else apply the same.

mod segment;
mod submit;

pub use segment::{MOST_FOLDED, SegmentBody, UnreadableBody, read_segment};
pub use submit::{Batch, submit};

use crate::error::{Error, Status};
use crate::json::Names;
use crate::state::{Entry, Name, Value};

/// The objects and arrays around a value within a segment's body: the body, `ops`, the op. A value in a rollup has as many around
/// it (the rollup, `state`, the map), so that whatever is accepted can be read back from either under the same limit.
const LEVELS_AROUND_VALUE: usize = 3;

/// One decoded op, immutable, cheap to clone.
#[derive(Clone, Debug)]
pub struct Op {
    pub(crate) name: Name,
    pub(crate) action: Action,
}

/// What an op does to the value of its name.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// A division by zero.
    Nothing,
    Set(Entry),
    Remove,
    Compute(Arithmetic),
    SetEntry(Name, Value),
    ComputeEntry {
        key: Name,
        arithmetic: Arithmetic,
        /// Whether a value that is no map becomes one.
        creates: bool,
    },
    RemoveEntry(Name),
    Append(Value),
}

impl Action {
    /// The name of the map's entry that this is about, if it is about one.
    pub(crate) fn key(&self) -> Option<&Name> {
        match self {
            Action::SetEntry(key, _) | Action::ComputeEntry { key, .. } | Action::RemoveEntry(key) => Some(key),
            Action::Nothing | Action::Set(_) | Action::Remove | Action::Compute(_) | Action::Append(_) => None,
        }
    }
}

/// Arithmetic on int64 that wraps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add(i64),
    Multiply(i64),
    /// Truncates toward zero. Never by 0.
    Divide(i64),
}

impl Arithmetic {
    pub(crate) fn of(self, before: i64) -> i64 {
        match self {
            Arithmetic::Add(delta) => before.wrapping_add(delta),
            Arithmetic::Multiply(factor) => before.wrapping_mul(factor),
            Arithmetic::Divide(0) => before,
            Arithmetic::Divide(divisor) => before.wrapping_div(divisor),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    ScalarSet,
    ScalarDelete,
    IntSet,
    IntAdd,
    IntMul,
    IntDiv,
    SetAdd,
    SetRemove,
    IntMapSet,
    IntMapAdd,
    IntMapMul,
    IntMapDiv,
    IntMapDelete,
    MapSet,
    MapDelete,
    ListAppend,
}

/// A member of an op besides `op`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Key,
    Value,
    Delta,
    Factor,
    Divisor,
    MapKey,
    Member,
}

impl Field {
    const ALL: [Field; 7] = [Field::Key, Field::Value, Field::Delta, Field::Factor, Field::Divisor, Field::MapKey, Field::Member];

    const fn name(self) -> &'static str {
        match self {
            Field::Key => "Key",
            Field::Value => "Value",
            Field::Delta => "Delta",
            Field::Factor => "Factor",
            Field::Divisor => "Divisor",
            Field::MapKey => "MapKey",
            Field::Member => "Member",
        }
    }
}

/// Every member that an op may have: `op` behind the fields, so that a field is its own index.
static MEMBERS: Names<MEMBER_COUNT> = Names::new({
    let mut names = ["op"; MEMBER_COUNT];
    let mut index = 0;
    while index < Field::ALL.len() {
        names[index] = Field::ALL[index].name();
        index += 1;
    }
    names
});

const MEMBER_COUNT: usize = Field::ALL.len() + 1;
/// Where `op` stands among them.
const OP: usize = MEMBER_COUNT - 1;

/// What a field must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    /// A string: the name of the value.
    Name,
    /// Any JSON value: a map key or a set's member.
    Key,
    /// Any JSON value.
    Any,
    Int64,
}

impl Kind {
    const ALL: [Kind; 16] = [
        Kind::ScalarSet,
        Kind::ScalarDelete,
        Kind::IntSet,
        Kind::IntAdd,
        Kind::IntMul,
        Kind::IntDiv,
        Kind::SetAdd,
        Kind::SetRemove,
        Kind::IntMapSet,
        Kind::IntMapAdd,
        Kind::IntMapMul,
        Kind::IntMapDiv,
        Kind::IntMapDelete,
        Kind::MapSet,
        Kind::MapDelete,
        Kind::ListAppend,
    ];

    const fn name(self) -> &'static str {
        match self {
            Kind::ScalarSet => "ScalarSet",
            Kind::ScalarDelete => "ScalarDelete",
            Kind::IntSet => "IntSet",
            Kind::IntAdd => "IntAdd",
            Kind::IntMul => "IntMul",
            Kind::IntDiv => "IntDiv",
            Kind::SetAdd => "SetAdd",
            Kind::SetRemove => "SetRemove",
            Kind::IntMapSet => "IntMapSet",
            Kind::IntMapAdd => "IntMapAdd",
            Kind::IntMapMul => "IntMapMul",
            Kind::IntMapDiv => "IntMapDiv",
            Kind::IntMapDelete => "IntMapDelete",
            Kind::MapSet => "MapSet",
            Kind::MapDelete => "MapDelete",
            Kind::ListAppend => "ListAppend",
        }
    }

    /// The kind whose name stands between these quotes.
    fn named(content: &[u8]) -> Option<Kind> {
        static NAMES: Names<{ Kind::ALL.len() }> = Names::new({
            let mut names = [""; Kind::ALL.len()];
            let mut index = 0;
            while index < names.len() {
                names[index] = Kind::ALL[index].name();
                index += 1;
            }
            names
        });
        NAMES.index_of(content).map(|index| Kind::ALL[index])
    }

    /// The members of this op besides `op`, in the order in which they are written.
    fn fields(self) -> &'static [(Field, Holds)] {
        const NAME: (Field, Holds) = (Field::Key, Holds::Name);
        const KEY: (Field, Holds) = (Field::MapKey, Holds::Key);
        match self {
            Kind::ScalarSet | Kind::ListAppend => &[NAME, (Field::Value, Holds::Any)],
            Kind::ScalarDelete => &[NAME],
            Kind::IntSet => &[NAME, (Field::Value, Holds::Int64)],
            Kind::IntAdd => &[NAME, (Field::Delta, Holds::Int64)],
            Kind::IntMul => &[NAME, (Field::Factor, Holds::Int64)],
            Kind::IntDiv => &[NAME, (Field::Divisor, Holds::Int64)],
            Kind::SetAdd | Kind::SetRemove => &[NAME, (Field::Member, Holds::Key)],
            Kind::IntMapSet => &[NAME, KEY, (Field::Value, Holds::Int64)],
            Kind::IntMapAdd => &[NAME, KEY, (Field::Delta, Holds::Int64)],
            Kind::IntMapMul => &[NAME, KEY, (Field::Factor, Holds::Int64)],
            Kind::IntMapDiv => &[NAME, KEY, (Field::Divisor, Holds::Int64)],
            Kind::IntMapDelete | Kind::MapDelete => &[NAME, KEY],
            Kind::MapSet => &[NAME, KEY, (Field::Value, Holds::Any)],
        }
    }
}

/// Why a submission was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpErrorKind {
    Invalid,
    TooLarge,
}

/// A refused submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpError {
    /// The index of the op in the batch, where one is to blame.
    pub op: Option<usize>,
    /// The member of the op, where one is to blame.
    pub field: Option<String>,
    pub kind: OpErrorKind,
    /// For people; names op and field.
    pub message: String,
}

impl From<OpError> for Error {
    fn from(error: OpError) -> Error {
        let status = match error.kind {
            OpErrorKind::Invalid => Status::Invalid,
            OpErrorKind::TooLarge => Status::TooLarge,
        };
        let mut converted = Error::new(status, error.message);
        if let Some(op) = error.op {
            converted = converted.with("op", op);
        }
        if let Some(field) = error.field {
            converted = converted.with("field", field);
        }
        converted
    }
}

impl std::fmt::Display for OpError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for OpError {}
