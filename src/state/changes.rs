//! What was changed since a base was read.

use super::arena::{Member, Spot, View};
use super::merge::From;
use super::name::{Name, NameRef};
use imbl::ordmap::RangedIter;
use imbl::shared_ptr::DefaultSharedPtr;
use imbl::{OrdMap, Vector};
use std::iter::Peekable;
use std::ops::Bound;

/// Stands for what is gone, in place of an index.
const GONE: u32 = u32::MAX;

/// So many values that nothing points to any more are kept, beside as many as there are others.
const SPARE: usize = if cfg!(miri) { 32 } else { 1024 };

/// Changes above the object at a base, or above nothing. Clones share what did not change.
///
/// A base that is large has most of the names that are ever changed, so these are numbers in the tree that is copied along its paths:
/// copying a node of names and values would count a reference more for each of them, and each lies somewhere else in memory.
#[derive(Clone, Debug)]
pub(super) struct Changes<V> {
    /// The members of the base that hold something else, by their ordinals: where in `values` that is, or [`GONE`].
    replaced: OrdMap<u32, u32>,
    values: Vector<V>,
    /// What the base does not have.
    added: OrdMap<Name, V>,
}

/// What a name holds.
pub(super) enum Current<'s, 'a, V> {
    Changed(&'s V),
    /// As the base has it.
    Base(Member<'a>),
}

/// A change on the way through all of them.
pub(super) struct Step<'a, V> {
    /// It comes behind the base's members before this ordinal, and the one of `next` follows it. They are the same for what was added.
    pub(super) at: usize,
    pub(super) next: usize,
    /// The spelling of the name, and what it holds; nothing where the base's member is gone.
    pub(super) change: Option<(&'a [u8], &'a V)>,
}

impl<V> Default for Changes<V> {
    fn default() -> Changes<V> {
        Changes { replaced: OrdMap::new(), values: Vector::new(), added: OrdMap::new() }
    }
}

impl<V: Clone> Changes<V> {
    pub(super) fn len(&self) -> usize {
        self.replaced.len() + self.added.len()
    }

    /// What was replaced by, where it is not gone: every index but `GONE` is one of a value.
    fn value(&self, index: u32) -> Option<&V> {
        self.values.get(index as usize)
    }

    /// What the name holds that `spot` was found for in the base.
    #[inline]
    pub(super) fn current<'s, 'a>(&'s self, spot: &Spot<'a>, name: NameRef<'_>) -> Option<Current<'s, 'a, V>> {
        let base = spot.member;
        if !spot.may_be_changed {
            return base.map(Current::Base);
        }
        match base {
            Some(member) => match self.replaced.get(&(member.ordinal as u32)) {
                Some(&index) => self.value(index).map(Current::Changed),
                None => Some(Current::Base(member)),
            },
            None => self.added.get(&name).map(Current::Changed),
        }
    }

    /// What a name holds since it was changed.
    pub(super) fn get_mut(&mut self, spot: &Spot<'_>, name: &Name) -> Option<&mut V> {
        match &spot.member {
            Some(member) => self.values.get_mut(*self.replaced.get(&(member.ordinal as u32))? as usize),
            None => self.added.get_mut(name),
        }
    }

    /// Changes what the name holds that `spot` was found for in `base`; `None` removes it.
    pub(super) fn put(&mut self, base: Option<&View<'_>>, spot: &Spot<'_>, name: &Name, value: Option<V>) {
        if let Some(base) = base {
            base.mark_changed(spot);
        }
        let Some(member) = &spot.member else {
            match value {
                Some(value) => drop(self.added.insert(name.clone(), value)),
                None => drop(self.added.remove(name)),
            }
            return;
        };
        let index = match value {
            Some(value) => {
                self.values.push_back(value);
                // Never near 2^32: the base has fewer members than 2^31, and values that were replaced are let go.
                self.values.len() as u32 - 1
            }
            None => GONE,
        };
        self.replaced.insert(member.ordinal as u32, index);
        if self.values.len() > 2 * self.replaced.len() + SPARE {
            self.let_go();
        }
    }

    /// Lets go of the values that nothing points to any more.
    fn let_go(&mut self) {
        let mut values = Vector::new();
        let moved = self.replaced.iter().map(|(&ordinal, &index)| match self.value(index) {
            Some(value) => {
                values.push_back(value.clone());
                (ordinal, values.len() as u32 - 1)
            }
            None => (ordinal, GONE),
        });
        self.replaced = moved.collect();
        self.values = values;
    }

    /// The changes in order: of the base's members from the ordinal `first` on, and of what was added from `from` on.
    pub(super) fn walk<'a>(&'a self, base: Option<View<'a>>, first: usize, from: From<'_>) -> Walk<'a, V> {
        Walk {
            changes: self,
            base,
            // A base has fewer members than 2^31.
            replaced: self.replaced.range(first as u32..).peekable(),
            added: self.added.range::<_, NameRef<'_>>((from, Bound::Unbounded)).peekable(),
            next_added: None,
            reached: first,
        }
    }
}

/// All changes in order. Costs O(log n) to begin and for each that was added, and O(1) for each other one.
pub(super) struct Walk<'a, V> {
    changes: &'a Changes<V>,
    base: Option<View<'a>>,
    replaced: Peekable<RangedIter<'a, u32, u32, DefaultSharedPtr>>,
    added: Peekable<RangedIter<'a, Name, V, DefaultSharedPtr>>,
    /// Where the next one of `added` stands, if that was looked for.
    next_added: Option<usize>,
    /// Nothing that follows stands before this ordinal.
    reached: usize,
}

impl<V> Walk<'_, V> {
    fn place_of_added(&mut self) -> Option<usize> {
        let (name, _) = self.added.peek()?;
        let (base, reached) = (&self.base, self.reached);
        let find = || base.as_ref().map_or(0, |base| base.seek(name.spelling(), reached).unwrap_or_else(|behind| behind));
        Some(*self.next_added.get_or_insert_with(find))
    }
}

impl<'a, V: Clone> Iterator for Walk<'a, V> {
    type Item = Step<'a, V>;

    fn next(&mut self) -> Option<Step<'a, V>> {
        let added = self.place_of_added();
        let replaced = self.replaced.peek().map(|&(&ordinal, _)| ordinal as usize);
        if let Some(at) = added.filter(|at| replaced.is_none_or(|ordinal| *at <= ordinal)) {
            self.reached = at;
            self.next_added = None;
            return self.added.next().map(|(name, value)| Step { at, next: at, change: Some((name.spelling(), value)) });
        }
        let (&ordinal, &index) = self.replaced.next()?;
        let at = ordinal as usize;
        self.reached = at + 1;
        let change = self.base.as_ref().zip(self.changes.value(index)).map(|(base, value)| (base.member(at).0, value));
        Some(Step { at, next: at + 1, change })
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Limits;
    use crate::ops::read_segment;
    use crate::state::{NameRef, State};
    use bytes::Bytes;
    use std::collections::BTreeMap;
    use std::fmt::Write;

    /// Enough entries that lookups are made in one go.
    const ENTRIES: usize = if cfg!(miri) { 40 } else { 20_000 };
    const OPS: usize = if cfg!(miri) { 300 } else { 20_000 };

    fn text_of(entries: &BTreeMap<String, i64>) -> String {
        let entries: Vec<String> = entries.iter().map(|(key, value)| format!(r#""\"{key}\"":{value}"#)).collect();
        format!(r#"{{"m":{{{}}}}}"#, entries.join(","))
    }

    fn written(state: &State) -> String {
        let mut out = Vec::new();
        state.write_canonical(&mut out);
        assert_eq!(out.len(), state.canonical_len());
        String::from_utf8(out).expect("UTF-8")
    }

    fn apply(state: &mut State, ops: &str) {
        let body = format!(r#"{{"ops":[{}]}}"#, ops.trim_end_matches(','));
        state.apply(&read_segment(body.as_bytes(), &Limits::default()).expect("readable").ops);
    }

    #[test]
    fn a_large_map_holds_what_a_plain_one_does() {
        let mut plain: BTreeMap<String, i64> = (0..ENTRIES).map(|number| (format!("k{:06}", 2 * number), 7)).collect();
        let before = text_of(&plain);
        let mut state = State::read(Bytes::from(before.clone()), 128).expect("a state");
        let clone = state.clone();
        let mut random = 12345_usize;
        let mut ops = String::new();
        for number in 1..=OPS {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            // Half of the keys are not in the base.
            let key = format!("k{:06}", (random >> 33) % (2 * ENTRIES));
            let on = |op: &str, rest: &str| format!(r#"{{"op":"{op}","Key":"m","MapKey":"{key}"{rest}}},"#);
            match (random >> 20) % 4 {
                0 => {
                    plain.remove(&key);
                    ops.push_str(&on("MapDelete", ""));
                }
                1 => {
                    *plain.entry(key.clone()).or_default() += 1;
                    ops.push_str(&on("IntMapAdd", r#","Delta":1"#));
                }
                _ => {
                    plain.insert(key.clone(), number as i64);
                    ops.push_str(&on("MapSet", &format!(r#","Value":{number}"#)));
                }
            }
            if number % (OPS / 3) == 0 {
                apply(&mut state, &std::mem::take(&mut ops));
                assert!(written(&state) == text_of(&plain), "after {number} ops");
            }
        }
        assert!(written(&clone) == before, "a clone does not change");
        assert!(state.overlay_len() > ENTRIES.min(OPS / 4));
        assert!(written(&state.compact()) == written(&state));
    }

    #[test]
    fn what_was_replaced_often_is_let_go() {
        let mut state = State::read(Bytes::from_static(br#"{"m":{"\"a\"":0,"\"b\"":5},"n":0}"#), 128).expect("a state");
        let mut ops = String::from(r#"{"op":"MapDelete","Key":"m","MapKey":"b"},"#);
        for _ in 0..5 * super::SPARE {
            let _ = write!(ops, r#"{{"op":"IntMapAdd","Key":"m","MapKey":"a","Delta":1}},{{"op":"IntAdd","Key":"n","Delta":2}},"#);
        }
        apply(&mut state, &ops);
        assert_eq!(written(&state), format!(r#"{{"m":{{"\"a\"":{}}},"n":{}}}"#, 5 * super::SPARE, 10 * super::SPARE));
        let most = 2 * 2 + super::SPARE;
        assert!(state.names.values.len() <= most, "{}", state.names.values.len());
        let Some(crate::state::Item::Map(crate::state::MapRef::Changed(map))) = state.get(NameRef(b"m")) else { panic!("a map") };
        assert!(map.changes.values.len() <= most, "{}", map.changes.values.len());
    }
}
