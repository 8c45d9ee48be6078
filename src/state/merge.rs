//! A base and the changes since, in order, as one.

use super::State;
use super::arena::{Member, View};
use super::changes::{Changes, Step, Walk};
use super::entry::{Item, MapRef};
use super::name::NameRef;
use super::value::{Value, ValueRef};
use std::ops::Bound;

/// Where to begin: at the name, behind it, or at the first.
pub(crate) type From<'n> = Bound<NameRef<'n>>;

/// The members of a base and its changes, each name once, the change covering the base. Costs O(log n) to begin, O(1) a step, and O(log n) for
/// each member that was added.
struct Merge<'a, V> {
    base: Option<View<'a>>,
    /// The next member of the base.
    next: usize,
    walk: Option<Walk<'a, V>>,
    /// The next change, if there is one.
    step: Option<Step<'a, V>>,
}

enum Merged<'a, V> {
    /// An unchanged member of the base, and its name.
    Base(&'a [u8], Member<'a>),
    /// A changed one, by the spelling of its name.
    Changed(&'a [u8], &'a V),
}

impl<'a, V: Clone> Merge<'a, V> {
    fn new(base: Option<View<'a>>, changes: Option<&'a Changes<V>>, from: From<'_>) -> Merge<'a, V> {
        let next = match (&base, from) {
            (None, _) | (_, Bound::Unbounded) => 0,
            (Some(view), Bound::Included(name)) => view.seek(name.0, 0).unwrap_or_else(|behind| behind),
            (Some(view), Bound::Excluded(name)) => view.seek(name.0, 0).map_or_else(|behind| behind, |found| found + 1),
        };
        let mut walk = changes.map(|changes| changes.walk(base.clone(), next, from));
        let step = walk.as_mut().and_then(Iterator::next);
        Merge { base, next, walk, step }
    }
}

impl<'a, V: Clone> Iterator for Merge<'a, V> {
    type Item = Merged<'a, V>;

    fn next(&mut self) -> Option<Merged<'a, V>> {
        loop {
            if let Some(view) = &self.base
                && self.next < view.len()
                && self.step.as_ref().is_none_or(|step| self.next < step.at)
            {
                let (name, member) = view.member(self.next);
                self.next += 1;
                return Some(Merged::Base(name, member));
            }
            let step = self.step.take()?;
            self.step = self.walk.as_mut().and_then(Iterator::next);
            self.next = step.next;
            if let Some((name, value)) = step.change {
                return Some(Merged::Changed(name, value));
            }
        }
    }
}

impl<'a> MapRef<'a> {
    /// The entries in order, each with the spelling of its name.
    pub(crate) fn entries(self, from: From<'_>) -> impl Iterator<Item = (&'a [u8], ValueRef<'a>)> {
        let changes = if let MapRef::Changed(map) = self { Some(&map.changes) } else { None };
        Merge::new(self.view(), changes, from).map(|merged| match merged {
            Merged::Base(name, member) => (name, ValueRef::Text(member.value)),
            Merged::Changed(name, value) => (name, Value::as_ref(value)),
        })
    }
}

impl State {
    /// The names in order, each with its spelling and what it holds.
    pub(crate) fn items(&self, from: From<'_>) -> impl Iterator<Item = (&[u8], Item<'_>)> {
        Merge::new(Some(self.base.root()), Some(&self.names), from).map(|merged| match merged {
            Merged::Base(name, member) => (name, Item::of_member(&self.base, &member)),
            Merged::Changed(name, entry) => (name, Item::of_entry(entry)),
        })
    }
}
