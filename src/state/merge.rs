//! A base and the changes since, in order, as one.

use super::State;
use super::arena::{Member, View};
use super::entry::{Item, MapRef};
use super::name::{Name, NameRef};
use super::value::{Value, ValueRef};
use crate::json::compare_names;
use imbl::OrdMap;
use imbl::ordmap::RangedIter;
use imbl::shared_ptr::DefaultSharedPtr;
use std::cmp::Ordering;
use std::iter::Peekable;
use std::ops::Bound;

/// Where to begin: at the name, behind it, or at the first.
pub(crate) type From<'n> = Bound<NameRef<'n>>;

/// The members of a base and its changes, each name once, the change covering the base. Costs O(log n) to begin and O(1) a step.
struct Merge<'a, V> {
    base: Option<View<'a>>,
    /// The next member of the base.
    next: usize,
    changes: Option<Peekable<RangedIter<'a, Name, V, DefaultSharedPtr>>>,
}

enum Merged<'a, V> {
    /// An unchanged member of the base, and its name.
    Base(&'a [u8], Member<'a>),
    Changed(&'a Name, &'a V),
}

impl<'a, V> Merge<'a, V> {
    fn new(base: Option<View<'a>>, changes: Option<&'a OrdMap<Name, V>>, from: From<'_>) -> Merge<'a, V> {
        let next = match (&base, from) {
            (None, _) | (_, Bound::Unbounded) => 0,
            (Some(view), Bound::Included(name)) => view.seek(name.0, 0).unwrap_or_else(|behind| behind),
            (Some(view), Bound::Excluded(name)) => view.seek(name.0, 0).map_or_else(|behind| behind, |found| found + 1),
        };
        let changes = changes.map(|changes| changes.range::<_, NameRef<'_>>((from, Bound::Unbounded)).peekable());
        Merge { base, next, changes }
    }
}

impl<'a, V> Iterator for Merge<'a, V> {
    type Item = Merged<'a, V>;

    fn next(&mut self) -> Option<Merged<'a, V>> {
        let changed = self.changes.as_mut().and_then(|changes| changes.peek().copied());
        if let Some(view) = &self.base
            && self.next < view.len()
        {
            let (name, member) = view.member(self.next);
            let order = changed.map_or(Ordering::Less, |(change, _)| compare_names(name, change.spelling()));
            if order != Ordering::Greater {
                self.next += 1;
            }
            if order == Ordering::Less {
                return Some(Merged::Base(name, member));
            }
        }
        self.changes.as_mut()?.next().map(|(name, change)| Merged::Changed(name, change))
    }
}

impl<'a> MapRef<'a> {
    /// The entries in order, each with the spelling of its name.
    pub(crate) fn entries(self, from: From<'_>) -> impl Iterator<Item = (&'a [u8], ValueRef<'a>)> {
        let changes = if let MapRef::Changed(map) = self { Some(&map.changes) } else { None };
        Merge::new(self.view(), changes, from).filter_map(|merged| match merged {
            Merged::Base(name, member) => Some((name, ValueRef::Text(member.value))),
            Merged::Changed(name, change) => change.as_ref().map(|value| (name.spelling(), Value::as_ref(value))),
        })
    }
}

impl State {
    /// The names in order, each with its spelling and what it holds.
    pub(crate) fn items(&self, from: From<'_>) -> impl Iterator<Item = (&[u8], Item<'_>)> {
        Merge::new(Some(self.base.root()), Some(&self.names), from).filter_map(|merged| match merged {
            Merged::Base(name, member) => Some((name, Item::of_member(&self.base, &member))),
            Merged::Changed(name, entry) => Item::of_entry(entry).map(|item| (name.spelling(), item)),
        })
    }
}
