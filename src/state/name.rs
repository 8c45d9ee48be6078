//! Names of values and of map entries, in the spelling that the state's text has.

use crate::json::compare_names;
use equivalent::{Comparable, Equivalent};
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// What stands between the quotes of a member's name in canonical text: looking it up and writing it out unescapes nothing.
/// Ordered by the UTF-8 bytes that it stands for.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Name(Arc<[u8]>);

impl Name {
    /// `spelling` is what stands between the quotes of a canonical string.
    pub(crate) fn from_spelling(spelling: &[u8]) -> Name {
        Name(spelling.into())
    }

    pub(crate) fn spelling(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "\"{}\"", String::from_utf8_lossy(&self.0))
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Name) -> Ordering {
        compare_names(&self.0, &other.0)
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Name) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A name that is looked for, borrowed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct NameRef<'a>(pub(crate) &'a [u8]);

impl Equivalent<Name> for NameRef<'_> {
    fn equivalent(&self, name: &Name) -> bool {
        self.0 == name.spelling()
    }
}

impl Comparable<Name> for NameRef<'_> {
    fn compare(&self, name: &Name) -> Ordering {
        compare_names(self.0, name.spelling())
    }
}
