//! The state of a namespace, as immutable versions.
//!
//! A version is a *base*, canonical text that never changes and is shared by many versions, and an *overlay*, a small persistent
//! map of what was changed since. `docs/state.md` draws the layout and gives the cost of everything.

mod arena;
mod changes;
mod entry;
mod merge;
mod name;
mod slots;
mod value;
mod write;

pub(crate) use entry::{Entry, Item, ListRef, MapRef};
pub(crate) use name::{Name, NameRef};
pub(crate) use value::{Value, ValueRef, integer_literal, write_integer};

use crate::json::{JsonError, canonical, repair_utf8};
use crate::ops::{Action, Op};
use arena::{Arena, Extent};
use bytes::Bytes;
use changes::{Changes, Current};
use entry::{Base, Place, Sums};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::sync::Arc;
use write::Hashing;

/// One immutable version of a namespace's state: cloned in O(1), and never changed by what is done to its clones.
#[derive(Clone, Debug)]
pub struct State {
    base: Arc<Arena>,
    /// What was changed since the base was read.
    names: Changes<Entry>,
    /// Of the names.
    sums: Sums,
    /// How many changes the maps and lists in `names` hold.
    weight: usize,
}

impl State {
    /// `{}`.
    pub fn empty() -> State {
        match Arena::build(Bytes::from_static(b"{}"), Extent::Members, 1) {
            Ok(arena) => State::over(arena),
            // The text is canonical.
            Err(error) => unreachable!("{error}"),
        }
    }

    /// Reads a JSON object, nested no deeper than `depth` (itself included). Canonical text becomes the base as it is, not copied;
    /// anything else is rewritten canonically first, bytes that are no UTF-8 becoming U+FFFD. At most 4 GiB.
    pub fn read(text: Bytes, depth: usize) -> Result<State, JsonError> {
        let text = match repair_utf8(&text) {
            Cow::Borrowed(_) => text,
            Cow::Owned(repaired) => Bytes::from(repaired),
        };
        if text.first() == Some(&b'{')
            && let Ok(arena) = Arena::build(text.clone(), Extent::Members, depth)
        {
            return Ok(State::over(arena));
        }
        let rewritten = canonical(&text, depth)?;
        if rewritten.first() != Some(&b'{') {
            return Err(JsonError { offset: 0, message: "not a JSON object" });
        }
        Arena::build(Bytes::from(rewritten), Extent::Members, depth).map(State::over)
    }

    fn over(arena: Arena) -> State {
        let sums = Sums::of(&arena.root());
        State { base: Arc::new(arena), names: Changes::default(), sums, weight: 0 }
    }

    /// Applies the ops in order. Clones of the earlier version are untouched. The cost depends on the ops, not on the state.
    pub fn apply(&mut self, ops: &[Op]) {
        let mut rest = ops;
        while let Some(first) = rest.first() {
            // What comes in a row for the entries of one map is done in one go.
            let is_of_row = |op: &&Op| op.action.key().is_some() && op.name == first.name;
            let row = rest.iter().take_while(is_of_row).count();
            if row > 0 {
                self.apply_to_entries(&first.name, &rest[..row]);
            } else {
                self.apply_one(&first.name, &first.action);
            }
            rest = &rest[row.max(1)..];
        }
    }

    /// Appends the whole state as canonical JSON.
    pub fn write_canonical(&self, out: &mut Vec<u8>) {
        out.reserve(self.canonical_len());
        self.write_to(out);
    }

    /// The SHA-256 of the whole state as canonical JSON, in 64 hex digits. Writes the text nowhere.
    pub fn sha256(&self) -> String {
        let mut hashing = Hashing(Sha256::new());
        self.write_to(&mut hashing);
        hashing.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The length of the whole state as canonical JSON in bytes. Exact, in O(1).
    pub fn canonical_len(&self) -> usize {
        self.sums.text_len()
    }

    /// How many names, map entries and list elements were changed since the base, in O(1). Says when to [`State::compact`].
    pub fn overlay_len(&self) -> usize {
        self.names.len() + self.weight
    }

    /// How many names, and map entries and list elements directly below them, the base has, in O(1).
    pub fn base_len(&self) -> usize {
        self.base.entries()
    }

    /// The same state with everything in its base. Writes and reads the whole state: for a background thread.
    pub fn compact(&self) -> State {
        let mut text = Vec::new();
        self.write_canonical(&mut text);
        match Arena::build(Bytes::from(text), Extent::Members, usize::MAX) {
            Ok(arena) => State::over(arena),
            // Text above 4 GiB cannot be a base: go on with what there is.
            Err(_) => self.clone(),
        }
    }

    /// What a name holds.
    pub(crate) fn get(&self, name: NameRef<'_>) -> Option<Item<'_>> {
        let root = self.base.root();
        if self.names.len() == 0 {
            return root.find(name.0).map(|member| Item::of_member(&self.base, &member));
        }
        let spot = root.look(name.0);
        Some(match self.names.current(&spot, name)? {
            Current::Changed(entry) => Item::of_entry(entry),
            Current::Base(member) => Item::of_member(&self.base, &member),
        })
    }

    fn apply_one(&mut self, name: &Name, action: &Action) {
        match action {
            Action::Set(entry) => self.put(name, Some(entry.clone())),
            Action::Remove => self.put(name, None),
            Action::Compute(arithmetic) => {
                let before = match self.get(NameRef(name.spelling())) {
                    Some(Item::Value(value)) => value.as_integer(),
                    _ => 0,
                };
                self.put(name, Some(Entry::Value(Value::Integer(arithmetic.of(before)))));
            }
            Action::Append(value) => self.edit(name, |entry| entry.append(value.clone())),
            // The others are of entries.
            Action::Nothing | Action::SetEntry(..) | Action::ComputeEntry { .. } | Action::RemoveEntry(_) => {}
        }
    }

    /// Applies ops that are all of entries of the map that a name holds.
    fn apply_to_entries(&mut self, name: &Name, ops: &[Op]) {
        let map = match self.get(NameRef(name.spelling())) {
            Some(Item::Map(map)) => Some(map),
            _ => None,
        };
        // What does nothing must not make a map, nor put one that is as in the base into the overlay.
        let does_something = |op: &Op| match &op.action {
            Action::SetEntry(..) => true,
            Action::ComputeEntry { creates, .. } => *creates || map.is_some(),
            Action::RemoveEntry(key) => map.is_some_and(|map| map.get(NameRef(key.spelling())).is_some()),
            _ => false,
        };
        if let Some(first) = ops.iter().position(does_something) {
            self.edit(name, |entry| entry.apply(&ops[first..]));
        }
    }

    /// Lets `edit` change what a name holds.
    fn edit(&mut self, name: &Name, edit: impl FnOnce(&mut Entry)) {
        let State { base, names, sums, weight } = self;
        let root = base.root();
        let spot = root.look(name.spelling());
        if let Some(entry) = names.get_mut(&spot, name) {
            let before = (entry.len(), entry.weight());
            edit(entry);
            sums.account(name, Some(before.0), Some(entry.len()));
            *weight = *weight - before.1 + entry.weight();
            return;
        }
        let found = match names.current(&spot, NameRef(name.spelling())) {
            Some(Current::Base(member)) => Some(member),
            _ => None,
        };
        let mut entry = match found {
            Some(member) if matches!(member.value.first(), Some(b'{' | b'[')) => {
                Base { arena: Arc::clone(base), place: Place::of(&member) }.into_entry()
            }
            // The edit replaces what is neither map nor list, whatever it is.
            _ => Entry::Value(Value::True),
        };
        edit(&mut entry);
        sums.account(name, found.map(|member| member.value.len()), Some(entry.len()));
        *weight += entry.weight();
        names.put(Some(&root), &spot, name, Some(entry));
    }

    /// Sets what a name holds; `None` removes the name.
    fn put(&mut self, name: &Name, entry: Option<Entry>) {
        let State { base, names, sums, weight } = self;
        let root = base.root();
        let spot = root.look(name.spelling());
        let before = names.current(&spot, NameRef(name.spelling())).map(|current| match current {
            Current::Changed(entry) => (entry.len(), entry.weight()),
            Current::Base(member) => (member.value.len(), 0),
        });
        if before.is_none() && entry.is_none() {
            return;
        }
        sums.account(name, before.map(|before| before.0), entry.as_ref().map(Entry::len));
        *weight = *weight - before.map_or(0, |before| before.1) + entry.as_ref().map_or(0, Entry::weight);
        names.put(Some(&root), &spot, name, entry);
    }
}
